"""The running hub: serve the last revision, then follow the sources, one batch of events at a time.

A batch dirties units; only these are planned and applied. What a guard refuses stays dirty and is planned again; a
Loss, or a file that cannot be read, holds up what a unit would gain and nothing else, so that no revocation waits for it.
Decoding and planning, which may take long, go on beside the event loop, so that Envoys are served meanwhile.
Nothing here ends the loop but being cancelled: a source that fails, a write that is refused and a race that is lost are
logged, and what is served stays.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial

import structlog

from hub.aside import aside
from hub.errors import SmihubError, StaleError
from hub.events import Event, Synced, Unread
from hub.journal import Journal
from hub.meshes import Mesh
from hub.model import ObjectRef, Severity, UnitKey
from hub.permits import line_of
from hub.reconcile import Hub, Reviewed

_log: structlog.stdlib.BoundLogger = structlog.get_logger("smihub.run")
_RETRY_S = 5.0
_AGAIN_S = 0.1
_TOLD = 20
"""Most lines of one kind in the log: a plan may have a hundred thousand, and nobody is served while they are written."""
Batch = tuple[str, tuple[Event, ...]]


class Loop:
    """Runs one hub; `accept` are guard and Loss codes accepted besides those of the configuration."""

    def __init__(self, hub: Hub, accept: Sequence[str] = (), journal: Journal | None = None) -> None:
        self._hub = hub
        self._journal = journal or Journal()
        self._accept = tuple(accept)
        self._pending: dict[str, set[UnitKey] | None] = dict.fromkeys(mesh.name for mesh in hub.meshes)
        self._synced: set[str] = set()
        self._told: dict[str, tuple[str, ...]] = {}
        self._frozen = False
        self._broken: frozenset[ObjectRef] = frozenset()
        self._overtaken = False

    async def serve_only(self) -> None:
        """Serve the last revision of every mesh, for ever."""
        await self._start()
        await asyncio.Event().wait()

    async def run(self) -> None:
        """Serve, watch, plan and apply, for ever."""
        await self._start()
        batches: asyncio.Queue[Batch] = asyncio.Queue()
        async with asyncio.TaskGroup() as group:
            for name in self._hub.intake.sources:
                group.create_task(self._watch(name, batches))
            group.create_task(self._follow(batches))

    async def _start(self) -> None:
        for live in (mesh.live for mesh in self._hub.meshes):
            if live is not None:
                await live.start()

    async def _watch(self, name: str, batches: asyncio.Queue[Batch]) -> None:
        async for batch in self._hub.intake.sources[name].watch():
            batches.put_nowait((name, batch))

    async def _follow(self, batches: asyncio.Queue[Batch]) -> None:
        while True:
            news: list[Batch] = []
            with suppress(TimeoutError):
                news.append(await self._next(batches))
            with self._journal.turning():
                await self._turn(news, batches)

    async def _turn(self, news: list[Batch], batches: asyncio.Queue[Batch]) -> None:
        for batch in news:
            await self._take(*batch)
        while not batches.empty():
            await self._take(*batches.get_nowait())
        if self._synced == self._hub.intake.sources.keys():
            await self._settle()
            self._freeze()

    async def _next(self, batches: asyncio.Queue[Batch]) -> Batch:
        """Wait for the next batch, or (TimeoutError) until something has to be tried again."""
        async with asyncio.timeout(self._wait_s()):
            return await batches.get()

    def _freeze(self) -> None:
        """Take what the first reading left out of all later garbage collections, once.

        It stays for as long as the hub runs. Looking through 100 000 objects takes 0.2 s, in which nobody is served.
        """
        if not self._frozen:
            self._frozen = True
            gc.freeze()

    def _wait_s(self) -> float | None:
        """How long to wait for news before something is tried again; None if nothing has to be."""
        if self._overtaken:
            self._overtaken = False
            return _AGAIN_S
        return _RETRY_S if self._owing() else None

    def _owing(self) -> bool:
        """Whether something that was decided is not written yet."""
        return self._synced == self._hub.intake.sources.keys() and any(
            keys is None or keys for keys in self._pending.values()
        )

    async def _take(self, source: str, events: tuple[Event, ...]) -> None:
        await aside(partial(self._hub.intake.take, source, events))
        if any(isinstance(event, Synced) for event in events):
            self._synced.add(source)
            self._journal.synced(source)
        for event in events:
            if isinstance(event, Unread):
                problem = event.problem
                _log.error(
                    "source_unread", source=source, part=event.part, reason=problem.message, remedy=problem.remedy
                )

    async def _settle(self) -> None:
        """Bring every mesh to what the sources say now; one that fails does not hold up the others."""
        await self._hub.recall(self._accept)
        self._tell_broken()
        dirty = self._hub.dirty()
        await self._endpoints(self._hub.withdraw)
        for mesh in self._hub.meshes:
            pending = self._pending[mesh.name]
            if pending is not None:
                pending |= dirty[mesh.name]
            try:
                await self._timed(mesh, pending)
            except StaleError as error:
                _log.warning("plan_stale", mesh=mesh.name, reason=str(error))
                self._journal.problem(mesh.name, pending or (), "stale", str(error))
                self._pending[mesh.name] = None
                self._overtaken = True
            except SmihubError as error:
                _log.error("apply_failed", mesh=mesh.name, reason=str(error))
                self._journal.problem(mesh.name, pending or (), "failed", str(error))
        await self._endpoints(self._hub.publish)

    async def _endpoints(self, hand_over: Callable[[], Awaitable[None]]) -> None:
        try:
            await hand_over()
        except SmihubError as error:
            _log.error("publish_failed", reason=str(error))

    async def _timed(self, mesh: Mesh, keys: set[UnitKey] | None) -> None:
        if keys is None or keys:
            with self._journal.reconciling(mesh.name, len(self._hub.units() if keys is None else keys)):
                await self._reconcile(mesh, keys)
            self._journal.left(mesh.name, len(self._pending[mesh.name] or ()))

    async def _reconcile(self, mesh: Mesh, keys: set[UnitKey] | None) -> None:
        reviewed = await self._hub.plan(mesh, self._accept, keys)
        self._tell_refused(reviewed)
        if reviewed.whole:
            mesh.mirror = None  # somebody may accept it by `smihub apply`: look again before the next try
            self._journal.refused(reviewed)
            return
        stopped = await self._apply(reviewed)
        self._pending[mesh.name] = {*reviewed.plan.frozen, *reviewed.plan.held, *reviewed.refused, *stopped}

    async def _apply(self, reviewed: Reviewed) -> frozenset[UnitKey]:
        """Write a plan; the units that were not written to their end."""
        self._journal.planned(reviewed)
        results = await self._hub.apply(reviewed.mesh, reviewed.plan, (*self._accept, *reviewed.lifted))
        self._journal.wrote(reviewed, results)
        stopped = {key: result for key, result in results.items() if result.state != "written"}
        self._overtaken |= any(result.state == "stale" for result in stopped.values())
        for key, result in sorted(stopped.items()):
            _log.error(
                "unit_not_written", mesh=reviewed.mesh.name, unit=str(key), state=result.state, reason=result.detail
            )
        if reviewed.plan.changes:
            self._tell(reviewed)
        return frozenset(stopped)

    def _tell_broken(self) -> None:
        """Say which objects cannot be read, once each, and once when they can be again."""
        broken = self._hub.intake.broken
        fresh = broken - self._broken
        for problem in (each for each in (self._hub.intake.problems() if fresh else ()) if each.ref in fresh):
            if problem.severity is Severity.ERROR:
                place = f"{problem.origin.source}/{problem.origin.file}:{problem.origin.line}"
                what = {"object": str(problem.ref), "field": problem.field, "reason": problem.message}
                _log.error("object_broken", place=place, remedy=problem.remedy, **what)
        for ref in sorted(self._broken - broken):
            _log.info("object_readable", object=str(ref))
        self._broken = broken

    def _tell_refused(self, reviewed: Reviewed) -> None:
        """Say why something is not written; once, as long as the reasons stay the same."""
        reasons = tuple(f"{refusal.message} ({refusal.code})" for refusal in reviewed.refusals)
        if reasons and self._told.get(reviewed.mesh.name) != reasons:
            _log.error("plan_refused", mesh=reviewed.mesh.name, reasons=reasons, remedy="smihub plan, smihub apply")
        self._told[reviewed.mesh.name] = reasons

    def _tell(self, reviewed: Reviewed) -> None:
        plan = reviewed.plan
        _log.info(
            "plan_applied",
            mesh=reviewed.mesh.name,
            changes=len(plan.changes),
            allowed=[line_of(permit) for permit in plan.gained[:_TOLD]],
            denied=[*plan.lost_lines, *(line_of(permit) for permit in plan.lost[:_TOLD])][:_TOLD],
            rerouted=[after for _, after in plan.rerouted[:20]],
            frozen=len(plan.frozen) + len(plan.held),
        )
