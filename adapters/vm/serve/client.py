"""What one client of one xDS stream asked for, was sent, and may be using; without I/O, clock or protobuf.

Source: Envoy, "xDS REST and gRPC protocol", sections "ACK/NACK and resource type instance version" and "Subscribing to
Resources".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct, field

from adapters.vm.resource import CDS, LDS, RDS, Resource, Snapshot
from hub.api import SmihubError

FULL_SET = (CDS, LDS)
"""Types that know wildcards without a name, and whose SotW responses are the whole set."""
NAMES_LIMIT = 100_000
NAMES_BYTES = 16 * 1024 * 1024
"""How many names of one type a stream may hold, and how many bytes of them, so that a client cannot take all memory."""
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
    """What the client said of one resource: accepted (`detail` None) or refused with this detail.

    `cut` says that the acceptance ended the listener's open connections after the drain time (its chain was renamed).
    """

    type_url: str
    name: str
    version: str
    detail: str | None = None
    cut: bool = False


class Subscription(Struct, eq=False):
    """What a client asked for of one type, what it was sent, and what it may hold."""

    fresh: bool = True  # its first request is being read
    wildcard: bool = False
    explicit: bool = False  # a name or "*" was ever given, so an empty list means nothing
    names: set[str] = field(default_factory=set)
    # Name -> version last sent, whatever became of it: a version that was refused must not be sent again.
    sent: dict[str, str] = field(default_factory=dict)
    # What the client may be using. Two forms of one resource, oldest first, where it refused the newer: see `_refuse`.
    held: dict[str, tuple[Resource, ...]] = field(default_factory=dict)
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

    def in_flight(self, name: str) -> bool:
        """Whether a response about this name waits for its answer."""
        return self.outstanding is not None and any(item.name == name for item in self.outstanding.resources)

    def record_sent(self, response: Response) -> list[str]:
        """Note a response that goes out now; gives the names of which it carries another version than was sent before."""
        changed = [item.name for item in response.resources if self.sent.get(item.name) != item.version]
        for item in response.resources:
            self.sent[item.name] = item.version
        for name in response.removed:
            self.sent.pop(name, None)
        self.force.difference_update(response.removed, (item.name for item in response.resources))
        self.due = False
        self.outstanding = response
        self.last_nonce = response.nonce
        return changed

    def record_answer(self, request: DiscoveryRequest) -> tuple[ClientAnswer, ...]:
        """Note the answer to the outstanding response, if the request is one."""
        response = self.outstanding
        if response is None or request.nonce != response.nonce:
            return ()  # a new subscription, or an answer to an older response: neither accepts nor refuses this one
        self.outstanding = None
        if request.error is not None:
            return self._refuse(response, request.error)
        # An ACK, so the client has dropped these.
        for name in response.removed:
            self.held.pop(name, None)
            self.nacked.pop(name, None)
        if response.type_url in FULL_SET and not response.removed:
            for name in [name for name in self.held if name not in self.sent]:
                self.forget(name)  # a full set: what was not sent is gone
        return tuple(self._accept(response.type_url, item) for item in response.resources)

    def _accept(self, type_url: str, item: Resource) -> ClientAnswer:
        before = self.held.get(item.name, ())
        self.held[item.name] = (item,)
        self.nacked.pop(item.name, None)
        cut = bool(before) and before[-1].chain != item.chain
        return ClientAnswer(type_url, item.name, item.version, cut=cut)

    def _refuse(self, response: Response, detail: str) -> tuple[ClientAnswer, ...]:
        """A refusal is not atomic: Envoy applies the good neighbours of a bad resource, so either version may be in use."""
        if response.resources:  # what a refused response took away is said once more, by itself
            self.sent.update({name: held[-1].version for name, held in self.held.items() if name in response.removed})
        # What the client had accepted in this very form is not what it refuses; if it had all of them, any may be.
        suspects = [item for item in response.resources if self.held.get(item.name, ())[-1:] != (item,)]
        for item in suspects or response.resources:
            self.held[item.name] = (*self.held.get(item.name, ())[:1], item)
            self.nacked[item.name] = ClientAnswer(response.type_url, item.name, item.version, detail)
        return tuple(self.nacked[item.name] for item in suspects or response.resources)

    def check_limits(self) -> None:
        """Raise StreamError where the client makes us keep too much."""
        kept = [*self.names, *self.force, *self.sent]
        size = sum(map(len, kept)) + sum(map(len, self.sent.values()))
        if len(kept) > NAMES_LIMIT or size > NAMES_BYTES:
            raise StreamError("RESOURCE_EXHAUSTED", "too many or too long resource names")


class ClientState(Struct, eq=False):
    """One client: the snapshot that it must get, its subscriptions by type, and what it brought from an earlier stream."""

    snapshot: Snapshot
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    resumed: bool = False  # it came with resources of an earlier stream
    answered: bool = False  # it has answered something, so it has said all that it came with
    unnamed_listeners: bool = False  # it has listeners of an earlier stream, and cannot say which (SotW)

    def current(self, type_url: str) -> Mapping[str, Resource]:
        """The resources of one type that it must get, by name."""
        return self.snapshot.get(type_url, {})

    def listener(self, name: str) -> Resource | None:
        """What it holds as this listener, by its own word in the end; None if that is nothing."""
        listeners = self.subscriptions[LDS]
        held = listeners.held.get(name, ())
        if held:
            return held[-1]
        return Resource(name, "", needs=None) if self.unnamed_listeners and not listeners.last_nonce else None

    def has_accepted(self, type_url: str, name: str) -> bool:
        """Whether it has accepted the current version, and refused nothing of this name since."""
        subscription = self.subscriptions[type_url]
        held = subscription.held.get(name, ())
        if name in subscription.nacked or subscription.in_flight(name) or not held:
            return False
        return held[-1].version == self.current(type_url)[name].version

    def in_use(self) -> Iterable[tuple[str, Resource]]:
        """Listeners and routes, the types that refer to others, in every form that it may be using, with their type."""
        for type_url in (LDS, RDS):
            subscription = self.subscriptions.get(type_url)
            if subscription is None:
                continue
            for held in subscription.held.values():
                yield from ((type_url, item) for item in held)
            # On its way: the client may apply it before we hear the answer.
            if subscription.outstanding is not None:
                yield from ((type_url, item) for item in subscription.outstanding.resources)


def split_wildcard(names: Iterable[str]) -> tuple[set[str], bool]:
    """Names without `*`, and whether `*` was among them."""
    plain = set(names)
    starred = _WILDCARD in plain
    plain.discard(_WILDCARD)
    return plain, starred
