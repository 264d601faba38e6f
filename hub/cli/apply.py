"""`smihub apply`: write what `plan` shows."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from hub.cli.context import ERR, Exit, clean_errors
from hub.cli.plan import AcceptOption, ConfigOption, review, show, verdict
from hub.cli.show import summary
from hub.config import DEFAULT_FILE
from hub.errors import ConfigError, SmihubError
from hub.reconcile import Hub, Reviewed


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(epilog="Examples: [bold]smihub apply[/bold], in a pipeline [bold]smihub apply --yes[/bold]")(apply)


def apply(
    config: ConfigOption = Path(DEFAULT_FILE),
    accept: AcceptOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Plan, show the plan, ask, and write it; refused plans are not written. Exit code 0 only if everything was."""
    with clean_errors():
        raise typer.Exit(asyncio.run(_apply(config, tuple(accept or ()), yes)))


async def _apply(config: Path, accept: Sequence[str], yes: bool) -> int:
    hub = Hub.open(config)
    try:
        reviewed = await review(hub, accept)
        show(reviewed, hub.problems())
        if (code := verdict(reviewed, hub)) == Exit.REFUSED:
            return code
        if not yes and any(each.plan.changes for each in reviewed):
            _ask()
        return max(await _write(hub, reviewed), int(hub.unread))
    finally:
        await hub.close()


def _ask() -> None:
    if not sys.stdin.isatty():
        raise ConfigError("nobody is there to ask; review the plan, then run smihub apply --yes")
    if not typer.confirm("Apply this plan?", err=True):
        raise typer.Exit(Exit.ERROR)


async def _write(hub: Hub, reviewed: Sequence[Reviewed]) -> int:
    """Write every mesh's plan; one that fails does not stop the others, but the exit code says so."""
    code = int(Exit.SAME)
    for each in reviewed:
        try:
            await hub.apply(each.mesh, each.plan)
        except SmihubError as error:
            ERR.print(f"[red]error[/red]: mesh {each.mesh.name}: {error}; nothing of its plan was written")
            code = int(Exit.ERROR)
            continue
        if each.plan.changes:
            ERR.print(f"mesh {each.mesh.name}: applied, {summary(each.plan)}")
    return code
