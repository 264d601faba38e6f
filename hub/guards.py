"""Guards: when a plan must not be applied without somebody saying so.

Pure. A `Refusal` has a code; the configuration (`accept`) or the command line (`--accept CODE`) can lift it.
"""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct

from hub.model import UnitKey
from hub.plan import Plan


class Limits(Struct, frozen=True):
    """How much may be lost in one apply: `percent` (0-100) of the governed identities, and always `min_units` of them."""

    percent: int = 20
    min_units: int = 5


class Refusal(Struct, frozen=True, order=True):
    """Why a plan is not applied; `remedy` says what to do, or how to accept it."""

    code: str
    message: str
    remedy: str
    unit: UnitKey | None = None


def refusals(plan: Plan, limits: Limits, accepted: Collection[str]) -> tuple[Refusal, ...]:
    """Everything about this plan that needs a human word and has none in `accepted`, sorted; conflicts cannot be accepted."""
    found = [*_losses(plan), *_blast_radius(plan, limits)]
    return tuple(sorted([*_conflicts(plan), *(refusal for refusal in found if refusal.code not in accepted)]))


def _conflicts(plan: Plan) -> list[Refusal]:
    return [
        Refusal(
            "guard.conflict" if conflict.first else "guard.foreign-owner",
            f'"{conflict.ref}" is wanted by {conflict.second} and belongs to {conflict.first or "somebody else"}',
            "remove one of the two causes"
            if conflict.first
            else "remove it, or take it over with smihub adopt if it is equal",
            conflict.second,
        )
        for conflict in plan.conflicts
    ]


def _losses(plan: Plan) -> list[Refusal]:
    """A Loss on access grants nothing, which is safe, but it is not what the SMI object asked for."""
    return [
        Refusal(
            loss.code,
            f"{loss.origin}: {loss.message}, so {loss.witness} is refused",
            _lift(loss.lift, loss.code),
            loss.unit,
        )
        for loss in plan.losses
        if loss.access
    ]


def _lift(lift: str, code: str) -> str:
    return f'{lift}, or add "{code}" to "accept" in smihub.yaml'


def _blast_radius(plan: Plan, limits: Limits) -> list[Refusal]:
    losing, governed = len(plan.losing), max(plan.governed, 1)
    if losing < limits.min_units or losing * 100 <= limits.percent * governed:
        return []
    message = f"{losing} of {governed} governed identities lose access in one apply (limit {limits.percent} %)"
    return [Refusal("guard.blast-radius", message, "check the sources, or apply with --accept guard.blast-radius")]
