"""What every workload must get, from the applied revision and the published endpoints; follows changes at their cost.

A workload gets the closure of its `Workload` object by `needs`, the endpoints of the clusters in it, and its own secrets.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping

import msgspec
from msgspec import Struct

from adapters.vm import names
from adapters.vm.identity.ca import Authority, Leaf
from adapters.vm.resource import EDS, SDS, URL_OF_KIND, Resource, Snapshot
from adapters.vm.serve.seal import Sealer, marked, pins_of
from adapters.vm.state import marks
from adapters.vm.state.revisions import RevisionDiff, ServiceKey, StoredObject
from hub.api import Endpoint, ObjectRef, UnsafeResourceError, identity_of

_NOTHING: Mapping[ObjectRef, Resource] = {}


class _WorkloadRecord(Struct, frozen=True):
    """The part of a `Workload` object that serving needs."""

    workload: str
    spiffe: str


class Fleet:
    """Resources of one mesh by workload. Nothing of a revision is taken over when one of its objects is unsafe."""

    def __init__(self, sealer: Sealer, authority: Authority) -> None:
        self._sealer = sealer
        self._authority = authority
        self._trust = sealer.trust_secret()
        self._stored: dict[ObjectRef, StoredObject] = {}
        self._resources: dict[ObjectRef, Resource] = {}
        self._pins: dict[str, frozenset[str]] = {}  # EDS clusters only
        self._endpoints: dict[str, Resource] = {}
        self._facts: dict[ServiceKey, tuple[Endpoint, ...]] = {}
        self._closures: dict[str, frozenset[ObjectRef]] = {}
        self._users: dict[ObjectRef, set[str]] = {}
        self._identities: dict[str, str] = {}  # workload -> SPIFFE id
        self._leaves: dict[str, tuple[Leaf, Resource]] = {}
        self._next_renewal: dt.datetime | None = None  # never later than the first one
        self._snapshots: dict[str, Snapshot] = {}
        # By object and marks: a cluster is the same for every workload of an identity.
        self._marked: dict[ObjectRef, dict[tuple[str, str], Resource]] = {}

    def seal(self, items: Iterable[StoredObject]) -> dict[ObjectRef, Resource]:
        """The checked final bytes of these objects, without serving them. Raises UnsafeResourceError."""
        return {
            item.ref: self._sealer.seal(item.ref, item.body, item.needs)
            for item in items
            if item.ref.kind in URL_OF_KIND
        }

    def advance(self, diff: RevisionDiff, ready: Mapping[ObjectRef, Resource] = _NOTHING) -> set[str]:
        """Take over a revision; gives the workloads whose resources changed. Raises UnsafeResourceError.

        `ready` are objects of this very revision that `seal` has made already.
        """
        # Whatever may raise comes first: an unsafe object must leave what is served as it is, all of it.
        changed = {ref: item for ref, item in diff.upserts.items() if not _unchanged(self._stored.get(ref), item)}
        deleted = [ref for ref in self._stored if ref not in diff.upserts] if diff.whole else list(diff.deleted)
        sealed = {**self.seal(item for ref, item in changed.items() if ref not in ready), **ready}
        pins = {ref.name: pins_of(item.body) for ref, item in changed.items() if ref.kind == "Cluster"}
        identities = {ref.name: _identity(item) for ref, item in changed.items() if ref.kind == names.WORKLOAD}
        # By the closures of before: whoever used what is gone has to hear of it, and `_index` forgets that.
        touched = {name for ref in (*changed, *deleted) for name in self._users.get(ref, ())}
        touched |= {ref.name for ref in (*changed, *deleted) if ref.kind == names.WORKLOAD}
        self._apply(changed, deleted, sealed)
        self._identities.update(identities)
        self._repin(pins, [ref.name for ref in deleted if ref.kind == "Cluster"])
        for workload in touched:
            self._index(workload)
        return touched

    def publish(self, endpoints: Mapping[ServiceKey, tuple[Endpoint, ...]]) -> tuple[set[str], set[ServiceKey]]:
        """Take over all endpoints; gives the workloads whose resources changed, and the service ports that did."""
        every = self._facts.keys() | endpoints.keys()
        pairs = ((key, self._facts.get(key), endpoints.get(key)) for key in every)
        changed = {key for key, before, after in pairs if before is not after and before != after}
        self._facts = dict(endpoints)
        touched: set[str] = set()
        for key in changed:
            cluster = names.outbound(*key)
            # A Service that no applied object calls has no cluster, so nobody is woken for its endpoints.
            if cluster in self._pins and self._assign(cluster):
                touched |= self._users.get(names.ref("Cluster", cluster), set())
        for workload in touched:
            self._snapshots.pop(workload, None)
        return touched, changed

    def snapshot(self, workload: str, now: dt.datetime) -> Snapshot:
        """What this workload must get now; nothing if the revision does not know it."""
        if workload not in self._snapshots:
            self._snapshots[workload] = self._build(workload, now)
        return self._snapshots[workload]

    def renew(self, now: dt.datetime) -> set[str]:
        """Give up certificates whose time of renewal has come; gives the workloads concerned."""
        if self._next_renewal is None or now < self._next_renewal:
            return set()
        due = {workload for workload, (leaf, _) in self._leaves.items() if leaf.renew_at <= now}
        for workload in due:
            del self._leaves[workload]
            self._snapshots.pop(workload, None)
        self._next_renewal = min((leaf.renew_at for leaf, _ in self._leaves.values()), default=None)
        return due

    def forget(self, workload: str) -> None:
        """Drop what is kept for a workload that is no longer connected."""
        # A private key is in memory only while somebody is connected who needs it.
        self._leaves.pop(workload, None)
        self._snapshots.pop(workload, None)

    def _apply(
        self,
        changed: Mapping[ObjectRef, StoredObject],
        deleted: Iterable[ObjectRef],
        sealed: Mapping[ObjectRef, Resource],
    ) -> None:
        self._stored.update(changed)
        self._resources.update(sealed)
        for ref in (*changed, *deleted):
            self._marked.pop(ref, None)
        for ref in deleted:
            self._stored.pop(ref, None)
            self._resources.pop(ref, None)

    def _repin(self, pins: Mapping[str, frozenset[str] | None], gone: Iterable[str]) -> None:
        # Endpoints are filtered by the identities that the cluster pins, so other pins mean other endpoints.
        for cluster in (*gone, *pins):
            self._pins.pop(cluster, None)
            self._endpoints.pop(cluster, None)
        for cluster, identities in pins.items():
            if identities is not None:
                self._pins[cluster] = identities
                self._assign(cluster)

    def _assign(self, cluster: str) -> bool:
        """Make the cluster's endpoints anew; says whether they differ."""
        found = self._facts.get(_service_key(cluster), ())
        assignment = self._sealer.endpoints(cluster, self._pins[cluster], found)
        before = self._endpoints.get(cluster)
        self._endpoints[cluster] = assignment
        return assignment != before

    def _index(self, workload: str) -> None:
        """Find the workload's closure anew. What is needed but absent is in it too, so that its arrival is noticed."""
        for ref in self._closures.pop(workload, frozenset()):
            self._users[ref].discard(workload)
        self._snapshots.pop(workload, None)
        root = names.ref(names.WORKLOAD, workload)
        if root not in self._stored:
            self._leaves.pop(workload, None)
            self._identities.pop(workload, None)
            return
        seen, queue = {root}, [root]
        while queue:
            item = self._stored.get(queue.pop())
            fresh = [need for need in item.needs if need not in seen] if item else []
            seen.update(fresh)
            queue += fresh
        self._closures[workload] = frozenset(seen)
        for ref in seen:
            self._users.setdefault(ref, set()).add(workload)

    def _build(self, workload: str, now: dt.datetime) -> Snapshot:
        types: dict[str, dict[str, Resource]] = {url: {} for url in URL_OF_KIND.values()}
        if names.ref(names.WORKLOAD, workload) not in self._stored:
            return types
        for ref in sorted(self._closures[workload]):
            # The Workload object itself, which is sent to nobody, or something that is needed and not there yet.
            if ref not in self._resources:
                continue
            types[URL_OF_KIND[ref.kind]][ref.name] = self._with_marks(ref, workload)
            if ref.kind == "Cluster" and ref.name in self._endpoints:
                types[EDS][ref.name] = self._endpoints[ref.name]
        own = self._own_certificate(workload, now)
        # Always there, whatever the closure holds: without them a sidecar can neither prove itself nor check anybody.
        types[SDS] |= {names.TRUST: self._trust, own.name: own}
        return types

    def _with_marks(self, ref: ObjectRef, workload: str) -> Resource:
        """The resource with the marks of this workload."""
        item = self._resources[ref]
        if not item.marked:
            return item
        own, chain = self._mark(workload), ""
        if ref.kind == "Listener":
            node = self._stored[names.ref(names.WORKLOAD, workload)]
            chain = marks.derived_mark(self._stored[ref].mark, node.mark, own)
        known = self._marked.setdefault(ref, {})
        if (own, chain) not in known:
            if len(known) > 2 * len(self._users[ref]):
                known.clear()  # most are of identities that nobody has any more
            known[own, chain] = marked(item, own, chain)
        return known[own, chain]

    def _mark(self, workload: str) -> str:
        """The mark of a workload's certificates: another identity's, or another authority's, is another one."""
        return marks.derived_mark(self._identities[workload], self._authority.bundle)

    def _own_certificate(self, workload: str, now: dt.datetime) -> Resource:
        spiffe = self._identities[workload]
        kept = self._leaves.get(workload)
        # A new account is a new identity: the old certificate must not live on under it.
        if kept is None or kept[0].spiffe != spiffe or kept[0].renew_at <= now:
            leaf = self._authority.issue(spiffe, now)
            kept = self._leaves[workload] = (leaf, self._sealer.identity_secret(self._mark(workload), leaf))
            self._next_renewal = leaf.renew_at if self._next_renewal is None else min(self._next_renewal, leaf.renew_at)
        return kept[1]


def _unchanged(before: StoredObject | None, after: StoredObject) -> bool:
    return before is not None and (before.body, before.needs, before.mark) == (after.body, after.needs, after.mark)


def _identity(item: StoredObject) -> str:
    try:
        record = msgspec.json.decode(item.body, type=_WorkloadRecord)
    except msgspec.DecodeError as error:
        raise UnsafeResourceError(f'Workload "{item.ref.name}" cannot be read: {error}') from error
    if record.workload != item.ref.name or identity_of(record.spiffe) is None:
        raise UnsafeResourceError(f'Workload "{item.ref.name}" names a different workload, or no identity')
    return record.spiffe


def _service_key(cluster: str) -> ServiceKey:
    """The service port of an outbound cluster's name (`out/<ns>/<service>/<port>`); nobody's for any other name."""
    parts = cluster.split("/")
    if len(parts) != 4 or parts[0] != "out" or not parts[3].isdigit():
        return "", "", 0
    return parts[1], parts[2], int(parts[3])
