"""A rollout walks the waves of each unit: what fails stops what needs it, and nothing opens or breaks on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest
from msgspec.structs import replace

from hub.errors import StaleError, TransientError
from hub.memory.permits import Permit
from hub.memory.states import decode, digest
from hub.mirror import Mirror
from hub.model import Change, Identity, NativeObject, ObjectRef, Op, Role, UnitKey
from hub.plan.changes import in_steps
from hub.plan.plan import Plan
from hub.reconcile.rollout import RolloutResult, roll_out
from hub.testing.memory import FORMS, MemoryMesh, MemoryMeshes, MemorySinkConfig
from tests.hub.sinks.small_mesh import access, native, planned
from tests.servers.benches import context

API, DB = access("api"), access("db")
GUARD, OTHER_GUARD = native(Role.GUARD, "api"), native(Role.GUARD, "db")
SHARED = native(Role.REFERENCED, "shared")
GRANT = native(Role.GRANT, "api", needs=(SHARED.ref,))
OTHER = native(Role.GRANT, "db", needs=(SHARED.ref,))
Units = Mapping[UnitKey, tuple[NativeObject, ...]]


class Trial:
    """A mesh in memory, and plans that are written there."""

    def __init__(self, form: str, root: Path) -> None:
        meshes = MemoryMeshes()
        self._sink = meshes.specs[form].open(context(root), MemorySinkConfig())
        self.mesh: MemoryMesh = meshes.meshes["bench"]

    async def plan(self, units: Units) -> tuple[Plan, Mirror]:
        """The plan for these units."""
        seen = await self._sink.observe()
        return planned(units, seen), Mirror(seen)

    async def apply(self, units: Units, *gaining: str) -> RolloutResult:
        """Write the plan for these units, some of which gain something."""
        made, mirror = await self.plan(units)
        return await roll_out(self._sink, replace(made, gained=tuple(map(_permit, gaining))), mirror)

    async def write(self, made: Plan, mirror: Mirror) -> RolloutResult:
        """Write this plan."""
        return await roll_out(self._sink, made, mirror)

    def stands(self, one: NativeObject) -> bool:
        """Whether an object stands as it is given."""
        observed = self.mesh.objects.get(one.ref)
        return observed is not None and observed.owned == one.body


def _permit(receiver: str) -> Permit:
    web = "spiffe://cluster.local/ns/shop/sa/web"
    return Permit(Identity("cluster.local", "shop", receiver), web, "TCP", None, None, None)


@pytest.fixture(name="trial", params=["memory", "memory-apart", "memory-accepting"])
def make_trial(request: pytest.FixtureRequest, tmp_path: Path) -> Trial:
    """A sink that takes objects one by one."""
    return Trial(request.param, tmp_path)


async def test_what_others_of_a_wave_need_is_written_before_them_and_deleted_after_them(trial: Trial) -> None:
    """A mesh may refuse an object that refers to what is not there, and the deletion of what is referred to."""
    needing = native(Role.REFERENCED, "a", needs=(SHARED.ref,))
    await trial.apply({API: (needing, SHARED)})
    await trial.apply({API: ()})
    created, deleted = [SHARED.ref, needing.ref], [needing.ref, SHARED.ref]
    assert trial.mesh.written == [*((Op.CREATE, ref) for ref in created), *((Op.DELETE, ref) for ref in deleted)]


def test_objects_that_need_each_other_are_written_in_one_step() -> None:
    """After what they need both, and before what needs one of them."""
    one, other = (
        replace(native(Role.REFERENCED, name), needs=(native(Role.REFERENCED, to).ref,)) for name, to in ("ab", "ba")
    )
    one = replace(one, needs=(*one.needs, SHARED.ref))
    last = native(Role.REFERENCED, "0", needs=(one.ref, native(Role.REFERENCED, "0").ref))
    changes = [Change(Op.CREATE, each.ref, 2, None, each, API) for each in (last, one, other, SHARED)]
    names = [[change.ref.name for change in step] for step in in_steps(changes, lambda _: ())]
    assert names == [["shared"], ["0", "a", "b"]]


async def test_what_needs_an_object_that_is_not_taken_waits_for_it(trial: Trial) -> None:
    """Of another unit, too; what it does not need is written."""
    trial.mesh.refused.add(SHARED.ref)
    done = await trial.apply({API: (GUARD, SHARED), DB: (OTHER_GUARD, OTHER)})
    assert (done.results[API].state, done.results[DB].state) == ("refused", "waiting")
    assert not trial.stands(OTHER)
    assert trial.stands(OTHER_GUARD)
    assert done.memory.keys() == {API, DB}
    assert all(b'"natives":"e3b0' in raw for raw in done.memory.values()), "both states may stand"


async def test_units_that_need_each_other_are_written_in_order(trial: Trial) -> None:
    """However slow the first is, and whatever else could be written at the same time."""
    trial.mesh.slow[SHARED.ref] = asyncio.Event()
    task = asyncio.create_task(trial.apply({API: (GUARD, SHARED), DB: (OTHER_GUARD, OTHER)}))
    for _ in range(50):
        await asyncio.sleep(0)
    assert trial.mesh.waiting == {SHARED.ref}
    assert not trial.stands(OTHER)
    trial.mesh.recover()
    assert not (await task).stopped
    assert trial.stands(OTHER)


async def test_grant_is_not_deleted_where_its_guard_does_not_stand(trial: Trial) -> None:
    """Nobody knows whether its absence would open what the guard should close."""
    await trial.apply({API: (SHARED, GRANT), DB: (OTHER,)})
    trial.mesh.refused.add(GUARD.ref)
    done = await trial.apply({API: (GUARD, SHARED), DB: ()})
    assert done.results[API].state == "refused"
    assert trial.stands(GRANT)
    assert not trial.stands(OTHER)


async def test_stopped_unit_loses_and_does_not_gain(trial: Trial) -> None:
    """A grant that only shrinks is replaced; of a unit that gains none is, and none is made."""
    small, more = (native(Role.GRANT, name, {"for": "less"}, (SHARED.ref,)) for name in ("api", "db"))
    await trial.apply({API: (SHARED, GRANT), DB: (OTHER,)})
    trial.mesh.refused |= {GUARD.ref, OTHER_GUARD.ref}
    await trial.apply({API: (GUARD, SHARED, small), DB: (OTHER_GUARD, more)}, "db")
    assert trial.stands(small)
    assert trial.stands(OTHER)


@pytest.mark.parametrize("failing", [GUARD.ref, OTHER.ref], ids=["guard", "grant"])
async def test_what_stands_is_remembered_where_all_is_lost_that_should_be(trial: Trial, failing: ObjectRef) -> None:
    """A new guard fails, and every grant has shrunk or gone; or one could not be deleted, and nobody takes it for gone."""
    small = native(Role.GRANT, "api", {"for": "less"})
    await trial.apply({API: (native(Role.GRANT, "api"), native(Role.GRANT, "db"))})
    guards = (GUARD,) if failing == GUARD.ref else ()
    trial.mesh.failing.add(failing)
    done = await trial.apply({API: (*guards, small, *((native(Role.GRANT, "db"),) if guards else ()))})
    assert done.results[API].state == "failed"
    assert trial.stands(small)
    standing = digest((ref, one.owned) for ref, one in trial.mesh.objects.items())
    remembered = decode(done.memory[API])
    assert remembered is not None
    assert (standing in {state.natives for state in remembered.states}) == bool(guards)
    assert guards or len(remembered.states) == 2, "what stood and what should stand may both be there"


async def test_what_is_needed_still_is_not_deleted(trial: Trial) -> None:
    """The grant that goes cannot be deleted, so what it needs stays; the next plan deletes both, in that order."""
    await trial.apply({API: (SHARED,), DB: (OTHER,)})
    trial.mesh.failing.add(OTHER.ref)
    done = await trial.apply({API: (), DB: ()})
    assert (done.results[API].state, done.results[DB].state) == ("waiting", "failed")
    assert trial.stands(SHARED)
    trial.mesh.recover()
    await trial.apply({API: (), DB: ()})
    assert trial.mesh.written[-2:] == [(Op.DELETE, OTHER.ref), (Op.DELETE, SHARED.ref)]


async def test_no_grant_is_deleted_before_its_new_guard_is_in_force(tmp_path: Path) -> None:
    """And other units do not wait for that."""
    trial = Trial("memory-accepting", tmp_path)
    await trial.apply({API: (SHARED, GRANT), DB: (OTHER,)})
    trial.mesh.late[GUARD.ref] = asyncio.Event()
    task = asyncio.create_task(trial.apply({API: (GUARD, SHARED), DB: ()}))
    for _ in range(50):
        await asyncio.sleep(0)
    assert trial.stands(GUARD)
    assert trial.stands(GRANT)
    assert not trial.stands(OTHER)
    trial.mesh.recover()
    await task
    assert not trial.stands(GRANT)


async def test_part_of_a_plan_that_fails_as_a_whole_is_its_units_alone(tmp_path: Path) -> None:
    """Somebody else has the mesh remember something of one unit: the other one is written."""
    trial = Trial("memory-apart", tmp_path)
    made, mirror = await trial.plan({API: (GUARD,), DB: (OTHER_GUARD,)})
    trial.mesh.memory[API] = b"{}"
    done = await trial.write(made, mirror)
    assert (done.results[API].state, done.results[DB].state) == ("stale", "written")
    assert not done.whole
    assert not trial.stands(GUARD)
    trial.mesh.memory[DB] = b"{}"
    with pytest.raises(StaleError):
        await trial.write(made, mirror)


async def test_mesh_that_does_not_answer_raises(trial: Trial) -> None:
    """It is no unit's fault."""
    made, mirror = await trial.plan({API: (GUARD,), DB: (OTHER_GUARD,)})
    trial.mesh.down = True
    with pytest.raises(TransientError):
        await trial.write(made, mirror)


async def test_unit_that_needs_what_is_refused_is_left_out_of_a_revision(tmp_path: Path) -> None:
    """All at once means all of the others."""
    trial = Trial("memory-at-once", tmp_path)
    trial.mesh.refused.add(SHARED.ref)
    done = await trial.apply({API: (SHARED,), DB: (OTHER,), access("pay"): (native(Role.GUARD, "pay"),)})
    assert done.stopped == {API, DB}
    assert {ref.name for ref in trial.mesh.objects} == {"pay"}


@pytest.mark.parametrize("form", FORMS)
async def test_memory_of_a_unit_that_goes_goes_last(form: str, tmp_path: Path) -> None:
    """What stands of it is remembered until nothing does."""
    trial = Trial(form, tmp_path)
    await trial.apply({API: (GUARD,)})
    remembered: list[bool] = []
    trial.mesh.seen = lambda: remembered.append(API in trial.mesh.memory)
    made, mirror = await trial.plan({API: (GUARD,)})
    gone = replace(made, changes=(_deleted(trial, GUARD.ref),), memory={API: b""})
    await trial.write(gone, mirror)
    assert remembered == [form != "memory-at-once"]
    assert not trial.mesh.memory


def _deleted(trial: Trial, ref: ObjectRef) -> Change:
    standing = trial.mesh.objects[ref]
    return Change(Op.DELETE, ref, 8, standing.owned, None, API, standing.token)
