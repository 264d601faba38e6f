"""`smihub plan`: what `apply` would write, and what it means."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from hub.cli.context import ERR, Exit, Output, clean_errors, emit, print_lines, progress
from hub.cli.show import plan_data, plan_lines, problem_data, problem_line, refusal_line
from hub.config import DEFAULT_FILE
from hub.model import Problem, Severity
from hub.reconcile import Hub, Reviewed

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The configuration file.")]
AcceptOption = Annotated[list[str] | None, typer.Option("--accept", help="Accept this guard or Loss code, this once.")]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(epilog="Examples: [bold]smihub plan[/bold], [bold]smihub plan -o json > plan.json[/bold]")(plan)


def plan(
    config: ConfigOption = Path(DEFAULT_FILE),
    accept: AcceptOption = None,
    output: Annotated[Output, typer.Option("-o", help="How to print the plan.")] = Output.TEXT,
) -> None:
    """Show what would change in every mesh. Exit code 0: nothing, 2: changes, 3: refused, 1: error."""
    with clean_errors():
        raise typer.Exit(asyncio.run(_plan(config, tuple(accept or ()), output)))


async def _plan(config: Path, accept: Sequence[str], output: Output) -> int:
    hub = Hub.open(config)
    try:
        reviewed = await review(hub, accept)
        problems = hub.problems()
        if output is Output.TEXT:
            show(reviewed, problems)
        else:
            emit(data(reviewed, problems), output)
        return verdict(reviewed, hub)
    finally:
        await hub.close()


async def review(hub: Hub, accept: Sequence[str]) -> list[Reviewed]:
    """Read the sources and plan every mesh, with progress on a terminal."""
    with progress("reading the sources") as say:
        hub.read()
        reviewed = []
        for mesh in hub.meshes:
            say(f"planning {mesh.name}")
            reviewed.append(await hub.plan(mesh, accept))
    return reviewed


def show(reviewed: Sequence[Reviewed], problems: Sequence[Problem]) -> None:
    """Print Problems on stderr, then every plan, then what refuses it."""
    for problem in problems:
        ERR.print(problem_line(problem))
    for each in reviewed:
        print_lines(plan_lines(each.plan, each.mesh.spec.view, each.mesh.spec.drain))
        print_lines(refusal_line(refusal) for refusal in each.refusals)
    errors = sum(problem.severity is Severity.ERROR for problem in problems)
    if errors:
        ERR.print(f"{errors} objects or parts of them grant nothing; see above")


def data(reviewed: Sequence[Reviewed], problems: Sequence[Problem]) -> dict[str, Any]:
    """Plans and Problems as JSON-like data."""
    return {
        "problems": [problem_data(problem) for problem in problems],
        "meshes": [plan_data(each.plan, each.mesh.spec.view, each.refusals) for each in reviewed],
    }


def verdict(reviewed: Sequence[Reviewed], hub: Hub) -> int:
    """The exit code of these plans: refused, else an error if a file could not be read, else changes, else nothing."""
    if any(each.refusals for each in reviewed):
        return int(Exit.REFUSED)
    if hub.unread:
        return int(Exit.ERROR)
    return int(Exit.CHANGES if any(each.plan.changes for each in reviewed) else Exit.SAME)
