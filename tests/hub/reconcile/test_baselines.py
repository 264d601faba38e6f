"""Baselines: the skeletons of scopes come before all that needs them, and go after it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from hub.api import Access, Baseline, NativeObject, Role, Translation, Unit
from hub.errors import UnsafeResourceError
from hub.mirror import Mirror
from hub.model import Op, UnitKey
from hub.testing.memory import MemoryMesh
from hub.translated import translated
from tests.servers.skeletons import (
    MESH,
    OF_MESH,
    OF_SHOP,
    SERVICE,
    SHOP,
    SKELETONS,
    SPEC,
    Running,
    SkeletalConfig,
    Trial,
    access,
    path,
    served,
)

NAMESPACES = "governed: {namespaces: [shop]}"


# ------------------------------------------------------------------------------- when they stand


@pytest.mark.thorough
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


@pytest.mark.thorough
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


@pytest.mark.thorough
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
