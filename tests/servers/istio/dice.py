"""Random worlds over the standing Pods, and calls that stand close to their boundaries."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any

from hub.model import Request
from hub.testing.patterns import any_header, any_path, near
from tests.servers.istio.worlds import (
    Lines,
    World,
    bytes_to,
    call,
    certified,
    group,
    plain,
    ports,
    spiffe,
    split,
    target,
)

_ACCOUNTS = ("api", "api", "orders", "ledger", "catalog")
_SOURCES = ("web", "partner", "orders", "api", "nobody")
_CALLERS = {"web": "web-1", "partner": "partner-1", "orders": "orders-1", "api": "api-v1-1", "nobody": "web-1"}
_PLACES = (
    *[("api", 80)] * 4, ("api-v1", 80), ("api-v2", 80), ("orders", 80), ("orders-main", 80), ("catalog", 80),
    ("catalog-main", 80), ("gone", 80), ("mix", 8080), ("mix", 9090), ("mix", 5432), ("api-admin", 9090),
    ("ledger", 5432), ("db", 5432), ("db-1", 5432), ("db-2", 5432), ("web", 80),
)  # fmt: skip
_OF_ACCOUNT = {
    "api": ("api", "api", "api-v1", "api-v2", "mix", "api-admin"),
    "orders": ("orders", "orders", "orders-main", "db-2"),
    "catalog": ("catalog", "catalog-main"),
    "ledger": ("ledger", "db", "db-1"),
}
_STANDS = {"api": "api-v2-1", "orders": "orders-1", "catalog": "catalog-1", "ledger": "ledger-1"}
_METHODS = ("GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE")
_SENT = (*_METHODS, "get", "PURGE", "PROPFIND", "FOO", "MSEARCH", "QUERY")
_PATHS: Sequence[tuple[str, tuple[str, ...]]] = (
    (r"/v1/.*\.json", ("/v1/a.json", "/v1/.json", "/v1/x/y.json", "/v1.json")),
    (r".*\.json", ("/a.json", "/x/a.json", "a.json")),
    ("/u/[^/]+/x", ("/u/7/x", "/u/a:b/x", "/u/%20/x", '/u/"/x', "/u/[a]/x", "/u/{*}/x", "/u/a|b/x")),
    ("/u/[^/]*", ("/u/", "/u/7", "/u/7/")),
    ("/a/[^/]+/.*", ("/a/b/", "/a/b/c", "/a//c", "/a/b")),
    ("/p/([^a].*|a.+)?", ("/p/", "/p/a", "/p/ab", "/p/b")),
    (r"/files/\*", ("/files/*", "/files/a")),
    (r"\*", ("*", "/")),
    (r"/s\{\*\}", ("/s{*}", "/s%7B*%7D", "/sx")),
    ("/a b|/a%20b", ("/a%20b", "/a b")),
    ("/[a-z]{1,2}", ("/a", "/ab", "/abc", "/A")),
    ("(/x)+/?", ("/x", "/x/x", "/x/")),
    ("/.+", ("/", "/a")),
    ("/(?:a|b/.*|.*z)", ("/a", "/b/", "/b/c", "/z", "/b/z", "/az")),
    ("/q/[^.]*", ("/q/", "/q/a", "/q/a.b", "/q/..")),
    (r"/.*\.\..*", ("/a..b", "/..", "/a/../b")),
    ("/.*;.*", ("/a;b", "/;", "/a/..;/b")),
    ("/.*%2[fF].*", ("/a%2fb", "/a%2Fb", "/%2f")),
)
_HEADERS: Sequence[tuple[str, tuple[str, ...]]] = (
    (".*a", ("a", "xa", "a,b", "b,a")),
    ("a.*", ("a", "ax", "a,b", "b,a")),
    ("[^,]*", ("a", "a,b", "")),
    ("a|b|c.*", ("a", "b", "c", "cd", "a,b", "d")),
    (r"\*/\*", ("*/*", "text/*", "text/html")),
    (".+", ("", "a")),
    ("(a.*)?", ("", "a", "ab", "b")),
    ("a.*b", ("ab", "axb", "a,b", "a")),
    (r"text/.*", ("text/html", "text/", "a, text/html")),
)
_NAMES = (
    *["x-tier"] * 6, "X-Region", "user-agent", "accept", "cookie", "referer", "via", "origin", "authorization",
    "content-type", "x-forwarded-host", "range", "date", "from", "forwarded", "if-match", "cache-control", "x_y", "host",
    "x-forwarded-for", "grpc-timeout", "x-client-trace-id", "accept-language", "te", "traceparent", "x-request-id",
)  # fmt: skip
_HOST = re.compile(r"[a-z0-9.-]+")
_Texts = tuple[tuple[str, ...], tuple[tuple[str, tuple[str, ...]], ...], tuple[str, ...]]
"""Of a match: paths that it (nearly) matches, lines for its headers, its methods."""


def random_world(rng: Random, count: int) -> World:
    """A world, and this many calls of it."""
    values: list[dict[str, Any]] = [ports("raw", rng.choice((5432, 8080))), ports("all")]
    texts: list[_Texts] = []
    for name in ("g1", "g2", "g3"):
        matches = [_match(rng) for _ in range(rng.choice((1, 1, 2)))]
        values.append(group(name, *(match for match, _ in matches)))
        texts += [each for _, each in matches]
    targets = [_target(rng, f"t{index}") for index in range(rng.randrange(2, 6))]
    meant = [each for one in targets for each in _meant(one)]
    values += [*targets, *_splits(rng)]
    return World("random", tuple(values), tuple(_request(rng, texts, meant) for _ in range(count)))


def _meant(granted: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, int]]]:
    """Who may call what by a TrafficTarget: Pods and Service ports."""
    account = granted["spec"]["destination"]["name"]
    for source in granted["spec"]["sources"]:
        for place in _PLACES:
            if place[0] in _OF_ACCOUNT[account]:
                yield _CALLERS[source["name"]], place


def _match(rng: Random) -> tuple[dict[str, Any], _Texts]:
    match: dict[str, Any] = {}
    paths: tuple[str, ...] = ("/", "/a", "/v1/a")
    lines: list[tuple[str, tuple[str, ...]]] = []
    methods: tuple[str, ...] = ("GET",)
    if rng.randrange(5):
        match["pathRegex"], paths = rng.choice(_PATHS) if rng.randrange(2) else any_path(rng)
    if rng.randrange(3) == 0 or not match:
        methods = tuple(rng.sample(_METHODS, rng.randrange(1, 4)))
        match["methods"] = list(methods)
    if rng.randrange(3) == 0:
        for name in rng.sample(sorted(set(_NAMES)), rng.choice((1, 1, 2))) if rng.randrange(2) else ["x-tier"]:
            pattern, values = rng.choice(_HEADERS) if rng.randrange(2) else any_header(rng)
            match.setdefault("headers", {})[name] = pattern
            lines.append((name, values))
    return match, (paths, tuple(lines), methods)


def _target(rng: Random, name: str) -> dict[str, Any]:
    rules = [f"http:{one}" for one in rng.sample(("g1", "g2", "g3"), rng.choice((0, 1, 1, 2)))]
    if not rules or rng.randrange(4) == 0:
        rules.append(f"tcp:{rng.choice(('raw', 'raw', 'all'))}")
    return target(name, rng.choice(_ACCOUNTS), rng.sample(_SOURCES, rng.randrange(1, 4)), *rules)


def _splits(rng: Random) -> Iterator[dict[str, Any]]:
    """Mostly what leaves a share for somebody who is granted something."""
    if rng.randrange(2):
        yield split("s1", "api", {"api-v1": rng.randrange(3), "api-v2": rng.randrange(3)})
    if rng.randrange(2):
        backends = rng.choice((("api-v2",), ("orders-main",), ("nowhere",), ("gone",)))
        yield split("s2", "api", dict.fromkeys(backends, 1), *rng.sample(("g1", "g2", "g3"), rng.choice((1, 1, 2))))
    if rng.randrange(3) == 0:
        yield split("s3", rng.choice(("db", "orders")), {"db-1": rng.randrange(2), "db-2": 1, "orders-main": 1})


def _request(rng: Random, texts: Sequence[_Texts], meant: Sequence[tuple[str, tuple[str, int]]]) -> Request:
    if rng.randrange(20) == 0:
        return plain(
            rng.choice(("api-v1-1", "orders-1")), rng.choice((8080, 5432)), "/api", rng.choice(("http", "tcp"))
        )
    pod, (callee, port) = rng.choice(list(_CALLERS.values())), rng.choice(_PLACES)
    if rng.randrange(4):
        pod, (callee, port) = rng.choice(meant)
    if port == 5432 and rng.randrange(2):
        return bytes_to(pod, callee, port)
    if rng.randrange(5) == 0:
        return _certified(rng, pod, callee, texts)
    return call(pod, callee, port, *_http(rng, texts))


def _certified(rng: Random, pod: str, callee: str, texts: Sequence[_Texts]) -> Request:
    """The same caller by its certificate alone, straight at a Pod that may stand behind the Service, on any port."""
    account = next(name for name, caller in _CALLERS.items() if caller == pod)
    receiver = next((pod for key, pod in _STANDS.items() if callee in _OF_ACCOUNT[key]), "web-1")
    port = rng.choice((8080, 8080, 9090, 5432, 7070))
    request = certified(spiffe(account), receiver, port, *_http(rng, texts))
    return request if rng.randrange(4) else Request(request.src, request.dst, port, "tcp")


def _http(rng: Random, texts: Sequence[_Texts]) -> tuple[str, str, Lines]:
    """Path, method and header lines."""
    paths, lines, methods = rng.choice(texts)
    path = near(rng, rng.choice(paths)) if rng.randrange(2) else rng.choice(paths)
    method = rng.choice(methods) if rng.randrange(5) else rng.choice(_SENT)
    return _sendable(path), method, _lines(rng, lines)


def _sendable(path: str) -> str:
    """A request target that HTTP/1.1 can carry as one line."""
    return re.sub(r"[\r\n\0 ]", "", path) or "/"


def _lines(rng: Random, lines: Sequence[tuple[str, tuple[str, ...]]]) -> Lines:
    found: list[tuple[str, str]] = []
    for name, values in lines:
        dice = rng.randrange(8)
        value = rng.choice(values)
        if dice == 0:
            continue
        if dice == 1:
            found.append((name, rng.choice(("guest", "", "a,b"))))
        found.append((name.upper() if dice == 2 else name, value + ("x" if dice == 3 else "")))
        if dice == 4:
            found.append((name, rng.choice(("guest", "", "b", value))))
    if rng.randrange(10) == 0:
        found.append((rng.choice(_NAMES), rng.choice(("a", "gold", "a,b"))))
    return tuple(line for line in found if line[0].lower() != "host" or _HOST.fullmatch(line[1]))
