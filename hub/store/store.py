"""The store of one domain: decoded objects in, dirty units and compiled units out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from msgspec.structs import replace

from hub.intent import WorkloadProfile, compile_access
from hub.intent.accesses import Inbound
from hub.intent.inspection import inspectable
from hub.model import Access, Identity, ObjectRef, Origin, Placement, Problem, Reading, Unit, UnitKey
from hub.smi import Decoded, Unnamed
from hub.smi.types import EndpointSlice, IdentityBinding, Service, SmiObject, Workload
from hub.store.computed import Computed, Job, compute
from hub.store.copies import Copies
from hub.store.doubts import Doubts
from hub.store.entries import entries
from hub.store.index import EndpointChanges, Index
from hub.store.memo import Memo, Read
from hub.store.problems import ProblemIndex
from hub.store.profiles import Profiles
from hub.store.slices import Slices
from hub.store.view import RecordingView

_DEFAULT = Reading()


class Store:
    """Keeps the objects of a domain's sources, and knows which units one event has made stale.

    Put a batch of events in by `upsert` and `remove`, then take `dirty()`, and `compile` each of its keys. Every cost
    is that of the change, whatever else is stored. `labels` of workloads matter even if nothing selects by them.
    """

    def __init__(
        self, trust_domain: str, reading: Reading = _DEFAULT, domain: str = "default", labels: Collection[str] = ()
    ) -> None:
        self._trust_domain = trust_domain
        self._reading = reading
        self._domain = domain
        self._copies = Copies()
        self._objects: dict[ObjectRef, SmiObject] = {}
        self._index = Index()
        self._endpoint_changes = EndpointChanges()
        self._profiles = Profiles(self._index, self._endpoint_changes.workloads, labels)
        self._doubts = Doubts(self._index, self._profiles)
        self._slices = Slices(self._index, self._endpoint_changes.slices)
        self._memo: Memo[Job, Computed] = Memo()
        self._former: dict[ObjectRef, SmiObject | None] = {}
        # Objects that are recalled and whose copies changed: a unit may now be held to other copies.
        self._reread: set[ObjectRef] = set()
        self._dirty: set[UnitKey] = set()
        self._units: set[UnitKey] = set()
        self._stale: set[Job] = set()
        self._problems = ProblemIndex(self._copies.origins)  # found in units and single objects
        self._written = ProblemIndex()  # found in what is written: by decoding, and in copies
        self._recalled: dict[ObjectRef, SmiObject] = {}

    @property
    def domain(self) -> str:
        """The name that the keys of units carry."""
        return self._domain

    @property
    def trust_domain(self) -> str:
        """The trust domain of every identity of this domain."""
        return self._trust_domain

    # ----------------------------------------------------------------------- objects

    def upsert(self, source: str, part: str, decoded: Sequence[Decoded]) -> None:
        """A part of a source (a file, a kind) holds exactly these objects now, instead of what it held."""
        origin = (source, part)
        touched = self._copies.put(origin, decoded)
        self._follow(touched)
        self._doubts.put_unnamed(origin, decoded)
        self._written.put(origin, tuple(problem for each in decoded for problem in each.problems))
        for ref in touched:
            self._problems.moved(ref)
            self._written.put(ref, self._copies.disputes(ref))

    def recall(self, objects: Mapping[ObjectRef, SmiObject]) -> None:
        """Let these objects, and no others, stand in for what cannot be read: they count whatever their copies say."""
        before, self._recalled = self._recalled, dict(objects)
        refs = before.keys() | objects.keys()
        self._follow([ref for ref in refs if before.get(ref) != objects.get(ref)])

    def broken(self) -> frozenset[ObjectRef]:
        """The objects that cannot be read as they are written: invalid, with a part that is, or in unequal copies."""
        return self._copies.broken()

    def unnamed(self) -> frozenset[Unnamed]:
        """The objects whose name is no text: which ones they are cannot be told."""
        return self._copies.unnamed()

    def readable(self, ref: ObjectRef) -> tuple[SmiObject, ...]:
        """Every copy of an object that can be read whole, whether it counts or not, without its place."""
        return self._copies.readable(ref)

    def object(self, ref: ObjectRef) -> SmiObject | None:
        """The object that counts, without the place where it was read; None if there is none."""
        return self._objects.get(ref)

    def objects(self) -> Iterable[SmiObject]:
        """Every object that counts, as `object` gives it."""
        return self._objects.values()

    def origins(self, ref: ObjectRef) -> tuple[Origin, ...]:
        """Where every copy of an object was read, sorted; also of one that does not count."""
        return self._copies.origins(ref)

    def parts(self, ref: ObjectRef) -> frozenset[tuple[str, str]]:
        """The parts of sources, (source, part), that hold a copy of an object; also of one that does not count."""
        return self._copies.parts(ref)

    def _follow(self, touched: Iterable[ObjectRef]) -> None:
        """Take over what the copies of these objects mean now."""
        for ref in touched:
            before = self._objects.get(ref)
            after = self._recalled[ref] if ref in self._recalled else self._copies.object(ref)
            if before != after:
                self._former.setdefault(ref, before)
                self._replace(ref, before, after)
            if ref in self._recalled:
                self._reread.add(ref)
            if after is not None or ref in self._recalled:
                self._doubts.clear(ref)
            else:
                self._doubts.update(ref, self._copies)

    def _replace(self, ref: ObjectRef, before: SmiObject | None, after: SmiObject | None) -> None:
        if after is None:
            self._objects.pop(ref, None)
        else:
            self._objects[ref] = after
        # First what comes: an entry that both have is then never gone, and makes nobody dirty.
        for key, member in entries(after, self._trust_domain) if after is not None else ():
            self._index.add(key, member)
        for key, member in entries(before, self._trust_domain) if before is not None else ():
            self._index.discard(key, member)
        either = after if after is not None else before
        if isinstance(either, Workload):
            self._profiles.put(ref, after if isinstance(after, Workload) else None)
            if ref.kind == "Pod":
                self._slices.account(ref, after.service_account if isinstance(after, Workload) else "")
        elif isinstance(either, EndpointSlice):
            self._slices.put(ref, after if isinstance(after, EndpointSlice) else None)
        elif isinstance(either, Service):
            self._endpoint_changes.services.add(ref)
            self._profiles.select(ref, after.selector if isinstance(after, Service) else None)
        elif isinstance(either, IdentityBinding):
            self._profiles.select(ref, after.labels if isinstance(after, IdentityBinding) else None)

    # ----------------------------------------------------------------------- units

    def units(self) -> frozenset[UnitKey]:
        """An access unit for every governed identity, a route unit for every Service."""
        self._process_changes()
        return frozenset(self._units)

    def dirty(self) -> frozenset[UnitKey]:
        """The units that came, went, or may compile to something else since the last call.

        A unit is dirty once, until it was compiled again.
        """
        self._process_changes()
        dirty = frozenset(self._dirty)
        self._dirty.clear()
        return dirty

    @property
    def has_changes(self) -> bool:
        """Whether `dirty` may give anything. Safe to ask while another thread computes units."""
        return bool(self._dirty or self._former or self._reread or self._index.changed)

    def compile(self, key: UnitKey) -> tuple[Unit | None, tuple[Problem, ...]]:
        """The unit (None: there is none of this key) and the Problems that it found, with their origins."""
        self._process_changes()
        result = self._result(key) if key in self._units else None
        return (None, ()) if result is None else (result.unit, self._located(result.problems))

    @property
    def reading(self) -> Reading:
        """The switches of our reading of SMI."""
        return self._reading

    def compile_as(self, key: UnitKey, reading: Reading) -> Unit | None:
        """The unit as another reading of SMI would have it; nothing of that is kept."""
        self._process_changes()
        if key not in self._units:
            return None
        return compute(RecordingView(self._objects, self._index, self._trust_domain, reading), key).unit

    def without_doubts(self, key: UnitKey) -> Access | None:
        """An access unit as if nothing that cannot be read declared anything: no more than that may ever be kept."""
        self._process_changes()
        if key not in self._units or key.kind != "access":
            return None
        view = RecordingView(self._objects, self._index, self._trust_domain, self._reading, doubting=False)
        return compile_access(view, Identity(self._trust_domain, key.namespace, key.name)).unit

    def problems(self) -> tuple[Problem, ...]:
        """Everything that is wrong with any object: decoding, copies, units and single objects; sorted, each once."""
        self._inspect()
        return tuple(sorted({*self._written.all(), *self._problems.all()}))

    def has_problem(self, problem: Problem) -> bool:
        """Whether it is one of `problems`."""
        return problem in self._written or problem in self._problems

    def pop_changed_problems(self) -> frozenset[Problem]:
        """The problems that came or went since the last call; costs what changed."""
        self._inspect()
        return frozenset((*self._written.pop_changed(), *self._problems.pop_changed()))

    def _inspect(self) -> None:
        """Judge whatever changed since it was judged."""
        self._process_changes()
        for job in tuple(self._stale):
            self._result(job)

    def _located(self, problems: Iterable[Problem]) -> tuple[Problem, ...]:
        """Problems at every place where their object stands; a unit does not change because a line number does."""
        return tuple(
            replace(problem, origin=origin)
            for problem in problems
            for origin in self._copies.origins(problem.ref) or (problem.origin,)
        )

    def _process_changes(self) -> None:
        """Turn what has changed in sum since the last look into stale results and dirty units."""
        # Not in `upsert`: an object that passes from one file to another within a batch has not changed in sum.
        if not (self._former or self._reread or self._index.changed):
            return
        changed: list[Read] = []
        for ref, before in self._former.items():
            if self._objects.get(ref) != before:
                changed.append(ref)
                self._on_object_changed(ref)
        changed += self._reread
        self._former.clear()
        self._reread.clear()
        for key in self._index.pop_changed_keys():
            changed.append(key)
            if key[0] == "governed":
                self._on_governed_changed(str(key[1]), str(key[2]))
        for each in changed if self._memo else ():
            for job in self._memo.readers(each):
                self._invalidate(job)

    def _on_object_changed(self, ref: ObjectRef) -> None:
        """An object came, went or changed: so does its Route, and what is told of the object itself."""
        found = self._objects.get(ref)
        if (ref.group, ref.kind) == ("", "Service"):
            self._set_present(UnitKey("route", ref.namespace, ref.name, self._domain), present=found is not None)
        if inspectable(found):
            self._stale.add(ref)
        else:
            self._drop(ref)

    def _on_governed_changed(self, namespace: str, account: str) -> None:
        present = ("governed", namespace, account) in self._index
        self._set_present(UnitKey("access", namespace, account, self._domain), present=present)

    def _set_present(self, key: UnitKey, *, present: bool) -> None:
        if present == (key in self._units):
            return
        self._mark_dirty(key)
        if present:
            self._units.add(key)
            self._stale.add(key)
        else:
            self._units.discard(key)
            self._drop(key)

    def _invalidate(self, job: Job) -> None:
        self._memo.forget(job)
        self._stale.add(job)
        if isinstance(job, UnitKey):
            self._mark_dirty(job)

    def _mark_dirty(self, key: UnitKey) -> None:
        self._dirty.add(key)
        if key.kind == "access":
            self._endpoint_changes.identities.add((key.namespace, key.name))

    def _drop(self, job: Job) -> None:
        self._memo.forget(job)
        self._stale.discard(job)
        self._problems.put(job, ())

    def _result(self, job: Job) -> Computed:
        self._stale.discard(job)
        known = self._memo.get(job)
        if known is not None:
            return known
        view = RecordingView(self._objects, self._index, self._trust_domain, self._reading)
        result = compute(view, job)
        self._memo.keep(job, result, tuple(view.keys))
        self._problems.put(job, result.problems)
        return result

    # ----------------------------------------------------------------------- workloads and endpoints

    def pop_endpoint_changes(self) -> EndpointChanges:
        """What changed since the last call: for `hub.endpoints.EndpointView`, its only caller."""
        self._process_changes()
        return self._endpoint_changes.pop_all()

    def placement(self, ref: ObjectRef) -> Placement | None:
        """Where one workload stands, None if it is not there."""
        found = self._profiles.workload(ref)
        if found is None:
            return None
        self._process_changes()
        result = self._result(UnitKey("access", ref.namespace, found.service_account, self._domain))
        if ref in result.placed:
            return result.placed[ref]
        return Placement(
            ref=ref,
            identity=Identity(self._trust_domain, ref.namespace, found.service_account),
            labels=found.labels,
            bind=found.bind,
            inbound=result.inbound[self._profiles.profile(ref)],
            addresses=found.addresses,
        )

    def inbound(self, namespace: str, account: str) -> Mapping[WorkloadProfile, Inbound]:
        """The inbound ports of each profile of an account's workloads."""
        self._process_changes()
        key = UnitKey("access", namespace, account, self._domain)
        return self._result(key).inbound if key in self._units else {}

    def named_workloads(self, namespace: str, account: str) -> frozenset[ObjectRef]:
        """The smihub.io Workloads of an account."""
        return frozenset(ref for ref, _ in self._index.members(("members", namespace, account)))

    def profile(self, ref: ObjectRef) -> WorkloadProfile:
        """The profile of a workload that is there."""
        return self._profiles.profile(ref)

    def workload(self, ref: ObjectRef) -> Workload | None:
        """A Pod, pod template or Workload."""
        return self._profiles.workload(ref)

    def service(self, ref: ObjectRef) -> Service | None:
        """A Service."""
        found = self._objects.get(ref)
        return found if isinstance(found, Service) else None

    def slice_(self, ref: ObjectRef) -> EndpointSlice | None:
        """An EndpointSlice."""
        return self._slices.get(ref)

    def slices_of(self, service: ObjectRef) -> frozenset[ObjectRef]:
        """The EndpointSlices of a Service."""
        return frozenset(self._index.members(("slices", service.namespace, service.name)))

    def services_of(self, ref: ObjectRef) -> Iterator[Service]:
        """The Services that select a workload."""
        for owner in self._index.members(("owners", self._profiles.profile(ref))):
            found = self.service(owner)
            if found is not None:
                yield found

    def template_samples(self, key: UnitKey) -> frozenset[ObjectRef]:
        """Of the pod templates of an access unit's account, one for each profile; of any other unit nothing."""
        if key.kind != "access":
            return frozenset()
        profiles = self._index.members(("profiles", key.namespace, key.name))
        return frozenset(
            min(self._profiles.workloads_of(profile)) for profile in profiles if profile.standing == "template"
        )

    def selected_workloads(self, service: ObjectRef) -> Iterator[ObjectRef]:
        """The workloads that a Service selects."""
        for profile in self._index.members(("selected", service)):
            yield from self._profiles.workloads_of(profile)

    def carriers(self, namespace: str, label: str, value: str) -> frozenset[ObjectRef]:
        """The workloads of a namespace that carry a label."""
        return self._profiles.carriers(namespace, label, value)

    def workloads_of(self, namespace: str, account: str) -> Iterator[ObjectRef]:
        """The workloads of an account."""
        for profile in self._index.members(("profiles", namespace, account)):
            yield from self._profiles.workloads_of(profile)
