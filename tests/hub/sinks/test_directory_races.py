"""A folder that others change while it is written, and a disk that fails: what was not read is not written over."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import threading
from pathlib import Path

import pytest
from msgspec.structs import replace

from hub.errors import StaleError, TransientError, UnsafeResourceError
from hub.model import Change, Op, Role
from hub.plan.plan import Plan
from hub.reconcile.rollout import RolloutResult
from hub.sinks import folder as on_disk
from hub.sinks.names import TEMPORARY
from tests.hub.reconcile.test_loop import eventually
from tests.hub.sinks.small_mesh import (
    API,
    access,
    apply,
    carried_out,
    content,
    native,
    planned,
    seen,
    settled,
    sink,
    wanted,
    wrote,
)


@pytest.mark.parametrize("changed", [API, "kustomization.yaml", ".smihub.json", "new"])
def test_a_plan_that_was_overtaken_writes_nothing(path: Path, changed: str) -> None:
    """Whichever of our files changed since."""
    made = planned(wanted({"api": ["new"]}), seen(path))
    if changed == "new":
        apply(path, wanted({"api": ["web"], "db": []}))
    else:
        with (path / changed).open("a") as file:
            file.write("\n")
    before = content(path)
    with pytest.raises(StaleError, match="plan again"):
        wrote(path, made)
    assert content(path) == before


def test_a_folder_that_is_gone_is_not_made_again(path: Path) -> None:
    """A plan for what was there is stale."""
    made = planned(wanted({"api": ["new"]}), seen(path))
    shutil.rmtree(path)
    with pytest.raises(StaleError):
        wrote(path, made)
    assert not path.exists()


def test_a_place_that_was_taken_meanwhile_stays_taken(tmp_path: Path) -> None:
    """Foreign files are not in the token; they are looked at nevertheless, before anything is written."""
    made = planned(wanted({"api": ["web"]}), seen(tmp_path))
    (tmp_path / "objects").mkdir()
    (tmp_path / API).write_text("mine")
    done = wrote(tmp_path, made)
    assert "is not managed by smihub" in done.results[access("api")].detail
    assert (tmp_path / API).read_text() == "mine"
    assert "mine" not in str(seen(tmp_path).objects)


@pytest.mark.thorough
async def test_nobody_looks_for_edits_while_the_folder_is_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a file that is written again just then nobody could tell whose it is; an edit is told as soon as that has ended."""
    looks = 0

    def look(path: Path) -> dict[str, on_disk.Entry]:
        nonlocal looks
        looks += 1
        return on_disk.signature(path)

    async def looked() -> bool:
        return looks > 0

    monkeypatch.setattr("hub.sinks.directory._LOOK_S", 0.01)
    monkeypatch.setattr("hub.sinks.directory.signature", look)
    watched = sink(path)
    telling = asyncio.ensure_future(anext(watched.changes()))
    await eventually(looked)
    async with watched.writing((await watched.observe()).token):
        before = looks
        (path / API).write_text("edited")
        await asyncio.sleep(0.2)
        assert looks == before
        assert not telling.done()
    assert await telling == ""


def test_an_unsafe_object_stops_its_unit(path: Path) -> None:
    """Nothing of it is written, and the rest is."""
    bad = replace(native(Role.GRANT, "db"), body=b"{}")
    changes = [Change(Op.CREATE, one.ref, 5, None, one, access("db")) for one in (native(Role.GUARD, "db"), bad)]
    done = wrote(path, Plan("istio", seen(path).token, tuple(changes)))
    assert (done.results[access("db")].state, done.results[access("db")].ref) == ("refused", bad.ref)
    assert [change.ref for change, _ in done.written] == [changes[0].ref]
    before = content(path)
    twice = (changes[0], replace(changes[0], op=Op.DELETE, after=None))
    with pytest.raises(UnsafeResourceError, match="twice"):
        wrote(path, Plan("istio", seen(path).token, twice))
    assert content(path) == before


@pytest.mark.thorough
def test_writers_wait_for_each_other_and_then_give_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder in use is a TransientError; nothing is written, and when it is free again all is well."""
    monkeypatch.setattr(on_disk, "_TRIES", 3)
    handle = os.open(path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    for work in (sink(path).observe(), carried_out(path, Plan("istio", "", memory={access("api"): b""}))):
        with pytest.raises(TransientError, match="in use by another smihub"):
            asyncio.run(work)
    os.close(handle)
    assert settled(path, wanted({"api": ["web"]}))


async def test_one_of_two_concurrent_writers_is_overtaken(tmp_path: Path) -> None:
    """In one process or in two."""
    plans = [planned(wanted({"api": [source]}), await sink(tmp_path).observe()) for source in ("web", "shop")]
    writes = (carried_out(tmp_path, made) for made in plans)
    ends = await asyncio.gather(*writes, return_exceptions=True)
    assert [type(end) for end in ends if not isinstance(end, RolloutResult)] == [StaleError]
    observed = await sink(tmp_path).observe()
    assert (
        sum(
            not (made.changes or made.memory)
            for made in (planned(wanted({"api": [s]}), observed) for s in ("web", "shop"))
        )
        == 1
    )


def test_on_a_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are moved to their places, still never over another."""

    def link(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    apply(tmp_path, wanted({"api": ["web"]}))
    assert settled(tmp_path, wanted({"api": ["web"]}))
    assert ".smihub.tmp" not in content(tmp_path)


def test_a_full_disk_is_told_as_such(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And leaves what was there."""

    def fsync(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    made = planned(wanted({"api": ["new"]}), seen(path))
    with pytest.raises(TransientError, match="no space left on device; free space on its file system"):
        wrote(path, made)
    monkeypatch.undo()
    apply(path, wanted({"api": ["new"]}))
    assert settled(path, wanted({"api": ["new"]}))
    assert not list(path.rglob("*.tmp"))


@pytest.mark.thorough
@pytest.mark.parametrize("stuck", ["read", "stage", "sync", "remove"])
async def test_a_slow_disk_stops_nothing_else(path: Path, monkeypatch: pytest.MonkeyPatch, stuck: str) -> None:
    """What is read, written and removed is not waited for by the event loop, on which other meshes are served."""
    made, gate, waited = planned(wanted({"db": ["web"]}), await sink(path).observe()), threading.Event(), list[bool]()
    known = getattr(on_disk.Folder, stuck)

    def slow(folder: on_disk.Folder, *arguments: object) -> object:
        waited.append(gate.wait(20))
        return known(folder, *arguments)

    monkeypatch.setattr(on_disk.Folder, stuck, slow)
    writing = asyncio.create_task(carried_out(path, made))
    await asyncio.sleep(0.05)
    gate.set()
    await writing
    assert waited
    assert all(waited)


async def test_a_write_that_is_cancelled_ends_its_step_and_begins_no_other(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is let go of only then, and a prefix of the plan stands there."""
    made, gate, begun = planned(wanted({"db": ["web"]}), await sink(path).observe()), threading.Event(), list[str]()
    known, loop, reached = on_disk.Folder.add, asyncio.get_running_loop(), asyncio.Event()

    def slow(folder: on_disk.Folder, file: str) -> None:
        begun.append(file)
        loop.call_soon_threadsafe(reached.set)
        assert gate.wait(20)
        known(folder, file)

    monkeypatch.setattr(on_disk.Folder, "add", slow)
    writing = asyncio.create_task(carried_out(path, made))
    await reached.wait()
    writing.cancel()
    await asyncio.sleep(0.05)
    assert not writing.done()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await writing
    (file,) = begun
    assert (path / file).is_file()
    assert not (path / TEMPORARY).exists()
    assert not (path / "objects" / TEMPORARY).exists()


def test_a_token_is_of_what_was_read_with_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tasks may read one folder at the same time, and somebody edits it between them."""
    before, mine = seen(path), sink(path)
    known, again = mine._objects, list[str]()

    def overtaken(folder: on_disk.Folder) -> object:
        found = known(folder)
        if not again:
            again.append("")
            with (path / API).open("a") as file:
                file.write("# edited\n")
            mine._read(folder)
        return found

    monkeypatch.setattr(mine, "_objects", overtaken)
    assert asyncio.run(mine.observe()) == before
