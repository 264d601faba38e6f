"""The state machine of one xDS stream, without I/O, clock or protobuf.

Requests and snapshots go in, responses and answers (what the client accepted or refused) come out. What both variants of the
protocol share is here; `adapters.vm.serve.sotw` and `adapters.vm.serve.delta` say what differs, `adapters.vm.serve.order`
what must wait for what.
Source: Envoy, "xDS REST and gRPC protocol".
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

from msgspec import Struct

from adapters.vm.resource import CDS, EDS, PUSH_ORDER, Snapshot
from adapters.vm.serve.client import (
    FULL_SET,
    ClientAnswer,
    ClientState,
    DiscoveryRequest,
    Response,
    StreamError,
    Subscription,
)


class StreamOutput(Struct, frozen=True):
    """What one event led to."""

    responses: tuple[Response, ...] = ()
    answers: tuple[ClientAnswer, ...] = ()


class Stream(ABC):
    """One client's stream: `receive` a request, `offer` a new snapshot; both give what is to be sent now.

    `node` is the only node id that the stream's credential permits. At most one response per type is outstanding,
    so an output has at most six responses; what changes meanwhile is sent in its newest form after the answer.
    """

    def __init__(self, node: str, snapshot: Snapshot) -> None:
        self._node = node
        self._introduced = False
        self._client = ClientState(snapshot)
        self._count = 0

    def receive(self, request: DiscoveryRequest) -> StreamOutput:
        """Take one request. Raises StreamError if the stream must end; a type that is not known is ignored."""
        self._admit(request)
        if request.type_url not in PUSH_ORDER:
            return StreamOutput()
        subscription = self._client.subscriptions.setdefault(request.type_url, Subscription())
        waited = subscription.outstanding is not None
        # The answer before the names: an ACK may bring a new list of names with it.
        answers = subscription.record_answer(request)
        self._client.answered |= waited and subscription.outstanding is None
        self._subscribe(subscription, request)
        subscription.fresh = False
        if request.names or request.subscribe or request.unsubscribe or request.initial:
            subscription.check_limits()
        return StreamOutput(self._pump(), answers)

    def offer(self, snapshot: Snapshot) -> StreamOutput:
        """Take the newest snapshot in place of the one before."""
        self._client.snapshot = snapshot
        return StreamOutput(self._pump())

    def unsettled(self, type_url: str) -> tuple[str, ...]:
        """Names of this type of which the client has not accepted the current version, sorted."""
        subscription = self._client.subscriptions.get(type_url)
        if subscription is None:
            return ()
        wanted = {name for name in self._client.current(type_url) if subscription.wants(name)}
        odd = {name for name in wanted if not self._client.has_accepted(type_url, name)}
        # Of other types nobody tells us what the client has dropped, and it uses none that nothing refers to.
        gone = {name for name in subscription.held if name not in wanted and type_url in FULL_SET}
        return tuple(sorted(odd | gone))

    def refused(self) -> tuple[ClientAnswer, ...]:
        """The client's standing refusals, by push order and name."""
        answers = [self._client.subscriptions[url].nacked for url in PUSH_ORDER if url in self._client.subscriptions]
        return tuple(by_name[name] for by_name in answers for name in sorted(by_name))

    @property
    def waits(self) -> bool:
        """Whether any response waits for the client's answer."""
        return any(item.outstanding is not None for item in self._client.subscriptions.values())

    @property
    def subscribed(self) -> tuple[str, ...]:
        """The types that the client has asked for, in push order."""
        return tuple(url for url in PUSH_ORDER if url in self._client.subscriptions)

    # -- what the variants add

    @abstractmethod
    def _subscribe(self, subscription: Subscription, request: DiscoveryRequest) -> None:
        """Take the request's part that concerns subscriptions."""

    @abstractmethod
    def _next(self, type_url: str, subscription: Subscription) -> Response | None:
        """The response that this type needs now, if any."""

    # -- shared

    def _admit(self, request: DiscoveryRequest) -> None:
        if not request.type_url:
            raise StreamError("INVALID_ARGUMENT", "request has no type_url")
        if not request.node:
            if not self._introduced:
                raise StreamError("INVALID_ARGUMENT", "the first request must carry node.id")
            return
        # The token says who it is. A node id that could differ would let one workload ask for another one's listeners
        # and keys.
        if request.node != self._node and not self._introduced:
            raise StreamError("PERMISSION_DENIED", "node.id is not the workload that this token was issued to")
        if request.node != self._node:
            raise StreamError("INVALID_ARGUMENT", "node.id must not change on a stream")
        self._introduced = True

    def _pump(self) -> tuple[Response, ...]:
        out: list[Response] = []
        for type_url in PUSH_ORDER:
            subscription = self._client.subscriptions.get(type_url)
            # While an answer is awaited, versions pile up in the snapshot and only the newest is sent: a slow client
            # costs one response per type, and an ACK can only mean the response that we think it does.
            if subscription is None or subscription.outstanding is not None:
                continue
            response = self._next(type_url, subscription)
            if response is not None:
                out.append(response)
        return tuple(out)

    def _send(self, subscription: Subscription, response: Response) -> Response:
        """Note the response as sent."""
        self._count += 1
        changed = subscription.record_sent(response)
        if response.type_url == CDS:
            self._endpoints_follow(changed)
        return response

    def _endpoints_follow(self, clusters: Iterable[str]) -> None:
        """Owe the endpoints of changed clusters: without them Envoy warms a changed cluster until its fetch times out.

        Source: Envoy issue 13009; Envoy, "xDS REST and gRPC protocol", section "Resource warming".
        """
        endpoints = self._client.subscriptions.get(EDS)
        if endpoints is not None:
            endpoints.force.update(
                name for name in clusters if endpoints.wants(name) and name in self._client.current(EDS)
            )

    def _nonce(self) -> str:
        return str(self._count + 1)
