"""Workers of a hub in turns of the event loop, without threads and pauses."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from hub.errors import StaleError
from hub.reconcile.worker import Worker
from tests.servers.scene import WiderError

_SPINS = 1000
"""Tries until a worker counts as one that never rests. One of which an object is late goes on over many turns."""
_T = TypeVar("_T")


async def inline(work: Callable[[], _T]) -> _T:
    """In place of hub.threads: threads would make turns of the event loop count for nothing."""
    return work()


async def drive(worker: Worker) -> None:
    """What `Worker.run` does, without its pauses: until a try fails and there are no news."""
    for _ in range(_SPINS):
        try:
            await worker.once()
        except StaleError:
            continue
        except Exception:  # noqa: BLE001 - it is tried again in the next turn
            if not worker._wake.is_set():
                return
        else:
            if not worker._wake.is_set():
                return
    raise WiderError(f"{worker.mesh.name} never comes to rest")
