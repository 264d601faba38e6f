"""Requests that try to carry another one past a real Envoy: what the application reads is what the policy judged."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from msgspec import Struct

from adapters.vm.carry_over import carry_over
from adapters.vm.config import VmConfig
from adapters.vm.translate.unit import translate
from hub.model import HttpMatch, NativeObject, Observed
from tests.adapters.vm.native import UNIT
from tests.servers.apps import App, echo
from tests.servers.calls import Connect, tls
from tests.servers.certificates import Authority
from tests.servers.ports import held_port
from tests.servers.sidecar import Sidecar, sidecar
from tests.servers.units import access, http_grant, inbound, spiffe

pytestmark = pytest.mark.envoy
GRANT = http_grant("public", ["web"], HttpMatch(path="/public/.*", methods=("GET", "POST")))
HOST = b"Host: s\r\n"
HIDDEN = b"GET /admin HTTP/1.1\r\nHost: s\r\n\r\n"
GET = b"GET /public/x HTTP/1.1\r\nHost: s\r\n\r\n"
SIZE = len(HIDDEN)
WEBSOCKET = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAA\r\n"
ENDED = b"0\r\n\r\n"


class World(Struct, frozen=True):
    """A sidecar, its application, and how `web` connects."""

    sidecar: Sidecar
    app: App
    web: Connect
    port: int


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """`web` may GET and POST below /public/ and nothing else."""
    authority, port = Authority(), held_port()
    with echo() as app:
        objects = granted(port, app)
        folder = tmp_path_factory.mktemp("smuggling")
        with sidecar(folder, authority, authority.issue([spiffe("api")]), objects) as running:
            yield World(running, app, tls(port, authority.pem, authority.issue([spiffe("web")])), port)


def granted(port: int, app: App) -> tuple[NativeObject, ...]:
    """What is translated while the grant stands."""
    return tuple(translate(access(GRANT, ports=[inbound(port, "http", app.port)]), VmConfig()).objects)


def post(*headers: bytes, body: bytes = HIDDEN) -> bytes:
    """A granted request with these header lines and bytes after its head."""
    return b"\r\n".join([b"POST /public/x HTTP/1.1", b"Host: s", *headers, b"", body])


TRIES = {
    "length and chunks": post(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=ENDED + HIDDEN),
    "chunks and length": post(b"Transfer-Encoding: chunked", b"Content-Length: 3", body=ENDED + HIDDEN),
    "two lengths": post(b"Content-Length: 0", b"Content-Length: %d" % SIZE),
    "list of lengths": post(b"Content-Length: 0, %d" % SIZE),
    "length with a sign": post(b"Content-Length: +%d" % SIZE),
    "length with zeros": post(b"Content-Length: 00%d" % SIZE),
    "length after a blank": post(b"Content-Length : %d" % SIZE),
    "length nominated in Connection": post(b"Connection: content-length", b"Content-Length: %d" % SIZE),
    "odd coding": post(b"Transfer-Encoding: xchunked", body=ENDED + HIDDEN),
    "coding twice": post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", body=ENDED + HIDDEN),
    "coding in a folded line": post(b"Transfer-Encoding:", b" chunked", body=ENDED + HIDDEN),
    "coding after a bare newline": post(b"X: y\nTransfer-Encoding: chunked", body=ENDED + HIDDEN),
    "coding after a bare return": post(b"X: y\rTransfer-Encoding: chunked", body=ENDED + HIDDEN),
    "chunk extension": post(b"Transfer-Encoding: chunked", body=b'1;x="\r\na\r\n' + ENDED + HIDDEN),
    "chunk too short": post(b"Transfer-Encoding: chunked", body=b"1\r\nabc\r\n" + ENDED + HIDDEN),
    "trailers": post(b"Transfer-Encoding: chunked", body=b"0\r\nContent-Length: 9\r\n\r\n" + HIDDEN),
    "body of a GET": b"GET /public/x HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % SIZE + HIDDEN,
    "bare newlines": b"GET /public/x HTTP/1.1\nHost: s\n\n" + HIDDEN,
    "pipeline": GET + HIDDEN + GET,
    "expectation": post(b"Expect: 100-continue", b"Content-Length: %d" % SIZE),
    "upgrade": b"GET /public/x HTTP/1.1\r\n" + HOST + WEBSOCKET + b"\r\n" + HIDDEN,
    "upgrade with a length": b"GET /public/x HTTP/1.1\r\n" + HOST + WEBSOCKET + b"Content-Length: 0\r\n\r\n" + HIDDEN,
    "upgrade with chunks": post(WEBSOCKET + b"Transfer-Encoding: chunked", body=ENDED + HIDDEN),
    "upgrade to HTTP/2": b"GET /public/x HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + HIDDEN,
    "tunnel": b"CONNECT s:80 HTTP/1.1\r\n" + HOST + b"\r\n" + HIDDEN,
}


def test_application_when_a_request_hides_another(world: World) -> None:
    """None of the hidden requests arrives, not even where the application takes no upgrade; the plain one does, each time."""
    world.app.upgrades = False
    arrived: dict[str, set[str]] = {}
    for name, raw in TRIES.items():
        world.app.seen.clear()
        with suppress(OSError), world.web() as connection:
            connection.sendall(raw)
            answers(connection)
            connection.sendall(HIDDEN)
            answers(connection)
        arrived[name] = {line.split(" ")[1] for line in world.app.seen}
    assert {name: paths for name, paths in arrived.items() if paths - {"/public/x"}} == {}
    assert arrived["pipeline"] == arrived["body of a GET"] == arrived["upgrade"] == {"/public/x"}


def test_open_connections_when_the_grant_is_taken_away(world: World) -> None:
    """A head that was half sent is judged when it is whole; an upload and a WebSocket end about a second later."""
    half, upload, web_socket = world.web(), world.web(), world.web()
    half.sendall(GET[:-6])
    upload.sendall(post(b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\n"))
    web_socket.sendall(b"GET /public/ws HTTP/1.1\r\n" + HOST + WEBSOCKET + b"\r\n")
    assert answers(web_socket) == [101]
    world.sidecar.apply(revoked(world))
    start = time.monotonic()
    half.sendall(GET[-6:] + GET)
    assert answers(half) == [403, 403]
    for connection, more in ((upload, b"1\r\nx\r\n"), (web_socket, b"x")):
        assert end_of(connection, more) - start < 3
    assert sorted(world.app.seen) == ["GET /public/ws HTTP/1.1", "POST /public/x HTTP/1.1"]
    for connection in (half, upload, web_socket):
        connection.close()


def revoked(world: World) -> tuple[NativeObject, ...]:
    """What is written when the grant is gone."""
    before = {
        item.ref: Observed(item.ref, item.body, UNIT, "", item.role, item.needs)
        for item in granted(world.port, world.app)
    }
    return carry_over(
        translate(access(ports=[inbound(world.port, "http", world.app.port)]), VmConfig()).objects, before
    )


def answers(connection: socket.socket) -> list[int]:
    """The status codes that arrive until there is silence."""
    data = b""
    connection.settimeout(0.1)
    with suppress(OSError):
        while more := connection.recv(65536):
            data += more
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3})", data)]


def end_of(connection: socket.socket, more: bytes) -> float:
    """When the other side ended the connection, although we go on sending. Fails after ten seconds."""
    connection.settimeout(0.05)
    for _ in range(200):
        try:
            connection.sendall(more)
            if not connection.recv(65536):
                break
        except TimeoutError:
            continue
        except OSError:
            break
    else:
        raise AssertionError("the connection goes on")
    return time.monotonic()
