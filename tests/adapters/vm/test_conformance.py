"""The VM mesh under the conformance kit, as an adapter of somebody else would be, with a real Envoy for its data plane."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from adapters.vm import wire
from adapters.vm.plugin import SPEC
from adapters.vm.view import view
from hub.api import AdapterSpec, NativeObject, UnmodelledError
from hub.testing.conformance.subject import AdapterUnderTest, Bodies, DataPlane, JudgedRequest, SchemaCheck
from tests.adapters.vm.data_plane import RealEnvoy
from tests.adapters.vm.judged import JUDGED
from tests.servers.proving import conforms

pytestmark = pytest.mark.envoy


@pytest.fixture
def smihub_adapter() -> AdapterSpec[Any]:
    """The adapter."""
    return SPEC


@pytest.fixture
def smihub_requests() -> tuple[JudgedRequest, ...]:
    """What is judged by hand."""
    return JUDGED


@pytest.fixture
def smihub_bodies() -> Bodies:
    """Protobuf, opened by its schema."""
    return Bodies(view, _encoded)


@pytest.fixture
def smihub_meaningless() -> tuple[str, ...]:
    """Names of statistics, and what is written into logs."""
    return "*stat_prefix", "*access_log.*"


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


def _encoded(value: Any, kind: str) -> bytes:
    return msgspec.json.encode(value) if kind == "Workload" else wire.pack(wire.from_json(kind, value))


def _faults(native: NativeObject) -> list[str]:
    """What of a body is no field of its message; a Workload is ours, and no Envoy is sent it."""
    if native.ref.kind == "Workload":
        return []
    try:
        message = wire.parse(native.ref.kind, native.body)
    except UnmodelledError as error:
        return [str(error)]
    return [] if wire.is_canonical(message, native.body) else ["it has fields that its message does not have"]
