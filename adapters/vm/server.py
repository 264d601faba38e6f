"""The ADS server: grpc.aio, bytes in and bytes out, one pure `Stream` per connection.

Identity comes from the bearer token in the stream's metadata alone. One whose token has ended is told that there is
nothing for it, so that its listeners close and its connections end, and is then sent away. The server binds only where the network cannot
reach it, because tokens travel in the clear. Closing it deletes nothing: clients keep what they have.
Source: Envoy, "xDS REST and gRPC protocol"; gRPC core, "grpc.max_pending_requests" and related channel arguments.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import grpc
import grpc.aio
import structlog

from adapters.vm import codec
from adapters.vm.ca import Secret
from adapters.vm.delta import DeltaStream
from adapters.vm.resource import NOTHING, Snapshot
from adapters.vm.sotw import SotwStream
from adapters.vm.stream import DiscoveryRequest, Mark, Response, Step, Stream, StreamError
from adapters.vm.tokens import Bearer
from hub.api import ConfigError

SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"
RECEIVE_LIMIT_BYTES = 4 * 1024 * 1024
ANSWER_TIMEOUT_S = 60.0
ENDED_STREAM_S = 10.0
"""How long one whose token has ended may stay, at least; it comes again, by then perhaps with a new token."""
STREAMS_PER_WORKLOAD = 8
SOCKET_PATH_BYTES = 107
"""Linux, unix(7): sun_path holds 108 bytes with its terminator."""
_OPTIONS: tuple[tuple[str, Any], ...] = (
    # A restart brings every sidecar at once; with the defaults gRPC cancels streams that wait to be accepted.
    ("grpc.server.max_pending_requests", 100_000),
    ("grpc.server.max_pending_requests_hard_limit", 200_000),
    ("grpc.max_receive_message_length", RECEIVE_LIMIT_BYTES),
    ("grpc.max_send_message_length", -1),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.so_reuseport", 0),  # a second server on one port must fail, not take half of the streams
)
_log = structlog.get_logger(__name__)

Requests = AsyncIterator[bytes]
Context = grpc.aio.ServicerContext[bytes, bytes]


class Session:
    """One open stream: who it is and by which token, since when (UTC), and its state machine."""

    def __init__(self, bearer: tuple[Bearer, Secret], variant: str, stream: Stream, since: dt.datetime) -> None:
        self.workload, self.ended, self.token = bearer[0].workload, bearer[0].ended, bearer[1]
        self.expelled = False
        self.variant = variant
        self.stream = stream
        self.since = since
        self.opened_s = self.moved_s = (
            asyncio.get_running_loop().time()
        )  # `moved`: when either side last said something
        self.changed = asyncio.Event()
        self.turn = asyncio.Lock()  # requests and snapshots take turns, so responses leave in the order they were made


class Host(Protocol):
    """Where the server gets what it serves, and reports what it heard."""

    def bearer(self, token: Secret) -> Bearer | None:
        """Whose token this is (`ns/name`), and whether it still holds; or None."""

    def snapshot(self, workload: str) -> Snapshot | None:
        """What this workload must get now; None while nothing was ever applied."""

    def opened(self, session: Session) -> None:
        """A stream was accepted."""

    def heard(self, session: Session, marks: tuple[Mark, ...]) -> None:
        """A client said something; `marks` are its answers, if any."""

    def closed(self, session: Session) -> None:
        """A stream ended."""


class AdsServer:
    """Serves `Host` on one address: `unix:/path`, `127.0.0.1:port` or `[::1]:port`. `clock` gives the time in UTC."""

    def __init__(self, address: str, host: Host, clock: Callable[[], dt.datetime]) -> None:
        self._target = check_address(address)
        self._host = host
        self._clock = clock
        self._server: grpc.aio.Server | None = None
        self._sessions: dict[str, set[Session]] = {}
        self._stopping = asyncio.Event()
        self.port = 0

    async def start(self) -> None:
        """Bind and accept. Raises ConfigError if the address cannot be had."""
        _refuse_if_served(self._target)
        server = grpc.aio.server(options=_OPTIONS)
        methods: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            "StreamAggregatedResources": grpc.stream_stream_rpc_method_handler(self._sotw),
            "DeltaAggregatedResources": grpc.stream_stream_rpc_method_handler(self._delta),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
        try:
            self.port = server.add_insecure_port(self._target)
        except RuntimeError as error:
            await server.stop(None)
            raise ConfigError(f'cannot listen on "{self._target}": {error}; choose another address') from error
        _make_private(self._target)
        await server.start()
        self._server = server

    async def stop(self) -> None:
        """Stop accepting and end every stream with UNAVAILABLE; clients keep what they have."""
        self._stopping.set()
        if self._server is not None:
            await self._server.stop(1.0)

    @property
    def sessions(self) -> tuple[Session, ...]:
        """All open streams."""
        return tuple(session for group in self._sessions.values() for session in group)

    def connected(self, workload: str) -> tuple[Session, ...]:
        """The open streams of one workload, oldest first."""
        return tuple(sorted(self._sessions.get(workload, ()), key=lambda session: session.since))

    def wake(self, workloads: Iterable[str]) -> None:
        """Have the streams of these workloads look at their newest snapshot."""
        for workload in workloads:
            for session in self._sessions.get(workload, ()):
                session.changed.set()

    def review(self, workloads: Iterable[str] | None = None) -> set[str]:
        """Look at the tokens of open streams again, of these workloads or of all; gives those whose token has ended now.

        Streams whose token was replaced end: they would go on to get renewed keys. From one whose token has ended
        everything is taken.
        """
        asked = self._sessions if workloads is None else self._sessions.keys() & set(workloads)
        fresh: set[str] = set()
        for session in [session for workload in asked for session in self._sessions[workload]]:
            found = self._host.bearer(session.token)
            session.expelled = found is None or found.replaced
            if found is not None and found.ended and not session.ended:
                session.ended = True
                fresh.add(session.workload)
            if session.expelled or session.ended:
                session.changed.set()
        return fresh

    async def _sotw(self, requests: Requests, context: Context) -> None:
        await self._serve(requests, context, _Variant("sotw", SotwStream, codec.read_sotw, codec.write_sotw))

    async def _delta(self, requests: Requests, context: Context) -> None:
        await self._serve(requests, context, _Variant("delta", DeltaStream, codec.read_delta, codec.write_delta))

    async def _serve(self, requests: Requests, context: Context, variant: _Variant) -> None:
        try:
            session = self._admit(_token(context), variant)
        except StreamError as error:
            await context.abort(grpc.StatusCode[error.code], str(error))
        self._sessions.setdefault(session.workload, set()).add(session)
        self._host.opened(session)
        try:
            writer = _Writer(context, variant)
            await self._until_first(self._read(requests, session, writer), self._follow(session, writer))
        except StreamError as error:
            _log.info("stream_refused", workload=session.workload, code=error.code, reason=str(error))
            await context.abort(grpc.StatusCode[error.code], str(error))
        finally:
            self._drop(session)

    def _admit(self, token: Secret, variant: _Variant) -> Session:
        bearer = self._host.bearer(token)
        if bearer is None:
            raise StreamError("UNAUTHENTICATED", "missing or unknown token; issue one with: smihub bootstrap")
        workload = bearer.workload
        if self._stopping.is_set():
            raise StreamError("UNAVAILABLE", "server is shutting down")
        if len(self._sessions.get(workload, ())) >= STREAMS_PER_WORKLOAD:
            raise StreamError("RESOURCE_EXHAUSTED", "too many streams of one workload")
        snapshot = NOTHING if bearer.ended else self._host.snapshot(workload)
        if snapshot is None:
            raise StreamError("UNAVAILABLE", "no revision was applied yet")
        return Session((bearer, token), variant.name, variant.make(workload, snapshot), self._clock())

    def _drop(self, session: Session) -> None:
        group = self._sessions[session.workload]
        group.discard(session)
        if not group:
            del self._sessions[session.workload]
        self._host.closed(session)

    async def _until_first(self, *parts: Awaitable[None]) -> None:
        """Run the parts of a stream until one of them ends, then end the others; errors of the first are raised."""
        tasks = [asyncio.ensure_future(part) for part in (*parts, self._end())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _end(self) -> None:
        await self._stopping.wait()
        raise StreamError("UNAVAILABLE", "server is shutting down")

    async def _read(self, requests: Requests, session: Session, writer: _Writer) -> None:
        """Take requests until the client half-closes. While a response cannot be written, nothing more is read."""
        async for raw in requests:
            async with session.turn:
                session.moved_s = asyncio.get_running_loop().time()
                step = session.stream.receive(writer.variant.read(raw))
                await self._emit(session, writer, step)

    async def _follow(self, session: Session, writer: _Writer) -> None:
        """Push the newest snapshot whenever there is one, and end a stream whose client has stopped answering."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(ANSWER_TIMEOUT_S / 4):
                    await session.changed.wait()
            if session.expelled:
                raise StreamError("UNAUTHENTICATED", "the token of this stream was replaced by a new one")
            if session.ended and asyncio.get_running_loop().time() - session.opened_s > ENDED_STREAM_S:
                raise StreamError(
                    "UNAUTHENTICATED", "the token of this stream has ended; issue one with: smihub bootstrap"
                )
            silent_s = asyncio.get_running_loop().time() - session.moved_s
            if session.stream.waits and silent_s > ANSWER_TIMEOUT_S:
                raise StreamError("DEADLINE_EXCEEDED", "the client does not answer responses")
            if session.changed.is_set():
                await self._offer(session, writer)

    async def _offer(self, session: Session, writer: _Writer) -> None:
        async with session.turn:
            session.changed.clear()
            snapshot = NOTHING if session.ended else self._host.snapshot(session.workload)
            if snapshot is not None:
                await self._emit(session, writer, session.stream.offer(snapshot))

    async def _emit(self, session: Session, writer: _Writer, step: Step) -> None:
        if step.responses:
            session.moved_s = asyncio.get_running_loop().time()
        self._host.heard(session, step.marks)
        await writer.write(step)


class _Variant:
    """What differs between the two methods."""

    def __init__(
        self,
        name: str,
        make: Callable[[str, Snapshot], Stream],
        read: Callable[[bytes], DiscoveryRequest],
        write: Callable[[Response], bytes],
    ) -> None:
        self.name = name
        self.make = make
        self.read = read
        self.write = write


class _Writer:
    """The sending side of one stream."""

    def __init__(self, context: Context, variant: _Variant) -> None:
        self._context = context
        self.variant = variant

    async def write(self, step: Step) -> None:
        """Send the step's responses. Raises StreamError if the client does not read."""
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                for response in step.responses:
                    await self._context.write(self.variant.write(response))
        except TimeoutError as error:
            raise StreamError("DEADLINE_EXCEEDED", "the client does not read") from error


def check_address(address: str) -> str:
    """The gRPC target of an address that other hosts cannot reach. Raises ConfigError for any other."""
    if address.startswith("unix:/"):
        if len(address.removeprefix("unix:").encode()) > SOCKET_PATH_BYTES:
            raise ConfigError(
                f'socket path "{address}" is longer than {SOCKET_PATH_BYTES} bytes, which the kernel does not take; choose a shorter folder'
            )
        return address
    host, _, port = address.rpartition(":")
    try:
        private = ipaddress.ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        private = False
    if not private or not (port.isascii() and port.isdigit() and int(port) <= 65535):
        raise ConfigError(
            f'address "{address}" is not allowed: tokens travel in the clear, so the server listens only on a Unix socket or loopback; write unix:/path or 127.0.0.1:PORT'
        )
    return address


def _make_private(target: str) -> None:
    if target.startswith("unix:"):
        Path(target.removeprefix("unix:")).chmod(0o600)


def _refuse_if_served(target: str) -> None:
    """Fail where gRPC would silently take a Unix socket away from a server that lives."""
    if not target.startswith("unix:"):
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(target.removeprefix("unix:"))
        except OSError:
            return
    raise ConfigError(f'"{target}" is served by another process; stop that one or choose another socket')


def _token(context: Context) -> Secret:
    """The bearer token of the metadata; an empty one if there is not exactly one."""
    found = [value for key, value in context.invocation_metadata() or () if key == "authorization"]
    raw = found[0] if len(found) == 1 else ""
    text = raw if isinstance(raw, str) else ""
    scheme, _, token = text.partition(" ")
    return Secret(token.encode() if scheme.lower() == "bearer" else b"")
