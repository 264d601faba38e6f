"""`smihub walls`: which walls stand, in every mesh of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hub.api import CommandContext, CommandSpec, ConfigError
from outsider_mesh.sink import WallSink


async def walls(
    hub: CommandContext,
    namespace: Annotated[str, typer.Argument(help="Only those of this namespace.")] = "",
    config: Annotated[Path, typer.Option("--config", "-c", help="The configuration file.")] = Path("smihub.yaml"),
) -> None:
    """Print every wall that stands."""
    async with hub.meshes(config) as meshes:
        ours = {mesh.title: sink for mesh in meshes if isinstance(sink := mesh.sink, WallSink)}
        if not ours:
            raise ConfigError("no mesh here has walls")
        for title, sink in ours.items():
            found = sorted(str(ref) for ref in (await sink.observe()).objects if namespace in {"", ref.namespace})
            typer.echo("\n".join(f"{title}: {each}" for each in found) or f"{title}: none")
    hub.note(f"{len(ours)} mesh with walls")


SHOW = CommandSpec("walls", walls, "Example: [bold]smihub walls shop[/bold]")
