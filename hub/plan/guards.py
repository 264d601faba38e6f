"""Guards: when a plan must not be applied without somebody saying so.

Pure. A `Refusal` has a code; the configuration (`accept`) or the command line (`--accept CODE`) can lift it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from msgspec import Struct

from hub.model import Loss, UnitKey
from hub.plan.changes import Conflict
from hub.plan.plan import Plan

BLAST_RADIUS = "guard.blast-radius"
OWNER = "guard.owner"
WINDOW_S = 600
"""Losses of so many seconds are counted together: many small changes must not pass where one large one would not."""
NEVER_ACCEPTED = frozenset(("guard.conflict", "guard.foreign-owner", "bug.adapter"))
"""Codes that no word of anybody lifts: there is nothing that could be written instead."""


class Limits(Struct, frozen=True):
    """How much may be lost in one apply: `percent` (0-100) of the governed identities, and always `min_units` of them."""

    percent: int = 20
    min_units: int = 5


class Refusal(Struct, frozen=True, order=True):
    """Why something is not applied: a unit's gains (its losses are written), or (`unit` None) the whole plan of a mesh.

    `remedy` says what to do, or how to accept it. `object` is the object that it is about, if it is about one.
    """

    code: str
    message: str
    remedy: str
    unit: UnitKey | None = None
    object: str = ""

    def lifted_by(self, accepted: Collection[str]) -> frozenset[str]:
        """Which of these words accept it: its code, or `code@` its object or unit."""
        if self.code in NEVER_ACCEPTED:
            return frozenset()
        about = (f"{self.code}@{name}" for name in (self.object, self.unit) if name)
        return frozenset(word for word in (self.code, *about) if word in accepted)


def unaccepted(found: Iterable[Refusal], accepted: Collection[str]) -> tuple[Refusal, ...]:
    """Those that nobody accepted, sorted."""
    return tuple(sorted(one for one in found if not one.lifted_by(accepted)))


def refusals(plan: Plan, limits: Limits, accepted: Collection[str]) -> tuple[Refusal, ...]:
    """Everything about this plan that needs a human word and has none in `accepted` (words: a code, or `code@object`), sorted; conflicts cannot be accepted."""
    return unaccepted(
        [*of_conflicts(plan.conflicts), *of_losses(plan.losses), *of_blast_radius(plan, limits)], accepted
    )


def of_conflicts(conflicts: Iterable[Conflict]) -> Iterator[Refusal]:
    """An object that is not ours to write stays as it is, and what its unit would gain by others waits."""
    for conflict in conflicts:
        unit, wanted = conflict.second, f'{conflict.second} needs "{conflict.ref}"'
        if conflict.first:
            message = f"{wanted}, and so does {conflict.first}"
            yield Refusal("guard.conflict", message, "remove the cause of one of the two", unit)
        else:
            remedy = "remove it, or if its content is the same, take it over with smihub adopt"
            yield Refusal("guard.foreign-owner", f"{wanted}, which this smihub.yaml does not manage", remedy, unit)


def of_owner(held: str | None, owner: str) -> Iterator[Refusal]:
    """What another smihub.yaml wrote is not ours to change, be it that this one has lost its own owner."""
    if held and held != owner:
        ours = f"owner {short_owner(owner)}" if owner else "no owner"
        yield Refusal(
            OWNER,
            f"the objects of this mesh were written by another smihub.yaml, with owner {short_owner(held)}; this one has {ours}",
            "if this is the same file, restore its owner line (see its Git history); otherwise configure another place for this mesh",
        )


def short_owner(owner: str) -> str:
    """As much of an owner as tells it apart."""
    return f"{owner[:8]}..."


def of_losses(losses: Iterable[Loss]) -> Iterator[Refusal]:
    """A Loss on access grants nothing, which is safe, but it is not what the SMI object asked for."""
    for loss in losses:
        if loss.access:
            message = f"{loss.origin}: {loss.message}, so {loss.example} is refused"
            yield Refusal(loss.code, message, _or_accept(loss.remedy, loss.code), loss.unit, str(loss.origin))


def of_faults(faults: Iterable[tuple[UnitKey, BaseException]], adapter: str) -> Iterator[Refusal]:
    """A unit on which an adapter raised stays as it stands, or is cut down to what stood where it can say that."""
    for unit, error in faults:
        cause = f"{type(error).__name__}: {error}"[:_LONGEST_ERROR]
        yield Refusal(
            "bug.adapter", f'{unit}: adapter "{adapter}" failed: {cause}', "report this to the adapter's author", unit
        )


_LONGEST_ERROR = 500


def _or_accept(remedy: str, code: str) -> str:
    return f'{remedy}, or add "{code}" to "accept" in smihub.yaml'


def of_blast_radius(plan: Plan, limits: Limits, recent: Collection[UnitKey] = ()) -> list[Refusal]:
    """Too many identities lose access at once, or with those that lost some recently."""
    if not plan.losing:
        return []
    # An identity counts once, however often it lost something within the window.
    losing, governed = len({*plan.losing, *recent}), max(plan.governed, 1)
    # `min_units` keeps small meshes usable, where one identity of three is already 33 %.
    if losing < limits.min_units or losing * 100 <= limits.percent * governed:
        return []
    when = "in one apply" if losing == len({*plan.losing}) else f"within {WINDOW_S // 60} minutes"
    message = f"{losing} of {governed} governed identities lose access {when} (limit {limits.percent} %)"
    return [Refusal(BLAST_RADIUS, message, "check the sources, or apply with --accept guard.blast-radius")]
