"""A real Envoy with a static configuration, for asking how it reads things; no control plane."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.servers.real_envoy import running


@contextmanager
def standing(folder: Path, **resources: Any) -> Iterator[None]:
    """Run Envoy with these static resources while the block lasts; it listens when the block begins."""
    with running({"static_resources": resources}, folder):
        yield


def ask(port: int, line: str, headers: Sequence[tuple[str, str]] = (), tls: ssl.SSLContext | None = None) -> Head:
    """The head of the answer to one request (`GET /`) over HTTP/1.1; status 0 if the connection is refused."""
    lines = [f"{line} HTTP/1.1", "host: x", *(f"{name}: {value}" for name, value in headers), "", ""]
    with suppress(OSError), _connected(port, tls) as connection:
        connection.sendall("\r\n".join(lines).encode())
        return _head(connection.recv(65536).decode())
    return Head(0, {})


def _connected(port: int, tls: ssl.SSLContext | None) -> socket.socket:
    plain = socket.create_connection(("127.0.0.1", port), 5)
    try:
        return tls.wrap_socket(plain) if tls else plain
    except OSError:
        plain.close()
        raise


class Head:
    """Status and header lines of an answer."""

    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        self.status = status
        self.headers = headers


def _head(text: str) -> Head:
    if not text.startswith("HTTP/"):
        return Head(0, {})
    first, *rest = text.split("\r\n\r\n", maxsplit=1)[0].split("\r\n")
    pairs = [line.partition(": ") for line in rest]
    return Head(int(first.split(" ")[1]), {name.lower(): value for name, _, value in pairs})
