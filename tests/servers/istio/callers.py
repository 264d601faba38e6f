"""Applications and callers of every Pod, in one event loop of a thread of its own."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence

from msgspec import Struct

from tests.servers.istio.namespaces import Namespace
from tests.servers.many_apps import Apps
from tests.servers.raw_calls import BROKEN, LIMIT_S, Ask, Connection, Outcome, _http2, outcome_of, spoken, written


class Line(Struct, frozen=True):
    """Where a call goes: from which namespace, to which address, and how (None: as bytes, for the sidecar to wrap).

    `sni` is the name that the caller's own TLS asks for ("": none).
    """

    namespace: Namespace
    address: str
    port: int
    tls: ssl.SSLContext | None = None
    sni: str = ""


class PodApps(Apps):
    """Applications on sockets that are listening already."""

    async def serve(self, name: str, listener: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        """Answer under this name, within TLS of its own if that is given."""

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(self._quietly(self._serve(name, ("", 0), reader, writer), writer))
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)

        self._servers.append(await asyncio.start_server(connected, sock=listener, ssl=tls))


async def connect(line: Line) -> Connection:
    """Open a connection out of a namespace. Raises OSError (ssl's errors, too) or TimeoutError."""
    made = line.namespace.stream()
    try:
        async with asyncio.timeout(LIMIT_S):
            await asyncio.get_running_loop().sock_connect(made, (line.address, line.port))
            name = line.sni if line.tls else None
            return await asyncio.open_connection(sock=made, ssl=line.tls, server_hostname=name)
    except BaseException:
        made.close()
        raise


async def http(line: Line, ask: Ask) -> Outcome:
    """One HTTP/1.1 request on a connection of its own."""
    return (await many(line, [ask]))[0]


async def many(line: Line, asks: Sequence[Ask]) -> list[Outcome]:
    """HTTP/1.1 requests one after the other, on one connection as long as it is kept open."""
    found: list[Outcome] = []
    connection: Connection | None = None
    try:
        for ask in asks:
            connection, outcome = await _on(connection, line, ask)
            found.append(outcome)
    finally:
        if connection is not None:
            connection[1].transport.abort()
    return found


async def _on(connection: Connection | None, line: Line, ask: Ask) -> tuple[Connection | None, Outcome]:
    """One request; gives the connection for the next one, None if that needs a new one."""
    try:
        reader, writer = connection or await connect(line)
    except BROKEN:
        return None, Outcome()
    try:
        async with asyncio.timeout(LIMIT_S):
            writer.write(written(ask))
            head = await reader.readuntil(b"\r\n\r\n")
            await _skip_body(reader, head, ask)
    except BROKEN:
        writer.transport.abort()
        return None, Outcome()
    if b"connection: close" in head.lower():
        writer.transport.abort()
        return None, outcome_of(head)
    return (reader, writer), outcome_of(head)


async def http2(line: Line, ask: Ask) -> Outcome:
    """One HTTP/2 request on a connection of its own, with prior knowledge."""
    try:
        reader, writer = await connect(line)
    except BROKEN:
        return Outcome()
    try:
        async with asyncio.timeout(LIMIT_S):
            return await _http2(reader, writer, ask)
    except BROKEN:
        return Outcome()
    finally:
        writer.transport.abort()


async def _skip_body(reader: asyncio.StreamReader, head: bytes, ask: Ask) -> None:
    fields = dict(line.partition(b":")[::2] for line in head.lower().split(b"\r\n")[1:])
    length = int(fields.get(b"content-length", b"0"))
    if ask.method != "HEAD" and length:
        await reader.readexactly(length)


async def tcp(line: Line) -> Outcome:
    """Send a line and take the answer. Status 200 = an application answered."""
    try:
        return await spoken(*await connect(line))
    except BROKEN:
        return Outcome()
