"""The hub: reads sources into the store, plans every mesh, and applies; the CLI and the running loop are both this.

Everything that decides is pure and elsewhere; here it is only joined.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from ipaddress import ip_address
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from hub.aside import aside
from hub.binding import unbound
from hub.config import Config, load_config
from hub.endpoints import EndpointView
from hub.errors import ConfigError
from hub.guards import Refusal, refusals
from hub.meshes import Mesh, meshes_of
from hub.mirror import Mirror
from hub.model import Access, Endpoint, Facts, Identity, Observation, Problem, Severity, Unit, UnitKey
from hub.plan import Desired, Plan, in_pieces, lines_of, narrowed, plan, remembered
from hub.plugins import Plugins, load_plugins
from hub.saved import Made, MeshSetup, Setup, inputs_digest, settings_digest
from hub.smi import decode
from hub.smi.types import EndpointSlice, Workload
from hub.sources.directory import DirectorySource
from hub.sources.events import Delete, Event, Unread, Upsert
from hub.store import Store


class Reviewed(Struct, frozen=True):
    """A plan, the mesh that it is for, what refuses it, and the codes that would have if they were not accepted."""

    mesh: Mesh
    plan: Plan
    refusals: tuple[Refusal, ...]
    lifted: frozenset[str] = frozenset()


class Hub:
    """One domain: its sources, its store, its meshes. Open it, `read`, `plan`, `apply`, `close`."""

    def __init__(self, config: Config, plugins: Plugins) -> None:
        self.config = config
        self.store = Store(config.domain.trust_domain, config.reading, config.domain.name)
        self.endpoints = EndpointView(self.store)
        self.sources = {each.name: DirectorySource(each.name, each.path, skip=config.file) for each in config.sources}
        self.meshes = meshes_of(config, plugins)
        self._unread: dict[tuple[str, str], Problem] = {}
        self._held: set[tuple[str, str]] = set()
        self._stale_endpoints = True
        self._published: Mapping[tuple[str, str, int], tuple[Endpoint, ...]] = {}

    @classmethod
    def open(cls, config: Path) -> Hub:
        """Read the configuration and load the adapters that it names; opens no mesh and no source. Raises ConfigError."""
        return cls(load_config(config), load_plugins())

    async def close(self) -> None:
        """End everything that was opened."""
        for mesh in self.meshes:
            await mesh.close()

    def mesh(self, name: str) -> Mesh:
        """The mesh of this name. Raises ConfigError that names those there are."""
        found = [mesh for mesh in self.meshes if mesh.name == name]
        if not found:
            raise ConfigError(f'there is no mesh "{name}"; name one of {", ".join(mesh.name for mesh in self.meshes)}')
        return found[0]

    # ----------------------------------------------------------------------- sources

    def read(self) -> None:
        """Read every source now. Raises SourceError if one cannot be used as a whole."""
        for name, source in self.sources.items():
            self.take(name, source.read())

    def take(self, source: str, events: Iterable[Event]) -> None:
        """Follow what a source says."""
        for event in events:
            if isinstance(event, Upsert):
                self._unread.pop((source, event.part), None)
                self._held.add((source, event.part))
                self.store.upsert(source, event.part, [decode(document) for document in event.documents])
            elif isinstance(event, Delete):
                self._unread.pop((source, event.part), None)
                self._held.discard((source, event.part))
                self.store.remove(source, event.part)
            elif isinstance(event, Unread):
                self._unread[source, event.part] = event.problem
            else:
                self._unread.pop((source, ""), None)
                self._held.add((source, ""))

    @property
    def blind(self) -> bool:
        """Whether a part exists of which not even an older content is known to this process."""
        return any(part not in self._held for part in self._unread)

    def problems(self) -> tuple[Problem, ...]:
        """What is wrong with any object or file, with the line of the field where the file still says the same."""
        return self._located((*self._unread.values(), *self.store.problems()))

    def warnings(self) -> tuple[Problem, ...]:
        """Ways past the mesh that the documents show: applications that listen where others can reach them."""
        access = (key for key in self.store.units() if key.kind == "access")
        workloads = (ref for key in access for ref in self.store.named(key.namespace, key.name))
        return self._located(
            replace(problem, origin=origin)
            for ref in workloads
            for problem in _bypasses(self.store.workload(ref))
            for origin in self.store.origins(ref)
        )

    def _located(self, problems: Iterable[Problem]) -> tuple[Problem, ...]:
        found = tuple(problems)
        for source in self.sources.values():
            found = source.pinpoint(found)
        return tuple(sorted(set(found), key=_by_place))

    @property
    def unread(self) -> bool:
        """Whether some part of a source cannot be read now."""
        return bool(self._unread)

    def units(self) -> frozenset[UnitKey]:
        """All units."""
        return self.store.units()

    # ----------------------------------------------------------------------- planning

    async def plan(
        self,
        mesh: Mesh,
        accept: Sequence[str] = (),
        keys: Iterable[UnitKey] | None = None,
        withhold: frozenset[UnitKey] = frozenset(),
    ) -> Reviewed:
        """Plan one mesh: these units, or (None) all that are there or ever were.

        Units in `withhold`, and all while a part cannot be read, gain nothing; what they lose is planned.
        """
        mirror = await mesh.observed()
        return await aside(partial(self.planned, mesh, mirror, accept, keys, withhold))

    def planned(
        self,
        mesh: Mesh,
        mirror: Mirror,
        accept: Sequence[str] = (),
        keys: Iterable[UnitKey] | None = None,
        withhold: frozenset[UnitKey] = frozenset(),
    ) -> Reviewed:
        """The same by what is known to stand in the mesh."""
        desired = self.desired(mesh, mirror, keys)
        wanted = desired.keys()
        natives = (native for unit in desired.values() for native in unit.translation.objects)
        observation = mirror.restrict(wanted, natives)
        frozen = self._frozen(desired, observation)
        asked = desired.keys() if self._unread else withhold & desired.keys()
        held = _gaining({key: desired[key] for key in asked}, observation) - frozen
        desired |= {key: self._narrowed(mesh, desired[key], observation.memory.get(key)) for key in held}
        made = plan(mesh.name, desired, observation, mesh.spec.settle, frozen)
        governed = max(mirror.governed, made.governed)
        made = replace(
            made, governed=governed, first=mirror.empty, frozen=tuple(sorted(frozen)), held=tuple(sorted(held))
        )
        return self._reviewed(mesh, made if mesh.order == "revision" else in_pieces(made), accept, wanted)

    def _reviewed(self, mesh: Mesh, made: Plan, accept: Sequence[str], keys: Iterable[UnitKey]) -> Reviewed:
        open_pods = self._unbound(mesh, keys)
        accepted = {*self.config.accept, *accept}
        unlifted = (*refusals(made, self.config.guards, ()), *open_pods)
        refused = refusals(made, self.config.guards, accepted)
        refused += tuple(each for each in open_pods if each.code not in accepted)
        return Reviewed(mesh, made, refused, frozenset(each.code for each in {*unlifted} - {*refused}))

    def _unbound(self, mesh: Mesh, keys: Iterable[UnitKey]) -> tuple[Refusal, ...]:
        """What keeps a mesh that selects Pods by label from protecting these identities."""
        if not mesh.spec.selects_by:
            return ()
        return tuple(each for key in sorted(keys) if key.kind == "access" for each in unbound(self.store, key))

    def _governed(self, mesh: Mesh, mirror: Mirror, key: UnitKey) -> bool:
        """Whether the mesh governs a unit: by what the sources say now, or because it did before."""
        return mirror.holds(key) or mesh.governs(key, self.store.compile(key)[0])

    def desired(self, mesh: Mesh, mirror: Mirror, keys: Iterable[UnitKey] | None = None) -> dict[UnitKey, Desired]:
        """The units of a mesh as they should be: these, or (None) all that are there or ever were; only governed ones."""
        asked = self.store.units() | mirror.units if keys is None else keys
        return {key: self._desired(mesh, key) for key in sorted(asked) if self._governed(mesh, mirror, key)}

    def render(self, mesh: Mesh) -> Plan:
        """What the sources mean now, as the plan for a mesh in which nothing stands; reads and writes no state."""
        return plan(mesh.name, self.desired(mesh, Mirror(Observation())), Observation(), mesh.spec.settle)

    def setup(self, smihub: str) -> Setup:
        """What a saved plan presumes of the configuration and of this smihub, which is of the given version."""
        written = sorted(self.config.meshes, key=lambda each: each.name)
        meshes = tuple(
            MeshSetup(
                each.name,
                each.adapter,
                (each.governed.mode, *each.governed.namespaces),
                settings_digest((each.config, each.sink)),
            )
            for each in written
        )
        domain = self.config.domain
        return Setup(smihub, domain.name, domain.trust_domain, self.config.reading, meshes)

    def inputs(self) -> str:
        """The digest of everything that governs, as it was read last (hub.saved.inputs_digest)."""
        compiled = ((key, self.store.compile(key)[0]) for key in sorted(self.store.units()))
        made = [Made(key, unit, self._files(unit)) for key, unit in compiled if unit is not None]
        refs = sorted({ref for each in made for ref in each.unit.origins})
        objects = (found for ref in refs if (found := self.store.object(ref)) is not None)
        ruling = (found for found in objects if not isinstance(found, Workload | EndpointSlice))
        return inputs_digest(made, ruling, sorted(self._unread))

    def _desired(self, mesh: Mesh, key: UnitKey) -> Desired:
        unit = self.store.compile(key)[0]
        if unit is None and key.kind == "access":
            # Governed once, governed until released: nothing is granted, and that is said.
            unit = Access(Identity(self.store.trust_domain, key.namespace, key.name))
        if unit is None:
            return Desired(None)
        return Desired(unit, mesh.spec.translate(unit, mesh.settings), self._files(unit))

    def _narrowed(self, mesh: Mesh, desired: Desired, memory: bytes | None) -> Desired:
        """The unit without what it would gain over what is remembered of it."""
        if not isinstance(desired.unit, Access):
            return desired
        unit = narrowed(desired.unit, frozenset(remembered(memory).lines))
        return replace(desired, unit=unit, translation=mesh.spec.translate(unit, mesh.settings))

    def _files(self, unit: Unit) -> tuple[str, ...]:
        origins = {origin for ref in unit.origins for origin in self.store.origins(ref)}
        return tuple(sorted({_file(origin.source, origin.file) for origin in origins}))

    def _frozen(self, desired: Mapping[UnitKey, Desired], observation: Observation) -> frozenset[UnitKey]:
        """Units that were, or would be, made from a part that cannot be read now."""
        if not self._unread:
            return frozenset()
        files = {_file(source, part) for source, part in self._unread if part}
        whole = tuple(_file(source, "") for source, part in self._unread if not part)
        return frozenset(
            key
            for key, unit in desired.items()
            for file in (*unit.files, *remembered(observation.memory.get(key)).files)
            if file in files or file.startswith(whole)
        )

    # ----------------------------------------------------------------------- applying

    async def apply(self, mesh: Mesh, made: Plan) -> None:
        """Write a plan. Raises StaleError, with nothing written, if somebody else was faster; then plan again."""
        mirror = await mesh.observed()
        if not made.changes and not made.memory:
            return
        try:
            token = await mesh.sink.write(made.changes, made.memory, made.token)
        except BaseException:
            mesh.mirror = None
            raise
        mirror.follow(made.changes, made.memory, token)

    async def withdraw(self) -> None:
        """Take endpoints that are gone out of service, before anything else of a change is written.

        So nobody is still sent to a workload whose listeners end with the change.
        """
        touched = self.endpoints.update()
        self._stale_endpoints |= bool(touched)
        if self.blind or not touched:
            return
        now, before = self.endpoints.serving(), self._published
        kept = {
            place: tuple(e for e in before.get(place, ()) if e in now.endpoints.get(place, ())) for place in touched
        }
        if any(kept[place] != before.get(place, ()) for place in touched):
            await self._hand_over(replace(now, endpoints={**before, **kept}))

    async def publish(self) -> None:
        """Hand endpoints to the meshes that serve them, unless a part is missing that may hold some of them."""
        touched = self.endpoints.update()
        self._stale_endpoints |= bool(touched)
        if self.blind or not self._stale_endpoints:
            return
        await self._hand_over(self.endpoints.serving())
        self._stale_endpoints = False

    async def _hand_over(self, facts: Facts) -> None:
        for live in (mesh.live for mesh in self.meshes):
            if live is not None:
                await live.publish(facts)
        self._published = facts.endpoints


def _gaining(desired: Mapping[UnitKey, Desired], observation: Observation) -> frozenset[UnitKey]:
    """Access units that would allow more than before: an unread part might say that they must not."""
    return frozenset(
        key
        for key, unit in desired.items()
        if key.kind == "access" and set(lines_of(unit.unit)) - set(remembered(observation.memory.get(key)).lines)
    )


def _file(source: str, part: str) -> str:
    return f"{source}:{part}"


def _by_place(problem: Problem) -> tuple[str, str, int, Problem]:
    return (problem.origin.source, problem.origin.file, problem.origin.line, problem)


def _bypasses(workload: Workload | None) -> Iterator[Problem]:
    if workload is None:
        return
    for index, port in enumerate(workload.ports):
        if not ip_address(port.app_address).is_loopback:
            number, where = port.app_port or port.port, f"spec.ports[{index}].appAddress"
            message = f"the application listens on {port.app_address}, port {number}, past its sidecar"
            remedy = "let it listen on 127.0.0.1, or close the port to the network by a firewall"
            yield Problem("capture.bypass", workload.ref, where, message, remedy, severity=Severity.WARNING)
