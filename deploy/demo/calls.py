"""The demo's clients: raw HTTP/1.1 and TCP, so that what is printed is what came over the wire."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

TIMEOUT_S = 5.0
_BROKEN = (ConnectionError, ssl.SSLError, asyncio.IncompleteReadError, asyncio.TimeoutError, OSError)


Opened = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def open_at(address: str, port: int, tls: ssl.SSLContext | None = None) -> Opened:
    """Connect to a Unix socket (a path, port 0) or to a TCP port; raises the errors of asyncio and ssl."""
    if address.startswith("/"):
        return await asyncio.wait_for(asyncio.open_unix_connection(address), TIMEOUT_S)
    opening = asyncio.open_connection(address, port, ssl=tls, server_hostname="" if tls else None)
    return await asyncio.wait_for(opening, TIMEOUT_S)


@dataclass(frozen=True)
class Reply:
    """What came back: HTTP status (0: no answer at all), the workload that answered, and a note on how it ended."""

    status: int
    workload: str = ""
    note: str = ""

    @property
    def allowed(self) -> bool:
        """Whether an application answered."""
        return self.status == 200 and bool(self.workload)


@dataclass(frozen=True)
class Call:
    """One HTTP request: where to, and what."""

    address: str
    port: int
    method: str = "GET"
    path: str = "/"
    headers: Sequence[tuple[str, str]] = ()
    host: str = "shop"


class Connection:
    """A kept-open HTTP/1.1 connection, plain or TLS."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, address: str, port: int, tls: ssl.SSLContext | None = None) -> Connection:
        """Connect; raises the errors of asyncio and ssl."""
        return cls(*await open_at(address, port, tls))

    async def request(self, call: Call) -> Reply:
        """Send one request and read its answer; raises when the connection ends instead."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in call.headers)
        length = "content-length: 0\r\n" if call.method in {"POST", "PUT", "PATCH"} else ""
        text = f"{call.method} {call.path} HTTP/1.1\r\nhost: {call.host}\r\n{length}{lines}\r\n"
        self.writer.write(text.encode("latin-1"))
        await self.writer.drain()
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), TIMEOUT_S)
        status = int(head.split(b" ", 2)[1])
        headers = dict(_split(line) for line in head.decode("latin-1").lower().split("\r\n")[1:] if ":" in line)
        if call.method != "HEAD" and "transfer-encoding" not in headers:
            await self.reader.readexactly(int(headers.get("content-length", "0")))
        return Reply(status, headers.get("x-workload", ""))

    def close(self) -> None:
        """Close without waiting."""
        self.writer.close()


def _split(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip(), value.strip()


async def http(call: Call, tls: ssl.SSLContext | None = None) -> Reply:
    """One request on a connection of its own; a refused or broken connection is a Reply with status 0."""
    try:
        connection = await Connection.open(call.address, call.port, tls)
    except _BROKEN as error:
        return Reply(0, note=_why(error, tls))
    try:
        return await connection.request(call)
    except _BROKEN as error:
        return Reply(0, note=_why(error, tls))
    finally:
        connection.close()


async def tcp(address: str, port: int, tls: ssl.SSLContext | None = None) -> Reply:
    """Connect, read what the server says first, send a line, read its echo. Status 200 stands for served bytes."""
    try:
        reader, writer = await open_at(address, port, tls)
    except _BROKEN as error:
        return Reply(0, note=_why(error, tls))
    try:
        banner = await asyncio.wait_for(reader.readline(), TIMEOUT_S)
        if not banner:
            return Reply(0, note="closed, no byte")
        writer.write(b"hello\n")
        echo = await asyncio.wait_for(reader.readline(), TIMEOUT_S)
        return Reply(200, echo.decode().partition(":")[0]) if echo else Reply(0, note="closed after the banner")
    except _BROKEN as error:
        return Reply(0, note=_why(error, tls))
    finally:
        writer.close()


def _why(error: BaseException, tls: ssl.SSLContext | None) -> str:
    """How it ended. In TLS 1.3 a client learns that its certificate was refused when it first reads or writes."""
    if isinstance(error, ssl.SSLError) or (
        tls is not None and isinstance(error, ConnectionResetError | BrokenPipeError)
    ):
        return "TLS refused"
    return {"IncompleteReadError": "closed, no byte", "TimeoutError": "no answer"}.get(
        type(error).__name__, "connection refused or cut"
    )
