"""`smihub adopt`: take over objects that somebody else made, where they are already what we would write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from hub.cli.context import (
    ConfigOption,
    Exit,
    MeshArgument,
    YesOption,
    agreed,
    clean_errors,
    line,
    note,
    print_lines,
    progress,
    run_now,
)
from hub.config import DEFAULT_FILE
from hub.errors import ConfigError
from hub.ownership import Adoption, adopt_all, adoptions
from hub.reconcile import Hub


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(
        epilog="Examples: [bold]smihub adopt istio[/bold] (what could be adopted), "
        "[bold]smihub adopt istio AuthorizationPolicy/shop/smihub-api[/bold]"
    )(adopt)


def adopt(
    mesh: MeshArgument,
    objects: Annotated[
        list[str] | None, typer.Argument(help="KIND/NAMESPACE/NAME; none: show what there is to adopt.")
    ] = None,
    config: ConfigOption = Path(DEFAULT_FILE),
    yes: YesOption = False,
) -> None:
    """Put our mark on objects that stand where ours belong. Only on equal ones: no request is judged otherwise after it."""
    with clean_errors():
        code = run_now(_adopt(config, mesh, objects or (), yes))
    raise typer.Exit(code)


async def _adopt(config: Path, name: str, wanted: Sequence[str], yes: bool) -> Exit:
    hub = Hub.open(config)
    try:
        mesh = hub.mesh(name)
        with progress("reading the sources"):
            hub.read()
            found = await adoptions(hub, mesh)
        if not wanted:
            return _show(found)
        chosen = _chosen(found, wanted)
        if not (yes or agreed(f"Adopt {len(chosen)} of them?", "run smihub adopt --yes")):
            note("nothing was written")
            return Exit.ERROR
        await adopt_all(mesh, chosen)
        note(f"mesh {name}: adopted {', '.join(wanted)}")
        return Exit.SAME
    finally:
        await hub.close()


def _show(found: Sequence[Adoption]) -> Exit:
    for each in found:
        colour, said = ("green", "equal, can be adopted") if not each.differences else ("red", "differs")
        print_lines([line((f"{each.native.ref}", "bold"), ": ", (said, colour))])
        print_lines(line(f"  {difference}") for difference in each.differences)
    if not found:
        note("nothing of somebody else's stands where ours belong")
    return Exit.SAME


def _chosen(found: Sequence[Adoption], wanted: Sequence[str]) -> list[Adoption]:
    """Those that were named. Raises ConfigError if one is not there."""
    known = {str(each.native.ref): each for each in found}
    missing = [name for name in wanted if name not in known]
    if missing:
        there = ", ".join(known) or "nothing"
        raise ConfigError(f'"{missing[0]}" is not among what can be adopted: {there}')
    return [known[name] for name in wanted]
