"""A small HTTP server for metrics and health: one GET per connection, few connections, little time for each.

It shares a process with revocations, so nobody may use up its descriptors or its time: a socket has at most `CONNECTIONS` open
connections, others wait in the kernel; each has `LIMIT_S` in all and `MOST_BYTES` for its request. The Unix socket lies in a
folder of the hub's own, for its user alone; TCP is there only if smihub.yaml asks for it.
Source: RFC 9112 (HTTP/1.1), 2.2, 3 and 9.6; Linux, unix(7).
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import stat
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path

import structlog
from msgspec import Struct

from hub.config.file import Config
from hub.errors import ConfigError, SmihubError
from hub.private import claim, make_folder, raise_descriptor_limit
from hub.status.metrics import AllMetrics, Metrics
from hub.status.sockets import socket_file

CONNECTIONS = 64
LIMIT_S = 5.0
MOST_BYTES = 8192
PATH_BYTES = 107
"""Linux, unix(7): sun_path holds 108 bytes with its terminator."""
_SHARE = 16
"""Of all descriptors, the connections of one socket may take the sixteenth part."""
_LINGER_S = 1.0
_PAUSE_S = 0.1
_REQUEST = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) (/[!-~]{0,1024}) HTTP/1\.[01]\r?\n")
_log: structlog.stdlib.BoundLogger = structlog.get_logger("smihub.http")
_TEXT = "text/plain; charset=utf-8"
_METRICS = "text/plain; version=0.0.4; charset=utf-8"


class HttpResponse(Struct, frozen=True):
    """What is answered."""

    status: int
    body: bytes
    kind: str = _TEXT


_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
Pages = Mapping[str, Callable[[], HttpResponse]]


def pages(metrics: Metrics | AllMetrics) -> Pages:
    """What is to be had: `/metrics`, `/livez` and `/readyz`."""
    return {
        "/metrics": lambda: HttpResponse(200, metrics.text(), _METRICS),
        "/livez": lambda: _alive(metrics),
        "/readyz": lambda: _ready(metrics.missing()),
    }


_OK = HttpResponse(200, b"ok\n")


def _alive(metrics: Metrics | AllMetrics) -> HttpResponse:
    if metrics.stuck():
        return HttpResponse(503, b"a turn of the loop takes too long\n")
    hung = ", ".join(f"mesh {name}" for name in metrics.hung())
    return HttpResponse(503, f"no sign of life from the worker of {hung}\n".encode()) if hung else _OK


def _ready(missing: tuple[str, ...]) -> HttpResponse:
    return HttpResponse(503, f"waiting for {', '.join(missing)}\n".encode()) if missing else _OK


@asynccontextmanager
async def served(config: Config, metrics: Metrics) -> AsyncIterator[None]:
    """Serve a domain's metrics on the Unix socket beside its state folder while the block runs.

    A socket that cannot be had is logged: nothing that matters to a mesh depends on it.
    """
    with ExitStack() as stack:
        async with served_on(_unix(config, stack), metrics):
            yield


@asynccontextmanager
async def served_on(listening: socket.socket | None, metrics: Metrics | AllMetrics) -> AsyncIterator[None]:
    """Serve on this socket, if there is one, while the block runs."""
    if listening is None:
        yield
        return
    task = asyncio.create_task(serve(listening, pages(metrics)))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


# --------------------------------------------------------------------------- sockets


def _unix(config: Config, stack: ExitStack) -> socket.socket | None:
    file = socket_file(config)
    try:
        return _bound(file, stack)
    except (SmihubError, OSError) as error:
        _log.warning("metrics_unserved", socket=str(file), reason=str(error))
        return None


def _bound(file: Path, stack: ExitStack) -> socket.socket:
    """Listen on a socket file that this user alone can reach, in the place of one that nobody serves any more."""
    if len(os.fsencode(file)) > PATH_BYTES:
        raise ConfigError(f'socket path "{file}" is longer than {PATH_BYTES} bytes; choose a shorter state folder')
    make_folder(file.parent, "the hub's sockets")
    stack.callback(os.close, claim(file.with_name(f"{file.name}.lock"), f'"{file}" is served'))
    with suppress(FileNotFoundError):
        # Of a hub that was killed; a living one holds the lock, so we would not be here.
        if not stat.S_ISSOCK(file.lstat().st_mode):
            raise ConfigError(f'"{file}" is not a socket; move it away')
        file.unlink()
    listener = stack.enter_context(socket.socket(socket.AF_UNIX))
    before = os.umask(0o177)  # nobody else may connect between binding and any later chmod
    try:
        listener.bind(str(file))
    finally:
        os.umask(before)
    stack.callback(lambda: file.unlink(missing_ok=True))
    return _listening(listener)


@contextmanager
def listening(config: Config) -> Iterator[socket.socket | None]:
    """The TCP socket that smihub.yaml asks for, if it does. Raises ConfigError where it cannot be had."""
    address = config.http.address
    if address is None:
        yield None
        return
    with socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            _listening(listener)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise ConfigError(f'http.address: "{address[0]}", port {address[1]}, cannot be used: {reason}') from None
        yield listener


def _listening(listener: socket.socket) -> socket.socket:
    listener.setblocking(False)
    listener.listen(CONNECTIONS)
    return listener


# --------------------------------------------------------------------------- serving


async def serve(listening: socket.socket, found: Pages) -> None:
    """Answer on a listening socket, until cancelled."""
    loop = asyncio.get_running_loop()
    room = asyncio.Semaphore(max(2, min(CONNECTIONS, raise_descriptor_limit() // _SHARE)))
    async with asyncio.TaskGroup() as group:
        while True:
            # Before accepting: connections beyond the limit wait in the kernel's backlog and cost no descriptor.
            await room.acquire()
            try:
                connection, _ = await loop.sock_accept(listening)
            except OSError:  # out of descriptors, or a caller that went away: others need the time
                room.release()
                await asyncio.sleep(_PAUSE_S)
                continue
            group.create_task(_answered(connection, found, room))


async def _answered(connection: socket.socket, found: Pages, room: asyncio.Semaphore) -> None:
    loop = asyncio.get_running_loop()
    with connection, suppress(OSError, TimeoutError):
        try:
            async with asyncio.timeout(LIMIT_S):
                answer = _answer(await _head(connection), found)
                await loop.sock_sendall(connection, _encoded(answer))
                connection.shutdown(socket.SHUT_WR)
            async with asyncio.timeout(
                _LINGER_S
            ):  # what is closed with bytes unread resets, and takes the answer along
                await _drained(connection)
        finally:
            room.release()


async def _head(connection: socket.socket) -> bytes:
    """The request up to the empty line; as much as is allowed of one that is too long."""
    loop, head = asyncio.get_running_loop(), b""
    while not re.search(rb"\r?\n\r?\n", head) and len(head) <= MOST_BYTES:
        piece = await loop.sock_recv(connection, MOST_BYTES)
        if not piece:
            break
        head += piece
    return head


async def _drained(connection: socket.socket) -> None:
    loop, left = asyncio.get_running_loop(), 8 * MOST_BYTES
    while left > 0 and (piece := await loop.sock_recv(connection, MOST_BYTES)):
        left -= len(piece)


def _answer(head: bytes, found: Pages) -> HttpResponse:
    if not re.search(rb"\r?\n\r?\n", head[:MOST_BYTES]):
        return HttpResponse(431, b"too large\n") if len(head) >= MOST_BYTES else HttpResponse(400, b"no request\n")
    request = _REQUEST.match(head)
    if request is None:
        return HttpResponse(400, b"no HTTP/1.1 request\n")
    page = found.get(request[2].partition(b"?")[0].decode())
    if page is None:
        return HttpResponse(404, "".join(f"{path}\n" for path in found).encode())
    if request[1] != b"GET":
        return HttpResponse(405, b"GET only\n")
    try:
        return page()
    except Exception:  # noqa: BLE001 - one page that fails is no reason to serve none
        _log.exception("page_failed", path=request[2].decode())
        return HttpResponse(500, b"failed; see the log\n")


def _encoded(answer: HttpResponse) -> bytes:
    lines = [
        f"HTTP/1.1 {answer.status} {_REASONS[answer.status]}",
        f"Content-Type: {answer.kind}",
        f"Content-Length: {len(answer.body)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
        *(["Allow: GET"] if answer.status == 405 else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + answer.body
