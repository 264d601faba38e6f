"""`smihub hands-off`: let plans leave one object alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hub.cli.context import ConfigOption, Exit, MeshArgument, clean_errors, note, run_now
from hub.config.file import DEFAULT_FILE
from hub.errors import ConfigError
from hub.meshes import Mesh
from hub.model import Observed
from hub.reconcile.domains import Domains
from hub.reconcile.ownership import leave


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(
        name="hands-off",
        epilog="Examples: [bold]smihub hands-off istio VirtualService/shop/smihub-api[/bold], then with [bold]--end[/bold]",
    )(hands_off)


def hands_off(
    mesh: MeshArgument,
    name: Annotated[str, typer.Argument(metavar="OBJECT", help="KIND/NAMESPACE/NAME of an object of smihub's.")],
    end: Annotated[bool, typer.Option("--end", help="Manage it again.")] = False,
    config: ConfigOption = Path(DEFAULT_FILE),
) -> None:
    """Leave an object of ours as it is from now on, whatever the sources say; plan names it as long as it differs."""
    with clean_errors():
        code = run_now(_hands_off(config, mesh, name, end))
    raise typer.Exit(code)


async def _hands_off(config: Path, mesh: str, name: str, end: bool) -> Exit:
    domains = Domains.open(config)
    try:
        _, found = domains.mesh(mesh)
        await leave(found, await _ours(found, name), alone=not end)
        note(
            f"mesh {mesh}: {name} is {'managed again, from the next apply on' if end else 'left as it is; plan says so while it differs'}"
        )
        return Exit.SAME
    finally:
        await domains.close()


async def _ours(mesh: Mesh, name: str) -> Observed:
    """Our object of this name. Raises ConfigError that names some of those there are."""
    standing = (await mesh.observed()).whole().objects.values()
    found = [each for each in standing if str(each.ref) == name]
    ours = [each for each in found if each.owner is not None]
    if len(ours) == 1:
        return ours[0]
    if found and not ours:
        raise ConfigError(f'"{name}" is somebody else\'s: smihub leaves it alone anyhow, until it is adopted')
    names = sorted(str(each.ref) for each in standing if each.owner is not None)
    there = ", ".join(names[:5]) or "none"
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    raise ConfigError(f'there is no object "{name}" of smihub\'s in mesh "{mesh.title}"; there are: {there}{more}')
