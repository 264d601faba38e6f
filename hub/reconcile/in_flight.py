"""Writes in flight: parts of plans that are being written now, each in a task of its own, so that a slow object holds up its own unit alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any

from hub.model import ObjectRef, UnitKey
from hub.plan.plan import Plan
from hub.reconcile.partition import units_of
from hub.reconcile.rollout import result_of
from hub.status.outcomes import Result

Results = dict[UnitKey, Result]


class InFlight:
    """The parts of plans that are being written to a mesh; `wake` ends any wait for them, `on_finished` is called with the units of each that has ended."""

    def __init__(self, wake: asyncio.Event, on_finished: Callable[[frozenset[UnitKey]], None]) -> None:
        self._wake = wake
        self._on_finished = on_finished
        self._parts: dict[asyncio.Task[Results], Plan] = {}
        self._ended: Results = {}
        self._fatal: BaseException | None = None

    @property
    def units(self) -> frozenset[UnitKey]:
        """The units that are being written: what else becomes of them waits."""
        return frozenset(key for part in self._parts.values() for key in units_of(part))

    @property
    def refs(self) -> frozenset[ObjectRef]:
        """The objects that are being written."""
        return frozenset(change.ref for part in self._parts.values() for change in part.changes)

    def start(self, part: Plan, work: Coroutine[Any, Any, Results]) -> None:
        """Write a part."""
        task = asyncio.create_task(work)
        self._parts[task] = part
        task.add_done_callback(self._end)

    async def wait(self, most_s: float | None = None) -> None:
        """Wait until all have ended, or `wake` is set; so long at most."""
        ends_at = None if most_s is None else monotonic() + most_s
        while self._parts and not self._wake.is_set():
            wake, left_s = asyncio.ensure_future(self._wake.wait()), None if ends_at is None else ends_at - monotonic()
            try:
                done, _ = await asyncio.wait({*self._parts, wake}, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            finally:
                wake.cancel()
            await asyncio.sleep(0)  # for those that ended to be counted
            if not done:
                return

    def ended(self) -> Results:
        """What became of the units of those that have ended since the last call. Raises what ended one as nothing should."""
        fatal, self._fatal = self._fatal, None
        if fatal is not None:
            raise fatal
        found, self._ended = self._ended, {}
        return found

    async def close(self) -> None:
        """End all; nobody can tell how much of them is written."""
        tasks = list(self._parts)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _end(self, task: asyncio.Task[Results]) -> None:
        part = self._parts.pop(task)
        # Cancelled by us nobody asks for it any more; a sink may cancel what asks it, which is a bug like any other.
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is None:
            self._ended |= task.result()
        else:
            self._ended |= dict.fromkeys(units_of(part), result_of(error))
            self._fatal = self._fatal or (None if task.cancelled() else error)
        self._on_finished(units_of(part))
