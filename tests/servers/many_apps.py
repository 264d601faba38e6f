"""Applications of a whole mesh in one event loop: HTTP/1.1, HTTP/2, WebSocket, raw lines, or a server that speaks first.

Every HTTP request is remembered by its `x-rid` line, so that it can be proved which one reached whom, and as what.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions
from msgspec import Struct

from hub.model import raw_text

TICK_S = 0.05
GREET_S = (
    0.2  # a server that speaks first, but not into a request that is on its way: an HTTP caller's proxy would break off
)
Place = tuple[str, int]


class Arrival(Struct, frozen=True):
    """What an application received: its own name, the method and the path as they came."""

    app: str
    method: str
    path: str


class Apps:
    """All applications. `greets` are the places that speak first; `raw` counts connections that were greeted there."""

    def __init__(self) -> None:
        self.seen: dict[str, Arrival] = {}
        self.raw: Counter[str] = Counter()
        self.greets: set[Place] = set()
        self._servers: list[asyncio.Server] = []
        self._serving: set[asyncio.Task[None]] = set()

    async def start(self, name: str, place: Place) -> None:
        """Listen on an address and port under a name."""

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(self._quietly(self._serve(name, place, reader, writer), writer))
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)

        self._servers.append(await asyncio.start_server(connected, *place))

    async def stop(self) -> None:
        """Close every application and its connections."""
        for server in self._servers:
            server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    @staticmethod
    async def _quietly(serving: Coroutine[Any, Any, None], writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError, asyncio.IncompleteReadError, ValueError, h2.exceptions.ProtocolError):
                await serving
        finally:
            writer.transport.abort()

    async def _serve(self, name: str, place: Place, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = b""
        if place in self.greets:
            self.raw[name] += 1
            line = await _first_line(reader)
            if not line:
                writer.write(f"hello from {name}\n".encode())
        line = line or await reader.readline()
        while line:
            text = line.decode("latin-1").rstrip("\r\n")
            if text == "PRI * HTTP/2.0":
                await _Http2(self, name, reader, writer).serve(line)
                return
            if text.endswith(" HTTP/1.1"):
                await self._http1(name, text, reader, writer)
            else:
                writer.write(f"{name}: {text}\n".encode("latin-1"))
            line = await reader.readline()

    async def _http1(self, name: str, line: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        headers: dict[str, str] = {}
        while text := (await reader.readline()).decode("latin-1").rstrip("\r\n"):
            key, _, value = text.partition(":")
            headers[key.lower()] = value.strip()
        method, _, rest = line.partition(" ")
        path = raw_text(rest.removesuffix(" HTTP/1.1").encode("latin-1"))
        self.note(headers.get("x-rid", ""), Arrival(name, method, path))
        head = f"HTTP/1.1 200 OK\r\nx-app: {name}\r\n".encode()
        if "upgrade" in headers:
            writer.write(
                head.replace(b"200 OK", b"101 Switching Protocols")
                + b"connection: upgrade\r\nupgrade: websocket\r\n\r\n"
            )
            while data := await reader.read(4096):
                writer.write(data)
            return
        if path.startswith("/stream"):
            writer.write(head + b"transfer-encoding: chunked\r\n\r\n")
            while True:
                writer.write(b"5\r\ntick\n\r\n")
                await writer.drain()
                await asyncio.sleep(TICK_S)
        writer.write(head + b"content-length: 0\r\n\r\n")

    def note(self, rid: str, arrival: Arrival) -> None:
        """Remember what arrived."""
        self.seen[rid] = arrival


async def _first_line(reader: asyncio.StreamReader) -> bytes:
    """What a peer that speaks first says; nothing from one that waits for the server."""
    try:
        return await asyncio.wait_for(reader.readline(), GREET_S)
    except TimeoutError:
        return b""


class _Http2:
    """One HTTP/2 connection of an application."""

    def __init__(self, apps: Apps, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._apps, self._name, self._reader, self._writer = apps, name, reader, writer
        config = h2.config.H2Configuration(client_side=False, header_encoding="latin-1", validate_inbound_headers=False)
        self._session = h2.connection.H2Connection(config)

    async def serve(self, data: bytes) -> None:
        """Answer until the peer goes; `data` is what was read of it already."""
        self._session.initiate_connection()
        streams: list[asyncio.Task[None]] = []
        try:
            while data:
                events = self._session.receive_data(data)
                asked = [event for event in events if isinstance(event, h2.events.RequestReceived)]
                streams += [asyncio.create_task(self._stream(one.stream_id)) for one in asked if self._answer(one)]
                self._flush()
                data = await self._reader.read(65536)
        finally:
            for task in streams:
                task.cancel()

    def _answer(self, event: h2.events.RequestReceived) -> bool:
        """Answer a request; whether its body is a stream without end."""
        headers = {str(name): str(value) for name, value in event.headers}
        path = raw_text(headers[":path"].encode("latin-1"))
        self._apps.note(headers.get("x-rid", ""), Arrival(self._name, headers[":method"], path))
        endless = path.startswith("/stream")
        self._session.send_headers(event.stream_id, [(":status", "200"), ("x-app", self._name)], end_stream=not endless)
        return endless

    async def _stream(self, stream_id: int) -> None:
        with suppress(h2.exceptions.ProtocolError):
            while True:
                self._session.send_data(stream_id, b"tick\n")
                self._flush()
                await asyncio.sleep(TICK_S)

    def _flush(self) -> None:
        self._writer.write(self._session.data_to_send())
