"""A folder as a source: what counts, what stays in force, what is an error, and what a watcher hears."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hub.errors import SourceError
from hub.events import Delete, Event, Snapshot, Synced, Unread, Upsert
from hub.model import ObjectRef, Origin, Problem
from hub.sources.directory import DirectorySource
from hub.sources.files import list_files, read_settled, reported_files, signature
from hub.sources.selection import IGNORE, Selection
from hub.sources.yaml import ParseLimits


def write(path: Path, text: str) -> Path:
    """Write a file, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def source(root: Path, limits: ParseLimits = ParseLimits()) -> Reader:
    """A source over `root`, named git."""
    return Reader("git", root, limits, poll_s=0.5)


class Reader(DirectorySource):
    """A source with the snapshot that its events add up to."""

    snapshot = Snapshot()

    def look(self) -> Snapshot:
        """Read again; the source as it stands now."""
        self.snapshot = self.snapshot.after(self.read())
        return self.snapshot


def held(reader: Reader) -> dict[str, list[object]]:
    """The values per file that a reading gives."""
    return {part: [d.value for d in documents] for part, documents in reader.look().parts.items()}


def read_changing(reader: Reader, change: Callable[[], object]) -> list[Event]:
    """All events of a reading; `change` is called when a file has been parsed ahead, but is not quiet yet."""
    events: list[Event] = []
    for step in reader.steps():
        if isinstance(step, Event):
            events.append(step)
        elif step == 0.0:
            change()
        elif isinstance(step, float):
            time.sleep(step)
    return events


@pytest.mark.parametrize("early", ["a: 1\n", "a: [\n"])
def test_what_stands_when_the_file_is_quiet_counts_not_what_was_parsed_ahead(tmp_path: Path, early: str) -> None:
    """A file that is written once more after it was parsed ahead is taken as it stands in the end."""
    path, reader = write(tmp_path / "f.yaml", early), source(tmp_path)
    texts = ["a: 2\n"]
    events = read_changing(reader, lambda: texts and write(path, texts.pop()))
    assert not texts, "the file was never parsed ahead"
    assert [[d.value for d in event.documents] for event in events if isinstance(event, Upsert)] == [[{"a": 2}]]
    assert not any(isinstance(event, Unread) for event in events)


def test_what_was_parsed_ahead_counts_when_the_file_stays(tmp_path: Path) -> None:
    """Objects and errors are the same whether a file was parsed ahead or not."""
    write(tmp_path / "good.yaml", "a: 1\n")
    write(tmp_path / "bad.yaml", "a: [\n")
    ahead: list[None] = []
    events = read_changing(source(tmp_path), lambda: ahead.append(None))
    assert ahead, "no file was parsed ahead"
    assert events == list(source(tmp_path).read())


def test_all_yaml_and_json_files_are_read(tmp_path: Path) -> None:
    """Nested folders, three suffixes in any case; hidden and other files do not count."""
    for name in ("b.yaml", "sub/a.yml", "sub/deep/C.JSON"):
        write(tmp_path / name, '{"name": "' + name + '"}')
    for name in (".hidden.yaml", ".git/x.yaml", "notes.txt", "x.yaml.swp"):
        write(tmp_path / name, "a: [broken")
    snapshot = source(tmp_path).look()
    assert sorted(snapshot.parts) == ["b.yaml", "sub/a.yml", "sub/deep/C.JSON"]
    assert snapshot.documents[0].origin == Origin("git", "b.yaml", 1)
    assert not snapshot.unread


def test_a_single_file_is_a_source(tmp_path: Path) -> None:
    """Its part is its name."""
    assert held(source(write(tmp_path / "a.yaml", "a: 1"))) == {"a.yaml": [{"a": 1}]}


def test_a_single_file_behind_a_link_keeps_its_name(tmp_path: Path) -> None:
    """Its part is the name that smihub.yaml has: what was remembered of it is hidden, wherever the link leads next."""
    link = tmp_path / "current.yaml"
    for name, text in (("one.yaml", "a: 1"), ("two.yaml", "a: [")):
        write(tmp_path / name, text)
        link.unlink(missing_ok=True)
        link.symlink_to(name)
        looked = source(link).look()
        assert {*looked.parts, *looked.unread} == {"current.yaml"}


def test_only_changed_files_are_parsed_again(tmp_path: Path) -> None:
    """An unchanged file gives the very same objects; so does one that was only touched."""
    write(tmp_path / "a.yaml", "a: 1")
    recent = write(tmp_path / "b.yaml", "b: 1")
    reader = source(tmp_path)
    before = reader.look()
    os.utime(recent, (1, 1))
    write(tmp_path / "c.yaml", "c: 1")
    after = reader.look()
    assert after.parts["a.yaml"] is before.parts["a.yaml"]
    assert after.parts["b.yaml"] is before.parts["b.yaml"]
    assert sorted(after.parts) == ["a.yaml", "b.yaml", "c.yaml"]


def test_a_change_of_the_same_size_and_time_is_seen(tmp_path: Path) -> None:
    """Whoever resets the modification time cannot reset the change time."""
    path = write(tmp_path / "a.yaml", "a: 1")
    os.utime(path, (1, 1))
    reader = source(tmp_path)
    assert held(reader) == {"a.yaml": [{"a": 1}]}
    write(path, "a: 2")
    os.utime(path, (1, 1))
    assert held(reader) == {"a.yaml": [{"a": 2}]}


def test_a_write_time_in_the_future_does_not_stop_reading(tmp_path: Path) -> None:
    """Another machine's clock may run ahead."""
    path = write(tmp_path / "a.yaml", "a: 1")
    os.utime(path, (2**33, 2**33))
    assert held(source(tmp_path)) == {"a.yaml": [{"a": 1}]}


@pytest.mark.parametrize(
    ("text", "code"), [("a: [", "yaml.syntax"), ("a: 1\na: 2", "yaml.duplicate-key"), ("x" * 100, "yaml.too-large")]
)
def test_a_broken_file_keeps_what_it_held(tmp_path: Path, text: str, code: str) -> None:
    """Its last good content stays in force, and it is reported until it is repaired."""
    path = write(tmp_path / "a.yaml", "kind: A")
    reader = source(tmp_path, ParseLimits(file_bytes=50))
    reader.look()
    write(path, text)
    for _ in range(2):
        snapshot = reader.look()
        assert [d.value for d in snapshot.parts["a.yaml"]] == [{"kind": "A"}]
        assert snapshot.unread["a.yaml"].code == code
        assert snapshot.unread["a.yaml"].origin.file == "a.yaml"
    write(path, "a: 3")
    snapshot = reader.look()
    assert ([d.value for d in snapshot.documents], dict(snapshot.unread)) == ([{"a": 3}], {})


def test_a_file_never_read_well_holds_nothing(tmp_path: Path) -> None:
    """It is unread, and no part of the snapshot."""
    write(tmp_path / "a.yaml", "a: smihub.io\n---\nb: [")
    snapshot = source(tmp_path).look()
    assert (dict(snapshot.parts), list(snapshot.unread)) == ({}, ["a.yaml"])


def test_a_removed_file_is_gone_even_if_it_was_unread(tmp_path: Path) -> None:
    """Deleting the file is a statement, breaking it is not."""
    write(tmp_path / "a.yaml", "a: 1")
    path = write(tmp_path / "b.yaml", "b: [")
    reader = source(tmp_path)
    reader.look()
    path.unlink()
    snapshot = reader.look()
    assert (list(snapshot.parts), dict(snapshot.unread)) == (["a.yaml"], {})


def test_links_are_followed_inside_only(tmp_path: Path) -> None:
    """A link within the folder is read, one that leads out (or nowhere) is unread."""
    root = tmp_path / "root"
    write(tmp_path / "secret.yaml", "s: 1")
    write(tmp_path / "elsewhere/x.yaml", "x: 1")
    write(root / "..data/real.yaml", "a: 1")
    (root / "in.yaml").symlink_to("..data/real.yaml")
    (root / "out.yaml").symlink_to("../secret.yaml")
    (root / "gone.yaml").symlink_to("nothing.yaml")
    (root / "loop.yaml").symlink_to("loop.yaml")
    (root / "folder").symlink_to("../elsewhere")
    (root / "hidden").symlink_to("..data")
    (root / "self").symlink_to(".")
    snapshot = source(root).look()
    assert list(snapshot.parts) == ["in.yaml"]
    assert {part: problem.code for part, problem in snapshot.unread.items()} == {
        "out.yaml": "file.outside",
        "folder/": "file.outside",
        "hidden/": "file.outside",
        "gone.yaml": "file.unreadable",
        "loop.yaml": "file.unreadable",
    }


def test_a_named_pipe_does_not_block(tmp_path: Path) -> None:
    """Only ordinary files are read."""
    write(tmp_path / "a.yaml", "a: 1")
    os.mkfifo(tmp_path / "p.yaml")
    assert source(tmp_path).look().unread["p.yaml"].code == "file.special"


def test_a_name_that_is_not_utf8_is_shown_escaped(tmp_path: Path) -> None:
    """Part names can be printed and encoded."""
    write(Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.yaml")), "a: 1")
    assert list(source(tmp_path).look().parts) == ["\\xff.yaml"]


@pytest.fixture
def own_folder() -> Iterator[Path]:
    """A folder of an ordinary user's, with the test running as that user: root can read everything."""
    nobody = 65534
    folder = Path(tempfile.mkdtemp())
    if os.geteuid() != 0:
        yield folder
        return
    os.chown(folder, nobody, -1)
    os.seteuid(nobody)
    try:
        yield folder
    finally:
        os.seteuid(0)
        shutil.rmtree(folder)


def test_an_unreadable_file_or_folder_keeps_what_it_held(own_folder: Path) -> None:
    """Permissions taken away freeze, they delete nothing."""
    write(own_folder / "sub/a.yaml", "a: 1")
    path = write(own_folder / "b.yaml", "b: 1")
    reader = source(own_folder)
    before = reader.look()
    path.chmod(0)
    (own_folder / "sub").chmod(0)
    after = reader.look()
    assert (dict(after.parts), sorted(after.unread)) == (dict(before.parts), ["b.yaml", "sub/"])
    path.chmod(0o644)
    (own_folder / "sub").chmod(0o755)
    assert reader.look().unread == {}


def test_an_unreadable_root_is_an_error(own_folder: Path) -> None:
    """A folder that cannot be listed is not an empty one."""
    write(own_folder / "a.yaml", "a: 1")
    own_folder.chmod(0)
    with pytest.raises(SourceError, match="permission denied"):
        source(own_folder).look()
    own_folder.chmod(0o755)


@pytest.mark.parametrize("content", ["missing", "empty folder", "no yaml", "empty file", "loop"])
def test_a_source_without_objects_is_an_error(tmp_path: Path, content: str) -> None:
    """Nothing to read never means that everything was deleted."""
    root = tmp_path / "root"
    if content == "loop":
        root.symlink_to("root")
    elif content != "missing":
        root.mkdir()
    if content in {"no yaml", "empty file"}:
        write(root / ("notes.txt" if content == "no yaml" else "a.yaml"), "# nothing\n")
    with pytest.raises(SourceError, match=r'source ".*root"'):
        source(root).look()


def test_a_source_that_vanishes_comes_back_as_it_was(tmp_path: Path) -> None:
    """The error forgets nothing: the same content gives the same objects."""
    root = tmp_path / "root"
    write(root / "a.yaml", "a: 1")
    reader = source(root)
    before = reader.look()
    root.rename(tmp_path / "away")
    with pytest.raises(SourceError):
        reader.look()
    (tmp_path / "away").rename(root)
    assert reader.look().parts["a.yaml"] is before.parts["a.yaml"]


def read_while(reader: Reader, disturb: Callable[[int], None]) -> Snapshot:
    """Read, and instead of waiting let `disturb(n)` do something to the files in the n-th pause."""
    pauses = 0
    events: list[Event] = []
    for step in reader.steps():
        if isinstance(step, Event):
            events.append(step)
        elif step:
            pauses += 1
            disturb(pauses)
    reader.snapshot = reader.snapshot.after(events)
    return reader.snapshot


def rewrite(path: Path, text: str, second: int) -> None:
    """Write a file whose time is still to come, so that however slow the test is, it never looks old and quiet."""
    write(path, text)
    os.utime(path, (2**33 + second, 2**33 + second))


def test_a_file_is_read_once_it_rests(tmp_path: Path) -> None:
    """What stood there while it was being written is never taken, broken or not."""
    path = tmp_path / "a.yaml"
    rewrite(path, "a: [half", 0)

    def disturb(pause: int) -> None:
        if pause < 5:
            rewrite(path, "a: [half" if pause < 4 else "a: 4", pause)

    snapshot = read_while(source(tmp_path), disturb)
    assert ([d.value for d in snapshot.documents], dict(snapshot.unread)) == ([{"a": 4}], {})


def test_a_file_that_never_rests_keeps_what_it_held(tmp_path: Path) -> None:
    """It is unread, not half read."""
    path = write(tmp_path / "a.yaml", "a: 1")
    reader = source(tmp_path)
    reader.look()
    rewrite(path, "a: 2", 0)
    snapshot = read_while(reader, lambda pause: rewrite(path, "a: 2", pause))
    assert [d.value for d in snapshot.documents] == [{"a": 1}]
    assert snapshot.unread["a.yaml"].code == "file.busy"
    assert [d.value for d in reader.look().documents] == [{"a": 2}]


def test_a_file_replaced_between_look_and_read_is_not_taken(tmp_path: Path) -> None:
    """The content must belong to what was looked at, before and after."""
    path = write(tmp_path / "a.yaml", "a: 1")
    before = signature(str(path))
    write(tmp_path / "a.tmp", "a: 2").rename(path)
    assert read_settled(str(path), before, 100) is None
    assert read_settled(str(path), signature(str(path)), 100) == b"a: 2"


def test_problems_are_pinned_to_their_field(tmp_path: Path) -> None:
    """Reading knows where an object starts; the message wants the line of the field."""
    path = write(tmp_path / "a.yaml", "a: 1\n---\nkind: T\nspec:\n  x: [1,\n    2]\n")
    reader = source(tmp_path)
    origin = reader.look().documents[1].origin
    problem = Problem("c", ObjectRef("", "T", "", ""), "spec.x[1]", "m", "r", origin)
    elsewhere = Problem("c", problem.ref, "spec", "m", "r", Origin("other", "a.yaml", 1))
    assert [p.origin.line for p in reader.pinpoint([problem, elsewhere])] == [6, 1]
    write(path, "changed: 1\n")
    assert reader.pinpoint([problem]) == (problem,)


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


@pytest.mark.parametrize(("age_ms", "rest_ms"), [(30, 70), (0, 100), (100, 100), (-5, 100)])
def test_a_file_is_looked_at_again_when_it_can_be_quiet(tmp_path: Path, age_ms: int, rest_ms: int) -> None:
    """No earlier and no later; where the times say nothing, after the whole quiet time."""
    found = signature(str(write(tmp_path / "a.yaml", "a: 1")))
    now_ns = max(found.modified_ns, found.changed_ns) + age_ms * 1_000_000
    assert found.pause_s(now_ns) == pytest.approx(rest_ms / 1000)


def test_an_ignore_file_counts_once_it_is_quiet(tmp_path: Path) -> None:
    """While it is written anew, and for a moment after it is gone, nothing is read that it leaves out."""
    write(tmp_path / "a.yaml", "a: 1")
    write(tmp_path / "draft.yaml", "a: 2")
    ignore = write(tmp_path / IGNORE, "draft.yaml\n")
    reader = source(tmp_path)
    assert list(held(reader)) == ["a.yaml"]
    for gap in (lambda: write(ignore, ""), ignore.unlink):
        gap()
        steps = reader.steps()
        assert isinstance(next(steps), float)
        write(ignore, "draft.yaml\n")
        upserts = []
        for step in steps:
            if isinstance(step, float):
                time.sleep(step)
            elif isinstance(step, Upsert):
                upserts.append(step)
        assert upserts == []
    ignore.unlink()
    assert list(held(reader)) == ["a.yaml", "draft.yaml"]


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
