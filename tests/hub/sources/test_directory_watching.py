"""A folder that is watched: what its watcher hears, and what is read again for a report."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hub.errors import SourceError
from hub.events import Delete, Event, Synced, Unread, Upsert
from hub.sources.files import list_files, reported_files
from hub.sources.selection import IGNORE, Selection
from tests.hub.sources.reader import Reader, held, source, write


@asynccontextmanager
async def batches(reader: Reader) -> AsyncIterator[asyncio.Queue[tuple[Event, ...]]]:
    """What the watcher says, in a queue."""
    queue: asyncio.Queue[tuple[Event, ...]] = asyncio.Queue()

    async def run() -> None:
        async for batch in reader.watch():
            queue.put_nowait(batch)

    task = asyncio.create_task(run())
    try:
        yield queue
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.thorough
async def test_a_watcher_hears_changes_one_by_one(tmp_path: Path) -> None:
    """First everything, then only what changed: a new, a changed, a broken, a repaired and a removed file."""
    write(tmp_path / "a.yaml", "a: 1")
    async with asyncio.timeout(20), batches(source(tmp_path)) as queue:
        assert [type(e) for e in await queue.get()] == [Upsert, Synced]
        write(tmp_path / "b.yaml", "kind: B")
        (event, _) = await queue.get()
        assert isinstance(event, Upsert)
        assert (event.part, event.documents[0].value) == ("b.yaml", {"kind": "B"})
        write(tmp_path / "b.yaml", "b: [")
        (event, _) = await queue.get()
        assert isinstance(event, Unread)
        assert (event.part, event.problem.code) == ("b.yaml", "yaml.syntax")
        write(tmp_path / "b.yaml", "kind: B")
        (event, _) = await queue.get()
        assert isinstance(event, Upsert)
        (tmp_path / "b.yaml").unlink()
        assert await queue.get() == (Delete("b.yaml"), Synced())


@pytest.mark.thorough
async def test_a_watcher_survives_the_loss_of_its_folder(tmp_path: Path) -> None:
    """The whole source is unread once; the folder that comes back is watched like the first."""
    root = tmp_path / "root"
    write(root / "a.yaml", "a: 1")
    async with asyncio.timeout(20), batches(source(root)) as queue:
        await queue.get()
        root.rename(tmp_path / "away")
        (event,) = await queue.get()
        assert isinstance(event, Unread)
        assert (event.part, event.problem.code) == ("", "source.unreadable")
        write(root / "a.yaml", "a: 2")
        events = await queue.get()
        assert [e.documents[0].value for e in events if isinstance(e, Upsert)] == [{"a": 2}]
        write(root / "a.yaml", "a: 3")
        events = await queue.get()
        assert [e.documents[0].value for e in events if isinstance(e, Upsert)] == [{"a": 3}]


@pytest.mark.thorough
async def test_a_file_replaced_by_rename_is_followed(tmp_path: Path) -> None:
    """The usual atomic write gives the file a new inode each time."""
    path = write(tmp_path / "a.yaml", "a: 1")
    async with asyncio.timeout(20), batches(source(path)) as queue:
        await queue.get()
        for number in (2, 3):
            write(tmp_path / "a.tmp", f"a: {number}").rename(path)
            (event, _) = await queue.get()
            assert isinstance(event, Upsert)
            assert event.documents[0].value == {"a": number}


def test_a_report_is_understood_where_it_is_about_an_ordinary_file(tmp_path: Path) -> None:
    """A changed or new file is looked at by itself; a temporary, hidden or skipped one is not looked at."""
    path, own = write(tmp_path / "sub/a.yaml", "a: 1"), write(tmp_path / "smihub.yaml", "x: 1")
    last = list_files(tmp_path, Selection(skip=own))
    new = write(tmp_path / "b.yaml", "b: 1")
    beside = [write(tmp_path / "a.tmp", ""), write(tmp_path / ".b.yaml", ""), tmp_path / "gone.tmp", own]
    assert reported_files(last, map(str, [path, new, *beside])) == {"sub/a.yaml": str(path), "b.yaml": str(new)}


@pytest.mark.parametrize("what", ["gone", "folder", "new folder", "link", "linked before", "deep"])
def test_a_report_of_anything_else_asks_for_a_new_listing(tmp_path: Path, what: str) -> None:
    """Deletions, folders and links may change what other files mean."""
    path = write(tmp_path / "sub/a.yaml", "a: 1")
    if what == "linked before":
        (tmp_path / "l.yaml").symlink_to("sub/a.yaml")
    last = list_files(tmp_path)
    if what == "gone":
        path.unlink()
    if what == "folder":
        path = path.parent
    if what == "new folder":
        path = write(tmp_path / "new/a.yaml", "a: 1").parent
    if what == "deep":
        path = write(tmp_path / "new/a.yaml", "a: 1")
    if what == "link":
        path = tmp_path / "l.tmp"
        path.symlink_to("sub")
    assert reported_files(last, [str(path)]) is None


@pytest.mark.thorough
def test_a_reported_file_is_read_without_the_others(tmp_path: Path) -> None:
    """One change costs one change: nobody looks at the other files, until all are looked at again."""
    reader = source(tmp_path)
    path, other = write(tmp_path / "a.yaml", "a: 1"), write(tmp_path / "b.yaml", "b: 1")
    reader.look()
    write(path, "a: 2")
    write(other, "b: 2")
    events = [step for step in reader.steps(frozenset([str(path)])) if isinstance(step, Event)]
    assert [type(event) for event in events] == [Upsert, Synced]
    assert [event.part for event in events if isinstance(event, Upsert)] == ["a.yaml"]
    assert held(reader)["b.yaml"] == [{"b": 2}]


def test_a_reported_file_that_was_the_last_with_objects_is_an_error(tmp_path: Path) -> None:
    """Emptying the only file never means that everything was deleted, whoever reports it."""
    reader = source(tmp_path)
    path = write(tmp_path / "a.yaml", "a: 1")
    reader.look()
    write(path, "# nothing")
    with pytest.raises(SourceError, match="has no object"):
        assert not any(isinstance(step, Event) for step in reader.steps(frozenset([str(path)])))


@pytest.mark.thorough
async def test_a_watcher_hears_what_an_ignore_file_lets_in(tmp_path: Path) -> None:
    """Its change is a change of what counts."""
    write(tmp_path / "a.yaml", "a: 1")
    write(tmp_path / "draft.yaml", "a: 2")
    write(tmp_path / IGNORE, "draft.yaml\n")
    async with asyncio.timeout(20), batches(source(tmp_path)) as queue:
        assert [type(e) for e in await queue.get()] == [Upsert, Synced]
        write(tmp_path / IGNORE, "\n")
        (event, _) = await queue.get()
        assert isinstance(event, Upsert)
        assert event.part == "draft.yaml"
        write(tmp_path / IGNORE, "draft.yaml\n")
        assert await queue.get() == (Delete("draft.yaml"), Synced())
