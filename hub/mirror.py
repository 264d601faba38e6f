"""The hub's own copy of what stands in a mesh, so that one change reads and writes only what it touches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hub.model import Change, NativeObject, ObjectRef, Observation, Observed, UnitKey


class Mirror:
    """An `Observation`, indexed by unit, that follows the hub's own writes.

    `restrict` costs what the asked units hold; `follow` costs what was written. When a write turns out stale the
    caller observes anew and builds a new mirror.
    """

    def __init__(self, observation: Observation) -> None:
        self._objects = dict(observation.objects)
        self._memory = dict(observation.memory)
        self._token = observation.token
        self._units: dict[UnitKey, set[ObjectRef]] = {}
        for ref, observed in self._objects.items():
            if observed.owner is not None:
                self._units.setdefault(observed.owner, set()).add(ref)
        self._governed = sum(key.kind == "access" for key in self._memory)

    @property
    def token(self) -> str:
        """The revision that this copy shows."""
        return self._token

    @property
    def governed(self) -> int:
        """How many identities are governed."""
        return self._governed

    @property
    def empty(self) -> bool:
        """Whether nothing of ours stands there."""
        return not self._memory and not any(self._units.values())

    @property
    def memory(self) -> Mapping[UnitKey, bytes]:
        """What was remembered, by unit."""
        return self._memory

    @property
    def units(self) -> frozenset[UnitKey]:
        """Every unit that is remembered, or that something which stands there carries as its mark."""
        return frozenset(self._memory.keys() | {key for key, refs in self._units.items() if refs})

    def holds(self, key: UnitKey) -> bool:
        """Whether a unit is among `units`."""
        return key in self._memory or bool(self._units.get(key))

    def whole(self) -> Observation:
        """Everything."""
        return Observation(self._objects, self._memory, self._token)

    def restrict(self, keys: Iterable[UnitKey], natives: Iterable[NativeObject]) -> Observation:
        """What these units hold, and whatever stands where these native objects want to be."""
        wanted = list(keys)
        refs = {ref for key in wanted for ref in self._units.get(key, ())} | {native.ref for native in natives}
        objects = {ref: self._objects[ref] for ref in refs if ref in self._objects}
        memory = {key: self._memory[key] for key in wanted if key in self._memory}
        return Observation(objects, memory, self._token)

    def follow(self, changes: Iterable[Change], memory: Mapping[UnitKey, bytes], token: str) -> None:
        """Take over what was just written; `token` is the new revision's."""
        for change in changes:
            self._drop(change.ref)
            if change.after is not None:
                self._put(change.unit, change.after, token)
        for key, raw in memory.items():
            had = key in self._memory
            if raw:
                self._memory[key] = raw
            elif had:
                del self._memory[key]
            self._governed += (bool(raw) - had) * (key.kind == "access")
        self._token = token

    def _drop(self, ref: ObjectRef) -> None:
        observed = self._objects.pop(ref, None)
        if observed is not None and observed.owner is not None:
            self._units[observed.owner].discard(ref)

    def _put(self, unit: UnitKey, native: NativeObject, token: str) -> None:
        self._objects[native.ref] = Observed(native.ref, native.body, unit, token, native.role, native.needs)
        self._units.setdefault(unit, set()).add(native.ref)
