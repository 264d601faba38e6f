"""Changes: which objects have to be written or deleted so that a mesh carries out its units, in which order, and which must wait.

Pure. The order is computed here alone, from each object's role, so that every prefix of the waves is safe: guards
stand before anything is granted, grants shrink before they grow, and what others refer to is there before they do. Within a
wave objects go by what they need.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from hub.memory.permits import Standing
from hub.memory.permits import standing as standing_of
from hub.memory.states import RememberedInput
from hub.model import Access, Change, NativeObject, ObjectRef, Observed, Op, Role, Translation, Unit, UnitKey

_WAVES: Mapping[tuple[Role, Op], int] = {
    (Role.GUARD, Op.CREATE): 1,
    (Role.GUARD, Op.REPLACE): 1,
    (Role.REFERENCED, Op.CREATE): 2,
    (Role.REFERENCED, Op.REPLACE): 2,
    # Grants that go, then those that change, then new ones: at no point do two of them together allow what neither the
    # old state nor the new one does.
    (Role.GRANT, Op.DELETE): 3,
    (Role.GRANT, Op.REPLACE): 4,
    (Role.GRANT, Op.CREATE): 5,
    (Role.ROUTE, Op.CREATE): 6,
    (Role.ROUTE, Op.REPLACE): 6,
    (Role.ROUTE, Op.DELETE): 6,
    # Last: until here something may still refer to these, or rely on them to deny.
    (Role.REFERENCED, Op.DELETE): 7,
    (Role.GUARD, Op.DELETE): 8,
}
_NEW_FIRST: Mapping[Op, int] = {Op.CREATE: 3, Op.REPLACE: 4, Op.DELETE: 5}
"""The waves of grants of which no part of the old and the new ones allows more than either did: nobody is refused in between."""
BASELINE_WRITTEN, BASELINE_DELETED = 0, 9
"""The waves of baselines: what needs them is written and deleted in between."""
_CLOSING = (Role.GUARD, Role.GRANT)


class Desired(Struct, frozen=True, gc=False):
    """One unit as it should be: itself (None: it is gone), its translation, and the input objects that it was made from.

    `reading` is by which switches SMI was read (hub.readings).
    """

    unit: Unit | None
    translation: Translation = Translation()
    kept: tuple[RememberedInput, ...] = ()
    reading: str = ""

    @property
    def standing(self) -> Standing | None:
        """What the mesh carries out of an Access; None for anything else."""
        return standing_of(self.unit, self.translation.carried) if isinstance(self.unit, Access) else None


def _no_narrowest(key: UnitKey, observed: Observed) -> bytes | None:
    return None


class Constraints(Struct, frozen=True):
    """What a plan has to go by: `frozen` units stay as observed, `lacking` are objects that cannot be counted on to stand.

    Of `unproven` units nobody can tell what stands permits: they come with objects that allow no more than that does.
    `narrowest` is the body of a unit's grant that grants nothing (see AdapterSpec), as far as that can be said. `new_first` is
    AdapterSpec's.
    """

    frozen: frozenset[UnitKey] = frozenset()
    lacking: frozenset[ObjectRef] = frozenset()
    unproven: frozenset[UnitKey] = frozenset()
    narrowest: Callable[[UnitKey, Observed], bytes | None] = _no_narrowest
    new_first: bool = False


FREE = Constraints()


class Conflict(Struct, frozen=True, gc=False):
    """A native object that is not ours to write: another unit claims it, or (`first` None) it carries no mark of ours."""

    ref: ObjectRef
    first: UnitKey | None
    second: UnitKey


def wave(role: Role, op: Op, key: UnitKey | None = None) -> int:
    """The wave (0-9) in which an object of this role, and of this unit, is written, replaced or deleted."""
    if key is not None and key.kind == "baseline":
        return BASELINE_DELETED if op is Op.DELETE else BASELINE_WRITTEN
    return _WAVES[role, op]


def by_unit(objects: Mapping[ObjectRef, Observed]) -> dict[UnitKey, dict[ObjectRef, Observed]]:
    """What stands of each unit."""
    units: dict[UnitKey, dict[ObjectRef, Observed]] = {}
    for ref, observed in objects.items():
        if observed.owner is not None:
            units.setdefault(observed.owner, {})[ref] = observed
    return units


# --------------------------------------------------------------------------- what has to change


def all_changes(
    decided: Mapping[UnitKey, Desired],
    final: Mapping[UnitKey, Sequence[NativeObject]],
    objects: Mapping[ObjectRef, Observed],
    standing: Mapping[UnitKey, Mapping[ObjectRef, Observed]],
    remembered: Collection[UnitKey] = (),
) -> Iterable[Change]:
    """Every difference between what these units should be (`final`), and what stands (`objects`, and by unit `standing`)."""
    for key, after in final.items():
        before = {**_taken_over(after, objects), **standing.get(key, {})}
        changes = _unit_changes(key, after, before, frozenset(decided[key].translation.former))
        grants_deleted = key in remembered and not any(one.role is Role.GRANT for one in before.values())
        yield from map(_closing_first, changes) if grants_deleted else changes


def new_grants_first(changes: Sequence[Change], before: Mapping[ObjectRef, Observed]) -> Iterable[Change]:
    """The same with new grants before old ones go; what another one needs comes before that one, and goes after it."""
    created = {change.ref for change in changes if change.op is Op.CREATE and _is_grant(change, before)}
    needed = {ref for one in before.values() for ref in one.needs}
    for change in changes:
        if not _is_grant(change, before) or change.unit.kind == "baseline":
            yield change
        elif change.after is None and change.ref in needed:
            yield replace(change, wave=wave(Role.REFERENCED, Op.DELETE))
        else:
            late = change.after is not None and bool(created.intersection(change.after.needs))
            yield replace(change, wave=_NEW_FIRST[Op.REPLACE if late else change.op])


def in_steps(changes: Sequence[Change], needs: Callable[[ObjectRef], Iterable[ObjectRef]]) -> Iterator[list[Change]]:
    """The changes of one wave in steps: what others of it need is written before those, and deleted after them.

    `needs` are those of what stands. The changes of a step may be written in any order. Objects that need each other share one.
    """
    left = list(changes)
    while left:
        written = {change.ref for change in left if change.after is not None}
        in_use = {ref for change in left if change.after is None for ref in needs(change.ref) if ref != change.ref}
        later = [change for change in left if _waits_for_others(change, written, in_use)]
        if len(later) == len(left):
            later = []
        waiting = {change.ref for change in later}
        yield [change for change in left if change.ref not in waiting]
        left = later


def _waits_for_others(change: Change, written: Collection[ObjectRef], in_use: Collection[ObjectRef]) -> bool:
    if change.after is None:
        return change.ref in in_use
    return any(ref in written for ref in change.after.needs if ref != change.ref)


def _is_grant(change: Change, before: Mapping[ObjectRef, Observed]) -> bool:
    return (change.after or before[change.ref]).role is Role.GRANT


def _closing_first(change: Change) -> Change:
    """Of a unit of which somebody deleted all grants: until these stand, what he made of other objects may rule its Pods.

    So they come back before any of those is put right, which would leave nothing there.
    """
    base = change.after is not None and change.after.role is Role.GRANT and not change.after.needs
    return replace(change, wave=wave(Role.GUARD, Op.CREATE)) if base and change.op is Op.CREATE else change


def _taken_over(after: Sequence[NativeObject], standing: Mapping[ObjectRef, Observed]) -> dict[ObjectRef, Observed]:
    """Objects that another unit made before: they are replaced, so that nobody loses what both units speak of."""
    return {native.ref: standing[native.ref] for native in after if native.ref in standing}


def _unit_changes(
    key: UnitKey, after: Sequence[NativeObject], before: Mapping[ObjectRef, Observed], former: Collection[ObjectRef]
) -> Iterable[Change]:
    absent = _absent_grants(after, before)
    for native in after:
        observed = before.get(native.ref)
        if observed is None:
            # One that stands only beside another grant comes after that one, which denies what this does not allow.
            role = Role.ROUTE if absent.intersection(native.needs) else native.role
            yield Change(Op.CREATE, native.ref, wave(role, Op.CREATE, key), None, native, key)
        elif (observed.owned, observed.needs, observed.owner) != (native.body, native.needs, key):
            number = wave(native.role, Op.REPLACE, key)
            yield Change(Op.REPLACE, native.ref, number, observed.owned, native, key, observed.token)
    for ref in before.keys() - {native.ref for native in after}:
        observed = before[ref]
        # Its new name, and what denies where no grant is left, come first: nothing is refused, or open, in between.
        role = Role.REFERENCED if ref in former or absent.intersection(observed.needs) else observed.role
        yield Change(Op.DELETE, ref, wave(role, Op.DELETE, key), observed.owned, None, key, observed.token)


def _absent_grants(after: Iterable[NativeObject], before: Mapping[ObjectRef, Observed]) -> frozenset[ObjectRef]:
    """The grants of a unit that are to stand and do not; those that need one stand only beside it."""
    grants = {native.ref for native in after if native.role is Role.GRANT}
    return frozenset(ref for ref in grants if ref not in before or not before[ref].token)


# --------------------------------------------------------------------------- what must wait


def conflicts_of(decided: Mapping[UnitKey, Desired], standing: Mapping[ObjectRef, Observed]) -> tuple[Conflict, ...]:
    """Refs that are not a unit's to write: another unit has or claims them, or they carry no mark of ours.

    Of several units that claim one, that one has it whose it is already; if it is nobody's, none has.
    """
    first: dict[ObjectRef, UnitKey] = {}
    claims: dict[ObjectRef, list[UnitKey]] = {}
    for key, unit in decided.items():
        for native in unit.translation.objects:
            # By key order, which is the same in every run: who is named first in a conflict must not depend on hashing.
            if (other := first.setdefault(native.ref, key)) is not key:
                claims.setdefault(native.ref, [other]).append(key)
    claims |= {ref: [first[ref]] for ref in standing if ref in first and ref not in claims}
    conflicts = []
    for ref, keys in claims.items():
        observed = standing.get(ref)
        if observed is not None and (observed.owner not in decided or observed.owner in keys):
            conflicts += [Conflict(ref, observed.owner, key) for key in keys if key != observed.owner]
        elif len(keys) > 1:
            conflicts += [Conflict(ref, next(one for one in keys if one != key), key) for key in keys]
    return tuple(sorted(conflicts, key=lambda one: (one.second, one.ref)))


class Blocked(Struct, frozen=True):
    """What of some units cannot be written, or not be counted on to stand: `taken` by others, by unit, or lacking."""

    decided: Mapping[UnitKey, Desired]
    standing: Mapping[ObjectRef, Observed]
    taken: Mapping[UnitKey, frozenset[ObjectRef]]
    constraints: Constraints

    @property
    def lacking(self) -> frozenset[ObjectRef]:
        """See Constraints."""
        return self.constraints.lacking

    @classmethod
    def by(
        cls,
        conflicts: Iterable[Conflict],
        constraints: Constraints,
        decided: Mapping[UnitKey, Desired],
        standing: Mapping[ObjectRef, Observed],
    ) -> Blocked:
        """By conflicts, and by what is lacking."""
        taken: dict[UnitKey, frozenset[ObjectRef]] = {}
        for one in conflicts:
            taken[one.second] = taken.get(one.second, frozenset()) | {one.ref}
        return cls(decided, standing, taken, constraints)

    def split(self, changes: Iterable[Change]) -> tuple[list[Change], list[Change]]:
        """The changes that may be written, and those that must wait, given that.

        A grant that must not go is written in its narrowest form, where there is one, and waits for nothing then.
        """
        if not self.taken and not self.lacking:
            return list(changes), []
        may, waiting = list[Change](), list[Change]()
        for change in changes:
            if not self._waits(change):
                may.append(change)
            elif (narrow := self._narrowest(change)) is None:
                waiting.append(change)
            elif narrow.body != change.before:
                may.append(replace(change, op=Op.REPLACE, wave=wave(Role.GRANT, Op.REPLACE), after=narrow))
        # An object that waits stays, and what it refers to must not be deleted under it.
        used = {ref for change in waiting if (one := self.standing.get(change.ref)) is not None for ref in one.needs}
        needed = [change for change in may if change.after is None and change.ref in used]
        return [change for change in may if change not in needed], [*waiting, *needed]

    def _waits(self, change: Change) -> bool:
        """Whether it is not ours to write, would need what does not stand, or might open what that closes."""
        mine = self.taken.get(change.unit, frozenset())
        had = one.needs if (one := self.standing.get(change.ref)) is not None else ()
        if change.after is None:
            return self._might_open(change, had)
        # What it needs already is no worse by this change: only new references can hold it up.
        fresh = (ref for ref in change.after.needs if ref not in had)
        return change.ref in mine or any(ref in mine or ref in self.lacking for ref in fresh)

    def _narrowest(self, change: Change) -> NativeObject | None:
        """What a grant is to be that should go and must not; None for anything else, and where nobody can say."""
        observed = self.standing.get(change.ref)
        renamed = change.ref in self.decided[change.unit].translation.former
        if change.after is not None or observed is None or observed.role is not Role.GRANT or renamed:
            return None
        body = self.constraints.narrowest(change.unit, observed) if observed.token else None
        return None if body is None else NativeObject(change.ref, Role.GRANT, body, needs=observed.needs)

    def _might_open(self, change: Change, had: Iterable[ObjectRef]) -> bool:
        """Whether the absence of an object might open something while what cannot be written does not stand.

        That is what its unit guards, what the object stands beside, or what is to stand under another name instead of it.
        """
        translation = self.decided[change.unit].translation
        refs = self.taken.get(change.unit, frozenset()) | self.lacking
        roles = {native.ref: native.role for native in translation.objects if native.ref in refs}
        beside = (ref for ref in had if ref in refs and roles.get(ref, Role.GUARD) in _CLOSING)
        renamed = bool(roles) and change.ref in translation.former
        return Role.GUARD in roles.values() or any(beside) or renamed
