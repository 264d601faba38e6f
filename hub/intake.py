"""Intake: what the sources say into the store, and what of them cannot be read, with the scope of what that may hide.

What cannot be read counts as it was when it was applied last (`recall`); the planner lets gains wait beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from ipaddress import ip_address

from msgspec.structs import replace

from hub.api import SourceContext
from hub.config.file import Config
from hub.config.own import placed, source_config
from hub.config.sources import SourceConfig
from hub.errors import SourceError
from hub.events import Delete, Event, Listed, NotOurs, ObjectSource, Unread, Upsert, lost
from hub.hints import hints
from hub.memory.recall import Missing, Part, file_of, hides, recalled
from hub.memory.states import RememberedInput
from hub.model import ObjectRef, Origin, Problem, Severity
from hub.plugins import Plugins
from hub.smi import Decoded, Unnamed, decode, is_smi
from hub.smi.types import Workload
from hub.sources.kustomize import Kustomizations
from hub.sources.overriding import Overrides, Overriding
from hub.sources.scalars import is_read_as
from hub.sources.unrelated import Unrelated
from hub.store import Store
from hub.store.problems import ProblemIndex


class Intake:
    """The sources of one domain, and the store of each cluster that they fill. `read` or `take` events, then `recall`.

    SMI objects are in every store, facts (Pods, Services, accounts, ...) in that of their source's cluster alone. Of a namespace
    that a source is the authority on, SMI objects of other sources do not count. `annotations` of Pods are read that have these names.
    """

    def __init__(
        self,
        written: Sequence[SourceConfig],
        sources: Mapping[str, ObjectSource],
        stores: Mapping[str, Store],
        overrides: Sequence[Overrides] = (),
        annotations: Collection[str] = (),
    ) -> None:
        self._decode = partial(decode, annotations=annotations)
        self.sources = sources
        self.missing: dict[str, Missing] = dict.fromkeys(stores, Missing())
        self._stores = stores
        self._cluster = {each.name: each.cluster for each in written}
        self._authority = {namespace: each.name for each in written for namespace in each.namespaces}
        self._unread: dict[Part, Problem] = {}
        self._ever_read: set[Part] = set()  # parts, and scopes, of which some content was read
        self._never_read: set[Part] = set()  # those that cannot be read, and never could by this process
        self._part_problems = ProblemIndex()  # found in parts and folders, and in no object that counts
        self._shown: dict[Problem, Problem] = {}  # a problem of clusters, as it was told by `changes`
        self._unused: set[Part] = set()
        self._broken: frozenset[ObjectRef] = frozenset()
        self._foreign: dict[Part, Problem] = {}  # cannot be read, and not ours by their looks: what is wrong with them
        self._unrelated = Unrelated()
        self._overriding = Overriding(overrides)
        self._kustomizations = Kustomizations()

    # ----------------------------------------------------------------------- events

    def read(self) -> None:
        """Read every source now; of several, one that cannot be used as a whole is unread. Raises SourceError if none can."""
        failed: dict[str, SourceError] = {}
        for name, source in self.sources.items():
            try:
                self.ingest(name, source.read())
            except Exception as error:  # noqa: BLE001 - whatever one raises, what the others revoke goes on
                why = f'source "{name}" cannot be read: {type(error).__name__}: {error}'
                failed[name] = error if isinstance(error, SourceError) else SourceError(why)
        if len(failed) == len(self.sources):
            raise next(iter(failed.values()))
        for name, lost_by in failed.items():
            self.ingest(name, [lost(name, lost_by)])

    def ingest(self, source: str, events: Iterable[Event]) -> None:
        """Follow what a source says."""
        for event in events:
            if isinstance(event, Unread):
                self._foreign.pop((source, event.part), None)
                self._unread[source, event.part] = event.problem
                if not self._was_read(source, event.part):
                    self._never_read.add((source, event.part))
            elif isinstance(event, Delete):
                self._empty(source, event.part)
            elif isinstance(event, NotOurs):
                self._empty(source, event.part)
                self._foreign[source, event.part] = event.problem
                self._unrelated.put(source, event.part, event.looks)
            elif isinstance(event, Upsert):
                self._fill(source, event.part, self._objects(source, event))
                self._mark_read(source, event.part)  # last: what reading it raises, it was not read
            else:
                self._mark_read(source, event.part if isinstance(event, Listed) else "")

    def _empty(self, source: str, part: str) -> None:
        """The part is gone, or holds nothing of ours."""
        self._fill(source, part, ())
        self._mark_read(source, part)
        self._ever_read.discard((source, part))
        self._unrelated.put(source, part, None)
        self._unrelated.count(source, part, ())
        self._overriding.put(source, part, ())
        self._kustomizations.put(source, part, (), ())

    def _objects(self, source: str, event: Upsert) -> tuple[Decoded, ...]:
        """What a part holds; of one without any object of ours, nothing is said of each document that has no kind."""
        decoded = tuple(map(self._decode, event.documents))
        namespaces = {each.ref.namespace for each in decoded if each.ref is not None}
        self._kustomizations.put(source, event.part, event.documents, namespaces)
        plain = all(each.unrelated for each in decoded)
        kindless = plain and any(problem.field for each in decoded for problem in each.problems)
        self._unrelated.count(source, event.part, [each.value for each in event.documents])
        self._overriding.put(source, event.part, event.documents)
        self._unrelated.put(source, event.part, "helm" if event.templates else "text" if kindless else None)
        return tuple(replace(each, problems=()) for each in decoded) if plain else decoded

    def _mark_read(self, source: str, part: str) -> None:
        self._foreign.pop((source, part), None)
        self._unread.pop((source, part), None)
        self._never_read.discard((source, part))
        self._ever_read.add((source, part))

    def _was_read(self, source: str, part: str) -> bool:
        """Whether this process has read the part, or knows what else there was in a scope around it."""
        around = ("", *(part[: at + 1] for at, letter in enumerate(part) if letter == "/"), part)
        return any((source, scope) in self._ever_read for scope in around) and not any(
            (source, scope) in self._never_read for scope in around
        )

    def _fill(self, source: str, part: str, decoded: Sequence[Decoded]) -> None:
        """Put what a part holds now into every store for which it counts."""
        kept, ignored = decoded, list[Decoded]()
        if self._authority:
            ignored = [each for each in decoded if self._is_not_authoritative(source, each.ref)]
            kept = [each for each in decoded if not self._is_not_authoritative(source, each.ref)]
        self._part_problems.put((source, part), tuple(map(self._not_authoritative, ignored)))
        cluster = self._cluster[source]
        for name, store in self._stores.items():
            store.upsert(source, part, kept if name == cluster else tuple(filter(_is_smi, kept)))
        if cluster not in self._stores and not all(map(_is_smi, kept)):
            self._unused.add((source, part))
        else:
            self._unused.discard((source, part))

    def _is_not_authoritative(self, source: str, ref: ObjectRef | None) -> bool:
        """Whether this is an SMI object in a namespace on which another source is the authority."""
        return ref is not None and is_smi(ref) and not self._counts(source, ref, "")

    def _counts(self, source: str, ref: ObjectRef, cluster: str) -> bool:
        """Whether an object counts in a cluster if it is read from this source."""
        return self._authority.get(ref.namespace, source) == source if is_smi(ref) else self._cluster[source] == cluster

    def _not_authoritative(self, decoded: Decoded) -> Problem:
        ref = decoded.ref
        assert ref is not None  # noqa: S101 - for mypy; `_is_not_authoritative` says so
        owner, origin = self._authority[ref.namespace], decoded.origin
        message = f'ignored: source "{owner}" is the authority on SMI objects in namespace "{ref.namespace}"'
        remedy = f'remove it, or move it to source "{owner}"'
        return Problem("object.not-authoritative", ref, "metadata.name", message, remedy, origin, Severity.WARNING)

    # ----------------------------------------------------------------------- what cannot be read

    @property
    def unread(self) -> frozenset[Part]:
        """The parts and scopes of sources that cannot be read now."""
        return frozenset(self._unread)

    @property
    def unread_problems(self) -> Mapping[Part, Problem]:
        """The same, and why."""
        return self._unread

    @property
    def foreign(self) -> frozenset[Part]:
        """The parts that cannot be read now, and hold nothing of ours unless something stands that came from them."""
        return frozenset(self._foreign)

    def claim(self, parts: Iterable[Part]) -> None:
        """Something stands that came from these parts: those that cannot be read are unread, whatever they look like."""
        for part in parts:
            if (problem := self._foreign.pop(part, None)) is not None:
                self._unread[part] = problem
                self._never_read.add(part)
                self._unrelated.put(*part, None)

    def rebuilt(self) -> dict[str, Problem]:
        """By file as it is remembered, what is told of a kustomization that changes its objects before they are deployed."""
        return {file_of(*part): problem for problem, parts in self._kustomizations.problems() for part in parts}

    def misses_facts(self, cluster: str) -> bool:
        """Whether one of them may hold facts of this cluster and was never read by this process: nobody knows what it held."""
        return any(part not in self._ever_read and self._cluster[part[0]] == cluster for part in self._unread)

    @property
    def doubtful(self) -> bool:
        """Whether anything may have to be recalled: a part that cannot be read, or an object that is broken."""
        return bool(self._unread or self._foreign or self.broken or self._unnamed())

    @property
    def incomplete(self) -> bool:
        """Whether some part of a source, or an object that was not given up, cannot be read now."""
        return bool(self._unread or self._broken)

    @property
    def broken(self) -> frozenset[ObjectRef]:
        """The objects that cannot be read as they are written, of any cluster."""
        return frozenset(ref for store in self._stores.values() for ref in store.broken())

    def _unnamed(self) -> frozenset[Unnamed]:
        return frozenset(each for store in self._stores.values() for each in store.unnamed())

    @property
    def unnamed(self) -> Callable[[ObjectRef], bool] | None:
        """Which objects may be those whose name is written without quotes, and is no text; None if there are none."""
        found = self._unnamed()
        return partial(_may_be_any, found) if found else None

    def recall(self, kept: Mapping[str, Mapping[ObjectRef, RememberedInput]], *, give_up: bool) -> frozenset[ObjectRef]:
        """Let what cannot be read count as it was applied last, given by cluster every object that its meshes remember.

        `give_up`: broken objects do not; those of which that lets go something are given back.
        """
        smi = {ref: one for each in kept.values() for ref, one in each.items() if is_smi(ref)}
        given_up = frozenset[ObjectRef]()
        for name, store in self._stores.items():
            given_up |= self._recall(name, store, {**smi, **kept.get(name, {})}, give_up=give_up)
        unnamed = self._unnamed()
        meant = (ref for each in self.missing.values() for ref in each.recalled if _may_be_any(unnamed, ref))
        self._broken = frozenset() if give_up else self.broken.union(meant)
        return given_up

    def _recall(
        self, name: str, store: Store, kept: Mapping[ObjectRef, RememberedInput], *, give_up: bool
    ) -> frozenset[ObjectRef]:
        unnamed = store.unnamed()
        broken = store.broken().union(ref for ref in kept if _may_be_any(unnamed, ref) and not store.readable(ref))
        found = recalled(kept, broken, partial(self._hidden, name), lambda ref: bool(store.readable(ref)))
        given_up = broken & found.keys() if give_up else frozenset()
        found = {ref: one for ref, one in found.items() if ref not in given_up}
        self.missing[name] = Missing(self.unread, found, give_up, self._ruled(name))
        store.recall({ref: one.object for ref, one in found.items()})
        return given_up

    def _ruled(self, cluster: str) -> frozenset[str]:
        """The namespaces of which nothing that counts in a cluster can be in what cannot be read."""
        unread = {source for source, _ in self._unread}
        if any(self._cluster[source] == cluster for source in unread):
            return frozenset()
        return frozenset(namespace for namespace, source in self._authority.items() if source not in unread)

    def _hidden(self, cluster: str, one: RememberedInput) -> bool:
        """Whether it was read from a part that this process could never read, and could be read again so that it counts.

        What a part held when it was read last is in the stores, and what it no longer held then is gone.
        """
        unread = [part for part in self._never_read if self._counts(part[0], one.object.ref, cluster)]
        return any(hides(unread, file) for file in one.files)

    # ----------------------------------------------------------------------- what is wrong

    def problems(self) -> tuple[Problem, ...]:
        """What is wrong with any object or file, with the line of the field where the file still says the same."""
        return self.located(self.found())

    def found(self) -> tuple[Problem, ...]:
        """The same with the line of the object, which is known without reading anything again."""
        of_objects = dict.fromkeys(problem for store in self._stores.values() for problem in store.problems())
        shown = (shown for problem in of_objects if (shown := self._where_found(problem)) is not None)
        every = {*self._unread.values(), *self._current_part_problems().all(), *shown}
        return tuple(sorted(every, key=_by_place))

    def changes(self) -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
        """What is wrong that was not at the last call, and what no longer is; costs what changed. What cannot be read is apart."""
        beside = self._current_part_problems()
        now, gone = set[Problem](), set[Problem]()
        for problem in beside.pop_changed():
            (now if problem in beside else gone).add(problem)
        for problem in {each for store in self._stores.values() for each in store.pop_changed_problems()}:
            before, after = self._shown.pop(problem, None), self._where_found(problem)
            if after is not None:
                self._shown[problem] = after
            if before != after:
                now |= {after} if after is not None else set()
                gone |= {before} if before is not None else set()
        return tuple(sorted(now, key=_by_place)), tuple(sorted(gone, key=_by_place))

    def _current_part_problems(self) -> ProblemIndex:
        self._part_problems.put("templates", tuple(self._unrelated.templates()))
        self._part_problems.put("overriding", tuple(self._overriding.problems()))
        self._part_problems.put("kustomizations", tuple(problem for problem, _ in self._kustomizations.problems()))
        return self._part_problems

    def _where_found(self, problem: Problem) -> Problem | None:
        """A problem of objects; one that not every cluster has names those that do, and one of none is none."""
        names = [name for name, store in self._stores.items() if store.has_problem(problem)]
        if not names or len(names) == len(self._stores):
            return problem if names else None
        return _in_clusters(problem, names)

    def warnings(self) -> tuple[Problem, ...]:
        """What may be meant otherwise: applications that listen past their sidecar, facts of which no mesh sees any, other files."""
        return self.located(
            (
                *self._by_cluster(_all_bypasses),
                *self._by_cluster(hints),
                *self._of_unused(),
                *self._unrelated.others(),
                *self._unrelated.rest(),
            )
        )

    def _by_cluster(self, found: Callable[[Store], Iterable[Problem]]) -> Iterator[Problem]:
        """Problems of every store; one that not every cluster has names those that do."""
        clusters: dict[Problem, list[str]] = {}
        for name, store in self._stores.items():
            for problem in found(store):
                clusters.setdefault(problem, []).append(name)
        for problem, names in clusters.items():
            yield problem if len(names) == len(self._stores) else _in_clusters(problem, names)

    def _of_unused(self) -> Iterator[Problem]:
        for source in sorted({source for source, _ in self._unused}):
            cluster = _quoted(self._cluster[source])
            message = f"only its SMI objects are used: no mesh has its cluster {cluster}"
            remedy = 'set "cluster" to that of a mesh, or remove the other objects'
            ref, origin = ObjectRef("", "Source", "", source), Origin(source)
            yield Problem("source.no-mesh", ref, "cluster", message, remedy, origin, Severity.WARNING)

    def located(self, problems: Iterable[Problem]) -> tuple[Problem, ...]:
        """These, sorted, each once, with the line of the field where the file still says the same."""
        found = tuple(problems)
        for source in self.sources.values():
            found = source.pinpoint(found)
        return tuple(sorted(set(found), key=_by_place))


def sources_of(config: Config, plugins: Plugins) -> dict[str, ObjectSource]:
    """Every source of a domain, by name; reads nothing. Raises ConfigError with file and line."""
    return {each.name: _opened(config, index, each, plugins) for index, each in enumerate(config.sources)}


def _opened(config: Config, index: int, written: SourceConfig, plugins: Plugins) -> ObjectSource:
    place = f"sources[{index}]"
    with placed(config, f"{place}.kind"):
        spec = plugins.source(written.kind)
    with placed(config, place):
        return spec.open(SourceContext(written.name, config.file), source_config(written, spec.config))


def _by_place(problem: Problem) -> tuple[str, str, int, Problem]:
    return (problem.origin.source, problem.origin.file, problem.origin.line, problem)


def _is_smi(decoded: Decoded) -> bool:
    return decoded.ref is not None and is_smi(decoded.ref)


def _in_clusters(problem: Problem, names: Iterable[str]) -> Problem:
    return replace(problem, message=f"{problem.message} (in cluster {', '.join(map(_quoted, names))})")


def _quoted(cluster: str) -> str:
    return f'"{cluster}"'


def _all_bypasses(store: Store) -> Iterator[Problem]:
    access = (key for key in store.units() if key.kind == "access")
    for ref in (ref for key in access for ref in store.named_workloads(key.namespace, key.name)):
        for problem in _bypasses(store.workload(ref)):
            yield from (replace(problem, origin=origin) for origin in store.origins(ref))


def _bypasses(workload: Workload | None) -> Iterator[Problem]:
    if workload is None:
        return
    for index, port in enumerate(workload.ports):
        if not ip_address(port.app_address).is_loopback:
            number, where = port.app_port or port.port, f"spec.ports[{index}].appAddress"
            message = f"the application listens on {port.app_address}:{number}, where callers can bypass its sidecar"
            remedy = "have it listen on 127.0.0.1, or block the port with a firewall"
            yield Problem("capture.bypass", workload.ref, where, message, remedy, severity=Severity.WARNING)


def _may_be_any(unnamed: Iterable[Unnamed], ref: ObjectRef) -> bool:
    """Whether one of these is what this object looks like if its name, or namespace, loses its quotes."""
    return any(
        (one.group, one.kind) == (ref.group, ref.kind)
        and is_read_as(ref.namespace, one.namespace)
        and is_read_as(ref.name, one.name)
        for one in unnamed
    )
