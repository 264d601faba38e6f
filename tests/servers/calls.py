"""Raw callers: HTTP/1.1 and HTTP/2 requests exactly as written, over TLS with a chosen certificate or in plain text."""

from __future__ import annotations

import json
import socket
import ssl
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
from msgspec import Struct

from tests.servers.certificates import Leaf

Lines = Sequence[tuple[str, str | bytes]]
Connect = Callable[[], socket.socket]
_STREAMS = 64
REFUSED = 0
"""`Reply.status` of a call whose connection was refused or closed without an answer."""


class Reply(Struct, frozen=True):
    """The status, and what the echo application said it received ({} if it was not asked)."""

    status: int
    echoed: dict[str, Any]

    @property
    def app(self) -> str:
        """The name of the application that answered, "" if none did."""
        return str(self.echoed.get("app", ""))


def plain(port: int) -> Connect:
    """Connect in plain text; what is written goes out at once."""

    def connect() -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", port), timeout=5)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    return connect


def tls(port: int, authority: str, leaf: Leaf | None, alpn: Sequence[str] = ()) -> Connect:
    """Connect with TLS, showing this certificate (None: none)."""
    context = ssl.create_default_context(cadata=authority)
    context.check_hostname = False
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if leaf is not None:
        with tempfile.TemporaryDirectory() as folder:
            both = Path(folder, "both.pem")
            both.write_text(leaf.certificate + leaf.key)
            context.load_cert_chain(both)
    return from_context(port, context)


def from_context(port: int, context: ssl.SSLContext) -> Connect:
    """Connect with TLS as a context says."""
    return lambda: context.wrap_socket(plain(port)())


def http1(connect: Connect, path: str, method: str = "GET", headers: Lines = ()) -> Reply:
    """One HTTP/1.1 request on a connection of its own; a Host line is added unless there is one."""
    lines = [f"{method} ".encode() + path.encode("latin-1") + b" HTTP/1.1"]
    if not any(name.lower() == "host" for name, _ in headers):
        lines.append(b"Host: service")
    lines += [f"{name}: ".encode() + (value.encode() if isinstance(value, str) else value) for name, value in headers]
    try:
        with connect() as connection:
            connection.sendall(b"\r\n".join([*lines, b"Connection: close", b"", b""]))
            return _reply(*_read(connection, bodiless=method == "HEAD"))
    except OSError:
        return Reply(REFUSED, {})


def _read(connection: socket.socket, *, bodiless: bool) -> tuple[bytes, bytes]:
    """The head and the body of a response; Envoy holds a closed connection for a second, so the end is not awaited."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return b"", b""
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    while not bodiless and len(body) < int(lengths[0] if lengths else 0):
        more = connection.recv(65536)
        if not more:
            break
        body += more
    return head, body


def _reply(head: bytes, body: bytes) -> Reply:
    if not head:
        return Reply(REFUSED, {})
    return Reply(int(head.split(b" ", 2)[1]), json.loads(body) if body.startswith(b"{") else {})


def http2(connect: Connect, path: str | bytes, method: str = "GET", headers: Lines = ()) -> Reply:
    """One HTTP/2 request on a connection of its own."""
    try:
        with connect() as connection:
            return _http2(connection, [(":method", method), (":scheme", "https"), (":authority", "service"),
                                       (":path", path), *headers])  # fmt: skip
    except OSError:
        return Reply(REFUSED, {})


def _session() -> h2.connection.H2Connection:
    config = h2.config.H2Configuration(
        client_side=True, validate_outbound_headers=False, normalize_outbound_headers=False, header_encoding="latin-1"
    )
    session = h2.connection.H2Connection(config)
    session.initiate_connection()
    return session


def _http2(connection: socket.socket, headers: Lines) -> Reply:
    session = _session()
    session.send_headers(1, list(headers), end_stream=True)
    connection.sendall(session.data_to_send())
    status, body = REFUSED, b""
    while data := connection.recv(65536):
        for event in session.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                status = _status(event)
            elif isinstance(event, h2.events.DataReceived):
                body += event.data
            elif isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated):
                return Reply(status, {})
            elif isinstance(event, h2.events.StreamEnded):
                return Reply(status, json.loads(body) if body.startswith(b"{") else {})
        connection.sendall(session.data_to_send())
    return Reply(status, {})


def _status(event: h2.events.ResponseReceived) -> int:
    return int(next(value for name, value in event.headers if str(name) == ":status"))


def statuses1(connect: Connect, asks: Sequence[tuple[bytes, Lines]]) -> list[int]:
    """The statuses of many GETs, one after the other, on as few HTTP/1.1 connections as the peer allows."""
    found: list[int] = []
    connection = connect()
    for path, headers in asks:
        lines = [b"GET " + path + b" HTTP/1.1", b"Host: service"]
        lines += [
            f"{name}: ".encode() + (value.encode() if isinstance(value, str) else value) for name, value in headers
        ]
        connection.sendall(b"\r\n".join([*lines, b"", b""]))
        head, _ = _read(connection, bodiless=False)
        found.append(_reply(head, b"").status)
        if found[-1] in {REFUSED, 400}:
            connection.close()
            connection = connect()
    connection.close()
    return found


def statuses2(connect: Connect, asks: Sequence[tuple[bytes, Lines]]) -> list[int]:
    """The statuses of many GETs over one HTTP/2 connection, many at a time; REFUSED where the stream was reset."""
    found = [REFUSED] * len(asks)
    waiting = list(enumerate(asks))
    session, pending = _session(), 0
    with connect() as connection:
        while waiting or pending:
            while waiting and pending < _STREAMS:
                index, (path, headers) = waiting.pop(0)
                head = [(":method", b"GET"), (":scheme", b"https"), (":authority", b"service"), (":path", path)]
                session.send_headers(2 * index + 1, [*head, *headers], end_stream=True)
                pending += 1
            connection.sendall(session.data_to_send())
            for event in session.receive_data(connection.recv(65536)):
                if isinstance(event, h2.events.ResponseReceived):
                    found[event.stream_id // 2] = _status(event)
                elif isinstance(event, h2.events.DataReceived):
                    session.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                pending -= isinstance(event, h2.events.StreamEnded | h2.events.StreamReset)
                if isinstance(event, h2.events.ConnectionTerminated):
                    raise ConnectionError("the peer ended the connection")
    return found


def listen(connect: Connect, seconds: float = 0.4) -> bytes:
    """Connect, send nothing, and give what arrives in that time (b"" also when the connection is refused or closed)."""
    data = b""
    try:
        with connect() as connection:
            connection.settimeout(seconds)
            while more := connection.recv(65536):
                data += more
    except OSError:
        pass
    return data
