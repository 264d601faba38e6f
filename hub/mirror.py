"""The hub's own copy of what stands in a mesh, so that one change reads and writes only what it touches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from hub.memory.states import lost_at
from hub.model import Change, NativeObject, ObjectRef, Observation, Observed, UnitKey

_UNKNOWN: Mapping[ObjectRef, str] = {}


class Mirror:
    """An `Observation`, indexed by unit, that follows the hub's own writes.

    `restrict` costs what the asked units hold; `follow` costs what was written, and gives what a fresh reading would. When a
    write turns out stale, or puts more right than it was asked to (`mends`), the caller observes anew and builds a new mirror.
    """

    def __init__(self, observation: Observation) -> None:
        self._objects = dict(observation.objects)
        self._memory = dict(observation.memory)
        self._token = observation.token
        self.owner = observation.owner
        self.mends = observation.mends
        self.others, self.unread = observation.others, observation.unread
        self._units: dict[UnitKey, set[ObjectRef]] = {}
        for ref, observed in self._objects.items():
            if observed.owner is not None:
                self._units.setdefault(observed.owner, set()).add(ref)
        self._governed = sum(key.kind == "access" for key in self.units)
        self._scopes = self._in_scopes(self.units)
        self._lost: dict[UnitKey, int] | None = None

    @property
    def token(self) -> str:
        """The revision that this copy shows."""
        return self._token

    @property
    def foreign(self) -> tuple[Observed, ...]:
        """The objects of `others`, whichever file they are in."""
        return tuple(one for found in self.others.values() for one in found)

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

    def lost_since(self, at: float) -> frozenset[UnitKey]:
        """The units in which somebody lost access since then; the first call looks at all that is remembered."""
        if self._lost is None:
            self._lost = {key: when for key, raw in self._memory.items() if (when := lost_at(raw))}
        return frozenset(key for key, when in self._lost.items() if when >= at)

    def holds(self, key: UnitKey) -> bool:
        """Whether a unit is among `units`."""
        return key in self._memory or bool(self._units.get(key))

    def held_in(self, baseline: UnitKey) -> int:
        """How many units are held in the scope of a baseline, but for baselines."""
        return self._scopes[baseline.domain, baseline.namespace]

    def has_paused(self, key: UnitKey) -> bool:
        """Whether something that stands of a unit is to be left alone."""
        return any(self._objects[ref].paused for ref in self._units.get(key, ()))

    def standing(self, key: UnitKey) -> frozenset[ObjectRef]:
        """What stands of a unit."""
        return frozenset(self._units.get(key, ()))

    def is_ours(self, ref: ObjectRef) -> bool:
        """Whether it stands there, and carries our mark."""
        found = self._objects.get(ref)
        return found is not None and found.owner is not None

    def needs(self, ref: ObjectRef) -> tuple[ObjectRef, ...]:
        """What an object needs as it stands there."""
        found = self._objects.get(ref)
        return found.needs if found is not None else ()

    def get(self, ref: ObjectRef) -> Observed | None:
        """What stands there."""
        return self._objects.get(ref)

    def unlike(self, other: Mirror) -> frozenset[UnitKey]:
        """The units that have other objects here than there, or are remembered otherwise; looks at everything once."""
        memory = {key for key, _ in self._memory.items() ^ other._memory.items()}
        pairs = ((self._objects.get(ref), other._objects.get(ref)) for ref in {*self._objects, *other._objects})
        found = {one.owner for pair in pairs if pair[0] != pair[1] for one in pair if one is not None and one.owner}
        return frozenset(memory | found)

    def whole(self) -> Observation:
        """Everything."""
        return Observation(self._objects, self._memory, self._token, self.owner, self.mends, self.others, self.unread)

    def restrict(self, keys: Iterable[UnitKey], natives: Iterable[NativeObject]) -> Observation:
        """What these units hold, and whatever stands where these native objects want to be."""
        wanted = list(keys)
        refs = {ref for key in wanted for ref in self._units.get(key, ())} | {native.ref for native in natives}
        objects = {ref: self._objects[ref] for ref in refs if ref in self._objects}
        memory = {key: self._memory[key] for key in wanted if key in self._memory}
        return Observation(objects, memory, self._token)

    def follow(self, written: Iterable[tuple[Change, str]], memory: Mapping[UnitKey, bytes], token: str) -> None:
        """Take over what was just written: changes with the tokens of their objects, and the mesh's own `token` since."""
        done = list(written)
        touched = {change.unit for change, _ in done} | memory.keys()
        touched |= {one.owner for each, _ in done if (one := self._objects.get(each.ref)) and one.owner}
        before, scopes = self._accesses(touched), self._in_scopes(touched)
        for change, mine in done:
            was = self._drop(change.ref)
            if change.after is not None:
                self._put(change, change.after, mine, paused=was is not None and was.paused)
        for key, raw in memory.items():
            if raw:
                self._memory[key] = raw
            else:
                self._memory.pop(key, None)
            if self._lost is not None:
                self._lost[key] = lost_at(raw)
        self._governed += self._accesses(touched) - before
        self._scopes.update(self._in_scopes(touched))
        self._scopes.subtract(scopes)
        self._token = token

    def _accesses(self, keys: Iterable[UnitKey]) -> int:
        return sum(key.kind == "access" and self.holds(key) for key in keys)

    def _in_scopes(self, keys: Iterable[UnitKey]) -> Counter[tuple[str, str]]:
        """How many of these are held, by domain and scope."""
        held = (key for key in keys if key.kind != "baseline" and self.holds(key))
        return Counter((key.domain, scope) for key in held for scope in ("", key.namespace))

    def _drop(self, ref: ObjectRef) -> Observed | None:
        observed = self._objects.pop(ref, None)
        if observed is not None and observed.owner is not None:
            self._units[observed.owner].discard(ref)
        return observed

    def _put(self, change: Change, native: NativeObject, token: str, *, paused: bool) -> None:
        observed = Observed(native.ref, native.body, change.unit, token, native.role, native.needs, paused=paused)
        self._objects[native.ref] = observed
        self._units.setdefault(change.unit, set()).add(native.ref)
