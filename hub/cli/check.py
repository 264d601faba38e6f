"""`smihub check`: whether all that the sources say is usable, and the fleet as protected as it looks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import typer

from hub.cli.context import (
    OUT,
    ConfigOption,
    Exit,
    MeshOption,
    Output,
    OutputOption,
    SourceOption,
    clean_errors,
    emit,
    fail,
    line,
    print_lines,
    progress,
    run_now,
)
from hub.cli.data import SCHEMA, of_domain, problem_data, refusal_data
from hub.cli.show import counted, problem_line, refusal_line
from hub.config.file import DEFAULT_FILE
from hub.errors import SmihubError
from hub.meshes import Mesh
from hub.model import Problem, Severity
from hub.plan.guards import Refusal
from hub.reconcile.domains import Domains
from hub.reconcile.hub import Hub


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(epilog="Example: [bold]smihub check[/bold] in a pipeline before merging")(check)


def check(
    config: ConfigOption = Path(DEFAULT_FILE),
    mesh: MeshOption = None,
    output: OutputOption = Output.TEXT,
    source: SourceOption = None,
) -> None:
    """Read everything, report every Problem and warning, write nothing. Exit code 3 if a mesh would refuse something, 1 if something grants nothing."""
    with clean_errors():
        code = run_now(_check(config, output, source, mesh or ()))
    raise typer.Exit(code)


async def _check(config: Path, output: Output, source: str | None, meshes: Sequence[str]) -> Exit:
    domains = Domains.open(config, source, meshes)
    try:
        found = [(hub, _problems(hub)) for hub in domains.hubs]
        refused = {hub: [] if problems is None else _refused(hub) for hub, problems in found}
        if output is not Output.TEXT:
            rows = [of_domain(hub.config, problem_data(each)) for hub, problems in found for each in problems or ()]
            told = [
                of_domain(hub.config, {"mesh": mesh.name, **refusal_data(one)})
                for hub, _ in found
                for mesh, one in refused[hub]
            ]
            emit({"schema": SCHEMA, "problems": rows, "refused": told}, output)
        else:
            for hub, problems in found:
                _show(hub, problems)
                print_lines(refusal_line(one, mesh.title) for mesh, one in refused[hub])
        if any(refused.values()):
            return Exit.REFUSED
        return Exit.ERROR if any(problems is None or _errors(problems) for _, problems in found) else Exit.SAME
    finally:
        await domains.close()


def _problems(hub: Hub) -> Sequence[Problem] | None:
    """What is wrong in a domain; None where one of several cannot be read at all, which is told."""
    try:
        with progress("reading the sources"):
            hub.read()
            return (*hub.intake.problems(), *hub.intake.warnings())
    except SmihubError as error:
        if not hub.config.title:
            raise
        fail(f"domain {hub.config.title}: {error}")
        return None


def _refused(hub: Hub) -> list[tuple[Mesh, Refusal]]:
    """What each mesh would refuse of the sources, if it was planned from nothing."""
    return [(mesh, one) for mesh in hub.meshes for one in hub.foreseen(mesh).refusals]


def _show(hub: Hub, problems: Sequence[Problem] | None) -> None:
    if problems is None:
        return
    if hub.config.title:
        OUT.print(line((f"domain {hub.config.title}", "bold")))
    for problem in problems:
        OUT.print(problem_line(problem))
    errors = _errors(problems)
    found = f"{counted(errors, 'error')}, {counted(len(problems) - errors, 'warning')}"
    OUT.print(line((found, "bold red" if errors else "bold"), f" in {_read(hub)}"))


def _errors(problems: Sequence[Problem]) -> int:
    return sum(problem.severity is Severity.ERROR for problem in problems)


def _read(hub: Hub) -> str:
    kinds = Counter(key.kind for key in hub.units())
    parts = (
        counted(len(hub.intake.sources), "source"),
        *([counted(len(hub.clusters), "cluster")] if len(hub.clusters) > 1 else []),
        counted(kinds["access"], "identity"),
        counted(kinds["route"], "service"),
    )
    return ", ".join(parts)
