"""When a mesh is tried again: later and later, with jitter, soon where somebody may have to lose access, and never while a plan is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from hub.errors import StaleError
from hub.model import Observation
from hub.plugins import installed_plugins
from hub.reconcile.hub import Hub
from hub.reconcile.loop import Loop
from hub.reconcile.worker import Worker
from hub.testing.memory import MemoryMesh, MemoryMeshes
from tests.hub.reconcile.test_in_flight import API, CONFIG, granting, until
from tests.hub.reconcile.test_loop import eventually
from tests.servers.folder import Folder, target
from tests.servers.hubs import config_of
from tests.servers.turning import Turns

pytestmark = pytest.mark.thorough
SOON_S, LATE_S = 5.0, 60.0


@pytest.fixture(name="folder")
def make_folder(tmp_path: Path) -> Folder:
    """See `granting`."""
    return granting(tmp_path)


class Waits:
    """How long a worker would wait before each further try; none takes any time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds: list[float] = []
        monkeypatch.setattr(Worker, "_sleep", self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await asyncio.sleep(0.001)

    async def next(self, count: int) -> list[float]:
        """The next so many."""
        self.seconds.clear()

        async def enough() -> bool:
            return len(self.seconds) >= count

        await eventually(enough)
        return self.seconds[:count]


@pytest.fixture(name="waits")
def make_waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    """Of every worker."""
    return Waits(monkeypatch)


@asynccontextmanager
async def living(
    folder: Folder, form: str = "memory-apart", *, down: bool = False
) -> AsyncIterator[tuple[Loop, MemoryMesh]]:
    """A running hub and its mesh."""
    folder.config(CONFIG.replace("memory-apart", form))
    meshes, plugins = MemoryMeshes(), installed_plugins()
    plugins = replace(plugins, sinks={**plugins.sinks, **meshes.specs})
    hub = Hub(config_of(folder.root / "smihub.yaml"), plugins)
    mesh = meshes.meshes["one"] = MemoryMesh()
    mesh.down = down
    loop = Loop(hub)
    task = asyncio.create_task(loop.run())
    try:
        yield loop, mesh
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await hub.close()


def rises(waits: list[float], most_s: float) -> bool:
    """Whether they double from one second to the most, with up to a second of jitter."""
    least = [min(2.0**number, most_s) for number in range(len(waits))]
    return all(low <= each <= min(low + 1, most_s) for low, each in zip(least, waits, strict=True))


async def test_mesh_that_is_down_at_the_start_is_tried_every_five_seconds(folder: Folder, waits: Waits) -> None:
    """Nobody knows whom it still lets in that it should not."""
    async with living(folder, down=True) as (_, mesh):
        assert rises(found := await waits.next(9), SOON_S), found
        assert found[-1] == SOON_S
        mesh.down = False
        await until(mesh, "api.web", "db.web")


async def test_mesh_that_is_down_with_nothing_to_write_is_tried_every_minute(folder: Folder, waits: Waits) -> None:
    """Until somebody is to lose access."""
    async with living(folder) as (loop, mesh):
        await until(mesh, "api.web", "db.web")
        await loop.workers[0].idle.wait()
        mesh.down = True
        loop.workers[0].refresh()
        assert rises(found := await waits.next(9), LATE_S), found
        assert found[-1] == LATE_S
        assert len({round(each % 1, 4) for each in found[:4]}) > 1, "no jitter"
        folder.remove("db.yaml")

        async def soon() -> bool:
            return waits.seconds[-1] <= SOON_S

        await eventually(soon)
        assert max(await waits.next(5)) <= SOON_S
        mesh.down = False
        await until(mesh, "api.web")


async def test_object_that_fails_is_tried_every_minute_or_every_five_seconds(folder: Folder, waits: Waits) -> None:
    """Every minute what gains alone."""
    async with living(folder) as (_, mesh):
        await until(mesh, "api.web", "db.web")
        mesh.failing.add(API)
        folder.write("more.yaml", target("api.other", "api", "other"))

        async def late() -> bool:
            return bool(waits.seconds) and waits.seconds[-1] > LATE_S / 2

        await eventually(late)
        folder.remove("api.yaml")
        folder.remove("more.yaml")

        async def soon() -> bool:
            return waits.seconds[-1] <= SOON_S

        await eventually(soon)
        assert max(await waits.next(3)) <= SOON_S
        mesh.recover()
        await until(mesh, "db.web")


async def test_mesh_that_somebody_else_changed_is_planned_again_at_once(folder: Folder, waits: Waits) -> None:
    """A race that is lost is nothing wrong."""
    async with living(folder, "memory-at-once") as (loop, mesh):
        await until(mesh, "api.web", "db.web")
        await loop.workers[0].idle.wait()
        sink: Any = loop.workers[0].mesh.sink
        write, lost = sink.write_all, [True]

        async def loses_once(*arguments: Any) -> str:
            if lost.pop() if lost else False:
                raise StaleError("somebody was faster")
            token: str = await write(*arguments)
            return token

        sink.write_all = loses_once
        waits.seconds.clear()
        folder.remove("db.yaml")
        await until(mesh, "api.web")
        assert len(waits.seconds) == 1
        assert 0.05 <= waits.seconds[0] <= 0.1


def test_mesh_that_goes_on_being_stale_is_tried_later_and_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """From a tenth of a second to five, for what waits is a revocation; after a success from the beginning."""
    with Turns() as turns:
        listed = list[float]()
        listing = MemoryMesh.listed

        async def noted(mesh: MemoryMesh) -> Observation:
            if mesh is turns.process.mesh("one"):
                listed.append(turns.process.time.time())
            return await listing(mesh)

        monkeypatch.setattr(MemoryMesh, "listed", noted)
        turns.begun(("memory-at-once", "memory"), ["api.web", "api.evil", "api.other"])
        for name in ("api.web", "api.evil"):
            listed.clear()
            turns.upset("one", "stale")
            turns.somebody("one", "vanish", "db")
            turns.change((), [name])
            turns.wait(60.0)
            waits = [after - before for before, after in pairwise(listed)]
            most = [min(0.1 * 2**number, SOON_S) for number in range(len(waits))]
            assert len(waits) < 30
            assert all(each / 2 <= wait <= each for wait, each in zip(waits, most, strict=True)), waits
            turns.mend("one")
            turns.turn()
        assert not turns.sides["one"].wrong(frozenset(["api.other"]))


async def test_mesh_of_which_the_plan_is_refused_is_not_listed_again(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for somebody's word or for other sources, and looking at the mesh again and again would load it for nothing."""
    monkeypatch.setattr("hub.reconcile.worker._APPROVAL_POLL_S", 0.02)
    monkeypatch.setattr("hub.reconcile.worker._HEARTBEAT_S", 0.02)
    async with living(folder) as (loop, mesh):
        await until(mesh, "api.web", "db.web")
        guards = "guards: {blastRadiusPercent: 10, minUnits: 1}\n"
        config = folder.root / "smihub.yaml"
        folder.config(config.read_text().replace("accept: [guard.blast-radius]\n", guards))
    listed = list[int]()
    observed = MemoryMesh.observed

    def counted(self: MemoryMesh) -> Observation:
        listed.append(1)
        return observed(self)

    monkeypatch.setattr(MemoryMesh, "observed", counted)
    meshes, plugins = MemoryMeshes(), installed_plugins()
    plugins = replace(plugins, sinks={**plugins.sinks, **meshes.specs})
    meshes.meshes["one"] = mesh
    hub = Hub(config_of(config), plugins)
    folder.remove("db.yaml")
    folder.remove("api.yaml")
    loop = Loop(hub)
    task = asyncio.create_task(loop.run())
    try:

        async def refused() -> bool:
            return loop._journal.outcomes.mesh("one").reason == "refused"

        await eventually(refused)
        await asyncio.sleep(0.3)
        before = len(listed)
        await asyncio.sleep(1)
        assert len(listed) == before
        assert await refused()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await hub.close()
