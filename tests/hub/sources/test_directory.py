"""A folder as a source: what counts, what stays in force, and what is an error."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from hub.errors import SourceError
from hub.model import ObjectRef, Origin, Problem
from hub.sources.limits import ParseLimits
from tests.hub.sources.reader import held, source, write


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


@pytest.mark.thorough
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


@pytest.mark.thorough
def test_a_change_of_the_same_size_and_time_is_seen(tmp_path: Path) -> None:
    """Whoever resets the modification time cannot reset the change time."""
    path = write(tmp_path / "a.yaml", "a: 1")
    os.utime(path, (1, 1))
    reader = source(tmp_path)
    assert held(reader) == {"a.yaml": [{"a": 1}]}
    write(path, "a: 2")
    os.utime(path, (1, 1))
    assert held(reader) == {"a.yaml": [{"a": 2}]}


@pytest.mark.thorough
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


@pytest.mark.thorough
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
    write(path, "a: 1\n---\nkind: T\nspec:\n\n  x: [1,\n    2]\n")
    reader.look()
    fields = [replace(problem, field=field) for field in ("spec.x[1]", "spec.x", "")]
    for _ in range(2):
        assert [p.origin.line for p in reader.pinpoint(fields)] == [7, 6, 3]
