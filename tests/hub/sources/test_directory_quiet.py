"""A file that is being written: what counts is what stands once it rests."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hub.events import Event, Snapshot, Unread, Upsert
from hub.sources.files import read_settled, signature
from hub.sources.selection import IGNORE
from tests.hub.sources.reader import Reader, held, source, write


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


@pytest.mark.thorough
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


def test_a_write_time_in_the_future_does_not_stop_reading(tmp_path: Path) -> None:
    """Another machine's clock may run ahead."""
    path = write(tmp_path / "a.yaml", "a: 1")
    os.utime(path, (2**33, 2**33))
    assert held(source(tmp_path)) == {"a.yaml": [{"a": 1}]}


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


@pytest.mark.thorough
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


@pytest.mark.parametrize(("age_ms", "rest_ms"), [(30, 70), (0, 100), (100, 100), (-5, 100)])
def test_a_file_is_looked_at_again_when_it_can_be_quiet(tmp_path: Path, age_ms: int, rest_ms: int) -> None:
    """No earlier and no later; where the times say nothing, after the whole quiet time."""
    found = signature(str(write(tmp_path / "a.yaml", "a: 1")))
    now_ns = max(found.modified_ns, found.changed_ns) + age_ms * 1_000_000
    assert found.pause_s(now_ns) == pytest.approx(rest_ms / 1000)


@pytest.mark.thorough
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
