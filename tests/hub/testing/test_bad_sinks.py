"""The sink suite rejects sinks that lose, lie, overwrite, or take half for the whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from hub.api import Change, Observation, Op, Role, SmihubError, Written
from hub.model import UnitKey
from hub.testing.memory import ApartSink, AtOnceSink, MemoryMesh, MemorySink, _Writing
from hub.testing.sinks.bench import SinkBench
from hub.testing.sinks.suite import SinkSuite
from tests.servers.benches import MemoryBench, context

Write = Callable[[Sequence[Change]], Any]


class _Own:
    """A sink whose writes go through a function of its own; beside one of the sinks in memory."""

    mesh: MemoryMesh

    @asynccontextmanager
    async def writing(self, token: str) -> AsyncIterator[Any]:
        """See hub.api.Sink."""
        async with super().writing(token) as writing:  # type: ignore[misc] # of the sink beside it
            yield _Through(writing, self)

    async def write(self, writing: _Writing, changes: Sequence[Change]) -> Sequence[Written]:
        """What it does with the changes of a wave."""
        return await writing.write(changes)


class _Bad(_Own, MemorySink):
    """One token stands for all."""


class _BadApart(_Own, ApartSink):
    """Each object has a token."""


class _Through:
    def __init__(self, writing: _Writing, sink: _Own) -> None:
        self._writing, self._sink = writing, sink

    @property
    def token(self) -> str:
        return self._writing.token

    async def write(self, changes: Sequence[Change]) -> Sequence[Written]:
        return await self._sink.write(self._writing, changes)

    async def remember(self, memory: Mapping[UnitKey, bytes]) -> None:
        await self._writing.remember(memory)


class WritesLater(_Bad):
    """It says that a wave is written, and writes it with the next one, or at the end."""

    left: tuple[Change, ...] = ()

    @asynccontextmanager
    async def writing(self, token: str) -> AsyncIterator[Any]:
        """See hub.api.Sink."""
        async with super().writing(token) as writing:
            yield writing
            for change in self.left:
                self.mesh.carry_out(change)

    async def write(self, writing: _Writing, changes: Sequence[Change]) -> Sequence[Written]:
        """The last wave now, this one later."""
        await writing.write(self.left)
        self.left = tuple(changes)
        return [Written(change.ref, token=self.mesh.token) for change in changes]


class DeletesFirst(_Bad):
    """An object is deleted before its new form is written."""

    async def write(self, writing: _Writing, changes: Sequence[Change]) -> Sequence[Written]:
        """Two writes for a replacement."""
        for change in changes:
            if change.op is Op.REPLACE:
                before = self.mesh.objects.pop(change.ref)
                self.mesh.step()
                self.mesh.objects[change.ref] = before
        return await writing.write(changes)


class Overwrites(_BadApart):
    """Whatever stands is replaced."""

    async def write(self, writing: _Writing, changes: Sequence[Change]) -> Sequence[Written]:
        """Without a look."""
        for change in changes:
            if change.op is Op.CREATE:
                self.mesh.objects.pop(change.ref, None)
        return await writing.write(changes)


class IgnoresTokens(_Bad):
    """It writes on whatever stands by now."""

    @asynccontextmanager
    async def writing(self, token: str) -> AsyncIterator[Any]:
        """See hub.api.Sink."""
        async with super().writing(self.mesh.token) as writing:
            yield writing

    async def write(self, writing: _Writing, changes: Sequence[Change]) -> Sequence[Written]:
        """The tokens of objects too."""
        now = {ref: one.token for ref, one in self.mesh.objects.items()}
        return await writing.write(
            [
                replace(one, token=now.get(one.ref, ""), op=Op.REPLACE if one.ref in now and one.after else one.op)
                for one in changes
            ]
        )


class LosesTheOwner(_Bad):
    """Whose an object is, is not kept."""

    async def write(self, writing: _Writing, changes: Sequence[Change]) -> Sequence[Written]:
        """Written, without our mark."""
        found = await writing.write(changes)
        for change in changes:
            if change.ref in self.mesh.objects:
                self.mesh.objects[change.ref] = replace(self.mesh.objects[change.ref], owner=None)
        return found


class MixesOwners(_Bad):
    """All is of the first unit that was written."""

    async def write(self, writing: _Writing, changes: Sequence[Change]) -> Sequence[Written]:
        """One label for all."""
        first = min(change.unit for change in changes)
        return await writing.write([replace(change, unit=first) for change in changes])


class SwallowsErrors(_Bad):
    """What failed is said to be written."""

    async def write(self, writing: _Writing, changes: Sequence[Change]) -> Sequence[Written]:
        """An answer of one kind."""
        found = await writing.write(changes)
        return [replace(one, state="written", token=self.mesh.token) if one.state == "failed" else one for one in found]


class SwallowsRefusals(_Bad):
    """What is refused is left out."""

    async def write(self, writing: _Writing, changes: Sequence[Change]) -> Sequence[Written]:
        """The same of what the mesh does not take."""
        found = await writing.write(changes)
        return [
            replace(one, state="written", token=self.mesh.token) if one.state == "refused" else one for one in found
        ]


class StopsAll(_Bad):
    """What fails for one object ends the write of all."""

    async def write(self, writing: _Writing, changes: Sequence[Change]) -> Sequence[Written]:
        """Up to the first that fails."""
        found: list[Written] = []
        for change in changes:
            bad = bool(found) and found[-1].state != "written"
            found.append(Written(change.ref, "failed") if bad else (await writing.write([change]))[0])
        return found


class ReadsHalf(MemorySink):
    """Where the mesh does not answer, what was heard so far is all."""

    async def observe(self) -> Observation:
        """See hub.api.Sink."""
        try:
            return await super().observe()
        except SmihubError:
            some = dict(list(self.mesh.objects.items())[:1])
            return Observation(some, dict(self.mesh.memory), self.mesh.token, self.mesh.owner)


class ForgetsRoles(MemorySink):
    """What an object is in its unit is not read again."""

    async def observe(self) -> Observation:
        """See hub.api.Sink."""
        seen = await super().observe()
        return replace(seen, objects={ref: replace(one, role=Role.GRANT) for ref, one in seen.objects.items()})


class CreatesOnce(_Bad):
    """What was created, and not heard of, cannot be created, replaced or deleted again."""

    async def write(self, writing: _Writing, changes: Sequence[Change]) -> Sequence[Written]:
        """Of the second try nothing is written, and all is said to be."""
        done = self.__dict__.setdefault("done", set())
        todo = [change for change in changes if change.ref not in self.mesh.__dict__.setdefault("tried", set())]
        self.mesh.__dict__["tried"] |= {change.ref for change in changes if change.op is Op.CREATE}
        found = {one.ref: one for one in await writing.write(todo)}
        done |= found.keys()
        return [found.get(change.ref, Written(change.ref, token=self.mesh.token)) for change in changes]


class HalfTransaction(AtOnceSink):
    """A transaction that fails has written its beginning."""

    async def write_all(self, changes: Sequence[Change], memory: Mapping[UnitKey, bytes], token: str) -> str:
        """See hub.api.Transactional."""
        if self.mesh.failing:
            for change in changes[:1]:
                self.mesh.carry_out(change)
        return await super().write_all(changes, memory, self.mesh.token if self.mesh.failing else token)


BAD: Mapping[str, tuple[type[Any], str]] = {
    "says that it wrote what it did not": (WritesLater, "test_what_is_said_to_be_written_stands"),
    "deletes first": (DeletesFirst, "test_process_may_end_at_any_write"),
    "writes over what is of others": (Overwrites, "test_objects_of_others_are_left_alone"),
    "ignores tokens": (IgnoresTokens, "test_plan_of_a_mesh_that_changed_writes_nothing"),
    "loses the owner": (LosesTheOwner, "test_what_was_written_is_observed"),
    "mixes the units": (MixesOwners, "test_what_was_written_is_observed"),
    "takes a failure for a success": (SwallowsErrors, "test_mesh_that_fails_is_written_when_it_works_again"),
    "takes a refusal for a success": (SwallowsRefusals, "test_object_that_is_not_taken_stops_its_unit_alone"),
    "has one failure stop all": (StopsAll, "test_mesh_that_fails_is_written_when_it_works_again"),
    "takes half for the whole": (ReadsHalf, "test_half_of_what_stands_is_not_all_of_it"),
    "forgets what objects are": (ForgetsRoles, "test_what_was_written_is_observed"),
    "writes once": (CreatesOnce, "test_process_may_end_at_any_write"),
    "writes half of a transaction": (HalfTransaction, "test_mesh_that_fails_is_written_when_it_works_again"),
}
"""By what is wrong: the sink, and the test that must fail."""


class _Bench(MemoryBench):
    def __init__(self, root: Path, kind: type[Any]) -> None:
        self._kind = kind
        form = "memory-at-once" if issubclass(kind, AtOnceSink) else "memory-apart" if kind.apart else "memory"
        super().__init__(root, form)

    def sink(self) -> Any:
        super().sink()
        return self._kind(self._meshes.meshes["bench"], context(self._root))


@pytest.mark.thorough
@pytest.mark.parametrize("what", BAD)
def test_a_bad_sink_is_rejected(what: str, tmp_path: Path) -> None:
    """By the test that is about its fault."""
    kind, test = BAD[what]

    class Suite(SinkSuite):
        def bench(self, root: Path) -> SinkBench:
            return _Bench(root, kind)

    with pytest.raises(AssertionError):
        getattr(Suite(), test)(tmp_path)
