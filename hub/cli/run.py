"""`smihub run`: the same path as plan and apply, in a loop, and the service that Envoys connect to."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import structlog
import typer

from hub.cli.context import ConfigOption, Exit, MeshOption
from hub.cli.plan import AcceptOption
from hub.config.file import DEFAULT_FILE, Config
from hub.errors import SmihubError
from hub.log import LogForm, set_up_logging
from hub.meshes import make_private
from hub.private import claim
from hub.reconcile.domains import Domains
from hub.reconcile.hub import Hub
from hub.reconcile.loop import Loop
from hub.status.journal import Journal
from hub.status.record import Actor, Record
from hub.status.status_log import StatusLog

if TYPE_CHECKING:
    from hub.status.metrics import Metrics

_log: structlog.stdlib.BoundLogger = structlog.get_logger("smihub.run")
_FLUSH_S = 2.0
"""So long the end waits for whoever reads the log."""
_MOST_S = 60.0
"""How long a domain that cannot be served waits at most before it is tried again."""


def run(
    config: ConfigOption = Path(DEFAULT_FILE),
    mesh: MeshOption = None,
    accept: AcceptOption = None,
    serve_only: Annotated[
        bool, typer.Option("--serve-only", help="Serve the last revision without reading the sources.")
    ] = False,
    log: Annotated[
        LogForm, typer.Option(help="Lines for people, or JSON; auto: as stderr is a terminal or not.")
    ] = LogForm.AUTO,
) -> Exit:
    """Serve the last revision at once, then watch the sources, plan changes, and apply what no guard refuses."""
    lines = set_up_logging(form=log)
    try:
        asyncio.run(_run(Domains.open(config, meshes=mesh or ()), tuple(accept or ()), serve_only))
    finally:
        lines.flush(_FLUSH_S)
    return Exit.SAME


async def _run(domains: Domains, accept: tuple[str, ...], serve_only: bool) -> None:
    work = asyncio.create_task(_served(domains.hubs, accept, serve_only=serve_only))
    received: list[signal.Signals] = []
    # Both end it the same way: Kubernetes and systemd send SIGTERM, a terminal SIGINT.
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, partial(_stop, work, number, received))
    async with domains:
        with suppress(asyncio.CancelledError):
            await work
    if received:
        _log.info("hub_stopped", signal=received[0].name, reason="what is served and written stays as it is")


def _stop(work: asyncio.Task[None], number: signal.Signals, received: list[signal.Signals]) -> None:
    received.append(number)
    work.cancel()


class _Service:
    """One domain of a running hub: its hub, made anew after a failure, and what is told and counted of it."""

    def __init__(self, hub: Hub, accept: tuple[str, ...], *, serve_only: bool) -> None:
        self.config = hub.config
        self._status_log = StatusLog()
        record = Record(hub.config.state, _log_unwritten)
        self.journal = Journal(record, Actor.here("run"), on_change=self._status_log.outcomes_changed)
        self.metrics = _metrics(hub, self.journal, serve_only)
        self._hub = hub
        self._accept = accept
        self._serve_only = serve_only

    async def serve(self) -> None:
        """Run its loop, its metrics beside it, for ever. Raises what ends it."""
        from hub.status.http import served  # noqa: PLC0415

        with ExitStack() as locks:
            _hold(self.config, locks)
            loop = Loop(self._hub, self._accept, self.journal, self._status_log)
            working = asyncio.create_task(loop.serve_only() if self._serve_only else loop.run())
            try:
                await asyncio.sleep(0)  # what another process serves ends this one before it says anything else
                async with served(self.config, self.metrics) if not working.done() else nullcontext():
                    await working
            finally:
                working.cancel()

    async def renew(self) -> None:
        """Begin anew with nothing opened."""
        await self._hub.close()
        self._hub = self._hub.unopened_copy()

    async def close(self) -> None:
        """End what was opened; the record is written to its end."""
        await self._hub.close()
        self.journal.close()


def _hold(config: Config, locks: ExitStack) -> None:
    """Keep a second hub from a state folder, for both would write the same meshes; what hinders that names the first one."""
    make_private(config.state)
    held = claim(config.state / "run-lock", f'a hub is running on state folder "{config.state}"')
    locks.callback(os.close, held)


async def _served(hubs: Sequence[Hub], accept: tuple[str, ...], *, serve_only: bool) -> None:
    """Run a loop for each domain, with their metrics beside them. Raises what ends the only one, or all at their first try."""
    # Other verbs need not wait until the client library is imported.
    from hub.status.http import listening, served_on  # noqa: PLC0415
    from hub.status.metrics import AllMetrics  # noqa: PLC0415

    domains = [_Service(hub, accept, serve_only=serve_only) for hub in hubs]
    failed = dict[str, Exception]()
    works = [asyncio.create_task(_kept_up(each, failed, len(domains))) for each in domains]
    try:
        with listening(hubs[0].config) as tcp:
            async with served_on(tcp, AllMetrics({each.config.title: each.metrics for each in domains})):
                await asyncio.gather(*works)
    finally:
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)
        for each in domains:
            await each.close()


async def _kept_up(domain: _Service, failed: dict[str, Exception], number: int) -> None:
    """Serve a domain; one of several that cannot be served is tried again, later and later.

    `failed` are the domains that are down now. Raises where there is nothing else that could be served.
    """
    title, tries = domain.config.title, 0
    if title:
        structlog.contextvars.bind_contextvars(domain=title)
    while True:
        failed.pop(title, None)
        try:
            await domain.serve()
        except Exception as error:  # noqa: BLE001 - the other domains go on
            failed[title] = error
            # With one domain, or with all of them down at their first try, the cause is most likely the configuration:
            # the process ends, and whoever started it sees why, instead of a hub that runs and serves nothing.
            if not title or (tries == 0 and len(failed) == number):
                raise min(failed.items(), key=lambda pair: pair[0])[1] from None
            retry_s = min(2.0**tries, _MOST_S)
            trace = None if isinstance(error, SmihubError) else error
            _log.error("domain_failed", reason=str(error), retry_s=retry_s, exc_info=trace)
            tries += 1
            await domain.renew()
            await asyncio.sleep(retry_s)
        else:
            return


def _metrics(hub: Hub, journal: Journal, serve_only: bool) -> Metrics:
    """What counts what a domain's journal tells. One that only serves waits for no source and no mesh."""
    from hub.status.metrics import Metrics  # noqa: PLC0415

    meshes = [mesh.name for mesh in hub.meshes]
    awaited = (
        () if serve_only else (*(f"source {name}" for name in hub.intake.sources), *(f"mesh {name}" for name in meshes))
    )
    journal.listener = metrics = Metrics(journal.outcomes, meshes, awaited, names=hub.config.http.object_names)
    return metrics


def _log_unwritten(text: str) -> None:
    _log.warning("record_unwritten", reason=text)
