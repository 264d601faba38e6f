"""Consul under the conformance kit, as an adapter of somebody else would be."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.consul.plugin import SPEC
from hub.api import AdapterSpec
from hub.testing.conformance.subject import AdapterUnderTest, JudgedRequest
from tests.adapters.consul.judged import JUDGED
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


@pytest.mark.slow
def test_consul_passes_on_a_hundred_thousand_pairs(smihub_subject: AdapterUnderTest) -> None:
    """Of a world and a request, with a new seed each time."""
    conforms(smihub_subject)
