"""What a running hub owes while a plan is refused or a write fails: nothing of it is forgotten, and nothing counted that is done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from hub.model import ObjectRef, UnitKey
from hub.planner import Reviewed
from hub.plugins import installed_plugins
from hub.reconcile.hub import Hub
from hub.reconcile.loop import Loop
from hub.status.journal import Journal
from hub.testing.memory import MemoryMesh, MemoryMeshes
from tests.hub.reconcile.test_in_flight import until
from tests.hub.reconcile.test_loop import eventually
from tests.hub.reconcile.test_turns import lets
from tests.servers.folder import Folder, target
from tests.servers.hubs import config_of
from tests.servers.small_town import BASE
from tests.servers.turning import Turns

CONFIG = """\
domain: {trustDomain: cluster.local}
sources: [{path: manifests}]
meshes: [{name: one, adapter: istio, sink: {kind: memory-apart}}]
guards: {blastRadiusPercent: 0, minUnits: 2}
"""
NUMBERED = """\
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: numbered, namespace: shop}
spec: {matches: [{name: numbered, pathRegex: "/users/[0-9]+"}]}
"""
API = ObjectRef("security.istio.io", "AuthorizationPolicy", "shop", "smihub-api")
UNIT = UnitKey("access", "shop", "api")


@pytest.fixture(name="turns")
def make_turns() -> Iterator[Turns]:
    """A hub that is to begin."""
    with Turns() as made:
        yield made


@asynccontextmanager
async def living(folder: Folder) -> AsyncIterator[tuple[Hub, Journal, MemoryMesh]]:
    """A running hub, what it knows, and its mesh."""
    meshes, plugins = MemoryMeshes(), installed_plugins()
    hub = Hub(config_of(folder.root / "smihub.yaml"), replace(plugins, sinks={**plugins.sinks, **meshes.specs}))
    mesh, journal = meshes.meshes.setdefault("one", MemoryMesh()), Journal()
    task = asyncio.create_task(Loop(hub, journal=journal).run())
    try:
        yield hub, journal, mesh
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await hub.close()


@pytest.mark.thorough
async def test_plan_that_is_refused_stays_so_when_a_unit_that_failed_before_is_tried_again(tmp_path: Path) -> None:
    """Else nobody's approval would be heard, and the ten minutes of the blast radius would go on: waiting makes nothing pass."""
    folder = Folder(tmp_path)
    folder.config(CONFIG)
    folder.write("base.yaml", BASE)
    for name in ("api", "db", "pay"):
        folder.write(f"{name}.yaml", target(f"{name}.web", name, "web"))
    async with living(folder) as (hub, journal, mesh):
        await until(mesh, "api.web", "db.web", "pay.web")
        mesh.failing.add(API)
        folder.write("more.yaml", target("api.other", "api", "other"))

        async def failed() -> bool:
            return journal.outcomes.of("one")[UNIT].condition("Applied").reason == "failed"

        async def refused() -> bool:
            return journal.outcomes.mesh("one").reason == "refused"

        await eventually(failed)
        folder.remove("db.yaml")
        folder.remove("pay.yaml")
        await eventually(refused)
        failing_s = 3  # until it is tried again
        mesh.recover()
        for _ in range(failing_s * 10):
            await asyncio.sleep(0.1)
            assert await refused()
            assert "one" in hub.window._known()


def test_loss_that_was_written_beside_a_gain_that_cannot_be_does_not_count_as_waiting(turns: Turns) -> None:
    """Neither in what is told of the unit, nor in how often its gain is tried."""
    turns.begun(("memory-accepting", "memory"), ["api.web"])
    mesh = turns.sides["one"].mesh
    mesh.unaccepted.add(turns.policy("api", "PeerAuthentication"))
    turns.change(["api.other"], ["api.web"])
    turns.turn()
    assert not lets(turns, "one", "api.web")
    assert turns.process.loop is not None
    outcome = turns.process.journal.outcomes.of("one")[UNIT]
    assert outcome.condition("Applied").reason == "failed"
    assert outcome.losing_since is None
    assert not turns.process.loop.workers[0]._losing


def test_loss_that_is_not_written_does_count(turns: Turns) -> None:
    """The policy itself cannot be written."""
    turns.begun(("memory-accepting", "memory"), ["api.web"])
    turns.sides["one"].mesh.failing.add(turns.policy("api"))
    turns.change(["api.other"], ["api.web"])
    turns.turn()
    assert lets(turns, "one", "api.web")
    assert turns.process.loop is not None
    assert turns.process.journal.outcomes.of("one")[UNIT].losing_since is not None
    assert turns.process.loop.workers[0]._losing


@pytest.mark.thorough
async def test_unit_that_is_refused_for_its_own_losses_is_not_planned_with_every_change(tmp_path: Path) -> None:
    """One change costs one change; once it is about the unit itself, it is planned, and goes through."""
    folder = Folder(tmp_path)
    folder.config(CONFIG)
    folder.write("base.yaml", BASE + "---\n" + NUMBERED)
    folder.write(
        "api.yaml", target("api.web", "api", "web", matches="numbered").replace("name: routes", "name: numbered")
    )
    async with living(folder) as (hub, journal, mesh):

        async def refused() -> bool:
            outcome = journal.outcomes.of("one").get(UNIT)
            return outcome is not None and outcome.condition("Lowered").reason == "loss"

        planned, plan = list[set[UnitKey]](), hub.plan

        async def counted(*arguments: Any, **named: Any) -> Reviewed:
            planned.append(set(arguments[2] or ()))
            return await plan(*arguments, **named)

        hub.plan = counted  # type: ignore[method-assign]
        await eventually(refused)
        planned.clear()
        folder.write("db.yaml", target("db.web", "db", "web"))
        await until(mesh, "db.web")
        assert planned
        assert UNIT not in set().union(*planned)
        folder.write("api.yaml", target("api.web", "api", "web"))
        await until(mesh, "api.web", "db.web")


@pytest.mark.thorough
async def test_unit_that_is_refused_for_another_file_goes_on_when_that_is_gone(tmp_path: Path) -> None:
    """A kustomization that would rename its Pods changes nothing of the unit itself."""
    folder = Folder(tmp_path)
    folder.config(CONFIG + "accept: [istio.path-not-expressible]\n")
    folder.write("base.yaml", BASE)
    folder.write("kustomization.yaml", "resources: [base.yaml, api.yaml]\nnamePrefix: x-\n")
    folder.write("api.yaml", target("api.web", "api", "web"))
    async with living(folder) as (_, journal, mesh):

        async def refused() -> bool:
            outcome = journal.outcomes.of("one").get(UNIT)
            return outcome is not None and outcome.condition("Applied").status == "False"

        await eventually(refused)
        folder.remove("kustomization.yaml")
        await until(mesh, "api.web")
