"""`smihub adopt`: take over objects that somebody else made, where they are already what we would write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from hub.cli import completion
from hub.cli.context import (
    ConfigOption,
    Exit,
    MeshArgument,
    YesOption,
    agreed,
    line,
    note,
    print_lines,
    progress,
    run_now,
)
from hub.config.file import DEFAULT_FILE
from hub.errors import ConfigError
from hub.meshes import Mesh
from hub.reconcile.domains import Domains
from hub.reconcile.hub import Hub
from hub.reconcile.ownership import Adoption, adopt_all, adoptions, check_adoptable

_SHOWN = 12


def adopt(
    mesh: MeshArgument,
    objects: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="OBJECT",
            autocompletion=completion.objects,
            help="KIND/NAMESPACE/NAME; without it, list what can be adopted.",
        ),
    ] = None,
    config: ConfigOption = Path(DEFAULT_FILE),
    yes: YesOption = False,
) -> Exit:
    """Take over objects that smihub would write itself. Only if their content is the same, so no request is affected."""
    return run_now(_adopt(config, mesh, tuple(dict.fromkeys(objects or ())), yes))


async def _adopt(config: Path, name: str, names: Sequence[str], yes: bool) -> Exit:
    async with Domains.open(config) as domains:
        hub, mesh = domains.mesh(name)
        with progress("reading the sources"):
            hub.read()
            found = await adoptions(hub, mesh)
        if not names:
            return _show(mesh, found, hub)
        chosen = [await _chosen(mesh, found, each) for each in names]
        check_adoptable(hub, chosen)
        if not (yes or agreed(f"Adopt {', '.join(names)}?", "rerun with --yes")):
            note("nothing was written")
            return Exit.ERROR
        await adopt_all(hub, mesh, chosen)
        note(f"mesh {name}: adopted {', '.join(names)}")
        return Exit.SAME


def _show(mesh: Mesh, found: Sequence[Adoption], hub: Hub) -> Exit:
    """What could be adopted, with the command that does it, and what else is in the way."""
    for each in found:
        colour, text = ("green", "same content, can be adopted") if not each.differences else ("red", "differs")
        print_lines([line((f"{each.native.ref}", "bold"), ": ", (text, colour))])
        print_lines(line(f"  {difference}") for difference in each.differences[:_SHOWN])
        if len(each.differences) > _SHOWN:
            print_lines([line(f"  ... {len(each.differences) - _SHOWN} more fields")])
    equal = [str(each.native.ref) for each in found if not each.differences]
    if not found:
        note("no unmanaged object is in the place of one of smihub's")
    if equal:
        note(f"adopt them with smihub adopt {mesh.title} {' '.join(equal)}")
    if hub.intake.unread:
        note("a file of the sources cannot be read, so there may be more; run smihub check to see which")
        return Exit.ERROR
    return Exit.SAME


async def _chosen(mesh: Mesh, found: Sequence[Adoption], name: str) -> Adoption:
    """The one that was named. Raises ConfigError that says why it is not there to be adopted."""
    for each in found:
        if str(each.native.ref) == name:
            return each
    standing = [one for one in (await mesh.observed()).whole().objects.values() if str(one.ref) == name]
    if any(one.owner is not None for one in standing):
        raise ConfigError(f'"{name}" is already managed by smihub; there is nothing to adopt')
    if standing:
        raise ConfigError(
            f'"{name}" exists in mesh "{mesh.title}", but the sources do not need such an object; smihub render {mesh.title} '
            "shows the ones that they need"
        )
    there = ", ".join(str(each.native.ref) for each in found[:5]) or "nothing"
    raise ConfigError(f'"{name}" does not exist; what can be adopted in mesh "{mesh.title}": {there}')
