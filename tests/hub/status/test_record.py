"""The record: what it keeps, for whom, and that it never holds up anything."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hub.errors import ConfigError
from hub.model import ObjectRef, Origin, UnitKey
from hub.plan.conditions import Condition, MeshCondition
from hub.status import record as status_record
from hub.status.outcomes import Cause, Changed, MeshChange, Outcome, UnitChange
from hub.status.record import FILE, Actor, Entry, Record, approvals, history, known, version
from tests.hub.cli.test_run import running
from tests.servers.folder import Folder, shop, target

API = UnitKey("access", "shop", "api")
CAUSE = Cause(ObjectRef("access.smi-spec.io", "TrafficTarget", "shop", "t"), Origin("manifests", "t.yaml", 3))
OUTCOME = Outcome({"Applied": Condition("False", "failed", "down", 10.5, 2)}, (CAUSE,), 2, "ab", 9.0)
ACTOR = Actor("ann", "host", "apply")


@pytest.fixture(name="folder")
def make_folder(tmp_path: Path) -> Folder:
    """A folder in which `web` may GET /books from `api`."""
    return shop(tmp_path)


@pytest.fixture
def told() -> list[str]:
    """What was complained of."""
    return []


@pytest.fixture
def opened(told: list[str]) -> Iterator[Callable[[Path], Record]]:
    """Records that are closed at the end."""
    made: list[Record] = []

    def make(state: Path) -> Record:
        made.append(Record(state, told.append))
        return made[-1]

    yield make
    for record in made:
        record.close()


def entry(number: int, mesh: str = "vms") -> Entry:
    """An entry that is told by its time."""
    return Entry(float(number), "apply", mesh, ACTOR, "d1", {"create": 1}, ("guard.blast-radius",), result="written")


def change(after: Outcome | None) -> Changed:
    """A change of one unit and its mesh."""
    return Changed((UnitChange("vms", API, None, after),), (MeshChange("vms", None, MeshCondition("True", "planned")),))


def test_what_is_kept_is_read_again(tmp_path: Path, opened: Callable[[Path], Record]) -> None:
    """Outcomes with their causes, meshes, and the history in order; a unit that goes leaves no row."""
    record = opened(tmp_path / "state")
    record.keep(change(OUTCOME))
    record.note(entry(1), entry(2, "other"), entry(3))
    record.close()
    found = known(tmp_path / "state")
    assert found.units == (("vms", API, OUTCOME),)
    assert found.meshes == {"vms": MeshCondition("True", "planned")}
    assert history(tmp_path / "state") == (entry(1), entry(2, "other"), entry(3))
    assert history(tmp_path / "state", ["vms"], 1) == (entry(3),)
    again = opened(tmp_path / "state")
    again.keep(change(None))
    again.close()
    assert known(tmp_path / "state").units == ()


def test_reading_makes_nothing(tmp_path: Path) -> None:
    """`status` and `history` leave no file behind, nor a folder."""
    assert (known(tmp_path / "state").units, history(tmp_path / "state")) == ((), ())
    assert list(tmp_path.iterdir()) == []
    assert version(tmp_path / "state") == (0, 0)


def test_file_is_for_this_user_alone_and_out_of_git(tmp_path: Path, opened: Callable[[Path], Record]) -> None:
    """Whatever the umask says."""
    before = os.umask(0)
    try:
        record = opened(tmp_path / "state")
        record.note(entry(1))
        record.close()
    finally:
        os.umask(before)
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in (tmp_path / "state").iterdir()}
    assert modes[FILE] == 0o600
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    assert (tmp_path / "state" / ".gitignore").read_text() == "*\n"


def test_history_is_appended_to_and_never_changed(tmp_path: Path, opened: Callable[[Path], Record]) -> None:
    """Not even by somebody who opens the file by hand and means well."""
    record = opened(tmp_path)
    record.note(entry(1))
    record.close()
    with closing(sqlite3.connect(tmp_path / FILE)) as db, pytest.raises(sqlite3.IntegrityError, match="append only"):
        db.execute("UPDATE history SET body = ''")


def test_history_keeps_the_newest(
    tmp_path: Path, opened: Callable[[Path], Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk serves nobody."""
    monkeypatch.setattr("hub.status.record.MOST_ENTRIES", 3)
    record = opened(tmp_path)
    record.note(*map(entry, range(10)))
    record.close()
    assert [each.at for each in history(tmp_path)] == [7.0, 8.0, 9.0]


@pytest.mark.parametrize("harm", ["damaged", "newer", "readable", "folder", "link", "pipe"])
def test_record_that_cannot_be_written_is_told_once_and_holds_up_nothing(
    tmp_path: Path, opened: Callable[[Path], Record], told: list[str], harm: str
) -> None:
    """Nothing raises, nothing waits; reading one that is there says why not."""
    spoil(tmp_path / FILE, harm)
    record = opened(tmp_path)
    record.known()
    started = time.monotonic()
    for number in range(100):
        record.keep(change(OUTCOME))
        record.note(entry(number))
    assert time.monotonic() - started < 0.5
    record.close()
    (line,) = told
    assert str(tmp_path / FILE) in line
    assert "smihub history are incomplete" in line
    if harm != "readable":
        with pytest.raises(ConfigError, match="record"):
            known(tmp_path)


def spoil(path: Path, harm: str) -> None:
    """Put something in the place of the record that is none."""
    path.parent.chmod(0o700)
    if harm == "folder":
        path.mkdir()
    elif harm == "pipe":
        os.mkfifo(path)
    elif harm == "link":
        path.symlink_to(path.with_name("elsewhere"))
    elif harm == "newer":
        with closing(sqlite3.connect(path)) as db:
            db.execute("PRAGMA user_version = 99")
    else:
        path.write_bytes(b"nonsense" * 1000 if harm == "damaged" else b"")
    if harm in {"newer", "damaged", "readable"}:
        path.chmod(0o644 if harm == "readable" else 0o600)


@pytest.mark.parametrize(
    "body",
    [b'{"at": 1e18, "action": "apply", "mesh": "vms", "actor": {"user": "u", "host": "h", "verb": "run"}}', b"[]", 5],
)
def test_entry_that_is_none_makes_the_record_unreadable(
    tmp_path: Path, opened: Callable[[Path], Record], body: object
) -> None:
    """A time that no calendar has, another shape, or not even text."""
    record = opened(tmp_path)
    record.note(entry(1))
    record.close()
    with closing(sqlite3.connect(tmp_path / FILE)) as db, db:
        db.execute("INSERT INTO history (mesh, body) VALUES ('vms', ?)", (body,))
    with pytest.raises(ConfigError, match="cannot be read"):
        history(tmp_path)


def test_record_that_cannot_be_read_now_is_not_to_be_thrown_away(
    tmp_path: Path, opened: Callable[[Path], Record]
) -> None:
    """Here another process has it for itself; with a full disk it is the same."""
    record = opened(tmp_path)
    record.note(entry(1))
    record.close()
    with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as db:
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("INSERT INTO approvals VALUES ('vms', 'a', 1)")
        with pytest.raises(ConfigError, match="locked; check the space"):
            approvals(tmp_path, "vms", 1.0)
    assert [each.at for each in history(tmp_path)] == [1.0]


@pytest.mark.thorough
def test_record_goes_on_whatever_writing_raises(
    tmp_path: Path, opened: Callable[[Path], Record], told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a damaged file SQLite's own message may be no text; the thread that writes must not end by it."""
    record, bad = opened(tmp_path / "state"), [True]
    writable = status_record._writable

    def damaged(path: Path) -> sqlite3.Connection:
        if bad[0]:
            raise UnicodeDecodeError("utf-8", b"\xd3", 0, 1, "invalid continuation byte")
        return writable(path)

    monkeypatch.setattr(status_record, "_writable", damaged)
    record.note(entry(1))
    deadline = time.monotonic() + 10
    while not told and time.monotonic() < deadline:
        time.sleep(0.01)
    bad[0] = False
    record.note(entry(2))
    record.close()
    assert [each.at for each in history(tmp_path / "state")] == [1.0, 2.0]


def test_locked_record_is_written_when_it_is_free(tmp_path: Path, opened: Callable[[Path], Record]) -> None:
    """Another process may hold it: what happens meanwhile is kept, and told late."""
    first = opened(tmp_path)
    first.note(entry(1))
    first.close()
    record = opened(tmp_path)
    with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        started = time.monotonic()
        record.note(entry(2))
        assert time.monotonic() - started < 0.5
        time.sleep(0.5)
        assert len(history(tmp_path)) == 1
        other.execute("ROLLBACK")
    record.close()
    assert [each.at for each in history(tmp_path)] == [1.0, 2.0]


@pytest.mark.thorough
@pytest.mark.parametrize("held", ["IMMEDIATE", "EXCLUSIVE"])
def test_revocation_waits_for_no_record(folder: Folder, held: str) -> None:
    """Neither where it is written, nor, while a plan is refused, where approvals are looked for."""
    folder.config((folder.root / "smihub.yaml").read_text() + "guards: {blastRadiusPercent: 50, minUnits: 1}\n")
    folder.write("more.yaml", target("more", source="friend"), target("web", account="web"))
    with running(folder) as hub:
        hub.until("plan_applied")
        while not history(folder.root / ".smihub"):
            time.sleep(0.05)
        with closing(sqlite3.connect(folder.root / ".smihub" / FILE, isolation_level=None)) as other:
            other.execute(f"BEGIN {held}")
            folder.write("more.yaml", target("other", account="nobody"))
            hub.until("plan_refused")
            started = time.monotonic()
            folder.write("more.yaml", target("web", account="web"))
            assert hub.until("plan_applied")["denied"] == ["shop/friend -> shop/api:* GET /books"]
            assert time.monotonic() - started < 3
        hub.end()
    assert history(folder.root / ".smihub")[-1].counts["lost"] == 1


@pytest.mark.thorough
def test_apply_and_its_refusal_are_on_record(folder: Folder) -> None:
    """Who, where, which plan, how much; a plan alone leaves nothing."""
    folder.run("plan")
    assert not (folder.root / ".smihub" / FILE).exists()
    folder.run("apply", "--yes")
    (first,) = history(folder.root / ".smihub")
    assert (first.action, first.mesh, first.result) == ("apply", "vms", "written")
    assert first.actor == Actor.here("apply")
    assert (first.counts["gained"], first.counts["lost"], len(first.plan)) == (1, 0, 64)
    folder.run("apply", "--yes")
    assert len(history(folder.root / ".smihub")) == 1
    folder.write("access.yaml", target("api-from-web", matches="orders"))
    folder.run("apply", "--yes")
    assert [each.counts["lost"] for each in history(folder.root / ".smihub")] == [0, 1]
    found = {unit.name: each for _, unit, each in known(folder.root / ".smihub").units}
    assert found["web"].condition("Applied").status == "True"


@pytest.mark.thorough
def test_folder_mesh_has_a_record_too(tmp_path: Path) -> None:
    """Its state folder is made by the first apply, not by a plan."""
    folder = shop(tmp_path)
    folder.config(
        "domain: {trustDomain: cluster.local}\nsources: [{path: manifests}]\n"
        "meshes: [{name: istio, adapter: istio, governed: targets, sink: {kind: directory, path: rendered}}]\n"
    )
    folder.run("plan")
    assert not (folder.root / ".smihub").exists()
    folder.run("apply", "--yes")
    assert {unit.name for _, unit, _ in known(folder.root / ".smihub").units} == {"api"}
    assert [each.mesh for each in history(folder.root / ".smihub")] == ["istio"]


def test_accepted_code_is_on_record(folder: Folder) -> None:
    """Given by hand, and only where it made a difference."""
    folder.config((folder.root / "smihub.yaml").read_text() + "guards: {blastRadiusPercent: 0, minUnits: 1}\n")
    folder.run("apply", "--yes")
    folder.remove("access.yaml")
    assert folder.run("apply", "--yes").exit_code == 3
    assert len(history(folder.root / ".smihub")) == 1
    folder.run("apply", "--yes", "--accept", "guard.blast-radius", "--accept", "loss.nothing")
    _, accepted, applied = history(folder.root / ".smihub")
    assert (accepted.action, accepted.codes) == ("accept", ("guard.blast-radius",))
    assert (applied.action, applied.codes, applied.plan) == ("apply", ("guard.blast-radius",), accepted.plan)
