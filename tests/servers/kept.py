"""Connections that are kept open and watched: HTTP/1.1, HTTP/2 with several streams, a WebSocket, lines over TCP."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import h2.events
import h2.exceptions

from tests.servers.raw_calls import BROKEN, Ask, Connection, Door, Outcome, connect, outcome_of, raw_session, written

PACE_S = 0.01


class Watch:
    """What was seen of one connection, in seconds of the loop's clock: last service, first refusal, and its end."""

    def __init__(self) -> None:
        self.served = 0
        self.last_served = 0.0
        self.refused: float | None = None
        self.ended: float | None = None

    def note(self) -> None:
        """It was served just now."""
        self.served += 1
        self.last_served = now()

    def told(self, start: float) -> str:
        """In words, in milliseconds since `start`."""
        parts = [("last served", self.last_served), ("refused", self.refused), ("ended", self.ended)]
        return ", ".join(f"{word} {1000 * (at - start):.0f} ms" for word, at in parts if at is not None)


def now() -> float:
    """The loop's clock."""
    return asyncio.get_running_loop().time()


@contextmanager
def aborting(writer: asyncio.StreamWriter) -> Iterator[None]:
    """End the connection at once, however the block ends."""
    try:
        yield
    finally:
        writer.transport.abort()


async def ask(connection: Connection, path: str) -> Outcome:
    """One more request on a kept HTTP/1.1 connection. Raises when it ends instead."""
    reader, writer = connection
    writer.write(written(Ask("GET", path)))
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    await reader.readexactly(int(lengths[0]) if lengths else 0)
    return outcome_of(head)


async def keep_asking(door: Door, path: str, watch: Watch, done: asyncio.Event) -> None:
    """Ask again and again on one connection until a request is refused, the connection ends, or it is done."""
    connection = await connect(door)
    try:
        while not done.is_set() and watch.refused is None:
            outcome = await ask(connection, path)
            if outcome.served:
                watch.note()
            else:
                watch.refused = now()
            await asyncio.sleep(PACE_S)
    except BROKEN:
        watch.ended = now()
    finally:
        connection[1].transport.abort()


async def keep_reading(door: Door, request: Ask, watch: Watch) -> None:
    """Read the endless answer to one request until it ends."""
    reader, writer = await connect(door)
    with aborting(writer), suppress(*BROKEN):
        writer.write(written(request))
        await reader.readuntil(b"\r\n\r\n")
        while await reader.read(4096):
            watch.note()
    watch.ended = now()


async def keep_echoing(door: Door, watch: Watch, opening: bytes = b"") -> None:
    """Send a line, read what comes back, and so on, until the connection ends; `opening` comes first (an upgrade)."""
    reader, writer = await connect(door)
    with aborting(writer), suppress(*BROKEN):
        if opening:
            writer.write(opening)
            await reader.readuntil(b"\r\n\r\n")
        while True:
            writer.write(b"ping\n")
            # No wait_for: before Python 3.12 it drops a cancellation that comes together with the line.
            async with asyncio.timeout(5):
                line = await reader.readline()
            if not line:
                break
            watch.note()
            await asyncio.sleep(PACE_S)
    watch.ended = now()


def upgrade(path: str) -> bytes:
    """A request for a WebSocket."""
    key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="), ("sec-websocket-version", "13")
    return written(Ask("GET", path, (("connection", "upgrade"), ("upgrade", "websocket"), *key)))


class Http2:
    """One HTTP/2 connection with endless streams, and requests between them."""

    def __init__(self, connection: Connection) -> None:
        self._reader, self._writer = connection
        self._session = raw_session()
        self._watches: dict[int, Watch] = {}
        self._asked: dict[int, asyncio.Future[int]] = {}
        self._pump = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, door: Door) -> Http2:
        """Connect in plain text, with HTTP/2 known beforehand."""
        return cls(await connect(door))

    def stream(self, path: str, watch: Watch) -> None:
        """Open an endless stream."""
        self._watches[self._send(path)] = watch

    async def status(self, path: str) -> int:
        """Ask once more; the status, 0 if the stream or the connection ended."""
        asked: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._asked[self._send(path)] = asked
        return await asyncio.wait_for(asked, 5)

    async def close(self) -> None:
        """End it."""
        self._pump.cancel()
        with suppress(asyncio.CancelledError):
            await self._pump
        self._writer.transport.abort()

    def _send(self, path: str) -> int:
        number = self._session.get_next_available_stream_id()
        head = [(":method", "GET"), (":scheme", "http"), (":authority", "service"), (":path", path)]
        self._session.send_headers(number, head, end_stream=True)
        self._writer.write(self._session.data_to_send())
        return number

    async def _read(self) -> None:
        with suppress(*BROKEN):
            while data := await self._reader.read(65536):
                for event in self._session.receive_data(data):
                    self._take(event)
                self._writer.write(self._session.data_to_send())
        for number in list(self._watches):
            self._over(number)
        for asked in self._asked.values():
            if not asked.done():
                asked.set_result(0)

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ResponseReceived) and event.stream_id in self._asked:
            found = {str(name): str(value) for name, value in event.headers}
            asked = self._asked[event.stream_id]
            if not asked.done():  # nobody may be waiting any more
                asked.set_result(int(found[":status"]))
        elif isinstance(event, h2.events.DataReceived) and event.stream_id in self._watches:
            self._watches[event.stream_id].note()
            self._session.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamReset | h2.events.StreamEnded):
            self._over(event.stream_id)

    def _over(self, number: int | None) -> None:
        watch = self._watches.pop(number or 0, None)
        if watch is not None:
            watch.ended = now()
