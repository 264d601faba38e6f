"""How plans, problems and refusals look to people. Pure text building; printing is the verb's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import groupby

from rich.text import Text

from hub.cli.context import Part, line
from hub.cli.data import View, field_changes
from hub.cli.meaning import Causes, Detail, first, meaning_lines
from hub.cli.places import NOWHERE, Locations
from hub.memory.permits import line_of
from hub.model import Change, ObjectRef, Op, Problem, UnitKey
from hub.plan.guards import Refusal
from hub.plan.plan import Plan

_SIGNS = {Op.CREATE: ("+", "green"), Op.REPLACE: ("~", "yellow"), Op.DELETE: ("-", "red")}
_UNITS_SHOWN = 40
_CAUSES_SHOWN = 4


def plan_lines(
    plan: Plan,
    view: View,
    drain: str,
    detail: Detail = "short",
    places: Locations = NOWHERE,
    refused: Collection[UnitKey] = (),
) -> Iterator[Text]:
    """A plan as lines: what it means first, then what waits, and the units that change (with `all`: every object and field).

    Of units that are `refused` something waits until that is mended or accepted.
    """
    yield line((f"mesh {plan.mesh}", "bold"), "  (first apply: smihub manages nothing there yet)" if plan.first else "")
    yield from meaning_lines(plan, Causes.of(plan, places), drain, detail)
    yield from waiting_lines(plan, refused)
    if detail == "all":
        for unit, changes in _by_unit(plan):
            yield from _unit_lines(unit, changes, view)
    else:
        yield from unit_lines(plan)
    yield line("  ", (summary(plan), "bold"))


def unit_lines(plan: Plan) -> Iterator[Text]:
    """The units that change, and how many of their objects, a line each."""
    yield from first(_UNITS_SHOWN, (_unit_line(unit, changes) for unit, changes in _by_unit(plan)), "  ")


def _by_unit(plan: Plan) -> list[tuple[UnitKey, list[Change]]]:
    ordered = sorted(plan.changes, key=lambda change: (change.unit, change.wave, change.ref))
    return [(unit, list(changes)) for unit, changes in groupby(ordered, key=lambda change: change.unit)]


def table(rows: Sequence[Sequence[str]]) -> Iterator[Text]:
    """Rows in columns; the first one is the head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for number, row in enumerate(rows):
        text = "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        yield line((text, "bold" if number == 0 else ""))


def unplanned_line(plan: Plan) -> Text:
    """A mesh of which nothing was planned, for it is not ours to change."""
    return line((f"mesh {plan.mesh}", "bold"), "  nothing is planned")


def _unit_line(unit: UnitKey, changes: Sequence[Change]) -> Text:
    """A unit and how many of its objects change: the form of a long plan."""
    count = Counter(change.op for change in changes)
    parts: list[Part] = [("  " + str(unit), "bold")]
    parts += [(f"  {_SIGNS[op][0]}{count[op]}", _SIGNS[op][1]) for op in Op if count[op]]
    return line(*parts, _causes(changes))


def _unit_lines(unit: UnitKey, changes: Sequence[Change], view: View) -> Iterator[Text]:
    yield line(("  " + str(unit), "bold"), _causes(changes))
    for change in changes:
        sign, colour = _SIGNS[change.op]
        yield line((f"    {sign} {change.ref}", colour))
        yield from _field_lines(change, view)


def _causes(changes: Sequence[Change]) -> Part:
    """The objects that a unit comes from, SMI's own first."""
    found = {origin for change in changes if change.after for origin in change.after.origins}
    if changes[0].unit.kind == "baseline":
        there = any(change.after for change in changes)
        return ("  needed while anything here is governed" if there else "  nothing here is governed any more", "dim")
    if not found:
        fresh = any(change.op is Op.CREATE for change in changes)
        return ("  no caller is granted anything here" if fresh else "  no longer in the sources", "dim")
    names = [str(ref) for ref in sorted(found, key=smi_first)]
    more = f" and {len(names) - _CAUSES_SHOWN} more" if len(names) > _CAUSES_SHOWN else ""
    return (f"  from {', '.join(names[:_CAUSES_SHOWN])}{more}", "dim")


def smi_first(ref: ObjectRef) -> tuple[int, ObjectRef]:
    """TrafficTargets and TrafficSplits decide, the other SMI kinds are what they refer to, the rest is circumstance."""
    if ref.kind in {"TrafficTarget", "TrafficSplit"}:
        return (0, ref)
    return (1 if ref.group.endswith("smi-spec.io") else 2, ref)


def _field_lines(change: Change, view: View) -> Iterator[Text]:
    for field in field_changes(change, view):
        parts: list[Part] = [f"        {field.path}: "]
        parts += [(field.before, "red")] if field.before is not None else []
        parts += [" -> "] if field.before is not None and field.after is not None else []
        parts += [(field.after, "green")] if field.after is not None else []
        ends = " (new)" if field.before is None else " (gone)" if field.after is None else ""
        yield line(*parts, ends if change.op is Op.REPLACE else "")


def waiting_lines(plan: Plan, refused: Collection[UnitKey]) -> Iterator[Text]:
    """What of a plan waits, or stays as it is; of units that are `refused`, until that is mended or accepted."""
    yield from (
        line("  ", ("kept", "yellow"), f" {ref}: cannot be read; it keeps what it granted at the last apply")
        for ref in plan.recalled
    )
    yield from (
        line("  ", ("frozen", "yellow"), f" {unit}: stays as it is until everything can be read")
        for unit in plan.frozen
    )
    yield from (line("    ", ("not revoked", "red"), f" yet: {line_of(permit)}") for permit in plan.unrevoked)
    yield from (
        line(
            "  ",
            ("edited", "yellow"),
            f" {unit}: its objects were changed outside of smihub; only access that they allow and the sources grant is kept",
        )
        for unit in plan.unproven
    )
    yield from (
        line("  ", ("waiting", "yellow"), f" {unit}: new access waits until {_until(refused=unit in refused)}")
        for unit in plan.held
    )
    yield from (
        line("  ", ("paused", "yellow"), f" {ref}: differs, and stays as it is until smihub resume")
        for ref in plan.paused
    )
    if plan.pieces:
        yield line(
            "  ",
            ("not atomic", "yellow"),
            f" {_some(plan.pieces)}: more than one object, which do not take effect at the same time",
        )


def _until(*, refused: bool) -> str:
    return "what is refused below is fixed or accepted" if refused else "all of its objects can be read"


def _some(units: Sequence[UnitKey]) -> str:
    more = f" and {len(units) - _CAUSES_SHOWN} more" if len(units) > _CAUSES_SHOWN else ""
    return ", ".join(map(str, units[:_CAUSES_SHOWN])) + more


def summary(plan: Plan) -> str:
    """One line: how many objects are added, changed and deleted."""
    count = Counter(change.op for change in plan.changes)
    if not plan.changes:
        return "no changes"
    return f"{count[Op.CREATE]} to add, {count[Op.REPLACE]} to change, {count[Op.DELETE]} to delete"


def counted(number: int, what: str) -> str:
    """A number with its noun: `1 error`, `2 errors`."""
    return f"{number} {what}" if number == 1 else f"{number} {what[:-1] + 'ie' if what.endswith('y') else what}s"


def problem_line(problem: Problem) -> Text:
    """`error folder/file:line: Kind/ns/name: field: message (code); remedy`."""
    colour = "red" if problem.severity == "error" else "yellow"
    name, field = str(problem.ref), problem.field
    return line(
        (str(problem.severity), colour),
        " " + place(problem),
        (f"{name}: " if name else "", "bold"),
        f"{field}: " if field else "",
        problem.message,
        (f" ({problem.code})", "dim"),
        f"; {problem.remedy}",
    )


def place(problem: Problem) -> str:
    """`file:line: ` as one can open it from where the configuration is; empty if the object came from no file."""
    found = problem.origin.place
    return f"{found}: " if found else ""


def refusal_line(refusal: Refusal, mesh: str = "") -> Text:
    """A refusal in one line, of a mesh that is named."""
    where = f" mesh {mesh}:" if mesh else ""
    return line(("refused", "red"), f"{where} {refusal.message}", (f" ({refusal.code})", "dim"), f"; {refusal.remedy}")


def stale_line(why: str) -> Text:
    """Why a saved plan does not hold any more."""
    return line(("stale", "red"), f": {why}")
