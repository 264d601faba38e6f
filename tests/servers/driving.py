"""Workers of a hub in turns of the event loop, without threads and pauses."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar
from unittest import mock

from hub.errors import StaleError
from hub.reconcile.drift_backoff import DriftBackoff
from hub.reconcile.loop import Loop
from hub.reconcile.worker import Worker
from tests.servers.scene import WiderError

_SPINS = 1000
"""Tries until a worker counts as one that never rests. One of which an object is late goes on over many turns."""
_T = TypeVar("_T")


async def inline(work: Callable[[], _T], _hangs: object = None) -> _T:
    """In place of hub.threads: threads would make turns of the event loop count for nothing."""
    return work()


def without_time(clock: Callable[[], float]) -> list[Any]:
    """Patches under which a hub needs no threads, and no other clock to put back later what somebody keeps changing."""
    threads = [mock.patch(f"hub.reconcile.{each}.run_in_thread", inline) for each in ("hub", "loop")]
    return [*threads, mock.patch("hub.reconcile.worker.DriftBackoff", partial(DriftBackoff, clock=clock))]


def put_back_later(running: Loop | None, mesh: str) -> set[str]:
    """The names of the units of a mesh of which somebody changed an object again, so that it is put back when it is time."""
    backoffs = [each._drift_backoff for each in (running.workers if running else ()) if each.mesh.name == mesh]
    return {key.name for backoff in backoffs for key, each in backoff._restorations.items() if each.waits}


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
