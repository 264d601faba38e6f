"""What a running hub logs of problems: each once when it comes, and once when it is gone, with file and line.

The one place that decides that. Outcomes tell what became of units and meshes, sources what cannot be read or is wrong; what they
say is the same as `smihub status` and `smihub check` show. Plans that were written are logged where they are written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

import structlog
from msgspec import Struct

from hub.model import Problem, Severity
from hub.plan.conditions import CONDITIONS, Condition, ConditionType
from hub.status.outcomes import Changed, MeshChange, Outcome, UnitChange

Level = Literal["info", "warning", "error"]
Part = tuple[str, str]
Located = Callable[[Iterable[Problem]], Iterable[Problem]]
_log: structlog.stdlib.BoundLogger = structlog.get_logger("smihub.run")
_NAMED = 20
"""Most units that one line names."""
_LINES = 100
"""Most lines at once: a mesh of which everything fails has a hundred thousand units, and `status` shows them all."""
_MESH: Mapping[str, tuple[Level, str]] = {
    "refused": ("error", "plan_refused"),
    "stale": ("warning", "plan_stale"),
    "failed": ("error", "apply_failed"),
    "waiting": ("error", "mesh_hangs"),
}
_UNIT: Mapping[ConditionType, str] = {
    "Lowered": "unit_not_lowered",
    "Applied": "unit_not_applied",
    "Programmed": "unit_not_programmed",
    "Drifted": "unit_drifted",
}
"""What is wrong with an object is logged once for it, and not for each unit that depends on it."""
_TRANSIENT = {"waiting", "frozen", "stale", "changed"}
"""Reasons that end without anybody's help, or ended when they were seen."""


class _LogLine(Struct, frozen=True):
    """One line of the log, for all units of which it is true."""

    level: Level
    event: str
    mesh: str
    condition: str
    reason: str
    message: str


class StatusLog:
    """Logs each problem once, and once more when it is gone."""

    def __init__(self) -> None:
        self._unread: dict[Part, Problem] = {}

    # ----------------------------------------------------------------------- meshes and units

    def outcomes_changed(self, changed: Changed) -> None:
        """What changed in outcomes (hub.status.journal)."""
        for mesh in changed.meshes:
            _log_mesh(mesh)
        found: dict[_LogLine, list[UnitChange]] = {}
        for unit in changed.units:
            for line in _unit_lines(unit):
                found.setdefault(line, []).append(unit)
        for line, units in list(found.items())[:_LINES]:
            _log_units(line, units)
        _log_omitted(len(found) - _LINES)

    # ----------------------------------------------------------------------- sources

    def unread(self, now: Mapping[Part, Problem]) -> None:
        """Which parts of sources cannot be read now, and why."""
        for (source, part), problem in sorted(now.items() - self._unread.items(), key=lambda each: each[0]):
            facts = {"reason": problem.message, "remedy": problem.remedy}
            _log.error("source_unread", source=source, part=part, place=problem.origin.place, **facts)
        for source, part in sorted(self._unread.keys() - now.keys()):
            back = {} if part else {"reason": "the source as a whole can be read again"}
            _log.info("source_read", source=source, part=part, **back)
        self._unread = dict(now)

    def problems(self, fresh: Sequence[Problem], gone: Sequence[Problem], located: Located) -> None:
        """What is wrong with objects since the last call, and what no longer is; `located` finds the lines of fields."""
        moved = {_identity(each) for each in fresh} & {_identity(each) for each in gone}  # the same, on another line
        for problem in located([each for each in fresh if _identity(each) not in moved][:_LINES]):
            tell = _log.error if problem.severity is Severity.ERROR else _log.warning
            what = {"object": str(problem.ref), "field": problem.field, "reason": problem.message}
            tell("problem_found", place=problem.origin.place, code=problem.code, **what, remedy=problem.remedy)
        for problem in [each for each in gone if _identity(each) not in moved][:_LINES]:
            what = {"object": str(problem.ref), "field": problem.field}
            _log.info("problem_gone", place=problem.origin.place, code=problem.code, **what)
        _log_omitted(max(len(fresh), len(gone)) - _LINES)


def _identity(problem: Problem) -> tuple[str, ...]:
    return (problem.code, str(problem.ref), problem.field, problem.message, problem.origin.source, problem.origin.file)


def _log_mesh(change: MeshChange) -> None:
    before, after = change.before, change.after
    if after.status == "False":
        level, event = _MESH.get(after.reason, ("error", "mesh_failed"))
        remedy = {"remedy": after.remedy} if after.remedy else {}
        getattr(_log, level)(event, mesh=change.mesh, reason=after.message, **remedy)
    elif before is not None and before.status == "False":
        _log.info("mesh_recovered", mesh=change.mesh, was=before.reason)


def _unit_lines(change: UnitChange) -> Iterable[_LogLine]:
    for kind in CONDITIONS:
        if kind not in _UNIT:
            continue
        before, after = _bad(change.before, kind), _bad(change.after, kind)
        if after is not None and (before is None or (before.reason, before.message) != (after.reason, after.message)):
            level: Level = "warning" if after.reason in _TRANSIENT else "error"
            yield _LogLine(level, _UNIT[kind], change.mesh, kind, after.reason, after.message)
        elif before is not None and after is None:
            yield _LogLine("info", "unit_recovered", change.mesh, kind, before.reason, "")


def _bad(outcome: Outcome | None, kind: ConditionType) -> Condition | None:
    return outcome.condition(kind) if outcome is not None and kind in outcome.bad else None


def _log_units(line: _LogLine, units: list[UnitChange]) -> None:
    outcomes = (each.after or each.before for each in units[:_NAMED])
    places = dict.fromkeys(cause.origin.place for one in outcomes if one is not None for cause in one.causes)
    getattr(_log, line.level)(
        line.event,
        mesh=line.mesh,
        condition=line.condition,
        state=line.reason,
        units=[str(each.unit) for each in units[:_NAMED]],
        count=len(units),
        reason=line.message,
        places=[place for place in places if place][:_NAMED],
    )


def _log_omitted(omitted: int) -> None:
    if omitted > 0:
        _log.warning("log_lines_omitted", count=omitted, remedy="smihub status, smihub check")
