"""Registration record of the sink `xds`."""

from __future__ import annotations

from pathlib import Path

from adapters.vm.safety import check
from adapters.vm.server_sockets import XdsConfig
from adapters.vm.sink import XdsSink
from adapters.vm.state import State
from hub.api import SinkSpec


def open_xds(path: Path, mesh: str, config: XdsConfig) -> XdsSink:
    """The sink of a mesh in a state file. Raises ConfigError where the file is not usable or not private."""
    return XdsSink(State(path, mesh), config, check)


XDS = SinkSpec(name="xds", config=XdsConfig, open=open_xds)
