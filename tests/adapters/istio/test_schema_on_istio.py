"""What is written for Istio is what Istio's own CustomResourceDefinitions take: those of the release that the tests build."""

from __future__ import annotations

import pytest

from adapters.istio.config import IstioConfig
from adapters.istio.plugin import SPEC
from hub.testing.conformance import schema
from hub.testing.conformance.crds import crd_schema
from hub.testing.conformance.subject import AdapterUnderTest, Sizes
from tests.servers.go_servers import CRDS, built
from tests.servers.istio.build import ISTIOD

pytestmark = pytest.mark.istio


def test_every_object_is_as_the_definitions_of_istio_have_it() -> None:
    """Of small worlds and of random ones, with EnvoyFilters and without."""
    definitions = (built(ISTIOD).folder / CRDS).read_text(encoding="utf-8")
    for config in (IstioConfig(), IstioConfig(patterns="envoyfilter")):
        subject = AdapterUnderTest(SPEC, config, schema=crd_schema(definitions), sizes=Sizes(few=300))
        assert list(schema.valid(subject)) == []
