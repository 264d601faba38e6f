"""The custom resources of consul-k8s under the conformance kit, as an adapter of somebody else would be."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from adapters.consul.plugin import K8S_SPEC
from hub.api import AdapterSpec
from hub.testing.conformance.subject import AdapterUnderTest, JudgedRequest, Sizes
from tests.adapters.consul.judged import JUDGED
from tests.adapters.consul.native import manifest
from tests.servers.proving import conforms

pytestmark = pytest.mark.thorough


@pytest.fixture
def smihub_adapter() -> AdapterSpec[Any]:
    """The adapter."""
    return K8S_SPEC


@pytest.fixture
def smihub_requests() -> tuple[JudgedRequest, ...]:
    """What is judged by hand, of the resources from which consul-k8s makes these entries."""
    return tuple(replace(row, objects=tuple(map(manifest, row.objects))) for row in JUDGED)


@pytest.fixture
def smihub_subject(smihub_subject: AdapterUnderTest) -> AdapterUnderTest:
    """On fewer worlds than entries (test_conformance.py), which mean the same; `make proof` takes as many."""
    return replace(smihub_subject, sizes=Sizes(worlds=300, few=30))


@pytest.mark.slow
def test_consul_k8s_passes_on_a_hundred_thousand_pairs(smihub_subject: AdapterUnderTest) -> None:
    """Of a world and a request, with a new seed each time."""
    conforms(smihub_subject)
