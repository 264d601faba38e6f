"""The ADS server: grpc.aio, bytes in and bytes out, one pure `Stream` per connection.

Identity comes from the bearer token in the stream's metadata alone. One whose token has ended is told that there is
nothing for it, so that its listeners close and its connections end, and is then sent away. The server listens on Unix
sockets only (`server_sockets`). Closing it deletes nothing: clients keep what they have.
Connections are limited, and those that say nothing end soon: whoever may connect must not be able to use up the
descriptors that the hub needs for its sources and its state.
Source: Envoy, "xDS REST and gRPC protocol"; gRPC core, `include/grpc/impl/channel_arg_names.h`.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Protocol

import grpc
import grpc.aio
import structlog

from adapters.vm.identity.ca import Secret
from adapters.vm.identity.tokens import Bearer
from adapters.vm.resource import NOTHING, Snapshot
from adapters.vm.serve import codec
from adapters.vm.serve.client import ClientAnswer, DiscoveryRequest, Response, StreamError
from adapters.vm.serve.delta import DeltaStream
from adapters.vm.serve.sockets import ServerSocket, guarded
from adapters.vm.serve.sotw import SotwStream
from adapters.vm.serve.stream import Stream, StreamOutput
from hub.api import ConfigError
from hub.private import raise_descriptor_limit

SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"
RECEIVE_LIMIT_BYTES = 4 * 1024 * 1024
ANSWER_TIMEOUT_S = 60.0
ENDED_STREAM_S = 10.0
"""How long one whose token has ended may stay, at least; it comes again, by then perhaps with a new token."""
STREAMS_PER_WORKLOAD = 8
CONNECTIONS = 4096
"""The most per socket; each Envoy of the machine needs one."""
_DESCRIPTOR_SHARE = 8
"""Of all descriptors, the connections of one socket may take the eighth part: several meshes leave enough for the rest."""
_OPTIONS: tuple[tuple[str, Any], ...] = (
    # A restart brings every sidecar at once; with the defaults gRPC cancels streams that wait to be accepted.
    ("grpc.server.max_pending_requests", 100_000),
    ("grpc.server.max_pending_requests_hard_limit", 200_000),
    # A request holds names only; a hostile one is refused before any of it is decoded.
    ("grpc.max_receive_message_length", RECEIVE_LIMIT_BYTES),
    # A whole set of clusters is one response, and has no upper bound.
    ("grpc.max_send_message_length", -1),
    # An Envoy that hangs answers no ping: its stream ends, and status stops calling it connected.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # Envoy pings an idle stream too. By default gRPC allows one ping in 5 minutes and then ends the connection with
    # too_many_pings (gRPC, "Keepalive"), so idle streams would end about every 2 minutes.
    ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # A connection without a stream ends, whether it speaks HTTP/2 or not: an Envoy always has a stream.
    ("grpc.max_connection_idle_ms", 10_000),
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
        # `active_s`: when either side last sent something
        self.opened_s = self.active_s = asyncio.get_running_loop().time()
        self.changed = asyncio.Event()
        self.turn = asyncio.Lock()  # requests and snapshots take turns, so responses leave in the order they were made


class ServerDelegate(Protocol):
    """Where the server gets what it serves, and reports what it heard."""

    def bearer(self, token: Secret) -> Bearer | None:
        """Whose token this is (`ns/name`), and whether it still holds; or None."""

    def snapshot(self, workload: str) -> Snapshot | None:
        """What this workload must get now; None while nothing was ever applied."""

    def opened(self, session: Session) -> None:
        """A stream was accepted."""

    def heard(self, session: Session, answers: tuple[ClientAnswer, ...]) -> None:
        """A client said something; `answers` are its answers, if any."""

    def closed(self, session: Session) -> None:
        """A stream ended."""


class AdsServer:
    """Serves `Host` on Unix sockets. `clock` gives the time in UTC."""

    def __init__(
        self, sockets: Sequence[ServerSocket], delegate: ServerDelegate, clock: Callable[[], dt.datetime]
    ) -> None:
        self._sockets = sockets
        self._locks: list[int] = []
        self._delegate = delegate
        self._clock = clock
        self._server: grpc.aio.Server | None = None
        self._sessions: dict[str, set[Session]] = {}
        self._stopping = asyncio.Event()

    async def start(self) -> None:
        """Bind and accept. Raises ConfigError if a socket cannot be had."""
        most = min(CONNECTIONS, raise_descriptor_limit() // _DESCRIPTOR_SHARE)
        server = grpc.aio.server(options=(*_OPTIONS, ("grpc.max_allowed_incoming_connections", most)))
        methods: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            "StreamAggregatedResources": grpc.stream_stream_rpc_method_handler(self._sotw),
            "DeltaAggregatedResources": grpc.stream_stream_rpc_method_handler(self._delta),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
        try:
            for each in self._sockets:
                self._bind(server, each)
            await server.start()
        # Of two sockets the first may be bound already; its lock would keep the next try out.
        except BaseException:
            await server.stop(None)
            self._unlock()
            raise
        self._server = server

    def _bind(self, server: grpc.aio.Server, where: ServerSocket) -> None:
        try:
            with guarded(where) as lock:
                server.add_insecure_port(where.address)
                self._locks.append(lock)
        except RuntimeError as error:
            raise ConfigError(f'cannot listen on "{where.file}": {error}; choose another folder') from error

    def _unlock(self) -> None:
        while self._locks:
            os.close(self._locks.pop())

    async def stop(self) -> None:
        """Stop accepting and end every stream with UNAVAILABLE; clients keep what they have."""
        self._stopping.set()
        if self._server is not None:
            await self._server.stop(1.0)
        self._unlock()

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

    def recheck_tokens(self, workloads: Iterable[str] | None = None) -> set[str]:
        """Look at the tokens of open streams again, of these workloads or of all; gives those whose token has ended now.

        Streams whose token was replaced end: they would go on to get renewed keys. From one whose token has ended
        everything is taken.
        """
        asked = self._sessions if workloads is None else self._sessions.keys() & set(workloads)
        fresh: set[str] = set()
        for session in [session for workload in asked for session in self._sessions[workload]]:
            holder = self._delegate.bearer(session.token)
            session.expelled = holder is None or holder.replaced
            if holder is not None and holder.ended and not session.ended:
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
        self._delegate.opened(session)
        try:
            writer = _Writer(context, variant)
            ended = await self._serve_until_ended(requests, session, writer)
            await writer.drain()
            if ended is not None:
                await context.abort(grpc.StatusCode[ended.code], str(ended))
        finally:
            self._drop(session)

    async def _serve_until_ended(self, requests: Requests, session: Session, writer: _Writer) -> StreamError | None:
        """Serve a stream until it must end; gives why, None if its client has ended it."""
        try:
            await self._until_first(self._read(requests, session, writer), self._push_snapshots(session, writer))
        except StreamError as error:
            _log.info("stream_refused", workload=session.workload, code=error.code, reason=str(error))
            return error
        return None

    def _admit(self, token: Secret, variant: _Variant) -> Session:
        bearer = self._delegate.bearer(token)
        if bearer is None:
            raise StreamError("UNAUTHENTICATED", "missing or unknown token; issue a new one with: smihub bootstrap")
        workload = bearer.workload
        if self._stopping.is_set():
            raise StreamError("UNAVAILABLE", "server is shutting down")
        alike = [each for each in self._sessions.get(workload, ()) if each.ended == bearer.ended]
        if len(alike) >= STREAMS_PER_WORKLOAD:  # whoever has an old token takes no place of one that holds
            raise StreamError("RESOURCE_EXHAUSTED", "too many streams of one workload")
        # Nothing instead of a refusal: an Envoy that cannot reach its management server keeps what it has, and so would
        # go on accepting connections under a token that has ended.
        snapshot = NOTHING if bearer.ended else self._delegate.snapshot(workload)
        # Not an empty answer: that would end Envoy's initialisation with no listener. It retries by itself.
        if snapshot is None:
            raise StreamError("UNAVAILABLE", "no revision has been applied yet")
        return Session((bearer, token), variant.name, variant.make(workload, snapshot), self._clock())

    def _drop(self, session: Session) -> None:
        group = self._sessions[session.workload]
        group.discard(session)
        if not group:
            del self._sessions[session.workload]
        self._delegate.closed(session)

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
            # What the others raise while they are cancelled is not why the stream ended.
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _end(self) -> None:
        await self._stopping.wait()
        raise StreamError("UNAVAILABLE", "server is shutting down")

    async def _read(self, requests: Requests, session: Session, writer: _Writer) -> None:
        """Take requests until the client half-closes. While a response cannot be written, nothing more is read."""
        # One request at a time, answered before the next is read: a client that floods us waits for itself.
        async for raw in requests:
            async with session.turn:
                session.active_s = asyncio.get_running_loop().time()
                output = session.stream.receive(writer.variant.read(raw))
                await self._emit(session, writer, output)

    async def _push_snapshots(self, session: Session, writer: _Writer) -> None:
        """Push the newest snapshot whenever there is one, and end a stream whose client has stopped answering."""
        while True:
            # Also without news, to notice a client that has stopped answering.
            with suppress(TimeoutError):
                async with asyncio.timeout(ANSWER_TIMEOUT_S / 4):
                    await session.changed.wait()
            if session.expelled:
                raise StreamError("UNAUTHENTICATED", "the token of this stream was replaced by a new one")
            if session.ended and asyncio.get_running_loop().time() - session.opened_s > ENDED_STREAM_S:
                raise StreamError(
                    "UNAUTHENTICATED",
                    "the token of this stream is no longer valid; issue a new one with: smihub bootstrap",
                )
            silent_s = asyncio.get_running_loop().time() - session.active_s
            if session.stream.waits and silent_s > ANSWER_TIMEOUT_S:
                raise StreamError("DEADLINE_EXCEEDED", "the client does not acknowledge responses")
            if session.changed.is_set():
                await self._offer(session, writer)

    async def _offer(self, session: Session, writer: _Writer) -> None:
        async with session.turn:
            # Before the snapshot is taken: what changes while these responses are written sets it again.
            session.changed.clear()
            snapshot = NOTHING if session.ended else self._delegate.snapshot(session.workload)
            if snapshot is not None:
                await self._emit(session, writer, session.stream.offer(snapshot))

    async def _emit(self, session: Session, writer: _Writer, output: StreamOutput) -> None:
        if output.responses:
            session.active_s = asyncio.get_running_loop().time()
        self._delegate.heard(session, output.answers)
        await writer.write(output)


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
        self._in_flight: asyncio.Future[None] | None = None
        self.variant = variant

    async def write(self, output: StreamOutput) -> None:
        """Send the output's responses. Raises StreamError if the client does not read responses."""
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                for response in output.responses:
                    # The timeout may end our waiting and not gRPC's write, which `drain` waits for.
                    self._in_flight = asyncio.ensure_future(self._context.write(self.variant.write(response)))
                    await asyncio.shield(self._in_flight)
        except TimeoutError as error:
            raise StreamError("DEADLINE_EXCEEDED", "the client does not read responses") from error

    async def drain(self) -> None:
        """Wait until nothing is being written, or the client is gone.

        gRPC refuses to end a stream before that, and then leaves it open with nobody to serve it: its client would
        believe itself connected, and hear of no revocation.
        """
        if self._in_flight is not None:
            await asyncio.wait([self._in_flight])


def _token(context: Context) -> Secret:
    """The bearer token of the metadata; an empty one if there is not exactly one."""
    # Of two headers a proxy in between might honour the other one than we do, so neither counts.
    found = [value for key, value in context.invocation_metadata() or () if key == "authorization"]
    raw = found[0] if len(found) == 1 else ""
    text = raw if isinstance(raw, str) else ""
    scheme, _, token = text.partition(" ")
    return Secret(token.encode() if scheme.lower() == "bearer" else b"")
