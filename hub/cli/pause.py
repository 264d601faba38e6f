"""`smihub pause` and `smihub resume`: plans leave one object as it is, or manage it again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hub.cli import completion
from hub.cli.context import ConfigOption, Exit, MeshArgument, note, run_now
from hub.config.file import DEFAULT_FILE
from hub.errors import ConfigError
from hub.meshes import Mesh
from hub.model import Observed
from hub.reconcile.domains import Domains
from hub.reconcile.ownership import set_paused

ObjectArgument = Annotated[
    str,
    typer.Argument(
        metavar="OBJECT",
        autocompletion=completion.objects,
        help="KIND/NAMESPACE/NAME of an object that smihub manages.",
    ),
]


def pause(mesh: MeshArgument, name: ObjectArgument, config: ConfigOption = Path(DEFAULT_FILE)) -> Exit:
    """Leave one managed object as it is, whatever the sources say; plan shows it while it differs."""
    return run_now(_set_paused(config, mesh, name, paused=True))


def resume(mesh: MeshArgument, name: ObjectArgument, config: ConfigOption = Path(DEFAULT_FILE)) -> Exit:
    """Manage a paused object again, from the next apply on."""
    return run_now(_set_paused(config, mesh, name, paused=False))


def hands_off(
    mesh: MeshArgument,
    name: ObjectArgument,
    end: Annotated[bool, typer.Option("--end", help="Manage it again.")] = False,
    config: ConfigOption = Path(DEFAULT_FILE),
) -> Exit:
    """Deprecated: use pause, and resume instead of --end."""
    note(f'"smihub hands-off" is deprecated and will be removed; use "smihub {"resume" if end else "pause"}"')
    return run_now(_set_paused(config, mesh, name, paused=not end))


async def _set_paused(config: Path, mesh: str, name: str, *, paused: bool) -> Exit:
    async with Domains.open(config) as domains:
        _, found = domains.mesh(mesh)
        await set_paused(found, await _ours(found, name), paused=paused)
        outcome = "paused; plan shows it while it differs" if paused else "resumed; the next apply manages it again"
        note(f"mesh {mesh}: {name} is {outcome}")
        return Exit.SAME


async def _ours(mesh: Mesh, name: str) -> Observed:
    """Our object of this name. Raises ConfigError that names some of those there are."""
    standing = (await mesh.observed()).whole().objects.values()
    found = [each for each in standing if str(each.ref) == name]
    ours = [each for each in found if each.owner is not None]
    if len(ours) == 1:
        return ours[0]
    if found and not ours:
        raise ConfigError(f'"{name}" is not managed by smihub, which leaves it alone anyway; adopt it first')
    names = sorted(str(each.ref) for each in standing if each.owner is not None)
    there = ", ".join(names[:5]) or "none"
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    raise ConfigError(f'smihub manages no object "{name}" in mesh "{mesh.title}"; it manages: {there}{more}')
