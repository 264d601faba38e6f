"""`smihub run`, killed and started again while its folder is missing, broken or changed; real Envoys stay connected to it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from adapters.vm.identity.ca import make_root
from adapters.vm.serve.sink import utc_now
from adapters.vm.state.revisions import State
from tests.servers.live_mesh import LiveMesh, free_octet
from tests.servers.many_apps import Apps
from tests.servers.raw_calls import Ask, http1, tcp
from tests.servers.shop import LOCAL, PORTS, WORKLOADS, Shop, folder, grant

pytestmark = pytest.mark.envoy


class Runner:
    """The shop with a hub in a process of its own."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.base = shop.mesh.base
        self.log = self.base / "hub.log"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, said: str = "serving_started") -> None:
        """Start `smihub run`; returns when this process has logged these words and every Envoy is connected to it."""
        offset = self.log.stat().st_size if self.log.exists() else 0
        command = (str(Path(sys.executable).with_name("smihub")), "run", "--config", str(self.base / "smihub.yaml"))
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log, cwd=self.base)
        async with asyncio.timeout(30):
            while said.encode() not in self.log.read_bytes()[offset:]:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)
            await self._connected(1)

    async def kill(self) -> None:
        """End it by SIGKILL; returns when every Envoy has noticed."""
        assert self._process is not None
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        async with asyncio.timeout(30):
            await self._connected(0)

    async def _connected(self, state: int) -> None:
        """Wait until every Envoy says that it is connected (1) or not (0)."""
        name = "control_plane.connected_state"
        for envoy in self.shop.mesh.envoys.values():
            while (await envoy.stats(name)).get(name) != state:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)

    def authority(self) -> bytes:
        """The certificate of the mesh's authority."""
        state = State(self.base / ".smihub" / "hub.sqlite", "vms")
        try:
            return state.authority(make_root("cluster.local", utc_now())).certificate
        finally:
            state.close()

    async def allowed(self) -> dict[str, bool]:
        """Who is served on which port, by new connections through the sidecars."""
        found: dict[str, bool] = {}
        for caller in ("web", "peer"):
            for port in PORTS:
                door = self.shop.door(caller, port)
                outcome = await (http1(door, Ask("GET", "/v1")) if "http" in port else tcp(door))
                found[f"{caller} {port}"] = outcome.served
        return found

    async def becomes(self, wanted: dict[str, bool]) -> None:
        """Wait until exactly this is allowed."""
        async with asyncio.timeout(20):
            while await self.allowed() != wanted:  # noqa: ASYNC110 - other processes
                await asyncio.sleep(0.05)

    async def listeners(self) -> list[set[str]]:
        """The listeners of every Envoy; fails if one was ever removed."""
        for envoy in self.shop.mesh.envoys.values():
            removed = await envoy.stats("listener_manager.listener_removed")
            assert set(removed.values()) == {0}
        return [await envoy.listeners() for envoy in self.shop.mesh.envoys.values()]


EVERYTHING = {f"{caller} {port}": True for caller in ("web", "peer") for port in PORTS}
WITHOUT_WEB = {**EVERYTHING, "web http": False, "web tcp": False}


@pytest.fixture
async def runner(tmp_path: Path) -> AsyncIterator[Runner]:
    """The shop, served by a hub of its own; web has lost what `revoked.yaml` granted."""
    octet = free_octet([*PORTS.values(), *range(LOCAL, LOCAL + 4)], 3)
    apps, mesh = Apps(), LiveMesh(tmp_path)
    made = Runner(Shop(mesh, apps, octet))
    try:
        for port in PORTS.values():
            await apps.start(f"api:{port}", (f"127.{octet}.1.1", port))
        apps.greets = {(f"127.{octet}.1.1", PORTS[port]) for port in ("tcp", "other-tcp")}
        files = folder(octet)
        del files["revoked.yaml"]
        mesh.replace(files)
        await mesh.apply()
        lines = {name: mesh.enrol(name) for name in WORKLOADS}
        await mesh.rest()
        for name, line in lines.items():
            await mesh.start(name, line)
        await made.start()
        for envoy in mesh.envoys.values():
            await envoy.ready()
        await made.becomes(WITHOUT_WEB)
        yield made
    finally:
        with suppress(AssertionError, ProcessLookupError):
            await made.kill()
        await mesh.stop()
        await apps.stop()


async def _steady(runner: Runner, listeners: list[set[str]], root: bytes) -> None:
    """For a while nothing changes: who is allowed what, the listeners, the authority."""
    for _ in range(4):
        assert await runner.allowed() == WITHOUT_WEB
        await asyncio.sleep(0.2)
    assert await runner.listeners() == listeners
    assert runner.authority() == root


async def test_hub_that_starts_without_its_folder_keeps_everything(runner: Runner) -> None:
    """Folder gone while the hub was dead: the last revision is served; the folder's return changes nothing, an edit does."""
    listeners, root = await runner.listeners(), runner.authority()
    files, away = runner.shop.mesh.folder, runner.base / "away"
    await runner.kill()
    assert await runner.allowed() == WITHOUT_WEB
    files.rename(away)
    await runner.start("source_unread")
    await _steady(runner, listeners, root)
    away.rename(files)
    (files / "granted.yaml").write_text("---\n".join([grant("web", "http"), grant("web", "tcp")]))
    await runner.becomes(EVERYTHING)
    assert await runner.listeners() == listeners


async def test_hub_that_starts_with_a_broken_file_keeps_what_it_granted(runner: Runner) -> None:
    """The file that grants is broken: its grants stay, nothing is widened meanwhile, and its repair is obeyed."""
    listeners, root = await runner.listeners(), runner.authority()
    file = runner.shop.mesh.folder / "kept.yaml"
    text = file.read_text()
    await runner.kill()
    file.write_text(text + "\n---\nspec: [\n")
    (runner.shop.mesh.folder / "granted.yaml").write_text(grant("web", "http"))
    await runner.start("source_unread")
    await _steady(runner, listeners, root)
    file.write_text(text.replace(grant("peer", "http") + "---\n", ""))
    await runner.becomes({**WITHOUT_WEB, "web http": True, "peer http": False})
    assert await runner.listeners() == listeners
    assert runner.authority() == root


async def test_hub_that_starts_with_a_changed_folder_carries_it_out(runner: Runner) -> None:
    """What changed while the hub was dead is planned and applied at its start; the rest stays undisturbed."""
    listeners, root = await runner.listeners(), runner.authority()
    file = runner.shop.mesh.folder / "kept.yaml"
    await runner.kill()
    file.write_text(file.read_text().replace(grant("peer", "tcp"), grant("web", "tcp")))
    assert await runner.allowed() == WITHOUT_WEB
    await runner.start("plan_applied")
    await runner.becomes({**WITHOUT_WEB, "web tcp": True, "peer tcp": False})
    assert await runner.listeners() == listeners
    assert runner.authority() == root
