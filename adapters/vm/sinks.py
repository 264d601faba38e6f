"""Registration record of the sink `xds`."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from adapters.vm.safety import check
from adapters.vm.sink import XdsConfig, XdsSink
from adapters.vm.state import State
from hub.api import SinkSpec


def open_xds(path: Path, mesh: str, config: XdsConfig) -> XdsSink:
    """The sink of a mesh in a state file. Raises ConfigError where the file is not usable or not private."""
    address = config.address or f"unix:{path.parent / f'{mesh}.sock'}"
    return XdsSink(State(path, mesh), replace(config, address=address), check)


XDS = SinkSpec(name="xds", config=XdsConfig, open=open_xds)
