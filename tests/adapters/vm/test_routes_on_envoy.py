"""Calls from sidecar to sidecar on real Envoys: splits, conditions, pinned callees, every protocol, and a revocation."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Iterator, Mapping

import pytest
from msgspec import Struct
from msgspec.structs import replace

from adapters.vm.carry_over import carry_over
from adapters.vm.config import VmConfig
from adapters.vm.translate.unit import translate
from hub.model import Access, Client, HttpMatch, NativeObject, ObjectRef, Observed, RoutePort, Split
from tests.adapters.vm.native import UNIT
from tests.servers.apps import GREETING, App, echo, greeter
from tests.servers.calls import Connect, http1, http2, listen, plain
from tests.servers.certificates import Authority
from tests.servers.ports import held_port
from tests.servers.sidecar import Sidecar, endpoint, sidecar
from tests.servers.units import access, http_grant, inbound, route, spiffe, split, tcp_grant

pytestmark = pytest.mark.envoy
HTTP, TCP = 80, 90
WORKLOAD = ObjectRef("smihub.io", "Workload", "d", "caller")
SPLITS: Mapping[str, tuple[Split, ...]] = {
    "one": (),
    "two": (),
    "ab": (
        split("beta", (HttpMatch(headers=(("x-user", "beta.*"),), methods=("GET", "PUT")),), two=1),
        split("ab", one=1),
    ),
    "weighted": (split("weighted", one=3, two=1, zero=0),),
    "off": (split("off", one=0),),
    "managed": (split("managed", (HttpMatch(headers=(("x-request-id", ".*"),)),), two=1),),
    "stranger": (),
}


class Pair(Struct, frozen=True):
    """Two Envoys: `caller`'s, with a local port for each Service, and that of `d/api`."""

    near: Sidecar
    far: Sidecar
    ports: Mapping[tuple[str, int], int]
    apps: Mapping[str, App]
    inside: tuple[int, int, int]

    def to(self, service: str, port: int = HTTP) -> Connect:
        """Connect to a Service port through the caller's sidecar."""
        return plain(self.ports[service, port])


def receiving(apps: Mapping[str, App], ports: tuple[int, int, int]) -> Access:
    """`d/api` with two HTTP ports and one TCP port."""
    return access(
        http_grant("any", ["web"], HttpMatch(path="/.*")),
        tcp_grant("raw", ["web"]),
        ports=[
            inbound(ports[0], "http", apps["one"].port),
            inbound(ports[1], "http", apps["two"].port),
            inbound(ports[2], "tcp", apps["banner"].port),
        ],
    )


def calling(ports: Mapping[tuple[str, int], int]) -> list[NativeObject]:
    """The routes of every Service, with a local listener for each port."""
    made: list[NativeObject] = []
    for service, splits in SPLITS.items():
        callees = (spiffe("stranger" if service == "stranger" else "api"),)
        both = [
            RoutePort(HTTP, "TCP", "http", splits, callees, (Client(WORKLOAD, "127.0.0.1", ports[service, HTTP]),)),
            RoutePort(TCP, "TCP", "tcp", splits, callees, (Client(WORKLOAD, "127.0.0.1", ports[service, TCP]),)),
        ]
        made += translate(route(service, *both), VmConfig()).objects
    return [item for item in made if item.ref.kind != "Listener" or "@" in item.ref.name]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Both Envoys for this file."""
    authority, folder = Authority(), tmp_path_factory.mktemp("routes")
    inside = (held_port(), held_port(), held_port())
    ports = {(service, port): held_port() for service in SPLITS for port in (HTTP, TCP)}
    with echo("one") as one, echo("two") as two, greeter() as banner:
        apps = {"one": one, "two": two, "banner": banner}
        far = translate(receiving(apps, inside), VmConfig()).objects
        behind = {"one": inside[0], "two": inside[1], "managed": inside[0], "stranger": inside[0]}
        known = [
            endpoint(f"out/d/{service}/{HTTP}", *([behind[service]] if service in behind else [])) for service in SPLITS
        ]
        known += [endpoint(f"out/d/{service}/{TCP}", inside[2]) for service in SPLITS]
        with (
            sidecar(folder, authority, authority.issue([spiffe("api")]), far) as api,
            sidecar(folder, authority, authority.issue([spiffe("web")]), calling(ports), known) as web,
        ):
            yield Pair(web, api, ports, apps, inside)


def test_resources_when_envoy_reads_them(pair: Pair) -> None:
    """Envoy takes every outbound resource without a NACK."""
    assert pair.near.ads.nacks == []


@pytest.mark.parametrize(
    ("method", "user", "answers"),
    [
        ("GET", "beta7", "two"),
        ("PUT", "beta", "two"),
        ("POST", "beta7", "one"),
        ("GET", "alpha", "one"),
        ("GET", "", "one"),
    ],
)
def test_condition_when_a_split_asks_for_a_header(pair: Pair, method: str, user: str, answers: str) -> None:
    """Requests that match go to the layer's backend, all others to the layer below."""
    assert http1(pair.to("ab"), "/x", method, [("x-user", user)]).app == answers


def test_condition_when_envoy_owns_the_header(pair: Pair) -> None:
    """A layer that asks for a header which Envoy sets itself takes no request: the root answers."""
    assert http1(pair.to("managed"), "/x").app == "one"
    assert http1(pair.to("managed"), "/x", headers=[("x-request-id", "1")]).app == "one"


def test_shares_when_weights_are_three_to_one(pair: Pair) -> None:
    """800 requests share themselves out about 3:1 (within five standard deviations)."""
    counted = Counter(http1(pair.to("weighted"), "/x").app for _ in range(800))
    assert counted["one"] + counted["two"] == 800
    assert abs(counted["two"] - 200) < 62


def test_unavailable_when_no_weight_is_positive(pair: Pair) -> None:
    """HTTP answers 503 by itself, TCP closes; no application is asked, and never the root."""
    before = sum(len(app.seen) for app in pair.apps.values())
    assert http1(pair.to("off"), "/x").status == 503
    assert listen(pair.to("off", TCP)) == b""
    assert sum(len(app.seen) for app in pair.apps.values()) == before


def test_callee_when_its_identity_is_not_pinned(pair: Pair) -> None:
    """A server with another certificate than the route names is not spoken to, over HTTP and TCP."""
    assert http1(pair.to("stranger"), "/x").status == 503
    assert listen(pair.to("stranger", TCP)) == b""


@pytest.mark.parametrize("service", ["one", "weighted", "ab"])
def test_tcp_when_a_route_is_raw(pair: Pair, service: str) -> None:
    """The greeting of a server that speaks first arrives through both sidecars; conditions do not apply to bytes."""
    assert listen(pair.to(service, TCP)) == GREETING


def test_http2_when_the_caller_speaks_it(pair: Pair) -> None:
    """HTTP/2 with trailers (as gRPC needs them) stays HTTP/2 up to the application."""
    reply = http2(
        pair.to("one"), "/pkg.Service/Call", "POST", [("te", "trailers"), ("content-type", "application/grpc")]
    )
    assert (reply.status, reply.echoed["line"]) == (200, "POST /pkg.Service/Call HTTP/2")


def test_websockets_when_many_are_open(pair: Pair) -> None:
    """Each WebSocket has a TLS connection of its own between the sidecars, and the second works like the first."""
    opened = [_websocket(pair.to("one")) for _ in range(4)]
    for number, connection in enumerate(opened):
        connection.sendall(b"frame %d" % number)
        assert connection.recv(100) == b"frame %d" % number
        connection.close()
    assert pair.near.envoy.stat("cluster.out/d/one/80.ssl.session_reused") == 0


def _websocket(connect: Connect) -> socket.socket:
    connection = connect()
    connection.sendall(b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    assert connection.recv(4096).startswith(b"HTTP/1.1 101")
    return connection


def test_open_tcp_connection_when_its_grant_is_revoked(pair: Pair) -> None:
    """`carry_over` renames the chain of the narrowed port alone: its connections end, a WebSocket of another port stays."""
    raw, web = pair.to("one", TCP)(), _websocket(pair.to("one"))
    assert raw.recv(100) == GREETING
    before = translate(receiving(pair.apps, pair.inside), VmConfig()).objects
    narrower = replace(receiving(pair.apps, pair.inside), grants=receiving(pair.apps, pair.inside).grants[:1])
    observed = {item.ref: Observed(item.ref, item.body, UNIT, "", item.role, item.needs) for item in before}
    after = carry_over(translate(narrower, VmConfig()).objects, observed)
    pair.far.apply([item for item in after if item.ref.kind != "Listener"])
    pair.far.apply([item for item in after if item.ref.kind == "Listener"])
    raw.settimeout(5)
    started = time.monotonic()
    assert raw.recv(100) == b""
    assert time.monotonic() - started < 4
    web.sendall(b"still here")
    assert web.recv(100) == b"still here"
    assert listen(pair.to("one", TCP)) == b""
    web.close()
    raw.close()
