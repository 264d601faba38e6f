"""Registration record of the sink `xds`."""

from __future__ import annotations

from adapters.vm.safety import check
from adapters.vm.server_sockets import XdsConfig
from adapters.vm.sink import XdsSink
from adapters.vm.state import State
from hub.api import SinkContext, SinkSpec


def open_xds(context: SinkContext, config: XdsConfig) -> XdsSink:
    """The sink of a mesh in the state file. Raises ConfigError where the file is not usable or not private."""
    return XdsSink(State(context.state_file, context.mesh, context.owner, context.domain), context, config, check)


def _socket(context: SinkContext, config: XdsConfig) -> str:
    """Where the mesh's Envoys find the hub, if the configuration names one socket."""
    return config.address


XDS = SinkSpec(name="xds", config=XdsConfig, open=open_xds, needs_state=True, exclusive=_socket)
