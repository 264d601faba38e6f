"""`smihub render`: the native objects that the sources mean now."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from msgspec.structs import replace

from hub.cli.context import (
    ERR,
    ConfigOption,
    Exit,
    MeshArgument,
    Output,
    SourceOption,
    clean_errors,
    emit,
    emit_text,
    fail,
    line,
    progress,
    run_now,
)
from hub.cli.data import SCHEMA, View, loss_data, native_data, of_domain
from hub.cli.show import loss_line, problem_line, refusal_line
from hub.config.file import DEFAULT_FILE, Config
from hub.errors import ConfigError
from hub.model import NativeObject, UnitKey
from hub.plan.guards import refusals
from hub.plan.plan import Plan
from hub.reconcile.domains import Domains


class Form(StrEnum):
    """`-o` of render."""

    YAML = "yaml"
    JSON = "json"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(
        epilog="Examples: [bold]smihub render vms[/bold], [bold]smihub render vms --unit access/shop/api[/bold]"
    )(render)


def render(
    mesh: MeshArgument,
    config: ConfigOption = Path(DEFAULT_FILE),
    output: Annotated[Form, typer.Option("--output", "-o", help="How to print it.")] = Form.YAML,
    unit: Annotated[
        str | None, typer.Option(help="Only this unit: access/NS/SERVICEACCOUNT or route/NS/SERVICE.")
    ] = None,
    source: SourceOption = None,
) -> None:
    """Print the native objects that the sources mean, from nothing: no state is read or written, no guard is asked."""
    with clean_errors():
        code = run_now(_render(config, mesh, output, unit, source))
    raise typer.Exit(code)


async def _render(config: Path, name: str, output: Form, unit: str | None, source: str | None) -> Exit:
    domains = Domains.open(config, source)
    try:
        hub, mesh = domains.mesh(name)
        with progress("reading the sources"):
            hub.read()
            for problem in hub.intake.problems():
                ERR.print(problem_line(problem))
            if hub.intake.unread:
                # An object that is missing here would be taken for one that is not wanted.
                fail("a file cannot be read, so nothing is rendered")
                return Exit.ERROR
            plan = hub.render(mesh)
        if plan.conflicts:
            for refusal in refusals(plan, hub.config.guards, ()):
                ERR.print(refusal_line(refusal))
            return Exit.REFUSED
        _emit(
            plan if unit is None else _of_unit(plan, hub.cluster(mesh).store.units(), unit),
            mesh.spec.view,
            output,
            hub.config,
        )
        return Exit.SAME
    finally:
        await domains.close()


def _of_unit(plan: Plan, units: Iterable[UnitKey], wanted: str) -> Plan:
    """What a plan has of one unit. Raises ConfigError if there is no such unit."""
    known = sorted(map(str, units))
    if wanted not in known:
        near = difflib.get_close_matches(wanted, known, 1)
        hint = f'did you mean "{near[0]}"?' if near else "write access/NS/SERVICEACCOUNT or route/NS/SERVICE"
        raise ConfigError(f'--unit "{wanted}": there is no such unit; {hint}')
    changes = tuple(change for change in plan.changes if str(change.unit) == wanted)
    return replace(plan, changes=changes, losses=tuple(loss for loss in plan.losses if str(loss.unit) == wanted))


def _emit(plan: Plan, view: View, form: Form, config: Config) -> None:
    """Print the objects by unit and name, and on stderr what the mesh cannot say."""
    for loss in plan.losses:
        ERR.print(loss_line(loss))
    made = sorted(plan.changes, key=lambda change: (change.unit, change.ref))
    natives = [(change.after, change.unit) for change in made if change.after is not None]
    if form is Form.JSON:
        objects = [native_data(native, of_unit, view) for native, of_unit in natives]
        losses = [loss_data(loss) for loss in plan.losses]
        made_of = of_domain(config, {"mesh": plan.mesh, "objects": objects, "losses": losses})
        emit({"schema": SCHEMA, **made_of}, Output.JSON)
        return
    for native, of_unit in natives:
        emit_text(_head(native, of_unit))
        emit(view(native.body, native.ref.kind), Output.YAML)


def _head(native: NativeObject, unit: UnitKey) -> str:
    """What goes before a YAML document: which object it is, of which unit, and where it comes from, as comments."""
    said = (str(native.ref), f"unit: {unit}", *(f"from: {origin}" for origin in native.origins))
    return "---\n" + "".join(f"# {line(each).plain}\n" for each in said)
