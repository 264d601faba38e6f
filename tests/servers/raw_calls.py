"""Raw asynchronous callers: HTTP/1.1 and HTTP/2 requests exactly as written, and lines over TCP, plain or TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from contextlib import suppress

import h2.config
import h2.connection
import h2.events
import h2.exceptions
from msgspec import Struct

from hub.model import raw_bytes

LIMIT_S = 8.0
SILENCE_S = 0.5  # longer than an application waits before it greets
BROKEN = (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, h2.exceptions.ProtocolError)
Lines = Sequence[tuple[str, str]]
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Door(Struct, frozen=True):
    """Where to connect, and how: None = in plain text."""

    address: str
    port: int
    tls: ssl.SSLContext | None = None


class Outcome(Struct, frozen=True):
    """The status (0 = no answer) and the application that answered ("" = none)."""

    status: int = 0
    app: str = ""

    @property
    def served(self) -> bool:
        """Whether an application answered."""
        return bool(self.app)


class Ask(Struct, frozen=True):
    """One HTTP request as it is to be written."""

    method: str
    path: str
    headers: Lines = ()


async def connect(door: Door) -> Connection:
    """Open a connection. Raises what asyncio and ssl raise, or TimeoutError."""
    async with asyncio.timeout(LIMIT_S):
        name = "" if door.tls else None
        return await asyncio.open_connection(door.address, door.port, ssl=door.tls, server_hostname=name)


async def http1(door: Door, ask: Ask) -> Outcome:
    """One HTTP/1.1 request on a connection of its own."""
    try:
        reader, writer = await connect(door)
    except BROKEN:
        return Outcome()
    try:
        async with asyncio.timeout(LIMIT_S):
            writer.write(written(ask))
            return outcome_of(await reader.readuntil(b"\r\n\r\n"))
    except BROKEN:
        return Outcome()
    finally:
        writer.transport.abort()


def written(ask: Ask) -> bytes:
    """The bytes of a request; a Host line is added unless there is one."""
    host = () if any(name.lower() == "host" for name, _ in ask.headers) else (("host", "service"),)
    lines = [f"{ask.method} {ask.path} HTTP/1.1", *(f"{name}: {value}" for name, value in (*host, *ask.headers))]
    return raw_bytes("\r\n".join([*lines, "", ""]))


def outcome_of(head: bytes) -> Outcome:
    """Status and application of a response's head; a greeting before it is passed over."""
    text = head.decode("latin-1")
    if text.startswith("hello from "):
        text = text.partition("\n")[2]
    first, *lines = text.split("\r\n")
    if not first.startswith("HTTP/"):  # bytes that an application on a raw port echoes
        return Outcome(200)
    app = next((line.partition(":")[2].strip() for line in lines if line.lower().startswith("x-app:")), "")
    return Outcome(int(first.split(" ")[1]), app)


async def http2(door: Door, ask: Ask) -> Outcome:
    """One HTTP/2 request on a connection of its own; HTTP/1.1 where the peer does not choose h2 by ALPN over TLS."""
    try:
        reader, writer = await connect(door)
    except BROKEN:
        return Outcome()
    try:
        async with asyncio.timeout(LIMIT_S):
            secure = writer.get_extra_info("ssl_object")
            if secure is None or secure.selected_alpn_protocol() == "h2":
                return await _http2(reader, writer, ask)
            writer.write(written(ask))
            return outcome_of(await reader.readuntil(b"\r\n\r\n"))
    except BROKEN:
        return Outcome()
    finally:
        writer.transport.abort()


async def _http2(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ask: Ask) -> Outcome:
    session = raw_session()
    head = [(":method", ask.method), (":scheme", "https"), (":authority", "service"), (":path", ask.path)]
    lines = [*head, *((name.lower(), value) for name, value in ask.headers)]
    session.send_headers(1, [(raw_bytes(name), raw_bytes(value)) for name, value in lines], end_stream=True)
    writer.write(session.data_to_send())
    while data := await reader.read(65536):
        for event in session.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                found = {str(name): str(value) for name, value in event.headers}
                return Outcome(int(found[":status"]), found.get("x-app", ""))
            if isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated):
                return Outcome()
        writer.write(session.data_to_send())
    return Outcome()


def raw_session() -> h2.connection.H2Connection:
    """A client that sends what it is told, right or wrong."""
    config = h2.config.H2Configuration(
        client_side=True, validate_outbound_headers=False, normalize_outbound_headers=False, header_encoding="utf-8"
    )
    session = h2.connection.H2Connection(config)
    session.initiate_connection()
    return session


async def spoken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Outcome:
    """Send a line, take the answer, and close the connection. Status 200 = an application answered."""
    text = ""
    with suppress(*BROKEN):
        async with asyncio.timeout(LIMIT_S):
            writer.write(b"ping\r\n\r\n")
            text = (await reader.readline()).decode("latin-1").strip()
    writer.transport.abort()
    return Outcome(200, text.removesuffix(": ping")) if text.endswith(": ping") else Outcome()


async def tcp(door: Door) -> Outcome:
    """Connect and wait for a greeting; after some silence send a line and take the answer. Status 200 = bytes served."""
    try:
        reader, writer = await connect(door)
    except BROKEN:
        return Outcome()
    try:
        try:
            line = await asyncio.wait_for(reader.readline(), SILENCE_S)
        except TimeoutError:
            writer.write(b"ping\r\n\r\n")
            line = await asyncio.wait_for(reader.readline(), LIMIT_S)
    except BROKEN:
        return Outcome()
    finally:
        writer.transport.abort()
    text = line.decode("latin-1").strip()
    if text.startswith("hello from "):
        return Outcome(200, text.removeprefix("hello from "))
    return Outcome(200, text.partition(": ")[0]) if text.endswith(": ping") else Outcome()
