"""The VM mesh under the conformance kit, as an adapter of somebody else would be, with a real Envoy for its data plane."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adapters.vm import wire
from adapters.vm.plugin import SPEC, XDS_FAMILY
from hub.api import AdapterSpec, NativeObject, UnmodelledError
from hub.testing.conformance.judged_file import read_judged
from hub.testing.conformance.subject import AdapterUnderTest, DataPlane, JudgedRequest, SchemaCheck
from tests.adapters.vm.data_plane import RealEnvoy
from tests.servers.proving import conforms

pytestmark = pytest.mark.envoy


@pytest.fixture
def smihub_adapter() -> AdapterSpec[Any]:
    """The adapter."""
    return SPEC


@pytest.fixture
def smihub_requests() -> tuple[JudgedRequest, ...]:
    """What is judged by hand."""
    return read_judged(Path(__file__).with_name("requests.yaml"), XDS_FAMILY)


@pytest.fixture
def smihub_data_plane(tmp_path: Path) -> DataPlane:
    """An Envoy."""
    return RealEnvoy(tmp_path)


@pytest.fixture
def smihub_schema() -> SchemaCheck:
    """Envoy's own messages (API v3), as xds-protos has them."""
    return _faults


@pytest.mark.slow
def test_the_vm_mesh_passes_on_a_hundred_thousand_pairs(smihub_subject: AdapterUnderTest) -> None:
    """Of a world and a request, with a new seed each time."""
    conforms(smihub_subject)


def _faults(native: NativeObject) -> list[str]:
    """What of a body is no field of its message; a Workload is ours, and no Envoy is sent it."""
    if native.ref.kind == "Workload":
        return []
    try:
        message = wire.parse(native.ref.kind, native.body)
    except UnmodelledError as error:
        return [str(error)]
    return [] if wire.is_canonical(message, native.body) else ["it has fields that its message does not have"]
