"""One Route unit as an HTTPRoute or TCPRoute for each port that is split; nothing where nothing is.

Source: https://linkerd.io/2-edge/reference/httproute/; Gateway API, HTTPRoute (a rule whose backends do not exist answers 500)
and TCPRoute. Observed on Linkerd edge-26.8: what no rule matches gets 404; weights that are all zero end the routing of a
client; a TCPRoute beside an HTTPRoute has no effect; a root as its own backend means its own endpoints.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction

from msgspec import Struct
from msgspec.structs import replace

from adapters.linkerd import names
from adapters.linkerd.config import LinkerdConfig
from adapters.linkerd.translate import objects
from adapters.linkerd.translate.conditions import MAX_CASES, Case, Lost, cases_of, in_order
from adapters.linkerd.translate.objects import Json, RouteMatch, in_rules
from adapters.linkerd.translate.speech import may_be_opaque
from hub.api import Loss, NativeObject, Objection, Role, Route, RoutePort, Split, Translation, to_integers

MAX_WEIGHT = 1_000_000
"""Largest weight of a backend (Gateway API, BackendRef)."""
MAX_BACKENDS = 16
MAX_RULES = 16
_EVERYTHING: Json = {"path": objects.EVERY_PATH}


class _RoutedPort(Struct, frozen=True, gc=False):
    """One port: what is written, what is lost, and the splits as they are carried out."""

    carried: RoutePort
    made: tuple[NativeObject, ...] = ()
    losses: tuple[Loss, ...] = ()


def translate_route(route: Route, config: LinkerdConfig) -> Translation:
    """The routes of a Service, none for a port that is not split, and what Linkerd cannot say of the splits."""
    found = [
        _Port(route, port, config).routed() for port in sorted(route.ports, key=lambda one: (one.port, one.transport))
    ]
    losses = tuple(sorted({loss for port in found for loss in port.losses}))
    made = tuple(sorted((native for port in found for native in port.made), key=lambda native: native.ref))
    return Translation(made, losses, routed=tuple(port.carried for port in found) if losses else None)


class _Port:
    """One port of a Service on its way into a route."""

    def __init__(self, route: Route, port: RoutePort, config: LinkerdConfig) -> None:
        self._route, self._port, self._config = route, port, config
        self._losses: list[Loss] = []

    def routed(self) -> _RoutedPort:
        splits = [split for split in self._port.splits if not self._refused(split)]
        conditional = any(split.matches is not None for split in splits)
        # Of a port that declares nothing a TCPRoute shares out everything, by connections.
        if self._port.declared == "tcp" or (self._port.declared != "http" and not conditional):
            rules, kind = self._tcp(splits), "TCPRoute"
        else:
            splits, rules = self._http(splits)
            kind = "HTTPRoute"
        carried = replace(self._port, splits=tuple(splits))
        return _RoutedPort(carried, tuple(self._written(rules, kind)), tuple(self._losses))

    def _written(self, rules: Sequence[Json], kind: str) -> Iterator[NativeObject]:
        if rules:
            service, number = self._route.service, self._port.port
            ref = names.service_route(self._route.namespace, service, number, kind, self._config.http_routes)
            yield NativeObject(ref, Role.ROUTE, objects.service_route(ref, service, number, rules))

    def _refused(self, split: Split) -> bool:
        """Whether a layer has no effect here, and is reported."""
        found = _objection(self._route, self._port, split)
        if found is not None:
            self._lose(split, found, "spec.backends")
        return found is not None

    def _lose(self, split: Split, objection: Objection, field: str) -> None:
        self._losses.append(objection.loss(split.origin, field, access=False))

    def _tcp(self, splits: Sequence[Split]) -> list[Json]:
        """Conditions never hold for raw bytes, so the layer without any is the only one."""
        last = next((split for split in splits if split.matches is None), None)
        return [] if last is None else [{"backendRefs": self._shares(last)}]

    def _http(self, splits: Sequence[Split]) -> tuple[list[Split], list[Json]]:
        """Conditional layers in order, then the one for everything, or the root."""
        conditional = [split for split in splits if split.matches is not None]
        last = next((split for split in splits if split.matches is None), None)
        cases = [self._cases(split) for split in conditional]
        kept = [_without(split, lost) for split, (_, lost) in zip(conditional, cases, strict=True)]
        kept = [split for split in kept if split.matches]
        rules = self._in_order(conditional, [found for found, _ in cases])
        if rules is None:
            for split in splits:
                self._lose(split, _TOO_MANY, "spec.matches")
            return [], []
        self._not_as_said(splits)
        if last is not None:
            return [*kept, last], [*rules, {"backendRefs": self._shares(last), "matches": [_EVERYTHING]}]
        root = objects.backend(self._route.service, self._port.port, 1)
        return kept, [*rules, {"backendRefs": [root], "matches": [_EVERYTHING]}] if rules else []

    def _in_order(self, splits: Sequence[Split], cases: Sequence[list[Case]]) -> list[Json] | None:
        """The rules of these layers; None if one route does not take them all."""
        layers = in_order(cases)
        for number, objection in layers.objections:
            self._lose(splits[number], objection, "spec.matches")
        pairs = zip(splits, layers.cases, strict=True)
        rules = [rule for split, layer in pairs for rule in self._rules(split, layer)]
        return rules if layers.fits and len(rules) < MAX_RULES else None

    def _not_as_said(self, splits: Iterable[Split]) -> None:
        """What an HTTPRoute leaves to the root: everything if the port is opaque, else what is not HTTP."""
        for split in splits:
            if may_be_opaque(self._port):
                self._lose(split, _other_protocol(self._port), "spec.backends")
            if split.matches is None and self._port.declared != "http":
                self._lose(split, _RAW, "spec.backends")

    def _cases(self, split: Split) -> tuple[list[Case], Lost]:
        found, lost = cases_of(split.matches or ())
        for objection in sorted(set(lost.values())):
            self._lose(split, objection, "spec.matches")
        if any(case.narrower for case in found):
            self._lose(split, _BEYOND_ASCII, "spec.matches")
        return found, lost

    def _rules(self, split: Split, cases: Sequence[Case]) -> Iterator[Json]:
        matches: list[RouteMatch] = sorted({match for case in cases for match in case.matches()}, key=objects.sort_key)
        backends = self._shares(split) if matches else []
        for some in in_rules(matches):
            yield {"backendRefs": backends, "matches": list(map(objects.match_body, some))}

    def _shares(self, split: Split) -> list[Json]:
        """The backends of positive weight; without any, one that cannot exist, so that calls fail and never reach the root."""
        weights = _weights(split)
        services = sorted(weights)
        if not services:
            return [objects.backend(names.NOBODY, self._port.port, 1)]
        integers = to_integers([weights[service] for service in services], MAX_WEIGHT, services)
        if not integers.exact:
            self._lose(split, _TOO_LARGE, "spec.backends")
        pairs = zip(services, integers.weights, strict=True)
        return [objects.backend(name, self._port.port, weight) for name, weight in pairs]


def _weights(split: Split) -> dict[str, Fraction]:
    found: dict[str, Fraction] = {}
    for backend in split.backends:
        found[backend.service] = found.get(backend.service, Fraction(0)) + backend.weight
    return {service: weight for service, weight in found.items() if weight > 0}


def _without(split: Split, lost: Lost) -> Split:
    return replace(split, matches=tuple(match for match in split.matches or () if match not in lost))


def _objection(route: Route, port: RoutePort, split: Split) -> Objection | None:
    """Why a layer has no effect on a port; None where it has."""
    if port.transport == "UDP":
        return _DATAGRAMS
    if port.headless:
        return _HEADLESS_ROOT
    if len(_weights(split)) > MAX_BACKENDS:
        return _TOO_MANY_BACKENDS
    weighted = (backend for backend in split.backends if backend.weight > 0 and backend.service != route.service)
    headless = next((backend.service for backend in weighted if backend.headless), None)
    return None if headless is None else _headless(headless)


def _headless(service: str) -> Objection:
    message = (
        f'backend "{service}" has no cluster IP, and what Linkerd does then is not known, so this split is not written'
    )
    remedy = f'give Service "{service}" a cluster IP, or use another Service with the same selector that has one'
    return Objection("linkerd.headless-backend", message, "any call to the root Service", remedy)


def _other_protocol(port: RoutePort) -> Objection:
    message = f'if port {port.port} has the "appProtocol" "{port.word}", or none, Linkerd treats it as opaque bytes, so this split has no effect and the root Service serves'
    remedy = 'declare "appProtocol: http", or "kubernetes.io/h2c" for HTTP/2 and gRPC, on this port of the root'
    return Objection("linkerd.other-protocol", message, f"a request to port {port.port} of the root Service", remedy)


_DATAGRAMS = Objection(
    "proto.udp-not-captured",
    "proxies do not intercept UDP, so this split has no effect on a UDP port",
    "a datagram to the root Service",
    "split UDP outside of the mesh",
)
_HEADLESS_ROOT = Objection(
    "linkerd.headless-root",
    "the Service has no cluster IP, so callers call its Pods, and this split has no effect",
    "any call to the root Service",
    "give the Service a cluster IP",
)
_BEYOND_ASCII = Objection(
    "linkerd.header-not-text",
    "Linkerd does not match header values beyond ASCII, so the condition holds for values in ASCII only",
    "a request with a value beyond ASCII that matches",
    "list the values, or accept it: values of headers are ASCII as a rule",
)
_RAW = Objection(
    "linkerd.raw-not-split",
    "the port declares no protocol, so requests are split, and connections that are not HTTP go to the root Service",
    "a connection to this port that is not HTTP",
    'declare the port of the root ("appProtocol") as http or tcp',
)
_TOO_LARGE = Objection(
    "split.weights-too-large",
    f"these ratios need integers with a sum above {MAX_WEIGHT}; the nearest ones are used",
    "a long run of requests whose shares differ in the seventh digit",
    "use weights with a smaller common denominator",
)
_TOO_MANY_BACKENDS = Objection(
    "limit.exceeded",
    f"the split has more than {MAX_BACKENDS} backends, so it is not written",
    "any request to the root Service",
    "use fewer backends",
)
_TOO_MANY = Objection(
    "limit.exceeded",
    f"the splits of one port need more than {MAX_RULES} rules or {MAX_CASES} matches, so the root Service answers all requests",
    "any request to the root Service",
    "use fewer conditions",
)
