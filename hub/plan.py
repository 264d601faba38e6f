"""Plan: what has to change in a mesh so that it carries out the units, in which order, and what that means to people.

Pure. The order is computed here alone, from each object's role, so that every prefix of the waves is safe: guards
stand before anything is granted, grants shrink before they grow, and what others refer to is there before they do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from msgspec import Struct, json
from msgspec.structs import replace

from hub.model import (
    Access,
    Change,
    Grant,
    HttpMatch,
    Loss,
    NativeObject,
    ObjectRef,
    Observation,
    Observed,
    Op,
    Role,
    Route,
    RoutePort,
    Split,
    Translation,
    Transport,
    Unit,
    UnitKey,
    identity_of,
)

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

Settle = Callable[[Sequence[NativeObject], Mapping[ObjectRef, Observed]], tuple[NativeObject, ...]]


class Remembered(Struct, frozen=True, gc=False):
    """What is kept beside a unit's objects: its meaning in lines for people, and the files it was made from."""

    lines: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


class Desired(Struct, frozen=True, gc=False):
    """One unit as it should be: itself (None: it is gone), its translation, and the files it was made from."""

    unit: Unit | None
    translation: Translation = Translation()
    files: tuple[str, ...] = ()


class Conflict(Struct, frozen=True, gc=False):
    """A native object that is not ours to write: another unit claims it, or (`first` None) it carries no mark of ours."""

    ref: ObjectRef
    first: UnitKey | None
    second: UnitKey


class Plan(Struct, frozen=True, gc=False):
    """What `apply` will write to one mesh, and what it means.

    `changes` are sorted by wave. `memory` goes with them. `allowed`/`denied` are lines such as
    `shop/web -> shop/api:8080 GET /v1/.*`; `losing` are the units behind `denied`; `rerouted` are (before, after) lines.
    `frozen` units depend on an unread part and stay as they are;
    `held` ones would gain access, which waits; what they lose is in the plan. `hands_off` are objects that would change but
    were asked to be left alone. `pieces` are units of more than one change, where the sink promises no order among them.
    `governed` counts the identities governed before or after. `first` means that nothing of ours stood there before.
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
    allowed: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()
    rerouted: tuple[tuple[str, str], ...] = ()
    losing: tuple[UnitKey, ...] = ()
    governed: int = 0
    first: bool = False


def wave(role: Role, op: Op) -> int:
    """The wave (1-8) in which an object of this role is written, replaced or deleted."""
    return _WAVES[role, op]


# --------------------------------------------------------------------------- lines for people


def lines_of(unit: Unit | None) -> tuple[str, ...]:
    """What a unit allows (Access) or where it sends calls (Route), one sorted line each; nothing for None."""
    if unit is None:
        return ()
    if isinstance(unit, Access):
        return tuple(sorted({line for grant in unit.grants for line in _grant_lines(unit, grant)}))
    return tuple(sorted(_route_line(unit, port) for port in unit.ports if port.splits))


def _grant_lines(access: Access, grant: Grant) -> Iterable[str]:
    return (_line(access, grant, source, match) for source in grant.sources for match in grant.http or (None,))


def _line(access: Access, grant: Grant, source: str, match: HttpMatch | None) -> str:
    where = f"{access.identity}{_ports(grant.ports, grant.transport)}{_labels(grant.labels)}"
    what = "any bytes" if match is None else describe(match)
    return f"{_name(source, access.identity.trust_domain)} -> {where} {what}"


def narrowed(access: Access, allowed: Collection[str]) -> Access:
    """The same unit with only those grants whose lines are in `allowed`: it loses what it should, and gains nothing."""
    return replace(access, grants=tuple(kept for grant in access.grants for kept in _kept(access, grant, allowed)))


def _kept(access: Access, grant: Grant, allowed: Collection[str]) -> Iterable[Grant]:
    for source in grant.sources:
        if grant.http is None:
            if _line(access, grant, source, None) in allowed:
                yield replace(grant, sources=(source,))
        elif matches := tuple(match for match in grant.http if _line(access, grant, source, match) in allowed):
            yield replace(grant, sources=(source,), http=matches)


def _name(spiffe: str, trust_domain: str) -> str:
    identity = identity_of(spiffe)
    return str(identity) if identity and identity.trust_domain == trust_domain else spiffe


def _ports(ports: tuple[int, ...] | None, transport: Transport) -> str:
    suffix = "/udp" if transport == "UDP" else ""
    return f":{'*' if ports is None else ','.join(map(str, ports))}{suffix}"


def _labels(labels: tuple[tuple[str, str], ...] | None) -> str:
    return "" if labels is None else "[" + ",".join(f"{key}={value}" for key, value in labels) + "]"


def describe(match: HttpMatch) -> str:
    """An HTTP match in one phrase: methods, path pattern, header conditions."""
    methods = ",".join(match.methods) if match.methods else "any method"
    path = match.path if match.path is not None else "any path"
    headers = "".join(f" {name}={pattern}" for name, pattern in match.headers)
    return f"{methods} {path}{headers}"


def _route_line(route: Route, port: RoutePort) -> str:
    layers = "; ".join(_layer(split) for split in port.splits)
    return f"{route.namespace}/{route.service}:{port.port} -> {layers}"


def _layer(split: Split) -> str:
    total = sum(backend.weight for backend in split.backends)
    shares = ", ".join(f"{b.service} {b.weight / total}" for b in split.backends if b.weight and total)
    when = "" if split.matches is None else f"if {' or '.join(map(describe, split.matches))}: "
    return when + (shares or "unavailable")


# --------------------------------------------------------------------------- the plan


def plan(
    mesh: str,
    desired: Mapping[UnitKey, Desired],
    observation: Observation,
    settle: Settle,
    frozen: frozenset[UnitKey] = frozenset(),
) -> Plan:
    """Compare the desired units with what stands there.

    `desired` holds every unit to be decided now (all of them, or the dirty ones); units that are not in it stay as
    they are. `observation` may be restricted to the objects of these units. Units in `frozen` depend on an unread
    part of a source: they are left as observed. Changes come sorted by wave, then ref.
    """
    decided = {key: unit for key, unit in sorted(desired.items()) if key not in frozen}
    standing = _by_unit(observation.objects)
    conflicts = _conflicts(decided, observation.objects)
    if conflicts:
        return Plan(mesh=mesh, token=observation.token, conflicts=conflicts)
    spared = {ref for ref, observed in observation.objects.items() if observed.hands_off}
    claimed = {native.ref for unit in desired.values() for native in unit.translation.objects}
    planned = _all_changes(decided, observation.objects, standing, settle)
    changes = [one for one in planned if one.after or one.ref not in claimed]
    written = [change for change in changes if change.ref not in spared]
    left = {change.unit for change in changes if change.ref in spared}
    idle = left - {change.unit for change in written}
    meant = _with_meaning(
        Plan(
            mesh=mesh,
            token=observation.token,
            changes=tuple(sorted(written, key=lambda change: (change.wave, change.ref))),
            hands_off=tuple(sorted({change.ref for change in changes if change.ref in spared})),
            losses=tuple(sorted(loss for unit in decided.values() for loss in unit.translation.losses)),
            frozen=tuple(sorted(frozen & desired.keys())),
            first=not standing and not observation.memory,
        ),
        {key: unit for key, unit in decided.items() if key not in idle},
        observation,
    )
    # What an object that is left alone keeps from coming about is not remembered as if it had.
    return replace(meant, memory={key: raw for key, raw in meant.memory.items() if key not in left})


def in_pieces(made: Plan) -> Plan:
    """The same plan, telling which units are not one atomic write where each object is brought into force by itself."""
    count = Counter(change.unit for change in made.changes)
    return replace(made, pieces=tuple(sorted(unit for unit, number in count.items() if number > 1)))


def _by_unit(objects: Mapping[ObjectRef, Observed]) -> dict[UnitKey, dict[ObjectRef, Observed]]:
    units: dict[UnitKey, dict[ObjectRef, Observed]] = {}
    for ref, observed in objects.items():
        if observed.owner is not None:
            units.setdefault(observed.owner, {})[ref] = observed
    return units


def _conflicts(decided: Mapping[UnitKey, Desired], standing: Mapping[ObjectRef, Observed]) -> tuple[Conflict, ...]:
    """Refs that two units claim: two of the decided ones, or a decided one and one that stays as it is."""
    owners: dict[ObjectRef, UnitKey] = {}
    found = []
    for key, unit in decided.items():
        for native in unit.translation.objects:
            first: UnitKey | None = owners.setdefault(native.ref, key)
            observed = standing.get(native.ref)
            if observed is not None and observed.owner not in decided:
                first = observed.owner
            if first != key:
                found.append(Conflict(native.ref, first, key))
    return tuple(found)


def _taken_over(after: Sequence[NativeObject], standing: Mapping[ObjectRef, Observed]) -> dict[ObjectRef, Observed]:
    """Objects that another unit made before: they are replaced, so that nobody loses what both units speak of."""
    return {native.ref: standing[native.ref] for native in after if native.ref in standing}


def _all_changes(
    decided: Mapping[UnitKey, Desired],
    objects: Mapping[ObjectRef, Observed],
    standing: Mapping[UnitKey, Mapping[ObjectRef, Observed]],
    settle: Settle,
) -> Iterable[Change]:
    for key, unit in decided.items():
        mine = standing.get(key, {})
        after = settle(unit.translation.objects, mine)
        former = frozenset(unit.translation.former)
        yield from _unit_changes(key, after, {**_taken_over(after, objects), **mine}, former)


def _unit_changes(
    key: UnitKey, after: Sequence[NativeObject], before: Mapping[ObjectRef, Observed], former: Collection[ObjectRef]
) -> Iterable[Change]:
    for native in after:
        observed = before.get(native.ref)
        if observed is None:
            yield Change(Op.CREATE, native.ref, wave(native.role, Op.CREATE), None, native, key)
        elif (observed.owned, observed.needs, observed.owner) != (native.body, native.needs, key):
            number = wave(native.role, Op.REPLACE)
            yield Change(Op.REPLACE, native.ref, number, observed.owned, native, key, observed.token)
    for ref in before.keys() - {native.ref for native in after}:
        observed = before[ref]
        # Under its new name the same object comes first, so that nothing is refused, or open, in between.
        role = Role.REFERENCED if ref in former else observed.role
        yield Change(Op.DELETE, ref, wave(role, Op.DELETE), observed.owned, None, key, observed.token)


def remembered(raw: bytes | None) -> Remembered:
    """What was remembered for a unit; nothing if there is none."""
    return json.decode(raw, type=Remembered) if raw else Remembered()


def _with_meaning(bare: Plan, decided: Mapping[UnitKey, Desired], observation: Observation) -> Plan:
    """Add what the change means: lines gained and lost, units that lose, and what to remember."""
    memory: dict[UnitKey, bytes] = {}
    allowed: list[str] = []
    denied: list[str] = []
    rerouted: list[tuple[str, str]] = []
    losing: list[UnitKey] = []
    for key, unit in decided.items():
        raw = observation.memory.get(key, b"")
        before, after = remembered(raw), Remembered(lines_of(unit.unit), unit.files)
        encoded = b"" if unit.unit is None else json.encode(after)
        if encoded != raw:
            memory[key] = encoded
        gained, lost = _difference(before.lines, after.lines), _difference(after.lines, before.lines)
        if key.kind == "route":
            rerouted.extend(_paired(lost, gained))
            continue
        allowed.extend(gained)
        denied.extend(lost)
        if lost:
            losing.append(key)
    return replace(
        bare,
        memory=memory,
        allowed=tuple(allowed),
        denied=tuple(denied),
        rerouted=tuple(rerouted),
        losing=tuple(losing),
        governed=sum(key.kind == "access" for key in observation.memory.keys() | decided.keys()),
    )


def _difference(before: Sequence[str], after: Sequence[str]) -> tuple[str, ...]:
    known = set(before)
    return tuple(line for line in after if line not in known)


def _paired(lost: Sequence[str], gained: Sequence[str]) -> Iterable[tuple[str, str]]:
    """Route lines before and after, matched by the Service port that they speak of."""
    before = {line.split(" -> ")[0]: line.partition(" -> ")[2] for line in lost}
    after = {line.split(" -> ")[0]: line.partition(" -> ")[2] for line in gained}
    for head in sorted(before.keys() | after.keys()):
        yield f"{head} -> {before.get(head, 'its own endpoints')}", f"{head} -> {after.get(head, 'its own endpoints')}"
