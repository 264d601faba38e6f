"""The state file of VM meshes on disk: one SQLite database, for this user only.

Source: SQLite, "Write-Ahead Logging" and "Atomic Commit In SQLite".
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from adapters.vm.state.schema import SCHEMA_VERSION, prepare
from hub.api import ConfigError, TransientError
from hub.private import make_folder

_WAIT_S = 5.0
_REMEDIES = {
    sqlite3.SQLITE_FULL: "; free space on its file system",
    sqlite3.SQLITE_READONLY: "; check the permissions of the file and its folder",
}


def open_state(path: Path) -> sqlite3.Connection:
    """Open the state file, made or brought up to date where needed. Raises ConfigError where it is not usable or not private."""
    _make_private(path)
    with translate_sqlite_errors(path):
        # No implicit transactions: each of ours says itself whether it only reads.
        db = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None)
        with closed_on_error(db):
            _prepare(db, path)
    return db


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    # Readers and the one writer do not wait for each other, so `status` works beside a serving hub.
    (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise ConfigError(f'state file "{path}" is on a file system that SQLite cannot keep a write-ahead log on')
    # NORMAL, the default of some builds in WAL mode, may lose the last commits when the machine loses power: a
    # revocation that was reported as applied would be undone.
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA foreign_keys = ON")
    # Deleted keys and token hashes are overwritten, not left behind in free pages.
    db.execute("PRAGMA secure_delete = ON")
    # Two processes may open a new file at once: the second waits, and finds the tables made.
    db.execute("BEGIN IMMEDIATE")
    known = prepare(db)
    db.execute("COMMIT")
    if not known:
        raise ConfigError(
            f'state file "{path}" was written by a newer smihub; this one reads schema {SCHEMA_VERSION}; upgrade smihub'
        )


@contextmanager
def synced_later(db: sqlite3.Connection) -> Iterator[None]:
    """Leave it to `sync` that what is committed in here survives a loss of power; its order is kept in any case."""
    db.execute("PRAGMA synchronous = NORMAL")
    try:
        yield
    finally:
        db.execute("PRAGMA synchronous = FULL")


def sync(path: Path) -> None:
    """Have everything that was committed survive a loss of power; takes as long as the disk does. Raises TransientError.

    Source: SQLite, "Write-Ahead Logging", section 2.2: a commit is durable once the log is synced.
    """
    try:
        log = os.open(f"{path}-wal", os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fdatasync(log)
        finally:
            os.close(log)
    except OSError as error:
        raise TransientError(f'state file "{path}" cannot be synced: {error.strerror}') from error


@contextmanager
def closed_on_error(db: sqlite3.Connection) -> Iterator[None]:
    """Leave no connection behind that nobody holds: its locks would stay until Python finds it."""
    try:
        yield
    except BaseException:
        db.close()
        raise


def _make_private(path: Path) -> None:
    """Make sure that only this user can read the file, before a byte is in it: it holds the authority's key."""
    try:
        make_folder(path.parent, "the state file")
        _create(path)
        # Not `stat`, which would follow a link to a file that somebody else can change.
        found = path.lstat()
    except OSError as error:
        raise ConfigError(f'state file "{path}" cannot be opened: {error.strerror}') from error
    if found.st_uid != os.geteuid() or not stat.S_ISREG(found.st_mode):
        raise ConfigError(f'state file "{path}" must be a regular file of the user who runs smihub')
    if found.st_mode & 0o077:
        raise ConfigError(f'state file "{path}" is accessible by others; run: chmod 600 {path}')


def _create(path: Path) -> None:
    # An existing file is never opened here: closing any descriptor of it would drop SQLite's POSIX locks
    # (SQLite, "How To Corrupt An SQLite Database File", section 2.2).
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


@contextmanager
def translate_sqlite_errors(path: Path) -> Iterator[None]:
    """Tell SQLite's errors as ours: a locked or full file may be free again, a damaged one will not mend itself."""
    try:
        yield
    except sqlite3.OperationalError as error:
        remedy = _REMEDIES.get(
            getattr(error, "sqlite_errorcode", 0) & 0xFF, ""
        )  # the low byte: SQLite, "Result and Error Codes", 2
        raise TransientError(f'state file "{path}": {error}{remedy}') from error
    except (sqlite3.DatabaseError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise ConfigError(f'state file "{path}" is damaged or not a state file: {error}') from error
