"""The six conditions of a unit, as values, and what a reviewed plan says of them.

In the manner of Kubernetes: Accepted (its SMI objects are valid), ResolvedRefs (what they name exists), Lowered (the mesh can
say it), Applied (it is written), Programmed (data planes have taken it; only a mesh that serves them knows) and Drifted (what
stands is not what was written: the one that is good when it is False). Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from hub.model import Change, Loss, ObjectRef, Origin, Problem, Severity, UnitKey
from hub.plan.guards import BLAST_RADIUS, Refusal
from hub.plan.plan import Plan

Moment = Annotated[float, Meta(ge=0, le=253_402_300_799)]
"""Seconds of the Unix epoch, until the end of the year 9999: what a damaged record holds beyond that is no time."""
Status = Literal["True", "False", "Unknown"]
ConditionType = Literal["Accepted", "ResolvedRefs", "Lowered", "Applied", "Programmed", "Drifted"]
CONDITIONS: tuple[ConditionType, ...] = ("Accepted", "ResolvedRefs", "Lowered", "Applied", "Programmed", "Drifted")
_UNRESOLVED = ("-missing", "-nobody")
"""How the codes of Problems end that say that an object names something which is not there."""
_CONFLICTS = {"guard.conflict", "guard.foreign-owner"}
_BUG = "bug.adapter"
_SHOWN = 3


class Condition(Struct, frozen=True, gc=False):
    """One condition. `reason` is one word for programs; `since` is when status and reason became what they are.

    `generation` is the unit's at the time of writing: a lower one than the unit's own speaks of an older state.
    """

    status: Status
    reason: str
    message: str = ""
    since: Moment = 0.0
    generation: int = 0


class MeshCondition(Condition, frozen=True, gc=False):
    """A mesh as a whole; `refused_since` is when its plan began to be refused for how many lose access (None: it is not).

    `remedy` is what to do about it, where that is known.
    """

    refused_since: Moment | None = None
    remedy: str = ""


class Decided(Struct, frozen=True):
    """What a plan was made of, beside the plan.

    `units` are the units that were decided, with the input objects behind each (None: the unit is gone); `places` is where
    these were read. `problems` are what is wrong with units, `paused` the units with an object that differs and is left
    alone. `whole` says that these are all units of the mesh.
    """

    units: Mapping[UnitKey, tuple[ObjectRef, ...] | None] = {}
    places: Mapping[ObjectRef, Origin] = {}
    problems: Mapping[UnitKey, tuple[Problem, ...]] = {}
    paused: frozenset[UnitKey] = frozenset()
    whole: bool = False


class PlanIndex(Struct, frozen=True):
    """What a plan and its refusals say, by unit; `whole` are the refusals of the mesh as a whole.

    `unrevoked` are the namespaces and names of identities that are to lose something while they are frozen.
    """

    plan: Plan
    refusals: Mapping[UnitKey, tuple[Refusal, ...]]
    whole: tuple[Refusal, ...]
    losses: Mapping[UnitKey, tuple[Loss, ...]]
    changes: Mapping[UnitKey, tuple[Change, ...]]
    frozen: frozenset[UnitKey]
    held: frozenset[UnitKey]
    unproven: frozenset[UnitKey]
    losing: frozenset[UnitKey]
    unrevoked: frozenset[tuple[str, str]]
    recalled: frozenset[ObjectRef]

    @classmethod
    def of(cls, plan: Plan, refusals: Iterable[Refusal]) -> PlanIndex:
        """Grouped once, so that a plan costs what it holds."""
        refused: dict[UnitKey, list[Refusal]] = {}
        whole = []
        for refusal in refusals:
            if refusal.unit is None:
                whole.append(refusal)
            else:
                refused.setdefault(refusal.unit, []).append(refusal)
        losses: dict[UnitKey, list[Loss]] = {}
        for loss in plan.losses:
            if loss.unit is not None:
                losses.setdefault(loss.unit, []).append(loss)
        changes: dict[UnitKey, list[Change]] = {}
        for change in plan.changes:
            changes.setdefault(change.unit, []).append(change)
        return cls(
            plan,
            {key: tuple(found) for key, found in refused.items()},
            tuple(whole),
            {key: tuple(found) for key, found in losses.items()},
            {key: tuple(found) for key, found in changes.items()},
            frozenset(plan.frozen),
            frozenset(plan.held),
            frozenset(plan.unproven),
            frozenset(plan.losing),
            frozenset((each.receiver.namespace, each.receiver.service_account) for each in plan.unrevoked),
            frozenset(plan.recalled),
        )

    def revokes(self, key: UnitKey) -> bool:
        """Whether somebody is to lose access to a unit by this plan, and by a later one if it is frozen."""
        stuck = key in self.frozen and key.kind == "access" and (key.namespace, key.name) in self.unrevoked
        return stuck or (key in self.losing and key in self.changes)

    @property
    def waiting(self) -> frozenset[UnitKey]:
        """Units of which something waits even when all of the plan is written."""
        return self.frozen | self.held | {key for key in self.refusals if self.stopped(key)}

    def stopped(self, key: UnitKey) -> bool:
        """Whether something else than a Loss refuses a unit: with a Loss, what is written is all that there will be."""
        return bool(self.split_refusals(key)[1])

    def split_refusals(self, key: UnitKey) -> tuple[list[Refusal], list[Refusal]]:
        """What refuses a unit: its Losses, and everything else."""
        losses = {each.code for each in self.losses.get(key, ())}
        found: tuple[list[Refusal], list[Refusal]] = ([], [])
        for each in self.refusals.get(key, ()):
            found[each.code not in losses].append(each)
        return found

    def of_mesh(self, refused_since: float) -> MeshCondition:
        """What the plan says of the mesh as a whole; `refused_since` counts if too many lose access."""
        if not self.whole:
            return MeshCondition("True", "planned")
        message = _joined(f"{each.message} ({each.code}); {each.remedy}" for each in self.whole)
        wide = any(each.code == BLAST_RADIUS for each in self.whole)
        remedy = _joined(dict.fromkeys(each.remedy for each in self.whole))
        return MeshCondition("False", "refused", message, refused_since=refused_since if wide else None, remedy=remedy)

    def of_unit(self, key: UnitKey, decided: Decided) -> dict[ConditionType, Condition]:
        """Every condition of a unit that a plan speaks of: all but Programmed."""
        refs = decided.units[key] or ()
        problems = [each for each in decided.problems.get(key, ()) if each.severity is Severity.ERROR]
        return {
            "Accepted": _accepted(problems, self.recalled.intersection(refs)),
            "ResolvedRefs": _resolved(problems),
            "Lowered": _lowered(key, self),
            "Applied": _applied(key, self),
            "Drifted": _drifted(key, decided, self),
        }

    def wanted(self, key: UnitKey) -> str:
        """A name for what is to be written of a unit; "" if that is nothing."""
        return _digest(self.changes.get(key, ()), self.plan.memory.get(key, b""))


def _accepted(problems: Iterable[Problem], broken: Collection[ObjectRef]) -> Condition:
    if broken:
        names = _joined(map(str, sorted(broken)))
        return Condition(
            "False", "broken", f"{names} cannot be read; what it allowed at the last apply stays in effect"
        )
    wrong = [each for each in problems if not each.code.endswith(_UNRESOLVED)]
    return Condition("False", "invalid", _problem_text(wrong)) if wrong else Condition("True", "accepted")


def _resolved(problems: Iterable[Problem]) -> Condition:
    missing = [each for each in problems if each.code.endswith(_UNRESOLVED)]
    return Condition("False", "missing", _problem_text(missing)) if missing else Condition("True", "resolved")


def _lowered(key: UnitKey, index: PlanIndex) -> Condition:
    refused, others = index.split_refusals(key)
    if refused:
        return Condition("False", "loss", _refusal_text(refused))
    if any(each.code == _BUG for each in others):
        return Condition("False", "bug", _refusal_text(others))
    if losses := index.losses.get(key, ()):
        return Condition("True", "accepted-loss", _joined(f"{each.message} ({each.code})" for each in losses))
    return Condition("True", "lowered")


def _applied(key: UnitKey, index: PlanIndex) -> Condition:
    """The strongest reason first: what nobody may write, what nobody may decide, what waits, and what is to be written."""
    lossy, own = index.split_refusals(key)  # the Losses are told by Lowered
    if any(each.code in _CONFLICTS for each in own):
        return Condition("False", "conflict", _refusal_text(own))
    if any(each.code == _BUG for each in own):
        return Condition("False", "bug", _refusal_text(own))
    if key in index.frozen:
        return Condition(
            "False",
            "frozen",
            _refusal_text(own)
            or "it is unknown what it allows now, so it stays as it is, without gains and revocations, until everything can be read",
        )
    if key in index.changes and index.whole:
        return Condition("False", "refused", _refusal_text(index.whole))
    if key in index.held:
        until = "the losses are fixed or accepted" if lossy else "all of its objects can be read"
        edited = (
            "its objects were changed by somebody else, so only access that they allow and the sources grant is kept; "
        )
        told = f"{edited * (key in index.unproven)}newly allowed access waits until {until}"
        return Condition("False", "waiting", _refusal_text(own) or told)
    if index.stopped(key):
        return Condition("False", "refused", _refusal_text(own))
    return (
        Condition("Unknown", "pending", "the next apply writes it")
        if key in index.changes
        else Condition("True", "applied")
    )


def _drifted(key: UnitKey, decided: Decided, index: PlanIndex) -> Condition:
    """A unit that is to be written although all that is remembered of it stays: somebody else changed its objects."""
    if key in decided.paused:
        return Condition("True", "paused", "an object differs, and stays as it is until smihub resume")
    if key in index.frozen:
        return Condition("Unknown", "frozen", "the objects in the mesh do not match the record of the last apply")
    # Intent that changes comes with a new memory; changes without one undo what somebody did to the objects.
    if key in index.changes and key not in index.plan.memory:
        refs = _joined(str(each.ref) for each in index.changes[key])
        return Condition("True", "changed", f"changed since it was written: {refs}")
    return Condition("False", "as-written")


def _digest(changes: Sequence[Change], memory: bytes) -> str:
    """A name for what is to be written of a unit; "" if that is nothing."""
    if not changes:
        return ""
    # With the memory: equal bodies that mean something else are a new attempt.
    total = blake2b(memory, digest_size=8)
    for change in changes:
        total.update(msgspec.json.encode((change.op, change.ref)))
        total.update(change.after.body if change.after is not None else b"")
    return total.hexdigest()


def _problem_text(problems: Iterable[Problem]) -> str:
    return _numbered(f"{each.ref}: {each.field}: {each.message} ({each.code}); {each.remedy}" for each in problems)


def _refusal_text(refusals: Iterable[Refusal]) -> str:
    return _numbered(f"{each.message} ({each.code}); {each.remedy}" for each in refusals)


def _numbered(parts: Iterable[str]) -> str:
    """Sentences that have commas of their own: several are numbered, so that one sees where the next begins."""
    found = list(parts)
    return _joined(found if len(found) < 2 else (f"({number}) {text}" for number, text in enumerate(found, 1)))


def _joined(parts: Iterable[str]) -> str:
    found = list(parts)
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ", ".join(found[:_SHOWN]) + more
