"""`smihub status`: what every data plane has accepted."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from hub.cli.context import OUT, Exit, Output, clean_errors, emit
from hub.cli.plan import ConfigOption
from hub.config import DEFAULT_FILE
from hub.reconcile import Hub


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(epilog="Example: [bold]smihub status -o json[/bold]")(status)


def status(
    config: ConfigOption = Path(DEFAULT_FILE),
    output: Annotated[Output, typer.Option("-o", help="How to print it.")] = Output.TEXT,
) -> None:
    """Show, per Workload, whether its Envoy is connected and has accepted everything. Exit code 1 if one has not."""
    with clean_errors():
        raise typer.Exit(asyncio.run(_status(config, output)))


async def _status(config: Path, output: Output) -> int:
    hub = Hub.open(config)
    try:
        reports = {mesh.name: mesh.sink.report() for mesh in hub.meshes}
    finally:
        await hub.close()
    if output is Output.TEXT:
        for name, report in reports.items():
            OUT.print(_table(name, report))
    else:
        emit(reports, output)
    rows = [row for report in reports.values() for row in report.values()]
    return int(Exit.SAME if all(row["programmed"] for row in rows) else Exit.ERROR)


def _table(mesh: str, report: Mapping[str, Any]) -> Table:
    table = Table(title=f"mesh {mesh}", title_justify="left")
    for heading in ("workload", "connected since", "programmed", "waiting for", "refused", "open connections until"):
        table.add_column(heading)
    for workload, row in sorted(report.items()):
        waiting = ", ".join(f"{kind} {name}" for kind, names in row["pending"].items() for name in names)
        refused = "; ".join(f"{each['kind']} {each['name']}: {each['detail']}" for each in row["refused"])
        since, programmed = row["connected_since"] or "[red]not connected[/red]", "yes" if row["programmed"] else "no"
        table.add_row(workload, str(since), programmed, waiting, refused, str(row["open_until"] or ""))
    return table
