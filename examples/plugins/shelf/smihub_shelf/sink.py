"""The sink `shelf`: each object is a row with a token of its own, as in an API server, so units are written beside each other."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any, ClassVar

from msgspec import Struct, json

from hub.api import (
    Change,
    ObjectRef,
    Observation,
    Observed,
    Op,
    RefusedError,
    Role,
    SinkContext,
    SinkSpec,
    StaleError,
    TransientError,
    UnitKey,
    Written,
)

_TABLES = """
CREATE TABLE IF NOT EXISTS objects(ref TEXT PRIMARY KEY, body BLOB, unit TEXT, role TEXT, needs TEXT, token INTEGER);
CREATE TABLE IF NOT EXISTS memory(unit TEXT PRIMARY KEY, raw BLOB);
CREATE TABLE IF NOT EXISTS owner(id TEXT);
"""
_MAX_BYTES = 1_000_000


class ShelfConfig(Struct, frozen=True):
    """Settings under `sink` of the mesh in smihub.yaml: the SQLite file, relative to it."""

    file: str = "shelf.db"


class ShelfSink:
    """A `hub.api.Sink`."""

    apart: ClassVar[bool] = True

    def __init__(self, context: SinkContext, config: ShelfConfig) -> None:
        self._path = context.base / config.file
        self._owner = context.owner
        self._known: dict[UnitKey, bytes] = {}  # what the shelf remembers, as far as this process knows

    async def observe(self) -> Observation:
        """Every row. Raises TransientError where the file cannot be read whole: what is missing would count as deleted."""
        with self._open() as shelf:
            objects = {one.ref: one for one in map(_observed, shelf.execute("SELECT * FROM objects"))}
            memory = {_key(unit): raw for unit, raw in shelf.execute("SELECT * FROM memory")}
            self._known.clear()  # in place: whoever writes now goes on with it
            self._known.update(memory)
            return Observation(objects, memory, owner=_owner(shelf))

    @asynccontextmanager
    async def writing(self, token: str) -> AsyncIterator[ShelfWriting]:
        """Each object has its own token, so no token of the whole can be outdated. Raises RefusedError for another owner's shelf."""
        with self._open() as shelf:
            if _owner(shelf) not in {"", self._owner}:
                raise RefusedError(f'"{self._path}" was written for another smihub.yaml')
            if not _owner(shelf):
                shelf.execute("INSERT INTO owner VALUES (?)", [self._owner])
            yield ShelfWriting(shelf, self._known)

    async def close(self) -> None:
        """Nothing stays open."""

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self._path, isolation_level=None)) as shelf:
                shelf.executescript(_TABLES)
                yield shelf
        except sqlite3.Error as error:  # the hub tries again
            raise TransientError(f'"{self._path}": {error}') from error


class ShelfWriting:
    """A `hub.api.Writing`; each statement of SQLite is a transaction, which a crash cannot halve."""

    token = ""

    def __init__(self, shelf: sqlite3.Connection, known: dict[UnitKey, bytes]) -> None:
        self._shelf = shelf
        self._known = known

    async def write(self, changes: Sequence[Change]) -> Sequence[Written]:
        """One after the other; an error of one is its own result, and stops no other."""
        return [self._write(change) for change in changes]

    async def remember(self, memory: Mapping[UnitKey, bytes]) -> None:
        """Keep these bytes, all or none, and forget where there are none. Raises StaleError if another process was faster."""
        self._shelf.execute("BEGIN IMMEDIATE")
        try:
            for unit, raw in memory.items():
                if _remembered(self._shelf, unit) != self._known.get(unit, b""):
                    raise StaleError(f"what is remembered of {unit} has changed since it was read")
                self._shelf.execute("INSERT OR REPLACE INTO memory VALUES (?, ?)", [text_of(unit), raw])
            self._shelf.execute("DELETE FROM memory WHERE raw = x''")
            self._shelf.execute("COMMIT")
        finally:
            if self._shelf.in_transaction:
                self._shelf.execute("ROLLBACK")
        self._known.update(memory)

    def _write(self, change: Change) -> Written:
        if change.after is not None and not _is_manifest(change.after.body):
            return Written(change.ref, "refused", detail="it is not a Kubernetes object of at most 1 MB")
        try:
            return self._replace(change)
        except sqlite3.Error as error:
            return Written(change.ref, "failed", detail=str(error))

    def _replace(self, change: Change) -> Written:
        ref = text_of(change.ref)
        row = self._shelf.execute("SELECT unit, token FROM objects WHERE ref = ?", [ref]).fetchone()
        if not _is_as_planned(change, row):
            return Written(change.ref, "stale", detail="somebody else has changed it")
        if change.after is None:
            self._shelf.execute("DELETE FROM objects WHERE ref = ?", [ref])
            return Written(change.ref)
        token = 1 + (row[1] if row else 0)
        after = (ref, change.after.body, text_of(change.unit), change.after.role, text_of(change.after.needs), token)
        self._shelf.execute("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?)", after)
        return Written(change.ref, token=str(token))


def _is_as_planned(change: Change, row: tuple[str | None, int] | None) -> bool:
    """Whether what stands there is what the plan saw; a row without a unit is somebody else's."""
    if change.op is Op.CREATE or row is None:
        return change.op is Op.CREATE and row is None
    unit, token = row
    return unit is not None and change.token in {"", str(token)}


def _is_manifest(body: bytes) -> bool:
    return len(body) <= _MAX_BYTES and body.startswith(b"{")


def _observed(row: tuple[Any, ...]) -> Observed:
    ref, body, unit, role, needs, token = row
    refs = json.decode(needs, type=tuple[ObjectRef, ...])
    return Observed(json.decode(ref, type=ObjectRef), body, _key(unit) if unit else None, str(token), Role(role), refs)


def _owner(shelf: sqlite3.Connection) -> str:
    row = shelf.execute("SELECT id FROM owner").fetchone()
    return str(row[0]) if row else ""


def _remembered(shelf: sqlite3.Connection, unit: UnitKey) -> bytes:
    row = shelf.execute("SELECT raw FROM memory WHERE unit = ?", [text_of(unit)]).fetchone()
    return bytes(row[0]) if row else b""


def text_of(value: object) -> str:
    """A name as it stands in the file."""
    return json.encode(value).decode()


def _key(text: str) -> UnitKey:
    return json.decode(text, type=UnitKey)


def exclusive(context: SinkContext, config: ShelfConfig) -> str:
    """Two meshes cannot share a file: each would take the other's objects for its own, and delete them."""
    return str(Path(context.base / config.file).resolve())


SHELF = SinkSpec("shelf", ShelfConfig, ShelfSink, family="kubernetes", order="objects", exclusive=exclusive)
