"""Random matches of an HTTPRouteGroup, and requests that stand close to what they match."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import Any

from hub.testing.patterns import any_header, any_path, near
from tests.servers.worlds import Lines

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
Texts = tuple[tuple[str, ...], tuple[tuple[str, tuple[str, ...]], ...], tuple[str, ...]]
"""Of a match: paths that it (nearly) matches, lines for its headers, its methods."""


def random_match(rng: Random) -> tuple[dict[str, Any], Texts]:
    """A match, and texts around it."""
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


def random_http(rng: Random, texts: Sequence[Texts]) -> tuple[str, str, Lines]:
    """Path, method and header lines."""
    paths, lines, methods = rng.choice(texts)
    path = near(rng, rng.choice(paths)) if rng.randrange(2) else rng.choice(paths)
    method = rng.choice(methods) if rng.randrange(5) else rng.choice(_SENT)
    return sendable(path), method, _lines(rng, lines)


def sendable(path: str) -> str:
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
