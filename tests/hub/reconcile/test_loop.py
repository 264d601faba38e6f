"""The running hub: what waits, what never waits, and what is never taken away."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from hub.model import UnitKey
from hub.reconcile.hub import Hub
from hub.reconcile.loop import Loop
from hub.sources.directory import DirectorySource
from tests.hub.cli.test_apply import UDP
from tests.servers.folder import CONFIG, Folder, shop, target, workload
from tests.servers.hubs import hub_of
from tests.servers.remembered import lines_in

pytestmark = pytest.mark.thorough

BOOKS, ORDERS = "shop/web -> shop/api:* GET /books", "shop/web -> shop/api:* POST /orders"
API = UnitKey("access", "shop", "api")
LIMIT_S, STEP_S = 20.0, 0.02


@pytest.fixture(name="folder")
def make_folder(tmp_path: Path) -> Folder:
    """A folder in which `web` may GET /books from `api`."""
    return shop(tmp_path)


class Live:
    """A loop at work in this process, and what stands in its mesh."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    async def lines(self, key: UnitKey = API) -> tuple[str, ...]:
        """What a unit allows in the mesh, as it is stored."""
        memory = (await self.hub.meshes[0].sink.observe()).memory
        return lines_in(key, memory.get(key), self.hub.clusters[""].store.trust_domain)

    async def until(self, *expected: str, key: UnitKey = API) -> None:
        """Wait until a unit allows exactly this."""

        async def reached() -> bool:
            return await self.lines(key) == expected

        await eventually(reached)

    async def until_unread(self, expected: bool = True) -> None:  # noqa: FBT001, FBT002 - the state to wait for
        """Wait until the hub has noticed that something cannot be read, or can again."""

        async def noticed() -> bool:
            return bool(self.hub.intake.unread) is expected

        await eventually(noticed)

    async def without(self, line: str) -> None:
        """Wait until `api` no longer allows this."""

        async def gone() -> bool:
            return line not in await self.lines()

        await eventually(gone)


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something holds; fails after a long time."""
    for _ in range(int(LIMIT_S / STEP_S)):
        if await holds():
            return
        await asyncio.sleep(STEP_S)
    raise AssertionError("it never came")


@asynccontextmanager
async def living(folder: Folder) -> AsyncIterator[Live]:
    """A running hub that has applied the folder."""
    hub = hub_of(folder.root / "smihub.yaml")
    for source in hub.intake.sources.values():
        assert isinstance(source, DirectorySource)
        source._poll_s = 0.2  # a folder that is gone is looked for every 5 s else
    task = asyncio.create_task(Loop(hub).run())
    live = Live(hub)
    try:
        yield live
        assert not task.done()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await hub.close()


async def test_loop_when_a_file_breaks_freezes_holds_gains_and_carries_out_revocations(folder: Folder) -> None:
    """The broken file's grants stay; nobody gains; another file's revocation goes through; mended, all goes on."""
    folder.write("second.yaml", target("second", source="other"))
    async with living(folder) as live:
        other = "shop/other -> shop/api:* GET /books"
        await live.until(other, BOOKS)
        folder.write("workers.yaml", workload("late", 1))
        await live.until(key=UnitKey("access", "shop", "late"))
        folder.write("unrelated.yaml", "kind: Pod\na: [")
        await live.until_unread()
        folder.write("late.yaml", target("late", account="late"))
        folder.remove("second.yaml")
        await live.until(BOOKS)
        assert await live.lines(UnitKey("access", "shop", "late")) == ()
        folder.write("unrelated.yaml", workload("unrelated", 2))
        await live.until("shop/web -> shop/late:* GET /books", key=UnitKey("access", "shop", "late"))


async def test_loop_when_the_file_of_a_grant_breaks_keeps_the_grant(folder: Folder) -> None:
    """An unread part is never an empty part."""
    async with living(folder) as live:
        await live.until(BOOKS)
        folder.write("access.yaml", "kind: [")
        await live.until_unread()
        folder.write("more.yaml", workload("late", 1))
        await asyncio.sleep(0.5)
        assert await live.lines() == (BOOKS,)
        folder.write("access.yaml", target("api-from-web", matches="orders"))
        await live.until(ORDERS)


async def test_loop_when_the_folder_vanishes_deletes_nothing(folder: Folder) -> None:
    """Neither its removal nor an empty one in its place takes anything away; restored, edits arrive again."""
    async with living(folder) as live:
        await live.until(BOOKS)
        kept = folder.root / "kept"
        shutil.copytree(folder.manifests, kept)
        shutil.rmtree(folder.manifests)
        await live.until_unread()
        assert await live.lines() == (BOOKS,)
        folder.manifests.mkdir()
        await asyncio.sleep(0.5)
        assert await live.lines() == (BOOKS,)
        for path in kept.iterdir():
            shutil.copy(path, folder.manifests)
        await live.until_unread(expected=False)
        folder.write("access.yaml", target("api-from-web", matches="orders"))
        await live.until(ORDERS)


async def test_loop_when_a_loss_is_refused_lets_every_revocation_through(folder: Folder) -> None:
    """A TrafficTarget over UDP that nobody accepted: its own unit gains nothing, but loses; other units go on."""
    folder.write("late.yaml", workload("late", 1), target("late", account="late"))
    folder.write("udp.yaml", UDP)
    late = UnitKey("access", "shop", "late")
    folder.config(CONFIG + "accept: [proto.udp-not-captured]\n")
    await asyncio.to_thread(folder.process, "apply", "--yes")
    folder.config()
    async with living(folder) as live:
        folder.write("late.yaml", workload("late", 1), target("late", account="late", matches="orders"))
        await live.until("shop/web -> shop/late:* POST /orders", key=late)
        folder.write("more.yaml", target("more", source="other"))  # the lossy unit would gain
        folder.write("late.yaml", workload("late", 1))
        await live.until(key=late)
        assert BOOKS in await live.lines()
        assert not any("shop/other" in line for line in await live.lines())
        folder.remove("more.yaml")
        folder.remove("access.yaml")
        await live.without(BOOKS)


async def test_loop_when_a_unit_loses_and_gains_beside_a_loss_only_loses(folder: Folder) -> None:
    """One edit takes web away and lets other in, beside a Loss on the same identity: web goes, other waits."""
    async with living(folder) as live:
        await live.until(BOOKS)
        folder.write("udp.yaml", UDP)
        folder.write("access.yaml", target("api-from-web", source="other"))
        await live.without(BOOKS)
        assert not any("shop/other" in line for line in await live.lines())


async def test_loop_when_a_unit_loses_and_gains_beside_a_broken_file_only_loses(folder: Folder) -> None:
    """The same while some new file cannot be read; what waited is granted when it can."""
    async with living(folder) as live:
        await live.until(BOOKS)
        folder.write("broken.yaml", "kind: Pod\na: [")
        folder.write("access.yaml", target("api-from-web", source="other"))
        await live.without(BOOKS)
        assert not any("shop/other" in line for line in await live.lines())
        folder.remove("broken.yaml")
        await live.until(BOOKS.replace("shop/web", "shop/other"))


async def test_loop_when_the_blast_radius_is_accepted_by_apply_goes_on(folder: Folder) -> None:
    """A refused plan waits for a person; after her `smihub apply --accept` later edits arrive again."""
    folder.write("many.yaml", *(workload(f"w{number}", number) for number in range(12)))
    folder.write("grants.yaml", *(target(f"t{number}", f"w{number}") for number in range(12)))
    async with living(folder) as live:
        await live.until(BOOKS)
        folder.remove("grants.yaml")
        await asyncio.sleep(0.5)
        assert await live.lines(UnitKey("access", "shop", "w0")) == ("shop/web -> shop/w0:* GET /books",)
        accepted = await asyncio.to_thread(folder.process, "apply", "--yes", "--accept", "guard.blast-radius")
        assert accepted.returncode == 0
        folder.write("access.yaml", target("api-from-web", matches="orders"))
        await live.until(ORDERS)
        assert await live.lines(UnitKey("access", "shop", "w0")) == ()


async def test_loop_when_started_with_a_broken_file_holds_what_others_would_gain(folder: Folder) -> None:
    """A fresh process does not know what the file held: nobody gains, what stands stays, a revocation is carried out."""
    folder.write("second.yaml", target("second", source="other"))
    await asyncio.to_thread(folder.process, "apply", "--yes")
    folder.write("workloads2.yaml", "kind: Pod\na: [")
    folder.remove("second.yaml")
    folder.write("gain.yaml", target("gain", account="web", source="api"))
    async with living(folder) as live:
        await live.until(BOOKS)
        await asyncio.sleep(0.3)
        assert await live.lines(UnitKey("access", "shop", "web")) == ()
        folder.remove("workloads2.yaml")
        await live.until("shop/api -> shop/web:* GET /books", key=UnitKey("access", "shop", "web"))
