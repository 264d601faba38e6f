"""What every sink must do, as a class of tests: subclass it, and give a bench (hub.testing.sinks.bench).

from hub.testing.sinks.suite import SinkSuite

class TestMySink(SinkSuite):
    def bench(self, root):
        return MyBench(root)
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path

from msgspec.structs import replace

from hub.api import Transactional
from hub.errors import SmihubError, StaleError, TransientError
from hub.mirror import Mirror
from hub.model import Change, NativeObject, Observation, Role, UnitKey
from hub.plan.changes import Desired, in_steps
from hub.plan.plan import Plan
from hub.reconcile.rollout import roll_out
from hub.testing.memory import Died
from hub.testing.sinks.bench import Grants, SinkBench, allowed, apply, observed, planned, requests, served, wanted

BOTH: Grants = {"api": ["web", "evil"], "db": ["web"]}
CHANGES: Mapping[str, tuple[Grants, Grants]] = {
    "first": ({}, BOTH),
    "gain": ({"api": ["web"]}, BOTH),
    "loss": (BOTH, {"api": ["web"]}),
    "swap": ({"api": ["evil"], "db": ["web"]}, {"api": ["web"], "db": ["other"]}),
}
API, DB = UnitKey("access", "shop", "api"), UnitKey("access", "shop", "db")


class SinkSuite:
    """The tests. Each makes a bench, most of them one, below its own folder."""

    def bench(self, root: Path) -> SinkBench:
        """A fresh bench, with an empty mesh; `root` is an empty folder for it."""
        raise NotImplementedError

    def test_what_was_written_is_observed(self, tmp_path: Path) -> None:
        """Bodies, units, roles, needs, memory, and the tokens of the objects and of the mesh, as the hub took them over."""
        asyncio.run(_observed_as_written(self.bench(tmp_path)))

    def test_what_is_said_to_be_written_stands(self, tmp_path: Path) -> None:
        """Also where the process ends right after it was said."""
        steps = 0
        while asyncio.run(_stands(self.bench(_below(tmp_path, str(steps))), steps)):
            steps += 1

    def test_objects_of_others_are_left_alone(self, tmp_path: Path) -> None:
        """Also one that came after the plan was made, where one of ours was to stand."""
        asyncio.run(_left_alone(self.bench(tmp_path)))

    def test_half_of_what_stands_is_not_all_of_it(self, tmp_path: Path) -> None:
        """What cannot be read whole is an error: what is missing in a reading would be taken for deleted."""
        asyncio.run(_whole(self.bench(tmp_path)))

    def test_what_is_forgotten_is_gone(self, tmp_path: Path) -> None:
        """And the rest is remembered on."""
        asyncio.run(_forgotten(self.bench(tmp_path)))

    def test_object_that_is_not_taken_stops_its_unit_alone(self, tmp_path: Path) -> None:
        """It is refused in words; everything of the other units stands, and what it stood in for stands as it did."""
        asyncio.run(_stopped_alone(self.bench(tmp_path)))

    def test_plan_of_a_mesh_that_changed_writes_nothing(self, tmp_path: Path) -> None:
        """Somebody else was faster: what she wrote stands, and so does what she remembered."""
        asyncio.run(_stale(self.bench(tmp_path)))

    def test_mesh_that_fails_is_written_when_it_works_again(self, tmp_path: Path) -> None:
        """What failed is told, is no wider meanwhile, holds up no other unit, and is written by the next plan."""
        for how in self.bench(_below(tmp_path, "0")).failures:
            asyncio.run(_failed(self.bench(_below(tmp_path, how)), how))

    def test_process_may_end_at_any_write(self, tmp_path: Path) -> None:
        """What stands then is never wider than before or after, is a beginning of the plan, and the next plan ends it."""
        for change in CHANGES:
            asyncio.run(self._ended(_below(tmp_path, change), *CHANGES[change]))

    async def _ended(self, root: Path, first: Grants, second: Grants) -> None:
        number = 1
        while await _killed(self.bench(_below(root, str(number))), number, first, second):
            number += 1
        assert number > 1, "nothing was written in steps at which a process could end"


def _below(root: Path, name: str) -> Path:
    made = root / name
    made.mkdir(parents=True)
    return made


# -------------------------------------------------------------------------------------------------------------- written


async def _observed_as_written(bench: SinkBench) -> None:
    for grants in (BOTH, {"api": ["web"]}):
        sink = bench.sink()
        before = await sink.observe()
        mirror, desired = Mirror(before), wanted(bench, grants)
        done = await roll_out(sink, planned(bench, desired, before), mirror)
        await sink.close()
        assert not done.stopped
        mirror.follow(done.written, done.memory, done.token)
        after = await observed(bench)
        assert replace(mirror.whole(), owner=None, mends=False) == replace(after, owner=None, mends=False)
        natives = {native.ref for one in desired.values() for native in one.translation.objects}
        assert after.objects.keys() == natives
        assert served(bench, after) == allowed(bench, grants)


async def _stands(bench: SinkBench, steps: int) -> bool:
    """Whether there are more steps than these, after which the process ends; what was said to be written stands."""
    sink = bench.sink()
    seen = await sink.observe()
    made = planned(bench, wanted(bench, BOTH), seen)
    said, waves = list[Change](), groupby(made.changes, lambda one: one.wave)
    todo = [step for _, found in waves for step in in_steps(list(found), Mirror(seen).needs)]
    if isinstance(sink, Transactional):
        await sink.write_all(made.changes, made.memory, seen.token)
        said = list(made.changes)
    else:
        try:
            async with sink.writing(seen.token) as writing:
                for batch in todo[: steps + 1]:
                    found = await writing.write(batch)
                    said += [change for change, one in zip(batch, found, strict=True) if one.state == "written"]
                raise Died  # noqa: TRY301 - the process ends within the write
        except Died:
            pass
    after = await observed(bench)
    await sink.close()  # only now: nothing that closing does may help
    assert said
    assert all(_is_done(change, after) for change in said)
    return steps + 1 < len(todo) and not isinstance(sink, Transactional)


async def _left_alone(bench: SinkBench) -> None:
    sink = bench.sink()
    seen = await sink.observe()
    made = planned(bench, wanted(bench, BOTH), seen)
    native = next(one.after for one in made.changes if one.unit == API and one.after and one.after.role is Role.GRANT)
    if not bench.foreign(native):
        await sink.close()
        return
    try:
        done = await roll_out(sink, made, Mirror(seen))
        assert done.results[API].state != "written"
    except StaleError:
        pass
    await _is_foreign(bench, native)
    await apply(bench, wanted(bench, BOTH))  # and by a plan that knows of it
    await _is_foreign(bench, native)
    await sink.close()


async def _is_foreign(bench: SinkBench, native: NativeObject) -> None:
    standing = (await observed(bench)).objects.get(native.ref)
    assert standing is None or standing.owner is None


async def _whole(bench: SinkBench) -> None:
    await apply(bench, wanted(bench, BOTH))
    before = await observed(bench)
    with bench.unreadable():
        try:
            half = await observed(bench)
        except SmihubError:
            return
    assert half.objects == before.objects


async def _forgotten(bench: SinkBench) -> None:
    await apply(bench, wanted(bench, BOTH))
    before, sink = await observed(bench), bench.sink()
    await roll_out(sink, Plan("bench", (await sink.observe()).token, memory={DB: b""}), Mirror(before))
    await sink.close()
    after = await observed(bench)
    assert before.memory.keys() - after.memory.keys() == {DB}
    assert after.objects.keys() == before.objects.keys()
    assert all(after.memory[key] == before.memory[key] for key in after.memory)


async def _converged(bench: SinkBench, desired: Mapping[UnitKey, Desired]) -> None:
    """The next apply brings about what is wanted, and the one after that writes nothing."""
    await apply(bench, desired)
    left = planned(bench, desired, await observed(bench))
    assert left.changes == ()
    assert left.conflicts == ()
    assert not left.memory


# ----------------------------------------------------------------------------------------------------------- not written


async def _stopped_alone(bench: SinkBench) -> None:
    await apply(bench, wanted(bench, {"api": ["web"]}))
    before, desired = await observed(bench), wanted(bench, BOTH)
    made = desired[API].translation
    natives = tuple(bench.spoiled(one) if one.role is Role.GRANT else one for one in made.objects)
    spoiled = {**desired, API: replace(desired[API], translation=replace(made, objects=natives))}
    sink = bench.sink()
    done = await roll_out(sink, planned(bench, spoiled, await sink.observe()), Mirror(before))
    await sink.close()
    assert done.stopped == {API}
    assert done.results[API].state == "refused"
    assert done.results[API].detail
    assert served(bench, await observed(bench)) == allowed(bench, {"api": ["web"], "db": ["web"]})


async def _stale(bench: SinkBench) -> None:
    await apply(bench, wanted(bench, {"api": ["web"]}))
    slow = bench.sink()
    seen = await slow.observe()
    made = planned(bench, wanted(bench, {"api": ["evil"]}), seen)
    await apply(bench, wanted(bench, {"api": ["other"]}))
    before = await observed(bench)
    try:
        done = await roll_out(slow, made, Mirror(seen))
        assert done.results[API].state == "stale"
    except StaleError:
        pass
    await slow.close()
    assert await observed(bench) == before


async def _failed(bench: SinkBench, how: str) -> None:
    await apply(bench, wanted(bench, {"api": ["evil"], "db": ["evil"]}))
    desired = wanted(bench, {"api": ["web"], "db": ["web"]})
    grant = next(native for native in desired[API].translation.objects if native.role is Role.GRANT)
    before, whole = await observed(bench), await _all_or_nothing(bench)
    with bench.failing(grant.ref, how):
        if whole:
            await _must_fail_as_a_whole(bench, desired)
        else:
            done = await apply(bench, desired)
            assert done.stopped == {API}
            assert done.results[API].state == "failed"
            assert served(bench, await observed(bench)) == allowed(bench, {"api": ["evil"], "db": ["web"]})
    if whole:
        assert await observed(bench) == before
    await _converged(bench, desired)
    assert served(bench, await observed(bench)) == allowed(bench, {"api": ["web"], "db": ["web"]})


async def _all_or_nothing(bench: SinkBench) -> bool:
    sink = bench.sink()
    await sink.close()
    return isinstance(sink, Transactional)


async def _must_fail_as_a_whole(bench: SinkBench, desired: Mapping[UnitKey, Desired]) -> None:
    try:
        await apply(bench, desired)
    except TransientError:
        return
    raise AssertionError("a mesh that takes all or nothing failed, and the sink raised no TransientError")


# ----------------------------------------------------------------------------------------------------------- ended between


async def _killed(bench: SinkBench, number: int, first: Grants, second: Grants) -> bool:
    """Whether the process ended at this write; what stands is as it must be."""
    await apply(bench, wanted(bench, first))
    desired, before = wanted(bench, second), await observed(bench)
    made = planned(bench, desired, before)
    with bench.dying(number):
        died = await _died(bench, desired)
    between = await observed(bench)
    assert served(bench, between) <= allowed(bench, first) | allowed(bench, second)
    _must_be_a_beginning(made, before, between)
    await _converged(bench, desired)
    assert served(bench, await observed(bench)) == allowed(bench, second)
    return died


async def _died(bench: SinkBench, desired: Mapping[UnitKey, Desired]) -> bool:
    try:
        await apply(bench, desired)
    except Died:
        return True
    return False


def _must_be_a_beginning(made: Plan, before: Observation, between: Observation) -> None:
    """Of each unit all waves up to one are written, and none after it."""
    for unit in {change.unit for change in made.changes}:
        done, left = set[int](), set[int]()
        for change in _of(unit, made):
            (done if _is_done(change, between) else left).add(change.wave)
        assert not done or not left or max(done) <= min(left), unit
    untouched = before.objects.keys() - {change.ref for change in made.changes}
    assert all(between.objects[ref] == before.objects[ref] for ref in untouched)


def _of(unit: UnitKey, made: Plan) -> Iterator[Change]:
    return (change for change in made.changes if change.unit == unit)


def _is_done(change: Change, seen: Observation) -> bool:
    standing = seen.objects.get(change.ref)
    if change.after is None or standing is None:
        return change.after is None and standing is None
    return standing.owned == change.after.body


def requests_tell_changes_apart(bench: SinkBench) -> bool:
    """Whether the shop's requests show each change of this suite: else it would see nothing."""
    pairs = [(allowed(bench, first), allowed(bench, second)) for first, second in CHANGES.values()]
    return len(list(requests())) == 12 and all(first != second for first, second in pairs)
