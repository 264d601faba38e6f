"""One mesh of a running hub, kept as the sources say: its own task, which no other mesh can hold up.

Units that became dirty are coalesced, planned and written; what could not be written is tried again, later and later. A plan
that is refused as a whole, and units of which something waits, are planned again when the sources say something new or the
mesh is changed by somebody else, who may have accepted what refused them. What somebody else changed of ours is put back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from time import monotonic
from weakref import WeakSet

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential_jitter, wait_random

from hub.api import Transactional, Watching
from hub.baselines import baselines_of
from hub.contained import contained
from hub.errors import SmihubError, StaleError, TransientError
from hub.meshes import Mesh
from hub.mirror import Mirror
from hub.model import ObjectRef, UnitKey
from hub.plan.plan import Plan
from hub.reconcile.drift_backoff import DriftBackoff
from hub.reconcile.hub import Hub, Reviewed
from hub.reconcile.in_flight import InFlight
from hub.reconcile.news import News
from hub.reconcile.partition import dependencies, gaining_in, partition, units_of
from hub.reconcile.patience import UNANSWERED, UNANSWERED_S, Patience
from hub.reconcile.rollout import result_of
from hub.reconcile.worker_log import BugLog, log_plan
from hub.status.journal import Journal
from hub.status.outcomes import Result

_log: structlog.stdlib.BoundLogger = structlog.get_logger("smihub.run")
_STALE_RETRY_S = 0.1
_MAX_BACKOFF_S, _MAX_BACKOFF_REVOKING_S = 60.0, 5.0
"""The longest wait before another try: the second while a revocation is not written yet."""
_BACKOFF = wait_exponential_jitter(initial=1, max=_MAX_BACKOFF_S, jitter=1)
_STALE_JITTER = wait_random(0.5, 1)
"""Shares of a wait: two hubs that write one mesh must not meet again and again."""
_APPROVAL_POLL_S = 2.0
_HEARTBEAT_S = 30.0
"""How often a worker that waits for work reports that it is alive (hub.status.metrics.HUNG_S)."""


class _UnwrittenError(TransientError):
    """Some units are not fully written; the mesh as a whole works."""


class Worker:
    """Plans and writes one mesh; `add` says what may have changed, `run` never ends by itself.

    `accept` are codes accepted besides those of the configuration; `planned` is called after each plan.
    """

    def __init__(
        self, hub: Hub, mesh: Mesh, journal: Journal, accept: Sequence[str], planned: Callable[[], Awaitable[None]]
    ) -> None:
        self.mesh = mesh
        self._planned = planned
        self.idle = asyncio.Event()  # set while nothing new is known that was not tried
        self._hub = hub
        self._journal = journal
        self._accept = tuple(accept)
        self._pending: set[UnitKey] | None = None  # None: every unit
        self._waiting: frozenset[UnitKey] = frozenset()  # planned, and something of them waits
        self._settled: frozenset[UnitKey] = frozenset()  # of these, those for which no other object can matter
        self._to_retry: set[UnitKey] = set()  # not written to their end; planned again when it is time
        self._retry_at = 0.0
        self._retry_grew = False  # something was added to them since the last try
        self._min_pause_s = 1.0
        self._stale_wait_s = _STALE_RETRY_S
        self._losing = frozenset[UnitKey]()  # somebody is to lose access there, which is not written yet
        self._refused = False
        self._mesh_changed = False  # somebody else may have changed the mesh since it was read
        self._told = (
            False  # what the sources hold: before, whatever stands in the mesh would look as if nobody wanted it
        )
        self._wake = asyncio.Event()
        self._news = WeakSet[News]()  # one for each plan that is being written
        self._in_flight = InFlight(self._wake, self._on_finished)
        self._drift_backoff = DriftBackoff(mesh.name)
        self._patience = Patience(mesh, journal)
        self._adapter_bugs, self._sink_bugs = BugLog(mesh.name, "adapter_raised"), BugLog(mesh.name, "mesh_raised")
        self._last_error = ""

    def add(self, keys: Collection[UnitKey]) -> None:
        """These units may be other than they were; those of which something waits are planned with them."""
        self._told = True
        for news in self._news:
            news.tell(keys)
        if self._pending is not None:
            # What waits may have waited for any of these, such as a file that can be read again.
            self._pending |= {*keys, *(self._waiting - self._settled)}
        if self._pending is None or self._pending:
            self.idle.clear()
            self._wake.set()

    async def run(self) -> None:
        """Plan and write until cancelled."""
        try:
            await self._run()
        finally:
            await self.close()

    async def _run(self) -> None:
        while True:
            await self._wait_for_work()
            retrying = AsyncRetrying(
                retry=retry_if_exception_type(Exception),
                wait=self._wait_s,
                sleep=self._sleep,
                before_sleep=self._on_failure,
            )
            async for attempt in retrying:
                with attempt, contained():
                    await self.once()
            self._last_error, self._stale_wait_s = "", _STALE_RETRY_S
            if not self._wake.is_set():
                self.idle.set()

    async def _wait_for_work(self) -> None:
        """Wait until there is work, or somebody approves the plan that is refused."""
        while not self._wake.is_set():
            self._journal.heartbeat(self.mesh.name)
            with suppress(TimeoutError):
                # Not asyncio.wait_for: in Python 3.11 it swallows a cancellation that comes together with the news.
                async with asyncio.timeout(self._max_wait_s()):
                    await self._wake.wait()
            if self._drift_backoff.next_s() == 0:
                self._wake.set()
            if self._refused and self._hub.window.approved(self.mesh.name, self._hub.clock()):
                self.add(())
            if self.mesh.calls.pop_ended():
                self.add(())

    def _max_wait_s(self) -> float:
        """How long to wait for work at most."""
        polls = self._refused or self.mesh.calls.hung
        usual, fight = _APPROVAL_POLL_S if polls else _HEARTBEAT_S, self._drift_backoff.next_s()
        return usual if fight is None else min(usual, fight)

    async def watch(self) -> None:
        """Refresh when somebody else changed the mesh, until cancelled."""
        if not isinstance(self.mesh.sink, Watching):
            return
        async for token in self.mesh.sink.changes():
            known = self.mesh.mirror
            # Our own writes change the token, too, and are no reason to read the mesh again.
            if not token or known is None or known.token != token:
                self.refresh()
            await asyncio.sleep(0)  # a sink that never pauses must not keep everybody else from their turn

    async def recheck(self) -> None:
        """Refresh every `recheck_s` too: not every sink reports all that others change. A revision has a token that shows it."""
        every_s = self._hub.config.recheck_s
        while every_s and not isinstance(self.mesh.sink, Transactional):
            await asyncio.sleep(every_s)
            self.refresh()

    def refresh(self) -> None:
        """Read the mesh again; plan what differs from what was written, and the units of which something waits."""
        self.mesh.invalidate_mirror()
        self._mesh_changed = True
        if self._told:
            self._wake.set()

    # ----------------------------------------------------------------------- one try

    async def once(self) -> None:
        """Plan and write what is pending, except units that are being written still.

        Ends when all is written, or there is new work. Raises what prevents it; then all of that stays pending.
        """
        self._journal.heartbeat(self.mesh.name)
        with self._patience.reading():
            keys = await self._next_batch()
        if keys is None or keys or self._last_error or self._patience.told:
            try:
                with self._journal.reconciling(self.mesh.name, len(self._hub.units() if keys is None else keys)):
                    await self._reconcile(keys)
                self._patience.told = False
            except BaseException as error:
                # A stale mesh was changed by others, nobody knows where: every unit is planned again.
                whole = keys is None or self._pending is None or isinstance(error, StaleError)
                self._pending = None if whole else (keys or set()) | (self._pending or set())
                self._journal.left(self.mesh.name, len(self._pending or ()))
                if not isinstance(error, Exception):
                    self._wake.set()  # the task ends by it, and what is begun in its place has this to do
                raise
        await self._in_flight.wait()
        self._collect(self._in_flight.ended())
        if self.mesh.drifted:  # found when the mesh was read for something else
            self.idle.clear()
            self._wake.set()
        self._journal.left(self.mesh.name, len(self._waiting | self._to_retry))
        if self._to_retry:
            raise _UnwrittenError(f"{len(self._to_retry)} units are not fully written")

    async def _next_batch(self) -> set[UnitKey] | None:
        """What is to be planned now; what failed is not before its time, for news of others come often."""
        woken = self._wake.is_set()
        self._wake.clear()
        await self._read_if_changed()
        if self._pending is not None and (not woken or monotonic() >= self._retry_at):
            self._pending |= self._to_retry
            self._to_retry = set()
        if self._pending and self._refused:  # alone they would pass, and look as if nothing were refused any more
            self._pending |= self._waiting
        keys, busy = self._pending, self._in_flight.units
        if keys is None and busy:
            keys = await self._all_units()
        if keys is None:
            self._pending, self._to_retry = set(), set()
            return None
        keys |= baselines_of(self.mesh.spec, keys)
        # A unit in flight is planned again once that write has ended: two writes of one unit could overtake each other.
        self._pending = {*(keys & busy)}
        return keys - busy

    async def _read_if_changed(self) -> None:
        """Have what somebody else changed be planned, and what waits, for that may wait no longer."""
        unseen, self._mesh_changed = self._mesh_changed, False  # what changes from here on is looked at again
        if unseen and self._pending is not None:
            try:
                await self.mesh.observed()
            except BaseException:
                self._mesh_changed = True  # it was not read, so the change is still to be found
                raise
            self._pending |= self._waiting
        now = self._drift_backoff.on_drift(self.mesh.drifted)
        if later := self.mesh.drifted - now:
            shown = later | (self._waiting if self._refused else frozenset())  # alone they would pass
            self._journal.planned(await self._hub.plan(self.mesh, self._accept, shown, apart=True))  # for status
        if self._pending is not None:
            self._pending |= now | self._drift_backoff.due()
        self.mesh.drifted.clear()

    async def _all_units(self) -> set[UnitKey]:
        """Every unit of the sources and of the mesh: what only stands there is to be revoked."""
        mirror = await self.mesh.observed()
        return {*self._hub.cluster(self.mesh).store.units(), *mirror.units}

    async def _reconcile(self, keys: set[UnitKey] | None) -> None:
        """Plan and write these units."""
        self._news.add(news := News())  # before it is planned: nothing is missed
        with self._patience.reading():
            reviewed = await self._hub.plan(self.mesh, self._accept, keys, apart=True)
        self._journal.heartbeat(self.mesh.name)
        await self._planned()
        self._log_faults(reviewed)
        plan = reviewed.plan
        self._drift_backoff.forget_restored(keys, {change.unit for change in plan.changes})
        self._losing = (frozenset() if keys is None else self._losing - keys) | {*plan.losing}
        self._refused = bool(reviewed.whole)
        if reviewed.whole:
            self._journal.refused(reviewed)
            self._waiting |= await self._all_units() if keys is None else keys
            self._settled = frozenset()
            return
        self._journal.planned(reviewed)
        waits = {*plan.frozen, *plan.held, *reviewed.refused, *reviewed.decided.paused}
        outside = frozenset() if keys is None else self._waiting - keys
        self._waiting = outside | waits
        self._settled &= outside
        if not self._hub.intake.doubtful:  # else what is unread may hold up the same units
            self._settled |= _refused_for_losses(reviewed)
        results = await self._write(reviewed, news)
        self._journal.wrote(reviewed, results)
        log_plan(reviewed, results)
        self._schedule_retry(results)
        self._losing &= self._to_retry | self._in_flight.units | (self._pending or set())

    async def _write(self, reviewed: Reviewed, news: News) -> dict[UnitKey, Result]:
        """Write a plan, each part of it by itself where the mesh can be written so; what became of its units so far."""
        sink, plan, accept = self.mesh.sink, reviewed.plan, (*self._accept, *reviewed.lifted)
        parts = () if isinstance(sink, Transactional) or not sink.apart else partition(plan, await self.mesh.observed())
        if not parts:
            with self._patience.writing({change.unit for change in plan.changes}):
                return await self._hub.apply(self.mesh, plan, accept, news)
        self._collect(self._in_flight.ended())
        later = self._behind_in_flight(parts)
        for part in parts:
            if not units_of(part) & later:
                self._in_flight.start(part, self._write_part(part, accept, news))
        self._pending = (self._pending or set()) | later
        await self._in_flight.wait(UNANSWERED_S)
        waiting = Result("waiting", UNANSWERED)
        units = {key for part in parts for key in units_of(part)}
        return dict.fromkeys(units & self._in_flight.units | later, waiting) | self._in_flight.ended()

    def _behind_in_flight(self, parts: Iterable[Plan]) -> set[UnitKey]:
        """The units of parts that need what is being written still."""
        busy, mirror = self._in_flight.refs, self.mesh.mirror
        if not busy or mirror is None:
            return set()
        return {key for part in parts if _depends_on(part, busy, mirror) for key in units_of(part)}

    async def _write_part(self, part: Plan, accept: Sequence[str], news: News) -> dict[UnitKey, Result]:
        try:
            return await self._hub.apply(self.mesh, part, accept, news)
        except Exception as error:  # noqa: BLE001 - it concerns these units, and the others go on
            if not isinstance(error, SmihubError):
                self._sink_bugs.raised(units_of(part), error)
            return dict.fromkeys(units_of(part), result_of(error))

    def _on_finished(self, units: frozenset[UnitKey]) -> None:
        """These units are no longer being written: what came for them meanwhile is planned now."""
        if (self._pending or set()) & units:
            self._wake.set()

    def _collect(self, results: Mapping[UnitKey, Result]) -> None:
        """Take down what became of units that were written longer than the rest of their plan."""
        if results:
            self._journal.ended(self.mesh.name, results)
            self._schedule_retry(results)

    def _schedule_retry(self, results: Mapping[UnitKey, Result]) -> None:
        """Units that were not written to their end are planned again, later."""
        busy = self._in_flight.units | (self._pending or set())
        stopped = {key: each for key, each in results.items() if each.state != "written" and key not in busy}
        self._sink_bugs.well([key for key, each in results.items() if each.state != "bug"])
        # Units that gained nothing, and of which what they lose is written.
        self._losing -= {key for key, each in results.items() if each.narrowed}
        self._retry_grew = self._retry_grew or bool(stopped)
        self._to_retry |= stopped.keys()

    async def close(self) -> None:
        """End what is being written."""
        await self._in_flight.close()

    # ----------------------------------------------------------------------- tries that failed

    def _wait_s(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        self._min_pause_s = 0.0 if isinstance(error, _UnwrittenError) else 1.0
        if isinstance(error, StaleError):
            # Somebody else was faster: the mesh is read again at once; if it goes on so, all of it is read later and later.
            wait_s, self._stale_wait_s = self._stale_wait_s, min(2 * self._stale_wait_s, _MAX_BACKOFF_REVOKING_S)
            return wait_s * _STALE_JITTER(state)
        self._stale_wait_s = _STALE_RETRY_S
        # What was not planned yet may be a revocation; where that is every unit, nobody knows whom the mesh still lets in.
        revoking = self._losing or self._pending is None or self._pending
        wait_s = min(_BACKOFF(state), _MAX_BACKOFF_REVOKING_S if revoking else _MAX_BACKOFF_S)
        if not isinstance(error, _UnwrittenError):
            return wait_s
        # Only a new failure sets a new time: else a stream of news would put the retry off for good.
        if self._retry_grew:
            self._retry_grew, self._retry_at = False, monotonic() + wait_s
        return max(self._retry_at - monotonic(), 0.0)

    async def _sleep(self, seconds: float) -> None:
        """Wait before another try; news end the wait, but if the mesh as a whole failed not within a second of that."""
        await asyncio.sleep(min(seconds, self._min_pause_s))
        with suppress(TimeoutError):
            async with asyncio.timeout(max(seconds - self._min_pause_s, 0.0)):
                await self._wake.wait()

    def _on_failure(self, state: RetryCallState) -> None:
        """Note why a try failed; a trace is logged once."""
        error = state.outcome.exception() if state.outcome is not None else None
        self.idle.set()
        if isinstance(error, _UnwrittenError):  # the units say why, each for itself
            return
        cause = f"{type(error).__name__}: {error}"
        if isinstance(error, SmihubError):
            reason = "stale" if isinstance(error, StaleError) else "failed"
            self._journal.problem(self.mesh.name, self._pending or (), reason, str(error))
        else:
            self._journal.problem(self.mesh.name, self._pending or (), "bug", cause)
            if cause != self._last_error:
                _log.error("mesh_raised", mesh=self.mesh.name, reason=cause, exc_info=error)
        self._last_error = cause

    # ----------------------------------------------------------------------- the log

    def _log_faults(self, reviewed: Reviewed) -> None:
        """What adapters raised; that their units stay is told by their outcomes."""
        for key, error in reviewed.faults:
            self._adapter_bugs.raised((key,), error)
        self._adapter_bugs.well(reviewed.decided.units.keys() - {key for key, _ in reviewed.faults})


def _refused_for_losses(reviewed: Reviewed) -> frozenset[UnitKey]:
    """The units that are refused for nothing but losses of their own, which no other object can take away."""
    losses = {(loss.unit, loss.code) for loss in reviewed.plan.losses}
    return reviewed.refused - {each.unit for each in reviewed.refusals if (each.unit, each.code) not in losses}


def _depends_on(part: Plan, busy: frozenset[ObjectRef], mirror: Mirror) -> bool:
    """Whether a part has to wait for objects that are being written."""
    gaining = gaining_in(part)
    return any(busy & dependencies(each, mirror, gaining) for each in part.changes)
