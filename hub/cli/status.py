"""`smihub status`: what every data plane has accepted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer
from rich.text import Text

from hub.cli.context import ConfigOption, Exit, Output, OutputOption, clean_errors, emit, line, print_lines, run_now
from hub.config import DEFAULT_FILE
from hub.reconcile import Hub


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(epilog="Example: [bold]smihub status -o json[/bold]")(status)


def status(config: ConfigOption = Path(DEFAULT_FILE), output: OutputOption = Output.TEXT) -> None:
    """Show, per Workload, whether its Envoy is connected and has accepted everything. Exit code 1 if one has not."""
    with clean_errors():
        code = run_now(_status(config, output))
    raise typer.Exit(code)


async def _status(config: Path, output: Output) -> Exit:
    hub = Hub.open(config)
    try:
        reports = {mesh.name: mesh.live.report() for mesh in hub.meshes if mesh.live is not None}
    finally:
        await hub.close()
    if output is Output.TEXT:
        for mesh, report in reports.items():
            print_lines(_mesh_lines(mesh, report))
    else:
        emit(reports, output)
    rows = [row for report in reports.values() for row in report.values()]
    return Exit.SAME if all(row["programmed"] for row in rows) else Exit.ERROR


def _mesh_lines(mesh: str, report: Mapping[str, Any]) -> Iterator[Text]:
    done = sum(bool(row["programmed"]) for row in report.values())
    yield line((f"mesh {mesh}", "bold"), f": {done} of {len(report)} workloads have accepted everything")
    width = max(map(len, report), default=0)
    for workload, row in sorted(report.items()):
        first, *others = _said(row)
        yield line(f"  {workload:{width}}  ", first)
        if not row.get("enrolled", True):
            others.append((f"no token that holds; run smihub bootstrap {workload}", "red"))
        yield from (line(f"  {'':{width}}  ", other) for other in others)


def _said(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is to be said of one workload, with its colour."""
    since = row["connected_since"]
    connected = f"connected since {since}" if since else "not connected"
    if row["programmed"]:
        yield f"everything accepted, {connected}", "green" if since else "yellow"
    else:
        yield connected, "yellow" if since else "red"
    for kind, names in row["pending"].items():
        yield f"waiting for {kind} {', '.join(names)}", "yellow"
    for each in row["refused"]:
        yield f"refused {each['kind']} {each['name']}: {each['detail']}", "red"
    if row["open_until"]:
        yield f"open connections until {row['open_until']}", "yellow"
