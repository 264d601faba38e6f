"""Envoy's route tables: virtual hosts, the first route that matches, and settings per filter and level.

Source: Envoy `config.route.v3`; observed on Envoy 1.40: the most specific entry under the *name* of a filter wins
(weighted cluster, route, virtual host, route configuration), even where it opens what the others close.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from msgspec import Struct

from adapters.vm import wire
from adapters.vm.evaluate.fields import Fields, extension
from adapters.vm.evaluate.match import Call, Predicate, header, on_path, regex
from adapters.vm.evaluate.rbac import HTTP, Engine, engine_of
from hub.api import UnmodelledError

_PER_ROUTE = "envoy.extensions.filters.http.rbac.v3.RBACPerRoute"
_FILTER_CONFIG = "envoy.config.route.v3.FilterConfig"
_WEIGHT_LIMIT = 2**32


class Override(Struct, frozen=True):
    """What a level says about a filter: an engine to enforce, or None for "let all pass"."""

    engine: Engine | None


class Level:
    """One `typed_per_filter_config`; entries are read when a filter asks for its own name, others have no meaning."""

    def __init__(self, entries: Any, origin: str) -> None:
        self._entries = dict(entries or {})
        self._origin = origin
        self._found: dict[str, Override] = {}

    def get(self, name: str) -> Override | None:
        """The entry of the filter of this name, or None."""
        if name not in self._entries:
            return None
        if name not in self._found:
            self._found[name] = _override(self._entries[name], self._origin)
        return self._found[name]


class Share(Struct, frozen=True):
    """One cluster of a route, its exact part of the requests, and the levels that apply, least specific first."""

    cluster: str
    part: Fraction
    levels: tuple[Level, ...]


class Choice(Struct, frozen=True):
    """A route: its label, the clusters that it shares requests among (none: Envoy answers by itself).

    `plain` says that it names one cluster without weights; `rewrites` that it changes the path on the way.
    """

    label: str
    test: Predicate
    shares: tuple[Share, ...]
    levels: tuple[Level, ...]
    plain: bool = False
    rewrites: bool = False


class VirtualHost(Struct, frozen=True):
    """A virtual host: its domains, its routes in order, the headers it takes away."""

    domains: tuple[str, ...]
    choices: tuple[Choice, ...]
    removed: frozenset[str]


class RouteTable(Struct, frozen=True):
    """A compiled RouteConfiguration."""

    origin: str
    hosts: tuple[VirtualHost, ...] = ()

    def host(self, authority: str) -> VirtualHost | None:
        """The virtual host of an authority: the exact domain, else `*`, else none."""
        # Domains with a star inside are refused below, so the exact one and "*" are all that there is.
        for wanted in (authority.lower(), "*"):
            found = next((host for host in self.hosts if wanted in host.domains), None)
            if found is not None:
                return found
        return None

    def choose(self, host: VirtualHost | None, call: Call) -> Choice | None:
        """The first route of that host that matches; None is Envoy's 404."""
        if host is None:
            return None
        return next((choice for choice in host.choices if choice.test(call)), None)


def table_of(message: wire.Message, origin: str) -> RouteTable:
    """Compile a RouteConfiguration."""
    with Fields(message, origin) as left:
        left.neutral("name", "validate_clusters", "metadata", "response_headers_to_add", "response_headers_to_remove")
        removed = frozenset(left.take("request_headers_to_remove", ()))
        level = Level(left.take("typed_per_filter_config"), origin)
        hosts = tuple(_host(one, (level,), removed, origin) for one in left.take("virtual_hosts", ()))
    domains = [domain for host in hosts for domain in host.domains]
    if len(domains) != len(set(domains)):
        raise left.rejected("two virtual hosts with one domain")
    return RouteTable(origin, hosts)


def _host(message: wire.Message, levels: tuple[Level, ...], removed: frozenset[str], origin: str) -> VirtualHost:
    with Fields(message, origin) as left:
        left.neutral("name", "metadata", "response_headers_to_add", "response_headers_to_remove", "retry_policy")
        left.neutral("include_request_attempt_count", "include_attempt_count_in_response")
        domains = tuple(domain.lower() for domain in left.take("domains", ()))
        here = removed | frozenset(left.take("request_headers_to_remove", ()))
        inside = (*levels, Level(left.take("typed_per_filter_config"), origin))
        routes = left.take("routes", ())
        choices = tuple(_choice(route, inside, f"{origin}#{index}") for index, route in enumerate(routes))
    if any("*" in domain for domain in domains if domain != "*"):
        raise UnmodelledError(f"{origin}: domains with a wildcard inside are not modelled")
    if not domains:
        raise left.rejected("a virtual host without domains")
    return VirtualHost(domains, choices, frozenset(name.lower() for name in here))


def _choice(message: wire.Message, levels: tuple[Level, ...], where: str) -> Choice:
    with Fields(message, where) as left:
        left.neutral("metadata", "stat_prefix", "response_headers_to_add", "response_headers_to_remove", "decorator")
        name = left.take("name", "")
        label = f"{where.rpartition('#')[0]}#{name}" if name else where
        match = left.take("match")
        inside = (*levels, Level(left.take("typed_per_filter_config"), label))
        kind, action = left.only()
    if match is None:
        raise left.rejected("a route without a match")
    test = _match(match, label)
    if kind in ("direct_response", "redirect"):
        return Choice(label, test, (), inside)
    if kind != "route":
        raise UnmodelledError(f'{where}: the meaning of "{kind}" is not modelled')
    return _forwarding(action, test, inside, label)


def _forwarding(message: wire.Message, test: Predicate, levels: tuple[Level, ...], label: str) -> Choice:
    with Fields(message, label) as left:
        left.neutral("timeout", "idle_timeout", "flush_timeout", "max_stream_duration", "priority", "retry_policy")
        rewrites = left.take("prefix_rewrite") is not None
        kind, value = left.only()
    if kind == "cluster":
        if not value:
            raise left.rejected("an empty cluster name")
        return Choice(label, test, (Share(value, Fraction(1), levels),), levels, True, rewrites)
    if kind != "weighted_clusters":
        raise UnmodelledError(f'{label}: the meaning of "{kind}" is not modelled')
    return Choice(label, test, _weighted(value, levels, label), levels, False, rewrites)


def _weighted(message: wire.Message, levels: tuple[Level, ...], where: str) -> tuple[Share, ...]:
    with Fields(message, where) as left:
        left.neutral("total_weight", "runtime_key_prefix")
        members = [_member(one, levels, where) for one in left.take("clusters", ())]
    total = sum(weight for _, weight, _ in members)
    if not 0 < total < _WEIGHT_LIMIT:
        raise left.rejected(f"weights that add up to {total}")
    return tuple(Share(name, Fraction(weight, total), inside) for name, weight, inside in members if weight)


def _member(message: wire.Message, levels: tuple[Level, ...], where: str) -> tuple[str, int, tuple[Level, ...]]:
    with Fields(message, where) as left:
        name, weight = left.take("name", ""), left.take("weight")
        inside = (*levels, Level(left.take("typed_per_filter_config"), where))
    if not name or weight is None:
        raise left.rejected("a weighted cluster needs a name and a weight")
    return name, weight.value, inside


def _match(message: wire.Message, where: str) -> Predicate:
    with Fields(message, where) as left:
        headers = [header(one, where) for one in left.take("headers", ())]
        sensitive = left.take("case_sensitive")
        kind, value = left.only()
    if sensitive is not None and not sensitive.value:
        raise UnmodelledError(f"{where}: a route that ignores case is not modelled")
    path = _path(kind, value, where)
    return lambda call: path(call) and all(test(call) for test in headers)


def _path(kind: str, value: Any, where: str) -> Predicate:
    if kind == "safe_regex":
        return on_path(regex(value, where))
    if kind not in ("prefix", "path", "path_separated_prefix"):
        raise UnmodelledError(f'{where}: the meaning of "{kind}" is not modelled')
    wanted = value.encode()
    if kind == "path":
        return on_path(lambda path: path == wanted)
    if kind == "prefix" and value == "/":
        return lambda _: True  # a path without its leading slash never comes here, except to be explained
    if kind == "prefix":
        return on_path(lambda path: path.startswith(wanted))
    return on_path(lambda path: path == wanted or path.startswith(wanted + b"/"))


def _override(packed: wire.Any, origin: str) -> Override:
    kind, message = extension(packed, origin)
    if kind == _PER_ROUTE:
        with Fields(message, origin) as left:
            rbac = left.take("rbac")
        return Override(None if rbac is None else engine_of(rbac, origin, HTTP))
    if kind != _FILTER_CONFIG:
        raise UnmodelledError(f'{origin}: Envoy rejects "{kind}" as a setting of a filter per route')
    with Fields(message, origin) as left:
        left.neutral("is_optional")
        disabled, config = left.flag("disabled"), left.take("config")
    if disabled:
        return Override(None)
    if config is None:
        raise left.rejected("an empty filter configuration")
    return _override(config, origin)


def resolve(levels: Sequence[Level], name: str) -> Override | None:
    """The most specific entry of a filter, or None where no level has one."""
    for level in reversed(levels):
        found = level.get(name)
        if found is not None:
            return found
    return None
