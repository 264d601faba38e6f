"""What a running hub says of a mesh that does not answer: a call that never ends raises nothing, and who looks must see it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from hub.meshes import Mesh
from hub.model import UnitKey
from hub.status.journal import Journal

UNANSWERED_S = 5.0
"""How long a mesh may take to answer until `smihub status` says that it does not."""
UNANSWERED = "the mesh has not answered yet"


class Patience:
    """Tells, after a while, what a mesh that does not answer holds up."""

    def __init__(self, mesh: Mesh, journal: Journal) -> None:
        self._mesh = mesh
        self._journal = journal
        self.told = False  # that it does not answer; the next plan says that it does

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Around what may read the mesh."""
        with _after(UNANSWERED_S, self._tell_unread):
            yield

    @contextmanager
    def writing(self, units: Collection[UnitKey]) -> Iterator[None]:
        """Around the writing of these units."""
        with _after(UNANSWERED_S, lambda: self._journal.unanswered(self._mesh.name, units, UNANSWERED)):
            yield

    def _tell_unread(self) -> None:
        if self._mesh.mirror is None:  # else it was read, and planning takes long
            self.told = True
            self._journal.unanswered(self._mesh.name, (), "it does not answer, so nothing of it can be planned")


@contextmanager
def _after(seconds: float, tell: Callable[[], None]) -> Iterator[None]:
    timer = asyncio.get_running_loop().call_later(seconds, tell)
    try:
        yield
    finally:
        timer.cancel()
