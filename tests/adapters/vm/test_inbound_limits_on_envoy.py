"""Strangers at an inbound port of a real Envoy: how long and how many they may be before anybody knows who they are."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import pytest
from msgspec import Struct

from adapters.vm.config import VmConfig
from adapters.vm.translate.inbound import HANDSHAKE_S, HEADERS_S
from adapters.vm.translate.unit import translate
from hub.model import HttpMatch
from tests.servers.apps import echo, greeter
from tests.servers.calls import Connect, http1, listen, tls
from tests.servers.certificates import Authority, Leaf
from tests.servers.ports import held_port
from tests.servers.sidecar import sidecar
from tests.servers.units import access, http_grant, inbound, spiffe, tcp_grant

pytestmark = pytest.mark.envoy
PORTS = ("http", "tcp")
STRANGERS = 300
MOST = 400
LATE_S = 4


class World(Struct, frozen=True):
    """The ports of one Envoy of `d/api`, and the certificate of a caller with every grant."""

    ports: dict[str, int]
    authority: Authority
    web: Leaf

    def web_at(self, port: str) -> Connect:
        """Connect as web."""
        return tls(self.ports[port], self.authority.pem, self.web)

    def stranger(self, port: str) -> socket.socket:
        """A TCP connection on which nothing is said."""
        return socket.create_connection(("127.0.0.1", self.ports[port]), timeout=5)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One Envoy for this file, each of whose ports takes `MOST` connections."""
    authority = Authority()
    ports = {name: held_port() for name in ("http", "other", "tcp")}
    with echo() as app, greeter() as banner:
        unit = access(
            http_grant("web", ["web"], HttpMatch(path="/.*")),
            tcp_grant("raw", ["web"], ports=(ports["tcp"],)),
            ports=[
                inbound(ports["http"], "http", app.port),
                inbound(ports["other"], "http", app.port),
                inbound(ports["tcp"], "tcp", banner.port),
            ],
        )
        objects = translate(unit, VmConfig(connections=MOST)).objects
        own = authority.issue([spiffe("api")])
        with sidecar(tmp_path_factory.mktemp("limits"), authority, own, objects) as running:
            assert running.ads.nacks == []
            yield World(ports, authority, authority.issue([spiffe("web")]))


def ended(connections: Sequence[socket.socket], seconds: float) -> list[float]:
    """When each of these connections was ended by the other side, in seconds from now; those that were not are left out."""
    started, times, open_ones = time.monotonic(), [], list(connections)
    while open_ones and time.monotonic() - started < seconds:
        time.sleep(0.05)
        gone = [one for one in open_ones if _is_over(one)]
        times += [time.monotonic() - started] * len(gone)
        open_ones = [one for one in open_ones if one not in gone]
    return times


def _is_over(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(4096) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_strangers_without_handshake_are_gone_in_time(world: World) -> None:
    """300 connections per port that say nothing end in the time of a handshake; callers are served all the while."""
    kept = world.web_at("http")()
    with ExitStack() as held, kept:
        strangers = [held.enter_context(world.stranger(port)) for port in PORTS for _ in range(STRANGERS)]
        assert all(_is_served(world, port) for port in PORTS)
        times = ended(strangers, HANDSHAKE_S + LATE_S)
        assert all(_is_served(world, port) for port in PORTS)
        kept.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert kept.recv(12) == b"HTTP/1.1 200"  # who has shown a certificate stays
    assert len(times) == STRANGERS * len(PORTS)
    assert min(times) > HANDSHAKE_S / 2, "a slow network is no stranger"


def test_connections_beyond_the_limit_are_closed_and_other_ports_served(world: World) -> None:
    """A full port closes whoever comes, without a handshake; another port does not notice; afterwards all is well."""
    with ExitStack() as held:
        strangers = [held.enter_context(world.stranger("http")) for _ in range(MOST + 50)]
        assert len(ended(strangers, 2)) == 50
        assert http1(world.web_at("http"), "/").status == 0
        assert http1(world.web_at("other"), "/").status == 200
        assert listen(world.web_at("tcp"))
    time.sleep(0.3)
    assert http1(world.web_at("http"), "/").status == 200


def test_slow_headers_end_in_time(world: World) -> None:
    """Also a caller with a certificate cannot hold a request open before its headers are there."""
    with world.web_at("http")() as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nHo")
        slow.settimeout(HEADERS_S + LATE_S)
        started = time.monotonic()
        assert slow.recv(12) == b"HTTP/1.1 408"
        assert time.monotonic() - started > HEADERS_S / 2


def _is_served(world: World, port: str) -> bool:
    if port == "tcp":
        return listen(world.web_at(port)).startswith(b"220")
    return http1(world.web_at(port), "/").status == 200
