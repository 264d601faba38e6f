"""Plugins that end the process, cancel, panic, or never answer: none of them holds up a revocation in another mesh."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from hub.contained import Calls, HangingError, PluginError
from hub.model import Observed, UnitKey
from hub.reconcile.hub import Hub
from hub.reconcile.loop import Loop
from hub.sources import files
from hub.testing.memory import Died
from tests.hub.reconcile.test_in_flight import API, granting, until
from tests.hub.reconcile.test_in_flight import living as living_apart
from tests.hub.reconcile.test_loop import BOOKS, ORDERS, Live, eventually
from tests.hub.reconcile.test_loop_apart import ISTIO_SELECTS, TWO, running
from tests.servers.folder import CONFIG, Folder, shop, target
from tests.servers.hubs import hub_of

pytestmark = pytest.mark.thorough
LIMIT_S = 15.0
Trouble = Callable[..., Any]


class Panic(BaseException):
    """What a library raises that is not written in Python and finds a bug of its own."""


ERRORS = (Panic, SystemExit)


@pytest.fixture(name="folder")
def make_folder(tmp_path: Path) -> Folder:
    """The shop on VMs and on Istio."""
    folder = shop(tmp_path)
    folder.config(TWO + ISTIO_SELECTS)
    return folder


@pytest.fixture(name="apart")
def make_folder_of_a_mesh_in_memory(tmp_path: Path) -> Folder:
    """`web` may call `api` and `db`, in a mesh that takes several units at a time."""
    root = tmp_path / "apart"
    root.mkdir()
    return granting(root)


@pytest.fixture(name="impatient", autouse=True)
def be_impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits as long as in the field."""
    monkeypatch.setattr("hub.contained.HANGS_S", 0.5)
    monkeypatch.setattr("hub.contained._NEXT_S", 0.5)
    monkeypatch.setattr("hub.reconcile.loop._RESTART_S", 0.1)
    monkeypatch.setattr("hub.reconcile.loop._START_S", 0.5)


@pytest.fixture(name="ended")
def make_ended() -> Iterator[threading.Event]:
    """For this the hanging ones wait."""
    event = threading.Event()
    yield event
    event.set()


def raises(error: type[BaseException]) -> Trouble:
    """A function that raises."""

    def fails(*_arguments: Any) -> Any:
        raise error("nobody thought of this")

    return fails


def raises_later(error: type[BaseException]) -> Trouble:
    """One of a sink."""

    async def fails(*_arguments: Any) -> Any:
        raise error("nobody thought of this")

    return fails


async def hangs(*_arguments: Any) -> None:
    """One of a sink that never answers."""
    await asyncio.Event().wait()


def in_spec(name: str, trouble: Trouble) -> Callable[[Hub], None]:
    """A bug of Istio's adapter."""

    def spoil(hub: Hub) -> None:
        hub.meshes[1].spec = replace(hub.meshes[1].spec, **{name: trouble})
        hub.meshes[1].invalidate_mirror()

    return spoil


def in_sink(name: str, trouble: Trouble) -> Callable[[Hub], None]:
    """A bug of its sink."""

    def spoil(hub: Hub) -> None:
        setattr(hub.meshes[1].sink, name, trouble)
        hub.meshes[1].invalidate_mirror()

    return spoil


@asynccontextmanager
async def living(hub: Hub) -> AsyncIterator[Live]:
    """A running hub, for so long at most."""
    async with running(hub) as live, asyncio.timeout(LIMIT_S):
        yield live


async def loses(live: Live, folder: Folder) -> None:
    """In the VM mesh what is changed and what is revoked arrives."""
    folder.write("access.yaml", target("api-from-web", matches="orders"))
    await live.until(ORDERS)
    folder.remove("access.yaml")
    await live.until()


TROUBLE = {
    **{
        f"{part}-{e.__name__}": in_spec(part, raises(e))
        for part in ("translate", "carry_over", "learned")
        for e in ERRORS
    },
    **{f"observe-{e.__name__}": in_sink("observe", raises_later(e)) for e in ERRORS},
    **{f"writing-{e.__name__}": in_sink("writing", raises(e)) for e in ERRORS},
}


@pytest.mark.parametrize("name", TROUBLE)
async def test_what_a_plugin_raises_is_its_own_trouble(folder: Folder, name: str) -> None:
    """Also if that is no Exception, by which a process, a task or the event loop would end."""
    hub = hub_of(folder.root / "smihub.yaml")
    if name.startswith("learned"):
        TROUBLE[name](hub)
    async with living(hub) as live:
        await live.until(BOOKS)
        TROUBLE[name](hub)
        await loses(live, folder)


@pytest.mark.parametrize("part", ["translate", "carry_over", "learned"])
async def test_adapter_that_never_answers_holds_up_its_own_mesh(
    folder: Folder, ended: threading.Event, part: str
) -> None:
    """All meshes are planned from one store, one after the other, and a plan that hangs is given up."""
    hub, asked = hub_of(folder.root / "smihub.yaml"), threading.Event()

    def hang(*_arguments: Any) -> None:
        asked.set()
        ended.wait()

    spoil = in_spec(part, hang)
    if part == "learned":
        spoil(hub)
    async with living(hub) as live:
        await live.until(BOOKS)
        spoil(hub)
        folder.write("access.yaml", target("api-from-web", matches="orders"))
        await live.until(ORDERS)
        await eventually(lambda: _is(asked.is_set()))
        folder.remove("access.yaml")
        await live.until()


async def test_unit_on_which_an_adapter_hangs_holds_up_no_other_of_its_mesh(
    folder: Folder, ended: threading.Event
) -> None:
    """Changed, it is asked anew; and what was slow only is planned as it should be once it has answered."""
    hub = hub_of(folder.root / "smihub.yaml")
    mesh, asked = hub.meshes[0], list[str]()
    translate = mesh.spec.translate

    def sometimes(unit: Any, config: Any) -> Any:
        if "odd" in (name := unit.origins[0].name if unit.origins else ""):
            asked.append(name)
            ended.wait()
        return translate(unit, config)

    mesh.spec = replace(mesh.spec, translate=sometimes)
    web = UnitKey("access", "shop", "web")
    async with living(hub) as live:
        await live.until(BOOKS)
        folder.write("odd.yaml", target("odd", account="web", source="api"))
        await eventually(lambda: _is(bool(asked)))
        folder.write("access.yaml", target("api-from-web", matches="orders"))
        await live.until(ORDERS)
        folder.write("odd.yaml", target("even", account="web", source="api", matches="orders"))
        await live.until("shop/api -> shop/web:* POST /orders", key=web)
        folder.write("odd.yaml", target("odd", account="web", source="api"))
        await asyncio.sleep(1.5)
        assert await live.lines(web) != ("shop/api -> shop/web:* GET /books",)
        ended.set()
        await live.until("shop/api -> shop/web:* GET /books", key=web)


async def _is(value: bool) -> bool:  # noqa: FBT001 - what is waited for
    return value


def test_calls_that_hang_are_few() -> None:
    """Of an adapter that hangs on everything only some are begun; each would keep a thread for good."""
    calls, ended, begun = Calls("istio"), threading.Event(), list[int]()

    def wait(number: int) -> None:
        begun.append(number)
        ended.wait()

    def ask(number: int) -> None:
        try:
            calls.ask(number, "", partial(wait, number))
        except HangingError:
            pass
        except BaseException:  # noqa: BLE001 - it was given up
            begun.append(-number)

    for number in range(1, 10):
        thread = threading.Thread(target=ask, args=(number,))
        thread.start()
        thread.join(0.6)
        calls.hanging()
    assert begun == [1, 2, 3, 4]
    assert not calls.pop_ended()
    ended.set()
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and thread.name.startswith("Thread-"):
            thread.join(5)
    assert sorted(begun) == [-4, -3, -2, -1, 1, 2, 3, 4]
    assert calls.pop_ended()
    assert calls.ask(1, "", lambda: "answer") == "answer"


@pytest.mark.parametrize("error", [SystemExit, asyncio.CancelledError, Panic, Died])
async def test_part_of_a_plan_on_which_a_sink_raises_is_written_later(
    apart: Folder, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    """It is written by a task of its own, of which the end is no success."""
    async with living_apart(apart) as mesh:
        await until(mesh, "api.web", "db.web")
        write, failed = mesh.write, list[bool]()

        async def fails_once(change: Any) -> Any:
            if change.ref == API and not failed:
                failed.append(True)
                raise error("nobody thought of this")
            return await write(change)

        monkeypatch.setattr(mesh, "write", fails_once)
        apart.remove("api.yaml")
        apart.remove("db.yaml")
        await until(mesh)
        assert failed


class Silent:
    """A source that never says anything, ends at once, or fails, by what `watch` is."""

    def __init__(self, watch: Callable[[], AsyncIterator[Any]]) -> None:
        self.watch = watch

    def pinpoint(self, problems: Any) -> Any:
        """Nothing is known better."""
        return problems


async def _never() -> AsyncIterator[Any]:
    await asyncio.Event().wait()
    yield ()


@pytest.mark.parametrize("watch", [_never, raises(KeyError), raises(SystemExit)], ids=["hangs", "raises", "exits"])
async def test_source_that_was_never_read_is_not_waited_for(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, watch: Callable[[], AsyncIterator[Any]]
) -> None:
    """What it held counts as it was applied last; what another source takes away is taken away. One that fails is not waited for at all."""
    if watch is _never:
        monkeypatch.setattr("hub.reconcile.loop._FIRST_READING_S", 1.0)
    (folder.root / "second").mkdir()
    folder.config(CONFIG.replace("- path: manifests", "- path: manifests\n- path: second"))
    (folder.root / "second" / "more.yaml").write_text(target("other", source="other"))
    hub = hub_of(folder.root / "smihub.yaml")
    async with living(hub) as live:
        await live.until("shop/other -> shop/api:* GET /books", BOOKS)
    hub = hub_of(folder.root / "smihub.yaml")
    sources: dict[str, Any] = dict(hub.intake.sources)
    sources["second"] = Silent(watch)
    hub.intake.sources = sources
    folder.remove("access.yaml")
    task = asyncio.create_task(Loop(hub).run())
    try:
        await Live(hub).until("shop/other -> shop/api:* GET /books")
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await hub.close()


async def test_disk_of_a_source_that_hangs_stops_nothing_else(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, ended: threading.Event
) -> None:
    """Listing it again and again is done beside the event loop."""
    (folder.root / "second").mkdir()
    (folder.root / "second" / "more.yaml").write_text(target("other", source="other"))
    folder.config(CONFIG.replace("- path: manifests", "- path: manifests\n- path: second"))
    hub, reading = hub_of(folder.root / "smihub.yaml"), threading.Event()
    list_files = files.list_files

    def hung(root: Path, *arguments: Any) -> Any:
        if root.name == "second":
            reading.set()
            ended.wait(20)  # longer than a test may take, for it must fail, and not hang, where this stops the loop
        return list_files(root, *arguments)

    async with living(hub) as live:
        await live.until("shop/other -> shop/api:* GET /books", BOOKS)
        monkeypatch.setattr(files, "list_files", hung)
        await eventually(lambda: _is(reading.is_set()))
        folder.remove("access.yaml")
        await live.until("shop/other -> shop/api:* GET /books")


async def test_mesh_that_does_not_start_to_serve_holds_up_no_other(folder: Folder) -> None:
    """Nor one that does not take its endpoints."""
    folder.config(
        TWO.replace("{name: vms, adapter: vm}", "{name: vms, adapter: vm}\n- {name: more, adapter: vm}") + ISTIO_SELECTS
    )
    hub = hub_of(folder.root / "smihub.yaml")
    more: Any = hub.meshes[1].sink
    assert hub.meshes[1].name == "more"
    more.start = more.publish = hangs
    async with living(hub) as live:
        await live.until(BOOKS)
        await loses(live, folder)


async def test_sink_that_reports_changes_without_end_keeps_nobody_from_their_turn(folder: Folder) -> None:
    """It never waits, and by itself would leave the event loop no turn."""
    hub = hub_of(folder.root / "smihub.yaml")

    async def endless() -> AsyncIterator[str]:
        while True:
            yield "other"

    sink: Any = hub.meshes[1].sink
    sink.changes = endless
    async with living(hub) as live:
        await live.until(BOOKS)
        await loses(live, folder)


def test_foreign_object_on_which_an_adapter_raises_says_nothing(folder: Folder) -> None:
    """What somebody else wrote beside ours is looked at, and may be anything; it must not keep us from ours."""
    istio = hub_of(folder.root / "smihub.yaml").meshes[1]
    istio.view = raises(KeyError)
    assert istio.manifest(Observed(API, b"{}", None, "")) == {}


@pytest.mark.parametrize("part", ["observe", "writing"])
async def test_command_does_not_end_as_a_plugin_says(folder: Folder, part: str) -> None:
    """`smihub apply` with exit code 0, of which nothing was written, would be believed."""
    hub = hub_of(folder.root / "smihub.yaml")
    hub.read()
    istio = hub.meshes[1]
    reviewed = await hub.plan(istio)
    in_sink(part, (raises_later if part == "observe" else raises)(SystemExit))(hub)
    with pytest.raises(PluginError):
        await hub.apply(istio, reviewed.plan)
    await hub.close()
