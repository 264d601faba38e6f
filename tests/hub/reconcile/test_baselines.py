"""Baselines: the skeletons of scopes come before all that needs them, go after it, and hold up nothing but gains."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from hub.api import Access, Baseline, NativeObject, ObjectRef, Role, Translation, Unit
from hub.errors import UnsafeResourceError
from hub.mirror import Mirror
from hub.model import Op, UnitKey
from hub.spec import unsaid
from hub.testing.memory import FORMS, MemoryMesh
from hub.translated import translated
from tests.servers.skeletons import (
    MESH,
    OF_MESH,
    OF_SHOP,
    SERVICE,
    SHOP,
    SPEC,
    Running,
    SkeletalConfig,
    Trial,
    path,
    policy,
    served,
    translate,
)
from tests.servers.small_town import CALLERS

SKELETONS = {MESH, SHOP}
NAMESPACES = "governed: {namespaces: [shop]}"


@pytest.fixture(name="trial", params=FORMS)
def make_trial(request: pytest.FixtureRequest, tmp_path: Path) -> Trial:
    """A mesh to which nothing was applied."""
    return Trial(tmp_path, request.param)


@pytest.fixture(name="stepwise", params=[form for form in FORMS if form != "memory-at-once"])
def make_stepwise(request: pytest.FixtureRequest, tmp_path: Path) -> Trial:
    """The same of meshes that take objects one by one."""
    return Trial(tmp_path, request.param)


def access(name: str) -> UnitKey:
    """The unit of an account."""
    return UnitKey("access", "shop", name)


# ------------------------------------------------------------------------------- when they stand


async def test_skeletons_stand_once_anything_is_governed(trial: Trial) -> None:
    """They are remembered, so that a plan for them says nothing more; what they know is that everything is governed."""
    trial.change(["api.web"])
    await trial.settled()
    assert {ref for ref in trial.mesh.objects if ref.kind == "Skeleton"} == SKELETONS
    assert {OF_MESH, OF_SHOP} <= trial.mesh.memory.keys()
    assert all(trial.mesh.objects[ref].owned == b'{"is":"everything"}' for ref in SKELETONS)


async def test_skeleton_of_a_mesh_of_which_only_a_part_is_governed_is_told_so(tmp_path: Path) -> None:
    """What it refused there would be refused to workloads that nobody governs."""
    trial = Trial(tmp_path, "memory")
    text = (tmp_path / "smihub.yaml").read_text().replace("adapter: skeletal,", f"adapter: skeletal, {NAMESPACES},")
    (tmp_path / "smihub.yaml").write_text(text)
    trial.change(["api.web"])
    await trial.apply()
    assert trial.mesh.objects[SHOP].owned == b'{"is":"everything"}'
    assert trial.mesh.objects[MESH].owned == b'{"is":"nothing"}'


async def test_adapter_without_baselines_never_sees_one(tmp_path: Path) -> None:
    """And nothing of that kind is remembered."""

    def without(unit: Unit, config: SkeletalConfig) -> Translation:
        assert not isinstance(unit, Baseline)
        return Translation()

    trial = Trial(tmp_path, "memory", replace(SPEC, baselines=(), translate=without))
    trial.change(["api.web"])
    assert not any(key.kind == "baseline" for key in await trial.apply())
    assert not any(key.kind == "baseline" for key in trial.mesh.memory)


async def test_adapter_that_has_baselines_no_longer_has_them_deleted(tmp_path: Path) -> None:
    """A newer version of it needs none: what stands of them goes, last."""
    trial = Trial(tmp_path, "memory")
    await trial.apply()
    trial.spec = replace(SPEC, baselines=())
    await trial.apply()
    assert {ref.kind for ref in trial.mesh.objects} == {"Gate"}
    assert not any(key.kind == "baseline" for key in trial.mesh.memory)


async def test_skeletons_are_in_no_number_of_who_is_governed_or_loses(trial: Trial) -> None:
    """They grant nothing and lose nothing: neither as they come nor as they go."""
    trial.change(["api.web"])
    first = (await trial.plan()).plan
    await trial.settled()
    trial.empty()
    after = (await trial.plan()).plan
    accounts = {key for key in trial.mesh.memory if key.kind == "access"}
    assert first.governed == after.governed == len(accounts)
    assert {*first.governs} == accounts
    assert (first.lost, [*after.losing]) == ((), [access("api")])


# ------------------------------------------------------------------------------- order


async def test_skeletons_are_written_before_everything_else(trial: Trial) -> None:
    """However the names sort; in a mesh that takes objects at the same time, before those that need them."""
    trial.put(SERVICE.format("api"))
    trial.change(["api.web", "db.web"])
    await trial.apply()
    order = [ref for _, ref in trial.mesh.written]
    needing = [place for place, ref in enumerate(order) if ref.kind != "Skeleton"]
    assert {*order[: min(needing)]} >= SKELETONS
    assert trial.wider == []


async def test_skeletons_go_when_nothing_is_governed_any_more_and_last(trial: Trial) -> None:
    """Of a mesh in which only Services are left, all that is ours; accounts stay governed until they are released."""
    trial.put(SERVICE.format("api"))
    trial.remove_accounts()
    await trial.apply()
    assert {*trial.mesh.objects} == {*SKELETONS, path("api")}
    trial.remove("Service/shop/api")
    before = len(trial.mesh.written)
    await trial.apply()
    gone = trial.mesh.written[before:]
    assert {*gone} == {(Op.DELETE, MESH), (Op.DELETE, SHOP), (Op.DELETE, path("api"))}
    assert gone.index((Op.DELETE, path("api"))) < gone.index((Op.DELETE, SHOP))
    assert not trial.mesh.memory


async def test_skeletons_stay_while_an_account_that_is_nowhere_any_more_is_governed(trial: Trial) -> None:
    """It is governed until somebody releases it."""
    trial.put(SERVICE.format("api"))
    trial.change(["api.web"])
    await trial.settled()
    trial.empty()
    for _ in range(2):
        await trial.apply()
    assert {ref.kind for ref in trial.mesh.objects} == {"Gate", "Skeleton"}
    assert trial.mesh.objects.keys() >= SKELETONS


async def test_skeleton_is_not_deleted_while_what_needs_it_cannot_be(stepwise: Trial) -> None:
    """The Service's object goes first, or nothing does."""
    stepwise.put(SERVICE.format("api"))
    stepwise.remove_accounts()
    await stepwise.apply()
    stepwise.remove("Service/shop/api")
    stepwise.mesh.failing.add(path("api"))
    await stepwise.apply()
    assert SHOP in stepwise.mesh.objects
    stepwise.mesh.recover()
    await stepwise.apply()
    await stepwise.apply()
    assert not stepwise.mesh.objects


async def test_skeleton_stays_beside_an_object_that_is_left_alone(stepwise: Trial) -> None:
    """Its Service is gone, but somebody asked us not to touch it."""
    stepwise.put(SERVICE.format("api"))
    stepwise.remove_accounts()
    await stepwise.apply()
    stepwise.mesh.pause(path("api"))
    stepwise.remove("Service/shop/api")
    await stepwise.apply()
    assert {*stepwise.mesh.objects} == {*SKELETONS, path("api")}


# ------------------------------------------------------------------------------- where it ends at any write

CHANGES: tuple[tuple[Iterable[str], Iterable[str]], ...] = (
    ((), ("api.web", "db.evil")),
    (("api.web", "db.evil"), ("api.web", "api.evil")),
    (("api.web", "db.evil"), ()),
    (("api.web",), ("api.other", "pay.web")),
)


@pytest.mark.thorough
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("before", "after"), CHANGES)
async def test_killed_at_any_write_it_lets_nobody_through_and_a_new_process_ends_it(
    tmp_path: Path, form: str, before: Iterable[str], after: Iterable[str]
) -> None:
    """SIGKILL between any two writes, of objects and of what is remembered."""
    number, killed = 0, True
    while killed:
        root = tmp_path / str(number)
        root.mkdir()
        trial = Trial(root, form)
        trial.change(before)
        await trial.settled() if before else None
        trial.change(after)
        killed = await trial.killed_at(number)
        await trial.settled()
        number += 1
    assert number > (1 if form == "memory-at-once" else 3)


@pytest.mark.thorough
@pytest.mark.parametrize("knob", ["refused", "failing", "unanswered", "unaccepted"])
@pytest.mark.parametrize("broken", [MESH, SHOP, policy("api"), policy("db")], ids=lambda ref: f"{ref.kind}-{ref.name}")
@pytest.mark.parametrize(("before", "after"), CHANGES)
async def test_whatever_object_fails_nobody_is_let_through_and_all_is_written_in_the_end(
    stepwise: Trial, knob: str, broken: ObjectRef, before: Iterable[str], after: Iterable[str]
) -> None:
    """Also where the skeleton that stood was deleted by somebody else before."""
    stepwise.change(before)
    if before:
        await stepwise.settled()
        stepwise.mesh.vanish(MESH)
        stepwise.mesh.vanish(SHOP)
    getattr(stepwise.mesh, knob).add(broken)
    stepwise.look()
    stepwise.change(after)
    for _ in range(2):
        await stepwise.apply()
    assert stepwise.wider == []
    stepwise.mesh.recover()
    await stepwise.settled()


# ------------------------------------------------------------------------------- what a failed one holds up


@pytest.mark.parametrize("knob", ["refused", "failing", "unaccepted"])
async def test_failed_skeleton_stops_gains_and_no_loss(trial: Trial, knob: str) -> None:
    """It is amiss, and cannot be put right: who loses does so, who gains waits; afterwards that is written too."""
    if knob == "unaccepted" and "accepting" not in trial.form:
        pytest.skip("only one kind of sink can tell")
    if knob == "failing" and trial.form == "memory-at-once":
        pytest.skip("nothing at all is written there")
    trial.change(["api.web", "api.evil", "db.web"])
    await trial.settled()
    trial.mesh.foreign(NativeObject(MESH, Role.GUARD, b'{"is":"odd"}'))
    getattr(trial.mesh, knob).add(MESH)
    trial.look()
    trial.change(["api.web", "db.web", "db.other"])
    results = await trial.apply()
    assert served(trial.mesh) == {"api.web", "db.web"}
    assert results[access("db")].state != "written"
    trial.mesh.recover()
    await trial.settled()


async def test_unit_that_gains_and_loses_loses_while_a_skeleton_fails(trial: Trial) -> None:
    """The gain is left out, and the loss is written in its place."""
    trial.change(["api.web", "api.evil"])
    await trial.settled()
    trial.mesh.vanish(SHOP)
    trial.mesh.refused.add(SHOP)
    trial.look()
    trial.change(["api.web", "api.other"])
    await trial.apply()
    assert served(trial.mesh) == {"api.web"}
    trial.mesh.recover()
    await trial.settled()


@pytest.mark.parametrize("narrow", [True, False])
async def test_last_grant_is_not_deleted_while_the_skeleton_is_missing(trial: Trial, narrow: bool) -> None:  # noqa: FBT001 - drawn
    """Nothing would be left that refuses anybody anything: it grants nothing any more, if the adapter can say that, or stays."""
    trial.spec = SPEC if narrow else replace(SPEC, narrowest=unsaid)
    trial.change(["api.web", "db.web"])
    await trial.settled()
    for ref in SKELETONS:
        trial.mesh.vanish(ref)
    trial.mesh.refused |= SKELETONS
    trial.look()
    trial.change(["db.web"])
    for _ in range(2):
        await trial.apply()
        kept = set() if narrow else {"api.web"}
        assert served(trial.mesh) - {f"pay.{caller}" for caller in CALLERS} == {"db.web"} | kept
    trial.mesh.recover()
    await trial.settled()
    assert policy("api") not in trial.mesh.objects


async def test_narrowest_form_is_remembered_as_what_stands(trial: Trial) -> None:
    """Nobody is told twice what is lost, and what would be granted there again is new."""
    trial.change(["api.web"])
    await trial.settled()
    trial.mesh.vanish(MESH)
    trial.mesh.refused.add(MESH)
    trial.look()
    trial.change([])
    first = (await trial.plan()).plan
    assert (len(first.denied), first.losing) == (1, (access("api"),))
    await trial.apply()
    assert trial.mesh.objects[policy("api")].owned == b'{"is":[]}'
    again = (await trial.plan()).plan
    assert (again.denied, again.losing) == ((), ())
    written = len(trial.mesh.written)
    await trial.apply()
    assert len(trial.mesh.written) == written
    trial.change(["api.web"])
    assert len((await trial.plan()).plan.allowed) == 1


async def test_grant_that_stays_as_it_is_is_told_as_denied_until_it_is(trial: Trial) -> None:
    """The adapter has no narrower form: what was to be deleted stands, and nobody may take it for gone."""
    trial.spec = replace(SPEC, narrowest=unsaid)
    trial.change(["api.web"])
    await trial.settled()
    trial.mesh.vanish(MESH)
    trial.mesh.refused.add(MESH)
    trial.look()
    trial.change([])
    for _ in range(3):
        await trial.apply()
        assert len((await trial.plan()).plan.denied) == 1
    trial.mesh.recover()
    await trial.settled()


async def test_last_grant_does_not_go_while_its_skeleton_is_not_in_force(tmp_path: Path) -> None:
    """It stands, but the mesh has not taken it: the grant is emptied at once, and deleted when that is so."""
    trial = Trial(tmp_path, "memory-accepting")
    trial.change(["api.web"])
    await trial.settled()
    trial.mesh.unaccepted.add(MESH)
    trial.change([])
    await trial.apply()
    assert trial.mesh.objects[policy("api")].owned == b'{"is":[]}'
    trial.mesh.recover()
    await trial.settled()
    assert policy("api") not in trial.mesh.objects


async def test_adapter_that_raises_on_a_narrowest_form_leaves_the_grant_as_it_is(tmp_path: Path) -> None:
    """It is named."""

    def fails(body: bytes, kind: str) -> bytes | None:
        raise KeyError("nobody thought of this")

    trial = Trial(tmp_path, "memory", replace(SPEC, narrowest=fails))
    trial.change(["api.web"])
    await trial.settled()
    trial.mesh.unmark(MESH)
    trial.change([])
    reviewed = await trial.plan()
    assert ("bug.adapter", access("api")) in {(each.code, each.unit) for each in reviewed.refusals}
    assert not [change for change in reviewed.plan.changes if change.ref == policy("api")]


async def test_skeleton_in_the_place_of_which_somebody_elses_object_stands(trial: Trial) -> None:
    """It is a conflict of that unit alone; what needs it gains nothing and loses all the same."""
    trial.change(["api.web", "api.evil"])
    await trial.settled()
    trial.mesh.unmark(SHOP)
    trial.look()
    trial.change(["api.web", "db.web"])
    reviewed = await trial.plan()
    assert [(each.code, each.unit) for each in reviewed.refusals] == [("guard.foreign-owner", OF_SHOP)]
    await trial.apply()
    assert served(trial.mesh) == {"api.web"}
    trial.change([])
    await trial.apply()
    assert trial.mesh.objects[policy("api")].owned == b'{"is":[]}'
    assert served(trial.mesh) == set()


async def test_adapter_that_raises_on_a_skeleton_stops_gains_and_no_loss(tmp_path: Path) -> None:
    """It stays as it stands, and is named; so too where somebody deleted it before."""

    def fails(unit: Unit, config: SkeletalConfig) -> Translation:
        if isinstance(unit, Baseline):
            raise KeyError("nobody thought of this")
        return translate(unit, config)

    trial = Trial(tmp_path, "memory")
    trial.change(["api.web", "api.evil"])
    await trial.settled()
    trial.spec = replace(SPEC, translate=fails)
    trial.change(["api.web", "db.web"])
    reviewed = await trial.plan()
    assert {each.unit for each in reviewed.refusals} == {OF_MESH, OF_SHOP}
    await trial.apply()
    assert served(trial.mesh) == {"api.web"}
    assert trial.mesh.objects.keys() >= SKELETONS
    for ref in SKELETONS:
        trial.mesh.vanish(ref)
    trial.look()
    trial.change([])
    await trial.apply()
    assert not [name for name in served(trial.mesh) if name.startswith("api.")]


@pytest.mark.parametrize("scope", ["", "TrafficTarget/", "Pod/", "Service/"])
async def test_nothing_of_a_skeleton_goes_while_something_is_unread(trial: Trial, scope: str) -> None:
    """Not by a new process either, which never saw what it cannot read."""
    trial.put(SERVICE.format("api"))
    trial.change(["api.web"])
    await trial.settled()
    trial.fail(scope or "TrafficTarget/", *(() if scope else ("Pod/", "Service/")))
    await trial.apply()
    assert trial.mesh.objects.keys() >= SKELETONS
    trial.remove("Service/shop/api")
    await trial.apply()
    assert trial.mesh.objects.keys() >= SKELETONS


async def test_last_service_of_a_scope_takes_no_skeleton_away_while_something_is_unread(trial: Trial) -> None:
    """Nobody can tell what else is governed there; once it can be read, the skeleton goes."""
    trial.remove_accounts()
    trial.put(SERVICE.format("api"))
    await trial.apply()
    trial.fail("Pod/")
    trial.remove("Service/shop/api")
    await trial.apply()
    assert trial.mesh.objects.keys() == SKELETONS
    trial.fail()
    await trial.apply()
    assert not trial.mesh.objects


async def test_gain_waits_for_a_skeleton_that_stands_and_is_not_in_force(tmp_path: Path) -> None:
    """The mesh has not taken it yet, or has dropped it; who loses does so."""
    trial = Trial(tmp_path, "memory-accepting")
    trial.change(["api.web", "api.evil"])
    await trial.settled()
    trial.mesh.unaccepted.add(MESH)
    trial.change(["api.web", "db.web"])
    await trial.apply()
    assert served(trial.mesh) == {"api.web"}
    trial.mesh.recover()
    await trial.settled()


# ------------------------------------------------------------------------------- a hub that runs


async def test_running_hub_makes_them_and_takes_them_away(trial: Trial) -> None:
    """With the first and the last unit of their scope, which are planned alone."""
    trial.remove_accounts()
    running = Running(trial)
    await running.turn()
    assert not trial.mesh.objects
    trial.put(SERVICE.format("api"))
    await running.turn()
    assert {*trial.mesh.objects} == {*SKELETONS, path("api")}
    trial.put(SERVICE.format("other").replace("namespace: shop", "namespace: bank"))
    trial.remove("Service/shop/api")
    await running.turn()
    assert {*trial.mesh.objects} == {MESH, replace(SHOP, namespace="bank"), path("other", "bank")}
    await running.close()


async def test_running_hub_waits_with_gains_for_a_slow_skeleton_and_not_with_losses(tmp_path: Path) -> None:
    """It is being put right: who loses meanwhile does so at once."""
    trial = Trial(tmp_path, "memory-apart")
    trial.change(["api.web", "api.evil"])
    running = Running(trial)
    await running.turn()
    trial.mesh.vanish(SHOP)
    running.mesh.mirror = None
    trial.look()
    trial.mesh.slow[SHOP] = asyncio.Event()
    trial.change(["api.web", "api.evil", "db.web"])
    await running.turn()
    assert trial.mesh.waiting == {SHOP}
    assert served(trial.mesh) == {"api.web", "api.evil"}
    trial.change(["api.web", "db.web"])
    await running.turn()
    assert trial.mesh.waiting == {SHOP}
    assert served(trial.mesh) == {"api.web"}
    trial.mesh.recover()
    await running.turn()
    assert served(trial.mesh) == {"api.web", "db.web"}
    assert trial.wider == []
    await running.close()


async def test_skeleton_is_not_taken_away_while_a_unit_of_its_scope_is_being_written(tmp_path: Path) -> None:
    """Nobody sees that one standing yet."""
    trial = Trial(tmp_path, "memory-apart", config="accept: [guard.blast-radius]")
    trial.remove_accounts()
    trial.put(SERVICE.format("api"))
    running = Running(trial)
    await running.turn()
    trial.mesh.slow[path("db")] = asyncio.Event()
    trial.put(SERVICE.format("db"))
    await running.turn()
    assert trial.mesh.waiting == {path("db")}
    trial.remove("Service/shop/api")
    trial.remove("Service/shop/db")
    await running.turn()
    assert SHOP in trial.mesh.objects
    trial.mesh.recover()
    await running.turn()
    await running.turn()
    assert not trial.mesh.objects
    await running.close()


# ------------------------------------------------------------------------------- keys


def test_mirror_counts_what_is_held_by_scope_and_domain() -> None:
    """A skeleton of one domain does not stand for what another one governs."""
    mesh = MemoryMesh()
    units = [
        UnitKey("access", "shop", "api"),
        UnitKey("route", "bank", "db"),
        UnitKey("access", "shop", "api", "other"),
    ]
    mesh.memory = dict.fromkeys([*units, OF_MESH, OF_SHOP], b"{}")
    mirror = Mirror(mesh.observed())
    keys = [OF_MESH, OF_SHOP, replace(OF_MESH, domain="other"), UnitKey("baseline", "pay", "")]
    assert [mirror.held_in(key) for key in keys] == [2, 1, 1, 0]
    mirror.follow((), {units[0]: b""}, "2")
    assert [mirror.held_in(key) for key in keys] == [1, 0, 1, 0]


def _grants(unit: Unit, config: SkeletalConfig) -> Translation:
    return Translation((NativeObject(MESH, Role.GRANT, b"{}"),))


def _needs(unit: Unit, config: SkeletalConfig) -> Translation:
    return Translation((NativeObject(MESH, Role.GUARD, b"{}", needs=(SHOP,)),))


@pytest.mark.parametrize("wrong", [_grants, _needs])
def test_skeleton_that_grants_or_cannot_come_first_is_refused(wrong: Any) -> None:
    """An adapter that makes one has a bug."""
    with pytest.raises(UnsafeResourceError, match="baseline"):
        translated(replace(SPEC, translate=wrong), OF_MESH, Baseline(), SkeletalConfig())
    assert not isinstance(Baseline(), Access)
