"""What every source has to say, and when: the same for a folder and for a source that reads objects one by one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import pytest

from hub.api import Event, ObjectSource, Synced, Unread, Upsert
from hub.errors import SourceError
from hub.sources.directory import DirectorySource
from hub.testing.memory_source import MemorySource

TEXT = "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {{ports: [{{port: {port}}}]}}\n"


class World(Protocol):
    """What a source reads; `part` and `scope` are how that source calls things."""

    source: ObjectSource

    def part(self, namespace: str, name: str) -> str:
        """The part of one object."""

    def scope(self, namespace: str) -> str:
        """The scope that holds all objects of a namespace."""

    def put(self, namespace: str, name: str, port: int = 80) -> None:
        """Write an object."""

    def remove(self, namespace: str, name: str) -> None:
        """Delete an object."""

    def break_(self, *broken: str) -> None:
        """From now on these parts and scopes cannot be read, and all others can."""


class Files:
    """A folder with a folder for each namespace."""

    def __init__(self, root: Path) -> None:
        self._root, self._away = root / "source", root / "away"
        self._root.mkdir()
        self._away.mkdir()
        self._broken: set[str] = set()
        self.source: ObjectSource = DirectorySource("files", self._root, poll_s=0.5)

    def part(self, namespace: str, name: str) -> str:
        """A file."""
        return f"{namespace}/{name}.yaml"

    def scope(self, namespace: str) -> str:
        """A folder."""
        return f"{namespace}/"

    def put(self, namespace: str, name: str, port: int = 80) -> None:
        """Write a file."""
        path = self._root / self.part(namespace, name)
        path.parent.mkdir(exist_ok=True)
        path.write_text(TEXT.format(namespace=namespace, name=name, port=port))
        os.utime(path, (1, 1))

    def remove(self, namespace: str, name: str) -> None:
        """Delete a file."""
        (self._root / self.part(namespace, name)).unlink()

    def break_(self, *broken: str) -> None:
        """Put a link that leads out of the folder in its place: nobody, not even root, follows it."""
        for name in self._broken:
            (self._root / name).unlink()
            shutil.move(self._aside(name), self._root / name)
        self._broken = {name.rstrip("/") for name in broken}
        for name in self._broken:
            shutil.move(self._root / name, self._aside(name))
            (self._root / name).symlink_to(self._aside(name))

    def _aside(self, name: str) -> Path:
        return self._away / name.replace("/", "_")


class Objects:
    """A cluster in memory; of all its kinds only Services."""

    def __init__(self) -> None:
        self._memory = MemorySource("objects")
        self.source: ObjectSource = self._memory

    def part(self, namespace: str, name: str) -> str:
        """An object."""
        return f"Service/{namespace}/{name}"

    def scope(self, namespace: str) -> str:
        """A namespace of a kind."""
        return f"Service/{namespace}/"

    def put(self, namespace: str, name: str, port: int = 80) -> None:
        """Write an object."""
        self._memory.put(TEXT.format(namespace=namespace, name=name, port=port))

    def remove(self, namespace: str, name: str) -> None:
        """Delete an object."""
        self._memory.remove(self.part(namespace, name))

    def break_(self, *broken: str) -> None:
        """Make them fail."""
        self._memory.fail(*broken)


@pytest.fixture(name="world", params=["files", "objects"])
def make_world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """Two objects in one namespace, one in another."""
    world: World = Files(tmp_path) if request.param == "files" else Objects()
    for namespace, name in (("a", "one"), ("a", "two"), ("b", "three")):
        world.put(namespace, name)
    return world


def said(events: Iterable[Event]) -> set[tuple[str, str]]:
    """What was said, without order; `Synced` has to be last, and there once."""
    *events, last = events
    assert isinstance(last, Synced)
    assert not any(isinstance(event, Synced) for event in events)
    return {(type(event).__name__, "" if isinstance(event, Synced) else event.part) for event in events}


@pytest.mark.thorough
def test_the_first_reading_says_everything_the_next_what_changed(world: World) -> None:
    """Objects come with their origin; an object that did not change is not said again."""
    first = list(world.source.read())
    parts = [world.part(*each) for each in (("a", "one"), ("a", "two"), ("b", "three"))]
    assert said(first) == {("Upsert", part) for part in parts}
    for event in first:
        if isinstance(event, Upsert):
            assert [each.origin.source for each in event.documents] == [world.source.name]
    assert said(world.source.read()) == set()
    world.put("a", "one", port=81)
    world.remove("b", "three")
    assert said(world.source.read()) == {("Upsert", parts[0]), ("Delete", parts[2])}


@pytest.mark.thorough
def test_a_part_that_cannot_be_read_is_unread_until_it_is_read_again(world: World) -> None:
    """Its objects are neither deleted nor said; then they are said, though they are as they were."""
    part = world.part("a", "one")
    said(world.source.read())
    world.break_(part)
    assert said(world.source.read()) == {("Unread", part)}
    world.break_()
    assert said(world.source.read()) == {("Upsert", part)}


def test_a_scope_that_cannot_be_listed_deletes_nothing(world: World) -> None:
    """It is said to be unread, and to be listed once it is; what went meanwhile goes only then."""
    said(world.source.read())
    world.break_(world.scope("a"))
    assert said(world.source.read()) == {("Unread", world.scope("a"))}
    world.break_()
    world.remove("a", "two")
    assert said(world.source.read()) == {("Listed", world.scope("a")), ("Delete", world.part("a", "two"))}


@pytest.mark.thorough
def test_a_part_that_could_not_be_read_before_its_scope_is_said_with_it(world: World) -> None:
    """Else it would be unread for good, and nobody in its namespace would gain anything any more."""
    part, scope = world.part("a", "one"), world.scope("a")
    said(world.source.read())
    world.break_(part)
    assert said(world.source.read()) == {("Unread", part)}
    world.break_(scope)
    assert said(world.source.read()) == {("Unread", scope)}
    world.break_()
    assert said(world.source.read()) == {("Listed", scope), ("Upsert", part)}


def test_a_scope_that_never_could_be_listed_is_said_in_whole_later(world: World) -> None:
    """Nobody may take it for empty."""
    world.break_(world.scope("a"))
    assert said(world.source.read()) == {("Unread", world.scope("a")), ("Upsert", world.part("b", "three"))}
    world.break_()
    assert said(world.source.read()) == {
        ("Listed", world.scope("a")),
        ("Upsert", world.part("a", "one")),
        ("Upsert", world.part("a", "two")),
    }


def test_a_source_that_is_away_says_nothing_but_raises(tmp_path: Path) -> None:
    """That never means that everything is gone."""
    objects = MemorySource("objects")
    objects.fail("")
    for source in (objects, DirectorySource("files", tmp_path / "away")):
        with pytest.raises(SourceError):
            list(source.read())


@pytest.mark.thorough
async def test_watching_says_the_same_and_goes_on(world: World) -> None:
    """First all, then each change; of a source that is away one `Unread` of everything."""
    watched = world.source.watch()
    assert len(said(await anext(watched))) == 3
    world.put("a", "one", port=81)
    assert said(await anext(watched)) == {("Upsert", world.part("a", "one"))}
    if isinstance(world, Objects):
        world.break_("")
        assert [(type(event), getattr(event, "part", None)) for event in await anext(watched)] == [(Unread, "")]
    await watched.aclose()  # type: ignore[attr-defined]  # both are generators
