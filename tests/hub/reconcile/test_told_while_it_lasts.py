"""What `status` and the log say of a mesh while something is wrong there: of which unit, why, since when, and nothing that is not so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from hub.cli.reported import lines_of
from hub.model import Change, UnitKey
from hub.plugins import installed_plugins
from hub.reconcile.hub import Hub
from hub.reconcile.loop import Loop
from hub.reconcile.worker import Worker
from hub.status.journal import Journal
from hub.status.outcomes import Outcome
from hub.status.status_log import StatusLog
from hub.testing.memory import MemoryMesh, MemoryMeshes
from tests.hub.reconcile.test_in_flight import API, CONFIG, granting, until
from tests.hub.reconcile.test_loop import eventually
from tests.servers.folder import Folder
from tests.servers.hubs import config_of

pytestmark = pytest.mark.thorough
API_UNIT, DB_UNIT = UnitKey("access", "shop", "api"), UnitKey("access", "shop", "db")
Lines = list[dict[str, Any]]


@pytest.fixture(name="folder")
def make_folder(tmp_path: Path) -> Folder:
    """See `granting`."""
    return granting(tmp_path)


@pytest.fixture(name="log")
def make_log(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    """The lines of the log, of a hub that is soon impatient and tries again at once."""
    for module in ("patience", "worker"):
        monkeypatch.setattr(f"hub.reconcile.{module}.UNANSWERED_S", 0.2)
    monkeypatch.setattr(Worker, "_sleep", _no_sleep)
    with capture_logs() as lines:
        yield lines  # type: ignore[misc] # structlog's own type of a line


async def _no_sleep(self: Worker, seconds: float) -> None:
    await asyncio.sleep(0.01)


class Live:
    """A running hub that has written all, and its mesh."""

    def __init__(self, loop: Loop, mesh: MemoryMesh, told: Journal) -> None:
        self.loop, self.mesh = loop, mesh
        self._told = told

    def of(self, key: UnitKey) -> Outcome:
        """The outcome of a unit."""
        return self._told.outcomes.of("one")[key]

    def shown(self) -> str:
        """What `status` shows."""
        outcomes = self._told.outcomes
        return "\n".join(line.plain for line in lines_of("one", outcomes.mesh("one"), outcomes.of("one"), {}, None))

    async def shows(self, *texts: str) -> None:
        """Wait until `status` shows these."""

        async def does() -> bool:
            return all(text in self.shown() for text in texts)

        try:
            await eventually(does)
        except AssertionError:
            raise AssertionError(self.shown()) from None


@asynccontextmanager
async def living(folder: Folder, form: str) -> AsyncIterator[Live]:
    """See `Live`."""
    folder.config(CONFIG.replace("memory-apart", form))
    meshes, plugins = MemoryMeshes(), installed_plugins()
    plugins = replace(plugins, sinks={**plugins.sinks, **meshes.specs})
    hub = Hub(config_of(folder.root / "smihub.yaml"), plugins)
    mesh = meshes.meshes["one"] = MemoryMesh()
    journal = Journal(on_change=StatusLog().outcomes_changed)
    loop = Loop(hub, journal=journal)
    task = asyncio.create_task(loop.run())
    try:
        await until(mesh, "api.web", "db.web")
        await loop.workers[0].idle.wait()
        yield Live(loop, mesh, journal)
        assert not task.done()
    finally:
        mesh.recover()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await hub.close()


def events(log: Lines, *names: str) -> Lines:
    """The lines of these events."""
    return [line for line in log if line["event"] in names]


async def test_write_that_never_ends_is_told_while_the_others_are_written(folder: Folder, log: Lines) -> None:
    """Its unit, and that a revocation waits; of the other unit that it is applied, and in the log what it lost."""
    async with living(folder, "memory-apart") as live:
        live.mesh.slow[API] = asyncio.Event()
        log.clear()
        folder.remove("api.yaml")
        folder.remove("db.yaml")
        await live.shows("5 of 6 units applied, 1 waiting", "the mesh has not answered yet", "a revocation is waiting")
        assert live.of(API_UNIT).bad == ("Applied",)
        assert live.of(DB_UNIT).condition("Applied").status == "True"

        async def logged() -> bool:
            return bool(events(log, "plan_applied"))

        await eventually(logged)
        (line,) = events(log, "plan_applied")
        assert [text.split(" ")[2] for text in line["denied"]] == ["shop/db:*"]
        assert events(log, "unit_not_applied")[0]["units"] == ["access/shop/api"]
        live.mesh.recover()
        await until(live.mesh)


async def test_write_of_a_whole_mesh_that_never_ends_is_told(folder: Folder, log: Lines) -> None:
    """Also where a mesh has one writer at a time, so that all of the plan waits."""
    async with living(folder, "memory") as live:
        live.mesh.slow[API] = asyncio.Event()
        folder.remove("api.yaml")
        await live.shows("1 waiting", "the mesh has not answered yet", "a revocation is waiting")
        live.mesh.recover()
        await until(live.mesh, "db.web")
        await live.shows("6 of 6 units applied")


async def test_mesh_that_does_not_say_what_stands_there_is_told(folder: Folder, log: Lines) -> None:
    """As a whole, for nobody knows what is to be written there; once it answers, that is told as well."""
    async with living(folder, "memory-apart") as live:
        sink: Any = live.loop.workers[0].mesh.sink
        observe, answers = sink.observe, asyncio.Event()

        async def hanging() -> Any:
            await answers.wait()
            return await observe()

        sink.observe = hanging
        live.loop.workers[0].refresh()
        await live.shows("waiting since", "it does not answer")
        assert events(log, "mesh_hangs")
        answers.set()

        async def recovered() -> bool:
            return bool(events(log, "mesh_recovered"))

        await eventually(recovered)


async def test_object_that_fails_again_and_again_is_told_since_it_began(folder: Folder, log: Lines) -> None:
    """Once, at its unit; the mesh as a whole works, and is not said to fail and to recover with each try."""
    async with living(folder, "memory-apart") as live:
        live.mesh.failing.add(API)
        log.clear()
        folder.remove("api.yaml")
        await live.shows("1 failed", "nobody knows why")
        since = live.of(API_UNIT).condition("Applied").since
        await _tries(live, 5)
        await live.shows("nobody knows why")
        assert live.of(API_UNIT).condition("Applied").since == since
        assert "failed since" not in live.shown().splitlines()[1]
        assert not events(log, "plan_applied", "apply_failed", "mesh_recovered", "unit_recovered")
        assert len(events(log, "unit_not_applied")) == 1
        live.mesh.recover()
        await until(live.mesh, "db.web")

        async def recovered() -> bool:
            return bool(events(log, "unit_recovered"))

        await eventually(recovered)


async def test_bug_of_a_sink_stays_with_its_unit_and_is_nobody_elses_change(folder: Folder, log: Lines) -> None:
    """With one trace in the log, however often it is tried; what the sink may have written itself is no drift."""
    async with living(folder, "memory-apart") as live:
        write = live.mesh.write

        async def raising(change: Change) -> Any:
            if change.ref == API:
                raise KeyError("a bug")
            return await write(change)

        live.mesh.write = raising  # type: ignore[method-assign]
        log.clear()
        folder.remove("api.yaml")
        await live.shows("bug (Applied)", "KeyError: 'a bug'", "a revocation is waiting")
        since = live.of(API_UNIT).condition("Applied").since
        await _tries(live, 5)
        await live.shows("bug (Applied)")
        assert live.of(API_UNIT).condition("Applied").since == since
        assert len(events(log, "mesh_raised")) == 1
        assert not events(log, "drift_repeated", "unit_drifted", "unit_recovered", "plan_applied")
        live.mesh.write = write  # type: ignore[method-assign]
        await until(live.mesh, "db.web")


async def _tries(live: Live, count: int) -> None:
    """Wait until the worker has tried so many times more."""
    worker: Any = live.loop.workers[0]
    tries, once = list[int](), worker._write

    async def counted(*arguments: Any) -> Any:
        tries.append(1)
        return await once(*arguments)

    async def enough() -> bool:
        return len(tries) > count

    worker._write = counted
    await eventually(enough)
