"""One Route unit as a VirtualService: what of each port is split, and nothing about the others.

Source: Istio documentation, VirtualService. Observed on Istio 1.31: without a last entry for everything, the rest gets
404; without `match.port`, calls to other ports of the Service are sent to wrong ones; a weight of zero alone means all.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from adapters.istio import names
from adapters.istio.config import IstioConfig
from adapters.istio.translate.budget import expensive_patterns
from adapters.istio.translate.carried import not_carried
from adapters.istio.translate.conditions import cost, matches_of
from adapters.istio.translate.objects import Json, virtual_service
from adapters.istio.translate.protocols import istio_protocol
from hub.api import Loss, NativeObject, Objection, Role, Route, RoutePort, Split, Translation, to_integers

INT32_MAX = 2**31 - 1
MAX_BYTES = 1_000_000
"""Largest VirtualService; an API server takes about half as much again."""


class _VirtualServiceParts(Struct, frozen=True, gc=False):
    """The entries of a VirtualService so far, and what is lost."""

    http: list[Json]
    tcp: list[Json]
    losses: list[Loss]


def translate_route(route: Route, config: IstioConfig) -> Translation:
    """The VirtualService of a Service, none if no port of it is split, and what Istio cannot say of the splits."""
    parts = _VirtualServiceParts([], [], [])
    ports = tuple(
        replace(port, splits=_carried(route, port, parts.losses))
        for port in sorted(route.ports, key=lambda port: (port.port, port.transport))
    )
    for port in ports:
        if port.splits:
            _Port(route, port, config).add_to(parts)
    losses = tuple(sorted(set(parts.losses)))
    routed = tuple(_Port(route, port, config).carried() for port in ports) if losses else None
    if not parts.http and not parts.tcp:
        return Translation((), losses, routed=routed)
    ref = names.virtual_service(route.namespace, route.service)
    host = names.host(route.namespace, route.service, config.cluster_domain)
    body = virtual_service(ref, host, parts.http, parts.tcp)
    # None of it: half of the conditions would send requests to backends that another split was to take.
    if len(body) > MAX_BYTES:
        split_by = {split.origin for port in route.ports for split in port.splits}
        found = {*losses, *(_LIMIT.loss(origin, "spec.matches", access=False) for origin in split_by)}
        return Translation((), tuple(sorted(found)), routed=())
    return Translation((NativeObject(ref, Role.ROUTE, body),), losses, routed=routed)


def _carried(route: Route, port: RoutePort, losses: list[Loss]) -> tuple[Split, ...]:
    """The layers of a port that a sidecar carries out; the others are lost."""
    found: list[Split] = []
    for split in port.splits:
        objections = tuple(not_carried(route.service, port, split))
        losses.extend(one.loss(split.origin, "spec.backends", access=False) for one in objections)
        found += [] if objections else [split]
    return tuple(found)


class _Port:
    """One split port on its way into a VirtualService."""

    def __init__(self, route: Route, port: RoutePort, config: IstioConfig) -> None:
        self._route = route
        self._port = port
        self._domain = config.cluster_domain
        self._text = config.header_values == "text"
        splits = (split for each in route.ports for split in each.splits)
        self._expensive = expensive_patterns((match for split in splits for match in split.matches or ()), cost)

    def add_to(self, parts: _VirtualServiceParts) -> None:
        """Conditional layers in order, then the one for everything, or the root; raw bytes know no conditions."""
        everything: list[Json] = [{"port": self._port.port}]
        routes = [route for split in self._port.splits for route in self._layer(split, parts.losses)]
        ends = [index + 1 for index, route in enumerate(routes) if route["match"] == everything]
        if routes and not ends:
            routes.append({"match": everything, **self._root()})
        # Istio takes the first entry that matches: what stands after one for everything would only look as if it counted.
        parts.http.extend(routes[: ends[0]] if ends else routes)
        last = next((split for split in self._port.splits if split.matches is None), None)
        if last is not None:
            parts.tcp.append({"match": everything, **self._tcp(last)})

    def carried(self) -> RoutePort:
        """The port with those of its splits, and of their matches, that calls are shared out by."""
        kept = map(self._expressible, self._port.splits)
        return replace(self._port, splits=tuple(split for split in kept if split.matches != ()))

    def _expressible(self, split: Split) -> Split:
        if split.matches is None:
            return split
        if _is_raw_tcp(self._port):
            return replace(split, matches=())
        expressible = (
            match for match in split.matches if matches_of(match, self._port.port, self._expensive, text=self._text)[0]
        )
        return replace(split, matches=tuple(expressible))

    def _layer(self, split: Split, losses: list[Loss]) -> Iterator[Json]:
        everything: Json = {"port": self._port.port}
        entries = {b"": everything} if split.matches is None else {}
        for match in split.matches or ():
            found, objections = matches_of(match, self._port.port, self._expensive, text=self._text)
            entries |= {msgspec.json.encode(entry): entry for entry in found}
            losses += [one.loss(split.origin, "spec.matches", access=False) for one in objections]
        if split.matches is not None and _is_raw_tcp(self._port):
            losses.append(_never_matches(self._port).loss(split.origin, "spec.matches", access=False))
        if not self._shares(split)[1]:
            losses.append(_TOO_LARGE.loss(split.origin, "spec.backends", access=False))
        if entries:
            alone = [everything] if everything in entries.values() else [entries[each] for each in sorted(entries)]
            yield {"match": alone, **self._http(split)}

    def _http(self, split: Split) -> Json:
        route, _ = self._shares(split)
        # Not a weight of zero: Istio sends everything to a destination that is alone, whatever its weight.
        return {"route": route} if route else {"directResponse": {"status": 503}}

    def _tcp(self, split: Split) -> Json:
        route, _ = self._shares(split)
        return {"route": route or [{"destination": self._destination(names.NOBODY)}]}

    def _root(self) -> Json:
        return {"route": [{"destination": self._destination(self._host(self._route.service))}]}

    def _shares(self, split: Split) -> tuple[list[Json], bool]:
        """The backends that have a positive weight, in whole numbers, and whether these keep the ratios."""
        weights: dict[str, Fraction] = {}
        for backend in split.backends:
            weights[backend.service] = weights.get(backend.service, Fraction(0)) + backend.weight
        services = sorted(service for service, weight in weights.items() if weight > 0)
        integers = to_integers([weights[service] for service in services], INT32_MAX, services)
        pairs = zip(services, integers.weights, strict=True)
        route = [{"destination": self._destination(self._host(name)), "weight": weight} for name, weight in pairs]
        return route, integers.exact

    def _host(self, service: str) -> str:
        return names.host(self._route.namespace, service, self._domain)

    def _destination(self, host: str) -> Json:
        return {"host": host, "port": {"number": self._port.port}}


_TOO_LARGE = Objection(
    "split.weights-too-large",
    f"these ratios need integers with a sum above {INT32_MAX}; the nearest ones are used",
    "a long run of requests whose shares differ in the tenth digit",
    "use weights with a smaller common denominator",
)
_SERVER_FIRST = Objection(
    "port.server-first",
    "the port declares no protocol, and Istio treats ports with that number as TCP, so the condition never matches there",
    "an HTTP request to that port",
    'declare the port ("appProtocol")',
)


def _is_raw_tcp(port: RoutePort) -> bool:
    """Whether Istio takes a port for TCP that SMI does not."""
    return port.declared != "tcp" and istio_protocol(port.word or port.declared, port.port) == "tcp"


def _never_matches(port: RoutePort) -> Objection:
    """Why conditions never hold on a port that Istio takes for TCP and SMI does not: its number, or its word."""
    if port.declared == "none" == istio_protocol(port.word, 0):
        return _SERVER_FIRST
    message = (
        f'port {port.port} declares "{port.word}", which Istio treats as TCP, so the condition never matches there'
    )
    return replace(_SERVER_FIRST, code="istio.other-protocol", message=message)


_LIMIT = Objection(
    "limit.exceeded",
    f"the splits of this Service need more than {MAX_BYTES} bytes, so the root Service answers all requests",
    "any request to the root Service",
    "use fewer conditions",
)
