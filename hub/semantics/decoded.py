"""All documents decoded: the valid objects of every kind, by name."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TypeVar

from msgspec import Struct

from hub.model import Document
from hub.semantics import decode_access, decode_specs, decode_split, hub_workload, kubernetes
from hub.semantics.doubts import UnreadableObject, doubt_of
from hub.semantics.envelope import read_objects
from hub.semantics.reader import Invalid
from hub.semantics.types import (
    Binding,
    ExposedService,
    Instance,
    L4Route,
    Manifest,
    Match,
    Slice,
    Target,
    WeightedSplit,
)

T = TypeVar("T")


class DecodedDocuments(Struct, frozen=True):
    """The valid objects of all documents, and (`broken`) what is left of those that are invalid or contradict each other."""

    targets: tuple[Target, ...]
    bindings: tuple[Binding, ...]
    groups: Mapping[tuple[str, str], tuple[Match, ...]]
    tcp_routes: Mapping[tuple[str, str], L4Route]
    udp_routes: Mapping[tuple[str, str], L4Route]
    splits: tuple[WeightedSplit, ...]
    services: Mapping[tuple[str, str], ExposedService]
    slices: tuple[Slice, ...]
    workloads: tuple[Instance, ...]
    doubts: tuple[UnreadableObject, ...]
    broken: tuple[Manifest, ...] = ()


def decode(documents: Iterable[Document]) -> DecodedDocuments:
    """Decode all documents; an object that is invalid is left out, and leaves doubts."""
    by_kind: dict[str, list[Manifest]] = {}
    counted, broken = read_objects(documents)
    for found in counted:
        by_kind.setdefault(kubernetes.word_of_kind(found), []).append(found)

    def named(kind: str, decoder: Callable[[Manifest], T]) -> dict[tuple[str, str], T]:
        valid = _valid(by_kind.get(kind, ()), decoder, broken)
        return {(found.namespace, found.name): value for found, value in valid}

    workloads = [
        *named("Workload", hub_workload.decode_workload).values(),
        *named("Pod", kubernetes.decode_pod).values(),
    ]
    for kind in sorted(kubernetes.TEMPLATE_KINDS):
        workloads += named(kind, kubernetes.decode_template).values()
    services = named("Service", kubernetes.decode_service)
    return DecodedDocuments(
        targets=tuple(named("TrafficTarget", decode_access.decode_traffic_target).values()),
        bindings=tuple(named("IdentityBinding", decode_access.decode_binding).values()),
        groups=named("HTTPRouteGroup", decode_specs.decode_route_group),
        tcp_routes=named("TCPRoute", decode_specs.decode_port_route),
        udp_routes=named("UDPRoute", decode_specs.decode_port_route),
        splits=tuple(named("TrafficSplit", decode_split.decode_split).values()),
        services=services,
        slices=_slices(
            named("EndpointSlice", kubernetes.decode_slice).values(),
            named("Endpoints", kubernetes.decode_endpoints).values(),
        ),
        workloads=tuple(workloads),
        doubts=tuple(doubt for found in broken if (doubt := doubt_of(found)) is not None),
        broken=tuple(broken),
    )


def _slices(slices: Collection[Slice], endpoints: Iterable[Iterable[Slice]]) -> tuple[Slice, ...]:
    """All that count: Endpoints of which there is a mirror do not."""
    mirrored = {(one.namespace, one.service) for one in slices if one.mirror}
    subsets = (one for each in endpoints for one in each)
    return (*slices, *(one for one in subsets if (one.namespace, one.service) not in mirrored))


def _valid(
    objects: Iterable[Manifest], decoder: Callable[[Manifest], T], broken: list[Manifest]
) -> Iterator[tuple[Manifest, T]]:
    for found in objects:
        try:
            yield found, decoder(found)
        except Invalid:
            broken.append(found)  # an invalid object grants nothing; `smihub check` is who reports it
