"""What has changed, in sum, since the last look: keys of the index, for units, and what endpoints follow beside them."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from typing import Any

from msgspec import Struct, field

from hub.model import ObjectRef
from hub.store.multimap import Multimap

Key = tuple[Hashable, ...]
"""What a reader can depend on: a word and what it is about, such as ("targets", kind, namespace, name)."""


class Index:
    """Members by key, each counted: it is there as long as somebody put it there. Every operation costs O(1).

    It knows which keys have other members than at the last look; a member that came and went in between changes nothing.
    """

    def __init__(self) -> None:
        self._members: Multimap[Key, Hashable] = Multimap()
        self._more: dict[tuple[Key, Hashable], int] = {}  # how often a member was put there besides the first time
        self._net: dict[tuple[Key, Hashable], int] = {}

    def add(self, key: Key, member: Hashable) -> bool:
        """Put a member under a key once more; whether it is new there."""
        if not self._members.add(key, member):
            self._more[key, member] = self._more.get((key, member), 0) + 1
            return False
        self._note(key, member, 1)
        return True

    def discard(self, key: Key, member: Hashable) -> bool:
        """Take a member back once; whether it is gone now. Raises KeyError if it was not there."""
        more = self._more.pop((key, member), 0)
        if more:
            if more > 1:
                self._more[key, member] = more - 1
            return False
        self._members.discard(key, member)
        self._note(key, member, -1)
        return True

    def members(self, key: Key) -> Collection[Any]:
        """The members under a key, in no order that means anything."""
        return self._members.get(key)

    def __contains__(self, key: Key) -> bool:
        return key in self._members

    @property
    def changed(self) -> bool:
        """Whether there are any such keys as `pop_changed_keys` gives."""
        return bool(self._net)

    def pop_changed_keys(self) -> list[Key]:
        """The keys whose members are others than at the last look."""
        changed = list(dict.fromkeys(key for key, _ in self._net))
        self._net = {}
        return changed

    def _note(self, key: Key, member: Hashable, by: int) -> None:
        total = self._net.pop((key, member), 0) + by
        if total:
            self._net[key, member] = total


class EndpointChanges(Struct):
    """What endpoints and placements must follow: workloads, Services, EndpointSlices, and identities whose ports may differ.

    A Pod that only replaces an equal one is in here and makes no unit dirty. `identities` are (namespace, service account).
    """

    workloads: set[ObjectRef] = field(default_factory=set)
    services: set[ObjectRef] = field(default_factory=set)
    slices: set[ObjectRef] = field(default_factory=set)
    identities: set[tuple[str, str]] = field(default_factory=set)

    def pop_all(self) -> EndpointChanges:
        """Everything since the last call. The sets are emptied, not replaced: profiles and slices hold on to theirs."""
        changes = EndpointChanges(set(self.workloads), set(self.services), set(self.slices), set(self.identities))
        for each in (self.workloads, self.services, self.slices, self.identities):
            each.clear()
        return changes
