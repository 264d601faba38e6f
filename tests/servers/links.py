"""Calls of one workload through its own sidecar, and connections that it keeps open: raw bytes, HTTP/1.1, a WebSocket."""

from __future__ import annotations

import asyncio
from typing import Literal

from hub.model import Request
from tests.servers.kept import upgrade
from tests.servers.raw_calls import BROKEN, Ask, Connection, Door, Outcome, connect, outcome_of, written

Kind = Literal["raw", "http", "web"]
KINDS: tuple[Kind, ...] = ("raw", "http", "web")
_LIMIT_S = 3.0
GOLD = (("x-t", "gold"),)
_UPGRADE = upgrade("/a").removesuffix(b"\r\n") + b"x-t: gold\r\n\r\n"
_PING = b"ping\n"


class Link:
    """An open connection; `app` is who answered last, `workload:port`, and "" once it has ended."""

    def __init__(self, kind: Kind, connection: Connection) -> None:
        self.kind = kind
        self.app = ""
        self._reader, self._writer = connection

    @classmethod
    async def open(cls, kind: Kind, door: Door) -> Link | None:
        """Connect, and use it once; None where nobody answers."""
        try:
            made = cls(kind, await connect(door))
        except BROKEN:
            return None
        if kind == "web":
            await made._answer(_UPGRADE)
        elif kind == "raw":
            await made.line()
        else:
            await made.ask(Ask("GET", "/a", GOLD))
        if made.app:
            return made
        made.end()
        return None

    async def line(self) -> str:
        """Send a line and take what comes back; who answered."""
        try:
            async with asyncio.timeout(_LIMIT_S):
                self._writer.write(_PING)
                found = (await self._reader.readline()).decode("latin-1").strip()
        except BROKEN:
            found = ""
        if self.kind == "raw":
            self.app = found.removesuffix(": ping") if found.endswith(": ping") else ""
        elif found != "ping":
            self.app = ""
        return self._kept()

    async def ask(self, ask: Ask) -> Outcome:
        """One more request; who is refused may ask again."""
        return await self._answer(written(ask))

    async def use(self) -> str:
        """Use it as it was used first; who answered."""
        return (await self.ask(Ask("GET", "/a", GOLD))).app if self.kind == "http" else await self.line()

    def ended(self) -> bool:
        """Whether the other side has ended it."""
        return self._writer.transport.is_closing()

    def end(self) -> None:
        """End it at once."""
        self._writer.transport.abort()

    async def _answer(self, asked: bytes) -> Outcome:
        try:
            async with asyncio.timeout(_LIMIT_S):
                self._writer.write(asked)
                head = await self._reader.readuntil(b"\r\n\r\n")
                lengths = [
                    line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
                ]
                await self._reader.readexactly(int(lengths[0]) if lengths else 0)
        except BROKEN:
            self.app = ""
            self._kept()
            return Outcome()
        found = outcome_of(head)
        self.app = found.app
        if self.kind != "http":
            self._kept()
        return found

    def _kept(self) -> str:
        if not self.app:
            self.end()
        return self.app


async def call(door: Door, request: Request) -> Outcome:
    """Make a request, or send bytes, on a connection of its own."""
    try:
        made = Link("raw" if request.protocol == "tcp" else "http", await connect(door))
    except BROKEN:
        return Outcome()
    try:
        if request.protocol == "tcp":
            app = await made.line()
            return Outcome(200 if app else 0, app)
        return await made.ask(Ask(request.method, request.path, request.headers))
    finally:
        made.end()
