"""The loop as it really runs, over a mesh that takes several units at a time: what is slow there is waited for by nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from hub.model import ObjectRef
from hub.plugins import installed_plugins
from hub.reconcile.hub import Hub
from hub.reconcile.loop import Loop
from hub.testing.memory import MemoryMesh, MemoryMeshes
from tests.hub.reconcile.test_loop import eventually
from tests.servers.folder import Folder, target
from tests.servers.hubs import config_of
from tests.servers.small_town import BASE, served

CONFIG = """\
domain: {trustDomain: cluster.local}
sources: [{path: manifests}]
meshes: [{name: one, adapter: istio, sink: {kind: memory-apart}}]
accept: [guard.blast-radius]
"""
API = ObjectRef("security.istio.io", "AuthorizationPolicy", "shop", "smihub-api")


@pytest.fixture(name="folder")
def make_folder(tmp_path: Path) -> Folder:
    """See `granting`."""
    return granting(tmp_path)


def granting(root: Path) -> Folder:
    """`web` may call `api` and `db`."""
    folder = Folder(root)
    folder.config(CONFIG)
    folder.write("base.yaml", BASE)
    for name in ("api", "db"):
        folder.write(f"{name}.yaml", target(f"{name}.web", name, "web"))
    return folder


@asynccontextmanager
async def living(folder: Folder) -> AsyncIterator[MemoryMesh]:
    """The mesh of a running hub; whatever it still writes ends with it."""
    meshes, plugins = MemoryMeshes(), installed_plugins()
    plugins = replace(plugins, sinks={**plugins.sinks, **meshes.specs})
    hub = Hub(config_of(folder.root / "smihub.yaml"), plugins)
    mesh = meshes.meshes["one"] = MemoryMesh()
    task = asyncio.create_task(Loop(hub).run())
    try:
        yield mesh
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await hub.close()
        assert not mesh.waiting


async def until(mesh: MemoryMesh, *grants: str) -> None:
    """Wait until exactly these callers come through, `receiver.caller`."""

    async def reached() -> bool:
        return {f"{one.dst.pod}.{one.src.identity}".replace("shop/", "") for one in served(mesh)} == {*grants}

    await eventually(reached)


@pytest.mark.thorough
async def test_slow_unit_is_waited_for_by_nobody(folder: Folder) -> None:
    """Others gain and lose meanwhile, in later plans; when it is written what came for it since is written too."""
    async with living(folder) as mesh:
        await until(mesh, "api.web", "db.web")
        mesh.slow[API] = asyncio.Event()
        folder.write("more.yaml", target("api.evil", "api", "evil"))

        async def stuck() -> bool:
            return mesh.waiting == {API}

        await eventually(stuck)
        folder.remove("db.yaml")
        await until(mesh, "api.web")
        folder.write("db.yaml", target("db.other", "db", "other"))
        await until(mesh, "api.web", "db.other")
        folder.write("more.yaml", target("api.evil", "api", "other"))
        folder.remove("api.yaml")
        await asyncio.sleep(0.3)
        mesh.recover()
        await until(mesh, "api.other", "db.other")


@pytest.mark.thorough
async def test_unit_that_fails_is_tried_again_and_others_go_on(folder: Folder) -> None:
    """Between its tries too."""
    async with living(folder) as mesh:
        await until(mesh, "api.web", "db.web")
        mesh.failing.add(API)
        folder.remove("api.yaml")
        folder.write("db.yaml", target("db.other", "db", "other"))
        await until(mesh, "api.web", "db.other")
        folder.remove("db.yaml")
        await until(mesh, "api.web")
        mesh.recover()
        await until(mesh)


async def test_hub_may_end_while_a_unit_is_being_written(folder: Folder) -> None:
    """Nothing goes on behind it."""
    async with living(folder) as mesh:
        await until(mesh, "api.web", "db.web")
        mesh.slow[API] = asyncio.Event()
        folder.remove("api.yaml")

        async def stuck() -> bool:
            return mesh.waiting == {API}

        await eventually(stuck)
