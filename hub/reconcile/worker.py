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

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential_jitter

from hub.api import Transactional, Watching
from hub.baselines import baselines_of
from hub.errors import SmihubError, StaleError, TransientError
from hub.memory.permits import line_of
from hub.meshes import Mesh
from hub.mirror import Mirror
from hub.model import ObjectRef, UnitKey
from hub.plan.plan import Plan
from hub.reconcile.fights import Fights
from hub.reconcile.flights import Flights
from hub.reconcile.hub import Hub, Reviewed
from hub.reconcile.lanes import gaining_in, lanes, ties, units_of
from hub.reconcile.rollout import result_of
from hub.status.journal import Journal
from hub.status.outcomes import Result

_log: structlog.stdlib.BoundLogger = structlog.get_logger("smihub.run")
_STALE_S = 0.1
_MOST_S, _LOSING_S = 60.0, 5.0
"""How long to wait at most before another try: the second while access that was taken away may stand still."""
_BACKOFF = wait_exponential_jitter(initial=1, max=_MOST_S, jitter=1)
_APPROVED_S = 2.0
_BEAT_S = 30.0
"""How often a worker that waits for news says that it is there (hub.status.metrics.HUNG_S)."""
_TOLD = 20
"""Most lines of one kind in the log: a plan may have a hundred thousand, and nobody is served while they are written."""


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
        self._again: set[UnitKey] = set()  # not written to their end; planned again when it is time
        self._due_at = 0.0
        self._fresh = False  # something was added to them since the last try
        self._at_least_s = 1.0
        self._losing = frozenset[UnitKey]()  # somebody is to lose access there, which is not written yet
        self._refused = False
        self._unseen = False  # somebody else may have changed the mesh since it was read
        self._news = asyncio.Event()
        self._flights = Flights(self._news, self._landed)
        self._fights = Fights(mesh.name)
        self._failing = ""

    def add(self, keys: Collection[UnitKey]) -> None:
        """These units may be other than they were; those of which something waits are planned with them."""
        if self._pending is not None:
            self._pending |= {*keys, *self._waiting}
        if self._pending is None or self._pending:
            self.idle.clear()
            self._news.set()

    async def run(self) -> None:
        """Plan and write whatever comes, for ever."""
        try:
            await self._run()
        finally:
            await self.close()

    async def _run(self) -> None:
        while True:
            await self._due()
            retrying = AsyncRetrying(
                retry=retry_if_exception_type(Exception),
                wait=self._wait_s,
                sleep=self._pause,
                before_sleep=self._fell_through,
            )
            async for attempt in retrying:
                with attempt:
                    await self.once()
            self._failing = ""
            if not self._news.is_set():
                self.idle.set()

    async def _due(self) -> None:
        """Wait for news, or for somebody who approves the plan that is refused."""
        while not self._news.is_set():
            self._journal.beat(self.mesh.name)
            with suppress(TimeoutError):
                # Not asyncio.wait_for: in Python 3.11 it swallows a cancellation that comes together with the news.
                async with asyncio.timeout(self._patience_s()):
                    await self._news.wait()
            if self._fights.next_s() == 0:
                self._news.set()
            if self._refused and self._hub.window.approved(self.mesh.name, self._hub.clock()):
                self.add(())

    def _patience_s(self) -> float:
        """How long to wait for news at most."""
        usual, fight = _APPROVED_S if self._refused else _BEAT_S, self._fights.next_s()
        return usual if fight is None else min(usual, fight)

    async def watch(self) -> None:
        """Look at the mesh again when somebody else changed it, for ever."""
        if not isinstance(self.mesh.sink, Watching):
            return
        async for token in self.mesh.sink.changes():
            known = self.mesh.mirror
            if not token or known is None or known.token != token:
                self.look()

    async def recheck(self) -> None:
        """Look at it now and then too, for ever: not all that somebody does there is told. A revision has a token that tells."""
        every_s = self._hub.config.recheck_s
        while every_s and not isinstance(self.mesh.sink, Transactional):
            await asyncio.sleep(every_s)
            self.look()

    def look(self) -> None:
        """Plan what is not as it was left, and that of which something waits."""
        self.mesh.lost_track()
        self._unseen = True
        self._news.set()

    # ----------------------------------------------------------------------- one try

    async def once(self) -> None:
        """Plan and write what is pending, except units that are being written still.

        Ends when all is written, or there are news. Raises what hinders it; then all of that is pending still.
        """
        self._journal.beat(self.mesh.name)
        keys = await self._take()
        if keys is None or keys or self._failing:
            try:
                with self._journal.reconciling(self.mesh.name, len(self._hub.units() if keys is None else keys)):
                    await self._reconcile(keys)
            except BaseException as error:
                whole = keys is None or self._pending is None or isinstance(error, StaleError)
                self._pending = None if whole else (keys or set()) | (self._pending or set())
                self._journal.left(self.mesh.name, len(self._pending or ()))
                if not isinstance(error, Exception):
                    self._news.set()  # the task ends by it, and what is begun in its place has this to do
                raise
        await self._flights.wait()
        self._collect(self._flights.ended())
        if self.mesh.drifted:  # found when the mesh was read for something else
            self.idle.clear()
            self._news.set()
        self._journal.left(self.mesh.name, len(self._waiting | self._again))
        if self._again:
            raise _UnwrittenError(f"{len(self._again)} units are not fully written")

    async def _take(self) -> set[UnitKey] | None:
        """What is to be planned now; what failed is not before its time, for news of others come often."""
        woken = self._news.is_set()
        self._news.clear()
        await self._look_again()
        if self._pending is not None and (not woken or monotonic() >= self._due_at):
            self._pending |= self._again
            if self._again and self._refused:  # alone they would pass, and look as if nothing were refused any more
                self._pending |= self._waiting
            self._again = set()
        keys, busy = self._pending, self._flights.units
        if keys is None and busy:
            keys = await self._every()
        if keys is None:
            self._pending, self._again = set(), set()
            return None
        keys |= baselines_of(self.mesh.spec, keys)
        self._pending = {*(keys & busy)}
        return keys - busy

    async def _look_again(self) -> None:
        """Have what somebody else changed be planned, and what waits, for that may wait no longer."""
        unseen, self._unseen = self._unseen, False  # what changes from here on is looked at again
        if unseen and self._pending is not None:
            try:
                await self.mesh.observed()
            except BaseException:
                self._unseen = True
                raise
            self._pending |= self._waiting
        fought = self._fights.changed(self.mesh.drifted) | self._fights.due()
        if self._pending is not None:
            self._pending |= fought
        self.mesh.drifted.clear()

    async def _every(self) -> set[UnitKey]:
        """Every unit of the sources and of the mesh: what only stands there is to be revoked."""
        mirror = await self.mesh.observed()
        return {*self._hub.cluster(self.mesh).store.units(), *mirror.units}

    async def _reconcile(self, keys: set[UnitKey] | None) -> None:
        """Plan and write these units."""
        reviewed = await self._hub.plan(self.mesh, self._accept, keys, apart=True)
        self._journal.beat(self.mesh.name)
        await self._planned()
        self._trace(reviewed)
        plan = reviewed.plan
        self._fights.settled(keys, {change.unit for change in plan.changes})
        self._losing = (frozenset() if keys is None else self._losing - keys) | {*plan.losing}
        self._refused = bool(reviewed.whole)
        if reviewed.whole:
            self._journal.refused(reviewed)
            self._waiting |= await self._every() if keys is None else keys
            return
        self._journal.planned(reviewed)
        waits = {*plan.frozen, *plan.held, *reviewed.refused, *reviewed.decided.spared}
        self._waiting = self._still_waiting(keys) | waits
        results = await self._write(reviewed)
        self._journal.wrote(reviewed, results)
        if plan.changes:
            self._tell(reviewed)
        self._note_stopped(results)
        self._losing &= self._again | self._flights.units | (self._pending or set())

    async def _write(self, reviewed: Reviewed) -> dict[UnitKey, Result]:
        """Write a plan, each part of it by itself where the mesh can be written so; what became of its units so far."""
        sink, plan, accept = self.mesh.sink, reviewed.plan, (*self._accept, *reviewed.lifted)
        parts = () if isinstance(sink, Transactional) or not sink.apart else lanes(plan, await self.mesh.observed())
        if not parts:
            return await self._hub.apply(self.mesh, plan, accept)
        self._collect(self._flights.ended())
        later = self._needing(parts)
        for part in parts:
            if not units_of(part) & later:
                self._flights.start(part, self._fly(part, accept))
        self._pending = (self._pending or set()) | later
        await self._flights.wait()
        waiting = Result("waiting", "the mesh has not answered yet")
        units = {key for part in parts for key in units_of(part)}
        return dict.fromkeys(units & self._flights.units | later, waiting) | self._flights.ended()

    def _needing(self, parts: Iterable[Plan]) -> set[UnitKey]:
        """The units of parts that need what is being written still."""
        busy, mirror = self._flights.refs, self.mesh.mirror
        if not busy or mirror is None:
            return set()
        return {key for part in parts if _touches(part, busy, mirror) for key in units_of(part)}

    async def _fly(self, part: Plan, accept: Sequence[str]) -> dict[UnitKey, Result]:
        try:
            return await self._hub.apply(self.mesh, part, accept)
        except Exception as error:  # noqa: BLE001 - it concerns these units, and the others go on
            if not isinstance(error, SmihubError):
                _log.error("mesh_raised", mesh=self.mesh.name, exc_info=error)
            return dict.fromkeys(units_of(part), result_of(error))

    def _landed(self, units: frozenset[UnitKey]) -> None:
        """These units are no longer being written: what came for them meanwhile is planned now."""
        if (self._pending or set()) & units:
            self._news.set()

    def _collect(self, results: Mapping[UnitKey, Result]) -> None:
        """Take down what became of units that were written longer than the rest of their plan."""
        if results:
            self._journal.ended(self.mesh.name, results)
            self._note_stopped(results)

    def _note_stopped(self, results: Mapping[UnitKey, Result]) -> None:
        """Units that were not written to their end are planned again, later."""
        busy = self._flights.units | (self._pending or set())
        stopped = {key: each for key, each in results.items() if each.state != "written" and key not in busy}
        self._losing -= _narrowed(results)
        self._fresh = self._fresh or bool(stopped)
        self._again |= stopped.keys()

    async def close(self) -> None:
        """End what is being written."""
        await self._flights.close()

    def _still_waiting(self, keys: set[UnitKey] | None) -> frozenset[UnitKey]:
        return frozenset() if keys is None else self._waiting - keys

    # ----------------------------------------------------------------------- tries that failed

    def _wait_s(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        self._at_least_s = 0.0 if isinstance(error, _UnwrittenError) else 1.0
        if isinstance(error, StaleError):
            return _STALE_S
        wait_s = min(_BACKOFF(state), _LOSING_S if self._losing or self._pending else _MOST_S)
        if not isinstance(error, _UnwrittenError):
            return wait_s
        if self._fresh:
            self._fresh, self._due_at = False, monotonic() + wait_s
        return max(self._due_at - monotonic(), 0.0)

    async def _pause(self, seconds: float) -> None:
        """Wait before another try; news end the wait, but if the mesh as a whole failed not within a second of that."""
        await asyncio.sleep(min(seconds, self._at_least_s))
        with suppress(TimeoutError):
            async with asyncio.timeout(max(seconds - self._at_least_s, 0.0)):
                await self._news.wait()

    def _fell_through(self, state: RetryCallState) -> None:
        """Note why a try failed; a trace is logged once."""
        error = state.outcome.exception() if state.outcome is not None else None
        self.idle.set()
        said = f"{type(error).__name__}: {error}"
        if isinstance(error, SmihubError):
            reason = "stale" if isinstance(error, StaleError) else "failed"
            self._journal.problem(self.mesh.name, self._pending or (), reason, str(error))
        else:
            self._journal.problem(self.mesh.name, self._pending or (), "bug", said)
            if said != self._failing:
                _log.error("mesh_raised", mesh=self.mesh.name, reason=said, exc_info=error)
        self._failing = said

    # ----------------------------------------------------------------------- the log

    def _trace(self, reviewed: Reviewed) -> None:
        """What adapters raised; that their units stay is told by their outcomes."""
        for key, error in reviewed.faults:
            _log.error("adapter_raised", mesh=self.mesh.name, unit=str(key), exc_info=error)

    def _tell(self, reviewed: Reviewed) -> None:
        plan = reviewed.plan
        _log.info(
            "plan_applied",
            mesh=reviewed.mesh.name,
            changes=len(plan.changes),
            allowed=[line_of(permit) for permit in plan.gained[:_TOLD]],
            denied=[*plan.lost_lines, *(line_of(permit) for permit in plan.lost[:_TOLD])][:_TOLD],
            rerouted=[after for _, after in plan.rerouted[:_TOLD]],
            frozen=len(plan.frozen) + len(plan.held),
        )


def _narrowed(results: Mapping[UnitKey, Result]) -> set[UnitKey]:
    """The units that gained nothing, and of which what they lose is written."""
    return {key for key, each in results.items() if each.narrowed}


def _touches(part: Plan, busy: frozenset[ObjectRef], mirror: Mirror) -> bool:
    """Whether a part has to wait for objects that are being written."""
    gaining = gaining_in(part)
    return any(busy & ties(each, mirror, gaining) for each in part.changes)
