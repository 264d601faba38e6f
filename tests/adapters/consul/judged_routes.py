"""The part of the table (tests/adapters/consul/judged.py) that is about where calls go: routers, splitters, resolvers.

Behind `web-v1` everybody gets in, and behind `web-v2` nobody: so a verdict tells where a call went, `mixed` that it was shared out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hub.api import Request
from tests.adapters.consul.native import (
    HTTP,
    OUTSIDE,
    RESOLVER,
    ROUTER,
    SEEN,
    SPLITTER,
    call,
    defaults,
    deny,
    everyone,
    header,
    intentions,
    lines,
    resolver,
    route,
    router,
    split,
    to,
)

_Rows = Sequence[tuple[str, Sequence[Any], Request, str]]
_V1, _V2 = to(100, "web-v1"), to(100, "web-v2")
_BARRED = (*HTTP, *everyone("web-v1"), intentions("web-v2", deny()), intentions("web", deny()))
_ROOT_OPEN = (*HTTP, *everyone("web"), intentions("web-v2", deny()), intentions("web-v1", deny()))
_ALL_SUBSET = resolver("web-v2", Subsets={"all": {}})


def _led(*routes: Any) -> tuple[Any, ...]:
    """What no route matches goes to `web`, where nobody gets in."""
    return *_BARRED, router("web", *routes)


_TO_V1 = _led(route("web-v1", regex="/api/.*"))
_IN_ORDER = _led(route("web-v2", prefix="/api/x"), route("web-v1", prefix="/api"))
_CANARY = header("x-role", Exact="1")
_BY_HEADER = _led(route("web-v1", Header=[_CANARY]))
_INVERTED = _led(route("web-v1", Header=[header("x-role", Exact="1", Invert=True)]))
_BY_METHOD = _led(route("web-v1", Methods=["get", "POST"]))
_BY_QUERY = _led(route("web-v1", QueryParam=[{"Name": "beta", "Exact": "1"}]))
_COMPOSED = (*_led(route("web-beta", Header=[_CANARY])), split("web-beta", _V1), split("web", _V2))

ON_ROUTES: _Rows = (
    # The path is the one that was sent, without its query; a regex is about all of it.
    (SEEN, _TO_V1, call(at="/api/x"), "allow"),
    (SEEN, _TO_V1, call(at="/api/x?y=1"), "allow"),
    (SEEN, _TO_V1, call(at="/z/../api/x"), "deny"),
    (SEEN, _TO_V1, call(at="/%61pi/x"), "deny"),
    (SEEN, _TO_V1, call(at="/x/api/"), "deny"),
    # The first route that matches leads, and what none matches goes to the service itself.
    (SEEN, _IN_ORDER, call(at="/api/x"), "deny"),
    (SEEN, _IN_ORDER, call(at="/api/y"), "allow"),
    (ROUTER, _led(route("web-v1", exact="/a")), call(at="/a"), "allow"),
    (ROUTER, _led(route("web-v1", exact="/a")), call(at="/a/"), "deny"),
    (SEEN, _led(route("web-v1")), call(at="/any"), "allow"),
    (SEEN, (*_ROOT_OPEN, router("web", route(exact="/a"), route("web-v1"))), call(at="/a"), "allow"),
    (SEEN, (*_ROOT_OPEN, router("web")), call(), "allow"),
    # Headers: one of several lines is enough; inverted, one that matches refuses.
    (SEEN, _BY_HEADER, call(headers=lines("1", "2")), "allow"),
    (SEEN, _BY_HEADER, call(headers=lines("1,2")), "deny"),
    (SEEN, _BY_HEADER, call(), "deny"),
    (SEEN, _INVERTED, call(headers=lines("1", "2")), "deny"),
    (SEEN, _led(route("web-v1", Header=[header("x-role", Regex="[0-9]")])), call(headers=lines("12")), "deny"),
    (ROUTER, _led(route("web-v1", Header=[header("x-role", Present=True)])), call(headers=lines("")), "allow"),
    (ROUTER, _BY_METHOD, call(method="POST"), "allow"),
    (ROUTER, _BY_METHOD, call(method="PUT"), "deny"),
    (SEEN, _BY_QUERY, call(at="/x?beta=1"), "allow"),
    (SEEN, _BY_QUERY, call(at="/x?beta=12"), "deny"),
    # A route to a virtual service leads to its splitter; the router of a service behind it does not count.
    (SEEN, _COMPOSED, call(headers=lines("1")), "allow"),
    (SEEN, _COMPOSED, call(), "deny"),
    (SEEN, (*_led(route("web-v1")), router("web-v1", route("web-v2"))), call(), "allow"),
)
_FIRST = (*_BARRED, split("web", to(80, "web-v1"), to(20, "web-v2")))
_FOLLOWED = (*_BARRED, split("web", to(50, "web-v1"), to(50, "web-v2")), split("web-v2", _V1))
_STOPPED = (
    *_BARRED,
    split("web", to(50, "web-v1"), to(50, "web-v2", ServiceSubset="all")),
    split("web-v2", _V1),
    _ALL_SUBSET,
)
_MISSING = (*_BARRED, defaults("nosvc"), split("web", to(50, "web-v1"), to(50, "nosvc")))
_NOBODY = (*_BARRED, split("web", to(100, "web-beta")))
_SELF = (*_ROOT_OPEN, split("web", to(50), to(50, "web-v2")))
_AWAY = (*HTTP, *everyone("web", "web-v2"), intentions("web-v1", deny()), split("web", to(50), to(50, "web-v2")))
_REDIRECT = {"Redirect": {"Service": "shop_web-v1"}}

TO_SERVICES: _Rows = (
    (SEEN, _FIRST, call(), "mixed"),
    (SEEN, (*_BARRED, split("web", _V1)), call(), "allow"),
    (SEEN, (*_BARRED, split("web", _V2)), call(), "deny"),
    (SEEN, (*_BARRED, split("web", to(0, "web-v2"), _V1)), call(), "allow"),
    (SEEN, (*_BARRED, split("web", to(0.001, "web-v2"), to(99.999, "web-v1"))), call(), "allow"),
    (SEEN, _SELF, call(), "mixed"),
    (SEEN, _FOLLOWED, call(), "allow"),
    (SEEN, _STOPPED, call(), "mixed"),
    (SEEN, _MISSING, call(), "mixed"),
    (SEEN, _NOBODY, call(), "deny"),
    (SEEN, _AWAY, call(), "allow"),
    (SEEN, (*_AWAY, resolver("web", **_REDIRECT)), call(), "mixed"),
    (RESOLVER, (*_BARRED, resolver("web", **_REDIRECT)), call(), "allow"),
    (SEEN, (*_BARRED, router("web-v1", route("web-v2")), split("web", _V1)), call(), "allow"),
    (SEEN, (*_BARRED, split("web-beta", _V1)), call("web-beta"), "allow"),
    # Intentions are those of the backend: of the service that is called they do not count.
    (SEEN, (*_ROOT_OPEN, split("web", _V1)), call(), "deny"),
    (SEEN, _BARRED, call(), "deny"),
    (SEEN, _BARRED, call("web-v1"), "allow"),
    (SEEN, _BARRED, call("web-v1", src=OUTSIDE), "deny"),
    (SEEN, (*_BARRED, split("web", _V1)), call(src=OUTSIDE), "deny"),
    (SPLITTER, _BARRED, call("none"), "deny"),
    (SEEN, (*everyone("tcpsvc"),), call("tcpsvc", protocol="tcp"), "allow"),
    (SEEN, _FIRST, call(protocol="tcp"), "deny"),
)
