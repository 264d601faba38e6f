"""Where the proxy of a client sends a call: the discovery chain of routers, splitters and resolvers.

Only the router of the service that is called counts, its first route that matches leads, and what matches none goes to the service
itself. A splitter that is behind a share is followed, unless the share names a subset or the service itself; a share for the
service itself goes to its resolver. A redirect takes the place of a service wherever it stands. Weights are in steps of 0.01, in
single precision, and Envoy gets what is left of a hundred times a weight when its fraction is cut off: of 0.53 that is 52.
Source: https://developer.hashicorp.com/consul/docs/manage-traffic/discovery-chain; agent/consul/discoverychain/compile.go and
agent/xds/routes.go of Consul 1.22; observed on Consul 1.22 with Envoy 1.40.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from adapters.consul.evaluate.entries import RESOLVER, ROUTER, SPLITTER, ConfigEntry, service_name
from adapters.consul.evaluate.intentions import HTTP_PROTOCOLS, Gates
from adapters.consul.evaluate.matching import STRICT, Leniency, Question, flag, headers_of, methods_of, path_of
from adapters.consul.evaluate.queries import queries_of
from adapters.consul.evaluate.request import Http
from hub.api import Fields, UnmodelledError

_STORED = ("Meta", "CreateIndex", "ModifyIndex", "Hash")
_RETRIES = ("RequestTimeout", "IdleTimeout", "NumRetries", "RetryOnConnectFailure", "RetryOn", "RetryOnStatusCodes")
_KINDS = ("Exact", "Prefix", "Suffix", "Regex")
_SUM = 10_000


class Way(Struct, frozen=True):
    """Where one route leads, and what asks whether it does (nothing: it always does).

    Of a path that a route of a router takes by its beginning, the `prefix` and a slash behind it are replaced by one slash
    (getRewriteActionForUserLogic in agent/xds/routes.go, which Consul 1.22 also does where the entry rewrites nothing).
    """

    asked: tuple[Question, ...]
    parts: Mapping[str, Fraction]
    by: tuple[str, ...] = ()
    prefix: str = ""

    def takes(self, http: Http, leniency: Leniency = STRICT) -> bool:
        """Whether a request goes this way."""
        return all(one.holds(http, leniency) for one in self.asked)


class Chain(Struct, frozen=True):
    """The compiled chain of one service: its protocol, and the ways that calls may go, of which the first counts."""

    http: bool
    ways: tuple[Way, ...]

    def choose(self, http: Http, leniency: Leniency = STRICT) -> Way | None:
        """The way of a request; None: the client's proxy answers 404."""
        return next((one for one in self.ways if one.takes(http, leniency)), None)


class Chains:
    """All chains, by the name of a service. Raises UnmodelledError for one that Consul refuses to store."""

    def __init__(self, entries: Mapping[tuple[str, str], ConfigEntry], gates: Gates) -> None:
        self._gates = gates
        self._routers = {name: _router(one) for (kind, name), one in entries.items() if kind == ROUTER}
        self._splitters = {name: _splitter(one) for (kind, name), one in entries.items() if kind == SPLITTER}
        self._resolvers = {name: _resolver(one) for (kind, name), one in entries.items() if kind == RESOLVER}
        named = {*self._routers, *self._splitters, *self._resolvers}
        self._found = {name: self._compile(name) for name in sorted(named)}

    def of(self, service: str) -> Chain:
        """The chain of a service; without entries its own instances serve."""
        found = self._found.get(service)
        return Chain(self._gates.speaks_http(service), (_own(service),)) if found is None else found

    # ----------------------------------------------------------------------- compiling

    def _compile(self, name: str) -> Chain:
        build = _Build(self._gates, self._splitters, self._resolvers)
        router, ways = self._routers.get(name), list[Way]()
        if router is not None:
            build.record(name)
            for route in router.routes:
                way = build.way(route.service or name, route.subset, route.asked, router.label)
                ways.append(replace(way, prefix=route.prefix))
        last = build.way(name, "", (), "" if router is None else router.label)
        ways.append(last if router is None else replace(last, prefix="/"))
        split = router is not None or name in self._splitters
        return Chain(build.protocol(name, routed=split), tuple(ways))


def _own(service: str) -> Way:
    return Way((), {service: Fraction(1)})


class _Split(Struct, frozen=True):
    weight: float
    service: str
    subset: str


class _Splitter(Struct, frozen=True):
    label: str
    splits: tuple[_Split, ...]


class _Route(Struct, frozen=True):
    asked: tuple[Question, ...]
    service: str
    subset: str
    prefix: str


class _Router(Struct, frozen=True):
    label: str
    routes: tuple[_Route, ...]


class _Resolver(Struct, frozen=True):
    label: str
    subsets: frozenset[str]
    default: str
    redirect: tuple[str, str] | None


class _Build:
    """One chain while it is put together; it notes the protocols of all services on which it touches."""

    def __init__(self, gates: Gates, splitters: Mapping[str, _Splitter], resolvers: Mapping[str, _Resolver]) -> None:
        self._gates = gates
        self._splitters = splitters
        self._resolvers = resolvers
        self._touched: dict[str, str] = {}
        self._by: set[str] = set()

    def record(self, service: str) -> None:
        """Note the protocol of a service."""
        self._touched[service] = self._gates.protocol(service)

    def protocol(self, name: str, *, routed: bool) -> bool:
        """Whether the chain is one of HTTP. Raises UnmodelledError where Consul refuses what is in it."""
        if len(set(self._touched.values())) > 1:
            told = ", ".join(f"{service} has {word}" for service, word in sorted(self._touched.items()))
            raise UnmodelledError(f"{name}: Consul refuses a discovery chain of several protocols: {told}")
        http = HTTP_PROTOCOLS.issuperset(self._touched.values())
        if routed and not http:
            raise UnmodelledError(f"{name}: Consul refuses a router or splitter where the protocol is TCP")
        return http

    def way(self, service: str, subset: str, asked: tuple[Question, ...], label: str) -> Way:
        """Where a route leads that names this service."""
        self._by = {label} if label else set()
        splitter = None if subset else self._splitters.get(service)
        if splitter is None:
            return Way(asked, {self._resolve(service, subset): Fraction(1)}, self._told())
        units = dict[str, int]()
        for weight, target in self._shared(service, splitter, ()):
            units[target] = units.get(target, 0) + int(_single(weight * 100))
        total = sum(units.values())
        parts = {target: Fraction(unit, total) for target, unit in units.items() if unit}
        return Way(asked, parts, self._told())

    def _told(self) -> tuple[str, ...]:
        return tuple(sorted(self._by))

    def _shared(self, name: str, splitter: _Splitter, above: tuple[str, ...]) -> list[tuple[float, str]]:
        """The shares of a splitter and of those behind it, as single-precision weights."""
        if name in above or len(above) > 1:
            raise UnmodelledError(
                f"{splitter.label}: splitters in a circle, or three behind each other, are not modelled"
            )
        self._by.add(splitter.label)
        found: list[tuple[float, str]] = []
        for split in splitter.splits:
            inner = None if split.subset or split.service == name else self._splitters.get(split.service)
            if inner is None:
                found.append((split.weight, self._resolve(split.service, split.subset)))
                continue
            for weight, target in self._shared(split.service, inner, (*above, name)):
                found.append((_rounded(_single(_single(split.weight * weight) / 100)), target))
        return found

    def _resolve(self, service: str, subset: str) -> str:
        """The service whose instances serve, after redirects."""
        seen = set[tuple[str, str]]()
        while (service, subset) not in seen:
            seen.add((service, subset))
            self.record(service)
            resolver = self._resolvers.get(service)
            if resolver is None and not subset:
                return service
            if resolver is None:
                break
            self._by.add(resolver.label)
            if resolver.redirect is not None:
                service, subset = resolver.redirect[0], resolver.redirect[1]
            elif not subset and resolver.default:
                subset = resolver.default
            elif not subset or subset in resolver.subsets:
                return service
            else:
                break
        raise UnmodelledError(f'{service}: Consul refuses the subset "{subset[:80]}", or redirects in a circle')


# --------------------------------------------------------------------------- single precision


def _single(value: float) -> float:
    """Rounded to single precision, as Go computes with float32."""
    found: float = struct.unpack("f", struct.pack("f", value))[0]
    return found


def _scaled(weight: float) -> int:
    """In steps of 0.01, halves away from zero."""
    return int(_single(weight * 100) + 0.5)


def _rounded(weight: float) -> float:
    return _single(_scaled(weight) / 100)


# --------------------------------------------------------------------------- reading entries


def _splitter(entry: ConfigEntry) -> _Splitter:
    with entry.fields() as left:
        left.neutral(*_STORED)
        splits = tuple(_split(value, entry) for value in left.items("Splits"))
    if sum(_scaled(one.weight) for one in splits) != _SUM:
        raise UnmodelledError(f"{entry.label}: Consul refuses weights that are not 100.00 together")
    if len({(one.service, one.subset) for one in splits}) < len(splits):
        raise UnmodelledError(f"{entry.label}: Consul refuses a destination that is listed twice")
    return _Splitter(entry.label, tuple(_Split(_rounded(one.weight), one.service, one.subset) for one in splits))


def _split(value: Any, entry: ConfigEntry) -> _Split:
    with Fields(value, entry.label) as left:
        weight, service, subset = left.take("Weight"), left.text("Service"), left.text("ServiceSubset")
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight <= 100:
        # Consul takes negative weights, and then Envoy rejects the routes and keeps those that it had.
        raise left.unmodelled(f'the weight "{str(weight)[:40]}"')
    return _Split(_single(float(weight)), service_name(service or entry.name, entry.label), subset)


def _router(entry: ConfigEntry) -> _Router:
    with entry.fields() as left:
        left.neutral(*_STORED)
        return _Router(entry.label, tuple(_route(value, entry.label) for value in left.items("Routes")))


def _route(value: Any, where: str) -> _Route:
    with Fields(value, where) as left:
        match, destination = left.inner("Match"), left.inner("Destination")
    with match:
        asked = _asked(match.inner("HTTP"))
    with destination:
        destination.neutral(*_RETRIES)
        service, subset = destination.text("Service"), destination.text("ServiceSubset")
    # By now the fields are of the right types. Without a destination nothing is rewritten.
    prefix = "" if value.get("Destination") is None else _prefix(value)
    return _Route(asked, service_name(service, where) if service else "", subset, prefix)


def _prefix(value: Any) -> str:
    """The beginning by which a route takes paths: "/" where it names none, "" where it names a whole path or a pattern."""
    http = (value.get("Match") or {}).get("HTTP") or {}
    return "" if http.get("PathExact") or http.get("PathRegex") else http.get("PathPrefix") or "/"


def _asked(left: Fields) -> tuple[Question, ...]:
    """What a route asks; without a path it asks for one that begins with a slash, which all that are routed do."""
    with left:
        if flag(left, "CaseInsensitive"):
            raise left.unmodelled('"CaseInsensitive"')
        found = (path_of(left), methods_of(left), *headers_of(left, kinds=_KINDS), *queries_of(left))
    return tuple(one for one in found if one is not None)


def _resolver(entry: ConfigEntry) -> _Resolver:
    with entry.fields() as left:
        left.neutral(*_STORED, "ConnectTimeout", "RequestTimeout", "LoadBalancer", "PrioritizeByLocality")
        default, subsets, redirect = left.text("DefaultSubset"), left.pairs("Subsets"), left.take("Redirect")
    for value in subsets.values():
        with Fields(value, entry.label) as inner:
            inner.neutral("OnlyPassing")
            if inner.text("Filter"):
                raise inner.unmodelled('a subset with a "Filter"')
    if default and default not in subsets:
        raise UnmodelledError(f'{entry.label}: Consul refuses the default subset "{default[:80]}", which is not there')
    leads = None if redirect is None else _redirect(redirect, entry)
    return _Resolver(entry.label, frozenset(subsets), default, leads)


def _redirect(value: Any, entry: ConfigEntry) -> tuple[str, str]:
    with Fields(value, entry.label) as left:
        service, subset = left.text("Service"), left.text("ServiceSubset")
    if not service:
        raise left.unmodelled("a redirect without a service")
    return service_name(service, entry.label), subset
