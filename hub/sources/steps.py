"""A reading of a folder, step by step: what reads it decides where that goes on, and who runs meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial

from hub.events import Event
from hub.threads import run_in_thread

Step = float | Event
"""A reading proceeds by events and by pauses in seconds (0 = let others run)."""


async def taken(steps: Iterator[Step], *, beside: bool) -> tuple[Event, ...]:
    """The events of all steps. `beside`: taken beside the event loop, which a disk that hangs would stop else."""
    batch = list[Event]()
    until_pause = partial(_until_pause, steps, batch, shortest_s=1e-9 if beside else 0.0)
    while True:
        pause_s = await run_in_thread(until_pause) if beside else until_pause()
        if pause_s is None:
            return tuple(batch)
        await asyncio.sleep(pause_s)


def _until_pause(steps: Iterator[Step], batch: list[Event], shortest_s: float) -> float | None:
    """Take steps until one is a pause of that length at least, which is given (None: there are no more)."""
    for step in steps:
        if not isinstance(step, float):
            batch.append(step)
        elif step >= shortest_s:
            return step
    return None
