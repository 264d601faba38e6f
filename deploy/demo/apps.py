"""The demo's applications: real servers that remember what reached them, so that a denial can be proved at the backend."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

STREAM_PATHS = frozenset({"/v1/stream"})
"""Requests to these paths are answered with a chunk every 50 ms, until the client closes."""
BANNER = b"ledger ready\n"
"""What the database says before its client has said anything."""

Serve = Callable[[str, asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


@dataclass
class Apps:
    """All applications of the demo in one event loop; `seen` counts requests and connections per workload."""

    seen: Counter[str] = field(default_factory=Counter)
    _servers: list[asyncio.Server] = field(default_factory=list)
    _serving: set[asyncio.Task[None]] = field(default_factory=set)

    async def start_http(self, workload: str, address: str, port: int) -> None:
        """Serve HTTP/1.1 for one workload."""
        await self._start(self._http, workload, address, port)

    async def start_tcp(self, workload: str, address: str, port: int) -> None:
        """Serve a protocol in which the server speaks first."""
        await self._start(self._tcp, workload, address, port)

    async def _start(self, serve: Serve, workload: str, address: str, port: int) -> None:
        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(_quietly(serve(workload, reader, writer), writer))
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)

        self._servers.append(await asyncio.start_server(connected, address, port))

    async def stop(self) -> None:
        """Close every server."""
        for server in self._servers:
            server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _http(self, workload: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            request_line, *lines = head.decode("latin-1").split("\r\n")
            method, path, _ = request_line.split(" ")
            headers = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in lines if ":" in line}
            await reader.readexactly(int(headers.get("content-length", "0")))
            self.seen[workload] += 1
            if path.partition("?")[0] in STREAM_PATHS:
                await _stream(writer)
            body = json.dumps({"workload": workload, "method": method, "path": path}).encode()
            length = b"" if method == "HEAD" else body
            writer.write(
                b"HTTP/1.1 200 OK\r\nx-workload: %s\r\ncontent-length: %d\r\n\r\n" % (workload.encode(), len(body))
            )
            writer.write(length)
            await writer.drain()

    async def _tcp(self, workload: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.seen[workload] += 1
        writer.write(BANNER)
        while line := await reader.readline():
            writer.write(b"%s: %s" % (workload.encode(), line))
            await writer.drain()


async def _stream(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"5\r\ntick\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)


async def _quietly(serving: Coroutine[Any, Any, None], writer: asyncio.StreamWriter) -> None:
    """Serve until the peer goes away: that is how every connection of a demo ends."""
    try:
        await serving
    except (asyncio.IncompleteReadError, ConnectionError, ValueError):
        pass
    finally:
        writer.close()
