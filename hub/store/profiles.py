"""Workloads as reference-counted profiles, and which selectors the profiles carry.

A profile keeps only label pairs that some selector of its namespace names (and the one that meshes select by), so a Pod
that replaces an equal one (another name, address, pod-template-hash) changes no profile. A selector is found from a profile,
and a profile from a selector, by one of the selector's pairs, never by a scan.

Keys of the index: ("profiles", namespace, account) and ("members", namespace, account) of workloads, ("owners", profile) and
("selected", owner) of the relation between profiles and the objects that own a selector, ("backends", owner) of who is behind.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

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
    """A label selector; `anchor` is the one of its pairs under which it is found from profiles."""

    namespace: str
    labels: Labels
    anchor: Pair


class Profiles:
    """Keeps profiles, selectors and the relation between them; tells the index what changes."""

    def __init__(self, index: Index, moved: set[ObjectRef], labels: Collection[str]) -> None:
        """`moved` collects the workloads that came, went, or got another profile; `labels` are part of it in any case."""
        self._labels = {SERVICE_ACCOUNT_LABEL, *labels}
        self._index = index
        self._moved = moved
        self._workloads: dict[ObjectRef, Workload] = {}
        self._profiles: dict[ObjectRef, WorkloadProfile] = {}
        self._workloads_by_profile: Multimap[WorkloadProfile, ObjectRef] = Multimap()
        self._carriers: Multimap[Pair, ObjectRef] = Multimap()
        self._by_pair: Multimap[Pair, WorkloadProfile] = Multimap()
        self._selectors: dict[ObjectRef, _Selector] = {}
        self._users: Multimap[Pair, ObjectRef] = Multimap()
        self._anchored: Multimap[Pair, ObjectRef] = Multimap()

    # ----------------------------------------------------------------------- workloads

    def put(self, ref: ObjectRef, workload: Workload | None) -> None:
        """A workload is there, is another, or (None) is gone."""
        before = self._workloads.pop(ref, None)
        if before is not None:
            for pair in _pairs(ref.namespace, before.labels):
                self._carriers.discard(pair, ref)
            self._remove(ref)
        if workload is None:
            return
        self._workloads[ref] = workload
        for pair in _pairs(ref.namespace, workload.labels):
            self._carriers.add(pair, ref)
        self._add(ref, self._profile_of(workload))

    def workload(self, ref: ObjectRef) -> Workload | None:
        """The workload of this ref."""
        return self._workloads.get(ref)

    def profile(self, ref: ObjectRef) -> WorkloadProfile:
        """The profile of a workload that is there."""
        return self._profiles[ref]

    def workloads_of(self, profile: WorkloadProfile) -> frozenset[ObjectRef]:
        """The workloads of a profile."""
        return frozenset(self._workloads_by_profile.get(profile))

    def carriers(self, namespace: str, label: str, value: str) -> frozenset[ObjectRef]:
        """The workloads of a namespace that carry a label."""
        return frozenset(self._carriers.get((namespace, label, value)))

    def all(self) -> Iterable[Workload]:
        """Every workload."""
        return self._workloads.values()

    def _profile_of(self, workload: Workload) -> WorkloadProfile:
        namespace = workload.ref.namespace
        labels = tuple(sorted(pair for pair in workload.labels if self._matters(namespace, pair)))
        standing, annotations = _standing(workload.ref), workload.annotations
        return WorkloadProfile(namespace, workload.service_account, standing, labels, workload.ports, annotations)

    def _matters(self, namespace: str, pair: tuple[str, str]) -> bool:
        """Whether a label matters to anybody: a selector names it, or meshes go by it."""
        return (namespace, *pair) in self._users or pair[0] in self._labels

    def _add(self, ref: ObjectRef, profile: WorkloadProfile) -> None:
        self._moved.add(ref)
        self._profiles[ref] = profile
        self._workloads_by_profile.add(profile, ref)
        if is_workload(ref):
            self._index.add(("members", profile.namespace, profile.account), (ref, profile))
        if self._index.add(("profiles", profile.namespace, profile.account), profile):
            for pair in _pairs(profile.namespace, profile.labels):
                self._by_pair.add(pair, profile)
            for owner in tuple(self._owners(profile)):
                self._link(owner, profile)

    def _remove(self, ref: ObjectRef) -> None:
        self._moved.add(ref)
        profile = self._profiles.pop(ref)
        self._workloads_by_profile.discard(profile, ref)
        if is_workload(ref):
            self._index.discard(("members", profile.namespace, profile.account), (ref, profile))
        if self._index.discard(("profiles", profile.namespace, profile.account), profile):
            for pair in _pairs(profile.namespace, profile.labels):
                self._by_pair.discard(pair, profile)
            for owner in tuple(self._index.members(("owners", profile))):
                self._unlink(owner, profile)

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
        # First: a label that nobody named until now tells workloads apart that were alike, and those are to be linked.
        self._refresh_profiles(flipped)
        if labels:
            self._select(owner, labels, pairs)

    def _deselect(self, owner: ObjectRef, before: _Selector, *, keep: frozenset[Pair]) -> set[Pair]:
        """Undo a selection; the pairs that nobody names any more."""
        self._anchored.discard(before.anchor, owner)
        for profile in tuple(self._index.members(("selected", owner))):
            self._unlink(owner, profile)
        gone = [pair for pair in _pairs(before.namespace, before.labels) if pair not in keep]
        for pair in gone:
            self._users.discard(pair, owner)
        return {pair for pair in gone if pair not in self._users}

    def _select(self, owner: ObjectRef, labels: Labels, pairs: tuple[Pair, ...]) -> None:
        # Under its rarest label each way: a selector is found, and finds, without looking at what it cannot meet.
        anchor = min(pairs, key=lambda pair: len(self._anchored.get(pair)))
        self._anchored.add(anchor, owner)
        self._selectors[owner] = _Selector(owner.namespace, labels, anchor)
        rarest = min(pairs, key=lambda pair: len(self._by_pair.get(pair)))
        for profile in tuple(self._by_pair.get(rarest)):
            if profile.carries(labels):
                self._link(owner, profile)

    def _refresh_profiles(self, flipped: Iterable[Pair]) -> None:
        """Pairs that selectors begin or cease to name: their carriers may have other profiles now."""
        carriers = {ref for pair in flipped for ref in self._carriers.get(pair)}
        for ref in carriers:
            profile = self._profile_of(self._workloads[ref])
            if profile != self._profiles[ref]:
                self._remove(ref)
                self._add(ref, profile)

    def _owners(self, profile: WorkloadProfile) -> Iterator[ObjectRef]:
        for pair in _pairs(profile.namespace, profile.labels):
            for owner in self._anchored.get(pair):
                if profile.carries(self._selectors[owner].labels):
                    yield owner

    def _link(self, owner: ObjectRef, profile: WorkloadProfile) -> None:
        self._index.add(("owners", profile), owner)
        self._index.add(("selected", owner), profile)
        self._index.add(("backends", owner), backend_profile(profile))

    def _unlink(self, owner: ObjectRef, profile: WorkloadProfile) -> None:
        self._index.discard(("owners", profile), owner)
        self._index.discard(("selected", owner), profile)
        self._index.discard(("backends", owner), backend_profile(profile))


def backend_profile(profile: WorkloadProfile) -> BackendProfile:
    """What a Service can tell of workloads of this profile."""
    return BackendProfile(
        profile.account, profile.standing, tuple((port.port, port.transport, port.name) for port in profile.ports)
    )


def _standing(ref: ObjectRef) -> Standing:
    if is_workload(ref):
        return "workload"
    return "pod" if ref.kind == "Pod" else "template"


def _pairs(namespace: str, labels: Labels) -> tuple[Pair, ...]:
    return tuple((namespace, key, value) for key, value in labels)
