"""A multimap that knows which of its keys have changed, in sum, since the last look: who comes and goes changes nothing."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from typing import Any

Key = tuple[Hashable, ...]
"""What a reader can depend on: a word and what it is about, such as ("targets", kind, namespace, name)."""


class Index:
    """Members by key, each counted: it is there as long as somebody put it there. Every operation costs O(1)."""

    def __init__(self) -> None:
        self._members: dict[Key, dict[Hashable, int]] = {}
        self._net: dict[Key, dict[Hashable, int]] = {}

    def add(self, key: Key, member: Hashable) -> bool:
        """Put a member under a key once more; whether it is new there."""
        members = self._members.setdefault(key, {})
        count = members.get(member, 0)
        members[member] = count + 1
        if count == 0:
            self._note(key, member, 1)
        return count == 0

    def discard(self, key: Key, member: Hashable) -> bool:
        """Take a member back once; whether it is gone now. Raises KeyError if it was not there."""
        members = self._members[key]
        count = members[member] - 1
        if count:
            members[member] = count
            return False
        del members[member]
        if not members:
            del self._members[key]
        self._note(key, member, -1)
        return True

    def members(self, key: Key) -> Collection[Any]:
        """The members under a key, in no order that means anything."""
        return self._members.get(key, {}).keys()

    def __contains__(self, key: Key) -> bool:
        return key in self._members

    def settle(self) -> list[Key]:
        """The keys whose members are others than at the last look."""
        changed = [key for key, net in self._net.items() if net]
        self._net.clear()
        return changed

    def _note(self, key: Key, member: Hashable, by: int) -> None:
        net = self._net.setdefault(key, {})
        total = net.get(member, 0) + by
        if total:
            net[member] = total
        else:
            del net[member]
