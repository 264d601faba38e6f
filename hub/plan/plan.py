"""Plan: what has to change in a mesh so that it carries out the units, in which order, and what that means to people.

Pure. The order is computed here alone, from each object's role, so that every prefix of the waves is safe: guards
stand before anything is granted, grants shrink before they grow, and what others refer to is there before they do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from hub.memory.oldlines import old_lines, unlisted
from hub.memory.permits import NOTHING, Permit, Standing, gained, line_of
from hub.memory.permits import standing as standing_of
from hub.memory.states import EMPTY, SCHEMA, Kept, Remembered, State, decode, digest, encode, lost_at, mixed, trusted
from hub.model import (
    Access,
    Change,
    Loss,
    NativeObject,
    ObjectRef,
    Observation,
    Observed,
    Op,
    Role,
    Route,
    Translation,
    Unit,
    UnitKey,
)
from hub.plan.lines import rerouted_lines, route_lines

_WAVES: Mapping[tuple[Role, Op], int] = {
    (Role.GUARD, Op.CREATE): 1,
    (Role.GUARD, Op.REPLACE): 1,
    (Role.REFERENCED, Op.CREATE): 2,
    (Role.REFERENCED, Op.REPLACE): 2,
    (Role.GRANT, Op.DELETE): 3,
    (Role.GRANT, Op.REPLACE): 4,
    (Role.GRANT, Op.CREATE): 5,
    (Role.ROUTE, Op.CREATE): 6,
    (Role.ROUTE, Op.REPLACE): 6,
    (Role.ROUTE, Op.DELETE): 6,
    (Role.REFERENCED, Op.DELETE): 7,
    (Role.GUARD, Op.DELETE): 8,
}

CarryOver = Callable[[Sequence[NativeObject], Mapping[ObjectRef, Observed]], tuple[NativeObject, ...]]


class Desired(Struct, frozen=True, gc=False):
    """One unit as it should be: itself (None: it is gone), its translation, and the input objects that it was made from."""

    unit: Unit | None
    translation: Translation = Translation()
    kept: tuple[Kept, ...] = ()


class Conflict(Struct, frozen=True, gc=False):
    """A native object that is not ours to write: another unit claims it, or (`first` None) it carries no mark of ours."""

    ref: ObjectRef
    first: UnitKey | None
    second: UnitKey


class Plan(Struct, frozen=True, gc=False):
    """What `apply` will write to one mesh, and what it means.

    `changes` are sorted by wave. `memory` goes with them.
    `gained` and `lost` are what the mesh will permit and refuse, after its Losses; `lost_lines` are losses of which only
    lines are known (hub.memory.oldlines); `losing` are the units that lose, also those that were open before; `rerouted` are
    (before, after) lines. `governs` are the identities that nothing governed before: callers without a TrafficTarget are
    refused from then on.
    `frozen` units stay as they are, for nobody can tell what a change would add to them; `held` ones would gain access,
    which waits; what they lose is in the plan. `recalled` are the input objects that cannot be read and count as they last
    could. `hands_off` are objects that would change but were asked to be left alone. `pieces` are units of more than one
    change, where the sink promises no order among them. `governed` counts the identities governed before or after.
    `first` means that nothing of ours stood there before.
    """

    mesh: str
    token: str
    changes: tuple[Change, ...] = ()
    memory: Mapping[UnitKey, bytes] = {}
    losses: tuple[Loss, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    frozen: tuple[UnitKey, ...] = ()
    held: tuple[UnitKey, ...] = ()
    hands_off: tuple[ObjectRef, ...] = ()
    pieces: tuple[UnitKey, ...] = ()
    gained: tuple[Permit, ...] = ()
    lost: tuple[Permit, ...] = ()
    lost_lines: tuple[str, ...] = ()
    governs: tuple[UnitKey, ...] = ()
    recalled: tuple[ObjectRef, ...] = ()
    rerouted: tuple[tuple[str, str], ...] = ()
    losing: tuple[UnitKey, ...] = ()
    governed: int = 0
    first: bool = False

    @property
    def allowed(self) -> tuple[str, ...]:
        """`gained` as lines, such as `shop/web -> shop/api:8080 GET /v1/.*`."""
        return tuple(line_of(permit) for permit in self.gained)

    @property
    def denied(self) -> tuple[str, ...]:
        """`lost` as lines."""
        return (*self.lost_lines, *(line_of(permit) for permit in self.lost))


def wave(role: Role, op: Op) -> int:
    """The wave (1-8) in which an object of this role is written, replaced or deleted."""
    return _WAVES[role, op]


# --------------------------------------------------------------------------- the plan


def plan(
    mesh: str,
    desired: Mapping[UnitKey, Desired],
    observation: Observation,
    carry_over: CarryOver,
    frozen: frozenset[UnitKey] = frozenset(),
) -> Plan:
    """Compare the desired units with what stands there.

    `desired` holds every unit to be decided now (all of them, or the dirty ones); units that are not in it stay as
    they are. `observation` may be restricted to the objects of these units. Units in `frozen` depend on an unread
    part of a source: they are left as observed. Changes come sorted by wave, then ref.
    """
    decided = {key: unit for key, unit in sorted(desired.items()) if key not in frozen}
    standing = by_unit(observation.objects)
    conflicts = conflicts_of(decided, observation.objects)
    spared = {ref for ref, observed in observation.objects.items() if observed.hands_off}
    claimed = {native.ref for unit in desired.values() for native in unit.translation.objects}
    settled = {key: carry_over(unit.translation.objects, standing.get(key, {})) for key, unit in decided.items()}
    planned = _all_changes(decided, settled, observation.objects, standing)
    wanted = [one for one in planned if one.after or one.ref not in claimed]
    changes = list(_without_conflicts(wanted, conflicts, decided, observation.objects))
    written = [change for change in changes if change.ref not in spared]
    left = {change.unit for change in changes if change.ref in spared} | _kept_by_conflict(wanted, changes, standing)
    idle = left - {change.unit for change in written}
    natives = {key: digest((one.ref, one.body) for one in objects) for key, objects in settled.items()}
    natives |= {key: _outcome(standing.get(key, {}), written, key) for key in {one.second for one in conflicts} | left}
    meant = _with_meaning(
        Plan(
            mesh=mesh,
            token=observation.token,
            changes=tuple(sorted(written, key=lambda change: (change.wave, change.ref))),
            hands_off=tuple(sorted({change.ref for change in changes if change.ref in spared})),
            losses=tuple(sorted(loss for unit in decided.values() for loss in unit.translation.losses)),
            conflicts=conflicts,
            frozen=tuple(sorted(frozen & desired.keys())),
            first=not standing and not observation.memory,
        ),
        [_Meaning(key, unit, natives[key]) for key, unit in decided.items() if key not in idle],
        observation,
    )
    # What an object that is left alone, or a conflict, keeps from coming about is not remembered as if it had.
    partly = {key: mixed(known_states(key, observation), meant.memory[key]) for key in left & meant.memory.keys()}
    memory = {key: raw for key, raw in {**meant.memory, **partly}.items() if raw is not None}
    return replace(meant, memory=memory)


def _absent_grants(after: Iterable[NativeObject], before: Mapping[ObjectRef, Observed]) -> frozenset[ObjectRef]:
    """The grants of a unit that are to stand and do not; those that need one stand only beside it."""
    grants = {native.ref for native in after if native.role is Role.GRANT}
    return frozenset(ref for ref in grants if ref not in before or not before[ref].token)


def _outcome(before: Mapping[ObjectRef, Observed], written: Iterable[Change], key: UnitKey) -> str:
    """The digest of what stands of a unit after these changes, where it does not come to be all that it should."""
    bodies = {ref: observed.owned for ref, observed in before.items()}
    for change in written:
        if change.unit == key and change.after is None:
            bodies.pop(change.ref, None)
        elif change.unit == key and change.after is not None:
            bodies[change.ref] = change.after.body
    return digest(bodies.items())


def in_pieces(made: Plan) -> Plan:
    """The same plan, telling which units are not one atomic write where each object is brought into force by itself."""
    count = Counter(change.unit for change in made.changes)
    return replace(made, pieces=tuple(sorted(unit for unit, number in count.items() if number > 1)))


def by_unit(objects: Mapping[ObjectRef, Observed]) -> dict[UnitKey, dict[ObjectRef, Observed]]:
    """What stands of each unit."""
    units: dict[UnitKey, dict[ObjectRef, Observed]] = {}
    for ref, observed in objects.items():
        if observed.owner is not None:
            units.setdefault(observed.owner, {})[ref] = observed
    return units


def conflicts_of(decided: Mapping[UnitKey, Desired], standing: Mapping[ObjectRef, Observed]) -> tuple[Conflict, ...]:
    """Refs that are not a unit's to write: another unit has or claims them, or they carry no mark of ours.

    Of several units that claim one, that one has it whose it is already; if it is nobody's, none has.
    """
    first: dict[ObjectRef, UnitKey] = {}
    claims: dict[ObjectRef, list[UnitKey]] = {}
    for key, unit in decided.items():
        for native in unit.translation.objects:
            if (other := first.setdefault(native.ref, key)) is not key:
                claims.setdefault(native.ref, [other]).append(key)
    claims |= {ref: [first[ref]] for ref in standing if ref in first and ref not in claims}
    found = []
    for ref, keys in claims.items():
        observed = standing.get(ref)
        if observed is not None and (observed.owner not in decided or observed.owner in keys):
            found += [Conflict(ref, observed.owner, key) for key in keys if key != observed.owner]
        elif len(keys) > 1:
            found += [Conflict(ref, next(one for one in keys if one != key), key) for key in keys]
    return tuple(sorted(found, key=lambda one: (one.second, one.ref)))


def _without_conflicts(
    changes: Iterable[Change],
    conflicts: Sequence[Conflict],
    decided: Mapping[UnitKey, Desired],
    standing: Mapping[ObjectRef, Observed],
) -> Iterator[Change]:
    """The changes that neither touch nor need what is not their unit's to write.

    Where that is a guard, no grant is deleted, nor one that stood beside it: nobody knows whether that would open anything.
    """
    taken: dict[UnitKey, set[ObjectRef]] = {}
    for one in conflicts:
        taken.setdefault(one.second, set()).add(one.ref)
    roles = {native.ref: native.role for key in taken for native in decided[key].translation.objects}
    for change in changes:
        refs = taken.get(change.unit, set())
        needs = change.after.needs if change.after is not None else ()
        beside = {ref for ref in standing[change.ref].needs if ref in refs} if change.op is Op.DELETE else set()
        unguarded = change.op is Op.DELETE and any(roles[ref] is Role.GUARD for ref in refs)
        unguarded |= any(roles[ref] is Role.GRANT for ref in beside)
        if change.ref not in refs and not refs.intersection(needs) and not unguarded:
            yield change


def _kept_by_conflict(
    wanted: Iterable[Change], changes: Iterable[Change], standing: Mapping[UnitKey, Mapping[ObjectRef, Observed]]
) -> set[UnitKey]:
    """The units of which an object stays as it stands because of a conflict: what they would lose by it, nobody loses."""
    done = {change.ref for change in changes}
    return {one.unit for one in wanted if one.ref not in done and one.ref in standing.get(one.unit, {})}


def _taken_over(after: Sequence[NativeObject], standing: Mapping[ObjectRef, Observed]) -> dict[ObjectRef, Observed]:
    """Objects that another unit made before: they are replaced, so that nobody loses what both units speak of."""
    return {native.ref: standing[native.ref] for native in after if native.ref in standing}


def _all_changes(
    decided: Mapping[UnitKey, Desired],
    settled: Mapping[UnitKey, Sequence[NativeObject]],
    objects: Mapping[ObjectRef, Observed],
    standing: Mapping[UnitKey, Mapping[ObjectRef, Observed]],
) -> Iterable[Change]:
    for key, after in settled.items():
        former = frozenset(decided[key].translation.former)
        yield from _unit_changes(key, after, {**_taken_over(after, objects), **standing.get(key, {})}, former)


def _unit_changes(
    key: UnitKey, after: Sequence[NativeObject], before: Mapping[ObjectRef, Observed], former: Collection[ObjectRef]
) -> Iterable[Change]:
    absent = _absent_grants(after, before)
    for native in after:
        observed = before.get(native.ref)
        if observed is None:
            role = Role.ROUTE if absent.intersection(native.needs) else native.role
            yield Change(Op.CREATE, native.ref, wave(role, Op.CREATE), None, native, key)
        elif (observed.owned, observed.needs, observed.owner) != (native.body, native.needs, key):
            number = wave(native.role, Op.REPLACE)
            yield Change(Op.REPLACE, native.ref, number, observed.owned, native, key, observed.token)
    for ref in before.keys() - {native.ref for native in after}:
        observed = before[ref]
        # Its new name, and what denies where no grant is left, come first: nothing is refused, or open, in between.
        role = Role.REFERENCED if ref in former or absent.intersection(observed.needs) else observed.role
        yield Change(Op.DELETE, ref, wave(role, Op.DELETE), observed.owned, None, key, observed.token)


# --------------------------------------------------------------------------- what it means


def known_states(key: UnitKey, observation: Observation) -> tuple[Standing, ...] | None:
    """What may stand of an Access unit, as values; None if nobody can tell from what is remembered and what stands."""
    past = decode(observation.memory.get(key))
    mine = [(ref, one.owned) for ref, one in observation.objects.items() if one.owner == key]
    if past is None:
        return None if mine else (NOTHING,)
    return None if past.old else trusted(past, digest(mine))


def claimed_states(key: UnitKey, observation: Observation) -> tuple[Standing, ...] | None:
    """What the memory says may stand, although somebody edited the objects since; None where it says nothing."""
    past = decode(observation.memory.get(key))
    return tuple(state.standing for state in past.states) or None if past is not None else None


class _Meaning(Struct, frozen=True, gc=False):
    key: UnitKey
    desired: Desired
    natives: str


class _Changed(Struct, frozen=True, gc=False):
    gained: tuple[Permit, ...] = ()
    lost: tuple[Permit, ...] = ()
    lost_lines: tuple[str, ...] = ()


def _with_meaning(bare: Plan, decided: Sequence[_Meaning], observation: Observation) -> Plan:
    """Add what the change means: what is gained and lost, units that lose, and what to remember."""
    memory: dict[UnitKey, bytes] = {}
    found: dict[UnitKey, _Changed] = {}
    rerouted: list[tuple[str, str]] = []
    for each in decided:
        raw = observation.memory.get(each.key, b"")
        after = _remembered(each, lost_at(raw))
        encoded = b"" if after is None else encode(after)
        if encoded != raw:
            memory[each.key] = encoded
        if each.key.kind == "route":
            rerouted.extend(rerouted_lines(decode(raw) or EMPTY, after or EMPTY))
        elif after is not None:
            found[each.key] = _changed(each, after.states[0].standing, observation)
    owners = {one.owner for one in observation.objects.values()}
    return replace(
        bare,
        memory=memory,
        gained=tuple(permit for each in found.values() for permit in each.gained),
        lost=tuple(permit for each in found.values() for permit in each.lost),
        lost_lines=tuple(line for each in found.values() for line in each.lost_lines),
        rerouted=tuple(rerouted),
        losing=tuple(key for key, each in found.items() if each.lost or each.lost_lines),
        governs=tuple(key for key in found if key not in observation.memory and key not in owners),
        governed=sum(key.kind == "access" for key in observation.memory.keys() | {each.key for each in decided}),
    )


def _remembered(each: _Meaning, lost: int) -> Remembered | None:
    unit = each.desired.unit
    if unit is None:
        return None
    if isinstance(unit, Route):
        return Remembered(SCHEMA, routes=route_lines(unit), kept=each.desired.kept)
    state = State(standing_of(unit, each.desired.translation.carried), each.natives)
    return Remembered(SCHEMA, (state,), kept=each.desired.kept, lost=lost)


def _changed(each: _Meaning, after: Standing, observation: Observation) -> _Changed:
    """What an identity gains over all, and loses of any, of the states that may stand."""
    access = each.desired.unit
    if not isinstance(access, Access):
        return _Changed()
    past = decode(observation.memory.get(each.key))
    if past is not None and past.old:
        fresh = standing_of(access, unlisted(access, frozenset(past.lines)))
        lines = sorted({*past.lines} - old_lines(access))
        return _Changed(gained(access.identity, (), fresh), lost_lines=tuple(lines))
    before = known_states(each.key, observation) or ()
    states = before or (tuple(state.standing for state in past.states) if past is not None else ())
    lost = {permit for state in states for permit in gained(access.identity, (after,), state)}
    return _Changed(gained(access.identity, before, after), tuple(sorted(lost, key=line_of)))
