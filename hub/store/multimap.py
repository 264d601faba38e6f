"""A table of sets for very many keys, most of which have one member: that one is kept without a set around it."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
M = TypeVar("M", bound=Hashable)


class Multimap(Generic[K, M]):
    """Members by key. Every operation costs O(1); a set of one would cost 216 bytes, there are several per object."""

    __slots__ = ("_table",)

    def __init__(self) -> None:
        self._table: dict[K, M | dict[M, None]] = {}  # a dict of members: no member is a dict, for dicts have no hash

    def add(self, key: K, member: M) -> bool:
        """Put a member under a key; whether it is new there."""
        if key not in self._table:
            self._table[key] = member
            return True
        found = self._table[key]
        if isinstance(found, dict):
            size = len(found)
            found[member] = None
            return len(found) > size
        if found == member:
            return False
        self._table[key] = {found: None, member: None}
        return True

    def discard(self, key: K, member: M) -> None:
        """Take a member away. Raises KeyError if it is not there."""
        found = self._table[key]
        if not isinstance(found, dict):
            if found != member:
                raise KeyError(member)
            del self._table[key]
            return
        del found[member]
        if len(found) == 1:
            (self._table[key],) = found

    def get(self, key: K) -> Collection[M]:
        """The members under a key, in no order that means anything; not to be held across a change."""
        if key not in self._table:
            return ()
        found = self._table[key]
        return found.keys() if isinstance(found, dict) else (found,)

    def __contains__(self, key: object) -> bool:
        return key in self._table
