"""A table of sets for very many keys, most of which have one member or a few: those are kept without a set around them."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
M = TypeVar("M", bound=Hashable)
_FEW = 6
"""So many members are a list, which is looked through; with more a dict pays."""


class Multimap(Generic[K, M]):
    """Members by key. Every operation costs O(1); a set of one would cost 216 bytes, there are several per object."""

    __slots__ = ("_table",)

    def __init__(self) -> None:
        # Lists and dicts of members: no member is one of these, for they have no hash.
        self._table: dict[K, M | list[M] | dict[M, None]] = {}

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
        if isinstance(found, list):
            if member in found:
                return False
            self._table[key] = [*found, member] if len(found) < _FEW else dict.fromkeys((*found, member))
            return True
        if found == member:
            return False
        self._table[key] = [found, member]
        return True

    def discard(self, key: K, member: M) -> None:
        """Take a member away. Raises KeyError if it is not there."""
        found = self._table[key]
        if isinstance(found, dict):
            del found[member]
        elif isinstance(found, list):
            if member not in found:
                raise KeyError(member)
            self._table[key] = found = [each for each in found if each != member]
        elif found != member:
            raise KeyError(member)
        else:
            del self._table[key]
            return
        if len(found) == 1:
            (self._table[key],) = found

    def get(self, key: K) -> Collection[M]:
        """The members under a key, in no order that means anything; not to be held across a change."""
        if key not in self._table:
            return ()
        found = self._table[key]
        if isinstance(found, dict):
            return found.keys()
        return found if isinstance(found, list) else (found,)

    def __contains__(self, key: object) -> bool:
        return key in self._table
