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
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar

from msgspec import Struct
from msgspec.structs import replace

from hub.api import (
    Change,
    NativeObject,
    ObjectRef,
    Observation,
    Observed,
    Op,
    RefusedError,
    SinkContext,
    SinkSpec,
    StaleError,
    TransientError,
    UnitKey,
    Written,
)

_ANY = "any"


class Died(BaseException):
    """The process that wrote ended here: nobody handles this, as nobody handles SIGKILL."""


class MemoryMesh:
    """What stands in a mesh, and what is wrong with it; a test sets the knobs, which are all public.

    `refused`, `failing`, `unanswered` and `unaccepted` hold objects: not taken as they are; not written; written, but the
    answer was lost; written, but never in force. `slow` are objects whose write waits for the event, `late` those that come into
    force (`memory-accepting`) only after it. `down` fails every call.
    `steps` are writes of an object or of memory that still succeed (None: all); then `fails` is raised by every further one.
    """

    def __init__(self) -> None:
        self.objects: dict[ObjectRef, Observed] = {}
        self.memory: dict[UnitKey, bytes] = {}
        self.owner = ""
        self.refused: set[ObjectRef] = set()
        self.failing: set[ObjectRef] = set()
        self.unanswered: set[ObjectRef] = set()
        self.unaccepted: set[ObjectRef] = set()
        self.slow: dict[ObjectRef, asyncio.Event] = {}
        self.late: dict[ObjectRef, asyncio.Event] = {}
        self.waiting: set[ObjectRef] = set()  # objects whose write waits now
        self.down = False
        self.steps: int | None = None
        self.fails: type[BaseException] = Died
        self.loses_answer = False  # the next write ends by an error after it was carried out
        self.written: list[tuple[Op, ObjectRef]] = []
        self.seen: Callable[[], None] = _nothing  # called after every write of an object by a hub
        self._number = 0
        self._changed: list[asyncio.Event] = []

    @property
    def token(self) -> str:
        """What stands for all that is there now."""
        return str(self._number)

    def next(self) -> str:
        """Something changes: the new token."""
        self._number += 1
        return self.token

    # -- what others do

    def foreign(self, native: NativeObject) -> None:
        """Somebody makes or changes an object, and leaves the mark as it is."""
        before = self.objects.get(native.ref)
        if before is None:
            before = Observed(native.ref, b"", None, "", native.role, native.needs)
        self._put(replace(before, owned=native.body, token=self.next()))
        self._notify()

    def unmark(self, ref: ObjectRef) -> None:
        """Somebody takes our mark off an object. Raises KeyError if it is not there."""
        self._put(replace(self.objects[ref], owner=None, token=self.next()))
        self._notify()

    def pause(self, ref: ObjectRef, *, on: bool = True) -> None:
        """Somebody pauses an object of ours, or resumes it. Raises KeyError if it is not there."""
        self._put(replace(self.objects[ref], paused=on, token=self.next()))
        self._notify()

    def vanish(self, ref: ObjectRef) -> None:
        """Somebody deletes an object. Raises KeyError if it is not there."""
        del self.objects[ref]
        self.next()
        self._notify()

    def recover(self) -> None:
        """Nothing is wrong any more; whoever waits goes on."""
        for each in (self.refused, self.failing, self.unanswered, self.unaccepted):
            each.clear()
        for event in (*self.slow.values(), *self.late.values()):
            event.set()
        self.slow.clear()
        self.late.clear()
        self.down = self.loses_answer = False
        self.steps = None

    # -- what a sink does

    def observed(self) -> Observation:
        """All of it."""
        return Observation(dict(self.objects), dict(self.memory), self.token, self.owner)

    def answer(self) -> None:
        """Raise TransientError while the mesh is down."""
        if self.down:
            raise TransientError("the mesh does not answer")

    def step(self) -> None:
        """Count a write. Raises `fails` when no more succeed."""
        self.answer()
        if self.steps is not None:
            if self.steps == 0:
                raise self.fails("no more writes succeed")
            self.steps -= 1

    async def write(self, change: Change) -> Written:
        """Write one object."""
        if change.ref in self.slow:
            await self._late(change.ref)
        wrong = self._wrong(change)
        if wrong is not None:
            return wrong
        self.step()
        token = self.carry_out(change)
        if change.ref in self.unanswered:
            return Written(change.ref, "failed", detail="no answer")
        return Written(change.ref, token=token)

    def carry_out(self, change: Change, token: str = "") -> str:
        """Have the object be as it should; its token since (that which is given, or a new one)."""
        before, token = self.objects.pop(change.ref, None), token or self.next()
        self.written.append((change.op, change.ref))
        if change.after is not None:
            after, held = change.after, before is not None and before.paused
            self._put(Observed(after.ref, after.body, change.unit, token, after.role, after.needs, paused=held))
        self.seen()
        return token if change.after is not None else ""

    def remember(self, memory: Mapping[UnitKey, bytes]) -> None:
        """Remember this of units."""
        self.memory |= memory
        self.memory = {key: raw for key, raw in self.memory.items() if raw}

    def is_as_planned(self, change: Change) -> bool:
        """Whether what stands there is what the change was planned on."""
        standing = self.objects.get(change.ref)
        if change.op is Op.CREATE or standing is None:
            return change.op is Op.CREATE and standing is None
        return standing.owner is not None and change.token in {"", standing.token}

    async def changes(self) -> AsyncIterator[None]:
        """Yield after somebody else changed the mesh, for ever."""
        event = asyncio.Event()
        self._changed.append(event)
        try:
            while True:
                await event.wait()
                event.clear()
                yield
        finally:
            self._changed.remove(event)

    async def _late(self, ref: ObjectRef) -> None:
        self.waiting.add(ref)
        try:
            await self.slow[ref].wait()
        finally:
            self.waiting.discard(ref)

    def _wrong(self, change: Change) -> Written | None:
        if change.ref in self.refused and change.after is not None:
            return Written(change.ref, "refused", detail="the mesh does not take it")
        if change.ref in self.failing:
            return Written(change.ref, "failed", detail="nobody knows why")
        if not self.is_as_planned(change):
            return Written(change.ref, "stale", detail="it is not as it was")
        return None

    def _put(self, observed: Observed) -> None:
        self.objects[observed.ref] = observed

    def _notify(self) -> None:
        for event in self._changed:
            event.set()


def _nothing() -> None:
    pass


# ------------------------------------------------------------------------------------------------------------- sinks


class _Any:
    """What all sinks of a mesh in memory do."""

    def __init__(self, mesh: MemoryMesh, context: SinkContext) -> None:
        self.mesh = mesh
        self._owner = context.owner

    async def observe(self) -> Observation:
        """See hub.api.Sink. Raises TransientError while the mesh is down: half a listing is none."""
        await asyncio.sleep(0)
        self.mesh.answer()
        return self.mesh.observed()

    async def changes(self) -> AsyncIterator[str]:
        """See hub.api.Watching."""
        async for _ in self.mesh.changes():
            yield ""

    async def close(self) -> None:
        """Nothing is open."""

    def _begin(self) -> None:
        self.mesh.answer()
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
        rows = [await self._mesh.write(change) for change in changes]
        if self._mesh.loses_answer:
            self._mesh.loses_answer = False
            raise TransientError("the answer was lost")
        return rows

    async def remember(self, memory: Mapping[UnitKey, bytes]) -> None:
        """See hub.api.Writing. Raises StaleError where somebody else has the mesh remember something of these units."""
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
        self._begin()
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
        self._begin()
        yield _Writing(self.mesh, self._known)
        self.mesh.owner = self._owner


class AcceptingSink(ApartSink):
    """The same; a `hub.api.Accepting`. Objects in `unaccepted` never come into force: that is told at once."""

    async def unaccepted(self, refs: Sequence[ObjectRef], deadline_s: float) -> list[Written]:
        """See hub.api.Accepting; a test decides how long `late` ones are waited for, if anybody waits."""
        for ref in sorted(self.mesh.late.keys() & set(refs) if deadline_s > 0 else ()):
            await self.mesh.late[ref].wait()
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
        self._begin()
        if token != self.mesh.token:
            raise StaleError("the mesh changed while this plan was made")
        if self.mesh.failing.intersection(one.ref for one in changes):
            raise TransientError("nobody knows why")
        self.mesh.step()
        # One call of `seen` for the whole transaction: in between nobody could have seen a part of it.
        seen, self.mesh.seen, after = self.mesh.seen, _nothing, self.mesh.next()
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
