"""A mesh in memory with knobs for what goes wrong there; `hub.testing.memory` has the sinks that write it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from msgspec.structs import replace

from hub.api import Change, NativeObject, ObjectRef, Observation, Observed, Op, TransientError, UnitKey, Written


class Died(BaseException):
    """The process that wrote ended here: nobody handles this, as nobody handles SIGKILL."""


class MemoryMesh:
    """What stands in a mesh, and what is wrong with it; a test sets the knobs, which are all public.

    `refused`, `failing`, `unanswered` and `unaccepted` hold objects: not taken as they are; not written; written, but the
    answer was lost; written, but never in force. `slow` are objects whose write waits for the event, `late` those that come into
    force (`memory-accepting`) only after it. `down` fails every call, `hangs` lets each call wait for the event, and with `half` a
    listing breaks off in the middle. While it is `deaf`, nobody is told of changes. `fall_behind` makes listings stale: they show what stood then.
    `steps` are writes of an object or of memory that still succeed (None: all); then `fails` is raised by every further one.
    """

    def __init__(self) -> None:
        self.objects: dict[ObjectRef, Observed] = {}
        self.memory: dict[UnitKey, bytes] = {}
        self.remembered = 0  # how often anything of it was written
        self.owner = ""
        self.refused: set[ObjectRef] = set()
        self.failing: set[ObjectRef] = set()
        self.unanswered: set[ObjectRef] = set()
        self.unaccepted: set[ObjectRef] = set()
        self.slow: dict[ObjectRef, asyncio.Event] = {}
        self.late: dict[ObjectRef, asyncio.Event] = {}
        self.waiting: set[ObjectRef] = set()  # objects of calls that go on
        self.down = self.half = self.deaf = self.dead = False
        self.hangs: asyncio.Event | None = None
        self.steps: int | None = None
        self.fails: Callable[[str], BaseException] = Died
        self.loses_answer = False  # the next write ends by an error after it was carried out
        self.written: list[tuple[Op, ObjectRef]] = []
        self.seen: Callable[[], None] = nothing  # called after every write of an object by a hub
        self._number = 0
        self._behind: Observation | None = None  # what a listing shows instead of what stands
        self.taken: dict[ObjectRef, UnitKey] = {}  # of which somebody took our mark off
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
        before = self.objects[ref]
        if before.owner is not None:
            self.taken[ref] = before.owner
        self._put(replace(before, owner=None, token=self.next()))
        self._notify()

    def give_back(self, ref: ObjectRef) -> None:
        """Somebody who took our mark off puts it back. Raises KeyError if nobody did, or the object is not there."""
        self._put(replace(self.objects[ref], owner=self.taken.pop(ref), token=self.next()))
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

    def fall_behind(self) -> None:
        """Every listing from now on shows what stands now, until the mesh recovers, and says so."""
        self._behind = self.observed()

    @property
    def stale(self) -> bool:
        """Whether listings show what stood some time ago."""
        return self._behind is not None

    def recover(self) -> None:
        """Nothing is wrong any more; whoever waits goes on."""
        for each in (self.refused, self.failing, self.unanswered, self.unaccepted):
            each.clear()
        for event in (*self.slow.values(), *self.late.values()):
            event.set()
        self.slow.clear()
        self.late.clear()
        if self.hangs is not None:
            self.hangs.set()
        told = self.deaf or self._behind is not None
        self.down = self.half = self.deaf = self.loses_answer = False
        if told:
            self._notify()
        self.hangs = self.steps = self._behind = None

    # -- what a sink does

    def observed(self) -> Observation:
        """All of it."""
        return Observation(dict(self.objects), dict(self.memory), self.token, self.owner)

    async def listed(self) -> Observation:
        """A listing. Raises TransientError while the mesh is down, and where it breaks off: half a listing is none."""
        await self.reach()
        if self.half:
            raise TransientError("the listing broke off in the middle")
        return self._behind or self.observed()

    async def reach(self) -> None:
        """Wait while the mesh hangs. Raises TransientError while it is down."""
        while self.hangs is not None:
            await self.hangs.wait()
        self.answer()

    @contextmanager
    def writes(self, refs: Iterable[ObjectRef]) -> Iterator[None]:
        """Around a call that writes these objects: none of it can be taken back."""
        mine = {*refs}
        self.waiting |= mine
        try:
            yield
        finally:
            self.waiting -= mine

    def answer(self) -> None:
        """Raise TransientError while the mesh is down, or the process that asks is `dead`."""
        if self.down or self.dead:
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
        await self.reach()
        if change.ref in self.slow:
            await self.slow[change.ref].wait()
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
        self.remembered += 1
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
        for event in () if self.deaf else self._changed:
            event.set()


def nothing() -> None:
    """Nobody looks."""
