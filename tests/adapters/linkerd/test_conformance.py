"""Linkerd under the conformance kit, as an adapter of somebody else would be."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.linkerd.plugin import SPEC
from hub.api import AdapterSpec
from hub.testing.conformance.crds import crd_schema
from hub.testing.conformance.subject import AdapterUnderTest, JudgedRequest, SchemaCheck
from tests.adapters.linkerd.judged import JUDGED
from tests.servers.linkerd.types import FOLDER
from tests.servers.proving import conforms

pytestmark = pytest.mark.thorough


@pytest.fixture
def smihub_adapter() -> AdapterSpec[Any]:
    """The adapter."""
    return SPEC


@pytest.fixture
def smihub_requests() -> tuple[JudgedRequest, ...]:
    """What is judged by hand."""
    return JUDGED


@pytest.fixture
def smihub_schema() -> SchemaCheck:
    """Linkerd's types; TCPRoutes are the Gateway API's, which a real API server holds (tests/e2e/test_linkerd_admission.py)."""
    own = crd_schema(*(file.read_text(encoding="utf-8") for file in FOLDER.glob("*.yaml")))
    return lambda native: () if native.ref.kind == "TCPRoute" else own(native)


def test_the_table_names_its_sources() -> None:
    """At least sixty rows; each is from a page, or from what a real mesh did."""
    assert len(JUDGED) >= 60
    assert all(row.source.startswith(("https://", "observed on Linkerd edge-")) for row in JUDGED)
    assert {row.verdict for row in JUDGED} == {"allow", "deny", "mixed"}


@pytest.mark.slow
def test_linkerd_passes_on_a_hundred_thousand_pairs(smihub_subject: AdapterUnderTest) -> None:
    """Of a world and a request, with a new seed each time."""
    conforms(smihub_subject)
