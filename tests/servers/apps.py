"""Small applications behind a sidecar: one that echoes HTTP/1.1, HTTP/2 and WebSockets, one that speaks first."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import h2.config
import h2.connection
import h2.events

GREETING = b"220 hello from the application\r\n"


class App:
    """A listening application: its port, and the request lines (or greetings) it has seen."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.port = port
        self.seen: list[str] = []
        self.upgrades = True


@contextmanager
def echo(name: str = "app") -> Iterator[App]:
    """Answers every request with JSON: its name, the request line, and the headers (name, value) it read."""
    with _listening(name, _echo) as app:
        yield app


@contextmanager
def greeter(name: str = "greeter") -> Iterator[App]:
    """Greets every connection at once, then echoes bytes."""
    with _listening(name, _greet) as app:
        yield app


@contextmanager
def _listening(name: str, serve: Callable[[App, socket.socket], None]) -> Iterator[App]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        app = App(name, listener.getsockname()[1])
        threading.Thread(target=_accept, args=(app, listener, serve), daemon=True).start()
        yield app


def _accept(app: App, listener: socket.socket, serve: Callable[[App, socket.socket], None]) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_serve, args=(app, connection, serve), daemon=True).start()


def _serve(app: App, connection: socket.socket, serve: Callable[[App, socket.socket], None]) -> None:
    with connection:
        try:
            serve(app, connection)
        except (OSError, EOFError):
            return


def _greet(app: App, connection: socket.socket) -> None:
    app.seen.append("connection")
    connection.sendall(GREETING)
    while data := connection.recv(65536):
        connection.sendall(data)


def _echo(app: App, connection: socket.socket) -> None:
    data = b""
    while True:
        while b"\r\n\r\n" not in data:
            data = _exactly(len(data) + 1, data, connection)
        if data.startswith(b"PRI * HTTP/2.0"):
            return _http2(app, connection, data)
        head, _, data = data.partition(b"\r\n\r\n")
        line, *rest = head.decode("latin-1").split("\r\n")
        headers = [tuple(part.strip() for part in one.split(":", 1)) for one in rest]
        app.seen.append(line)
        if app.upgrades and any(name.lower() == "upgrade" for name, _ in headers):
            connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
            while more := connection.recv(65536):
                connection.sendall(more)
            return None
        data = _after_body({name.lower(): value for name, value in headers}, data, connection)
        body = json.dumps({"app": app.name, "line": line, "headers": headers}).encode()
        head_only = line.startswith("HEAD ")
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + (b"" if head_only else body))


def _after_body(headers: Mapping[str, str], data: bytes, connection: socket.socket) -> bytes:
    """What follows the body of a request (RFC 9112, 6.3)."""
    if "transfer-encoding" in headers:
        while True:
            line, data = _until(b"\r\n", data, connection)
            size = int(line.partition(b";")[0], 16)
            if size == 0:
                return _until(b"\r\n", data, connection)[1]  # no trailers: Envoy drops them
            data = _exactly(size + 2, data, connection)[size + 2 :]
    size = int(headers.get("content-length", 0))
    return _exactly(size, data, connection)[size:]


def _until(mark: bytes, data: bytes, connection: socket.socket) -> tuple[bytes, bytes]:
    while mark not in data:
        data = _exactly(len(data) + 1, data, connection)
    line, _, rest = data.partition(mark)
    return line, rest


def _exactly(size: int, data: bytes, connection: socket.socket) -> bytes:
    while len(data) < size:
        more = connection.recv(65536)
        if not more:
            raise EOFError
        data += more
    return data


def _http2(app: App, connection: socket.socket, data: bytes) -> None:
    config = h2.config.H2Configuration(client_side=False, header_encoding="latin-1", validate_inbound_headers=False)
    h2_connection = h2.connection.H2Connection(config)
    h2_connection.initiate_connection()
    while True:
        for event in h2_connection.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                _answer(app, h2_connection, event)
        connection.sendall(h2_connection.data_to_send())
        data = connection.recv(65536)
        if not data:
            return


def _answer(app: App, connection: h2.connection.H2Connection, event: h2.events.RequestReceived) -> None:
    headers = [(str(name), str(value)) for name, value in event.headers]
    pseudo = dict(headers)
    line = f"{pseudo[':method']} {pseudo[':path']} HTTP/2"
    app.seen.append(line)
    body = json.dumps({"app": app.name, "line": line, "headers": headers}).encode()
    connection.send_headers(event.stream_id, [(":status", "200"), ("content-type", "application/grpc")])
    connection.send_data(event.stream_id, body, end_stream=False)
    connection.send_headers(event.stream_id, [("grpc-status", "0")], end_stream=True)
