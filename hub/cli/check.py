"""`smihub check`: whether all that the sources say is usable, and the fleet as protected as it looks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import typer

from hub.cli.context import OUT, ConfigOption, Exit, Output, OutputOption, clean_errors, emit, line, progress, run_now
from hub.cli.data import SCHEMA, problem_data
from hub.cli.show import counted, problem_line
from hub.config.file import DEFAULT_FILE
from hub.model import Severity
from hub.reconcile.hub import Hub


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(epilog="Example: [bold]smihub check[/bold] in a pipeline before merging")(check)


def check(config: ConfigOption = Path(DEFAULT_FILE), output: OutputOption = Output.TEXT) -> None:
    """Read everything, report every Problem and warning, write nothing. Exit code 1 if something grants nothing."""
    with clean_errors():
        code = run_now(_check(config, output))
    raise typer.Exit(code)


async def _check(config: Path, output: Output) -> Exit:
    hub = Hub.open(config)
    try:
        with progress("reading the sources"):
            hub.read()
            problems = (*hub.intake.problems(), *hub.intake.warnings())
        errors = sum(problem.severity is Severity.ERROR for problem in problems)
        if output is not Output.TEXT:
            emit({"schema": SCHEMA, "problems": [problem_data(problem) for problem in problems]}, output)
        else:
            for problem in problems:
                OUT.print(problem_line(problem))
            found = f"{counted(errors, 'error')}, {counted(len(problems) - errors, 'warning')}"
            OUT.print(line((found, "bold red" if errors else "bold"), f" in {_read(hub)}"))
        return Exit.ERROR if errors else Exit.SAME
    finally:
        await hub.close()


def _read(hub: Hub) -> str:
    kinds = Counter(key.kind for key in hub.units())
    parts = (
        counted(len(hub.intake.sources), "source"),
        *([counted(len(hub.clusters), "cluster")] if len(hub.clusters) > 1 else []),
        counted(kinds["access"], "identity"),
        counted(kinds["route"], "service"),
    )
    return ", ".join(parts)
