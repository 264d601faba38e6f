"""The tables of the state file.

A commit writes every page that it touches and waits for the disk, so a changed object should touch few: its body stands
beside it, and an index is there only where something is looked up by it.
"""

from __future__ import annotations

import sqlite3

SCHEMA_VERSION = 1
_OBJECTS = """
CREATE TABLE objects (
    mesh TEXT NOT NULL REFERENCES meshes(name),
    ref TEXT NOT NULL, unit TEXT NOT NULL, role TEXT NOT NULL, needs TEXT NOT NULL, body BLOB NOT NULL,
    token TEXT NOT NULL, born INTEGER NOT NULL, died INTEGER) STRICT;
CREATE UNIQUE INDEX objects_living ON objects (mesh, ref) WHERE died IS NULL;
CREATE INDEX objects_born ON objects (mesh, born);
CREATE INDEX objects_died ON objects (mesh, died) WHERE died IS NOT NULL;
CREATE TABLE memory (
    mesh TEXT NOT NULL REFERENCES meshes(name), unit TEXT NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (mesh, unit)) STRICT, WITHOUT ROWID;
"""
_MESHES = """
CREATE TABLE meshes (name TEXT PRIMARY KEY, revision INTEGER NOT NULL, token TEXT NOT NULL) STRICT;
"""
_OTHERS = """
CREATE TABLE authorities (mesh TEXT PRIMARY KEY, certificate BLOB NOT NULL, key BLOB NOT NULL) STRICT;
CREATE TABLE tokens (mesh TEXT NOT NULL, workload TEXT NOT NULL, hash BLOB NOT NULL, PRIMARY KEY (mesh, workload)) STRICT;
CREATE TABLE endpoints (
    mesh TEXT NOT NULL, namespace TEXT NOT NULL, service TEXT NOT NULL, port INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (mesh, namespace, service, port)) STRICT;
CREATE TABLE status (mesh TEXT NOT NULL, workload TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (mesh, workload)) STRICT;
"""


def prepare(db: sqlite3.Connection) -> bool:
    """Make the tables in a new file, in the open transaction.

    False for a file of a version that this smihub does not know; it is left as it is.
    """
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version != 0:
        return version == SCHEMA_VERSION
    for block in (_MESHES, _OBJECTS, _OTHERS):
        for statement in block.strip().removesuffix(";").split(";\n"):
            db.execute(statement)
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    return True
