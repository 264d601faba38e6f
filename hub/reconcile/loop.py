"""The running hub: serve the last revision, then follow the sources.

A batch of events dirties units; each mesh plans and applies its own in a task of its own (hub.reconcile.worker), and endpoints go their own
way beside it. Decoding and planning, which may take long, go on beside the event loop, so that Envoys are served meanwhile.
Nothing here ends the loop but being cancelled: a source that fails, a write that is refused, a race that is lost and a bug
are logged, and what is served stays.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import structlog

from hub.contained import contained, in_task, is_ending
from hub.errors import RefusedError, SmihubError, SourceError
from hub.events import Event, Synced, Unread, lost
from hub.model import ObjectRef, Origin, Problem
from hub.reconcile.hub import Hub
from hub.reconcile.worker import Worker
from hub.status.journal import Journal
from hub.status.status_log import StatusLog
from hub.threads import run_in_thread

_log: structlog.stdlib.BoundLogger = structlog.get_logger("smihub.run")
_RESTART_S = 5.0
_START_S = 10.0
"""How long the others wait until a mesh is served."""
_FIRST_READING_S = 60.0
"""How long they wait for a source that was not read yet; what takes longer counts as it was applied last until then."""
_FEW = 2
"""So few files are ingested without a thread: that takes less than parsing them took, and less than two threads take to wake each other."""
_PUBLISH_S = 1.0
"""How long new endpoints wait for the configuration that goes with them."""
_LOG_S = 0.05
"""How long the log of what is wrong with the sources waits: proxies get theirs first, and acknowledge it meanwhile."""
Batch = tuple[str, tuple[Event, ...]]
Work = Callable[[], Awaitable[None]]


class Loop:
    """Runs one hub; `accept` are guard and Loss codes accepted besides those of the configuration."""

    def __init__(
        self, hub: Hub, accept: Sequence[str] = (), journal: Journal | None = None, status_log: StatusLog | None = None
    ) -> None:
        self._hub = hub
        self._journal = journal or Journal()
        self._accept = tuple(accept)
        self.workers = [Worker(hub, mesh, self._journal, accept, self._enqueue_recalled) for mesh in hub.meshes]
        self._synced: set[str] = set()
        self._unreachable: set[str] = set()
        self._batches: asyncio.Queue[Batch] = asyncio.Queue()
        self._endpoints_changed = asyncio.Event()
        self._log_due = asyncio.Event()
        self._late = dict[asyncio.Future[None], str]()  # meshes that do not serve yet, though they should
        self._status_log = status_log or StatusLog()
        self._frozen = False
        self._logged_unread: frozenset[tuple[str, str]] | None = None
        """What could not be read when the log last told of the sources; None: it has not yet."""

    async def serve_only(self) -> None:
        """Serve the last revision of every mesh, for ever."""
        await self._start()
        self._log_started("serving the last revision")
        await self._serve_late()
        await asyncio.Event().wait()

    async def run(self) -> None:
        """Serve, watch, plan and apply, for ever."""
        await self._start()
        self._log_started(f"watching {', '.join(self._hub.intake.sources)}")
        for worker in self.workers:
            self._journal.heartbeat(worker.mesh.name)
        works: list[Work] = [partial(self._watch, name) for name in self._hub.intake.sources]
        works += [self._serve_late, self._stop_waiting, self._follow, self._publish, self._log]
        works += [work for worker in self.workers for work in (worker.run, worker.watch, worker.recheck)]
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(_supervised(work))

    async def _start(self) -> None:
        """Have every mesh that is served be served. Raises ConfigError: what is wrong at the start is for people to see.

        A mesh of another owner is left out. Raises RefusedError where there is no other one.
        """
        refused = dict[str, RefusedError]()
        for mesh in self._hub.meshes:
            if mesh.live is None:
                continue
            start = asyncio.ensure_future(in_task(mesh.live.start))
            try:
                async with asyncio.timeout(_START_S):
                    await asyncio.shield(start)
            except RefusedError as error:
                refused[mesh.name] = error
            except TimeoutError:  # the others do not wait for it
                self._late[start] = mesh.name
                _log.warning("start_hangs", mesh=mesh.name, reason=f"it does not serve after {_START_S:g} s")
        if len(refused) == len(self._hub.meshes):
            raise next(iter(refused.values()))
        for name, why in refused.items():
            self._journal.problem(name, (), "refused", str(why))

    async def _serve_late(self) -> None:
        """Wait for the meshes that do not serve yet."""
        for start, mesh in self._late.items():
            try:
                await start
            except Exception as error:  # noqa: BLE001 - the others go on
                _log.error("start_failed", mesh=mesh, reason=str(error))

    # ----------------------------------------------------------------------- sources

    async def _watch(self, name: str) -> None:
        """Follow a source; one that fails cannot be read until it is watched anew."""
        try:
            with contained():
                async for batch in self._hub.intake.sources[name].watch():
                    self._batches.put_nowait((name, batch))
        except Exception as error:
            self._tell_lost(name, f"cannot be watched: {type(error).__name__}: {error}")
            raise

    def _tell_lost(self, name: str, why: str) -> None:
        self._batches.put_nowait((name, (lost(name, SourceError(f'source "{name}" {why}')),)))

    async def _stop_waiting(self) -> None:
        """A source that says nothing cannot be read: the others must not wait for it for ever."""
        await asyncio.sleep(_FIRST_READING_S)
        for name in self._hub.intake.sources.keys() - self._synced - self._unreachable:
            self._tell_lost(name, f"has not been read within {_FIRST_READING_S:g} s")

    async def _follow(self) -> None:
        while True:
            batch = await self._batches.get()
            with self._journal.turning():
                await self.ingest(*batch)
                # What came meanwhile is planned together: a checkout of a hundred files is one plan.
                while not self._batches.empty():
                    await self.ingest(*self._batches.get_nowait())
                # Until every source has been read once, or cannot be, an object that is missing means nothing: planning
                # now would revoke what was not read yet.
                if self._synced and self._synced | self._unreachable == self._hub.intake.sources.keys():
                    await self._dispatch_or_requeue(batch[0])
                    self._endpoints_changed.set()
                    self._freeze()

    async def _dispatch_or_requeue(self, source: str) -> None:
        try:
            await self.dispatch()
        except Exception:
            self._batches.put_nowait((source, ()))  # what was taken is owed still, though nobody says anything more
            raise

    async def ingest(self, source: str, events: tuple[Event, ...]) -> None:
        """Take what a source says; a part on which that raises cannot be read."""
        async with self._hub.deciding:
            if len(events) <= _FEW:
                self._ingest_each(source, events)
            else:
                await run_in_thread(partial(self._ingest_each, source, events))
        if any(isinstance(event, Unread) and not event.part for event in events):
            self._unreachable.add(source)  # what it held counts as it was applied last; the others do not wait for it
        if any(isinstance(event, Synced) for event in events):
            self._synced.add(source)
            self._journal.synced(source)
        self._status_log.unread(self._hub.intake.unread_problems)

    def _ingest_each(self, source: str, events: tuple[Event, ...]) -> None:
        for event in events:
            try:
                with contained():
                    self._hub.intake.ingest(source, (event,))
            except Exception as error:  # noqa: BLE001 - one object that nobody thought of must not stop the others
                part = "" if isinstance(event, Synced) else event.part
                _log.error("source_raised", source=source, part=part, exc_info=error)
                remedy = "report this, with the trace in the log; no new access is granted meanwhile"
                problem = Problem(
                    "bug.source",
                    ObjectRef("", "", "", ""),
                    "",
                    f"an internal error of smihub: {error}",
                    remedy,
                    Origin(source, part),
                )
                self._hub.intake.ingest(source, (Unread(part, problem),))

    async def dispatch(self) -> None:
        """Tell every mesh what it has to plan, after endpoints that are gone were taken out of service."""
        async with self._hub.deciding:
            await self._hub.recall(self._accept, apart=True)
            dirty = self._hub.dirty()
            for worker in self.workers:
                worker.add(dirty[worker.mesh.name])
            await self._endpoints(self._hub.withdraw)
        self._log_due.set()

    async def _enqueue_recalled(self) -> None:
        """What a mesh remembers was recalled when it was planned, and may concern others."""
        if self._logged_unread != self._hub.intake.unread:
            self._log_due.set()
        if not self._hub.has_changes:
            return  # nothing was: what this mesh has to write must not wait until another one is planned
        async with self._hub.deciding:
            dirty = self._hub.dirty()
        for worker in self.workers:
            if dirty[worker.mesh.name]:
                worker.add(dirty[worker.mesh.name])

    def _freeze(self) -> None:
        """Take what the first reading left out of all later garbage collections, once.

        It stays for as long as the hub runs. Looking through 100 000 objects takes 0.2 s, in which nobody is served.
        """
        if not self._frozen:
            self._frozen = True
            gc.freeze()

    # ----------------------------------------------------------------------- endpoints

    async def _publish(self) -> None:
        """Publish endpoints after what goes with them was written, but never wait long for a mesh."""
        while True:
            await self._endpoints_changed.wait()
            self._endpoints_changed.clear()
            waits = [asyncio.ensure_future(worker.idle.wait()) for worker in self.workers if worker.mesh.live]
            if waits:
                _, late = await asyncio.wait(waits, timeout=_PUBLISH_S)
                for each in late:
                    each.cancel()
            await self.publish()

    async def publish(self) -> None:
        """Publish endpoints now."""
        async with self._hub.deciding:
            await self._endpoints(self._hub.publish)

    async def _endpoints(self, update: Work) -> None:
        try:
            with contained():
                await update()
        except Exception as error:  # noqa: BLE001 - what was revoked does not wait for it
            _log.error("publish_failed", reason=str(error), exc_info=None if isinstance(error, SmihubError) else error)

    # ----------------------------------------------------------------------- the log

    def _log_started(self, doing: str) -> None:
        _log.info("hub_started", doing=f"{doing}; Ctrl-C ends", meshes=[worker.mesh.name for worker in self.workers])

    async def _log(self) -> None:
        """Log what is wrong with the sources, a little after each change."""
        while True:
            await self._log_due.wait()
            await asyncio.sleep(_LOG_S)
            self._log_due.clear()
            try:
                await self.log_sources()
            except Exception:
                self._log_due.set()  # it is owed still
                raise

    async def log_sources(self) -> None:
        """Tell first what cannot be read, and then what follows from it; nothing, while it may still turn out to be ours."""
        async with self._hub.deciding:
            if self._logged_unread is None and self._hub.may_be_ours:
                return
            self._logged_unread = self._hub.intake.unread
            self._status_log.unread(self._hub.intake.unread_problems)
            await run_in_thread(
                lambda: self._status_log.problems(*self._hub.intake.changes(), self._hub.intake.located)
            )


async def _supervised(work: Work) -> None:
    """Do it for ever: what ends by an error that nobody expected is begun anew; each such error is logged once in a row."""
    logged = ""
    while True:
        try:
            await work()
        except BaseException as error:  # the others go on, whatever a plugin raised
            if is_ending():
                raise
            if logged != (logged := f"{type(error).__name__}: {error}"):
                task = getattr(work, "func", work)  # of a partial
                _log.error("task_raised", task=getattr(task, "__qualname__", str(task)), exc_info=error)
            await asyncio.sleep(_RESTART_S)
        else:
            return
