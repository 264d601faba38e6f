"""The tables of the evaluator's tests, put to a real Envoy: it must answer what the evaluator says.

Over both versions of HTTP: what one of them lets pass, the evaluator lets pass.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from adapters.vm import names, wire
from hub.api import INLINE_HEADERS, Destination, NativeObject, Request, raw_bytes
from tests.adapters.vm.native import (
    APP,
    LISTENER,
    OTHER,
    TLS,
    WEB,
    granting,
    header_is,
    http,
    judged,
    listener,
    manager,
    per_route,
    policy,
    rules,
    san,
    table,
    tls,
)
from tests.adapters.vm.test_evaluate_headers import HEADERS, VALUES
from tests.adapters.vm.test_evaluate_policies import LEVELS
from tests.adapters.vm.test_evaluate_tls import FOREIGN, GATES, PRINCIPALS, SOURCES
from tests.servers.apps import echo
from tests.servers.calls import from_context, http1, http2
from tests.servers.certificates import Authority, Leaf
from tests.servers.ports import held_port
from tests.servers.static_envoy import standing

pytestmark = pytest.mark.envoy
Json = Any


class Mesh:
    """Many inbound listeners in one real Envoy, each for its own set of objects, and the callers' certificates."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority()
        self.server = self.authority.issue(["spiffe://td/ns/d/sa/api"])
        foreign = Authority("foreign").issue([FOREIGN])
        self.callers = {
            "web": self._context(self.authority.issue([WEB])),
            "other": self._context(self.authority.issue([OTHER])),
            "foreign": self._context(foreign),
            "nobody": self._context(None),
        }

    def _context(self, leaf: Leaf | None) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if leaf is not None:
            path = self.folder / "leaf.pem"
            path.write_text(leaf.certificate + leaf.key)
            context.load_cert_chain(path)
        return context

    def resources(self, worlds: Sequence[Sequence[NativeObject]], ports: Sequence[int], app: int) -> Json:
        """Static resources: one listener per world, the application, the secrets."""
        chain = {"certificate_chain": {"inline_string": self.server.certificate}}
        identity = {**chain, "private_key": {"inline_string": self.server.key}}
        trust = {"trusted_ca": {"inline_string": self.authority.pem}}
        return {
            "listeners": [*map(self._listener, worlds, ports)],
            "clusters": [_cluster(APP, app)],
            "secrets": [
                {"name": names.SELF, "tls_certificate": identity},
                {"name": names.TRUST, "validation_context": trust},
            ],
        }

    def _listener(self, world: Sequence[NativeObject], port: int) -> Json:
        found = {one.ref.kind: wire.to_json(wire.parse(one.ref.kind, one.body)) for one in world}
        placed = {**found["Listener"], "name": f"l{port}", "address": _address(port)}
        hcm = placed["filter_chains"][0]["filters"][0]["typed_config"]
        del hcm["rds"]
        hcm["delayed_close_timeout"] = "0s"
        hcm["route_config"] = {**found["RouteConfiguration"], "validate_clusters": False}
        return json.loads(json.dumps(placed).replace(names.BUNDLE, json.dumps(self.authority.pem)[1:-1]))


def _address(port: int) -> Json:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _cluster(name: str, port: int) -> Json:
    load = {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(port)}}]}]}
    return {"name": name, "type": "STATIC", "load_assignment": load}


def complete(world: Sequence[NativeObject]) -> bool:
    """Whether a world has its routes: a missing RDS is no static configuration."""
    return any(one.ref.kind == "RouteConfiguration" for one in world)


def compare(mesh: Mesh, worlds: Sequence[list[NativeObject]], asks: Sequence[Sequence[tuple[str, Request]]]) -> None:
    """Judge and ask every (caller, request) of every world; the verdicts must be equal."""
    ports = [held_port() for _ in worlds]
    wanted, got = [], []
    with echo() as app, standing(mesh.folder, **mesh.resources(worlds, ports, app.port)):
        for index, (world, port) in enumerate(zip(worlds, ports, strict=True)):
            for caller, request in asks[index]:
                passed = 200 in _statuses(mesh, port, caller, request)
                got.append((index, caller, request, "allow" if passed else "deny"))
                wanted.append((index, caller, request, judged(world, request).verdict))
    assert got == wanted


def _statuses(mesh: Mesh, port: int, caller: str, request: Request) -> tuple[int, int]:
    """The answers over HTTP/1.1 and HTTP/2; the latter is known by its first bytes."""
    lines = [(name, raw_bytes(value)) for name, value in request.headers]
    path = raw_bytes(request.path)
    connect = from_context(port, mesh.callers[caller])
    first = http1(connect, path.decode("latin-1"), request.method, lines).status
    if not first and caller != "web":
        return 0, 0  # the handshake was refused
    lower = [(name.lower(), value) for name, value in lines if name.lower() != "host"]
    return first, http2(connect, path, request.method, lower).status


def test_levels_hold_on_the_real_envoy(tmp_path: Path) -> None:
    """Policies at every level and in every wrapper."""
    worlds = [row[0] for row in LEVELS if complete(row[0]) and not _answers_itself(row[0])]
    asks = [[("web", http()), ("other", http(src=OTHER))]] * len(worlds)
    compare(Mesh(tmp_path), worlds, asks)


def _answers_itself(world: Sequence[NativeObject]) -> bool:
    """Whether Envoy's own 200 would look like the application's."""
    return any('"direct_response"' in json.dumps(wire.to_json(wire.parse(one.ref.kind, one.body))) for one in world)


def test_headers_hold_on_the_real_envoy(tmp_path: Path) -> None:
    """Every kind of header matcher, alone and negated, against absent, repeated, joined, empty and padded values."""
    matchers = [header_is("x-tier", **row[0]) for row in HEADERS]
    worlds = [granting(one) for one in matchers] + [granting({"not_rule": one}) for one in matchers]
    requests = [http(headers=tuple(("x-tier", value) for value in each)) for each in (*VALUES, ("géo",), ("go\udcff",))]
    compare(Mesh(tmp_path), worlds, [[("web", one) for one in requests]] * len(worlds))


def test_gates_hold_on_the_real_envoy(tmp_path: Path) -> None:
    """Every validation context with every principal and every caller."""
    skipped = ("missing secret", "other certificate")  # a static configuration cannot lack a secret
    worlds, anyone = [], {"any": True}
    for name, (context, required, _) in GATES.items():
        for principal in PRINCIPALS.values() if name not in skipped else ():
            entry = per_route({"rules": rules({"p": policy([principal], anyone)})})
            worlds.append([listener(LISTENER, [manager()], tls(context, required)), table(entry)])
    asks = [(name, Request(source, Destination(identity="d/api"), 8080)) for name, source in SOURCES.items()]
    compare(Mesh(tmp_path), worlds, [asks] * len(worlds))


@pytest.mark.parametrize("pattern", ["g..o", "g.o", "géo", "g[^a]o", r"g\pL+o", "(?i)GÉO"])
def test_regex_bytes_hold_on_the_real_envoy(pattern: str, tmp_path: Path) -> None:
    """Regexes over values that are not ASCII."""
    world = granting(header_is("x-tier", string_match={"safe_regex": {"regex": pattern}}))
    asks = [("web", http(headers=(("x-tier", value),))) for value in ("geo", "géo", "gÉo", "GÉO")]
    compare(Mesh(tmp_path), [world], [asks])


def test_odd_requests_hold_on_the_real_envoy(tmp_path: Path) -> None:
    """Methods, framing, hop-by-hop headers and names that Envoy refuses or drops."""
    odd = [
        http(method="FOO"),
        http(method="TRACE"),
        http(method="PURGE"),
        http(method="get"),
        http("/v1/é"),
        http("/v1/\udcff?\udcff"),
        http("/v1/a b"),
        http("/v1/a\x7f"),
        http("/v1/a?\xe9"),
        http("/v1/a#x"),
        http(headers=(("x-tier", " 1"),)),
        http(headers=(("x_a", "1"),)),
        http(headers=(("x-a", "1\x01"),)),
        http(headers=(("content-length", "0"),)),
        http(headers=(("content-length", "0"), ("content-length", "0"))),
        http(headers=(("content-length", "z"),)),
        http(headers=(("transfer-encoding", "identity"),)),
        http(headers=(("te", "trailers"),)),
        http(headers=(("connection", "upgrade"), ("upgrade", "websocket"))),
        http(headers=(("upgrade", "websocket"),)),
        http(headers=(("x-tier", "1"), ("connection", "x-tier"))),
        http(headers=(("x-tier", "1"),)),
    ]
    crumbs = (("a", "b"), ("", "a"), ("a", ""), ("",))
    cookies = [("web", http(headers=tuple(("cookie", one) for one in lines))) for lines in crumbs]
    joined = [granting(header_is("cookie", string_match={"exact": text})) for text in ("a", "b", "a; b", "; a", "a; ")]
    two_bytes = granting({"url_path": {"path": {"safe_regex": {"regex": "/v1/.."}}}})
    worlds = [granting({"any": True}), granting(header_is("x-tier", present_match=True)), two_bytes, *joined]
    compare(Mesh(tmp_path), worlds, [[("web", one) for one in odd]] * 3 + [cookies] * len(joined))


def test_principal_holds_on_the_real_envoy_when_source_is_listed(tmp_path: Path) -> None:
    """The emitted shape: exact URI SANs of several sources."""
    entry = per_route({"rules": rules({"p": policy([*san(WEB), *san(OTHER)], {"any": True})})})
    world = [listener(LISTENER, [manager()], TLS), table(entry)]
    compare(Mesh(tmp_path), [world], [[("web", http()), ("other", http(src=OTHER))]])


def test_inline_headers_hold_on_the_real_envoy(tmp_path: Path) -> None:
    """Which headers are joined when they come in two lines."""
    tried = sorted(
        INLINE_HEADERS | {"accept-language", "cookie", "forwarded", "range", "priority", "x-real-ip", "traceparent"}
    )
    worlds = [granting(header_is(name, string_match={"exact": "a"})) for name in tried]
    requests = [[("web", http(headers=((name, "a"), (name, "b"))))] for name in tried]
    compare(Mesh(tmp_path), worlds, requests)
