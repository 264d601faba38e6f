"""Real Envoys, and small applications behind them, for tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from adapters.vm.bootstrap.envoy import Sidecar, command, find_envoy, write_private, write_sidecar


class Envoy:
    """One running Envoy; its admin interface is a Unix socket in its folder."""

    def __init__(self, process: asyncio.subprocess.Process, admin: Path, log: Path) -> None:
        self._process = process
        self._admin = admin
        self.log = log

    async def admin(self, path: str, method: str = "GET") -> str:
        """The body of an admin page; empty while the interface is not up."""
        try:
            reader, writer = await asyncio.open_unix_connection(str(self._admin))
        except OSError:
            return ""
        writer.write(f"{method} {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n".encode())
        raw = await reader.read()
        writer.close()
        head, _, body = raw.partition(b"\r\n\r\n")
        return (_unchunked(body) if b"chunked" in head.lower() else body).decode()

    async def stats(self, prefix: str) -> dict[str, int]:
        """Counters and gauges whose names contain a text."""
        lines = [line.partition(": ") for line in (await self.admin(f"/stats?filter={prefix}")).splitlines()]
        return {name: int(value) for name, _, value in lines if value.isdigit()}

    async def listeners(self) -> set[str]:
        """The names of the active listeners."""
        shown = await self.admin("/listeners?format=json")
        statuses: list[dict[str, Any]] = msgspec.json.decode(shown or "{}").get("listener_statuses", [])
        return {item["name"] for item in statuses}

    async def ready(self) -> None:
        """Wait until Envoy is live."""
        async with asyncio.timeout(20):
            while not (await self.admin("/ready")).startswith("LIVE"):
                assert self._process.returncode is None, self.log.read_text()[-2000:]
                await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """End it, at once, and wait for its end: it holds its ports until then."""
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()


async def start_envoy(sidecar: Sidecar, token: str) -> Envoy:
    """Start the Envoy of a workload in its folder."""
    log = sidecar.folder / "envoy.log"
    write_sidecar(sidecar)
    write_private(sidecar.token, token.encode())
    line = command(find_envoy(), sidecar.config)
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(*line, stdout=output, stderr=output)
    return Envoy(process, Path(sidecar.admin.removeprefix("unix:")), log)


class App:
    """An HTTP/1.1 application: `/stream` sends a line each 50 ms for ever, anything else its name and the request line."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.seen: list[str] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        with suppress(OSError, asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                line = head.split(b"\r\n")[0].decode()
                self.seen.append(line)
                if " /stream " in line:
                    await self._stream(writer)
                body = f"{self.name} {line}".encode()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
                await writer.drain()
        writer.close()

    async def _stream(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"5\r\ntick\n\r\n")
            await writer.drain()
            await asyncio.sleep(0.05)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A TCP application that returns what it reads."""
    with suppress(OSError):
        while data := await reader.read(4096):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def serving(handler: Any) -> AsyncIterator[int]:
    """Serve a handler on a free loopback port; at the end its connections are closed."""
    tasks: set[asyncio.Task[None]] = set()

    async def tracked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(handler(reader, writer))
        tasks.add(task)
        with suppress(asyncio.CancelledError):
            await task
        tasks.discard(task)
        writer.close()

    server = await asyncio.start_server(tracked, "127.0.0.1", 0)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.sleep(0.05)


class Http:
    """One kept HTTP/1.1 connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> Http:
        """Connect to a loopback port."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def send(self, path: str) -> int:
        """Send a request and read the response's head; gives the status (0 = the connection ended)."""
        self._writer.write(f"GET {path} HTTP/1.1\r\nhost: api\r\n\r\n".encode())
        try:
            self._head = await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), 5)
        except (OSError, asyncio.IncompleteReadError):
            return 0
        return int(self._head.split()[1])

    async def get(self, path: str) -> int:
        """Send a request and read the whole response; gives the status (0 = the connection ended)."""
        status = await self.send(path)
        lines = [line.lower().partition(b":") for line in self._head.split(b"\r\n")] if status else []
        length = next((int(value) for key, _, value in lines if key == b"content-length"), 0)
        await self._reader.readexactly(length)
        return status

    async def until_closed(self) -> int:
        """Read until the other side closes; gives the number of bytes that still came. Fails after five seconds."""
        count = 0
        async with asyncio.timeout(5):
            with suppress(OSError):
                while data := await self._reader.read(4096):
                    count += len(data)
        return count

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()


async def status_of(port: int, path: str) -> int:
    """The status of one request on its own connection (0 = refused or cut)."""
    try:
        connection = await Http.open(port)
    except OSError:
        return 0
    status = await connection.get(path)
    connection.close()
    return status


async def eventually(port: int, path: str, status: int) -> None:
    """Wait until a request gets this status. Fails after ten seconds."""
    async with asyncio.timeout(10):
        while await status_of(port, path) != status:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.02)


def _unchunked(body: bytes) -> bytes:
    out = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        count = int(size, 16)
        out, body = out + rest[:count], rest[count + 2 :] if count else b""
    return out
