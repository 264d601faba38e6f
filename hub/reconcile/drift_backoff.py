"""Drift backoff: units that somebody else changes again and again. Each time, putting them back waits longer, so that nobody is busy with it.

The first change is put back at once. One that follows within two minutes waits for a second, the next for two, and so on up to a minute.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from time import monotonic

import structlog
from msgspec import Struct

from hub.model import UnitKey

_log: structlog.stdlib.BoundLogger = structlog.get_logger("smihub.run")
MAX_WAIT_S = 60.0
FORGET_AFTER_S = 2 * MAX_WAIT_S
"""After so long without a change of somebody else's the next one is put back at once again."""
_NAMED = 20


class _Restoration(Struct):
    """How often a unit was changed in a row, when it may be put back, and whether that is to come."""

    times: int
    due_at: float
    waits: bool = False


class DriftBackoff:
    """Which of the units that somebody else changed are put back now, and which later."""

    def __init__(self, mesh: str, clock: Callable[[], float] = monotonic) -> None:
        self._mesh = mesh
        self._clock = clock
        self._restorations: dict[UnitKey, _Restoration] = {}

    def on_drift(self, units: Collection[UnitKey]) -> set[UnitKey]:
        """Somebody else changed these: those that may be put back now; the others are `due` later."""
        now, before = self._clock(), dict(self._restorations)
        fresh = {key for key in units if key not in before or now - before[key].due_at > FORGET_AFTER_S}
        self._restorations |= {key: _Restoration(1, now) for key in fresh}
        again = [key for key in sorted(units) if key not in fresh and not before[key].waits]
        for key in again:
            self._restorations[key] = _Restoration(
                before[key].times + 1, now + self._wait_s(before[key].times), waits=True
            )
        self._log_longer_waits(again)
        return fresh

    def due(self) -> set[UnitKey]:
        """Those that waited long enough; each is given once."""
        found = {key for key, each in self._restorations.items() if each.waits and each.due_at <= self._clock()}
        for key in found:
            self._restorations[key].waits = False
        return found

    def forget_restored(self, planned: Collection[UnitKey] | None, changing: Collection[UnitKey]) -> None:
        """Of these units (None: all) only those that are `changing` had anything to put back; about the others nobody fights."""
        over = (self._restorations.keys() if planned is None else self._restorations.keys() & {*planned}) - {*changing}
        for key in over:
            del self._restorations[key]

    def next_s(self) -> float | None:
        """How long until one is due; None if none waits."""
        waiting = [each.due_at for each in self._restorations.values() if each.waits]
        return max(min(waiting) - self._clock(), 0.0) if waiting else None

    @staticmethod
    def _wait_s(times: int) -> float:
        return min(2.0 ** (times - 1), MAX_WAIT_S)

    def _log_longer_waits(self, again: Iterable[UnitKey]) -> None:
        """Say it each time that the wait grows."""
        by_wait: dict[float, list[UnitKey]] = {}
        for key in again:
            times = self._restorations[key].times - 1
            if times == 1 or self._wait_s(times) > self._wait_s(times - 1):
                by_wait.setdefault(self._wait_s(times), []).append(key)
        for wait_s, units in by_wait.items():
            _log.warning(
                "drift_repeated",
                mesh=self._mesh,
                units=[str(key) for key in units[:_NAMED]],
                count=len(units),
                wait_s=wait_s,
                reason=f"somebody else keeps changing it; it will be restored again in {wait_s:g} s",
                remedy="find out who else changes it, or leave it alone with smihub pause",
            )
