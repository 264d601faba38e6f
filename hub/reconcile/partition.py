"""A plan split into parts that can be written at the same time, because units in different parts need nothing of each other."""

from __future__ import annotations

from collections.abc import Collection

from msgspec.structs import replace

from hub.mirror import Mirror
from hub.model import Change, ObjectRef, Op, UnitKey
from hub.plan.plan import Plan


def units_of(plan: Plan) -> frozenset[UnitKey]:
    """The units that a plan writes."""
    return frozenset({change.unit for change in plan.changes} | plan.memory.keys())


def gaining_in(plan: Plan) -> set[UnitKey]:
    """The units that gain, as far as a plan changes them."""
    named = {(permit.receiver.namespace, permit.receiver.service_account) for permit in plan.gained}
    return {change.unit for change in plan.changes if (change.unit.namespace, change.unit.name) in named}


def needs_of(change: Change) -> tuple[ObjectRef, ...]:
    """What an object needs as it is to be."""
    return change.after.needs if change.after is not None else ()


def partition(plan: Plan, mirror: Mirror) -> tuple[Plan, ...]:
    """A plan as several, one for each set of units that are connected by what their objects need (union-find)."""
    owners = {change.ref: change.unit for change in plan.changes}
    group = {key: key for key in {*owners.values(), *plan.memory}}

    def root(key: UnitKey) -> UnitKey:
        while group[key] != key:
            key = group[key]
        return key

    gaining = gaining_in(plan)
    for change in plan.changes:
        # Also what it needs as it stands: that may be deleted only after this change is written.
        for ref in dependencies(change, mirror, gaining):
            if ref in owners:
                group[root(change.unit)] = root(owners[ref])
    changes: dict[UnitKey, list[Change]] = {root(key): [] for key in group}
    for change in plan.changes:
        changes[root(change.unit)].append(change)
    memory: dict[UnitKey, dict[UnitKey, bytes]] = {key: {} for key in changes}
    for key, raw in plan.memory.items():
        memory[root(key)][key] = raw
    return tuple(replace(plan, changes=tuple(changes[key]), memory=memory[key]) for key in sorted(changes))


def dependencies(change: Change, mirror: Mirror, gaining: Collection[UnitKey]) -> set[ObjectRef]:
    """The objects that may not be written at the same time as this one: what it needs, as it stands and as it is to be.

    Of a unit that gains nothing, an object that is replaced and goes on needing the same does not wait for that.
    """
    before, after = {*mirror.needs(change.ref)}, {*needs_of(change)}
    return before ^ after if change.op is Op.REPLACE and change.unit not in gaining else before | after
