"""In a running hub no mesh, source or bug holds up a revocation elsewhere."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from hub.errors import TransientError
from hub.intake import Intake
from hub.model import Access, Observation, Translation, Unit
from hub.reconcile.hub import Hub
from hub.reconcile.loop import Loop
from hub.status.http import pages
from hub.status.journal import Journal
from hub.status.metrics import HUNG_S, Clocks, Metrics
from tests.hub.reconcile.test_loop import API, BOOKS, ORDERS, Live, eventually
from tests.servers.folder import CONFIG, WORKLOADS, Folder, shop, target
from tests.servers.hubs import hub_of

pytestmark = pytest.mark.thorough

TWO = CONFIG + "- {name: istio, adapter: istio, sink: {kind: directory, path: rendered}}\n"
ISTIO_SELECTS = "accept: [selector.unlabelled-pods]\n"


@pytest.fixture(name="folder")
def make_folder(tmp_path: Path) -> Folder:
    """The shop on VMs and on Istio."""
    folder = shop(tmp_path)
    folder.config(TWO + ISTIO_SELECTS)
    return folder


@asynccontextmanager
async def running(hub: Hub) -> AsyncIterator[Live]:
    """A running hub; the VM mesh is the one that is looked at."""
    for source in hub.intake.sources.values():
        source._poll_s = 0.2  # type: ignore[attr-defined]
    task = asyncio.create_task(Loop(hub).run())
    try:
        yield Live(hub)
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await hub.close()


@asynccontextmanager
async def living(folder: Folder) -> AsyncIterator[Live]:
    """The same of this folder."""
    async with running(hub_of(folder.root / "smihub.yaml")) as live:
        yield live


class Hanging:
    """A sink of which one call never ends."""

    apart = False

    async def observe(self) -> Observation:
        """Wait for ever."""
        await asyncio.Event().wait()
        raise AssertionError

    async def close(self) -> None:
        """Nothing is open."""


async def test_mesh_that_never_answers_holds_up_no_other(folder: Folder) -> None:
    """The other is planned and written, endpoints are published, and what is unread there waits for nobody."""
    hub = hub_of(folder.root / "smihub.yaml")
    hub.meshes[1]._sink = Hanging()  # type: ignore[assignment]
    task = asyncio.create_task(Loop(hub).run())
    live = Live(hub)
    try:
        await live.until(BOOKS)
        folder.write("access.yaml", target("api-from-web", matches="orders"))
        await live.until(ORDERS)
        folder.write("broken.yaml", "kind: Pod\na: [")
        folder.remove("access.yaml")
        await live.until()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await hub.close()


async def test_worker_that_hangs_is_told_and_the_others_are_not(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`/livez` names its mesh after some minutes without a heartbeat; a worker that waits for work has one."""
    monkeypatch.setattr("hub.reconcile.worker._HEARTBEAT_S", 0.05)
    hub, now, journal = hub_of(folder.root / "smihub.yaml"), [0.0], Journal()
    hub.meshes[1]._sink = Hanging()  # type: ignore[assignment]
    journal.listener = metrics = Metrics(journal.outcomes, ["vms", "istio"], clocks=Clocks(lambda: now[0]))
    livez = pages(metrics)["/livez"]
    task = asyncio.create_task(Loop(hub, journal=journal).run())
    try:
        await Live(hub).until(BOOKS)
        assert livez().status == 200
        now[0] = HUNG_S + 1
        await asyncio.sleep(0.3)
        assert (livez().status, livez().body) == (503, b"no sign of life from the worker of mesh istio\n")
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await hub.close()


class Cancelling(Hanging):
    """A sink that cancels whoever asks, as a library may that has a time limit of its own, until it is mended."""

    async def observe(self) -> Observation:
        """Raise what asyncio takes for the end of a task."""
        raise asyncio.CancelledError


async def test_worker_that_a_plugin_cancels_goes_on(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a bug like any other, and tried again."""
    monkeypatch.setattr("hub.reconcile.loop._RESTART_S", 0.05)
    hub = hub_of(folder.root / "smihub.yaml")
    sink = hub.meshes[0].sink
    hub.meshes[0]._sink = Cancelling()  # type: ignore[assignment]
    task = asyncio.create_task(Loop(hub).run())
    try:
        await asyncio.sleep(0.5)
        hub.meshes[0]._sink = sink
        await Live(hub).until(BOOKS)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await hub.close()


async def test_slow_write_of_one_mesh_does_not_delay_another(folder: Folder) -> None:
    """Neither its revocation nor its endpoints."""
    async with living(folder) as live:
        await live.until(BOOKS)
        istio = live.hub.meshes[1]
        await eventually(lambda: _written(folder, "sa/web"))
        writing = istio.sink.writing  # type: ignore[union-attr]

        @asynccontextmanager
        async def slowly(token: str) -> AsyncIterator[Any]:
            await asyncio.sleep(4)
            async with writing(token) as found:
                yield found

        istio.sink.writing = slowly  # type: ignore[union-attr, method-assign]
        begun = time.monotonic()
        folder.write("workloads.yaml", WORKLOADS.replace("10.0.0.2", "10.0.0.9"))
        folder.write("access.yaml", target("api-from-web", matches="orders"))
        await live.until(ORDERS)
        assert time.monotonic() - begun < 3
        await eventually(lambda: _written(folder, "/orders"))


async def test_write_of_one_mesh_does_not_wait_for_the_planning_of_another(folder: Folder) -> None:
    """The VM mesh is planned first, and written while Istio is planned."""
    async with living(folder) as live:
        await live.until(BOOKS)
        istio, free = live.hub.meshes[1], threading.Event()
        await eventually(lambda: _written(folder, "sa/web"))
        translate = istio.spec.translate

        def slowly(unit: Unit, config: Any) -> Translation:
            free.wait(10)
            return translate(unit, config)

        istio.spec = replace(istio.spec, translate=slowly)
        begun = time.monotonic()
        folder.write("access.yaml", target("api-from-web", matches="orders"))
        await live.until(ORDERS)
        took = time.monotonic() - begun
        free.set()
        assert took < 5


async def _written(folder: Folder, text: str) -> bool:
    return any(text in file.read_text() for file in (folder.root / "rendered").rglob("*.yaml"))


async def test_adapter_that_raises_stops_its_unit_and_nothing_else(folder: Folder) -> None:
    """The hub goes on; when the adapter no longer raises, the unit follows."""
    async with living(folder) as live:
        await live.until(BOOKS)
        mesh = live.hub.meshes[0]
        translate = mesh.spec.translate

        def fails(unit: Unit, config: Any) -> Translation:
            if isinstance(unit, Access) and unit.identity.service_account == "web":
                raise RecursionError("nobody thought of this")
            return translate(unit, config)

        mesh.spec = replace(mesh.spec, translate=fails)
        folder.write("both.yaml", target("to-web", account="web", source="api"))
        folder.write("access.yaml", target("api-from-web", matches="orders"))
        await live.until(ORDERS)
        mesh.spec = replace(mesh.spec, translate=translate)
        folder.write("both.yaml", target("to-web", account="web", source="api", matches="orders"))
        await live.until("shop/api -> shop/web:* POST /orders", key=replace(API, name="web"))


async def test_sink_that_raises_what_nobody_expected_is_tried_again(folder: Folder) -> None:
    """A bug in a sink is that mesh's: logged, tried again, and over when it is over."""
    async with living(folder) as live:
        await live.until(BOOKS)
        sink = live.hub.meshes[0].sink
        write, times = sink.write_all, iter((ZeroDivisionError("bug"), TransientError("away")))  # type: ignore[union-attr]

        async def fails(*arguments: Any) -> str:
            error = next(times, None)
            if error is not None:
                raise error
            token: str = await write(*arguments)
            return token

        sink.write_all = fails  # type: ignore[union-attr, method-assign]
        folder.write("access.yaml", target("api-from-web", matches="orders"))
        await live.until(ORDERS)


async def test_object_on_which_reading_raises_counts_as_unread(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is revoked elsewhere is revoked, what would be gained waits, and once it can be read all goes on."""
    take, bad = Intake.ingest, [True]

    def fails(self: Intake, source: str, events: Any) -> None:
        if bad[0] and any(getattr(event, "part", "") == "odd.yaml" for event in events if hasattr(event, "documents")):
            raise KeyError("nobody thought of this")
        take(self, source, events)

    monkeypatch.setattr(Intake, "ingest", fails)
    folder.write("second.yaml", target("second", matches="orders"))
    async with living(folder) as live:
        await live.until(BOOKS, ORDERS)
        folder.write("odd.yaml", target("odd", source="api"))
        folder.write("second.yaml", target("second", source="other", matches="orders"))
        await live.until(BOOKS)
        assert {problem.code for problem in live.hub.intake.unread_problems.values()} == {"bug.source"}
        bad[0] = False
        folder.write("odd.yaml", target("odd", source="third"))
        await live.until("shop/other -> shop/api:* POST /orders", "shop/third -> shop/api:* GET /books", BOOKS)


async def test_mesh_of_another_owner_is_not_served_and_the_others_are_followed(folder: Folder) -> None:
    """The VM mesh was made for another smihub.yaml: it stays as it is, and Istio is written."""
    folder.config(f"owner: {'a' * 32}\n" + CONFIG)
    assert folder.process("apply", "--yes").returncode == 0
    folder.config(f"owner: {'b' * 32}\n" + TWO + ISTIO_SELECTS)
    hub = hub_of(folder.root / "smihub.yaml")
    task = asyncio.create_task(Loop(hub).run())
    try:
        await eventually(lambda: _written(folder, "sa/web"))
        assert not task.done()
        assert hub.meshes[0].sink._server is None  # type: ignore[union-attr]
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await hub.close()


async def test_bug_beside_a_revocation_does_not_lose_it(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read then is handed out once that works again, though no source says anything more."""
    monkeypatch.setattr("hub.reconcile.loop._RESTART_S", 0.1)
    async with living(folder) as live:
        await live.until(BOOKS)
        recall = live.hub.recall
        failed: list[bool] = []

        async def fails_once(*arguments: Any, **named: Any) -> Any:
            if named.get("apart") and not failed:
                failed.append(True)
                raise KeyError("nobody thought of this")
            return await recall(*arguments, **named)

        monkeypatch.setattr(live.hub, "recall", fails_once)
        folder.remove("access.yaml")
        await live.until()
        assert failed


async def test_bug_in_what_serves_endpoints_holds_up_no_revocation(folder: Folder) -> None:
    """Endpoints come first, and cannot be handed over: it is logged, and the rest goes on at once."""
    async with living(folder) as live:
        await live.until(BOOKS)

        async def fails() -> None:
            raise KeyError("nobody thought of this")

        live.hub.withdraw = fails  # type: ignore[method-assign]
        begun = time.monotonic()
        folder.write("access.yaml", target("api-from-web", matches="orders"))
        await live.until(ORDERS)
        folder.remove("access.yaml")
        await live.until()
        assert time.monotonic() - begun < 4


async def test_worker_ends_when_told_to_at_the_moment_of_news(folder: Folder) -> None:
    """It took the end for the news and went on for ever, and so did `smihub run` after SIGTERM."""
    hub = hub_of(folder.root / "smihub.yaml")
    hub.read()
    worker = Loop(hub).workers[0]
    task = asyncio.create_task(worker.run())
    worker.add(hub.units())
    await worker.idle.wait()
    await asyncio.sleep(0.05)
    worker.add(hub.units())
    task.cancel()
    await asyncio.wait({task}, timeout=5)
    ended = task.cancelled()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await hub.close()
    assert ended
