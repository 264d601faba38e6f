"""Registration of the VM mesh: real Envoys on machines, configured by our own xDS server."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from adapters.vm.bootstrap.diagnose import diagnose
from adapters.vm.bootstrap.verb import BOOTSTRAP
from adapters.vm.carry_over import carry_over
from adapters.vm.config import VmConfig
from adapters.vm.evaluate.mesh import evaluator
from adapters.vm.safety.check import check
from adapters.vm.serve.sink import XdsSink
from adapters.vm.serve.sockets import XdsConfig, socket_folder
from adapters.vm.state.revisions import State
from adapters.vm.translate.meet import meet
from adapters.vm.translate.unit import translate
from adapters.vm.view import body, view
from hub.api import AdapterSpec, CommandSpec, FamilySpec, Feature, Narrowing, SinkContext, SinkSpec, Support, hookimpl

FEATURES = {
    Feature.ACCESS_HTTP_PATH: Support.FULL,
    Feature.ACCESS_HTTP_METHOD: Support.FULL,
    Feature.ACCESS_HTTP_HEADER: Support.PARTIAL,
    Feature.ACCESS_HTTP_PORT: Support.FULL,
    Feature.ACCESS_TCP: Support.FULL,
    Feature.ACCESS_UDP: Support.NEVER,
    Feature.ACCESS_SPIFFE_SOURCE: Support.PARTIAL,
    Feature.ACCESS_LABEL_SOURCE: Support.NEVER,
    Feature.ACCESS_LABEL_DESTINATION: Support.FULL,
    Feature.SPLIT_HTTP: Support.FULL,
    Feature.SPLIT_TCP: Support.FULL,
    Feature.SPLIT_UDP: Support.NEVER,
    Feature.SPLIT_MATCHES: Support.PARTIAL,
}
LIMITS = {
    Feature.ACCESS_HTTP_HEADER: ("header.managed", "header.underscored"),
    Feature.ACCESS_UDP: ("proto.udp-not-captured",),
    Feature.ACCESS_SPIFFE_SOURCE: ("source.foreign-trust-domain",),
    Feature.ACCESS_LABEL_SOURCE: ("source.labels-unauthenticated",),
    Feature.SPLIT_UDP: ("proto.udp-not-captured",),
    Feature.SPLIT_MATCHES: ("header.managed", "header.underscored"),
}
"""Envoy refuses some headers by their names, and writes others itself: conditions on these are losses."""

NARROWINGS = (
    Narrowing(
        "path.guarded",
        "paths that are not in normal form (//, dot segments, ;, unnecessary or double escapes, bytes beyond ASCII) are refused",
    ),
    Narrowing("port.unexposed", "a port that no Service, Workload or Pod declares has no listener"),
    Narrowing("method.nonstandard", "Envoy answers 400 to methods that HTTP/1.1 does not register"),
    Narrowing(
        "header.rejected",
        "requests with an underscore in a header name are refused; repeated lines of a few headers are joined before they are "
        "matched; values that are not valid UTF-8, or that match differently as bytes than as characters, are refused",
    ),
)

SPEC = AdapterSpec(
    name="vm",
    family="xds",
    config=VmConfig,
    features=FEATURES,
    limits=LIMITS,
    translate=translate,
    evaluator=evaluator,
    carry_over=carry_over,
    narrowings=NARROWINGS,
    meet=meet,
    governs=("all",),
    drain="the next request (HTTP), or about a second after Envoy's acknowledgement, when they are closed (streams, TCP)",
    capture="traffic is not intercepted: an application port that can be reached without going through its Envoy is open to every caller that can reach it",
)


def open_xds(context: SinkContext, config: XdsConfig) -> XdsSink:
    """The sink of a mesh in the state file. Raises ConfigError where the file is not usable or not private."""
    return XdsSink(State(context.state_file, context.mesh, context.owner, context.domain), context, config, check)


XDS_FAMILY = FamilySpec("xds", view, body=body, meaningless=("*stat_prefix", "*access_log.*"))
"""Envoy's resources, which only our own server gives to Envoys; what is counted and logged lets nobody in."""


def _socket(context: SinkContext, config: XdsConfig) -> str:
    """Where the mesh's Envoys find the hub, however it is written; its name is the mesh's in a folder, which domains may share."""
    return config.address or f"unix:{socket_folder(config, context).resolve() / context.mesh}.sock"


XDS = SinkSpec(name="xds", config=XdsConfig, open=open_xds, needs_state=True, exclusive=_socket, diagnose=diagnose)


@hookimpl
def smihub_adapters() -> Iterable[AdapterSpec[Any]]:
    """The adapter `vm`."""
    return [SPEC]


@hookimpl
def smihub_families() -> Iterable[FamilySpec]:
    """The family `xds`."""
    return [XDS_FAMILY]


@hookimpl
def smihub_sinks() -> Iterable[SinkSpec[Any]]:
    """The sink `xds`: revisions in the state file, served to Envoys over ADS."""
    return [XDS]


@hookimpl
def smihub_commands() -> Iterable[CommandSpec]:
    """The verb `bootstrap`."""
    return [BOOTSTRAP]
