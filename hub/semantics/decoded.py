"""All documents decoded: the valid objects of every kind, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from msgspec import Struct

from hub.model import Document
from hub.semantics import decode_access, decode_specs, decode_split, hub_workload, kubernetes
from hub.semantics.envelope import read_objects
from hub.semantics.reader import Invalid
from hub.semantics.types import Binding, Found, Match, PortRoute, Service, Slice, Split, TrafficTarget, Workload

T = TypeVar("T")


class Decoded(Struct, frozen=True):
    """The valid objects of all documents."""

    targets: tuple[TrafficTarget, ...]
    bindings: tuple[Binding, ...]
    groups: Mapping[tuple[str, str], tuple[Match, ...]]
    tcp_routes: Mapping[tuple[str, str], PortRoute]
    udp_routes: Mapping[tuple[str, str], PortRoute]
    splits: tuple[Split, ...]
    services: Mapping[tuple[str, str], Service]
    slices: tuple[Slice, ...]
    workloads: tuple[Workload, ...]


def decode(documents: Iterable[Document]) -> Decoded:
    """Decode all documents; an object that is invalid is left out."""
    by_kind: dict[str, list[Found]] = {}
    for found in read_objects(documents):
        by_kind.setdefault(found.kind, []).append(found)

    def named(kind: str, decoder: Callable[[Found], T]) -> dict[tuple[str, str], T]:
        return {(found.namespace, found.name): value for found, value in _valid(by_kind.get(kind, ()), decoder)}

    workloads = [
        *named("Workload", hub_workload.decode_workload).values(),
        *named("Pod", kubernetes.decode_pod).values(),
    ]
    for kind in sorted(kubernetes.TEMPLATE_KINDS):
        workloads += named(kind, kubernetes.decode_template).values()
    return Decoded(
        targets=tuple(named("TrafficTarget", decode_access.decode_traffic_target).values()),
        bindings=tuple(named("IdentityBinding", decode_access.decode_binding).values()),
        groups=named("HTTPRouteGroup", decode_specs.decode_route_group),
        tcp_routes=named("TCPRoute", decode_specs.decode_port_route),
        udp_routes=named("UDPRoute", decode_specs.decode_port_route),
        splits=tuple(named("TrafficSplit", decode_split.decode_split).values()),
        services=named("Service", kubernetes.decode_service),
        slices=tuple(named("EndpointSlice", kubernetes.decode_slice).values()),
        workloads=tuple(workloads),
    )


def _valid(objects: Iterable[Found], decoder: Callable[[Found], T]) -> Iterator[tuple[Found, T]]:
    for found in objects:
        try:
            yield found, decoder(found)
        except Invalid:
            continue  # an invalid object grants nothing; `smihub check` is who reports it
