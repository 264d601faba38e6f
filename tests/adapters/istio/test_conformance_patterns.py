"""Istio with `patterns: envoyfilter` under the conformance kit, as an adapter of somebody else would be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from adapters.istio.config import IstioConfig
from adapters.istio.plugin import SPEC
from hub.api import AdapterSpec
from hub.sinks.kubernetes import KUBERNETES
from hub.testing.conformance.judged_file import read_judged
from hub.testing.conformance.subject import AdapterUnderTest, JudgedRequest, Sizes
from tests.servers.proving import conforms

pytestmark = pytest.mark.thorough


@pytest.fixture
def smihub_adapter() -> AdapterSpec[Any]:
    """The adapter, under another name: certificates are files."""
    return replace(SPEC, name="istio-patterns")


@pytest.fixture
def smihub_config() -> IstioConfig:
    """The settings that add EnvoyFilters."""
    return IstioConfig(patterns="envoyfilter")


@pytest.fixture
def smihub_requests() -> tuple[JudgedRequest, ...]:
    """What is judged by hand."""
    return read_judged(Path(__file__).with_name("requests.yaml"), KUBERNETES)


@pytest.fixture
def smihub_subject(smihub_subject: AdapterUnderTest) -> AdapterUnderTest:
    """On fewer worlds than Istio itself (test_conformance.py), of which this is one setting; `make proof` takes as many."""
    return replace(smihub_subject, sizes=Sizes(worlds=500, few=50))


@pytest.mark.slow
def test_istio_with_patterns_passes_on_a_hundred_thousand_pairs(smihub_subject: AdapterUnderTest) -> None:
    """Of a world and a request, with a new seed each time."""
    conforms(smihub_subject)
