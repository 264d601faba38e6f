"""Objects that change hands in a folder: adopted, released, left alone; whole at every moment, and never by surprise."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from msgspec.structs import replace

from hub.api import Marking, MarkingSink
from hub.errors import StaleError, UnsafeResourceError
from hub.model import NativeObject, Observation, Observed, Role
from hub.sinks.manifest import Foreign, digest
from hub.sinks.marking import FolderObjects, ownership_change
from tests.hub.sinks.small_mesh import (
    API,
    GUARD,
    access,
    apply,
    content,
    file_name,
    files,
    native,
    planned,
    read,
    seen,
    settled,
    sink,
    stamp,
    wanted,
    whole,
)
from tests.hub.sinks.snapshots import Files, copy, each_write, listed, objects, taken
from tests.hub.sinks.test_manifest import natives

pytestmark = pytest.mark.thorough

WANTED = wanted({"api": ["web"]})
GRANT = next(one for one in whole("api", "web") if one.role is Role.GRANT)
Mark = Literal["adopt", "release", "pause", "resume"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A folder with one unit in it."""
    made = tmp_path / "rendered"
    apply(made, WANTED)
    return made


def marking(observation: Observation, mark: Mark, *natives: NativeObject) -> list[Marking]:
    """The same mark on each of these."""
    objects = observation.objects
    return [
        Marking(one.ref, mark, objects[one.ref].token, one if mark == "adopt" else None, access("api"))
        for one in natives
    ]


def mark(path: Path, marks: Sequence[Marking], *forgotten: str) -> None:
    """Set marks, as a fresh process would."""
    token = asyncio.run(sink(path).mark(marks, {access(name): b"" for name in forgotten}, seen(path).token))
    assert token == seen(path).token


def foreign(path: Path, name: str = Path(API).name) -> None:
    """The grant as somebody else's, in a file of this name, applied by our list as long as it is not ours."""
    data = yaml.safe_dump(msgspec.json.decode(GRANT.body)).encode()
    mark(path, marking(seen(path), "release", GRANT))
    (path / API).unlink()
    (path / "objects" / name).write_bytes(data)
    text = (path / "kustomization.yaml").read_text()
    assert f"- {API}\n" in text
    (path / "kustomization.yaml").write_text(_sorted(text.replace(f"- {API}\n", f"- objects/{name}\n")))


def _sorted(text: str) -> str:
    head = [line for line in text.splitlines() if not line.startswith("- ")]
    return "\n".join([*head, *sorted(line for line in text.splitlines() if line.startswith("- "))]) + "\n"


def test_the_sink_can_mark(path: Path) -> None:
    """As the protocol says."""
    assert isinstance(sink(path), MarkingSink)


def test_adopting_is_whole_at_every_moment(path: Path, tmp_path: Path) -> None:
    """There and listed once, always; and from every moment the next apply ends it, with the same bytes."""
    before = content(path)
    foreign(path)
    moments: list[Files] = []
    with each_write(taken(path, moments)):
        mark(path, marking(seen(path), "adopt", GRANT))
    assert content(path) == before
    assert len(moments) > 5
    for moment in moments:
        _must_be_there_once(moment)
        resumed = copy(moment, tmp_path / "resumed")
        if seen(resumed).objects[GRANT.ref].owner is None:
            mark(resumed, marking(seen(resumed), "adopt", GRANT))
        apply(resumed, WANTED)
        left = {name: data for name, data in content(resumed).items() if not name.endswith(".smihub.tmp")}
        assert left == before


def _must_be_there_once(moment: Files) -> None:
    """The object is in its file, with what it grants; that is listed, and no line is listed twice."""
    name, lines = Path(API).name, moment["kustomization.yaml"].decode().splitlines()
    assert name in listed(moment)
    assert len(set(lines)) == len(lines)
    assert yaml.load(objects(moment)[name], yaml.CSafeLoader)["spec"] == msgspec.json.decode(GRANT.body)["spec"]


@pytest.mark.parametrize("name", ["mine.yaml", "a.json", "zz.yml"])
def test_a_file_of_another_name_is_to_be_renamed_first(path: Path, name: str) -> None:
    """It is no object that could be adopted; renamed, it is."""
    foreign(path, name)
    before = content(path)
    (one,) = [each for each in seen(path).objects.values() if each.ref == GRANT.ref]
    assert (one.owner, one.token) == (None, "")
    assert f'rename the file to "{Path(API).name}" first' in msgspec.json.decode(one.owned)["file"]
    for token in ("", digest(before[f"objects/{name}"])):
        with pytest.raises(StaleError):
            mark(path, [Marking(GRANT.ref, "adopt", token, GRANT, access("api"))])
    assert content(path) == before
    (path / "objects" / name).rename(path / API)
    mark(path, marking(seen(path), "adopt", GRANT))
    apply(path, WANTED)
    assert settled(path, WANTED)


def test_releasing_is_whole_at_every_moment(path: Path, tmp_path: Path) -> None:
    """Nothing leaves the list; the memory goes last; and release may be said again."""
    moments: list[Files] = []
    start = seen(path)
    natives = WANTED[access("api")]
    with each_write(taken(path, moments)):
        mark(path, marking(start, "release", *natives), "api")
    after = content(path)
    for moment in moments:
        assert listed(moment).keys() == listed(after).keys() == objects(moment).keys()
        resumed = copy(moment, tmp_path / "resumed")
        now = seen(resumed)
        assert (access("api") in now.memory) == (moment != after)
        left = [one for one in natives if now.objects[one.ref].owner is not None]
        mark(resumed, marking(now, "release", *left), "api")
        assert {k: v for k, v in content(resumed).items() if "tmp" not in k} == after
    assert seen(path).memory == {}
    assert {one.owner for one in seen(path).objects.values()} == {None}


def test_what_was_released_stays_listed_through_other_writes(path: Path) -> None:
    """Until its file goes; then it goes from the list with the next write."""
    mark(path, marking(seen(path), "release", *WANTED[access("api")]), "api")
    apply(path, wanted({"db": ["web"]}))
    assert f"- {API}\n" in (path / "kustomization.yaml").read_text()
    assert settled(path, wanted({"db": ["web"]}))
    (path / API).unlink()
    apply(path, wanted({"db": ["web", "more"]}))
    assert API not in (path / "kustomization.yaml").read_text()
    assert f"- {GUARD}\n" in (path / "kustomization.yaml").read_text()


def test_a_mark_that_somebody_took_out_by_hand_is_a_release(path: Path) -> None:
    """The next write lists the file as what it is."""
    (path / API).write_text(yaml.safe_dump(msgspec.json.decode(GRANT.body)))
    apply(path, {access("api"): tuple(one for one in whole("api", "web") if one.ref != GRANT.ref)})
    apply(path, wanted({"db": []}))
    assert f"- {API}\n" in (path / "kustomization.yaml").read_text()


@pytest.mark.parametrize("changed", [API, GUARD, "kustomization.yaml", ".smihub.json"])
@pytest.mark.parametrize("which", ["release", "pause"])
def test_marks_that_were_overtaken_write_nothing(path: Path, changed: str, which: Mark) -> None:
    """Whatever of ours changed since."""
    start = seen(path)
    marks = marking(start, which, GRANT)
    with (path / changed).open("a") as file:
        file.write("\n")
    before = content(path)
    with pytest.raises(StaleError, match="again"):
        asyncio.run(sink(path).mark(marks, {}, start.token))
    assert content(path) == before


@pytest.mark.parametrize("act", ["edit", "remove", "second", "double"])
def test_an_adoption_that_was_overtaken_writes_nothing(path: Path, act: str) -> None:
    """The foreign file is edited, gone, or there twice; or the same object is named twice."""
    foreign(path)
    start = seen(path)
    marks = marking(start, "adopt", GRANT)
    mine = path / API
    if act == "edit":
        mine.write_text(mine.read_text() + "# more\n")
    elif act == "remove":
        mine.unlink()
    elif act == "second":
        (path / "objects" / "second.yaml").write_bytes(mine.read_bytes())
    else:
        marks *= 2
    before = content(path)
    with pytest.raises((StaleError, UnsafeResourceError)):
        asyncio.run(sink(path).mark(marks, {}, start.token))
    assert content(path) == before


def test_nothing_else_than_what_is_equal_is_adopted(path: Path) -> None:
    """Not even where the caller says so."""
    foreign(path)
    wider = native(Role.GRANT, "api-web", {"from": "everybody"})
    before = content(path)
    with pytest.raises(StaleError):
        asyncio.run(sink(path).mark(marking(seen(path), "adopt", wider), {}, seen(path).token))
    assert content(path) == before


def test_a_file_that_comes_between_stays(tmp_path: Path) -> None:
    """Somebody edits the foreign file before any call of an adoption: his bytes are there after it."""
    moment, ended = 0, False
    while not ended:
        path = copy({}, tmp_path / "between")
        apply(path, WANTED)
        foreign(path)
        ended = _adopt_between(path, path / API, moment)
        moment += 1
    assert moment > 2


def _adopt_between(path: Path, place: Path, number: int) -> bool:
    """Adopt, and have somebody write before that call; whether there was none of that number."""
    marks, token = marking(seen(path), "adopt", GRANT), seen(path).token
    untouched = place.read_bytes() if place.exists() else None
    clock, told = iter(range(1000)), list[bool]()

    def act() -> None:
        if next(clock) == number:
            told.append((place.read_bytes() if place.exists() else None) == untouched)
            if told[0]:
                place.write_text("mine")

    calls = ["open", "fsync", "link", "mkdir"]  # before the last look at a file, that is
    with each_write(act, calls), suppress(StaleError):
        asyncio.run(sink(path).mark(marks, {}, token))
    assert told != [True] or place.read_text() == "mine"
    return not told


# --------------------------------------------------------------------------- the text of a file


@settings(max_examples=60, deadline=None)
@given(natives())
def test_marks_change_nothing_but_the_mark(made: NativeObject) -> None:
    """Pause and resume give the same file back; what is released is the body, and adopting it gives the file again."""
    data = stamp(made, access("api"), "istio")
    file, one = file_name(made.ref), read(data, "istio")
    assert isinstance(one, Observed)
    standing = FolderObjects(files(), {file: one}, {})
    off = ownership_change(Marking(made.ref, "pause", one.token), standing, data)
    assert off.data == stamp(made, access("api"), "istio", paused=True)
    left = FolderObjects(files(), {file: replace(one, paused=True, token=digest(off.data or b""))}, {})
    assert ownership_change(Marking(made.ref, "resume", digest(off.data or b"")), left, off.data or b"").data == data
    released = ownership_change(Marking(made.ref, "release", one.token), standing, b"")
    theirs = read(released.data or b"", "istio")
    assert isinstance(theirs, Foreign)
    assert theirs.content == made.body
    adopted = ownership_change(
        Marking(made.ref, "adopt", theirs.token, made, access("api")), FolderObjects(files(), {}, {file: theirs}), b""
    )
    assert (adopted.data, adopted.listed) == (data, (made.role, access("api")))


def test_a_file_of_another_layout_is_marked_by_hand(path: Path) -> None:
    """Rather than written anew, which would lose what somebody put there."""
    value = yaml.load((path / API).read_text(), yaml.CSafeLoader)
    (path / API).write_text(yaml.safe_dump(value, default_flow_style=True))
    before = content(path)
    with pytest.raises(UnsafeResourceError, match='paused: "true" by hand'):
        mark(path, marking(seen(path), "pause", GRANT))
    assert content(path) == before


@pytest.mark.parametrize("annotations", [("hands-off",), ("paused", "hands-off")])
def test_resume_ends_a_pause_under_its_former_name_too(path: Path, annotations: tuple[str, ...]) -> None:
    """Both lines go, and nothing else."""
    before = (path / API).read_text()
    lines = "".join(f'    smihub.io/{each}: "true"\n' for each in annotations)
    (path / API).write_text(before.replace("  annotations:\n", f"  annotations:\n{lines}"))
    assert seen(path).objects[GRANT.ref].paused
    mark(path, marking(seen(path), "resume", GRANT))
    assert (path / API).read_text() == before


def test_a_paused_object_is_still_ours(path: Path) -> None:
    """No conflict, no change, and a deletion that is asked for waits."""
    mark(path, marking(seen(path), "pause", GRANT))
    before = content(path)[API]
    for desired in (WANTED, wanted({"api": ["shop"]}), {}):
        made = planned(desired, seen(path))
        assert not made.conflicts
        assert GRANT.ref not in {change.ref for change in made.changes}
        assert (GRANT.ref in made.paused) == (desired is not WANTED)
        apply(path, desired)
        assert content(path)[API] == before
    mark(path, marking(seen(path), "resume", GRANT))
    apply(path, {})
    assert API not in content(path)
