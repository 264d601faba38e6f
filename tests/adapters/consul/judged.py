"""Requests to a service of a Consul mesh, judged by hand: what says what happens, the entries, who asks for what, the verdict.

The sources are Consul's pages, and what a real Consul with real Envoys answered. `default` is the `default_intention_policy` of
its agents for which a row holds; "any" row holds whatever it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from msgspec import Struct

from hub.api import NativeObject, Request, Source
from hub.testing.conformance.subject import JudgedRequest
from tests.adapters.consul.judged_routes import ON_ROUTES, TO_SERVICES
from tests.adapters.consul.native import (
    DOCS,
    HTTP,
    INTENTIONS,
    OTHER,
    OUTSIDE,
    SEEN,
    TCP,
    WORLD,
    B,
    allow,
    ask,
    deny,
    header,
    intentions,
    lines,
    may,
    refuse,
    send,
    source,
    web,
)

Default = Literal["deny", "allow", "any"]


class Row(Struct, frozen=True):
    """One row; `default` is what agents do where no intention speaks."""

    source: str
    objects: tuple[NativeObject, ...]
    request: Request
    verdict: str
    default: Default = "any"


_Rows = Sequence[tuple[str, Sequence[Any], Request, str]]
_REGEX = web(may(regex="/v[0-9]+"))
_FOO, _GET = web(may(prefix="/foo")), web(may(Methods=["GET"]))
_ROLE = header("x-role", Exact="guest")


def _role(**test: Any) -> tuple[NativeObject, ...]:
    return web(may(Header=[header("X-Role", **test)]))


def _with(*values: str, **parts: Any) -> Request:
    return ask(headers=lines(*values), **parts)


_NOT_ADMIN, _ABSENT = _role(Exact="admin", Invert=True), _role(Present=True, Invert=True)
_TWICE = web(may(Header=[header("x-role", Prefix="gu"), header("x-role", Suffix="st")]))
_PSEUDO = web(may(Header=[header(":path", Regex="/a.*")]))
_PATHS: _Rows = (
    # Paths: exact, prefixes by letters, regexes of the whole path; dot segments and needless escapes are resolved before.
    *((SEEN, web(may(exact="/a")), ask(at), "allow") for at in ("/a", "/a?x=1", "/x/../a", "/%61")),
    *(
        (SEEN, web(may(exact="/a")), ask(at), "deny")
        for at in ("/a/", "/A", "/ab", "//a", "/a%2f", "/a;p=1", "/a#f", "/a\tb", "/a\x7f")
    ),
    *((SEEN, _FOO, ask(at), "allow") for at in ("/foo", "/foo/", "/foobar", "/foo%2f..%2fbar")),
    *((SEEN, _FOO, ask(at), "deny") for at in ("/FOO", "/foo/../bar", "/foo/%2e%2e/bar")),
    (SEEN, web(may(prefix="/foo/")), ask("/foo"), "deny"),
    *((SEEN, _REGEX, ask(at), "allow") for at in ("/v1", "/v1?x=2")),
    *((SEEN, _REGEX, ask(at), "deny") for at in ("/v1/x", "/x/v1")),
    (SEEN, web(may(regex="/q[?]x=1")), ask("/q?x=1"), "deny"),
    (SEEN, web(may(regex="/a|/ab")), ask("/ab"), "allow"),
    (SEEN, web(may(regex="(?i)/A")), ask("/a"), "allow"),
    (SEEN, web(may(regex=".*/end")), ask("/an/end"), "allow"),
    (SEEN, web(may(regex=".*")), ask("*", method="OPTIONS"), "deny"),
    (SEEN, web(may(regex=".*")), ask("/", method="CONNECT"), "deny"),
)
_HEADERS: _Rows = (
    (SEEN, _GET, ask(), "allow"),
    *((SEEN, _GET, ask(method=one), "deny") for one in ("HEAD", "POST", "OPTIONS", "PURGE", "get")),
    (SEEN, web(may(Methods=["get"])), ask(), "allow"),
    # Of several lines each is compared alone; a value with a comma is one value.
    (SEEN, _role(Exact="guest"), _with("guest", "admin"), "allow"),
    (SEEN, _role(Exact="guest"), _with("admin", "guest"), "allow"),
    (SEEN, _role(Exact="guest"), _with("guest,admin"), "deny"),
    (SEEN, _role(Exact="guest,admin"), _with("guest", "admin"), "deny"),
    (SEEN, _role(Exact="guest,admin"), _with("guest,admin"), "allow"),
    (SEEN, _role(Exact="guest"), _with("Guest"), "deny"),
    (SEEN, _role(Exact="guest"), ask(headers=(("x-ROLE", "guest"),)), "allow"),
    (SEEN, _role(Exact="guest"), ask(), "deny"),
    # A regex is about the whole of one value; an absent header has none, and an empty one has.
    (SEEN, _role(Regex="gu.*"), _with("guest"), "allow"),
    (SEEN, _role(Regex="gu"), _with("guest"), "deny"),
    (SEEN, _role(Regex=".*"), ask(), "deny"),
    (SEEN, _role(Regex=".*"), _with(""), "allow"),
    (SEEN, _role(Present=True), _with(""), "allow"),
    (SEEN, _role(Present=True), ask(), "deny"),
    (INTENTIONS, _role(Prefix="gu"), _with("guest"), "allow"),
    (INTENTIONS, _role(Suffix="st"), _with("guest"), "allow"),
    (INTENTIONS, _role(Contains="ues"), _with("guest"), "allow"),
    (INTENTIONS, _role(Contains="ues"), _with("GUEST"), "deny"),
    (INTENTIONS, _role(Exact="Guest", IgnoreCase=True), _with("gUEST"), "allow"),
    # Inverted, one value that matches refuses, and an absent header passes only where its presence was asked for.
    (SEEN, _NOT_ADMIN, _with("admin"), "deny"),
    (SEEN, _NOT_ADMIN, _with("guest"), "allow"),
    (SEEN, _NOT_ADMIN, _with("guest", "admin"), "deny"),
    (SEEN, _NOT_ADMIN, ask(), "deny"),
    (SEEN, _ABSENT, ask(), "allow"),
    (SEEN, _ABSENT, _with("x"), "deny"),
    # Two conditions on one header may be met by two of its lines; pseudo headers are taken, with the query in the path.
    (SEEN, _TWICE, _with("gux", "ast"), "allow"),
    (SEEN, _TWICE, _with("gux"), "deny"),
    (SEEN, _PSEUDO, ask("/a?x"), "allow"),
    (SEEN, _PSEUDO, ask("/b?/a"), "deny"),
)
_FIRST_ALLOWS = web(may(prefix="/api"), refuse(prefix="/api/x"))
_FIRST_DENIES = web(refuse(prefix="/api/x"), may(prefix="/api"))
_A_AND_ALL = (*HTTP, intentions("web", source("a", may(exact="/x")), allow("*")))
_B_BARRED = (*HTTP, intentions("web", source("a", may(exact="/x")), deny("b"), allow("*")))
_WILD_PATHS = (*HTTP, intentions("web", source("*", may(exact="/x")), deny("b")))
_LEAKS = (*HTTP, intentions("web", allow("b"), deny()), intentions("*", allow("a")))
_A_BARRED = (*HTTP, intentions("web", allow("b"), deny("a"), deny()), intentions("*", allow("a")))
_A_ON_X = (*HTTP, intentions("web", allow("b"), source("a", may(exact="/x")), deny()), intentions("*", allow("a")))
_NO_LEAK = (*HTTP, intentions("web", allow("b"), deny()), intentions("*", allow("*")))
_DENIES: _Rows = (
    # The first permission that matches counts, and what none matches is denied, whatever the next source says.
    (SEEN, _FIRST_ALLOWS, ask("/api/x"), "allow"),
    (SEEN, _FIRST_DENIES, ask("/api/x"), "deny"),
    (SEEN, _FIRST_DENIES, ask("/api/y"), "allow"),
    (SEEN, web(refuse(exact="/x")), ask("/y"), "deny"),
    (SEEN, _A_AND_ALL, ask("/x"), "allow"),
    (SEEN, _A_AND_ALL, ask("/y"), "deny"),
    (SEEN, _A_AND_ALL, ask("/y", B), "allow"),
    (SEEN, _B_BARRED, ask("/x", B), "deny"),
    (SEEN, _B_BARRED, ask("/y", OTHER), "allow"),
    (SEEN, _WILD_PATHS, ask("/x"), "allow"),
    (SEEN, _WILD_PATHS, ask("/y"), "deny"),
    (SEEN, _WILD_PATHS, ask("/x", B), "deny"),
    (SEEN, HTTP, ask(), "deny"),
    # An exact source before every destination passes the `*` of one, but not its own name there.
    (SEEN, _LEAKS, ask(), "allow"),
    (SEEN, _LEAKS, ask(src=B), "allow"),
    (SEEN, _LEAKS, ask(src=OTHER), "deny"),
    (SEEN, _A_BARRED, ask(), "deny"),
    (SEEN, _A_ON_X, ask("/x"), "allow"),
    (SEEN, _A_ON_X, ask("/y"), "deny"),
    (SEEN, _NO_LEAK, ask(), "deny"),
    (SEEN, _NO_LEAK, ask(src=B), "allow"),
    (f"{DOCS}secure-mesh/intention", (*HTTP, intentions("*", allow("*"))), ask(), "allow"),
    (f"{DOCS}secure-mesh/intention", (*HTTP, intentions("web", deny("a")), intentions("*", allow("a"))), ask(), "deny"),
)
_OPEN = web(may(prefix="/api"))
_HALF = (*HTTP, intentions("web", source("a", may(prefix="/api")), deny()))
_SKELETON = (*_OPEN, intentions("*", deny()))
_GUARDED = (*HTTP, intentions("web", source("a", may(prefix="/api"), refuse(regex=".*")), deny()))
_BY_SLASH = (*HTTP, intentions("web", source("a", may(prefix="/api"), refuse(prefix="/")), deny()))
_FINE = may(exact="/api", Methods=["GET"], Header=[_ROLE])
_FINELY = (*HTTP, intentions("web", source("a", _FINE, refuse(regex=".*")), deny()))
_ALLOWS: _Rows = (
    # Where the default is to allow, permissions that only allow leave their source without any denial.
    (SEEN, HTTP, ask(), "allow"),
    (SEEN, (*HTTP, intentions("*", deny())), ask(), "deny"),
    *(
        (SEEN, _OPEN, ask(at, src), "allow")
        for at, src in (("/api", "shop/a"), ("/x", "shop/a"), ("/x", B), ("/x", OTHER))
    ),
    (SEEN, _HALF, ask("/x"), "allow"),
    (SEEN, _HALF, ask("/api", B), "deny"),
    (SEEN, _SKELETON, ask("/x"), "allow"),
    (SEEN, _SKELETON, ask("/api", B), "deny"),
    (SEEN, _LEAKS, ask(), "deny"),
    (SEEN, _LEAKS, ask(src=B), "allow"),
)
_EITHER: _Rows = (
    *((SEEN, some, ask("/api/1"), "allow") for some in (_GUARDED, _BY_SLASH)),
    *((SEEN, some, ask("/x"), "deny") for some in (_GUARDED, _BY_SLASH)),
    *((SEEN, some, ask("/api/1", B), "deny") for some in (_GUARDED, _BY_SLASH)),
    (SEEN, _FINELY, ask("/api", headers=lines("guest")), "allow"),
    (SEEN, _FINELY, ask("/api", headers=lines("guest"), method="PUT"), "deny"),
    (SEEN, _FINELY, ask("/api"), "deny"),
    # Callers without a certificate of the mesh, other protocols, and names with a dot.
    (SEEN, (*HTTP, intentions("web", allow("*"))), ask(src=OUTSIDE), "deny"),
    (SEEN, (*HTTP, intentions("web", allow("*"))), ask(src=Source(spiffe="spiffe://other/ns/shop/sa/a")), "deny"),
    (f"{DOCS}secure-mesh/intention", (intentions("tcpsvc", allow("a"), deny()),), send(), "allow"),
    (f"{DOCS}secure-mesh/intention", (intentions("tcpsvc", allow("a"), deny()),), send(B), "deny"),
    (SEEN, (intentions("tcpsvc", allow("a"), deny()),), ask(dst=TCP), "allow"),
    (SEEN, (*HTTP, intentions("web", allow("a"))), send(dst=ask().dst), "deny"),
    (SEEN, (*HTTP, intentions("web", allow("web.v1"), deny())), ask(src="shop/web-v1"), "allow"),
    (SEEN, (*HTTP, intentions("web", allow("web.v1"), deny())), ask(src="shop/web"), "deny"),
    (SEEN, (*HTTP, intentions("web", allow("A"), deny())), ask(), "deny"),
)


def _rows(rows: _Rows, default: Default) -> tuple[Row, ...]:
    return tuple(Row(one, tuple(objects), request, verdict, default) for one, objects, request, verdict in rows)


ROWS = (
    *_rows((*_PATHS, *_HEADERS, *_DENIES), "deny"),
    *_rows(_ALLOWS, "allow"),
    *_rows((*_EITHER, *ON_ROUTES, *TO_SERVICES), "any"),
)
JUDGED = tuple(
    JudgedRequest(row.objects, row.request, row.verdict, row.source, WORLD)
    for row in ROWS
    if row.default == "any" or row.verdict == "allow"
)
"""What the conformance kit can ask: it knows of no default, and `evaluate` takes what one of the two lets pass as let in."""
