"""A mesh in memory, and sinks that write it: for tests of what the hub does when a mesh is slow, stubborn or shared.

The mesh outlives the hubs that write it, as a real one does, and judges nothing. Its sinks differ in form:

| kind | writes |
|---|---|
| `memory` | object by object, one write at a time; one token stands for all of it, as for a folder |
| `memory-apart` | object by object, several units at a time; each object has a token of its own, as in an API server |
| `memory-accepting` | the same, and the mesh itself takes an object later than its API, or never |
| `memory-at-once` | all of a plan, or nothing of it, as in a database |
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, ClassVar

from msgspec import Struct
from msgspec.structs import replace

from hub.api import (
    Change,
    ObjectRef,
    Observation,
    RefusedError,
    SinkContext,
    SinkSpec,
    StaleError,
    TransientError,
    UnitKey,
    Written,
)
from hub.testing.memory_mesh import Died, MemoryMesh, nothing

__all__ = ["FORMS", "AcceptingSink", "ApartSink", "AtOnceSink", "Died", "MemoryMesh", "MemoryMeshes", "MemorySink", "MemorySinkConfig"]  # fmt: skip
_ANY = "any"


# ------------------------------------------------------------------------------------------------------------- sinks


class _Any:
    """What all sinks of a mesh in memory do."""

    def __init__(self, mesh: MemoryMesh, context: SinkContext) -> None:
        self.mesh = mesh
        self._owner = context.owner

    async def observe(self) -> Observation:
        """See hub.api.Sink. Raises TransientError where `MemoryMesh.listed` does."""
        await asyncio.sleep(0)
        return await self.mesh.listed()

    async def changes(self) -> AsyncIterator[str]:
        """See hub.api.Watching."""
        async for _ in self.mesh.changes():
            yield ""

    async def close(self) -> None:
        """Nothing is open."""

    async def _begin(self) -> None:
        await self.mesh.reach()
        if self.mesh.owner not in {"", self._owner}:
            raise RefusedError("the mesh was written for another smihub.yaml")


class _Writing:
    """A `hub.api.Writing` of a mesh in memory; `known` is what its sink knows to be remembered, unit by unit (None: all)."""

    def __init__(self, mesh: MemoryMesh, known: dict[UnitKey, bytes] | None) -> None:
        self._mesh = mesh
        self._known = known

    @property
    def token(self) -> str:
        """See hub.api.Writing."""
        return self._mesh.token if self._known is None else _ANY

    async def write(self, changes: Sequence[Change]) -> list[Written]:
        """See hub.api.Writing."""
        with self._mesh.writes(one.ref for one in changes):
            rows = [await self._mesh.write(change) for change in changes]
        if self._mesh.loses_answer:
            self._mesh.loses_answer = False
            raise TransientError("the answer was lost")
        return rows

    async def remember(self, memory: Mapping[UnitKey, bytes]) -> None:
        """See hub.api.Writing. Raises StaleError where somebody else has the mesh remember something of these units."""
        await self._mesh.reach()
        if self._known is not None:
            if any(self._known.get(key, b"") != self._mesh.memory.get(key, b"") for key in memory):
                raise StaleError("what is remembered changed meanwhile")
            self._known |= memory
        self._mesh.step()
        self._mesh.remember(memory)


class MemorySink(_Any):
    """Object by object, for one writer at a time: a `hub.api.Sink`."""

    apart: ClassVar[bool] = False

    @asynccontextmanager
    async def writing(self, token: str) -> AsyncIterator[_Writing]:
        """See hub.api.Sink."""
        await self._begin()
        if token != self.mesh.token:
            raise StaleError("the mesh changed while this plan was made")
        yield _Writing(self.mesh, None)
        self.mesh.owner = self._owner


class ApartSink(MemorySink):
    """Object by object, several units at a time."""

    apart: ClassVar[bool] = True

    def __init__(self, mesh: MemoryMesh, context: SinkContext) -> None:
        super().__init__(mesh, context)
        self._known: dict[UnitKey, bytes] = {}

    async def observe(self) -> Observation:
        """See hub.api.Sink; no token stands for all of it."""
        found = await super().observe()
        self._known.clear()  # in place: whoever writes now goes on with it
        self._known |= found.memory
        return replace(found, token=_ANY)

    @asynccontextmanager
    async def writing(self, token: str) -> AsyncIterator[_Writing]:
        """See hub.api.Sink."""
        await self._begin()
        yield _Writing(self.mesh, self._known)
        self.mesh.owner = self._owner


class AcceptingSink(ApartSink):
    """The same; a `hub.api.Accepting`. Objects in `unaccepted` never come into force: that is told at once."""

    async def unaccepted(self, refs: Sequence[ObjectRef], deadline_s: float) -> list[Written]:
        """See hub.api.Accepting; those that are `late` are waited for."""
        await self.mesh.reach()
        with suppress(TimeoutError):
            async with asyncio.timeout(max(deadline_s, 0.0)):
                for event in [self.mesh.late[ref] for ref in sorted(self.mesh.late.keys() & set(refs))]:
                    await event.wait()
        late = {ref for ref, event in self.mesh.late.items() if not event.is_set()} | self.mesh.unaccepted
        return [Written(ref, "failed", detail="not in force in time") for ref in sorted(late.intersection(refs))]


class AtOnceSink(_Any):
    """All of a plan or nothing: a `hub.api.Transactional`."""

    def refused(self, changes: Sequence[Change]) -> list[Written]:
        """See hub.api.Transactional."""
        never = self.mesh.refused
        return [Written(one.ref, "refused", detail="never taken") for one in changes if one.after and one.ref in never]

    async def write_all(self, changes: Sequence[Change], memory: Mapping[UnitKey, bytes], token: str) -> str:
        """See hub.api.Transactional."""
        with self.mesh.writes(one.ref for one in changes):
            await self._begin()
        if token != self.mesh.token:
            raise StaleError("the mesh changed while this plan was made")
        if self.mesh.failing.intersection(one.ref for one in changes):
            raise TransientError("nobody knows why")
        self.mesh.step()
        # One call of `seen` for the whole transaction: in between nobody could have seen a part of it.
        seen, self.mesh.seen, after = self.mesh.seen, nothing, self.mesh.next()
        for change in changes:
            self.mesh.carry_out(change, after)
        self.mesh.remember(memory)
        self.mesh.owner, self.mesh.seen = self._owner, seen
        seen()
        if self.mesh.loses_answer or self.mesh.unanswered.intersection(one.ref for one in changes):
            self.mesh.loses_answer = False
            raise TransientError("the answer was lost")
        return self.mesh.token


# ------------------------------------------------------------------------------------------------------------- plugins


class MemorySinkConfig(Struct, frozen=True):
    """Nothing is to be set."""


FORMS: Mapping[str, type[MemorySink | AtOnceSink]] = {
    "memory": MemorySink,
    "memory-apart": ApartSink,
    "memory-accepting": AcceptingSink,
    "memory-at-once": AtOnceSink,
}
"""The kinds of sinks, by name."""


class MemoryMeshes:
    """The sinks of meshes in memory as plugin records, for native objects of one `family`; `meshes` are theirs, by name."""

    def __init__(self, family: str = "kubernetes", forms: Collection[str] = tuple(FORMS)) -> None:
        self.meshes: dict[str, MemoryMesh] = {}
        self.specs: dict[str, SinkSpec[Any]] = {name: self._spec(name, family) for name in forms}

    def _spec(self, name: str, family: str) -> SinkSpec[Any]:
        form = FORMS[name]

        def opened(context: SinkContext, config: MemorySinkConfig) -> MemorySink | AtOnceSink:
            return form(self.meshes.setdefault(context.mesh, MemoryMesh()), context)

        order = "revision" if form is AtOnceSink else "objects"
        return SinkSpec(name, MemorySinkConfig, opened, family, order)  # type: ignore[arg-type] # one of the two
