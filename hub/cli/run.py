"""`smihub run`: the same path as plan and apply, in a loop, and the service that Envoys connect to."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer

from hub.cli.context import ConfigOption, clean_errors
from hub.cli.plan import AcceptOption
from hub.config.file import DEFAULT_FILE, Config
from hub.log import set_up_logging
from hub.meshes import make_private
from hub.private import claim
from hub.reconcile.hub import Hub
from hub.reconcile.loop import Loop
from hub.status.journal import Journal
from hub.status.record import Actor, Record
from hub.status.telling import Telling

_log: structlog.stdlib.BoundLogger = structlog.get_logger("smihub.run")
_FLUSH_S = 2.0
"""So long the end waits for whoever reads the log."""


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(epilog="Examples: [bold]smihub run[/bold], [bold]smihub run --serve-only[/bold]")(run)


def run(
    config: ConfigOption = Path(DEFAULT_FILE),
    accept: AcceptOption = None,
    serve_only: Annotated[bool, typer.Option("--serve-only", help="Serve the last revision; read no source.")] = False,
) -> None:
    """Serve the last revision at once; then watch the sources, plan what changed, apply what no guard refuses."""
    lines = set_up_logging()
    with clean_errors():
        try:
            asyncio.run(_run(config, tuple(accept or ()), serve_only))
        finally:
            lines.flush(_FLUSH_S)


async def _run(config: Path, accept: tuple[str, ...], serve_only: bool) -> None:
    hub = Hub.open(config)
    with _alone(hub.config):
        await _run_hub(hub, accept, serve_only=serve_only)


@contextmanager
def _alone(config: Config) -> Iterator[None]:
    """Keep a second hub from the state folder: both would write the same meshes. Raises ConfigError that names the first one."""
    make_private(config.state)
    held = claim(config.state / "run-lock", f'a hub is run on state folder "{config.state}"')
    try:
        yield
    finally:
        os.close(held)


async def _run_hub(hub: Hub, accept: tuple[str, ...], *, serve_only: bool) -> None:
    telling = Telling()
    journal = Journal(Record(hub.config.state, _tell), Actor.here("run"), heard=telling.heard)
    loop = Loop(hub, accept, journal, telling)
    work = asyncio.create_task(_observed(hub, journal, loop.serve_only if serve_only else loop.run, serve_only))
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, work.cancel)
    try:
        await work
    except asyncio.CancelledError:
        pass
    finally:
        await hub.close()
        journal.close()


async def _observed(
    hub: Hub, journal: Journal, work: Callable[[], Coroutine[Any, Any, None]], serve_only: bool
) -> None:
    """Run the loop, with its metrics beside it. One that only serves waits for no source and no mesh."""
    # Other verbs need not wait until the client library is imported.
    from hub.status.http import listening, served  # noqa: PLC0415
    from hub.status.metrics import Metrics  # noqa: PLC0415

    meshes = [mesh.name for mesh in hub.meshes]
    awaited = (
        () if serve_only else (*(f"source {name}" for name in hub.intake.sources), *(f"mesh {name}" for name in meshes))
    )
    journal.listener = metrics = Metrics(journal.outcomes, meshes, awaited, names=hub.config.http.object_names)
    with listening(hub.config) as tcp:
        working = asyncio.create_task(work())
        try:
            await asyncio.sleep(0)  # what another process serves ends this one before it says anything else
            async with served(hub.config, metrics, tcp) if not working.done() else nullcontext():
                await working
        finally:
            working.cancel()


def _tell(text: str) -> None:
    _log.warning("record_unwritten", reason=text)
