"""`smihub hands-off`: let plans leave one object alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hub.cli.context import ConfigOption, Exit, MeshArgument, clean_errors, note, run_now
from hub.config import DEFAULT_FILE
from hub.errors import ConfigError
from hub.meshes import Mesh
from hub.model import ObjectRef
from hub.ownership import leave
from hub.reconcile import Hub


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
    hub = Hub.open(config)
    try:
        found = hub.mesh(mesh)
        await leave(found, await _ref(found, name), alone=not end)
        note(f"mesh {mesh}: {name} is {'managed again' if end else 'left as it is; plan says so while it differs'}")
        return Exit.SAME
    finally:
        await hub.close()


async def _ref(mesh: Mesh, name: str) -> ObjectRef:
    """The object that stands there under this name. Raises ConfigError that names some of those there are."""
    ours = [ref for ref, each in (await mesh.observed()).whole().objects.items() if each.owner is not None]
    found = [ref for ref in ours if str(ref) == name]
    if len(found) != 1:
        there = ", ".join(sorted(map(str, ours))[:5]) or "none"
        raise ConfigError(f'there is no object "{name}" of ours in mesh "{mesh.name}"; there are {there}')
    return found[0]
