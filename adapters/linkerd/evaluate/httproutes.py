"""HTTPRoutes and TCPRoutes: to which Servers and Services they belong, which rule a request meets, where that leads.

Of all rules of all routes one wins: by the host, then by the best of its matches (adapters.linkerd.evaluate.match), then the
oldest route. A route whose `parentRefs` name a Server with a port, a section or another namespace belongs to no Server.
Source: https://linkerd.io/2-edge/reference/httproute/, https://gateway-api.sigs.k8s.io/reference/spec/; what the index ignores,
and what weights and missing backends do, was observed on Linkerd edge-26.8.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, TypeVar

from msgspec import Struct

from adapters.linkerd.config import POLICY
from adapters.linkerd.evaluate.ages import agreed
from adapters.linkerd.evaluate.match import EVERYTHING, RequestMatch, Score, match_of
from adapters.linkerd.evaluate.request import Http
from hub.api import Fields, NativeManifest, UnmodelledError

_MAX_WEIGHT = 1_000_000
_CORE = frozenset(("", "core"))
ServiceParent = tuple[str, str, int | None]
"""Namespace and name of a Service, and the port (None: all of its ports)."""
Outcome = TypeVar("Outcome")


class BackendShare(Struct, frozen=True):
    """One backend: a Service, its port, its exact part of the requests."""

    namespace: str
    service: str
    port: int
    part: Fraction


class RouteRule(Struct, frozen=True):
    """One rule: any of its matches must hold. Without shares the parent itself serves."""

    matches: tuple[RequestMatch, ...]
    shares: tuple[BackendShare, ...]


class BoundRoute(Struct, frozen=True):
    """A route with the Servers (names in its namespace) and the Services that it belongs to."""

    group: str
    namespace: str
    name: str
    label: str
    age: str | None
    hostnames: tuple[str, ...]
    rules: tuple[RouteRule, ...]
    servers: tuple[str, ...]
    services: tuple[ServiceParent, ...]

    def best(self, http: Http) -> tuple[tuple[int, int], Score, RouteRule] | None:
        """How well the host and a rule match, and that rule: the first of the best; None where none matches."""
        host = _host_rank(self, http)
        if host is None:
            return None
        found = [(max(scores), rule) for rule in self.rules if (scores := _scores(rule, http))]
        if not found:
            return None
        score, rule = max(found, key=lambda one: one[0])
        return host, score, rule


def _scores(rule: RouteRule, http: Http) -> list[Score]:
    return [score for one in rule.matches if (score := one.score(http)) is not None]


def _host_rank(route: BoundRoute, http: Http) -> tuple[int, int] | None:
    """An exact host before a suffix before none, then the longer one; None where no host matches."""
    if not route.hostnames:
        return 0, 0
    if http.host is None:
        raise UnmodelledError(
            f"{route.label}: hostnames, for a request without exactly one Host line, are not modelled"
        )
    host = http.host
    exact = [(2, len(name)) for name in route.hostnames if name.lower().removesuffix(".") == host]
    suffixes = [name[1:].lower() for name in route.hostnames if name.startswith("*.")]
    return max((*exact, *((1, len(suffix)) for suffix in suffixes if host.endswith(suffix))), default=None)


def winner(
    routes: Sequence[BoundRoute],
    http: Http,
    decide: Callable[[BoundRoute, RouteRule], Outcome],
    same: Callable[[Outcome], object],
) -> Outcome | None:
    """What the one route decides that a request meets; None where no route matches, which is a 404."""
    found = [(route, met) for route in routes if (met := route.best(http)) is not None]
    if not found:
        return None
    most = max(met[:2] for _, met in found)
    rules = {id(route): met[2] for route, met in found}
    best = [route for route, met in found if met[:2] == most]
    return agreed(best, lambda route: decide(route, rules[id(route)]), same)


# --------------------------------------------------------------------------- compiling


def http_route_of(manifest: NativeManifest) -> BoundRoute:
    """Compile an HTTPRoute."""
    with Fields(manifest.spec, manifest.label) as left:
        parents, hostnames, rules = left.items("parentRefs"), left.texts("hostnames"), left.items("rules")
    if not rules:
        raise left.unmodelled("a route without rules")
    return _bound(manifest, parents, hostnames, tuple(_http_rule(rule, manifest) for rule in rules))


def tcp_route_of(manifest: NativeManifest) -> BoundRoute:
    """Compile a TCPRoute, which has exactly one rule."""
    with Fields(manifest.spec, manifest.label) as left:
        parents, rules = left.items("parentRefs"), left.items("rules")
    if len(rules) != 1:
        raise left.unmodelled(f"a TCPRoute with {len(rules)} rules")
    with Fields(rules[0], manifest.label) as inner:
        inner.neutral("name")
        shares = _shares(inner.items("backendRefs"), manifest)
    return _bound(manifest, parents, (), (RouteRule((EVERYTHING,), shares),))


def _bound(
    manifest: NativeManifest, parents: Sequence[Any], hosts: tuple[str, ...], rules: tuple[RouteRule, ...]
) -> BoundRoute:
    found = [_parent(one, manifest) for one in parents]
    servers = tuple(one for one in found if isinstance(one, str))
    services = tuple(one for one in found if isinstance(one, tuple))
    # One parent that the index cannot read takes the route from all of its Servers, and leaves the Services.
    held = () if None in found else servers
    return BoundRoute(
        manifest.group, manifest.namespace, manifest.name, manifest.label, manifest.age, hosts, rules, held, services
    )


def _parent(value: Any, manifest: NativeManifest) -> str | ServiceParent | None:
    """The name of a Server, or a Service with its port; None for a Server that no route may name in this way."""
    with Fields(value, manifest.label) as left:
        group, kind, name = left.text("group", "?"), left.text("kind"), left.text("name")
        namespace, port, section = left.text("namespace"), left.port(), left.text("sectionName")
    if (group, kind) == (POLICY, "Server") and name:
        strange = port is not None or section or namespace not in {"", manifest.namespace}
        return None if strange or manifest.kind != "HTTPRoute" else name
    if group not in _CORE or kind != "Service" or section or not name:
        raise left.unmodelled(f'the parent "{kind}" of the group "{group}"')
    return namespace or manifest.namespace, name, port


def _http_rule(value: Any, manifest: NativeManifest) -> RouteRule:
    with Fields(value, manifest.label) as left:
        left.neutral("name", "timeouts")
        matches = tuple(match_of(one, manifest.label) for one in left.items("matches")) or (EVERYTHING,)
        return RouteRule(matches, _shares(left.items("backendRefs"), manifest))


def _shares(values: Sequence[Any], manifest: NativeManifest) -> tuple[BackendShare, ...]:
    """Exact parts. One backend takes everything, whatever its weight; of several, one of them must have a weight."""
    found = [_backend(one, manifest) for one in values]
    if len(found) == 1:
        return (BackendShare(*found[0][:3], Fraction(1)),)
    weights = [1 if weight is None else weight for *_, weight in found]
    if found and not any(weights):
        raise UnmodelledError(f"{manifest.label}: weights that are all zero stop the proxies of clients: not modelled")
    total = sum(weights)
    parts = zip(found, weights, strict=True)
    return tuple(BackendShare(*one[:3], Fraction(weight, total)) for one, weight in parts if weight)


def _backend(value: Any, manifest: NativeManifest) -> tuple[str, str, int, int | None]:
    with Fields(value, manifest.label) as left:
        group, kind, name = left.text("group"), left.text("kind", "Service"), left.text("name")
        namespace, port, weight = left.text("namespace"), left.port(), left.number("weight")
    if group not in _CORE or kind != "Service" or not name or port is None:
        raise left.unmodelled("a backend that is not a Service with a port")
    if weight is not None and not 0 <= weight <= _MAX_WEIGHT:
        raise left.unmodelled(f"the weight {weight}")
    return namespace or manifest.namespace, name, port, weight
