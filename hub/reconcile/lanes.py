"""Lanes: parts of a plan that can be written at the same time, for units in different ones need nothing of each other."""

from __future__ import annotations

from collections.abc import Collection

from msgspec.structs import replace

from hub.mirror import Mirror
from hub.model import Change, ObjectRef, Op, UnitKey
from hub.plan.plan import Plan


def units_of(made: Plan) -> frozenset[UnitKey]:
    """The units that a plan writes."""
    return frozenset({change.unit for change in made.changes} | made.memory.keys())


def gaining_in(made: Plan) -> set[UnitKey]:
    """The units that gain, as far as a plan changes them."""
    named = {(permit.receiver.namespace, permit.receiver.service_account) for permit in made.gained}
    return {change.unit for change in made.changes if (change.unit.namespace, change.unit.name) in named}


def needs_of(change: Change) -> tuple[ObjectRef, ...]:
    """What an object needs as it is to be."""
    return change.after.needs if change.after is not None else ()


def lanes(made: Plan, mirror: Mirror) -> tuple[Plan, ...]:
    """A plan as plans that can be written at the same time: units in different ones need nothing of each other."""
    owners = {change.ref: change.unit for change in made.changes}
    group = {key: key for key in {*owners.values(), *made.memory}}

    def root(key: UnitKey) -> UnitKey:
        while group[key] != key:
            key = group[key]
        return key

    gaining = gaining_in(made)
    for change in made.changes:
        for ref in ties(change, mirror, gaining):
            if ref in owners:
                group[root(change.unit)] = root(owners[ref])
    changes: dict[UnitKey, list[Change]] = {root(key): [] for key in group}
    for change in made.changes:
        changes[root(change.unit)].append(change)
    memory: dict[UnitKey, dict[UnitKey, bytes]] = {key: {} for key in changes}
    for key, raw in made.memory.items():
        memory[root(key)][key] = raw
    return tuple(replace(made, changes=tuple(changes[key]), memory=memory[key]) for key in sorted(changes))


def ties(change: Change, mirror: Mirror, gaining: Collection[UnitKey]) -> set[ObjectRef]:
    """The objects that may not be written at the same time as this one: what it needs, as it stands and as it is to be.

    Of a unit that gains nothing, an object that is replaced and goes on needing the same does not wait for that.
    """
    before, after = {*mirror.needs(change.ref)}, {*needs_of(change)}
    return before ^ after if change.op is Op.REPLACE and change.unit not in gaining else before | after
