"""The directory sink with families of others: what a family gets wrong, and what stands in files, costs nobody anything."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hub.api import FILES, FamilySpec, FileForm, FileList, FileMark, FileObject, SinkContext, SinkSpec
from hub.errors import ConfigError, UnsafeResourceError
from hub.family import canonical
from hub.model import NativeObject, ObjectRef, Observed, Role, UnitKey
from hub.plugins import Plugins
from hub.sinks.directory import DIRECTORY, DirectoryConfig, DirectorySink, open_directory
from hub.sinks.manifest import Broken, Foreign, ObjectFiles, digest
from hub.sinks.names import file_name, former_name, ref_of_file
from hub.sinks.reading import FolderReader

REF = ObjectRef("", "Door", "shop", "api")
UNIT = UnitKey("access", "shop", "api")
BODY = canonical({"open": False})
DOOR = NativeObject(REF, Role.GRANT, BODY)
MARK = b'"ours":{"mesh"'


def write(body: bytes, mark: FileMark | None) -> bytes:
    """JSON with the mark beside the body."""
    whole = {"name": "api", "body": msgspec.json.decode(body)} | ({} if mark is None else {"ours": mark})
    return msgspec.json.encode(whole)


class Door(msgspec.Struct, forbid_unknown_fields=True):
    """A file."""

    name: str
    body: Any
    ours: FileMark | None = None


def read(data: bytes) -> Sequence[FileObject]:
    """What `write` wrote."""
    found = msgspec.json.decode(data, type=Door)
    return [FileObject(replace(REF, name=found.name), canonical(found.body), found.ours)]


def note(kind: str, body: bytes, word: str, text: str) -> bytes:
    """A field beside the others."""
    return canonical({**msgspec.json.decode(body or b"{}"), f"note-{word}": text})


def view(body: bytes, kind: str) -> Any:
    """A door as data."""
    return msgspec.json.decode(body)


FORM = FileForm(
    (".door",), MARK, lambda ref: f"{ref.name}.door", lambda file: replace(REF, name=file[:-5]), write, read, note
)


def files(**changed: Any) -> ObjectFiles:
    """The files of a mesh of doors, with something of its family changed."""
    return ObjectFiles(msgspec.structs.replace(FORM, **changed), "doors", "1" * 32)


def test_a_family_as_it_should_be() -> None:
    """What it writes comes back."""
    data = files().stamp(DOOR, UNIT)
    found = files().read(data)
    assert isinstance(found, Observed)
    assert (found.ref, found.owned, found.owner, found.role, found.paused) == (REF, BODY, UNIT, Role.GRANT, False)
    paused = files().read(files().with_pause(data, paused=True))
    assert isinstance(paused, Observed)
    assert paused.paused
    released = files().without_mark(found)
    assert files().read(released) == Foreign((REF,), BODY, digest(released))


def _fails(*_: Any) -> Any:
    raise KeyError("a mistake of the family")


@pytest.mark.parametrize(
    "changed",
    [
        {"write": _fails},
        {"write": lambda *_: None},
        {"write": lambda body, _: write(body, None)},
        {"write": lambda body, mark: write(body, mark and replace(mark, owner=""))},
        {"write": lambda body, mark: write(body, mark and replace(mark, mesh="others"))},
        {"write": lambda _, mark: write(canonical({"open": True}), mark)},
        {"read": _fails},
        {"read": lambda _: []},
        {"read": lambda data: [*read(data), *read(data)]},
        {"read": lambda data: [replace(read(data)[0], ref=None)]},
        {"trace": b"what is in no file"},
    ],
)
def test_what_would_not_come_back_from_a_family_is_never_written(changed: dict[str, Any]) -> None:
    """Whichever of its functions is wrong: a file that is not known again as ours would never be revoked."""
    with pytest.raises(UnsafeResourceError, match='"Door/shop/api" of access/shop/api cannot be written'):
        files(**changed).stamp(DOOR, UNIT)


def test_a_family_that_fails_on_a_file_of_ours_finds_it_broken() -> None:
    """And takes it for nobody's only where our mark is not in it."""
    data = files().stamp(DOOR, UNIT)
    assert isinstance(files(read=_fails).read(data), Broken)
    found = files(read=_fails).read(b"{}")
    assert isinstance(found, Foreign)
    assert found == Foreign(unread=found.unread) != Foreign()


def test_a_release_that_leaves_the_mark_is_refused() -> None:
    """The next plan would delete what was released."""
    one = files().read(files().stamp(DOOR, UNIT))
    assert isinstance(one, Observed)
    mark = FileMark("doors", "access/shop/api", "grant", "1" * 32)
    for wrong in (lambda body, _: write(body, mark), _fails):
        with pytest.raises(UnsafeResourceError):
            files(write=wrong).without_mark(one)


@pytest.mark.parametrize("wrong", [lambda *given: given[1], _fails])
def test_a_note_that_changes_nothing_is_refused(wrong: Callable[..., bytes]) -> None:
    """What is not in the list would look as it should, and stay out of effect."""
    with pytest.raises(UnsafeResourceError, match="note"):
        files(note=wrong).note(REF, BODY, "not-in-list", "true")


names = st.one_of(
    st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,20}[a-z0-9])?", fullmatch=True),
    st.text(max_size=8),
    st.sampled_from(["..", "/etc/x", "a/../b", "A", "a" * 300, "_a_" + "0" * 32, "__shop_" + "0" * 32]),
)
refs = st.builds(ObjectRef, names, names, names, names)
namings = st.sampled_from(
    [
        (FORM.name, FORM.ref),
        (lambda _: "same.door", lambda _: REF),
        (lambda ref: f"../{ref.name}.door", lambda file: replace(REF, name=file[3:-5])),
        (lambda ref: f"{ref.namespace}_{ref.name}.door", lambda _: None),
        (lambda ref: f"{ref.name}", lambda file: replace(REF, name=file)),
        (_fails, FORM.ref),
        (FORM.name, _fails),
    ]
)


@given(namings, refs, refs)
def test_no_naming_of_a_family_gives_two_objects_one_file(
    naming: tuple[Callable[[ObjectRef], str], Callable[[str], ObjectRef | None]], one: ObjectRef, other: ObjectRef
) -> None:
    """Nor leads out of the folder; also not one of before, and not that of which a digest is the name."""
    form = msgspec.structs.replace(FORM, name=naming[0], ref=naming[1])
    for ref in (one, other, REF):
        name = file_name(form, ref)
        assert ref_of_file(form, name) in {ref, None}
        assert "/" not in name
        assert name not in {".", ".."}
        assert name.endswith(".door")
    assert one == other or file_name(form, one).lower() != file_name(form, other).lower()
    digested = file_name(form, replace(one, kind="A B"))
    imposter = replace(REF, name=digested.removesuffix(".door"))
    assert file_name(form, imposter) != digested
    assert file_name(form, imposter) != former_name(form, replace(one, kind="A B"))


def observed(path: Path, form: FileForm = FORM) -> Any:
    """What stands in a folder of doors."""
    sink = DirectorySink(path, FolderReader(ObjectFiles(form, "doors", "1" * 32)))
    return asyncio.run(sink.observe())


@pytest.mark.parametrize("data", [b"", b"\xff", b"{", b"[" * 100_000, b'{"name":"api","body":1,"ours":7}', b"\0" * 99])
def test_hostile_files_of_a_family_are_nobodys(tmp_path: Path, data: bytes) -> None:
    """They are in the way of the object whose place they have, and cannot be adopted."""
    (tmp_path / "objects").mkdir()
    (tmp_path / "objects" / "api.door").write_bytes(data)
    (one,) = observed(tmp_path).objects.values()
    assert (one.ref, one.owner, one.token) == (REF, None, "")
    assert "something else" in msgspec.json.decode(one.owned)["note-file"]


@pytest.mark.parametrize(
    "mark", [FileMark("others", "access/shop/api", "grant"), FileMark("doors", "x", "y", "2" * 32)]
)
def test_an_object_with_the_mark_of_others_is_not_adopted(tmp_path: Path, mark: FileMark) -> None:
    """Though its content is the same."""
    (tmp_path / "objects").mkdir()
    (tmp_path / "objects" / "api.door").write_bytes(write(BODY, mark))
    (one,) = observed(tmp_path).objects.values()
    assert (one.owner, one.token) == (None, "")
    assert "release it there first" in msgspec.json.decode(one.owned)["note-file"]


def test_a_sink_for_files_fits_every_family_that_has_them() -> None:
    """By its kind; without one, a family's own sink goes before it."""
    doors, hidden = FamilySpec("doors", view, FORM), FamilySpec("hidden", view)
    own = SinkSpec("doors", DirectoryConfig, open_directory)
    plugins = Plugins(families={"doors": doors, "hidden": hidden}, sinks={"directory": DIRECTORY})
    assert DIRECTORY.family == FILES
    assert plugins.sink("doors") is DIRECTORY
    assert list(plugins.sinks_of("hidden")) == []
    with pytest.raises(ConfigError, match='no sink for "hidden" is installed'):
        plugins.sink("hidden", "directory")
    both = msgspec.structs.replace(plugins, sinks={"directory": DIRECTORY, "doors": own})
    assert both.sink("doors") is own
    assert both.sink("doors", "directory") is DIRECTORY
    with pytest.raises(ConfigError, match="cannot stand in files"):
        open_directory(SinkContext("m", "d", "t", Path("s"), Path("b"), family=hidden), DirectoryConfig("x"))


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (lambda: FamilySpec("Doors", view), "family name"),
        (lambda: FamilySpec("*", view), "family name"),
        (lambda: msgspec.structs.replace(FORM, suffixes=()), "suffixes"),
        (lambda: msgspec.structs.replace(FORM, suffixes=("/x",)), "suffixes"),
        (lambda: msgspec.structs.replace(FORM, trace=b"{"), "trace"),
        (lambda: FileForm((".a",), MARK, FORM.name, FORM.ref, write, read, note, list=FileList("../x.yaml")), "list"),
    ],
)
def test_a_family_that_could_not_be_told_apart_is_refused(made: Callable[[], object], why: str) -> None:
    """Before anything is read with it."""
    with pytest.raises(ValueError, match=why):
        made()
