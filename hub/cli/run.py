"""`smihub run`: the same path as plan and apply, in a loop, and the service that Envoys connect to."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import structlog
import typer

from hub.cli.context import ConfigOption, MeshOption, clean_errors
from hub.cli.plan import AcceptOption
from hub.config.file import DEFAULT_FILE, Config
from hub.errors import SmihubError
from hub.log import set_up_logging
from hub.meshes import make_private
from hub.private import claim
from hub.reconcile.domains import Domains
from hub.reconcile.hub import Hub
from hub.reconcile.loop import Loop
from hub.status.journal import Journal
from hub.status.record import Actor, Record
from hub.status.telling import Telling

if TYPE_CHECKING:
    from hub.status.metrics import Metrics

Work = Callable[[], Coroutine[Any, Any, None]]
_log: structlog.stdlib.BoundLogger = structlog.get_logger("smihub.run")
_FLUSH_S = 2.0
"""So long the end waits for whoever reads the log."""


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(epilog="Examples: [bold]smihub run[/bold], [bold]smihub run --serve-only[/bold]")(run)


def run(
    config: ConfigOption = Path(DEFAULT_FILE),
    mesh: MeshOption = None,
    accept: AcceptOption = None,
    serve_only: Annotated[
        bool, typer.Option("--serve-only", help="Serve the last revision without reading the sources.")
    ] = False,
) -> None:
    """Serve the last revision at once, then watch the sources, plan changes, and apply what no guard refuses."""
    lines = set_up_logging()
    with clean_errors():
        try:
            asyncio.run(_run(Domains.open(config, meshes=mesh or ()), tuple(accept or ()), serve_only))
        finally:
            lines.flush(_FLUSH_S)


async def _run(domains: Domains, accept: tuple[str, ...], serve_only: bool) -> None:
    with ExitStack() as locks:
        hindered = {hub: error for hub in domains.hubs if (error := _hold(hub.config, locks)) is not None}
        work = asyncio.create_task(_served(domains.hubs, hindered, accept, serve_only=serve_only))
        for name in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(name, work.cancel)
        try:
            await work
        except asyncio.CancelledError:
            pass
        finally:
            await domains.close()


def _hold(config: Config, locks: ExitStack) -> Exception | None:
    """Keep a second hub from a state folder, for both would write the same meshes; what hinders that names the first one."""
    try:
        make_private(config.state)
        held = claim(config.state / "run-lock", f'a hub is running on state folder "{config.state}"')
    except SmihubError as error:
        return _ended(config, error)
    locks.callback(os.close, held)
    return None


def _ended(config: Config, error: Exception) -> Exception:
    """What ends one of several domains is logged, and the others go on. What ends a file's only one is raised."""
    if not config.title:
        raise error
    trace = None if isinstance(error, SmihubError) else error
    _log.error("domain_ended", domain=config.title, reason=str(error), exc_info=trace)
    return error


async def _served(
    hubs: Sequence[Hub], hindered: Mapping[Hub, Exception], accept: tuple[str, ...], *, serve_only: bool
) -> None:
    """Run a loop for each domain, with their metrics beside them. Raises what ended the first one, when all have."""
    # Other verbs need not wait until the client library is imported.
    from hub.status.http import listening, served_on  # noqa: PLC0415
    from hub.status.metrics import AllMetrics  # noqa: PLC0415

    told = {hub: Telling() for hub in hubs}
    journals = {hub: Journal(Record(hub.config.state, _tell), Actor.here("run"), heard=told[hub].heard) for hub in hubs}
    metrics = {hub: _metrics(hub, journals[hub], serve_only) for hub in hubs}
    loops = {hub: Loop(hub, accept, journals[hub], told[hub]) for hub in hubs if hub not in hindered}
    try:
        with listening(hubs[0].config) as tcp:
            async with served_on(tcp, AllMetrics({hub.config.title: metrics[hub] for hub in hubs})):
                works = (
                    _domain(hub, metrics[hub], loop.serve_only if serve_only else loop.run)
                    for hub, loop in loops.items()
                )
                ended = await asyncio.gather(*works)
    finally:
        for journal in journals.values():
            journal.close()
    for error in (*hindered.values(), *ended):
        if error is not None:
            raise error


def _metrics(hub: Hub, journal: Journal, serve_only: bool) -> Metrics:
    """What counts what a domain's journal tells. One that only serves waits for no source and no mesh."""
    from hub.status.metrics import Metrics  # noqa: PLC0415

    meshes = [mesh.name for mesh in hub.meshes]
    awaited = (
        () if serve_only else (*(f"source {name}" for name in hub.intake.sources), *(f"mesh {name}" for name in meshes))
    )
    journal.listener = metrics = Metrics(journal.outcomes, meshes, awaited, names=hub.config.http.object_names)
    return metrics


async def _domain(hub: Hub, metrics: Metrics, work: Work) -> Exception | None:
    """Run a domain's loop, its metrics beside it; gives what ended it."""
    from hub.status.http import served  # noqa: PLC0415

    if hub.config.title:
        structlog.contextvars.bind_contextvars(domain=hub.config.title)
    working = asyncio.create_task(work())
    try:
        await asyncio.sleep(0)  # what another process serves ends this one before it says anything else
        async with served(hub.config, metrics) if not working.done() else nullcontext():
            await working
    except Exception as error:  # noqa: BLE001 - the other domains go on
        return _ended(hub.config, error)
    finally:
        working.cancel()
    return None


def _tell(text: str) -> None:
    _log.warning("record_unwritten", reason=text)
