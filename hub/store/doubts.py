"""What cannot be read: which broken objects may declare protocols or be workloads, and how dependants are told of one.

Keys of the index: ("doubts", namespace) has what may concern every workload of a namespace ("": of any), ("doubt", owner) the
broken Service whose selector stands under `owner` among those of the profiles, ("governed", namespace, account) accounts of
broken workloads, ("fault", ref) what is wrong with an object.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator

import msgspec

from hub.model import ObjectRef
from hub.smi import Decoded
from hub.smi.types import Doubt
from hub.store.copies import Copies
from hub.store.index import Index, Key
from hub.store.profiles import Profiles

OWNER = "?"
"""The group of what owns the selector of a broken Service; no object has it."""


class Doubts:
    """Keeps doubts by whatever they come from: an object's ref, or a part with documents that have no usable name."""

    def __init__(self, index: Index, profiles: Profiles) -> None:
        self._index = index
        self._profiles = profiles
        self._kept: dict[Hashable, tuple[tuple[Key, Hashable], ...]] = {}

    def update(self, ref: ObjectRef, copies: Copies) -> None:
        """Take over what the copies of an object leave open now."""
        fault = copies.fault(ref)
        found = [entry for doubt in copies.doubts(ref) for entry in _entries(doubt)] if fault else []
        self._keep(ref, [*found, (("fault", ref), fault)] if fault else [])

    def clear(self, ref: ObjectRef) -> None:
        """Nothing is left open by this object."""
        self._keep(ref, [])

    def put_unnamed(self, part: Hashable, decoded: Collection[Decoded]) -> None:
        """Take over what a part holds of documents that are no objects, and might have been."""
        nameless = [(each, each.doubt) for each in decoded if each.ref is None and each.doubt is not None]
        found = [entry for _, doubt in nameless for entry in _entries(doubt)]
        faults = [
            (("fault", doubt.ref), f"{doubt.ref} cannot be read ({problem.origin.place})")
            for each, doubt in nameless
            for problem in each.problems[:1]
        ]
        self._keep(part, [*found, *faults])

    def _keep(self, key: Hashable, entries: Collection[tuple[Key, Hashable]]) -> None:
        before = self._kept.pop(key, ())
        if entries:
            self._kept[key] = tuple(entries)
        # First what comes: an entry that stays is counted up and down, and makes nobody dirty.
        for entry, member in entries:
            self._index.add(entry, member)
            self._reselect(entry)
        for entry, member in before:
            self._index.discard(entry, member)
            self._reselect(entry)

    def _reselect(self, key: Key) -> None:
        """The selector of a broken Service takes part while there is one that has it."""
        if key[0] == "doubt":
            owner = key[1]
            assert isinstance(owner, ObjectRef)  # noqa: S101 - `_entries` makes no other
            [doubt] = self._index.members(key) or [None]
            self._profiles.select(owner, None if doubt is None else doubt.selector)


def _entries(doubt: Doubt) -> Iterator[tuple[Key, Hashable]]:
    if doubt.kind == "service" and doubt.selector is not None:
        if doubt.selector:
            name = msgspec.json.encode((doubt.ref, doubt.selector)).decode()
            yield ("doubt", ObjectRef(OWNER, "Service", doubt.namespace, name)), doubt
        return
    yield ("doubts", doubt.namespace), doubt
    if doubt.account is not None:
        yield ("governed", doubt.namespace, doubt.account), True
