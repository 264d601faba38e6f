"""The state file."""

from __future__ import annotations

import datetime as dt
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from adapters.vm import names, wire
from adapters.vm.identity.ca import make_root
from adapters.vm.identity.tokens import StoredToken
from adapters.vm.state.revisions import State
from hub.api import (
    Change,
    ConfigError,
    Endpoint,
    NativeObject,
    ObjectRef,
    Op,
    Role,
    StaleError,
    TransientError,
    UnitKey,
)
from tests.servers.processes import LIMIT_S, within

UNIT = UnitKey("access", "d", "api")
NOW = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a state file may be made."""
    return tmp_path / "state" / "smihub.db"


def put(name: str, body: bytes, *needs: ObjectRef) -> Change:
    """A change that writes a cluster."""
    ref = names.ref("Cluster", name)
    return Change(Op.CREATE, ref, 1, None, NativeObject(ref, Role.GRANT, body, needs=needs), UNIT)


def drop(name: str) -> Change:
    """A change that deletes a cluster."""
    return Change(Op.DELETE, names.ref("Cluster", name), 7, b"", None, UNIT)


def bodies(state: State) -> dict[str, bytes]:
    """Name -> body of everything applied."""
    return {ref.name: item.owned for ref, item in state.observe().objects.items()}


def test_revision_is_read_back_as_it_was_written(path: Path) -> None:
    """Objects, needs, owner, memory and the token survive closing the file."""
    state = State(path, "vm")
    assert state.head() == (0, "")
    token = state.apply([put("a", b"1", names.ref("Secret", "s")), put("b", b"1")], {UNIT: b"memo"}, "")
    state.close()
    again = State(path, "vm")
    seen = again.observe()
    assert (seen.token, seen.memory) == (token, {UNIT: b"memo"})
    a = seen.objects[names.ref("Cluster", "a")]
    assert (a.owned, a.owner, a.role, a.needs, a.token) == (b"1", UNIT, Role.GRANT, (names.ref("Secret", "s"),), token)


def test_stale_token_writes_nothing(path: Path) -> None:
    """Of two plans made against one revision the second is refused whole."""
    state = State(path, "vm")
    token = state.apply([put("a", b"1")], {}, "")
    state.apply([put("a", b"2")], {}, token)
    with pytest.raises(StaleError):
        state.apply([put("a", b"3"), put("b", b"3")], {UNIT: b"x"}, token)
    assert bodies(state) == {"a": b"2"}
    assert state.observe().memory == {}


def test_since_gives_what_changed(path: Path) -> None:
    """The difference of revisions, also over several, and everything where history is gone."""
    state = State(path, "vm")
    token = state.apply([put("a", b"1"), put("b", b"1"), put("c", b"1")], {}, "")
    token = state.apply([put("a", b"2"), drop("b")], {}, token)
    token = state.apply([put("d", b"1"), put("b", b"3")], {}, token)
    token = state.apply([drop("b")], {}, token)
    step = state.since(1)
    assert {ref.name: item.body for ref, item in step.upserts.items()} == {"a": b"2", "d": b"1"}
    assert [ref.name for ref in step.deleted] == ["b"]
    assert not step.whole
    for number in range(40):
        token = state.apply([put("e", str(number).encode())], {}, token)
    assert state.since(4).whole
    assert not state.since(40).whole


@pytest.mark.thorough
def test_history_is_pruned(path: Path) -> None:
    """Old forms of objects do not pile up."""
    state, token = State(path, "vm"), ""
    for number in range(100):
        token = state.apply([put("a", str(number).encode())], {}, token)
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT count(*) FROM objects").fetchone()[0] < 50
    db.close()


def test_memory_is_forgotten_with_empty_bytes(path: Path) -> None:
    """b"" forgets a unit."""
    state = State(path, "vm")
    token = state.apply([], {UNIT: b"memo"}, "")
    state.apply([], {UNIT: b""}, token)
    assert state.observe().memory == {}


def test_two_meshes_share_a_file(path: Path) -> None:
    """What one mesh writes, holds or issues is not the other's."""
    one, two = State(path, "one"), State(path, "two")
    one.apply([put("a", b"1")], {UNIT: b"m"}, "")
    one.store_token_hash("d/web", b"h")
    one.store_endpoints({("d", "api", 80): ()}, ())
    assert two.head() == (0, "")
    assert two.observe().objects == {}
    assert two.tokens("d/web") == ()
    assert two.endpoints() == {}
    assert one.authority(make_root("one", NOW)) != two.authority(make_root("two", NOW))


def card(account: str, name: str = "d/web") -> Change:
    """A change that writes a Workload."""
    ref, body = names.ref(names.WORKLOAD, name), msgspec.json.encode({"spiffe": f"spiffe://t/ns/d/sa/{account}"})
    return Change(Op.CREATE, ref, 6, None, NativeObject(ref, Role.ROUTE, body), UNIT)


def uncard(name: str = "d/web") -> Change:
    """A change that deletes a Workload."""
    return Change(Op.DELETE, names.ref(names.WORKLOAD, name), 6, b"", None, UNIT)


@pytest.mark.parametrize(("step", "ended"), [(card("web"), False), (card("admin"), True), (uncard(), True)])
def test_token_ends_with_the_revision_that_takes_its_workload_or_account(
    path: Path, step: Change, *, ended: bool
) -> None:
    """In the same transaction, for ever; a neighbour's stays, and a revision that is refused ends nothing."""
    state = State(path, "vm")
    token = state.apply([card("web"), card("web", "d/web-2")], {}, "")
    state.store_token_hash("d/web", b"1")
    state.store_token_hash("d/web-2", b"2")
    with pytest.raises(StaleError):
        state.apply([step], {}, "stale")
    assert state.enrolled() == {"d/web", "d/web-2"}
    token = state.apply([step], {}, token)
    assert state.tokens("d/web") == (StoredToken(b"1", ended),)
    token = state.apply([card("admin")], {}, token)
    state.apply([card("web")], {}, token)
    assert state.tokens("d/web") == (StoredToken(b"1", ended=True),)
    assert state.tokens("d/web-2") == (StoredToken(b"2"),)


def test_new_token_takes_the_place_of_the_one_that_holds(path: Path) -> None:
    """A few that ended are remembered; the one that was replaced is unknown from then on."""
    state, token = State(path, "vm"), ""
    for number in range(9):
        token = state.apply([card("web")], {}, token)
        state.store_token_hash("d/web", b"replaced %d" % number)
        state.store_token_hash("d/web", b"%d" % number)
        token = state.apply([uncard()], {}, token)
    state.apply([card("web")], {}, token)
    state.store_token_hash("d/web", b"now")
    ended = [StoredToken(b"%d" % number, ended=True) for number in (5, 6, 7, 8)]
    assert sorted(state.tokens("d/web"), key=lambda item: item.digest) == [*ended, StoredToken(b"now")]


def listener(chain: str, note: str = "", unit: UnitKey = UNIT) -> Change:
    """A change that writes a listener."""
    ref = names.ref("Listener", "l")
    body = wire.pack(wire.Listener(name="l", stat_prefix=note, filter_chains=[wire.FilterChain(name=chain)]))
    return Change(Op.REPLACE, ref, 1, None, NativeObject(ref, Role.GUARD, body), unit)


@pytest.mark.parametrize(
    ("steps", "same"),
    [
        ([listener("g0", "other")], True),
        ([listener("g1")], False),
        ([listener("g1"), listener("g0")], False),
        ([Change(Op.DELETE, names.ref("Listener", "l"), 8, b"", None, UNIT), listener("g0")], False),
        ([listener("g0", unit=UnitKey("access", "d", "other"))], False),
    ],
)
def test_mark_stays_for_one_life_of_a_listener(path: Path, steps: list[Change], *, same: bool) -> None:
    """Another generation, a pause or another owner begins a new one; what is read back agrees with what was given."""
    state = State(path, "vm")
    last = first = state.write([listener("g0")], {}, "")
    for step in steps:
        last = state.write([step], {}, last.token)
    ref = names.ref("Listener", "l")
    mark, found = first.upserts[ref].mark, last.upserts[ref].mark
    assert (len(mark), mark == found) == (32, same)
    assert state.since(0).upserts == last.upserts


def test_mark_is_never_drawn_again_by_a_restored_state(path: Path, tmp_path: Path) -> None:
    """The same plan on the same file gives another mark in each life of the file."""
    state = State(path, "vm")
    token = state.apply([listener("g0")], {}, "")
    with closing(sqlite3.connect(path)) as db, closing(sqlite3.connect(tmp_path / "backup")) as copy:
        db.backup(copy)
    (tmp_path / "backup").chmod(0o600)
    one = state.write([listener("g1")], {}, token)
    other = State(tmp_path / "backup", "vm").write([listener("g1")], {}, token)
    assert one.token == other.token
    ref = names.ref("Listener", "l")
    assert one.upserts[ref].mark != other.upserts[ref].mark


def test_authority_is_made_once(path: Path) -> None:
    """The first root stays, also for a new process."""
    state = State(path, "vm")
    root = state.authority(make_root("example.org", NOW))
    state.close()
    assert State(path, "vm").authority(make_root("example.org", NOW)) == root


def test_endpoints_and_statuses_are_kept(path: Path) -> None:
    """Only what is named changes."""
    state = State(path, "vm")
    one = Endpoint(ObjectRef("", "Pod", "d", "api-1"), "spiffe://example.org/ns/d/sa/api", "10.0.0.1", 8080)
    state.store_endpoints({("d", "api", 80): (one,), ("d", "web", 80): ()}, ())
    state.store_endpoints({}, [("d", "web", 80)])
    state.store_statuses({"d/web": b"{}"})
    state.close()
    again = State(path, "vm")
    assert again.endpoints() == {("d", "api", 80): (one,)}
    assert again.statuses() == {"d/web": b"{}"}


def test_file_is_private_from_its_first_byte(path: Path) -> None:
    """Nobody else can read the database or its log, whatever the umask."""
    before = os.umask(0)
    try:
        State(path, "vm").authority(make_root("example.org", NOW))
    finally:
        os.umask(before)
    files = list(path.parent.iterdir())
    assert len(files) > 1
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_file_that_others_can_read_is_refused(path: Path) -> None:
    """The remedy is in the message."""
    State(path, "vm").close()
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        State(path, "vm")


@pytest.mark.parametrize(
    ("mode", "remedy"), [(0o777, "chmod go-w"), (0o770, "chmod go-w"), (0o1777, "use a separate folder")]
)
def test_folder_that_others_can_write_is_refused(path: Path, mode: int, remedy: str) -> None:
    """Somebody could put his own file there, be it only the write-ahead log, and read the key that SQLite writes to it."""
    path.parent.mkdir()
    path.parent.chmod(mode)
    with pytest.raises(ConfigError, match=remedy):
        State(path, "vm")
    assert list(path.parent.iterdir()) == []


def test_folder_of_another_user_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """He could do the same."""
    path.parent.mkdir()
    other = path.parent.stat().st_uid + 1
    monkeypatch.setattr(os, "geteuid", lambda: other)
    monkeypatch.setattr("hub.private._ROOT", other + 1)
    with pytest.raises(ConfigError, match="owned by another user"):
        State(path, "vm")


def test_link_and_foreign_file_are_refused(path: Path, tmp_path: Path) -> None:
    """A symbolic link or a file that is no database is not a state file."""
    path.parent.mkdir(mode=0o700)
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError):
        State(path, "vm")
    path.unlink()
    path.write_bytes(b"not a database, but long enough to look like one" * 100)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="not a state file"):
        State(path, "vm")


def test_newer_schema_is_refused(path: Path) -> None:
    """A file of a later smihub is left alone."""
    State(path, "vm").close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(ConfigError, match="upgrade smihub"):
        State(path, "vm")


@pytest.mark.parametrize("how", ["newer", "garbage", "locked"])
def test_a_file_that_cannot_be_used_is_not_kept_open(path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """Its locks would hold up whoever comes next."""
    monkeypatch.setattr("adapters.vm.state.file._WAIT_S", 0.05)
    real = sqlite3.connect
    State(path, "vm").close()
    if how == "garbage":
        path.write_bytes(b"no database at all, but long enough" * 100)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        if how != "garbage":
            other.execute("PRAGMA user_version = 99" if how == "newer" else "BEGIN IMMEDIATE")
        made: list[sqlite3.Connection] = []

        def connect(*args: Any, **more: Any) -> sqlite3.Connection:
            made.append(real(*args, **more))
            return made[-1]

        monkeypatch.setattr(sqlite3, "connect", connect)
        with pytest.raises((ConfigError, TransientError)):
            State(path, "vm")
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            made[0].execute("SELECT 1")


def test_data_version_tells_of_other_writers_only(path: Path) -> None:
    """Own writes do not move it, another connection's do."""
    mine, other = State(path, "vm"), State(path, "vm")
    before = mine.data_version()
    token = mine.apply([put("a", b"1")], {}, "")
    assert mine.data_version() == before
    other.apply([put("a", b"2")], {}, token)
    assert mine.data_version() != before


def test_locked_file_is_transient(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another writer that takes too long is something to try again."""
    monkeypatch.setattr("adapters.vm.state.file._WAIT_S", 0.05)
    mine, other = State(path, "vm"), sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(TransientError):
        mine.apply([put("a", b"1")], {}, "")
    other.close()
    mine.apply([put("a", b"1")], {}, "")


_WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from adapters.vm.state.revisions import State
from hub.api import Change, NativeObject, Op, Role, UnitKey
from adapters.vm import names
state, unit = State(Path(sys.argv[1]), "vm"), UnitKey("access", "d", "api")
token = state.head()[1]
for number in range(int(sys.argv[2]), 10**9):
    refs = [names.ref("Cluster", name) for name in ("a", "b", "c")]
    body = str(number).encode()
    changes = [Change(Op.REPLACE, ref, 1, None, NativeObject(ref, Role.GRANT, body), unit) for ref in refs]
    token = state.apply(changes, {unit: body}, token)
    print(number, flush=True)
"""


@pytest.mark.thorough
def test_sigkill_leaves_a_whole_revision(path: Path) -> None:
    """Killed in the middle of a stream of writes, the file holds the last acknowledged revision or the one after."""
    root = str(Path(names.__file__).parents[2])
    start = 0
    for _ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path), str(start), root], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        with within(LIMIT_S, "seven writes", process):
            seen = [int(process.stdout.readline()) for _ in range(7)]
        process.send_signal(signal.SIGKILL)
        seen += [int(line) for line in process.stdout.read().split()]
        process.stdout.close()
        process.wait()
        state = State(path, "vm")
        values = {*bodies(state).values(), *state.observe().memory.values()}
        state.close()
        assert len(values) == 1
        start = int(values.pop())
        assert start in {seen[-1], seen[-1] + 1}
        start += 1
