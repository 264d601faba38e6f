"""Workloads as reference-counted shapes, and which selectors the shapes carry.

A shape keeps only label pairs that some selector of its namespace names (and the one that meshes select by), so a Pod that replaces an equal one (another
name, address, pod-template-hash) changes no shape. A selector is found from a shape, and a shape from a selector, by one
of the selector's pairs, never by a scan.

Keys of the index: ("shapes", namespace, account) and ("members", namespace, account) of workloads, ("owners", shape) and
("selected", owner) of the relation between shapes and the objects that own a selector, ("faces", owner) of who is behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from hub.intent.names import is_workload
from hub.intent.view import BackendProfile, Labels, Standing, WorkloadProfile
from hub.model import SERVICE_ACCOUNT_LABEL, ObjectRef
from hub.smi.types import Workload
from hub.store.index import Index
from hub.store.multimap import Multimap

Pair = tuple[str, str, str]
"""A label in a namespace: namespace, key, value."""


class _Selector(Struct, frozen=True, gc=False):
    """A label selector; `anchor` is the one of its pairs under which it is found from shapes."""

    namespace: str
    labels: Labels
    anchor: Pair


class Summaries:
    """Keeps shapes, selectors and the relation between them; tells the index what changes."""

    def __init__(self, index: Index, moved: set[ObjectRef]) -> None:
        """`moved` collects the workloads that came, went, or got another shape."""
        self._index = index
        self._moved = moved
        self._workloads: dict[ObjectRef, Workload] = {}
        self._shapes: dict[ObjectRef, WorkloadProfile] = {}
        self._standing: Multimap[WorkloadProfile, ObjectRef] = Multimap()
        self._carriers: Multimap[Pair, ObjectRef] = Multimap()
        self._by_pair: Multimap[Pair, WorkloadProfile] = Multimap()
        self._selectors: dict[ObjectRef, _Selector] = {}
        self._users: Multimap[Pair, ObjectRef] = Multimap()
        self._anchored: Multimap[Pair, ObjectRef] = Multimap()

    # ----------------------------------------------------------------------- workloads

    def place(self, ref: ObjectRef, workload: Workload | None) -> None:
        """A workload is there, is another, or (None) is gone."""
        before = self._workloads.pop(ref, None)
        if before is not None:
            for pair in _pairs(ref.namespace, before.labels):
                self._carriers.discard(pair, ref)
            self._leave(ref)
        if workload is None:
            return
        self._workloads[ref] = workload
        for pair in _pairs(ref.namespace, workload.labels):
            self._carriers.add(pair, ref)
        self._join(ref, self._shape_of(workload))

    def workload(self, ref: ObjectRef) -> Workload | None:
        """The workload of this ref."""
        return self._workloads.get(ref)

    def shape(self, ref: ObjectRef) -> WorkloadProfile:
        """The shape of a workload that is there."""
        return self._shapes[ref]

    def standing(self, shape: WorkloadProfile) -> frozenset[ObjectRef]:
        """The workloads of a shape."""
        return frozenset(self._standing.get(shape))

    def carriers(self, namespace: str, label: str, value: str) -> frozenset[ObjectRef]:
        """The workloads of a namespace that carry a label."""
        return frozenset(self._carriers.get((namespace, label, value)))

    def all(self) -> Iterable[Workload]:
        """Every workload."""
        return self._workloads.values()

    def _shape_of(self, workload: Workload) -> WorkloadProfile:
        namespace = workload.ref.namespace
        labels = tuple(sorted(pair for pair in workload.labels if self._tells(namespace, pair)))
        return WorkloadProfile(namespace, workload.service_account, _standing(workload.ref), labels, workload.ports)

    def _tells(self, namespace: str, pair: tuple[str, str]) -> bool:
        """Whether a label matters to anybody: a selector names it, or meshes select by it."""
        return (namespace, *pair) in self._users or pair[0] == SERVICE_ACCOUNT_LABEL

    def _join(self, ref: ObjectRef, shape: WorkloadProfile) -> None:
        self._moved.add(ref)
        self._shapes[ref] = shape
        self._standing.add(shape, ref)
        if is_workload(ref):
            self._index.add(("members", shape.namespace, shape.account), (ref, shape))
        if self._index.add(("shapes", shape.namespace, shape.account), shape):
            for pair in _pairs(shape.namespace, shape.labels):
                self._by_pair.add(pair, shape)
            for owner in tuple(self._owners(shape)):
                self._link(owner, shape)

    def _leave(self, ref: ObjectRef) -> None:
        self._moved.add(ref)
        shape = self._shapes.pop(ref)
        self._standing.discard(shape, ref)
        if is_workload(ref):
            self._index.discard(("members", shape.namespace, shape.account), (ref, shape))
        if self._index.discard(("shapes", shape.namespace, shape.account), shape):
            for pair in _pairs(shape.namespace, shape.labels):
                self._by_pair.discard(pair, shape)
            for owner in tuple(self._index.members(("owners", shape))):
                self._unlink(owner, shape)

    # ----------------------------------------------------------------------- selectors

    def select(self, owner: ObjectRef, labels: Labels | None) -> None:
        """An object selects workloads of its namespace by these labels, or (None or empty) by none."""
        before = self._selectors.pop(owner, None)
        if before is not None and before.labels == labels:
            self._selectors[owner] = before
            return
        flipped: set[Pair] = set()
        pairs = _pairs(owner.namespace, labels or ())
        for pair in pairs:
            flipped |= set() if pair in self._users else {pair}
            self._users.add(pair, owner)
        if before is not None:
            flipped |= self._deselect(owner, before, keep=frozenset(pairs))
        self._reshape(flipped)
        if labels:
            self._select(owner, labels, pairs)

    def _deselect(self, owner: ObjectRef, before: _Selector, *, keep: frozenset[Pair]) -> set[Pair]:
        """Undo a selection; the pairs that nobody names any more."""
        self._anchored.discard(before.anchor, owner)
        for shape in tuple(self._index.members(("selected", owner))):
            self._unlink(owner, shape)
        gone = [pair for pair in _pairs(before.namespace, before.labels) if pair not in keep]
        for pair in gone:
            self._users.discard(pair, owner)
        return {pair for pair in gone if pair not in self._users}

    def _select(self, owner: ObjectRef, labels: Labels, pairs: tuple[Pair, ...]) -> None:
        anchor = min(pairs, key=lambda pair: len(self._anchored.get(pair)))
        self._anchored.add(anchor, owner)
        self._selectors[owner] = _Selector(owner.namespace, labels, anchor)
        rarest = min(pairs, key=lambda pair: len(self._by_pair.get(pair)))
        for shape in tuple(self._by_pair.get(rarest)):
            if shape.carries(labels):
                self._link(owner, shape)

    def _reshape(self, flipped: Iterable[Pair]) -> None:
        """Pairs that selectors begin or cease to name: their carriers may have other shapes now."""
        carriers = {ref for pair in flipped for ref in self._carriers.get(pair)}
        for ref in carriers:
            shape = self._shape_of(self._workloads[ref])
            if shape != self._shapes[ref]:
                self._leave(ref)
                self._join(ref, shape)

    def _owners(self, shape: WorkloadProfile) -> Iterator[ObjectRef]:
        for pair in _pairs(shape.namespace, shape.labels):
            for owner in self._anchored.get(pair):
                if shape.carries(self._selectors[owner].labels):
                    yield owner

    def _link(self, owner: ObjectRef, shape: WorkloadProfile) -> None:
        self._index.add(("owners", shape), owner)
        self._index.add(("selected", owner), shape)
        self._index.add(("faces", owner), face_of(shape))

    def _unlink(self, owner: ObjectRef, shape: WorkloadProfile) -> None:
        self._index.discard(("owners", shape), owner)
        self._index.discard(("selected", owner), shape)
        self._index.discard(("faces", owner), face_of(shape))


def face_of(shape: WorkloadProfile) -> BackendProfile:
    """What a Service can tell of workloads of this shape."""
    return BackendProfile(
        shape.account, shape.standing, tuple((port.port, port.transport, port.name) for port in shape.ports)
    )


def _standing(ref: ObjectRef) -> Standing:
    if is_workload(ref):
        return "workload"
    return "pod" if ref.kind == "Pod" else "template"


def _pairs(namespace: str, labels: Labels) -> tuple[Pair, ...]:
    return tuple((namespace, key, value) for key, value in labels)
