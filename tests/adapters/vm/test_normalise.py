"""Path normalisation and codec rules: one table for our function and for the real Envoy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hub.envoy import (
    KEEP_UNCHANGED,
    METHODS,
    REJECT_REQUEST,
    UNESCAPE_AND_FORWARD,
    PathOptions,
    normalise,
    target,
)
from hub.model import raw_bytes
from tests.adapters.vm.native import ROUTER, STRICT, TYPES
from tests.servers.ports import held_port
from tests.servers.static_envoy import ask, standing

PLANS = {
    "raw": PathOptions(),
    "normal": PathOptions(normalize=True),
    "merge": PathOptions(merge=True),
    "keep": PathOptions(normalize=True, merge=True, slashes=KEEP_UNCHANGED),
    "strict": PathOptions(normalize=True, merge=True, slashes=REJECT_REQUEST),
    "forward": PathOptions(normalize=True, merge=True, slashes=UNESCAPE_AND_FORWARD),
}
STRICT_ROWS = {
    "/": "/",
    "/a/b.c": "/a/b.c",
    "/public/../admin": "/admin",
    "/public/%2e%2E/admin": "/admin",
    "/public/.%2E/admin": "/admin",
    "/public/..\\admin": "/admin",
    "http://h/public/../admin": "/admin",
    "http://h": "/",
    "HTTPS://h/x": "/x",
    "http:/x": None,
    "ftp://h/x": None,
    "/public/..%2fadmin": None,
    "/public/%5c..%5cadmin": None,
    "/public/x%2Fy": None,
    "//public//x": "/public/x",
    "/public/./x": "/public/x",
    "/a//../b": "/a/b",
    "/..//x": "/x",
    "//": "//",
    "///": "//",
    "/a//": "/a/",
    "/a/..": "/",
    "/a/.": "/a/",
    "/../../x": "/x",
    "/a/...": "/a/...",
    "/a/..b": "/a/..b",
    "/%61%2d%5F%7e": "/a-_~",
    "/public/..;/admin": "/admin",
    "/public/.;x=1/admin": "/public/admin",
    "/public/%2e%2e;/admin": "/public/..;/admin",
    "/a\\..;x/b": "/a/..;x/b",
    "/public/x;a=1": "/public/x;a=1",
    "/%23%20%0a%0d%252f%C0%AE%c3%a9": "/%23%20%0a%0d%252f%C0%AE%c3%a9",
    "/a%3Fb": "/a%3Fb",
    "/%00": None,
    "/?%00": "/?%00",
    "/a?x=/../b//c%2f": "/a?x=/../b//c%2f",
    "/a/..?x": "/?x",
    "/%zz%4": "/%zz%4",
    "/%%41": "/%A",
    "/%4%31": "/%2541",
    "/%%34%31": "/%2541",
    "/%%341": "/%2541",
    '/"<>^`{|}': "/%22%3C%3E%5E%60%7B%7C%7D",
    "/!$&'()*+,-:=@[]_~": "/!$&'()*+,-:=@[]_~",
    "/\\": "//",
    "/a#f": None,
    "/a?b#f": None,
    "/a b": None,
    "/a\tb": None,
    "/\x7f": None,
    "/é": None,
    "a": None,
    "*": None,
    "": None,
    "\\a": None,
}
OTHER_ROWS = {
    ("raw", "/a/../b"): "/a/../b",
    ("raw", "/a//%61\\%2f..;/%00"): "/a//%61\\%2f..;/%00",
    ("normal", "//a/./b//"): "//a/b//",
    ("normal", "/.//x"): "//x",
    ("merge", "//a/../b/"): "/a/../b/",
    ("keep", "/a/..%2fb"): "/a/..%2fb",
    ("keep", "/%5c%2e%2e%5cx"): "/%5c..%5cx",
    ("forward", "/a/..%2fb"): "/b",
    ("forward", "/a/%5c..%5cb"): "/a/b",
    ("forward", "/public%2fx?%2f"): "/public/x?%2f",
    ("forward", "/%2F"): "//",
}
ROWS = [("strict", *row) for row in STRICT_ROWS.items()] + [(*key, seen) for key, seen in OTHER_ROWS.items()]


@pytest.mark.parametrize(("plan", "path", "seen"), ROWS)
def test_path_is_read_as_envoy_reads_it(plan: str, path: str, seen: str | None) -> None:
    """Every row of the table, by our own function."""
    raw = target(raw_bytes(path))
    got = None if raw is None else normalise(raw, PLANS[plan])
    assert got == (None if seen is None else seen.encode())


def test_path_normalised_twice_is_the_same() -> None:
    """What Envoy forwards to a next Envoy with the same options is not rewritten again."""
    seen = [row.encode() for row in STRICT_ROWS.values() if row is not None]
    twice = [normalise(path, PLANS["strict"]) for path in seen if b"..;" not in path]
    assert twice == [path for path in seen if b"..;" not in path]


@pytest.mark.envoy
def test_path_table_holds_on_the_real_envoy(tmp_path: Path) -> None:
    """Every row of the same table, by a real Envoy that reports the path after its own reading."""
    with _echoing(tmp_path) as ports:
        got = [(plan, path, ask(ports[plan], f"GET {path}").headers.get("x-path", "")) for plan, path, _ in ROWS]
    assert got == [(plan, path, seen or "") for plan, path, seen in ROWS]


@pytest.mark.envoy
def test_method_table_holds_on_the_real_envoy(tmp_path: Path) -> None:
    """HTTP/1.1 takes exactly the methods that we list; CONNECT to a path is refused too."""
    tried = [*sorted(METHODS), "FOO", "get", "M-SEARCH", "QUERY", "PRI"]
    with _echoing(tmp_path) as ports:
        taken = {method for method in tried if ask(ports["strict"], f"{method} /").status == 200}
    assert taken == METHODS - {"CONNECT"}


@contextmanager
def _echoing(folder: Path) -> Iterator[dict[str, int]]:
    """An Envoy with one port per plan that answers 200 and tells the path in a header."""
    ports = {plan: held_port() for plan in PLANS}
    with standing(folder, listeners=[_listener(ports[plan], PLANS[plan]) for plan in PLANS]):
        yield ports


def _listener(port: int, options: PathOptions) -> dict[str, Any]:
    host = {
        "name": "v",
        "domains": ["*"],
        "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 200}}],
        "response_headers_to_add": [{"header": {"key": "x-path", "value": "%REQ(:PATH)%"}}],
    }
    manager = {
        "@type": f"{TYPES}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "x",
        "route_config": {"name": "r", "virtual_hosts": [host]},
        "http_filters": [ROUTER],
        **STRICT,
        "normalize_path": options.normalize,
        "merge_slashes": options.merge,
        "path_with_escaped_slashes_action": options.slashes,
    }
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    chain = {"filters": [{"name": "h", "typed_config": manager}]}
    return {"name": f"l{port}", "address": address, "filter_chains": [chain]}
