"""What somebody else changes of ours in a mesh is put back while the hub runs; nothing else is touched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from hub.api import Watching
from hub.model import Observation, UnitKey
from hub.plugins import installed_plugins
from hub.reconcile.drift_backoff import DriftBackoff
from hub.reconcile.hub import Hub
from hub.reconcile.loop import Loop
from hub.sinks.folder import Folder as FolderSink
from hub.status.journal import Journal
from hub.status.outcomes import Changed
from hub.testing.memory import MemoryMesh, MemoryMeshes
from tests.hub.reconcile.test_in_flight import API, until
from tests.hub.reconcile.test_loop import eventually
from tests.hub.sinks.istio_shop import PEERS_FILE, POLICY_FILE, RENDERED, istio_shop
from tests.servers.folder import Folder, target
from tests.servers.hubs import config_of, hub_of
from tests.servers.small_town import BASE

pytestmark = pytest.mark.thorough

UNIT = UnitKey("access", "shop", "api")


class Live:
    """A running hub, and every outcome that it told."""

    def __init__(self, hub: Hub, folder: Folder) -> None:
        self.hub = hub
        self.root = folder.root / RENDERED
        self.told: list[Changed] = []
        self.reads = 0

    @property
    def drifted(self) -> list[tuple[str, str]]:
        """The units that were told to be otherwise than they were written, with what was otherwise."""
        conditions = (
            (str(each.unit), each.after.condition("Drifted"))
            for changed in self.told
            for each in changed.units
            if each.after is not None
        )
        return [(unit, condition.message) for unit, condition in conditions if condition.reason == "changed"]


@asynccontextmanager
async def living(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Live]:
    """A running hub that has applied the folder."""
    monkeypatch.setattr("hub.sinks.directory._LOOK_S", 0.2)
    hub = hub_of(folder.root / "smihub.yaml")
    live, observe = Live(hub, folder), hub.meshes[0].sink.observe

    async def counted() -> Observation:
        live.reads += 1
        return await observe()

    monkeypatch.setattr(hub.meshes[0].sink, "observe", counted)
    task = asyncio.create_task(Loop(hub, journal=Journal(on_change=live.told.append)).run())
    try:
        await eventually(lambda: holds(live.root / POLICY_FILE, "sa/web"))
        await asyncio.sleep(0.5)
        yield live
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await hub.close()


async def holds(file: Path, text: str) -> bool:
    """Whether a file is there and has this text."""
    return text in _text(file)


def _text(file: Path) -> str:
    return file.read_text() if file.exists() else ""


@pytest.fixture(name="folder")
def make_folder(tmp_path: Path) -> Folder:
    """`web` may GET /books from `api`."""
    return istio_shop(tmp_path)


@pytest.mark.parametrize("file", [POLICY_FILE, PEERS_FILE])
@pytest.mark.parametrize("how", ["edited", "deleted"])
async def test_object_of_ours_that_somebody_changed_is_put_back(
    folder: Folder, file: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing else happens in its unit; it is told what was otherwise."""
    async with living(folder, monkeypatch) as live:
        path = live.root / file
        before = path.read_bytes()
        if how == "edited":
            path.write_bytes(before.replace(b"STRICT", b"PERMISSIVE").replace(b"sa/web", b"sa/evil"))
        else:
            path.unlink()

        async def as_before() -> bool:
            return path.exists() and path.read_bytes() == before

        assert not await as_before()
        await eventually(as_before)
        assert [unit for unit, _ in live.drifted] == [str(UNIT)]
        assert "smihub-api" in live.drifted[0][1]


async def test_what_is_not_ours_and_what_is_to_be_left_alone_stays(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An object without our mark, and a paused one of ours, though somebody edits both."""
    async with living(folder, monkeypatch) as live:
        theirs, ours = live.root / "objects" / "theirs.yaml", live.root / POLICY_FILE
        text = ours.read_text()
        theirs.write_text(text.replace("app.kubernetes.io/managed-by: smihub", "mine: here").replace("-api", "-mine"))
        marked = text.replace("annotations:", "annotations:\n    smihub.io/paused: 'true'")
        assert marked != text
        ours.write_text(marked.replace("/books", "/all"))
        before = theirs.read_text(), ours.read_text()
        reads = live.reads

        async def looked() -> bool:
            return live.reads > reads

        await eventually(looked)
        await asyncio.sleep(1.0)
        assert (theirs.read_text(), ours.read_text()) == before


async def test_what_the_hub_writes_itself_is_no_reason_to_read_the_mesh_again(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One change costs one change."""
    async with living(folder, monkeypatch) as live:
        reads = live.reads
        for number, word in enumerate(("orders", "books", "orders")):
            folder.write("access.yaml", target("api-from-web", matches=word))
            text = "/orders" if word == "orders" else "/books"
            await eventually(lambda text=text: holds(live.root / POLICY_FILE, text))  # type: ignore[misc]
            await asyncio.sleep(0.3)
            assert live.reads <= reads + number
        await asyncio.sleep(0.5)
        assert live.reads == reads


class Silent:
    """A sink of which nobody is told when its mesh changes."""

    def __init__(self, sink: Any) -> None:
        self._sink = sink
        self.apart = sink.apart
        self.observe, self.writing, self.close = sink.observe, sink.writing, sink.close


async def test_mesh_that_tells_nothing_is_looked_at_now_and_then(tmp_path: Path) -> None:
    """An object that somebody deleted is there again after `recheckSeconds`."""
    folder = Folder(tmp_path)
    folder.config(
        "domain: {trustDomain: cluster.local}\nsources: [{path: manifests}]\n"
        "meshes: [{name: one, adapter: istio, sink: {kind: memory-apart}}]\nrecheckSeconds: 1\n"
    )
    folder.write("base.yaml", BASE)
    folder.write("api.yaml", target("api.web", "api", "web"))
    meshes, plugins = MemoryMeshes(), installed_plugins()
    hub = Hub(config_of(folder.root / "smihub.yaml"), replace(plugins, sinks={**plugins.sinks, **meshes.specs}))
    mesh = meshes.meshes.setdefault("one", MemoryMesh())
    hub.meshes[0]._sink = silent = Silent(hub.meshes[0].sink)  # type: ignore[assignment]
    assert not isinstance(silent, Watching)
    task = asyncio.create_task(Loop(hub).run())
    try:
        await until(mesh, "api.web")
        mesh.vanish(API)

        async def back() -> bool:
            return API in mesh.objects

        await eventually(back)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await hub.close()


async def test_an_object_that_somebody_keeps_changing_is_put_back_later_each_time(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, after a second, after two more, by a clock that stands still between; what the sources say is written meanwhile."""
    now = [0.0]
    monkeypatch.setattr("hub.reconcile.worker.DriftBackoff", partial(DriftBackoff, clock=lambda: now[0]))
    async with living(folder, monkeypatch) as live:
        path = live.root / POLICY_FILE
        for wait_s in (0.0, 1.0, 2.0):
            await changed_by_somebody(live)
            if wait_s:
                now[0] += wait_s - 0.5
                await asyncio.sleep(1.0)
                assert await holds(path, "sa/evil")
            now[0] += 0.5
            await eventually(lambda: holds(path, "sa/web"))
        await changed_by_somebody(live)
        folder.write("access.yaml", target("api-from-web", source="late"))
        await eventually(lambda: holds(path, "sa/late"))


async def changed_by_somebody(live: Live) -> None:
    """Somebody edits the policy, and the hub tells it."""
    path, before = live.root / POLICY_FILE, len(live.drifted)
    path.write_text(path.read_text().replace("sa/web", "sa/evil"))

    async def told() -> bool:
        return len(live.drifted) > before

    await eventually(told)


async def test_an_edit_that_comes_while_the_rest_is_written_is_seen(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a file was when it was put there is no news; what it is when all is written may be somebody else's."""
    sync = FolderSink.sync

    def overtaken(self: FolderSink) -> None:
        sync(self)
        path = folder.root / RENDERED / POLICY_FILE
        if path.exists() and "/orders" in path.read_text():
            monkeypatch.setattr(FolderSink, "sync", sync)
            path.write_text(path.read_text().replace("sa/web", "sa/overtaking"))

    async with living(folder, monkeypatch) as live:
        monkeypatch.setattr(FolderSink, "sync", overtaken)
        folder.write("access.yaml", target("api-from-web", matches="orders"))
        await eventually(lambda: holds(live.root / POLICY_FILE, "sa/overtaking"))
        await eventually(lambda: holds(live.root / POLICY_FILE, "sa/web"))
