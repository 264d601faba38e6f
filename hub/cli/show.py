"""How plans, problems and refusals look to people. Pure text building; printing is the verb's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from rich.markup import escape

from hub.diff import FieldChange, diff
from hub.guards import Refusal
from hub.model import Change, Loss, Op, Problem, UnitKey
from hub.plan import Plan

View = Callable[[bytes, str], Any]

_SIGNS = {Op.CREATE: ("+", "green"), Op.REPLACE: ("~", "yellow"), Op.DELETE: ("-", "red")}
_FIELDS_SHOWN = 12
"""Field lines per object in the text form; `-o json` has all of them."""


def plan_lines(plan: Plan, view: View, drain: str) -> Iterator[str]:
    """A plan as rich markup lines: objects by unit, losses, what is frozen, and last the lines that people read."""
    yield f"[bold]mesh {escape(plan.mesh)}[/bold]" + (
        "  (first apply: nothing of smihub stands there yet)" if plan.first else ""
    )
    by_unit = sorted(plan.changes, key=lambda change: (change.unit, change.wave, change.ref))
    for unit, changes in groupby(by_unit, key=lambda change: change.unit):
        yield from _unit_lines(unit, list(changes), view)
    yield from (loss_line(loss) for loss in plan.losses)
    yield from (f"  [yellow]frozen[/yellow] {unit}: a file it was made from cannot be read" for unit in plan.frozen)
    yield from (f"  [yellow]held[/yellow] {unit}: it gains nothing while a file cannot be read" for unit in plan.held)
    yield from _meaning_lines(plan, drain)


def _unit_lines(unit: UnitKey, changes: Sequence[Change], view: View) -> Iterator[str]:
    causes = sorted({str(origin) for change in changes if change.after for origin in change.after.origins})
    shown = ", ".join(causes[:4]) + (f" and {len(causes) - 4} more" if len(causes) > 4 else "")
    yield f"  [bold]{escape(str(unit))}[/bold]" + (f"  [dim]from {escape(shown)}[/dim]" if causes else "")
    for change in changes:
        sign, colour = _SIGNS[change.op]
        yield f"    [{colour}]{sign} {escape(str(change.ref))}[/{colour}]"
        if change.op is Op.REPLACE:
            yield from _field_lines(field_changes(change, view))


def field_changes(change: Change, view: View) -> tuple[FieldChange, ...]:
    """The fields in which an object differs before and after; all of them for one that is created or deleted."""
    before = view(change.before, change.ref.kind) if change.before is not None else {}
    after = view(change.after.body, change.ref.kind) if change.after is not None else {}
    return diff(before, after)


def _field_lines(fields: Sequence[FieldChange]) -> Iterator[str]:
    for field in fields[:_FIELDS_SHOWN]:
        before = "" if field.before is None else f"[red]{escape(field.before)}[/red]"
        after = "" if field.after is None else f"[green]{escape(field.after)}[/green]"
        arrow = " -> " if before and after else ""
        yield f"        {escape(field.path)}: {before}{arrow}{after}" + (
            " (new)" if not before else " (gone)" if not after else ""
        )
    if len(fields) > _FIELDS_SHOWN:
        yield f"        ... {len(fields) - _FIELDS_SHOWN} more fields (-o yaml shows all)"


def _meaning_lines(plan: Plan, drain: str) -> Iterator[str]:
    yield from _section("newly allowed", (f"[green]+ {escape(line)}[/green]" for line in plan.allowed))
    yield from _section("newly denied", (f"[red]- {escape(line)}[/red]" for line in plan.denied))
    moved = (
        f"{escape(before)}  [bold]becomes[/bold]  {escape(after.partition(' -> ')[2])}"
        for before, after in plan.rerouted
    )
    yield from _section("calls go elsewhere", moved)
    if plan.denied and drain:
        yield f"  [bold]open connections[/bold] {escape(drain)}"
    yield "  " + summary(plan)


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    rows = list(lines)
    if rows:
        yield f"  [bold]{title}[/bold]"
        yield from (f"    {row}" for row in rows)


def summary(plan: Plan) -> str:
    """One line: how many objects are added, changed and deleted."""
    count = {op: sum(change.op is op for change in plan.changes) for op in Op}
    if not plan.changes:
        return "no changes"
    return f"{count[Op.CREATE]} to add, {count[Op.REPLACE]} to change, {count[Op.DELETE]} to delete"


def problem_line(problem: Problem) -> str:
    """`file:line: Kind/ns/name: field: message (code); remedy` as rich markup."""
    where = problem.origin.file or problem.origin.source
    place = f"{where}:{problem.origin.line}: " if where else ""
    colour = "red" if problem.severity == "error" else "yellow"
    field = f"{problem.field}: " if problem.field else ""
    text = f"{escape(place)}[bold]{escape(str(problem.ref))}[/bold]: {escape(field)}{escape(problem.message)}"
    return f"[{colour}]{problem.severity}[/{colour}] {text} [dim]({problem.code})[/dim]; {escape(problem.remedy)}"


def loss_line(loss: Loss) -> str:
    """A Loss in one line: what the mesh cannot say, a request that shows it, and what would lift it."""
    text = f"{escape(str(loss.origin))}: {escape(loss.message)}"
    return f'  [yellow]loss[/yellow] {text}; "{escape(loss.witness)}" is refused [dim]({loss.code})[/dim]; {escape(loss.lift)}'


def refusal_line(refusal: Refusal) -> str:
    """A refusal in one line."""
    return f"[red]refused[/red] {escape(refusal.message)} [dim]({refusal.code})[/dim]; {escape(refusal.remedy)}"


def plan_data(plan: Plan, view: View, refused: Sequence[Refusal]) -> dict[str, Any]:
    """A plan as JSON-like data with every field difference (`-o json|yaml`, schema version 1)."""
    return {
        "schema": 1,
        "mesh": plan.mesh,
        "first": plan.first,
        "changes": [_change_data(change, view) for change in plan.changes],
        "losses": [_struct(loss) for loss in plan.losses],
        "frozen": [str(unit) for unit in plan.frozen],
        "held": [str(unit) for unit in plan.held],
        "newlyAllowed": list(plan.allowed),
        "newlyDenied": list(plan.denied),
        "rerouted": [{"before": before, "after": after} for before, after in plan.rerouted],
        "refused": [_struct(refusal) for refusal in refused],
        "summary": summary(plan),
    }


def _change_data(change: Change, view: View) -> dict[str, Any]:
    origins = change.after.origins if change.after else ()
    return {
        "op": str(change.op),
        "object": str(change.ref),
        "unit": str(change.unit),
        "wave": change.wave,
        "from": [str(origin) for origin in origins],
        "fields": [{"path": f.path, "before": f.before, "after": f.after} for f in field_changes(change, view)],
    }


def _struct(value: Loss | Refusal | Problem) -> dict[str, Any]:
    return {name: _plain(getattr(value, name)) for name in value.__struct_fields__}


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | None) else str(value)


def problem_data(problem: Problem) -> dict[str, Any]:
    """A Problem as JSON-like data."""
    data = _struct(problem)
    data["origin"] = {"source": problem.origin.source, "file": problem.origin.file, "line": problem.origin.line}
    return data
