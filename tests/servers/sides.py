"""One side of a trial with a mesh in memory: what writes of ours open there, and what others do to its objects."""

from __future__ import annotations

from collections.abc import Collection
from random import Random

import msgspec

from hub.model import NativeObject, ObjectRef
from hub.testing.memory import MemoryMesh
from tests.servers.small_town import Granted, allowed, served


class Side:
    """One mesh: what stood when a hub wrote it last, and what its writes may open."""

    def __init__(self, name: str, mesh: MemoryMesh) -> None:
        self.name, self.mesh = name, mesh
        self._bound: list[Granted] = []  # the states of the source that what is written may be planned on
        self._older: dict[ObjectRef, list[Granted]] = {}  # and of objects whose write began before
        self.touched: set[str] = set()  # receivers of which somebody else changed an object that nobody looked at since
        self.looked_at = True  # by a hub that began since
        self.wider: list[str] = []
        self._stood = served(mesh)
        mesh.seen = self._look

    def hear(self, before: Granted, now: Granted) -> None:
        """The hub is about to hear what the source says now, which was otherwise before: no write that begins later may go by older states."""
        self._older = {ref: [*self._older.get(ref, ()), *self._bound] for ref in self.mesh.waiting}
        self._bound = [before, now]

    def look_again(self, *, looked_at: bool = False) -> None:
        """Somebody else changed the mesh; `looked_at`: in a way that a running hub notices."""
        self.looked_at = looked_at
        self._stood = served(self.mesh)

    def recover(self) -> None:
        """Nothing is wrong any more; what failed is tried again when it is time, a turn later at most."""
        self.touched |= {ref.name.removeprefix("smihub-") for ref in troubled(self.mesh)}
        self.mesh.recover()

    def settle(self, later: Collection[str]) -> None:
        """A hub that looked at everything could write everything, but what is in trouble or is put back `later`."""
        if self.looked_at:
            self.touched &= {ref.name.removeprefix("smihub-") for ref in troubled(self.mesh)} | {*later}

    def _look(self) -> None:
        now, written = served(self.mesh), [ref for _, ref in self.mesh.written[-1:]]
        bound = [*self._bound, *(one for ref in written for one in self._older.get(ref, ()))]
        for request in now - self._stood - frozenset().union(*map(allowed, bound)):
            self.wider.append(f"{self.name}: {self.mesh.written[-1]} lets through {request}")
        self._stood = now


def troubled(mesh: MemoryMesh) -> set[ObjectRef]:
    """The objects with which something is wrong."""
    return {*mesh.refused, *mesh.failing, *mesh.unanswered, *mesh.unaccepted, *mesh.slow, *mesh.late}


def changed(rng: Random, mesh: MemoryMesh, ref: ObjectRef) -> NativeObject:
    """An object as somebody else would have it: with the rules of another policy, with other paths, or without mTLS."""
    mine, peers = mesh.objects[ref], ("PeerAuthentication", "PERMISSIVE")
    value = msgspec.json.decode(mine.owned)
    if ref.kind == peers[0]:
        value["spec"]["mtls"] = {"mode": peers[1]}
        return NativeObject(ref, mine.role, msgspec.json.encode(value, order="deterministic"))
    alike = sorted({one.owned for other, one in mesh.objects.items() if other.kind == ref.kind and other != ref})
    if alike and rng.randrange(2):
        value["spec"]["rules"] = msgspec.json.decode(alike[0])["spec"].get("rules", [])
    body = msgspec.json.encode(value, order="deterministic")
    return NativeObject(ref, mine.role, body.replace(b"/books", b"/orders"), (), mine.needs)
