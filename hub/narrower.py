"""Units cut down while their gains have to wait: to what was permitted before, or to what stands where nobody can tell what that permits.

Pure, but for a store that is asked about other copies of an object and is as before afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from hub.memory.meet import meet
from hub.memory.permits import Standing, gained
from hub.memory.permits import standing as standing_of
from hub.memory.recall import Missing
from hub.meshes import Mesh
from hub.model import Access, ObjectRef, Observed, Unit, UnitKey
from hub.plan.changes import Desired
from hub.smi.types import SmiObject, Workload
from hub.store import Store


class Narrower:
    """Cuts units of a store down, given what cannot be read."""

    def __init__(self, store: Store, missing: Missing) -> None:
        self._store = store
        self._missing = missing

    def to_states(self, mesh: Mesh, desired: Desired, known: Sequence[Standing]) -> Desired:
        """The unit, cut down to what every state that may stand permits, and every copy of an object in unequal copies."""
        if not isinstance(desired.unit, Access):
            return desired
        desired = self._ignoring_doubts(mesh, desired, desired.unit)
        assert isinstance(desired.unit, Access)  # noqa: S101 - for mypy
        now = standing_of(desired.unit)
        others = [each for each in (*known, *self._copies(desired.unit)) if each != now]
        unit = self._without_moved_workloads(meet(others, desired.unit))
        if unit == desired.unit:
            return desired
        return replace(desired, unit=unit, translation=mesh.translate(self._key(unit), unit))

    def _without_moved_workloads(self, unit: Access) -> Access:
        """The unit without Workloads of which some readable copy runs as another account: as callers they would be it still."""
        stay = tuple(
            one for one in unit.workloads if all(_runs_as(unit, copy) for copy in self._store.readable(one.ref))
        )
        return unit if stay == unit.workloads else replace(unit, workloads=stay)

    def _ignoring_doubts(self, mesh: Mesh, desired: Desired, unit: Access) -> Desired:
        """The unit as if nothing that cannot be read declared anything: what stood is kept where that permits it."""
        certain = None if self._missing.given_up or not unit.doubts else self._store.without_doubts(self._key(unit))
        if certain is None:
            return desired
        return replace(desired, unit=certain, translation=mesh.translate(self._key(unit), certain))

    def to_certain(self, mesh: Mesh, desired: Desired, known: Sequence[Standing]) -> Desired:
        """A unit with ports of unknown protocol: what is certain, or, if more than that stands, what stands of it."""
        narrowed = self.to_states(mesh, desired, known)
        certain, kept = desired.standing, narrowed.standing
        if certain is None or kept is None or not isinstance(desired.unit, Access):
            return desired
        return narrowed if gained(desired.unit.identity, (certain,), kept) else desired

    def _key(self, unit: Access) -> UnitKey:
        return UnitKey("access", unit.identity.namespace, unit.identity.service_account, self._store.domain)

    def _copies(self, unit: Access) -> list[Standing]:
        """What the unit would permit with each readable copy of an object that stands in unequal ones."""
        key = self._key(unit)
        recalled = {ref: each.object for ref, each in self._missing.recalled.items()}
        found = []
        for ref in sorted(broken(self._store, self._missing, key)):
            for copy in self._store.readable(ref):
                self._store.recall({**recalled, ref: copy})
                other = self._store.compile(key)[0]
                found.append(standing_of(other) if isinstance(other, Access) else Standing())
                # Back at once: no other unit may be compiled with this copy.
                self._store.recall(recalled)
        return found

    def to_what_stands(
        self, mesh: Mesh, key: UnitKey, desired: Desired, standing: Mapping[ObjectRef, Observed]
    ) -> Desired:
        """The unit less what does not stand: somebody edited its objects, so nobody can tell what they permit."""
        if not isinstance(desired.unit, Access) or not differs(mesh, key, desired, standing):
            return desired
        wanted = self.to_states(mesh, desired, ())
        objects = mesh.meet(key, standing, wanted.translation.objects)
        origins = tuple(sorted(set(desired.unit.origins)))
        objects = tuple(replace(one, origins=one.origins or origins) for one in objects)
        return replace(wanted, translation=replace(wanted.translation, objects=objects))


def refs_behind(store: Store, key: UnitKey, unit: Unit | None) -> set[ObjectRef]:
    """The objects behind a unit; of equal pod templates one."""
    return {*(unit.origins if unit is not None else ()), *store.template_samples(key)}


def broken(store: Store, missing: Missing, key: UnitKey) -> set[ObjectRef]:
    """The objects behind a unit that count as they last could be read."""
    if not missing.recalled:
        return set()
    return refs_behind(store, key, store.compile(key)[0]) & missing.recalled.keys()


def differs(mesh: Mesh, key: UnitKey, unit: Desired, mine: Mapping[ObjectRef, Observed]) -> bool:
    """Whether what stands of a unit is not what it should be."""
    after = mesh.carry_over(key, unit.translation.objects, mine)
    return {native.ref: native.body for native in after} != {ref: one.owned for ref, one in mine.items()}


def _runs_as(unit: Access, copy: SmiObject) -> bool:
    return isinstance(copy, Workload) and copy.service_account == unit.identity.service_account
