"""Because: which input objects changed since the last apply, and which of them a gain or a loss comes from. Pure.

The memory of a unit has the objects behind it as they were applied; held against those of now they say what came, changed and went.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from hub.memory.permits import Permit, Standing
from hub.memory.states import RememberedInput
from hub.model import ObjectRef, Origin, UnitKey
from hub.smi import is_smi
from hub.smi.types import SmiObject, TrafficTarget

_ACCESS, _SPECS = "access.smi-spec.io", "specs.smi-spec.io"


class InputChange(Struct, frozen=True, order=True, gc=False):
    """An input object that came, changed or went, and the files (`source:part`) it is read from, or was.

    `ports`: it is an account, and what its ports are or declare has changed.
    """

    ref: ObjectRef
    how: Literal["added", "changed", "removed", "ports"]
    files: tuple[str, ...] = ()


class FieldLocation(Struct, frozen=True, gc=False):
    """Where something is written: the object, its field, names of matches (of a route group), and file and line."""

    object: ObjectRef
    field: str = ""
    matches: tuple[str, ...] = ()
    origin: Origin = Origin()


class ChangeCause(Struct, frozen=True, gc=False):
    """Why a unit changes: of an Access the permits of one TrafficTarget (`origin`), of a Route all (None)."""

    unit: UnitKey
    origin: ObjectRef | None
    changes: tuple[InputChange, ...]


def of_route(
    unit: UnitKey, before: Sequence[RememberedInput], after: Sequence[RememberedInput]
) -> Iterator[ChangeCause]:
    """Why a Route changes: by what splits it, and by other objects only where none of that changed."""
    if changes := changed(before, after):
        # Services and Pods of a route change all the time, mostly
        # without a meaning; whoever reviews looks for the split first.
        splits = {ref: each for ref, each in changes.items() if is_smi(ref)}
        yield ChangeCause(unit, None, tuple(sorted((splits or changes).values())))


def of_access(
    unit: UnitKey,
    permits: Iterable[Permit],
    objects: tuple[Sequence[RememberedInput], Sequence[RememberedInput]],
    states: tuple[Sequence[Standing], Standing],
) -> Iterator[ChangeCause]:
    """Why these permits of an Access are gained or lost, given its objects and what it means, each before and after."""
    changes = changed(*objects)
    known = {each.object.ref: each.object for part in objects for each in part}
    moved = _moved_ports(unit, *states)
    for origin in sorted({origin for permit in permits for origin in permit.origins}):
        if found := _of_target(origin, changes, known) or moved or tuple(sorted(changes.values())):
            yield ChangeCause(unit, origin, found)


def changed(before: Sequence[RememberedInput], after: Sequence[RememberedInput]) -> dict[ObjectRef, InputChange]:
    """The objects that came, changed or went."""
    old, new = {each.object.ref: each for each in before}, {each.object.ref: each for each in after}
    found = {ref: InputChange(ref, "removed", old[ref].files) for ref in old.keys() - new.keys()}
    found |= {ref: InputChange(ref, "added", new[ref].files) for ref in new.keys() - old.keys()}
    both = old.keys() & new.keys()
    other = (ref for ref in both if old[ref].object != new[ref].object)
    return found | {ref: InputChange(ref, "changed", new[ref].files) for ref in other}


def _of_target(
    origin: ObjectRef, changes: Mapping[ObjectRef, InputChange], known: Mapping[ObjectRef, SmiObject]
) -> tuple[InputChange, ...]:
    """What changed of a TrafficTarget and of what it names; where it came or went itself, that says all."""
    own = changes.get(origin)
    # With the target itself new or gone, that its groups are new or gone as well explains nothing further.
    if own is not None and own.how != "changed":
        return (own,)
    target = known.get(origin)
    named = _named(target) if isinstance(target, TrafficTarget) else ()
    return tuple(sorted({changes[ref] for ref in (origin, *named) if ref in changes}))


def _named(target: TrafficTarget) -> Iterator[ObjectRef]:
    namespace = target.ref.namespace
    yield from (ObjectRef(_SPECS, rule.kind, namespace, rule.name) for rule in target.rules)
    subjects = (each for each in (*target.sources, target.destination) if each.kind == "IdentityBinding")
    yield from (ObjectRef(_ACCESS, each.kind, each.namespace or namespace, each.name) for each in subjects)


def _moved_ports(unit: UnitKey, before: Sequence[Standing], after: Standing) -> tuple[InputChange, ...]:
    """Whether the ports of the account are, or declare, something else."""
    if not before or all(_facts(each) == _facts(after) for each in before):
        return ()
    return (InputChange(ObjectRef("", "ServiceAccount", unit.namespace, unit.name), "ports"),)


def _facts(state: Standing) -> tuple[object, ...]:
    return (state.ports, state.sliced, state.closed, state.beyond)
