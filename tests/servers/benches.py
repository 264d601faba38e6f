"""Sinks on a bench: each kind of sink with a mesh that outlives it, and what goes wrong there on purpose.

The objects are those of the sink's own adapter, of a shop in which `web`, `evil` and `other` may or may not call `api` and
`db`; what stands is judged by the adapter's evaluator, and what may stand by SMI.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, Protocol
from unittest import mock

from msgspec.structs import replace

from adapters.istio.plugin import SPEC as ISTIO
from adapters.vm.plugin import SPEC as VM
from adapters.vm.plugin import XDS
from hub.api import AdapterSpec, Sink, SinkContext, Transactional
from hub.mirror import Mirror
from hub.model import (
    Destination,
    Document,
    Facts,
    NativeObject,
    ObjectRef,
    Observation,
    Request,
    Source,
    UnitKey,
)
from hub.plan.changes import Desired
from hub.plan.plan import Plan, plan
from hub.reconcile.rollout import RolloutResult, roll_out
from hub.semantics import Semantics
from hub.sinks import folder
from hub.sinks.directory import DIRECTORY, DirectoryConfig
from hub.sinks.kubernetes import KUBERNETES
from hub.testing.documents import Scope, SinklessMesh, compile_documents, translate_units
from hub.testing.kit import read_documents
from hub.testing.memory import FORMS, Died, MemoryMeshes, MemorySinkConfig
from tests.hub.sinks.snapshots import each_write
from tests.servers.folder import ROUTES, target, workload
from tests.servers.other_family import OTHER

CALLERS, RECEIVERS = ("web", "evil", "other"), ("api", "db")
Grants = Mapping[str, Sequence[str]]
"""By receiver, who may GET /books there."""
Frozen = tuple[tuple[str, tuple[str, ...]], ...]


class Bench(Protocol):
    """One kind of sink, and its mesh."""

    name: str
    spec: AdapterSpec[Any]
    whole: bool  # one token stands for the whole mesh

    def sink(self) -> Sink | Transactional:
        """What a fresh process would write with."""

    def spoiled(self, native: NativeObject) -> NativeObject:
        """The same object, as the mesh will not take it."""

    def dying(self, number: int) -> AbstractContextManager[None]:
        """The process ends (it raises Died) at the `number`th thing that it writes, and does nothing more."""

    def failing(self, ref: ObjectRef, how: str) -> AbstractContextManager[None]:
        """The mesh fails to write this object (or all), in one of the ways of FAILURES."""


# ------------------------------------------------------------------------------------------------------------- what is wanted


def documents(bench: Bench, grants: Grants) -> tuple[Document, ...]:
    """The shop of these grants."""
    return _documents(bench.spec.name, _frozen(grants))


def _frozen(grants: Grants) -> Frozen:
    return tuple(sorted((receiver, tuple(whom)) for receiver, whom in grants.items()))


@cache
def _documents(adapter: str, grants: Frozen) -> tuple[Document, ...]:
    placed = _pod if adapter == ISTIO.name else workload
    texts = [placed(name, number) for number, name in enumerate((*CALLERS, *RECEIVERS))]
    texts += [target(f"{receiver}-{who}", receiver, who) for receiver, whom in grants for who in whom]
    return read_documents("---\n".join([ROUTES, *texts]))


def _pod(name: str, _: int) -> str:
    return f"""\
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: shop, labels: {{smihub.io/sa: {name}}}}}
spec:
  serviceAccountName: {name}
  containers: [{{name: main, image: main, ports: [{{name: http, containerPort: 8080}}]}}]
"""


def wanted(bench: Bench, grants: Grants) -> dict[UnitKey, Desired]:
    """The units of the shop with these grants."""
    return dict(_wanted(bench.spec.name, _frozen(grants)))


@cache
def _wanted(adapter: str, grants: Frozen) -> Mapping[UnitKey, Desired]:
    spec = ISTIO if adapter == ISTIO.name else VM
    units = compile_documents(_documents(adapter, grants), Scope()).units
    made = translate_units(units, SinklessMesh("bench", spec))
    return {key: Desired(units[key], translation) for key, translation in made.items()}


def planned(bench: Bench, desired: Mapping[UnitKey, Desired], seen: Observation) -> Plan:
    """The plan for these units and all that are there besides."""
    units = {**dict.fromkeys(Mirror(seen).units, Desired(None)), **desired}
    return plan("bench", units, seen, bench.spec.carry_over)


async def apply(bench: Bench, desired: Mapping[UnitKey, Desired]) -> RolloutResult:
    """Observe, plan and write, as a fresh process does."""
    sink = bench.sink()
    try:
        seen = await sink.observe()
        return await roll_out(sink, planned(bench, desired, seen), Mirror(seen))
    finally:
        await sink.close()


async def observed(bench: Bench) -> Observation:
    """What a fresh process sees."""
    sink = bench.sink()
    try:
        return await sink.observe()
    finally:
        await sink.close()


# ------------------------------------------------------------------------------------------------------------- what is served


def requests() -> Iterator[Request]:
    """Everybody calls everybody."""
    for caller, receiver, path in product(CALLERS, RECEIVERS, ("/books", "/orders")):
        yield Request(Source(pod=f"shop/{caller}"), Destination(pod=f"shop/{receiver}"), 8080, "http", "GET", path)


def served(bench: Bench, seen: Observation) -> set[Request]:
    """What the mesh lets through by what stands there."""
    natives = [NativeObject(one.ref, one.role, one.owned, (), one.needs) for one in seen.objects.values() if one.owner]
    evaluator = bench.spec.evaluator(natives, _facts(bench.spec.name))
    return {one for one in requests() if evaluator.judge(one).verdict in {"allow", "mixed"}}


@cache
def _facts(adapter: str) -> Facts:
    return compile_documents(_documents(adapter, ()), Scope()).facts


def allowed(bench: Bench, grants: Grants) -> frozenset[Request]:
    """What SMI lets through."""
    return _allowed(bench.spec.name, _frozen(grants))


@cache
def _allowed(adapter: str, grants: Frozen) -> frozenset[Request]:
    semantics = Semantics(_documents(adapter, grants))
    return frozenset(one for one in requests() if semantics.judge(one).verdict == "allow")


# ------------------------------------------------------------------------------------------------------------- the benches


def context(root: Path) -> SinkContext:
    """Of the mesh `bench`."""
    return SinkContext("bench", "default", "cluster.local", root / "state", root, family=KUBERNETES)


class FolderBench:
    """Files in a folder."""

    name, spec, whole = "directory", ISTIO, True
    family, named = KUBERNETES, "name: {}\n"  # and how its files name their object

    def __init__(self, root: Path) -> None:
        self.root = root

    def sink(self) -> Sink | Transactional:
        """See Bench."""
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


class OtherFamilyBench(FolderBench):
    """The same objects as files of another family."""

    name, family, named = "directory-other", OTHER, '"name":"{}"'


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

    name, spec, whole = "xds", VM, True

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "state").mkdir(mode=0o700)

    def sink(self) -> Sink | Transactional:
        """See Bench."""
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
        """Another process holds the file, or it may not grow."""
        with self._locked() if how == "locked" else _full():
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


def _full() -> AbstractContextManager[object]:
    real = sqlite3.connect

    def connect(*args: Any, **more: Any) -> sqlite3.Connection:
        made: sqlite3.Connection = real(*args, **more)
        pages = made.execute("PRAGMA page_count").fetchone()[0]
        made.execute(f"PRAGMA max_page_count = {pages}")
        return made

    return mock.patch.object(sqlite3, "connect", connect)


class MemoryBench:
    """A mesh in memory, written by one of its sinks."""

    spec = ISTIO

    def __init__(self, root: Path, form: str) -> None:
        self.name, self.whole = form, form in {"memory", "memory-at-once"}
        self._root = root
        self._meshes = MemoryMeshes()
        self._spec = self._meshes.specs[form]
        self.sink()
        self.mesh = self._meshes.meshes["bench"]

    def sink(self) -> Sink | Transactional:
        """See Bench."""
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


FAILURES = (
    ("directory", "full"),
    ("directory", "forbidden"),
    ("directory-other", "full"),
    ("xds", "locked"),
    ("xds", "full"),
    *((form, "failing") for form in FORMS),
)
"""Kinds of sinks, and how their meshes may fail."""
KINDS = ("directory", "directory-other", "xds", *FORMS)
"""Every kind of sink."""


def bench_of(kind: str, root: Path) -> Bench:
    """A fresh one."""
    if kind == "directory":
        return FolderBench(root)
    if kind == "directory-other":
        return OtherFamilyBench(root)
    return StateBench(root) if kind == "xds" else MemoryBench(root, kind)
