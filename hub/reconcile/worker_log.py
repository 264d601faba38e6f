"""What the worker of a mesh logs itself: plans that it wrote, and bugs of plugins. The rest is logged from outcomes (hub.status.status_log)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import structlog

from hub.memory.permits import Permit, line_of
from hub.model import UnitKey
from hub.planner import Reviewed
from hub.status.outcomes import Result

_log: structlog.stdlib.BoundLogger = structlog.get_logger("smihub.run")
_MOST = 20
"""Most lines or units of one kind: a plan may have a hundred thousand, and nobody is served while they are written."""


def log_plan(reviewed: Reviewed, results: Mapping[UnitKey, Result]) -> None:
    """What was written of a plan; nothing, if that is nothing. Units that are not in `results` are written."""
    plan, unwritten = reviewed.plan, {key for key, each in results.items() if each.state != "written"}
    changes = sum(change.unit not in unwritten for change in plan.changes)
    gained = _written(plan.gained, unwritten)
    lost = _written(plan.lost, {key for key in unwritten if not results[key].narrowed})
    if not (changes or lost):
        return
    _log.info(
        "plan_applied",
        mesh=reviewed.mesh.name,
        changes=changes,
        allowed=[line_of(permit) for permit in gained[:_MOST]],
        denied=[*([] if unwritten else plan.lost_lines), *(line_of(permit) for permit in lost[:_MOST])][:_MOST],
        rerouted=[after for _, after in ([] if unwritten else plan.rerouted)[:_MOST]],
        frozen=len(plan.frozen) + len(plan.held),
    )


def _written(permits: Sequence[Permit], unwritten: Collection[UnitKey]) -> Sequence[Permit]:
    names = {(key.namespace, key.name) for key in unwritten if key.kind == "access"}
    return [one for one in permits if (one.receiver.namespace, one.receiver.service_account) not in names]


class BugLog:
    """Logs what plugins raise for units, with the trace: once, until a unit is well again or something else is raised."""

    def __init__(self, mesh: str, event: str) -> None:
        self._mesh, self._event = mesh, event
        self._known: dict[UnitKey, str] = {}

    def raised(self, units: Iterable[UnitKey], error: BaseException) -> None:
        """This was raised for these units."""
        cause = f"{type(error).__name__}: {error}"
        fresh = [key for key in sorted(units) if self._known.get(key) != cause]
        self._known |= dict.fromkeys(fresh, cause)
        if fresh:
            _log.error(self._event, mesh=self._mesh, units=[str(key) for key in fresh[:_MOST]], exc_info=error)

    def well(self, units: Collection[UnitKey]) -> None:
        """Nothing was raised for these."""
        for key in self._known.keys() & units:
            del self._known[key]
