"""An event loop whose clock moves on by itself: pauses and limits of hours take no time, and come in the same order each time.

Whatever waits for anything but the clock and other tasks of the loop, such as threads and sockets, is not seen to wait.
"""

from __future__ import annotations

import asyncio
import selectors

_BUSY = 100_000
"""Turns of the loop within one moment, after which it counts as one that never rests."""


class NeverRestsError(Exception):
    """Somebody works on and on without any pause."""


class _Selector(selectors.SelectSelector):
    """Moves the clock on by what the loop would have slept."""

    now = 0.0
    _busy = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """See selectors.BaseSelector."""
        if timeout is None:
            raise RuntimeError("nothing will ever happen: every task waits for another one")
        self._busy = 0 if timeout > 0 else self._busy + 1
        if self._busy > _BUSY:
            raise NeverRestsError(f"still busy after {_BUSY} turns without a pause")
        self.now += max(timeout, 0.0)
        return super().select(0)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """See above. `time` begins at 0."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        """The virtual time, in seconds."""
        return self._virtual.now
