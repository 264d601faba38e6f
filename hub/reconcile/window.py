"""The window of the blast radius: how far back losses count, and what somebody approved.

Losses of ten minutes are counted together (hub.plan.guards), by when each unit says that it last lost access (hub.memory), which
lies with the mesh itself. While a plan is refused for that the window does not move: waiting makes nothing pass. When that
began, and approvals, are on record in the state folder; a record that cannot be read approves nothing.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from msgspec.structs import replace

from hub.errors import SmihubError
from hub.plan.guards import BLAST_RADIUS, WINDOW_S, Refusal
from hub.plan.saved import digest_of
from hub.planner import Reviewed
from hub.status import record

SHOWN = 12
"""As many letters of a digest name a plan to people."""


class Window:
    """The windows of all meshes of a state folder."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._refused: dict[str, float] = {}
        self._read = False

    def begins(self, mesh: str, now: float) -> float:
        """From when on losses in this mesh count."""
        return min(now, self._known().get(mesh, now)) - WINDOW_S

    def with_approvals(self, reviewed: Reviewed, now: float) -> Reviewed:
        """The review, without the refusal that somebody approved, or with the digest by which it can be."""
        mesh = reviewed.mesh.name
        if not any(each.code == BLAST_RADIUS for each in reviewed.whole):
            self._known().pop(mesh, None)
            return reviewed
        digest = digest_of(reviewed.plan)
        if digest in self.approved(mesh, now):
            self._known().pop(mesh, None)
            left = tuple(each for each in reviewed.refusals if each.code != BLAST_RADIUS)
            return replace(reviewed, refusals=left, lifted=reviewed.lifted | {BLAST_RADIUS})
        self._known().setdefault(mesh, now)
        return replace(reviewed, refusals=tuple(_named(each, digest) for each in reviewed.refusals))

    def _known(self) -> dict[str, float]:
        """What is on record when this process begins, and what it saw since; a record that is busy is read the next time."""
        if not self._read:
            with suppress(SmihubError, OSError):
                self._refused = {**record.refused_since(self._state), **self._refused}
                self._read = True
        return self._refused

    def approved(self, mesh: str, now: float) -> frozenset[str]:
        """The digests of plans that somebody approved and that were not written yet."""
        with suppress(SmihubError, OSError):
            return record.approvals(self._state, mesh, now)
        return frozenset()


def _named(refusal: Refusal, digest: str) -> Refusal:
    if refusal.code != BLAST_RADIUS:
        return refusal
    remedy = (
        f"check the sources, or let this plan pass with smihub approve {digest[:SHOWN]} (or --accept {BLAST_RADIUS})"
    )
    return replace(refusal, remedy=remedy)
