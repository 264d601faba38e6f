"""The record: one SQLite file in the state folder with the outcomes, and the history of applies, accepts and approvals.

`run` and `apply` write it, `status` and `history` read it. It decides nothing: a record that cannot be written is told once
and holds up nothing, so all writing is done by a thread of its own. It holds names, codes and digests, no secret.
Source: SQLite, "Write-Ahead Logging" and "Result and Error Codes".
"""

from __future__ import annotations

import os
import pwd
import socket
import sqlite3
import stat
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from hub.errors import ConfigError, SmihubError
from hub.model import UnitKey
from hub.plan.conditions import MeshCondition, Moment
from hub.private import make_folder
from hub.status.outcomes import Changed, Outcome

FILE = "record.sqlite"
SCHEMA = 2
APPROVED_S = 3600
"""So long an approval holds."""
MOST_ENTRIES = 100_000
"""The history keeps the newest ones: a busy hub applies many times an hour, and a full disk serves nobody."""
_PASSING = {
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
}
_WAIT_S = 5.0
_SOON_S = 0.1
"""How long a running hub waits for a record that somebody else holds: in that time it does nothing else."""
_END_S = 5.0
_MOST_WAITING = 10_000
_LATER_S = 0.2
"""So long after a change it is recorded: data planes get it first, and what follows at once is recorded with it."""
_TABLES = """
CREATE TABLE IF NOT EXISTS outcomes (mesh TEXT, unit TEXT, body BLOB NOT NULL, PRIMARY KEY (mesh, unit)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS meshes (mesh TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS history (number INTEGER PRIMARY KEY AUTOINCREMENT, mesh TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS approvals (mesh TEXT NOT NULL, digest TEXT NOT NULL, at REAL NOT NULL);
CREATE TRIGGER IF NOT EXISTS history_is_kept BEFORE UPDATE ON history BEGIN SELECT RAISE(ABORT, 'append only'); END;
"""


Action = Literal["apply", "accept", "approve"]


class Actor(Struct, frozen=True):
    """Who does it: the local user and the host, and by which verb."""

    user: str
    host: str
    verb: str

    @classmethod
    def here(cls, verb: str) -> Actor:
        """This process."""
        user = str(os.getuid())
        with suppress(KeyError):
            user = pwd.getpwuid(os.getuid()).pw_name
        return cls(user, socket.gethostname(), verb)


class Entry(Struct, frozen=True):
    """One line of the history. `at` is in seconds of the Unix epoch, `plan` is the plan's digest, `counts` say how much.

    `codes` were accepted for it, `why` is what somebody wrote beside an approval, `result` what came of it.
    """

    at: Moment
    action: Action
    mesh: str
    actor: Actor
    plan: str = ""
    counts: Mapping[str, int] = {}
    codes: tuple[str, ...] = ()
    why: str = ""
    result: str = ""

    @property
    def written(self) -> bool:
        """Whether anything was written."""
        return not self.result.startswith(("stale", "failed"))


class Known(Struct, frozen=True):
    """The outcomes that are on record."""

    units: tuple[tuple[str, UnitKey, Outcome], ...] = ()
    meshes: Mapping[str, MeshCondition] = {}


class _Work(Struct):
    units: dict[tuple[str, UnitKey], Outcome | None] = {}
    meshes: dict[str, MeshCondition] = {}
    entries: deque[Entry] = msgspec.field(default_factory=lambda: deque(maxlen=_MOST_WAITING))

    def __bool__(self) -> bool:
        return bool(self.units or self.meshes or self.entries)


class Record:
    """Writes the record of a state folder. Nothing here raises or waits but `close`, which waits a few seconds at most.

    `tell` is called once, from another thread, when it cannot be written; what could not be is tried again with the next.
    """

    def __init__(self, state: Path, tell: Callable[[str], None]) -> None:
        self._path = state / FILE
        self._tell = tell
        self._failure_reported = False
        self._work = _Work()
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self._ended = False

    def known(self) -> Known:
        """What is on record; nothing where that cannot be read."""
        try:
            return known(self._path.parent)
        except SmihubError as error:
            self._complain(str(error))
        except OSError as error:
            self._complain(f'record "{self._path}" cannot be read: {_why(error)}')
        return Known()

    def keep(self, changed: Changed) -> None:
        """Keep the outcomes that changed."""
        if not changed.units and not changed.meshes:
            return
        with self._wake:
            self._work.units.update({(each.mesh, each.unit): each.after for each in changed.units})
            self._work.meshes.update({each.mesh: each.after for each in changed.meshes})
            self._start()

    def note(self, *entries: Entry) -> None:
        """Append to the history."""
        with self._wake:
            self._work.entries.extend(entries)
            self._start()

    def close(self) -> None:
        """Wait until all is written, or cannot be."""
        with self._wake:
            self._ended = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join(_END_S + _WAIT_S)

    # ----------------------------------------------------------------------- beside the caller

    def _start(self) -> None:
        # Started at the first write only: verbs that read, and tests, need no thread.
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="smihub-record", daemon=True)
            self._thread.start()
        self._wake.notify()

    def _run(self) -> None:
        left, ended = _Work(), False
        db: sqlite3.Connection | None = None
        while not ended:
            with self._wake:
                self._wake.wait_for(lambda: self._work or self._ended)
                # So that one transaction, and one fsync, takes all that follows at once.
                self._wake.wait_for(lambda: self._ended, _LATER_S)
                work, self._work = self._work, _Work()
                ended = self._ended
            # What could not be written is tried again with what is new, the newer outcome in place of the older.
            left = _joined(left, work)
            try:
                db = db or _writable(self._path)
                with _transaction(db):
                    _write(db, left)
            except Exception as error:  # noqa: BLE001 - this thread must not end: of a damaged file even SQLite's message may be no text
                _closed(db)
                db = None
                self._complain(f'record "{self._path}" cannot be written: {_why(error)}')
            else:
                left, self._failure_reported = _Work(), False
        _closed(db)

    def _complain(self, text: str) -> None:
        if not self._failure_reported:
            self._failure_reported = True
            self._tell(f"{text}; smihub status and smihub history are incomplete until this is fixed")


def _why(error: Exception) -> str:
    return error.strerror.lower() if isinstance(error, OSError) and error.strerror else str(error)


def _closed(db: sqlite3.Connection | None) -> None:
    if db is not None:
        with suppress(sqlite3.Error):
            db.close()


def _joined(older: _Work, newer: _Work) -> _Work:
    older.units.update(newer.units)
    older.meshes.update(newer.meshes)
    older.entries.extend(newer.entries)
    return older


def _write(db: sqlite3.Connection, work: _Work) -> None:
    # Outcomes are replaced, entries appended: the one is how things stand, the other what happened.
    rows = [(mesh, _key(unit), after and msgspec.json.encode(after)) for (mesh, unit), after in work.units.items()]
    db.executemany("INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?)", [row for row in rows if row[2] is not None])
    db.executemany("DELETE FROM outcomes WHERE mesh = ? AND unit = ?", [row[:2] for row in rows if row[2] is None])
    meshes = [(mesh, msgspec.json.encode(after)) for mesh, after in work.meshes.items()]
    db.executemany("INSERT OR REPLACE INTO meshes VALUES (?, ?)", meshes)
    entries = [(each.mesh, msgspec.json.encode(each)) for each in work.entries]
    db.executemany("INSERT INTO history (mesh, body) VALUES (?, ?)", entries)
    used = [(each.mesh, each.plan) for each in work.entries if each.action == "apply" and each.written]
    db.executemany("DELETE FROM approvals WHERE mesh = ? AND digest = ?", used)  # an approval lets one plan pass, once
    if entries:
        oldest = "DELETE FROM history WHERE number <= (SELECT max(number) FROM history) - ?"
        db.execute(oldest, (MOST_ENTRIES,))


def _key(unit: UnitKey) -> str:
    return msgspec.json.encode(unit).decode()


# --------------------------------------------------------------------------- reading


def known(state: Path) -> Known:
    """The outcomes on record; nothing where there is no record. Raises ConfigError if there is one that cannot be read."""
    with _read(state / FILE) as db:
        if db is None:
            return Known()
        rows = db.execute("SELECT mesh, unit, body FROM outcomes ORDER BY mesh, unit")
        units = tuple(
            (str(mesh), msgspec.json.decode(unit, type=UnitKey), msgspec.json.decode(body, type=Outcome))
            for mesh, unit, body in rows
        )
        return Known(units, _meshes(db))


def refused_since(state: Path) -> dict[str, float]:
    """By mesh, since when its plan is refused for how many lose access. Raises ConfigError."""
    with _read(state / FILE, _SOON_S) as db:
        found = {} if db is None else _meshes(db)
    return {mesh: one.refused_since for mesh, one in found.items() if one.refused_since is not None}


def _meshes(db: sqlite3.Connection) -> dict[str, MeshCondition]:
    rows = db.execute("SELECT mesh, body FROM meshes")
    return {str(mesh): msgspec.json.decode(body, type=MeshCondition) for mesh, body in rows}


def approvals(state: Path, mesh: str, now: float) -> frozenset[str]:
    """The digests of this mesh's plans that somebody approved within the last hour. Raises ConfigError."""
    query = "SELECT digest FROM approvals WHERE mesh = ? AND at > ? AND at <= ?"
    with _read(state / FILE, _SOON_S) as db:
        rows = [] if db is None else db.execute(query, (mesh, now - APPROVED_S, now)).fetchall()
    return frozenset(str(row[0]) for row in rows)


def approve(state: Path, entry: Entry) -> None:
    """Put an approval on record, now. Raises ConfigError if that cannot be done: then nothing is approved."""
    path = state / FILE
    try:
        with closing(_writable(path)) as db, _transaction(db):
            db.execute("INSERT INTO approvals VALUES (?, ?, ?)", (entry.mesh, entry.plan, entry.at))
            db.execute("INSERT INTO history (mesh, body) VALUES (?, ?)", (entry.mesh, msgspec.json.encode(entry)))
    except (sqlite3.Error, OSError, SmihubError) as error:
        raise ConfigError(f'record "{path}" cannot be written: {error}') from error


def history(state: Path, meshes: Iterable[str] = (), limit: int = -1) -> tuple[Entry, ...]:
    """The newest `limit` entries (all if negative), of these meshes or of all, oldest first. Raises ConfigError."""
    names = tuple(meshes)
    where = f"WHERE mesh IN ({', '.join('?' * len(names))})" if names else ""
    query = f"SELECT body FROM history {where} ORDER BY number DESC LIMIT ?"  # noqa: S608 - question marks alone
    with _read(state / FILE) as db:
        rows = [] if db is None else db.execute(query, (*names, limit)).fetchall()
        return tuple(msgspec.json.decode(row[0], type=Entry) for row in reversed(rows))


def version(state: Path) -> tuple[int, int]:
    """Something that changes with the record: its size and time of change, of the file itself or of its log."""
    found = [0, 0]
    for name in (FILE, f"{FILE}-wal"):
        with suppress(OSError):
            seen = (state / name).stat()
            found = [found[0] + seen.st_size, max(found[1], seen.st_mtime_ns)]
    return (found[0], found[1])


# --------------------------------------------------------------------------- the file


@contextmanager
def _read(path: Path, wait_s: float = _WAIT_S) -> Iterator[sqlite3.Connection | None]:
    # Looked at before SQLite opens it, which would wait for ever at a named pipe; a link may lead to another record.
    try:
        regular = stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        yield None
        return
    if not regular:
        raise ConfigError(f'record "{path}" is not a regular file; move it away, and smihub creates a new one')
    try:
        # Read-only: `status` may be run by somebody who must not be able to change, or make, the hub's files.
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=wait_s)) as db:
            if _version(db) > SCHEMA:
                raise ConfigError(
                    f'record "{path}" was written by a newer smihub; this one reads schema {SCHEMA}; upgrade smihub'
                )
            yield db if _version(db) == SCHEMA else None
    # TypeError: a cell of another type than its column's, which SQLite allows.
    except (sqlite3.Error, msgspec.MsgspecError, UnicodeDecodeError, TypeError) as error:
        # The low byte: SQLite, "Result and Error Codes", 2. What passes by itself is no reason to throw the record away.
        passes = getattr(error, "sqlite_errorcode", 0) & 0xFF in _PASSING
        remedy = "check the space and the permissions" if passes else "move it away, and smihub creates a new one"
        raise ConfigError(f'record "{path}" cannot be read: {error}; {remedy}') from error


def _writable(path: Path) -> sqlite3.Connection:
    """Open the file, for this user alone; make it, and its folder, where they are not there."""
    if make_folder(path.parent, "the record"):
        (path.parent / ".gitignore").write_text("*\n", encoding="utf-8")
    # Made here with its mode, since SQLite would make it by the umask, readable by others for a moment.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise ConfigError(f"it must be a regular file that only this user can access; run: chmod 600 {path}")
    # No implicit transactions: `_transaction` begins them IMMEDIATE,
    # or a reader that turns writer may fail as busy at once.
    db = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        # Unlike the state of a mesh: outcomes that a loss of power takes are found again by the next plan.
        db.execute("PRAGMA synchronous = NORMAL")
        _prepare(db)
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection) -> None:
    if _version(db) > SCHEMA:
        raise ConfigError(f"it was written by a newer smihub; this one writes schema {SCHEMA}; upgrade smihub")
    if _version(db) < SCHEMA:
        db.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = {SCHEMA}; COMMIT;")


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        with suppress(sqlite3.Error):  # a full disk made SQLite roll back by itself: the cause is to be told
            db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")
