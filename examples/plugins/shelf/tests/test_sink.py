"""The tests that every sink of smihub has to pass, for this one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from msgspec.structs import replace
from smihub_shelf import sink as shelf
from smihub_shelf.sink import SHELF, ShelfConfig

from adapters.istio.plugin import SPEC
from hub.api import NativeObject, ObjectRef, Sink, SinkContext, Transactional
from hub.testing.memory import Died
from hub.testing.sinks.suite import SinkSuite


class Statements(sqlite3.Connection):
    """A connection on which some statements go wrong; `before` is told each."""

    @staticmethod
    def before(statement: str, values: Sequence[Any]) -> None:
        """Nothing goes wrong."""

    def execute(self, statement: str, values: Any = (), /) -> sqlite3.Cursor:
        """Tell it first."""
        Statements.before(statement, values)
        return super().execute(statement, values)


@contextmanager
def before(told: Any) -> Iterator[None]:
    """Have every statement be told."""
    connect = sqlite3.connect

    def watched(path: Path, **options: Any) -> sqlite3.Connection:
        return connect(path, factory=Statements, **options)

    with mock.patch.object(shelf.sqlite3, "connect", watched), mock.patch.object(Statements, "before", told):
        yield


class ShelfBench:
    """A shelf, and what goes wrong there on purpose (hub.testing.sinks.bench.SinkBench)."""

    name, spec, standing = "shelf", SPEC, "Pod"
    failures: Sequence[str] = ("disk I/O error", "database or disk is full")

    def __init__(self, root: Path) -> None:
        self.root = root

    def sink(self) -> Sink | Transactional:
        """A fresh one, as another process opens it."""
        return SHELF.open(
            SinkContext("bench", "default", "cluster.local", self.root / "state", self.root), ShelfConfig()
        )

    def spoiled(self, native: NativeObject) -> NativeObject:
        """It is no Kubernetes object."""
        return replace(native, body=b"[]")

    @contextmanager
    def dying(self, number: int) -> Iterator[None]:
        """At the `number`th statement that changes anything for good."""
        left = number

        def die(statement: str, values: Sequence[Any]) -> None:
            nonlocal left
            left -= "objects VALUES" in statement or statement.startswith(("DELETE FROM objects", "COMMIT"))
            if left <= 0:
                raise Died

        with before(die):
            yield

    @contextmanager
    def failing(self, ref: ObjectRef, how: str) -> Iterator[None]:
        """SQLite does not write this object."""

        def fail(statement: str, values: Sequence[Any]) -> None:
            if "INTO objects" in statement and shelf.text_of(ref) in values:
                raise sqlite3.OperationalError(how)

        with before(fail):
            yield

    def foreign(self, native: NativeObject) -> bool:
        """A row without a unit."""
        with sqlite3.connect(self.root / "shelf.db") as rows:
            row = (shelf.text_of(native.ref), native.body, "", native.role, "[]", 1)
            rows.execute("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?)", row)
        return True

    @contextmanager
    def unreadable(self) -> Iterator[None]:
        """SQLite gives an error within the rows."""

        def fail(statement: str, values: Sequence[Any]) -> None:
            if "FROM memory" in statement:
                raise sqlite3.OperationalError("disk I/O error")

        with before(fail):
            yield


class TestShelf(SinkSuite):
    """All of them."""

    def bench(self, root: Path) -> ShelfBench:
        """See ShelfBench."""
        return ShelfBench(root)
