"""The part of the table (tests/adapters/linkerd/judged.py) that is about routes: what they match, which one wins, where calls go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hub.api import Request, Source
from tests.adapters.linkerd.objects import (
    GATEWAY,
    INDEX,
    NEW,
    OLD,
    RAW,
    ROGUE,
    ROUTES,
    SEEN,
    SPEC,
    TO_API,
    WEB,
    ask,
    call,
    granted,
    header,
    opened,
    path,
    route,
    rule,
    send,
    server,
    split,
    to,
)

_ROWS = Sequence[tuple[str, Sequence[Any], Request, str]]
_WEB = granted("Server/api", "web")
_X = path("^(?:/x)$")
_LONELY = server(), route("r", _X)
_OPEN_X = server(), *opened("r", "web", _X)
_HOST = server(), *opened("r", "web", _X, hostnames=["a.example"])
_PORTED = route("r", _X, parent={**TO_API, "port": 8080})
_SECTION = route("r", _X, parent={**TO_API, "sectionName": "http"})
_HALF = route("r", _X, parentRefs=[TO_API, {**TO_API, "name": "b", "port": 8080}])
_ELSEWHERE = route("r", _X, parent={**TO_API, "namespace": "other"})


def _two(web: Any, rogue: Any, older: str = WEB, **both: str) -> tuple[Any, ...]:
    """A route for web (`b`) and one for rogue (`a`), each with one match; one of them is older."""
    ages = (OLD, NEW) if older == WEB else (NEW, OLD)
    return server(), *opened("b", "web", web, age=ages[0]), *opened("a", "rogue", rogue, age=ages[1])


def _kept(match: Any, *, protocol: str = "unknown") -> tuple[Any, ...]:
    """One route with this match, for web."""
    return server(proxyProtocol=protocol), *opened("r", "web", match)


def _tier(pattern: str, kind: str = "RegularExpression") -> tuple[Any, ...]:
    return _kept(path("^/.*$", headers=[header("X-Tier", pattern, kind)]))


def _lines(*values: str) -> Request:
    return ask(headers=tuple(("x-tier", value) for value in values))


_REGEX, _EXACT = path("^(?:/p)$"), path("/p", "Exact")
_TIE = server(), *opened("b", "web", _REGEX, age=OLD), *opened("a", "rogue", _EXACT, age=OLD)
_WITH_METHOD = path("^(?:/p)$", method="GET")
_WITH_HEADER = path("^(?:/p)$", headers=[header("x-tier", "gold", "Exact")])
_WITH_QUERY = path("^(?:/p)$", queryParams=[header("a", "1", "Exact")])
_GOLD = ("x-tier", "gold")
_LOOSE = path("^/public/.*$")
_DIGITS = path("^/u/[0-9]+$")
_FOO = path("/foo/", "PathPrefix")
_BYTES = server(proxyProtocol="opaque"), *opened("r", "web", path("^/.*$"))
_TLS = server(proxyProtocol="TLS"), *opened("r", "web", path("^/.*$"))
_GRPC = server(proxyProtocol="gRPC"), *opened("r", "web", path("^/.*$"))

ON_ROUTES: _ROWS = (
    # A route lets in those whom the Server admits, and those of its own policies.
    (ROUTES, _OPEN_X, ask("/x"), "allow"),
    (ROUTES, _OPEN_X, ask("/x", ROGUE), "deny"),
    (SPEC, _OPEN_X, ask("/y"), "deny"),
    (SEEN, _LONELY, ask("/x"), "deny"),
    (SEEN, (*_LONELY, *_WEB), ask("/x"), "allow"),
    (SEEN, (*_LONELY, *_WEB), ask("/x", ROGUE), "deny"),
    (SEEN, (*_LONELY, *_WEB), ask("/y"), "deny"),
    # One route wins, and only its grants count: by length, headers, query, method, age, name.
    (SEEN, _two(_REGEX, _EXACT), ask("/p"), "allow"),
    (SEEN, _two(_REGEX, _EXACT), ask("/p", ROGUE), "deny"),
    (SEEN, _two(_REGEX, _EXACT, older=ROGUE), ask("/p"), "deny"),
    (SEEN, _two(_REGEX, _EXACT, older=ROGUE), ask("/p", ROGUE), "allow"),
    (SEEN, _TIE, ask("/p", ROGUE), "allow"),
    (SEEN, _two(path("/p", "PathPrefix"), path("^/p/x$")), ask("/p/x", ROGUE), "allow"),
    (SEEN, _two(path("/p", "PathPrefix"), path("/p/q", "PathPrefix")), ask("/p/q/r", ROGUE), "allow"),
    (SEEN, _two(path("/p", "PathPrefix"), path("/p/q", "PathPrefix")), ask("/p/q/r"), "deny"),
    (SEEN, _two(_REGEX, _WITH_METHOD), ask("/p", ROGUE), "allow"),
    (SEEN, _two(_WITH_METHOD, _WITH_HEADER), ask("/p", ROGUE, headers=(_GOLD,)), "allow"),
    (SPEC, _two(_WITH_QUERY, _WITH_HEADER), ask("/p?a=1", ROGUE, headers=(_GOLD,)), "allow"),
    (SPEC, _two(_WITH_METHOD, _WITH_QUERY), ask("/p?a=1", ROGUE), "allow"),
    (SEEN, _two(_WITH_METHOD, _WITH_QUERY), ask("/p?b=2&a=2&a=1", ROGUE), "allow"),
    (SEEN, _two(_WITH_METHOD, _WITH_QUERY), ask("/p?a=2"), "allow"),
    # Both groups are one list, and a policy names the group; other hosts are a 404.
    (SEEN, (server(), *opened("r", "web", _X, group=GATEWAY)), ask("/x"), "allow"),
    (SEEN, (server(), route("r", _X, group=GATEWAY), *granted("HTTPRoute/r", "web")), ask("/x"), "deny"),
    (SEEN, _HOST, ask("/x", headers=(("host", "a.example:80"),)), "allow"),
    (SEEN, _HOST, ask("/x", headers=(("host", "b.example"),)), "deny"),
    # Parents that the index does not read: then the Server has no route, and whom it admits gets everything.
    (SEEN, (server(), _PORTED, *granted("HTTPRoute/r", "web")), ask("/x"), "deny"),
    (SEEN, (server(), _PORTED, *_WEB), ask("/y"), "allow"),
    (SEEN, (server(), _SECTION, *_WEB), ask("/y"), "allow"),
    (INDEX, (server(), _ELSEWHERE, *_WEB), ask("/y"), "allow"),
    (INDEX, (server(), _HALF, *_WEB), ask("/y"), "allow"),
    # Paths: the first match of a regex must be all of it; nothing is normalised; the query does not count.
    (SEEN, _kept(path("/a|/ab")), ask("/ab"), "deny"),
    (SEEN, _kept(path("/a|/ab")), ask("/a"), "allow"),
    (SEEN, _kept(path("^(?:/a|/ab)$")), ask("/ab"), "allow"),
    (SEEN, _kept(path("^/a$")), ask("/a?x=1"), "allow"),
    (SEEN, _kept(path(r"^/a\?x$")), ask("/a?x"), "deny"),
    (SEEN, _kept(_LOOSE), ask("/public/../admin"), "allow"),
    (SEEN, _kept(_LOOSE), ask("/public/%2e%2e/admin"), "allow"),
    (SEEN, _kept(_LOOSE), ask("/public//admin"), "allow"),
    (SEEN, _kept(_DIGITS), ask("/u/7"), "allow"),
    (SEEN, _kept(_DIGITS), ask("/u/%37"), "deny"),
    (SEEN, _kept(_FOO), ask("/foo"), "allow"),
    (SEEN, _kept(_FOO), ask("/foo//"), "allow"),
    (SEEN, _kept(_FOO), ask("/foo/x"), "allow"),
    (SEEN, _kept(_FOO), ask("/foobar"), "deny"),
    (SEEN, _kept(_FOO), ask("//foo"), "deny"),
    (SEEN, _kept(path("/foo", "Exact")), ask("/foo/"), "deny"),
    (SEEN, _kept(path("/foo", "Exact")), ask("/Foo"), "deny"),
    # Headers: one of several values is enough, joined ones are one value, an absent one never matches.
    (SEEN, _tier("^guest$"), _lines("guest", "admin"), "allow"),
    (SEEN, _tier("^guest$"), _lines("guest,admin"), "deny"),
    (SEEN, _tier("a|ab"), _lines("ab"), "deny"),
    (SEEN, _tier("^.*$"), _lines(""), "allow"),
    (SEEN, _tier("^.*$"), ask(), "deny"),
    (SEEN, _tier("^.*$"), _lines("é"), "deny"),
    (SEEN, _tier("^a.b$"), _lines("a\tb"), "allow"),
    (ROUTES, _tier("gold", "Exact"), _lines("gold"), "allow"),
    (ROUTES, _tier("gold", "Exact"), _lines("golden"), "deny"),
    # Methods: GET is not HEAD, and without a method every token passes.
    (SEEN, _kept(path("^/.*$", method="GET")), ask(method="HEAD"), "deny"),
    (SEEN, _kept(path("^/.*$")), ask(method="PROPFIND"), "allow"),
    (SEEN, _kept(path("^/.*$")), ask(method="get"), "allow"),
    # Protocols: routes do not count where no HTTP is read, and bytes are for those whom the Server admits.
    (SEEN, _BYTES, ask(), "deny"),
    (SEEN, (*_BYTES, *_WEB), ask(), "allow"),
    (SEEN, _TLS, ask(), "deny"),
    (SEEN, (*_TLS, *_WEB), send(), "allow"),
    (SEEN, _kept(path("^/.*$")), send(), "deny"),
    (SEEN, (*_kept(path("^/.*$")), *_WEB), send(), "allow"),
    (SEEN, (*_kept(path("^/.*$")), *_WEB), send(ROGUE), "deny"),
    (SEEN, _kept(path("^/.*$"), protocol="HTTP/2"), ask(), "allow"),
    (ROUTES, _kept(path("^/.*$"), protocol="HTTP/1"), ask(), "allow"),
    (SEEN, _GRPC, ask(), "deny"),
)

_HEADED = rule(to("store-v2"), matches=[{"headers": [header("x-tier", "gold", "Exact")]}])
_FRESH = server("store", podSelector={"matchLabels": {"version": "v2"}})

TO_SERVICES: _ROWS = (
    (SPEC, (split(rule(to("store-v1", 9), to("store-v2", 1))),), call(), "allow"),
    (SEEN, (_FRESH, split(rule(to("store-v1", 9), to("store-v2", 1)))), call(), "mixed"),
    (SEEN, (_FRESH, split(rule(to("store-v1", 1), to("store-v2", 0)))), call(), "allow"),
    (SEEN, (_FRESH, split(rule(to("store-v2", 0)))), call(), "deny"),
    (SEEN, (split(rule(to("store-v1", 1), to("gone", 1))),), call(), "mixed"),
    (SEEN, (split(_HEADED),), call(), "deny"),
    (SEEN, (split(_HEADED),), call(headers=(_GOLD,)), "allow"),
    (SEEN, (split(_HEADED, rule(to("store-v1"))),), call(), "allow"),
    (ROUTES, (split(_HEADED),), call(src=RAW), "allow"),
    (SEEN, (split(_HEADED, port=81),), call(), "allow"),
    (SEEN, (split(_HEADED, port=None),), call(), "deny"),
    (SEEN, (split(rule(to("far", 1, namespace="other"))),), call(), "allow"),
    (SPEC, (), Request(Source(identity=WEB), call("shop/none").dst, 80), "deny"),
)
