"""The tables of the state file, and how those of an older smihub become them.

A commit writes every page that it touches and waits for the disk, so a changed object should touch few: its body stands
beside it, and an index is there only where something is looked up by it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping

from adapters.vm.names import WORKLOAD
from adapters.vm.state import marks

SCHEMA_VERSION = 3
"""1 was that of the first hubs, which refuse any other; 2 knew no owner."""
_OBJECTS = """
CREATE TABLE objects (
    mesh TEXT NOT NULL REFERENCES meshes(name),
    ref TEXT NOT NULL, unit TEXT NOT NULL, role TEXT NOT NULL, needs TEXT NOT NULL, body BLOB NOT NULL,
    token TEXT NOT NULL, born INTEGER NOT NULL, died INTEGER, mark TEXT NOT NULL DEFAULT '') STRICT;
CREATE UNIQUE INDEX objects_living ON objects (mesh, ref) WHERE died IS NULL;
CREATE INDEX objects_born ON objects (mesh, born);
CREATE INDEX objects_died ON objects (mesh, died) WHERE died IS NOT NULL;
CREATE TABLE memory (
    mesh TEXT NOT NULL REFERENCES meshes(name), unit TEXT NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (mesh, unit)) STRICT, WITHOUT ROWID;
"""
_MESHES = """
CREATE TABLE meshes (name TEXT PRIMARY KEY, revision INTEGER NOT NULL, token TEXT NOT NULL,
    owner TEXT NOT NULL DEFAULT '') STRICT;
"""
_TOKENS = """
CREATE TABLE tokens (
    mesh TEXT NOT NULL, workload TEXT NOT NULL, hash BLOB NOT NULL, account TEXT NOT NULL, ended INTEGER NOT NULL,
    PRIMARY KEY (mesh, workload, hash)) STRICT;
"""
_OTHERS = """
CREATE TABLE authorities (mesh TEXT PRIMARY KEY, certificate BLOB NOT NULL, key BLOB NOT NULL) STRICT;
CREATE TABLE endpoints (
    mesh TEXT NOT NULL, namespace TEXT NOT NULL, service TEXT NOT NULL, port INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (mesh, namespace, service, port)) STRICT;
CREATE TABLE status (mesh TEXT NOT NULL, workload TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (mesh, workload)) STRICT;
"""


def prepare(db: sqlite3.Connection) -> bool:
    """Make the tables in a new file, or bring those of an older smihub up to date, in the open transaction.

    False for a file of a version that this smihub does not know; it is left as it is.
    """
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version == SCHEMA_VERSION:
        return True
    if version != 0 and version not in _UPGRADES:
        return False
    if version == 0:
        for block in (_MESHES, _OBJECTS, _TOKENS, _OTHERS):
            _run(db, block)
    else:
        for older in range(version, SCHEMA_VERSION):
            _UPGRADES[older](db)
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    return True


def _run(db: sqlite3.Connection, block: str) -> None:
    for statement in block.strip().removesuffix(";").split(";\n"):
        db.execute(statement)


def _marks_and_accounts(db: sqlite3.Connection) -> None:
    """1 to 2: every listener and Workload gets a mark, and every token the account of its Workload as it stands.

    A token whose Workload is gone has ended.
    """
    db.execute("ALTER TABLE objects ADD COLUMN mark TEXT NOT NULL DEFAULT ''")
    _run(db, _TOKENS.replace("tokens", "renewed"))
    accounts: dict[tuple[str, str], str] = {}
    living = "SELECT rowid, mesh, json_extract(ref, '$.kind'), json_extract(ref, '$.name'), body FROM objects WHERE died IS NULL"
    for row, mesh, kind, name, body in db.execute(living).fetchall():
        if kind in marks.MARKED:
            db.execute("UPDATE objects SET mark = ? WHERE rowid = ?", (marks.new_mark(), row))
        if kind == WORKLOAD:
            accounts[mesh, name] = marks.account_of(bytes(body))
    for mesh, workload, digest in db.execute("SELECT mesh, workload, hash FROM tokens").fetchall():
        account = accounts.get((mesh, workload), "")
        db.execute("INSERT INTO renewed VALUES (?, ?, ?, ?, ?)", (mesh, workload, digest, account, not account))
    db.execute("DROP TABLE tokens")
    db.execute("ALTER TABLE renewed RENAME TO tokens")


def _owners(db: sqlite3.Connection) -> None:
    """2 to 3: nobody owns the meshes of before yet."""
    db.execute("ALTER TABLE meshes ADD COLUMN owner TEXT NOT NULL DEFAULT ''")


_UPGRADES: Mapping[int, Callable[[sqlite3.Connection], None]] = {1: _marks_and_accounts, 2: _owners}
