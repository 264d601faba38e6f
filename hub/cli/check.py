"""`smihub check`: whether all that the sources say is usable, and the fleet as protected as it looks."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from hub.cli.context import OUT, Exit, Output, clean_errors, emit, progress
from hub.cli.plan import ConfigOption
from hub.cli.show import problem_data, problem_line
from hub.config import DEFAULT_FILE
from hub.model import Severity
from hub.reconcile import Hub


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(epilog="Example: [bold]smihub check[/bold] in a pipeline before merging")(check)


def check(
    config: ConfigOption = Path(DEFAULT_FILE),
    output: Annotated[Output, typer.Option("-o", help="How to print the findings.")] = Output.TEXT,
) -> None:
    """Read everything, report every Problem and warning, write nothing. Exit code 1 if something grants nothing."""
    with clean_errors():
        raise typer.Exit(asyncio.run(_check(config, output)))


async def _check(config: Path, output: Output) -> int:
    hub = Hub.open(config)
    try:
        with progress("reading the sources"):
            hub.read()
            problems = (*hub.problems(), *hub.warnings())
        if output is not Output.TEXT:
            emit({"problems": [problem_data(problem) for problem in problems]}, output)
        else:
            for problem in problems:
                OUT.print(problem_line(problem))
            OUT.print(f"{len(hub.units())} units from {len(hub.config.sources)} sources, {len(problems)} findings")
        return int(Exit.ERROR if any(p.severity is Severity.ERROR for p in problems) else Exit.SAME)
    finally:
        await hub.close()
