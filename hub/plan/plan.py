"""Plan: what has to change in a mesh so that it carries out the units (hub.plan.changes), and what that means to people. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from hub.memory.oldlines import old_lines, unlisted
from hub.memory.permits import NOTHING, Permit, Standing, gained, line_of
from hub.memory.permits import standing as standing_of
from hub.memory.states import (
    EMPTY,
    SCHEMA,
    Encoded,
    Remembered,
    State,
    decode,
    digest,
    encode,
    lost_at,
    partly_written,
    trusted,
)
from hub.model import (
    Access,
    Change,
    Loss,
    NativeObject,
    ObjectRef,
    Observation,
    Observed,
    Role,
    Route,
    UnitKey,
)
from hub.plan.causes import ChangeCause, of_access, of_route
from hub.plan.changes import (
    FREE,
    Blocked,
    Conflict,
    Constraints,
    Desired,
    all_changes,
    by_unit,
    conflicts_of,
    new_grants_first,
)
from hub.plan.lines import rerouted_lines, route_lines

CarryOver = Callable[[Sequence[NativeObject], Mapping[ObjectRef, Observed]], tuple[NativeObject, ...]]


class Plan(Struct, frozen=True, gc=False):
    """What `apply` will write to one mesh, and what it means.

    `changes` are sorted by wave. `memory` goes with them.
    `gained` and `lost` are what the mesh will permit and refuse, after its Losses; `lost_lines` are losses of which only
    lines are known (hub.memory.oldlines); `losing` are the units that lose, also those that were open before; `rerouted` are
    (before, after) lines; `because` is why, by unit and TrafficTarget. `governs` are the identities that nothing governed before: callers without a TrafficTarget are
    refused from then on.
    `frozen` units stay as they are, for nobody can tell what a change would add to them; `unrevoked` is what they would lose, by
    what is remembered of them. `held` ones would gain access, which waits; what they lose is in the plan. Of these, `unproven`
    ones were edited by somebody, so that what stands of them is all that they keep. `recalled` are the input objects that cannot be read and count as they last
    could. `paused` are objects that would change, had nobody paused them. `pieces` are units of more than one
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
    unrevoked: tuple[Permit, ...] = ()
    held: tuple[UnitKey, ...] = ()
    unproven: tuple[UnitKey, ...] = ()
    paused: tuple[ObjectRef, ...] = ()
    pieces: tuple[UnitKey, ...] = ()
    gained: tuple[Permit, ...] = ()
    lost: tuple[Permit, ...] = ()
    lost_lines: tuple[str, ...] = ()
    governs: tuple[UnitKey, ...] = ()
    recalled: tuple[ObjectRef, ...] = ()
    rerouted: tuple[tuple[str, str], ...] = ()
    losing: tuple[UnitKey, ...] = ()
    because: tuple[ChangeCause, ...] = ()
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


# --------------------------------------------------------------------------- the plan


def plan(
    mesh: str,
    desired: Mapping[UnitKey, Desired],
    observation: Observation,
    carry_over: CarryOver,
    constraints: Constraints = FREE,
) -> Plan:
    """Compare the desired units with what stands there.

    `desired` holds every unit to be decided now (all of them, or the dirty ones); units that are not in it stay as
    they are. `observation` may be restricted to the objects of these units. Changes come sorted by wave, then ref.
    """
    frozen = constraints.frozen
    decided = {key: unit for key, unit in sorted(desired.items()) if key not in frozen}
    standing = by_unit(observation.objects)
    conflicts = conflicts_of(decided, observation.objects)
    paused_refs = {ref for ref, observed in observation.objects.items() if observed.paused}
    # Of all desired units, frozen ones too: what a frozen unit claims must not be deleted by the unit that had it.
    claimed = {native.ref for unit in desired.values() for native in unit.translation.objects}
    final = {key: carry_over(unit.translation.objects, standing.get(key, {})) for key, unit in decided.items()}
    planned = all_changes(decided, final, observation.objects, standing, observation.memory)
    if constraints.new_first:
        planned = new_grants_first(list(planned), observation.objects)
    blocked = Blocked.by(conflicts, constraints, decided, observation.objects)
    # An object that another unit claims now is handed over to it, not deleted and made again.
    changes, waiting = blocked.split(one for one in planned if one.after or one.ref not in claimed)
    written = [change for change in changes if change.ref not in paused_refs]
    held_back = {change.unit for change in changes if change.ref in paused_refs}
    held_back |= {change.unit for change in waiting if change.ref in standing.get(change.unit, {})}
    # Nothing of these units is written: their memory stays as it is, for it still says what stands.
    unwritten = held_back - {change.unit for change in written}
    natives = {key: digest((one.ref, one.body) for one in objects) for key, objects in final.items()}
    # Of these not all is written, so the digest must be that of what will stand, and not of what is desired.
    partial = {one.second for one in conflicts} | {change.unit for change in waiting} | held_back
    natives |= {key: _outcome(standing.get(key, {}), written, key) for key in partial}
    annotated, memory = _with_access_diff(
        Plan(
            mesh=mesh,
            token=observation.token,
            changes=tuple(sorted(written, key=lambda change: (change.wave, change.ref))),
            paused=tuple(sorted({change.ref for change in changes if change.ref in paused_refs})),
            losses=tuple(sorted(loss for unit in decided.values() for loss in unit.translation.losses)),
            conflicts=conflicts,
            frozen=tuple(sorted(frozen & desired.keys())),
            unproven=tuple(sorted(constraints.unproven & decided.keys())),
            unrevoked=tuple(
                one for key in sorted(frozen & desired.keys()) for one in _lost(key, desired[key], observation)
            ),
            first=not standing and not observation.memory,
        ),
        [
            _FinalUnit(key, unit, natives[key], standing.get(key, {}))
            for key, unit in decided.items()
            if key not in unwritten
        ],
        observation,
    )
    stays = {key: known_states(observation.memory.get(key), standing.get(key, {})) for key in held_back}
    return replace(annotated, memory=_with_what_stays(Encoded(memory), stays))


def _with_what_stays(memory: Encoded, stays: Mapping[UnitKey, tuple[Standing, ...] | None]) -> Encoded:
    """What to remember, where objects of the units that `stays` names stay as they are: what these prevent is not remembered as done."""
    partial = {key: partly_written(stays[key], memory[key]) for key in stays.keys() & memory.keys()}
    unproven = {key for key, raw in partial.items() if raw is None}
    return memory.replaced(partial, without=unproven) if partial else memory


def _outcome(before: Mapping[ObjectRef, Observed], written: Iterable[Change], key: UnitKey) -> str:
    """The digest of what stands of a unit after these changes, where it does not come to be all that it should."""
    bodies = {ref: observed.owned for ref, observed in before.items()}
    for change in written:
        if change.unit == key and change.after is None:
            bodies.pop(change.ref, None)
        elif change.unit == key and change.after is not None:
            bodies[change.ref] = change.after.body
    return digest(bodies.items())


def with_non_atomic_units(plan: Plan) -> Plan:
    """The same plan, telling which units are not one atomic write where each object is brought into force by itself."""
    count = Counter(change.unit for change in plan.changes)
    return replace(plan, pieces=tuple(sorted(unit for unit, number in count.items() if number > 1)))


# --------------------------------------------------------------------------- what it means


def known_states(raw: bytes | None, mine: Mapping[ObjectRef, Observed]) -> tuple[Standing, ...] | None:
    """What may stand of an Access unit, as values; None if nobody can tell from what is remembered of it and what stands of it."""
    # Nothing remembered and no object: it grants nothing. Objects without a memory, or with one of an older
    # schema: nobody can tell. Else the remembered states, as far as the objects' digest bears them out.
    past = decode(raw)
    if past is None:
        return None if mine else (NOTHING,)
    return None if past.old else trusted(past, digest((ref, one.owned) for ref, one in mine.items()))


def claimed_states(key: UnitKey, observation: Observation) -> tuple[Standing, ...] | None:
    """What the memory says may stand, although somebody edited the objects since; None where it says nothing."""
    past = decode(observation.memory.get(key))
    return tuple(state.standing for state in past.states) or None if past is not None else None


def _lost(key: UnitKey, desired: Desired, observation: Observation) -> Sequence[Permit]:
    """What a unit would lose against all that its memory says may stand, sorted by its lines."""
    after, states = desired.standing, claimed_states(key, observation)
    if after is None or states is None or not isinstance(desired.unit, Access):
        return ()
    identity = desired.unit.identity
    return sorted({one for state in states for one in gained(identity, (after,), state)}, key=line_of)


def grantless_states(mine: Mapping[ObjectRef, Observed]) -> tuple[Standing, ...] | None:
    """What nobody remembers anything of grants nothing, where no object that grants stands."""
    return None if any(one.role is Role.GRANT and one.token for one in mine.values()) else (NOTHING,)


class _FinalUnit(Struct, frozen=True, gc=False):
    """A unit, the digest of what will stand of it, and what stands."""

    key: UnitKey
    desired: Desired
    natives: str
    standing: Mapping[ObjectRef, Observed]


class _AccessDiff(Struct, frozen=True, gc=False):
    gained: tuple[Permit, ...] = ()
    lost: tuple[Permit, ...] = ()
    lost_lines: tuple[str, ...] = ()
    because: tuple[ChangeCause, ...] = ()


def _with_access_diff(
    bare: Plan, decided: Sequence[_FinalUnit], observation: Observation
) -> tuple[Plan, dict[UnitKey, Remembered | bytes | None]]:
    """Add what the change means: what is gained and lost, units that lose, and what to remember."""
    memory: dict[UnitKey, Remembered | bytes | None] = {}
    diffs: dict[UnitKey, _AccessDiff] = {}
    rerouted: list[tuple[str, str]] = []
    because: list[ChangeCause] = []
    for each in decided:
        raw = observation.memory.get(each.key, b"")
        if each.key in bare.unproven:
            if each.natives != digest((ref, one.owned) for ref, one in each.standing.items()):
                # What is remembered proves nothing afterwards either: it is that of before.
                memory |= {each.key: raw} if raw else {}
                diffs[each.key] = _revoked(each, observation)
            continue
        after = _remembered(each, lost_at(raw))
        if _differs(after, raw):
            memory[each.key] = after
        if each.key.kind == "route":
            past = decode(raw) or EMPTY
            if lines := tuple(rerouted_lines(past, after or EMPTY)):
                rerouted.extend(lines)
                because.extend(() if past.old else of_route(each.key, past.kept, each.desired.kept))
        elif each.key.kind == "access" and after is not None:
            diffs[each.key] = _changed(each, after.states[0].standing, observation)
    owners = {one.owner for one in observation.objects.values()}
    annotated = replace(
        bare,
        gained=tuple(permit for each in diffs.values() for permit in each.gained),
        lost=tuple(permit for each in diffs.values() for permit in each.lost),
        lost_lines=tuple(line for each in diffs.values() for line in each.lost_lines),
        rerouted=tuple(rerouted),
        because=(*because, *(one for each in diffs.values() for one in each.because)),
        losing=tuple(key for key, each in diffs.items() if each.lost or each.lost_lines or key in bare.unproven),
        governs=tuple(key for key in diffs if key not in observation.memory and key not in owners),
        governed=sum(key.kind == "access" for key in observation.memory.keys() | {each.key for each in decided}),
    )
    return annotated, memory


def _differs(after: Remembered | None, raw: bytes) -> bool:
    """Whether anything else is to be remembered than these bytes; where there are none yet, nothing is encoded to compare."""
    if not raw or after is None:
        return bool(raw) or after is not None
    return encode(after) != raw


def _remembered(each: _FinalUnit, lost: int) -> Remembered | None:
    unit = each.desired.unit
    if unit is None:
        return None
    if not isinstance(unit, Access):
        routed = each.desired.translation.routed
        lines = route_lines(unit, routed) if isinstance(unit, Route) else ()
        return Remembered(SCHEMA, routes=lines, kept=each.desired.kept, reading=each.desired.reading)
    state = State(standing_of(unit, each.desired.translation.carried), each.natives)
    return Remembered(SCHEMA, (state,), kept=each.desired.kept, lost=lost, reading=each.desired.reading)


def _revoked(each: _FinalUnit, observation: Observation) -> _AccessDiff:
    """What an identity loses against all that is remembered of it; it gains nothing."""
    past, after = decode(observation.memory.get(each.key)), each.desired.standing
    lost = _lost(each.key, each.desired, observation)
    if past is None or after is None:
        return _AccessDiff()
    states = tuple(state.standing for state in past.states)
    because = of_access(each.key, {*lost}, (past.kept, each.desired.kept), (states, after))
    return _AccessDiff(lost=tuple(lost), because=tuple(because))


def _changed(each: _FinalUnit, after: Standing, observation: Observation) -> _AccessDiff:
    """What an identity gains over all, and loses of any, of the states that may stand."""
    access = each.desired.unit
    if not isinstance(access, Access):
        return _AccessDiff()
    past = decode(observation.memory.get(each.key))
    # An older schema remembers lines of text alone: what has such a line is not gained.
    if past is not None and past.old:
        fresh = standing_of(access, unlisted(access, frozenset(past.lines)))
        lines = sorted({*past.lines} - old_lines(access))
        return _AccessDiff(gained(access.identity, (), fresh), lost_lines=tuple(lines))
    before = known_states(observation.memory.get(each.key), each.standing) or ()
    states = before or (tuple(state.standing for state in past.states) if past is not None else ())
    # From any of the states: a write that may have happened must not hide that somebody loses by this one.
    lost = {permit for state in states for permit in gained(access.identity, (after,), state)}
    more = gained(access.identity, before, after)
    # Where nobody can tell what stood, what is new may have come, or have been taken, by anything.
    told = {*more, *lost} if before else lost
    because = tuple(of_access(each.key, told, (past.kept if past else (), each.desired.kept), (states, after)))
    return _AccessDiff(more, tuple(sorted(lost, key=line_of)), because=because)
