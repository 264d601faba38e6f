"""What every sink must do, whatever it writes to: files, a database, or a mesh in memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from msgspec.structs import replace

from hub.errors import StaleError, TransientError
from hub.mirror import Mirror
from hub.model import Change, Observation, Role, UnitKey
from hub.plan.changes import Desired
from hub.plan.plan import Plan
from hub.reconcile.rollout import roll_out
from hub.testing.memory import Died
from tests.servers.benches import (
    FAILURES,
    KINDS,
    Bench,
    Grants,
    allowed,
    apply,
    bench_of,
    observed,
    planned,
    requests,
    served,
    wanted,
)

BOTH: Grants = {"api": ["web", "evil"], "db": ["web"]}
CHANGES: Mapping[str, tuple[Grants, Grants]] = {
    "first": ({}, BOTH),
    "gain": ({"api": ["web"]}, BOTH),
    "loss": (BOTH, {"api": ["web"]}),
    "swap": ({"api": ["evil"], "db": ["web"]}, {"api": ["web"], "db": ["other"]}),
}
API, DB = UnitKey("access", "shop", "api"), UnitKey("access", "shop", "db")


@pytest.fixture(name="bench", params=KINDS)
def make_bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    """Every kind of sink, with nothing in its mesh."""
    return bench_of(request.param, tmp_path)


async def converged(bench: Bench, desired: Mapping[UnitKey, Desired]) -> None:
    """The next apply brings about what is wanted, and the one after that writes nothing."""
    await apply(bench, desired)
    left = planned(bench, desired, await observed(bench))
    assert left.changes == ()
    assert left.conflicts == ()
    assert not left.memory


async def test_what_was_written_is_observed(bench: Bench) -> None:
    """Bodies, units, roles, needs, memory, and the tokens of the objects and of the mesh, as the hub took them over."""
    for grants in (BOTH, {"api": ["web"]}):
        sink = bench.sink()
        before = await sink.observe()
        mirror, desired = Mirror(before), wanted(bench, grants)
        made = planned(bench, desired, before)
        done = await roll_out(sink, made, mirror)
        await sink.close()
        assert not done.stopped
        mirror.follow(done.written, done.memory, done.token)
        after = await observed(bench)
        assert replace(mirror.whole(), owner=None, mends=False) == replace(after, owner=None, mends=False)
        natives = {native.ref: native for one in desired.values() for native in one.translation.objects}
        assert after.objects.keys() == natives.keys()
        assert served(bench, after) == allowed(bench, grants)


async def test_what_is_forgotten_is_gone(bench: Bench) -> None:
    """And the rest is remembered on."""
    await apply(bench, wanted(bench, BOTH))
    before, sink = await observed(bench), bench.sink()
    await roll_out(sink, Plan("bench", (await sink.observe()).token, memory={DB: b""}), Mirror(before))
    await sink.close()
    after = await observed(bench)
    assert before.memory.keys() - after.memory.keys() == {DB}
    assert after.objects.keys() == before.objects.keys()
    assert all(after.memory[key] == before.memory[key] for key in after.memory)


async def test_object_that_is_not_taken_stops_its_unit_alone(bench: Bench) -> None:
    """It is refused in words; everything of the other units stands, and what it stood in for stands as it did."""
    await apply(bench, wanted(bench, {"api": ["web"]}))
    before, desired = await observed(bench), wanted(bench, BOTH)
    natives = [bench.spoiled(one) if one.role is Role.GRANT else one for one in desired[API].translation.objects]
    spoiled = {
        **desired,
        API: replace(desired[API], translation=replace(desired[API].translation, objects=tuple(natives))),
    }
    sink = bench.sink()
    made = planned(bench, spoiled, await sink.observe())
    done = await roll_out(sink, made, Mirror(before))
    await sink.close()
    assert done.stopped == {API}
    assert done.results[API].state == "refused"
    assert done.results[API].detail
    after = await observed(bench)
    assert served(bench, after) == allowed(bench, {"api": ["web"], "db": ["web"]})


async def test_plan_of_a_mesh_that_changed_writes_nothing(bench: Bench) -> None:
    """Somebody else was faster: what she wrote stands, and so does what she remembered."""
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


@pytest.mark.parametrize(("kind", "how"), FAILURES)
async def test_mesh_that_fails_is_written_when_it_works_again(kind: str, how: str, tmp_path: Path) -> None:
    """What failed is told, is no wider meanwhile, holds up no other unit, and is written by the next plan."""
    bench = bench_of(kind, tmp_path)
    await apply(bench, wanted(bench, {"api": ["evil"], "db": ["evil"]}))
    desired = wanted(bench, {"api": ["web"], "db": ["web"]})
    grant = next(native for native in desired[API].translation.objects if native.role is Role.GRANT)
    before = await observed(bench)
    with bench.failing(grant.ref, how):
        if kind in {"xds", "memory-at-once"}:
            with pytest.raises(TransientError):
                await apply(bench, desired)
        else:
            done = await apply(bench, desired)
            assert done.stopped == {API}
            assert done.results[API].state == "failed"
            assert served(bench, await observed(bench)) == allowed(bench, {"api": ["evil"], "db": ["web"]})
    if kind in {"xds", "memory-at-once"}:
        assert await observed(bench) == before
    await converged(bench, desired)
    assert served(bench, await observed(bench)) == allowed(bench, {"api": ["web"], "db": ["web"]})


@pytest.mark.thorough
@pytest.mark.parametrize("change", CHANGES)
async def test_process_may_end_at_any_write(bench: Bench, change: str, tmp_path: Path) -> None:
    """What stands then is never wider than before or after, is a beginning of the plan, and the next plan ends it."""
    first, second = CHANGES[change]
    number, ended = 0, False
    while not ended:
        number += 1
        root = tmp_path / str(number)
        root.mkdir()
        trial = bench_of(bench.name, root)
        await apply(trial, wanted(trial, first))
        desired, before = wanted(trial, second), await observed(trial)
        made = planned(trial, desired, before)
        with trial.dying(number):
            ended = not await _died(trial, desired)
        between = await observed(trial)
        assert served(trial, between) <= allowed(trial, first) | allowed(trial, second)
        _must_be_a_beginning(made, before, between)
        await converged(trial, desired)
        assert served(trial, await observed(trial)) == allowed(trial, second)
    assert number > 1


async def _died(bench: Bench, desired: Mapping[UnitKey, Desired]) -> bool:
    try:
        await apply(bench, desired)
    except Died:
        return True
    return False


def _must_be_a_beginning(made: Plan, before: Observation, between: Observation) -> None:
    """Of each unit all waves up to one are written, and none after it."""
    for unit in {change.unit for change in made.changes}:
        done, left = set[int](), set[int]()
        for change in made.changes:
            if change.unit == unit:
                (done if _is_done(change, between) else left).add(change.wave)
        assert not done or not left or max(done) <= min(left), unit
    untouched = before.objects.keys() - {change.ref for change in made.changes}
    assert all(between.objects[ref] == before.objects[ref] for ref in untouched)


def _is_done(change: Change, seen: Observation) -> bool:
    standing = seen.objects.get(change.ref)
    if change.after is None or standing is None:
        return change.after is None and standing is None
    return standing.owned == change.after.body


def test_requests_tell_the_changes_apart(bench: Bench) -> None:
    """Else the tests above would see nothing."""
    assert len(list(requests())) == 12
    for first, second in CHANGES.values():
        assert allowed(bench, first) != allowed(bench, second)
