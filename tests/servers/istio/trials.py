"""The worlds that are tried, each about one thing."""

from __future__ import annotations

from hub.model import Request
from tests.servers.istio.worlds import _SHOP as SHOP
from tests.servers.istio.worlds import plain
from tests.servers.worlds import World, bytes_to, call, calls, group, ports, split, target

CALLERS = ("web-1", "partner-1")
TAILS = ("", "/", "?x=1", "?x=/v1/a", "x", "/..", "/../v1/a", "%2f", ";a=1", "#f", "%20", "~", "%7e", "//", "/./")


def _around(*paths: str) -> tuple[str, ...]:
    """Paths and what stands close to them."""
    return (*(f"{path}{tail}" for path in paths for tail in TAILS), *(f"/{path}" for path in paths), "/", "/admin")


_GOLD = ("x-tier", "gold1")
BOOKSHOP = World(
    "bookshop",
    tuple(SHOP),
    (
        *calls(CALLERS, "api", 80, ("/v1/books", "/v1/books/7", "/v1/books/x", "/v1/stream/", "/"), ("GET", "POST")),
        *calls(CALLERS, "api", 80, ("/v1/orders",), ("POST", "GET"), ((), (("x-tier", "gold7"),), (("x-tier", "g"),))),
        *calls(("web-1", "orders-1"), "catalog", 80, ("/catalog/", "/catalog/x", "/catalog"), ("GET", "POST")),
        *calls(
            ("web-1", "orders-1"),
            "catalog",
            80,
            ("/catalog/ab/reserve",),
            ("POST",),
            ((("x-request-source", "orders"),), ()),
        ),
        *calls(("web-1", "catalog-1"), "orders", 80, ("/orders", "/orders/7", "/ordersx"), ("GET", "DELETE")),
        *calls(CALLERS, "api-admin", 9090, ("/v1/books",)),
        *(
            bytes_to(pod, "ledger", 5432)
            for pod in ("orders-1", "api-v1-1", "api-v2-1", "web-1", "partner-1", "catalog-1")
        ),
        plain("api-v1-1", 8080, "/v1/books"),
        plain("ledger-1", 5432, protocol="tcp"),
        call("web-1", "api", 80, "/v1/books", headers=(("x-beta", "yes"),)),
    ),
    (
        call("web-1", "api", 80, "/v1/orders", "POST", (_GOLD,)),
        call("web-1", "api", 80, "/v1/orders", "POST", (_GOLD, ("x-beta", "yes"))),
    ),
)

PATHS = World(
    "paths",
    (
        group("exact", {"pathRegex": "/v1/a|/v1/b"}),
        group("prefix", {"pathRegex": "/v2/.*"}),
        group("suffix", {"pathRegex": r".*\.json"}),
        group("pair", {"pathRegex": r"/v3/.*\.xml"}),
        group("template", {"pathRegex": "/u/[^/]+/orders"}),
        target("api-1", "api", ["web"], "http:exact", "http:prefix", "http:pair"),
        target("api-2", "api", ["partner"], "http:suffix", "http:template"),
    ),
    (
        *calls(CALLERS, "api", 80, _around("/v1/a", "/v2/x", "/q.json", "/v3/q.xml", "/u/7/orders")),
        *calls(
            CALLERS, "api", 80, ("/v3/.xml", "/v3.xml", "/u//orders", "/u/a%2fb/orders", "/u/a b/orders", "/v2", "/v2/")
        ),
    ),
)

EXCEPTED = World(
    "excepted",
    (
        group("but", {"pathRegex": "/p/(?:[^a].*|a.+)?"}),
        group("never", {"pathRegex": "/q/[a-z]*"}),
        target("api-1", "api", ["web"], "http:but", "http:never"),
    ),
    tuple(calls(("web-1",), "api", 80, _around("/p/", "/p/a", "/p/b", "/q/", "/q/a"))),
)

METHODS = World(
    "methods",
    (
        group("read", {"pathRegex": "/r", "methods": ["GET", "HEAD"]}, {"methods": ["DELETE"]}),
        group("any", {"pathRegex": "/any", "methods": ["*"]}),
        target("api-1", "api", ["web"], "http:read", "http:any"),
    ),
    tuple(
        calls(
            ("web-1",),
            "api",
            80,
            ("/r", "/any", "/z"),
            ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "PURGE", "get"),
        )
    ),
)

_TIER = "x-tier"
HEADERS = World(
    "headers",
    (
        group("tier", {"pathRegex": "/t", "headers": {_TIER: "gold.*", "x-two": "a|b"}}),
        group("any", {"pathRegex": "/any", "headers": {_TIER: ".*"}}),
        group("empty", {"pathRegex": "/empty", "headers": {_TIER: ""}}),
        group("end", {"pathRegex": "/end", "headers": {_TIER: ".*gold"}}),
        group("agent", {"pathRegex": "/agent", "headers": {"user-agent": "curl.*", "accept": "text"}}),
        target("api-1", "api", ["web"], "http:tier", "http:any", "http:empty", "http:end", "http:agent"),
    ),
    (
        *calls(
            ("web-1",),
            "api",
            80,
            ("/t", "/any", "/empty", "/end"),
            headers=[
                ((_TIER, value), *more)
                for value in ("gold", "gold7", "guest,gold", "gold,guest", "Gold", "", "guest")
                for more in ((), (("x-two", "a"),), (("x-two", "z"), ("x-two", "b")), ((_TIER, "gold"), ("X-Two", "b")))
            ],
        ),
        *calls(("web-1",), "api", 80, ("/t", "/any", "/empty"), headers=[(), (("x-two", "a"),)]),
        *calls(
            ("web-1",),
            "api",
            80,
            ("/agent",),
            headers=[
                (("user-agent", agent), *more)
                for agent in ("curl/8", "x", "x,curl")
                for more in (
                    (("accept", "text"),),
                    (("accept", "text"), ("accept", "x")),
                    (("user-agent", "curl"), ("accept", "text")),
                )
            ],
        ),
    ),
)

PORTS = World(
    "ports",
    (
        group("all", {"pathRegex": "/.*"}),
        ports("eight", 8080),
        ports("raw", 5432),
        target("http-8080", "api", ["web"], "http:all", "tcp:eight"),
        target("raw-5432", "api", ["web"], "tcp:raw"),
        target("http-any", "api", ["partner"], "http:all"),
    ),
    (
        *calls((*CALLERS, "orders-1"), "mix", 8080),
        *calls((*CALLERS, "orders-1"), "mix", 9090),
        *calls((*CALLERS, "orders-1"), "mix", 5432),
        *(bytes_to(pod, "mix", port) for pod in (*CALLERS, "orders-1") for port in (5432, 8080)),
        *(bytes_to(pod, "ledger", 5432) for pod in CALLERS),
        plain("api-v1-1", 8080),
        plain("api-v1-1", 5432, protocol="tcp"),
        plain("orders-1", 8080),
    ),
)


def _everywhere() -> tuple[Request, ...]:
    pods = ("web-1", "partner-1", "orders-1", "api-v1-1")
    services = (("api", 80), ("orders", 80), ("catalog", 80), ("web", 80), ("api-admin", 9090))
    http = [call(pod, name, port, "/v1/books") for pod in pods for name, port in services]
    return (
        *http,
        *(bytes_to(pod, "ledger", 5432) for pod in pods),
        plain("web-1", 8080),
        plain("ledger-1", 5432, protocol="tcp"),
    )


NOTHING = World("nothing", (), _everywhere())
LAST = World(
    "last",
    (group("all", {"pathRegex": "/.*"}), target("last", "orders", ["web"], "http:all")),
    _everywhere(),
)

_OPEN = (
    group("all", {"pathRegex": "/.*"}),
    ports("raw", 5432),
    target("api", "api", ["web"], "http:all"),
    target("orders", "orders", ["web"], "http:all"),
    target("raw-1", "ledger", ["web"], "tcp:raw"),
    target("raw-2", "orders", ["web"], "tcp:raw"),
)

WEIGHTS = World(
    "weights",
    (
        *_OPEN,
        split("api", "api", {"api-v1": 1, "api-v2": 3}),
        split("orders", "orders", {"orders-main": 7, "catalog-main": 2, "gone": 1}),
        split("db", "db", {"db-1": 2, "db-2": 3}),
    ),
    (
        *calls(CALLERS, "api", 80, ("/a",)),
        call("web-1", "orders", 80, "/a"),
        bytes_to("web-1", "db", 5432),
        bytes_to("partner-1", "db", 5432),
        bytes_to("web-1", "db-1", 5432),
    ),
    (call("web-1", "api", 80, "/a"), call("web-1", "orders", 80, "/a"), bytes_to("web-1", "db", 5432)),
)

CONDITIONS = World(
    "conditions",
    (
        *_OPEN,
        group("beta", {"headers": {"x-beta": "yes|y"}}, {"pathRegex": "/new(/.*)?", "methods": ["GET"]}),
        group("never", {"headers": {"x-no": "a", "x-beta": "yes"}}),
        split("first", "api", {"api-v2": 1}, "beta"),
        split("second", "api", {"api-v1": 1}, "never"),
        split("rest", "api", {"api-v1": 1}),
        split("only", "orders", {"catalog-main": 1}, "beta"),
    ),
    (
        *calls(
            ("web-1",),
            "api",
            80,
            ("/", "/new", "/new/x", "/newx", "/new?a=1", "/x/../new"),
            ("GET", "POST"),
            ((), (("x-beta", "yes"),), (("x-beta", "no"), ("x-beta", "y")), (("x-beta", "yesx"),)),
        ),
        *calls(("web-1",), "orders", 80, ("/", "/new", "/x"), headers=((), (("X-Beta", "y"),))),
    ),
    (call("web-1", "api", 80, "/new"),),
)

UNAVAILABLE = World(
    "unavailable",
    (
        *_OPEN,
        group("beta", {"headers": {"x-beta": "yes"}}),
        split("api", "api", {"api-v1": 0, "api-v2": 0}),
        split("orders", "orders", {"nowhere": 1}, "beta"),
        split("db", "db", {"db-1": 0}),
    ),
    (
        *calls(CALLERS, "api", 80, ("/", "/a")),
        *calls(CALLERS, "api-v1", 80, ("/a",)),
        *calls(("web-1",), "orders", 80, ("/a",), headers=((), (("x-beta", "yes"),))),
        bytes_to("web-1", "db", 5432),
        bytes_to("web-1", "db-1", 5432),
    ),
)

STRANGERS = (
    call("partner-1", "orders", 80, "/a"),
    call("partner-1", "catalog", 80, "/a"),
    plain("orders-1", 8080, "/a"),
    bytes_to("partner-1", "ledger", 5432),
)
"""Calls that neither `last`, `nothing`, nor `weights` allows."""

WORLDS = (BOOKSHOP, PATHS, EXCEPTED, METHODS, HEADERS, PORTS, LAST, NOTHING, WEIGHTS, CONDITIONS, UNAVAILABLE)
