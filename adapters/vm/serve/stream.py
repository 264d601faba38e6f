"""The state machine of one xDS stream, without I/O, clock or protobuf.

Requests and snapshots go in, responses and answers (what the client accepted or refused) come out. What both variants
of the protocol share is here; `adapters.vm.serve.sotw` and `adapters.vm.serve.delta` say what differs.
Source: Envoy, "xDS REST and gRPC protocol".
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping

from msgspec import Struct, field

from adapters.vm import names
from adapters.vm.serve.resource import CDS, ECDS, EDS, LDS, PUSH_ORDER, RDS, SDS, Resource, Snapshot
from hub.api import SmihubError

FULL_SET = (CDS, LDS)
"""Types that know wildcards without a name, and whose SotW responses are the whole set."""
NAMES_LIMIT = 100_000
NAMES_BYTES = 16 * 1024 * 1024
"""How many names of one type a stream may hold, and how many bytes of them, so that a client cannot take all memory."""
_POLICY = (RDS, SDS, ECDS)
_WILDCARD = "*"


class StreamError(SmihubError):
    """The stream must end; `code` is the name of a gRPC status code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class DiscoveryRequest(Struct, frozen=True):
    """One decoded request of either variant. `error` None = no error_detail; `names` and `version` are SotW's."""

    type_url: str
    node: str = ""
    nonce: str = ""
    error: str | None = None
    names: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()
    initial: Mapping[str, str] = field(default_factory=dict)
    version: str = ""


class Response(Struct, frozen=True):
    """One response to send; `removed` is used by delta streams only."""

    type_url: str
    nonce: str
    version: str
    resources: tuple[Resource, ...]
    removed: tuple[str, ...] = ()


class ClientAnswer(Struct, frozen=True):
    """The client's word on one resource: accepted (`detail` None) or refused with this detail.

    `cut` says that the acceptance ended the listener's open connections after the drain time (its chain was renamed).
    """

    type_url: str
    name: str
    version: str
    detail: str | None = None
    cut: bool = False


class StreamOutput(Struct, frozen=True):
    """What one event led to."""

    responses: tuple[Response, ...] = ()
    answers: tuple[ClientAnswer, ...] = ()


class Subscription(Struct, eq=False):
    """What a stream asked for of one type, what it was sent, and what its client may hold."""

    fresh: bool = True  # its first request is being read
    wildcard: bool = False
    explicit: bool = False  # a name or "*" was ever given, so an empty list means nothing
    names: set[str] = field(default_factory=set)
    sent: dict[str, str] = field(
        default_factory=dict
    )  # name -> version last sent, whatever became of it: never sent twice
    held: dict[str, tuple[Resource, ...]] = field(default_factory=dict)  # what the client may be using
    nacked: dict[str, ClientAnswer] = field(default_factory=dict)
    force: set[str] = field(default_factory=set)  # answer about these names although nothing changed
    due: bool = False  # the whole set is owed although nothing changed
    outstanding: Response | None = None
    last_nonce: str = ""

    def wants(self, name: str) -> bool:
        """Whether the client asked for this name."""
        return self.wildcard or name in self.names

    def forget(self, name: str) -> None:
        """The client gave this name up: nothing is known about it any more."""
        self.sent.pop(name, None)
        self.held.pop(name, None)
        self.nacked.pop(name, None)
        self.force.discard(name)

    def flying(self, name: str) -> bool:
        """Whether a response about this name waits for its answer."""
        return self.outstanding is not None and any(item.name == name for item in self.outstanding.resources)


class Stream(ABC):
    """One client's stream: `receive` a request, `offer` a new snapshot; both give what is to be sent now.

    `node` is the only node id that the stream's credential permits. At most one response per type is outstanding,
    so an output has at most six responses; what changes meanwhile is sent in its newest form after the answer.
    """

    def __init__(self, node: str, snapshot: Snapshot) -> None:
        self._node = node
        self._introduced = False
        self._snapshot = snapshot
        self._count = 0
        self._resumed = False  # the client came with resources of an earlier stream
        self._answered = False  # it has answered something, so it has said all that it came with
        self._subscriptions: dict[str, Subscription] = {}

    def receive(self, request: DiscoveryRequest) -> StreamOutput:
        """Take one request. Raises StreamError if the stream must end; a type that is not known is ignored."""
        self._admit(request)
        if request.type_url not in PUSH_ORDER:
            return StreamOutput()
        subscription = self._subscriptions.setdefault(request.type_url, Subscription())
        waited = subscription.outstanding is not None
        answers = _settle(subscription, request)
        self._answered |= waited and subscription.outstanding is None
        self._subscribe(subscription, request)
        subscription.fresh = False
        if request.names or request.subscribe or request.unsubscribe or request.initial:
            _bound(subscription)
        return StreamOutput(self._pump(), answers)

    def offer(self, snapshot: Snapshot) -> StreamOutput:
        """Take the newest snapshot in place of the one before."""
        self._snapshot = snapshot
        return StreamOutput(self._pump())

    def unsettled(self, type_url: str) -> tuple[str, ...]:
        """Names of this type of which the client has not accepted the current version, sorted."""
        subscription = self._subscriptions.get(type_url)
        if subscription is None:
            return ()
        wanted = {name for name in self._current(type_url) if subscription.wants(name)}
        odd = {name for name in wanted if not self._accepted(type_url, name)}
        gone = {name for name in subscription.held if name not in wanted and type_url in FULL_SET}
        return tuple(sorted(odd | gone))

    def refused(self) -> tuple[ClientAnswer, ...]:
        """The client's standing refusals, by push order and name."""
        answers = [self._subscriptions[url].nacked for url in PUSH_ORDER if url in self._subscriptions]
        return tuple(by_name[name] for by_name in answers for name in sorted(by_name))

    @property
    def waits(self) -> bool:
        """Whether any response waits for the client's answer."""
        return any(item.outstanding is not None for item in self._subscriptions.values())

    @property
    def subscribed(self) -> tuple[str, ...]:
        """The types that the client has asked for, in push order."""
        return tuple(url for url in PUSH_ORDER if url in self._subscriptions)

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
        if request.node != self._node and not self._introduced:
            raise StreamError("PERMISSION_DENIED", "node.id is not the workload that this token was issued to")
        if request.node != self._node:
            raise StreamError("INVALID_ARGUMENT", "node.id must not change on a stream")
        self._introduced = True

    def _pump(self) -> tuple[Response, ...]:
        out: list[Response] = []
        for type_url in PUSH_ORDER:
            subscription = self._subscriptions.get(type_url)
            if subscription is None or subscription.outstanding is not None:
                continue
            response = self._next(type_url, subscription)
            if response is not None:
                out.append(response)
        return tuple(out)

    def _current(self, type_url: str) -> Mapping[str, Resource]:
        return self._snapshot.get(type_url, {})

    def _send(self, subscription: Subscription, response: Response) -> Response:
        """Book the response as sent."""
        self._count += 1
        changed = [item.name for item in response.resources if subscription.sent.get(item.name) != item.version]
        for item in response.resources:
            subscription.sent[item.name] = item.version
        for name in response.removed:
            subscription.sent.pop(name, None)
        subscription.force.difference_update(response.removed, (item.name for item in response.resources))
        subscription.due = False
        subscription.outstanding = response
        subscription.last_nonce = response.nonce
        if response.type_url == CDS:
            self._endpoints_follow(changed)
        return response

    def _endpoints_follow(self, clusters: Iterable[str]) -> None:
        """Owe the endpoints of changed clusters: without them Envoy warms a changed cluster until its fetch times out.

        Source: Envoy issue 13009; Envoy, "xDS REST and gRPC protocol", section "Resource warming".
        """
        endpoints = self._subscriptions.get(EDS)
        if endpoints is not None:
            endpoints.force.update(name for name in clusters if endpoints.wants(name) and name in self._current(EDS))

    def _nonce(self) -> str:
        return str(self._count + 1)

    # -- order: what must be accepted before what

    def _gated(self, type_url: str, subscription: Subscription, item: Resource) -> bool:
        """Whether this update must wait for the client's answer to another one."""
        if type_url not in (LDS, RDS):
            return False
        if any(self._cluster_pending(name) for url, name in item.needs or () if url == CDS):
            return True
        return type_url == LDS and self._cut_waits(subscription, item)

    def _cluster_pending(self, name: str) -> bool:
        """A cluster that is new to the client and not yet answered; routes are not warmed by Envoy, so they wait."""
        clusters = self._subscriptions.get(CDS)
        if clusters is None or name not in self._current(CDS) or not clusters.wants(name):
            return False
        if name not in clusters.held:
            return True
        endpoints = self._subscriptions.get(EDS)
        return endpoints is not None and endpoints.flying(name) and name not in endpoints.held

    def _cut_waits(self, subscription: Subscription, item: Resource) -> bool:
        """A renamed chain cuts open connections; the policy that they would meet again must be accepted first.

        What a client has of an earlier stream is not known. It names everything before it answers anything, so until
        then its policies may still be told.
        """
        held = self._known(subscription, item.name)
        if held is None or (held.needs is not None and held.chain == item.chain):
            return False
        if held.needs is None and not self._answered:
            return any(url in _POLICY for url, _ in item.needs or ())
        policies = [(url, name) for url, name in item.needs or () if url in _POLICY and url in self._subscriptions]
        if held.stem == item.stem and any(name in self._subscriptions[url].nacked for url, name in policies):
            return True
        return any(self._moving(url, name) for url, name in policies)

    def _known(self, subscription: Subscription, name: str) -> Resource | None:
        """What the client holds under a name, by its own word in the end; None if that is nothing."""
        held = subscription.held.get(name, ())
        return held[-1] if held else None

    def _moving(self, type_url: str, name: str) -> bool:
        """Whether the client has not answered yet about the current version of something it asked for."""
        subscription = self._subscriptions[type_url]
        current = self._current(type_url).get(name)
        if current is None or not subscription.wants(name):
            return False
        return subscription.flying(name) or subscription.sent.get(name) != current.version

    def _accepted(self, type_url: str, name: str) -> bool:
        subscription = self._subscriptions[type_url]
        held = subscription.held.get(name, ())
        if name in subscription.nacked or subscription.flying(name) or not held:
            return False
        return held[-1].version == self._current(type_url)[name].version

    def _removable(self, type_url: str, name: str) -> bool:
        """Whether nothing that the client may be using refers to this resource any more."""
        if type_url == LDS:
            return True
        if type_url == EDS:
            clusters = self._subscriptions.get(CDS)
            return clusters is None or name not in clusters.held
        if self._resumed and not self._references_known():
            return False
        return all(
            _free_of(item, type_url, name) for url, item in self._in_use() if (url, item.name) != (type_url, name)
        )

    def _succeeded(self, subscription: Subscription, waiting: set[str]) -> set[str]:
        """Listeners that must stay for now: the one that takes over their socket is not sent yet.

        Both changes belong in one response, where Envoy hands the socket on: otherwise it refuses the new listener, or
        nobody listens until that comes. Source: Envoy, "Listener discovery service (LDS)", on draining and sockets.
        """
        places = {names.socket_of(name) for name in waiting if name not in subscription.sent} - {""}
        return {
            name for name in subscription.sent if name not in self._current(LDS) and names.socket_of(name) in places
        }

    def _references_known(self) -> bool:
        """After a reconnect: whether the client has told of its listeners and of every route that these refer to."""
        listeners, routes = self._subscriptions.get(LDS), self._subscriptions.get(RDS)
        if listeners is None:
            return False
        items = [item for held in listeners.held.values() for item in held]
        named = {name for item in items for url, name in item.needs or () if url == RDS and name in self._current(RDS)}
        return not named or (routes is not None and named <= routes.held.keys())

    def _in_use(self) -> Iterable[tuple[str, Resource]]:
        """Listeners and routes, the types that refer to others, in every form that the client may be using."""
        for type_url in (LDS, RDS):
            subscription = self._subscriptions.get(type_url)
            if subscription is None:
                continue
            for held in subscription.held.values():
                yield from ((type_url, item) for item in held)
            if subscription.outstanding is not None:
                yield from ((type_url, item) for item in subscription.outstanding.resources)


def _bound(subscription: Subscription) -> None:
    """End a stream that makes us keep too much."""
    kept = [*subscription.names, *subscription.force, *subscription.sent]
    size = sum(map(len, kept)) + sum(map(len, subscription.sent.values()))
    if len(kept) > NAMES_LIMIT or size > NAMES_BYTES:
        raise StreamError("RESOURCE_EXHAUSTED", "too many or too long resource names")


def _free_of(item: Resource, type_url: str, name: str) -> bool:
    return item.needs is not None and (type_url, name) not in item.needs


def _settle(subscription: Subscription, request: DiscoveryRequest) -> tuple[ClientAnswer, ...]:
    """Book the answer to the outstanding response, if the request is one."""
    response = subscription.outstanding
    if response is None or request.nonce != response.nonce:
        return ()
    subscription.outstanding = None
    if request.error is not None:
        return _refuse(subscription, response, request.error)
    for name in response.removed:
        subscription.held.pop(name, None)
        subscription.nacked.pop(name, None)
    if response.type_url in FULL_SET and not response.removed:
        _drop_absent(subscription)
    return tuple(_accept(subscription, response.type_url, item) for item in response.resources)


def _accept(subscription: Subscription, type_url: str, item: Resource) -> ClientAnswer:
    before = subscription.held.get(item.name, ())
    subscription.held[item.name] = (item,)
    subscription.nacked.pop(item.name, None)
    cut = bool(before) and before[-1].chain != item.chain
    return ClientAnswer(type_url, item.name, item.version, cut=cut)


def _refuse(subscription: Subscription, response: Response, detail: str) -> tuple[ClientAnswer, ...]:
    """A refusal is not atomic: Envoy applies the good neighbours of a bad resource, so either version may be in use."""
    if response.resources:  # what a refused response took away is said once more, by itself
        subscription.sent.update(
            {name: held[-1].version for name, held in subscription.held.items() if name in response.removed}
        )
    suspects = [item for item in response.resources if subscription.held.get(item.name, ())[-1:] != (item,)]
    for item in suspects or response.resources:
        subscription.held[item.name] = (*subscription.held.get(item.name, ())[:1], item)
        subscription.nacked[item.name] = ClientAnswer(response.type_url, item.name, item.version, detail)
    return tuple(subscription.nacked[item.name] for item in suspects or response.resources)


def _drop_absent(subscription: Subscription) -> None:
    """Full sets: what was not sent is gone."""
    for name in [name for name in subscription.held if name not in subscription.sent]:
        subscription.forget(name)


def split_wildcard(names: Iterable[str]) -> tuple[set[str], bool]:
    """Names without `*`, and whether `*` was among them."""
    plain = set(names)
    starred = _WILDCARD in plain
    plain.discard(_WILDCARD)
    return plain, starred
