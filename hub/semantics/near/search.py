"""Finds the near misses of a denied request: the TrafficTargets with the fewest hurdles, nearest first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from hub.model import Document, Hurdle, NearMiss
from hub.semantics.access import AccessRules, destination_of
from hub.semantics.decoded import DecodedDocuments
from hub.semantics.identities import SubjectKey, key_of
from hub.semantics.names import split_pair
from hub.semantics.near.misfiled import Misfiled, misfiled
from hub.semantics.near.names import accounts_in, meant, of_account
from hub.semantics.near.parties import Caller, Parties, caller_of
from hub.semantics.near.places import Denied, Places
from hub.semantics.near.ways import Ways
from hub.semantics.types import Account, Target
from hub.semantics.world import ReceiverIndex, Situation

MOST = 20
"""Most near misses that are told of one request."""
_FARTHEST = 3
_AWAY = 2
"""What it weighs that a TrafficTarget grants to somebody else: it is hardly the one that was meant."""


class _Ranked(Struct, frozen=True, order=True):
    """A near miss; those of fewer hurdles, then those that name the caller, come first."""

    weight: int
    other_caller: bool
    miss: NearMiss


class NearMisses:
    """Looks for what nearly grants a request; built once per set of documents."""

    def __init__(
        self, documents: Sequence[Document], decoded: DecodedDocuments, access: AccessRules, world: ReceiverIndex
    ) -> None:
        self._world = world
        self._decoded = decoded
        self._ways = Ways(decoded, access, world)
        self._parties = Parties(decoded, world)
        self._places = Places(world)
        self._sources = {key_of(one) for target in decoded.targets for one in target.sources}
        self._destinations = {key_of(destination_of(target)) for target in decoded.targets}
        self._targets: dict[str, list[tuple[Target, Hurdle | None]]] = {}
        lost: list[Misfiled] = list(misfiled(documents))
        for target in (*decoded.targets, *(one.target for one in lost)):
            hurdle = next((one.hurdle for one in lost if one.target is target), None)
            for namespace in {target.namespace, destination_of(target).namespace}:
                self._targets.setdefault(namespace, []).append((target, hurdle))

    def of(self, denied: Denied) -> tuple[NearMiss, ...]:
        """Return what nearly grants it, nearest first: what has the fewest hurdles, and the same among those that name the caller."""
        caller = caller_of(denied.request.src, denied.callers)
        found = sorted({one for at in denied.receivers for one in self._at(denied, caller, at)})
        least = min((one.weight for one in found), default=0)
        own = min((one.weight for one in found if not one.other_caller), default=0)
        near = [one.miss for one in found if one.weight in {least, *([] if one.other_caller else [own])}]
        return (
            *self._places.of(denied),
            *self._strangers(denied, alone=not near),
            *self._unreadable(denied),
            *dict.fromkeys(near),
        )[:MOST]

    def _at(self, denied: Denied, caller: Caller, at: Situation) -> Iterator[_Ranked]:
        """Yield every TrafficTarget that is near at one receiver, by each of its ways."""
        if at.account is None:
            return
        for target, lost in self._targets.get(at.account[0], ()):
            meant_here = self._parties.receives(target, at) or self._parties.concerns(target, at)
            if not meant_here and not self._parties.calls(target, caller):
                continue  # most of a namespace: nothing of it is put into words
            away, stranger = self._parties.destination(target, at), self._parties.source(target, caller)
            ends = tuple(one for one in (lost, away, stranger) if one is not None)
            for way in self._ways.of(target, at, denied.request, denied.http):
                between = (*ends, *way.hurdles)
                weight = len(between) + (0 if meant_here else _AWAY)
                if between and weight <= _FARTHEST:
                    name = f"TrafficTarget/{target.namespace}/{target.name}"
                    yield _Ranked(weight, stranger is not None, NearMiss(name, way.via, between))

    def _unreadable(self, denied: Denied) -> Iterator[NearMiss]:
        """Yield the TrafficTargets that cannot be read, and whose destination is a receiver as far as one can see."""
        receivers = {at.account for at in denied.receivers}
        hurdle = Hurdle("unreadable", "a part of it that cannot be read (smihub check shows why)")
        names = {
            f"TrafficTarget/{one.namespace}/{one.name}"
            for one in self._decoded.broken
            if one.kind == "TrafficTarget"
            and any((one.namespace, name) in receivers for name in _destinations(one.body))
        }
        yield from (NearMiss(name, between=(hurdle,)) for name in sorted(names))

    def _strangers(self, denied: Denied, *, alone: bool) -> Iterator[NearMiss]:
        """Yield a caller whom no object knows (if it has a like, or nothing else is told), and receivers that nobody names."""
        account = split_pair(next(iter(accounts_in(denied.callers)), None))
        if account is not None and self._world.shows_workloads and not self._is_known(denied.callers, account):
            known = {name for namespace, name in self._accounts() if namespace == account[0]}
            like = meant(account[1], known)
            hurdle = Hurdle("account", f"no workload runs as it, and no TrafficTarget names it{like}")
            if like or alone:
                yield NearMiss(f"ServiceAccount/{of_account(account)}", between=(hurdle,))
        for receiver in sorted({at.account for at in denied.receivers if at.account is not None}):
            keys = frozenset().union(*(at.keys for at in denied.receivers if at.account == receiver))
            if not keys & self._destinations:
                hurdle = Hurdle("destination", "no TrafficTarget names it as its destination")
                yield NearMiss(f"ServiceAccount/{of_account(receiver)}", between=(hurdle,))

    def _accounts(self) -> Iterator[Account]:
        """Yield the accounts that run, and those that TrafficTargets name as sources."""
        yield from self._world.accounts()
        yield from ((key[1], key[2]) for key in self._sources if key is not None and key[0] == "ServiceAccount")

    def _is_known(self, keys: frozenset[SubjectKey], account: Account) -> bool:
        return account in self._world.accounts() or bool(keys & (self._sources | self._destinations))


def _destinations(body: Mapping[str, object]) -> Iterator[str]:
    """Yield what a TrafficTarget that cannot be read may name as its destination."""
    for holder in (body, body.get("spec")):
        destination = holder.get("destination") if isinstance(holder, dict) else None
        name = destination.get("name") if isinstance(destination, dict) else None
        if isinstance(name, str):
            yield name
