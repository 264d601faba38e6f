"""One mesh of a running hub, kept as the sources say: its own task, which no other mesh can hold up.

Units that became dirty are coalesced, planned and written; what could not be written is tried again, later and later. A plan
that is refused as a whole, and units of which something waits, are planned again when the sources say something new or the
mesh is changed by somebody else, who may have accepted what refused them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential_jitter

from hub.api import Watching
from hub.errors import SmihubError, StaleError, TransientError
from hub.journal import Journal
from hub.meshes import Mesh
from hub.model import UnitKey
from hub.permits import line_of
from hub.reconcile import Hub, Reviewed

_log: structlog.stdlib.BoundLogger = structlog.get_logger("smihub.run")
_STALE_S = 0.1
_MOST_S, _LOSING_S = 60.0, 5.0
"""How long to wait at most before another try: the second while access that was taken away may stand still."""
_BACKOFF = wait_exponential_jitter(initial=1, max=_MOST_S, jitter=1)
_APPROVED_S = 2.0
_TOLD = 20
"""Most lines of one kind in the log: a plan may have a hundred thousand, and nobody is served while they are written."""


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
        self._losing = self._refused = False
        self._news = asyncio.Event()
        self._told: tuple[str, ...] = ()
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
            self._recovered()
            if not self._news.is_set():
                self.idle.set()

    async def _due(self) -> None:
        """Wait for news, or for somebody who approves the plan that is refused."""
        while not self._news.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), _APPROVED_S if self._refused else None)
            if self._refused and self._hub.window.approved(self.mesh.name, self._hub.clock()):
                self.add(())

    async def watch(self) -> None:
        """Look at the mesh again when somebody else changed it while something waits, for ever."""
        if not isinstance(self.mesh.sink, Watching):
            return
        async for token in self.mesh.sink.changes():
            known = self.mesh.mirror
            if self._waiting and (known is None or known.token != token):
                self.mesh.mirror = None
                self.add(())

    # ----------------------------------------------------------------------- one try

    async def once(self) -> None:
        """Plan and write what is pending. Raises what hinders it; then all of that is pending still."""
        self._news.clear()
        keys, self._pending = self._pending, set()
        if keys is not None and not keys:
            return
        try:
            with self._journal.reconciling(self.mesh.name, len(self._hub.units() if keys is None else keys)):
                left = await self._reconcile(keys)
        except BaseException as error:
            self._pending = None if keys is None or isinstance(error, StaleError) else keys | (self._pending or set())
            self._journal.left(self.mesh.name, len(self._pending or ()))
            raise
        if left:
            self._pending = left | (self._pending or set())
        self._journal.left(self.mesh.name, len(self._waiting | left))
        if left:
            raise TransientError(f"{len(left)} units are not written to their end")

    async def _reconcile(self, keys: set[UnitKey] | None) -> set[UnitKey]:
        """Plan and write these units; those that have to be tried again."""
        reviewed = await self._hub.plan(self.mesh, self._accept, keys, apart=True)
        await self._planned()
        self._tell_refused(reviewed)
        plan = reviewed.plan
        self._losing, self._refused = bool(plan.losing), bool(reviewed.whole)
        if reviewed.whole:
            self._journal.refused(reviewed)
            self._waiting |= self._hub.units() if keys is None else keys
            return set()
        self._journal.planned(reviewed)
        results = await self._hub.apply(self.mesh, plan, (*self._accept, *reviewed.lifted))
        self._journal.wrote(reviewed, results)
        if plan.changes:
            self._tell(reviewed)
        self._waiting = self._still_waiting(keys) | {*plan.frozen, *plan.held, *reviewed.refused}
        stopped = {key: each for key, each in results.items() if each.state != "written"}
        for key, each in sorted(stopped.items()):
            where = {"unit": str(key), "state": each.state, "reason": each.detail}
            _log.error("unit_not_written", mesh=self.mesh.name, **where)
        self._losing = bool(stopped.keys() & set(plan.losing))
        return set(stopped)

    def _still_waiting(self, keys: set[UnitKey] | None) -> frozenset[UnitKey]:
        return frozenset() if keys is None else self._waiting - keys

    # ----------------------------------------------------------------------- tries that failed

    def _wait_s(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        if isinstance(error, StaleError):
            return _STALE_S
        return min(_BACKOFF(state), _LOSING_S if self._losing or self._pending else _MOST_S)

    async def _pause(self, seconds: float) -> None:
        """Wait before another try; news end the wait, but not within a second of the last try."""
        await asyncio.sleep(min(seconds, 1.0))
        with suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), max(seconds - 1.0, 0.0))

    def _fell_through(self, state: RetryCallState) -> None:
        """Say why a try failed, once for each reason."""
        error = state.outcome.exception() if state.outcome is not None else None
        self.idle.set()
        said = f"{type(error).__name__}: {error}"
        if isinstance(error, StaleError):
            self._journal.problem(self.mesh.name, self._pending or (), "stale", str(error))
            _log.warning("plan_stale", mesh=self.mesh.name, reason=str(error))
        elif isinstance(error, SmihubError):
            self._journal.problem(self.mesh.name, self._pending or (), "failed", str(error))
            if said != self._failing:
                _log.error("apply_failed", mesh=self.mesh.name, reason=str(error))
        else:
            self._journal.problem(self.mesh.name, self._pending or (), "bug", said)
            if said != self._failing:
                _log.error("mesh_raised", mesh=self.mesh.name, reason=said, exc_info=error)
        self._failing = said

    def _recovered(self) -> None:
        if self._failing:
            _log.info("mesh_recovered", mesh=self.mesh.name)
        self._failing = ""

    # ----------------------------------------------------------------------- the log

    def _tell_refused(self, reviewed: Reviewed) -> None:
        """Say why something is not written; once, as long as the reasons stay the same."""
        reasons = tuple(f"{refusal.message} ({refusal.code})" for refusal in reviewed.refusals)
        if reasons and self._told != reasons:
            _log.error("plan_refused", mesh=self.mesh.name, reasons=reasons, remedy="smihub plan, smihub apply")
        self._told = reasons
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
