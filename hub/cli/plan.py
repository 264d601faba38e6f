"""`smihub plan`: what `apply` would write, and what it means."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from msgspec import Struct
from msgspec.structs import replace

from hub.cli import saved
from hub.cli.context import (
    ERR,
    ConfigOption,
    Exit,
    Output,
    OutputOption,
    clean_errors,
    emit,
    note,
    print_lines,
    progress,
    run_now,
)
from hub.cli.data import SCHEMA, plan_data, problem_data
from hub.cli.show import Detail, counted, plan_lines, problem_line, refusal_line, unplanned_line
from hub.config.file import DEFAULT_FILE, owner_for
from hub.model import Problem, Severity
from hub.plan.guards import OWNER
from hub.plan.plan import Plan
from hub.reconcile.hub import Hub, Reviewed

AcceptOption = Annotated[list[str] | None, typer.Option("--accept", help="Accept this guard or Loss code, this once.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Show every object and every field.")]


class PlanOptions(Struct, frozen=True):
    """What plan and apply are asked alike: which configuration, which codes to accept, how much to show."""

    config: Path
    accept: tuple[str, ...]
    detail: Detail


def plan_options(config: Path, accept: Sequence[str] | None, verbose: bool) -> PlanOptions:
    """The options of plan and apply."""
    return PlanOptions(config, tuple(accept or ()), "all" if verbose else "short")


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(epilog="Examples: [bold]smihub plan[/bold], [bold]smihub plan --save review.plan[/bold]")(plan)


def plan(
    config: ConfigOption = Path(DEFAULT_FILE),
    accept: AcceptOption = None,
    output: OutputOption = Output.TEXT,
    verbose: VerboseOption = False,
    save: Annotated[Path | None, typer.Option(help="Write the plan to this file, for smihub apply FILE.")] = None,
) -> None:
    """Show what would change in every mesh. Exit code 0: nothing, 2: changes, 3: refused, 1: error."""
    with clean_errors():
        code = run_now(_plan(plan_options(config, accept, verbose), output, save))
    raise typer.Exit(code)


async def _plan(wanted: PlanOptions, output: Output, file: Path | None) -> Exit:
    hub = Hub.open(wanted.config)
    try:
        if file is not None:
            saved.check_place(file, hub.config)
        reviewed = await review(hub, wanted.accept)
        problems = hub.intake.problems()
        if output is Output.TEXT:
            show(reviewed, problems, wanted.detail)
        else:
            emit(data(reviewed, problems), output)
        if file is not None:
            saved.save(file, hub, reviewed)
            note(_told(file, reviewed))
        _suggest_owner(hub, reviewed)
        return verdict(reviewed, hub)
    finally:
        await hub.close()


def _told(file: Path, reviewed: Sequence[Reviewed]) -> str:
    """What a saved plan is good for."""
    if any(each.whole for each in reviewed):
        return f"saved {file}, which smihub apply will refuse for the reasons above"
    return f"saved {file}; write exactly this with smihub apply {file}"


def _suggest_owner(hub: Hub, reviewed: Sequence[Reviewed]) -> None:
    """Where no mesh has an owner yet, smihub.yaml had better get one."""
    refused = {refusal.code for each in reviewed for refusal in each.refusals}
    if not hub.config.owner and OWNER not in refused:
        line = f'owner: "{owner_for(hub.config)}"'
        note(f"any other smihub.yaml can change what this one writes; add the line: {line}")


async def review(hub: Hub, accept: Sequence[str]) -> list[Reviewed]:
    """Read the sources and plan every mesh, with progress on a terminal."""
    with progress("reading the sources") as say:
        hub.read()
        reviewed = []
        for mesh in hub.meshes:
            say(f"planning {mesh.name}")
            reviewed.append(await hub.plan(mesh, accept))
    for code in sorted(set(accept) - {code for each in reviewed for code in each.lifted}):
        note(f'nothing here asked for --accept "{code}"')
    return reviewed


def show(reviewed: Sequence[Reviewed], problems: Sequence[Problem], detail: Detail = "short") -> None:
    """Print Problems on stderr, then every plan, then what refuses it."""
    for problem in problems:
        ERR.print(problem_line(problem))
    for each in reviewed:
        if OWNER in {refusal.code for refusal in each.refusals}:
            print_lines([unplanned_line(each.plan)])
        else:
            print_lines(plan_lines(_untold(each), each.mesh.spec.view, each.mesh.spec.drain, detail))
        print_lines(refusal_line(refusal) for refusal in each.refusals)
    errors = sum(problem.severity is Severity.ERROR for problem in problems)
    if errors:
        note(f"{counted(errors, 'error')} above: what these objects ask for is not granted")


def _untold(reviewed: Reviewed) -> Plan:
    """The plan without the losses that refuse it: those are told last, once."""
    refusing = {refusal.code for refusal in reviewed.refusals}
    losses = tuple(loss for loss in reviewed.plan.losses if not (loss.access and loss.code in refusing))
    return replace(reviewed.plan, losses=losses)


def data(reviewed: Sequence[Reviewed], problems: Sequence[Problem]) -> dict[str, Any]:
    """Plans and Problems as JSON-like data."""
    return {
        "schema": SCHEMA,
        "problems": [problem_data(problem) for problem in problems],
        "meshes": [plan_data(each.plan, each.mesh.spec.view, each.refusals) for each in reviewed],
    }


def verdict(reviewed: Sequence[Reviewed], hub: Hub) -> Exit:
    """The exit code of these plans: refused, else an error if something cannot be read, else changes, else nothing."""
    if any(each.refusals for each in reviewed):
        return Exit.REFUSED
    if hub.intake.incomplete:
        return Exit.ERROR
    return Exit.CHANGES if any(each.plan.changes for each in reviewed) else Exit.SAME
