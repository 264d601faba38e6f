"""How plans, problems and refusals look to people. Pure text building; printing is the verb's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Literal

from rich.text import Text

from hub.cli.context import Part, line
from hub.cli.data import View, field_changes
from hub.model import Change, Loss, ObjectRef, Op, Origin, Problem, UnitKey
from hub.plan.guards import Refusal
from hub.plan.plan import Plan

Detail = Literal["short", "all"]
"""`short` keeps what a person can read: of a long plan the units, of an object some fields. `all` keeps everything."""

_SIGNS = {Op.CREATE: ("+", "green"), Op.REPLACE: ("~", "yellow"), Op.DELETE: ("-", "red")}
_OBJECTS_SHOWN = 100
_UNITS_SHOWN = 40
_LINES_SHOWN = 100
_FIELDS_SHOWN = 12
_VALUE_SHOWN = 160
_CAUSES_SHOWN = 4
_MORE = "(-v shows all)"


def plan_lines(plan: Plan, view: View, drain: str, detail: Detail = "short") -> Iterator[Text]:
    """A plan as lines: objects by unit, losses, what is frozen, and last the lines that people read."""
    yield line(
        (f"mesh {plan.mesh}", "bold"), "  (first apply: nothing of smihub stands there yet)" if plan.first else ""
    )
    by_unit = sorted(plan.changes, key=lambda change: (change.unit, change.wave, change.ref))
    units = [(unit, list(changes)) for unit, changes in groupby(by_unit, key=lambda change: change.unit)]
    if detail == "all" or len(plan.changes) <= _OBJECTS_SHOWN:
        for unit, changes in units:
            yield from _unit_lines(unit, changes, view, detail)
    else:
        yield from _first(_UNITS_SHOWN, (_unit_line(unit, changes) for unit, changes in units), "  ")
    yield from (loss_line(loss) for loss in plan.losses)
    yield from _waiting_lines(plan)
    yield from _meaning_lines(plan, drain, detail)


def unplanned_line(plan: Plan) -> Text:
    """A mesh of which nothing was planned, for it is not ours to change."""
    return line((f"mesh {plan.mesh}", "bold"), "  nothing is planned")


def _unit_line(unit: UnitKey, changes: Sequence[Change]) -> Text:
    """A unit and how many of its objects change: the form of a long plan."""
    count = Counter(change.op for change in changes)
    parts: list[Part] = [("  " + str(unit), "bold")]
    parts += [(f"  {_SIGNS[op][0]}{count[op]}", _SIGNS[op][1]) for op in Op if count[op]]
    return line(*parts, _causes(changes))


def _unit_lines(unit: UnitKey, changes: Sequence[Change], view: View, detail: Detail) -> Iterator[Text]:
    yield line(("  " + str(unit), "bold"), _causes(changes))
    for change in changes:
        sign, colour = _SIGNS[change.op]
        yield line((f"    {sign} {change.ref}", colour))
        if change.op is Op.REPLACE or detail == "all":
            yield from _field_lines(change, view, detail)


def _causes(changes: Sequence[Change]) -> Part:
    """The objects that a unit comes from, SMI's own first."""
    found = {origin for change in changes if change.after for origin in change.after.origins}
    if changes[0].unit.kind == "baseline":
        there = any(change.after for change in changes)
        return ("  stands while anything here is governed" if there else "  nothing here is governed any more", "dim")
    if not found:
        fresh = any(change.op is Op.CREATE for change in changes)
        return ("  nobody is granted anything here" if fresh else "  no longer in the sources", "dim")
    names = [str(ref) for ref in sorted(found, key=smi_first)]
    more = f" and {len(names) - _CAUSES_SHOWN} more" if len(names) > _CAUSES_SHOWN else ""
    return (f"  from {', '.join(names[:_CAUSES_SHOWN])}{more}", "dim")


def smi_first(ref: ObjectRef) -> tuple[int, ObjectRef]:
    """TrafficTargets and TrafficSplits decide, the other SMI kinds are what they refer to, the rest is circumstance."""
    if ref.kind in {"TrafficTarget", "TrafficSplit"}:
        return (0, ref)
    return (1 if ref.group.endswith("smi-spec.io") else 2, ref)


def _field_lines(change: Change, view: View, detail: Detail) -> Iterator[Text]:
    fields = field_changes(change, view)
    shown = fields if detail == "all" else fields[:_FIELDS_SHOWN]
    for field in shown:
        parts: list[Part] = [f"        {field.path}: "]
        parts += [(_value(field.before, detail), "red")] if field.before is not None else []
        parts += [" -> "] if field.before is not None and field.after is not None else []
        parts += [(_value(field.after, detail), "green")] if field.after is not None else []
        ends = " (new)" if field.before is None else " (gone)" if field.after is None else ""
        yield line(*parts, ends if change.op is Op.REPLACE else "")
    if len(fields) > len(shown):
        yield line((f"        ... {len(fields) - len(shown)} more fields {_MORE}", "dim"))


def _value(text: str, detail: Detail) -> str:
    return text if detail == "all" or len(text) <= _VALUE_SHOWN else text[:_VALUE_SHOWN] + "..."


def _waiting_lines(plan: Plan) -> Iterator[Text]:
    yield from (
        line("  ", ("kept", "yellow"), f" {ref}: it cannot be read, and grants what it granted at the last apply")
        for ref in plan.recalled
    )
    yield from (
        line("  ", ("frozen", "yellow"), f" {unit}: it stays as it is until everything can be read")
        for unit in plan.frozen
    )
    yield from (
        line("  ", ("held", "yellow"), f" {unit}: what it would gain waits until everything behind it can be read")
        for unit in plan.held
    )
    yield from (
        line("  ", ("paused", "yellow"), f" {ref}: it differs, and stays as it is until smihub resume")
        for ref in plan.paused
    )
    if plan.pieces:
        yield line(
            "  ",
            ("in pieces", "yellow"),
            f" {_some(plan.pieces)}: more than one object; whoever applies this directory decides their order",
        )


def _some(units: Sequence[UnitKey]) -> str:
    more = f" and {len(units) - _CAUSES_SHOWN} more" if len(units) > _CAUSES_SHOWN else ""
    return ", ".join(map(str, units[:_CAUSES_SHOWN])) + more


def _meaning_lines(plan: Plan, drain: str, detail: Detail) -> Iterator[Text]:
    governed = [line((f"    ! {each.namespace}/{each.name}", "yellow"), _GOVERNED) for each in plan.governs]
    yield from _section("newly governed", governed, detail, _UNITS_GOVERNED)
    moved = [line(f"    {old}", ("  becomes  ", "bold"), new.partition(" -> ")[2]) for old, new in plan.rerouted]
    yield from _section("calls go elsewhere", moved, detail)
    yield from _section("newly allowed", [line((f"    + {each}", "green")) for each in plan.allowed], detail)
    yield from _section("newly denied", [line((f"    - {each}", "red")) for each in plan.denied], detail)
    if plan.denied and drain:
        yield line("  ", ("open connections until", "bold"), f" {drain}")
    yield line("  ", (summary(plan), "bold"))


_UNITS_GOVERNED = 8
_GOVERNED = ": callers without a TrafficTarget are refused from now on"


def _section(title: str, rows: Sequence[Text], detail: Detail, most: int = _LINES_SHOWN) -> Iterator[Text]:
    if rows:
        yield line((f"  {title}", "bold"), f" ({len(rows)})")
        yield from _first(len(rows) if detail == "all" else most, rows, "    ")


def _first(most: int, rows: Iterable[Text], indent: str) -> Iterator[Text]:
    left = 0
    for index, row in enumerate(rows):
        if index < most:
            yield row
        else:
            left += 1
    if left:
        yield line((f"{indent}... {left} more {_MORE}", "dim"))


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
    found = located(problem.origin)
    return f"{found}: " if found else ""


def located(origin: Origin) -> str:
    """`file:line` as one can open it from where the configuration is; empty for what came from no file."""
    file = _path(origin.source, origin.file)
    return f"{file}:{origin.line}" if file and origin.line else file


def _path(source: str, file: str) -> str:
    """A file's path from where the configuration is; a source may be that one file itself."""
    if not file or source.rpartition("/")[2] == file:
        return source
    return file if source in {"", "."} else f"{source.rstrip('/')}/{file}"


def loss_line(loss: Loss) -> Text:
    """A Loss in one line: what the mesh cannot say, what becomes of a request that shows it, and what to do about it."""
    text = f" {loss.origin}: {loss.message}; {loss.effect}"
    return line("  ", ("loss", "yellow"), text, (f" ({loss.code})", "dim"), f"; {loss.remedy}")


def refusal_line(refusal: Refusal, mesh: str = "") -> Text:
    """A refusal in one line, of a mesh that is named."""
    where = f" mesh {mesh}:" if mesh else ""
    return line(("refused", "red"), f"{where} {refusal.message}", (f" ({refusal.code})", "dim"), f"; {refusal.remedy}")
