"""Our sinks on a bench (hub.testing.sinks): each kind with a mesh that outlives it, and what goes wrong there on purpose."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from msgspec.structs import replace

from adapters.istio.plugin import SPEC as ISTIO
from adapters.vm.plugin import SPEC as VM
from adapters.vm.plugin import XDS
from hub.api import Sink, SinkContext, Transactional
from hub.model import NativeObject, ObjectRef
from hub.sinks import folder
from hub.sinks.directory import DIRECTORY, DirectoryConfig
from hub.sinks.kubernetes import KUBERNETES
from hub.sinks.names import OBJECTS, file_name
from hub.testing.memory import Died, MemoryMeshes, MemorySinkConfig
from tests.hub.sinks.snapshots import each_write
from tests.servers.other_family import OTHER


def context(root: Path) -> SinkContext:
    """Of the mesh `bench`."""
    return SinkContext("bench", "default", "cluster.local", root / "state", root, family=KUBERNETES)


class FolderBench:
    """Files in a folder."""

    name, spec, standing = "directory", ISTIO, "Pod"
    failures: Sequence[str] = ("full", "forbidden")
    family, named = KUBERNETES, "name: {}\n"  # and how its files name their object

    def __init__(self, root: Path) -> None:
        self.root = root

    def sink(self) -> Sink | Transactional:
        """See SinkBench."""
        return DIRECTORY.open(replace(context(self.root), family=self.family), DirectoryConfig("rendered"))

    def spoiled(self, native: NativeObject) -> NativeObject:
        """It is no Kubernetes object."""
        return replace(native, body=b"[]")

    @contextmanager
    def dying(self, number: int) -> Iterator[None]:
        """At a call that changes the file system, after which nothing is cleaned up either."""
        left = [number]

        def die() -> None:
            left[0] -= 1
            if left[0] <= 0:
                raise Died

        with each_write(die):
            yield

    @contextmanager
    def failing(self, ref: ObjectRef, how: str) -> Iterator[None]:
        """The disk is full, or nobody may write the file."""
        real, code = folder._write, {"full": errno.ENOSPC, "forbidden": errno.EACCES}[how]

        def write(at: int, data: bytes) -> None:
            if self.named.format(ref.name).encode() in data:
                raise OSError(code, os.strerror(code))
            real(at, data)

        with mock.patch.object(folder, "_write", write):
            yield

    def foreign(self, native: NativeObject) -> bool:
        """A file of that object, as somebody writes it who does not know smihub."""
        assert self.family.files is not None
        place = self.root / "rendered" / OBJECTS
        place.mkdir(parents=True, exist_ok=True)
        (place / file_name(self.family.files, native.ref)).write_bytes(self.family.files.write(native.body, None))
        return True

    @contextmanager
    def unreadable(self) -> Iterator[None]:
        """The disk gives an error for the third file that is read."""
        real, left = folder._content, [2]

        def content(handle: int, most: int) -> bytes:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return real(handle, most)

        with mock.patch.object(folder, "_content", content):
            yield


class OtherFamilyBench(FolderBench):
    """The same objects as files of another family."""

    name, failures = "directory-other", ("full",)
    family, named = OTHER, '"name":"{}"'


class _Counting(sqlite3.Connection):
    """A connection of a process that ends after so many statements (None: it does not)."""

    left: int | None = None

    def execute(self, *args: Any) -> sqlite3.Cursor:
        """Count it."""
        if _Counting.left is not None:
            _Counting.left -= 1
            if _Counting.left <= 0:
                self.close()  # what was not committed is gone
                raise Died
        return super().execute(*args)


class StateBench:
    """Revisions in SQLite."""

    name, spec, standing, failures = "xds", VM, "Workload", ("locked", "full", "forbidden")

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "state").mkdir(mode=0o700)

    def sink(self) -> Sink | Transactional:
        """See SinkBench."""
        return XDS.open(context(self.root), XDS.config())

    def spoiled(self, native: NativeObject) -> NativeObject:
        """An empty message is nothing that an Envoy may be given."""
        return replace(native, body=b"")

    @contextmanager
    def dying(self, number: int) -> Iterator[None]:
        """At a statement."""
        real, _Counting.left = sqlite3.connect, number
        try:
            with mock.patch.object(sqlite3, "connect", lambda *args, **more: real(*args, factory=_Counting, **more)):
                yield
        finally:
            _Counting.left = None

    @contextmanager
    def failing(self, ref: ObjectRef, how: str) -> Iterator[None]:
        """Another process holds the file, it may not grow, or nobody may write it."""
        with self._locked() if how == "locked" else _connecting({"full": _fill, "forbidden": _forbid}[how]):
            yield

    def foreign(self, native: NativeObject) -> bool:
        """The state is ours alone."""
        return False

    @contextmanager
    def unreadable(self) -> Iterator[None]:
        """The disk gives an error for what is read."""
        with mock.patch.object(sqlite3, "connect", side_effect=sqlite3.OperationalError("disk I/O error")):
            yield

    @contextmanager
    def _locked(self) -> Iterator[None]:
        holder = sqlite3.connect(self.root / "state/hub.sqlite", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        try:
            with mock.patch("adapters.vm.state.file._WAIT_S", 0.05):
                yield
        finally:
            holder.close()


def _connecting(then: Callable[[sqlite3.Connection], object]) -> AbstractContextManager[object]:
    real = sqlite3.connect

    def connect(*args: Any, **more: Any) -> sqlite3.Connection:
        made: sqlite3.Connection = real(*args, **more)
        then(made)
        return made

    return mock.patch.object(sqlite3, "connect", connect)


def _fill(made: sqlite3.Connection) -> None:
    pages = made.execute("PRAGMA page_count").fetchone()[0]
    made.execute(f"PRAGMA max_page_count = {pages}")


def _forbid(made: sqlite3.Connection) -> None:
    """As of a file without permission to write (root has it always)."""
    made.execute("PRAGMA query_only = ON")


class MemoryBench:
    """A mesh in memory, written by one of its sinks."""

    spec, standing, failures = ISTIO, "Pod", ("failing",)

    def __init__(self, root: Path, form: str) -> None:
        self.name = form
        self._root = root
        self._meshes = MemoryMeshes()
        self._spec = self._meshes.specs[form]
        self.sink()
        self.mesh = self._meshes.meshes["bench"]

    def sink(self) -> Sink | Transactional:
        """See SinkBench."""
        return self._spec.open(context(self._root), MemorySinkConfig())

    def spoiled(self, native: NativeObject) -> NativeObject:
        """The mesh does not like it."""
        self.mesh.refused.add(native.ref)
        return native

    @contextmanager
    def dying(self, number: int) -> Iterator[None]:
        """Before a write of an object, or of memory."""
        self.mesh.steps, self.mesh.fails = number - 1, Died
        yield
        self.mesh.recover()

    @contextmanager
    def failing(self, ref: ObjectRef, how: str) -> Iterator[None]:
        """This object."""
        self.mesh.failing.add(ref)
        yield
        self.mesh.recover()

    def foreign(self, native: NativeObject) -> bool:
        """Somebody makes it."""
        self.mesh.foreign(native)
        return True

    @contextmanager
    def unreadable(self) -> Iterator[None]:
        """It does not answer."""
        self.mesh.down = True
        yield
        self.mesh.recover()
