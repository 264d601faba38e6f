"""The hub: reads sources into the store, plans every mesh, and applies; the CLI and the running loop are both this.

Everything that decides is pure and elsewhere; here it is only joined.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial

from msgspec.structs import replace

from hub.api import Accepting, Evaluator
from hub.baselines import NOTHING_HELD, Holds, baselines_of
from hub.config.accepts import words
from hub.config.file import Config
from hub.contained import AbandonedError, contained
from hub.errors import SmihubError
from hub.intake import Intake, sources_of
from hub.memory.recall import RememberedInputIndex
from hub.memory.states import RememberedInput, stamped
from hub.meshes import Mesh, meshes_of
from hub.mirror import Mirror
from hub.model import NativeObject, ObjectRef, Observation, Problem, Unit, UnitKey
from hub.plan.changes import Desired
from hub.plan.guards import BLAST_RADIUS
from hub.plan.moved import Fingerprint
from hub.plan.plan import Plan, plan
from hub.plan.saved import CompiledUnit, MeshSetup, Setup, inputs_digest, settings_digest
from hub.planner import Reviewed
from hub.plugins import Plugins
from hub.reconcile.cluster import Cluster, await_each
from hub.reconcile.news import News
from hub.reconcile.partition import units_of
from hub.reconcile.remarks import beside, unseen, unused_accepts
from hub.reconcile.rollout import gaining_and_losing, gated_gaining_and_losing, prerequisites, roll_out
from hub.reconcile.window import Window
from hub.smi.types import EndpointSlice, Workload
from hub.spec import no_overrides
from hub.status.outcomes import Result
from hub.threads import run_in_thread

__all__ = ["Hub", "Reviewed"]


BROKEN = "broken-object"
"""The code by which what a broken object granted is let go."""
_UNSURE = frozenset(("stale", "failed", "bug"))
"""Results after which nobody can tell what stands: an answer may have been lost on its way."""


class Hub:
    """One domain: its sources, its clusters, its meshes. `read`, `plan`, `apply`, `close`."""

    def __init__(self, config: Config, plugins: Plugins, only: Collection[str] = ()) -> None:
        """Nothing is opened. Of the meshes those count that `only` names (nothing: all). Raises ConfigError."""
        self.config = config
        self._plugins, self._only = plugins, tuple(only)
        configured = meshes_of(config, plugins)
        self.meshes = tuple(mesh for mesh in configured if not only or mesh.name in only)
        # Of all meshes, not only of those asked for: what is remembered of a template is the same for each.
        labels = frozenset(one.label for mesh in configured for one in mesh.spec.excluded)
        annotations = frozenset(name for mesh in configured for name in mesh.spec.annotations(mesh.settings))
        self.clusters = {
            name: Cluster(config, [mesh for mesh in self.meshes if mesh.cluster == name], labels)
            for name in sorted({mesh.cluster for mesh in self.meshes})
        }
        stores = {name: cluster.store for name, cluster in self.clusters.items()}
        overrides = [one for mesh in self.meshes if (one := mesh.spec.overrides) is not no_overrides]
        self.intake = Intake(config.sources, sources_of(config, plugins), stores, overrides, annotations)
        self.clock: Callable[[], float] = time.time
        self.window = Window(config.state)
        self.deciding = asyncio.Lock()
        """Held by whoever reads or changes the stores; plans are made in a thread of their own."""
        self._kept: dict[str, tuple[Mirror, RememberedInputIndex]] = {}

    def unopened_copy(self) -> Hub:
        """The same hub again, with nothing opened."""
        return Hub(self.config, self._plugins, self._only)

    async def close(self) -> None:
        """End everything that was opened."""
        async with AsyncExitStack() as stack:
            for mesh in self.meshes:
                stack.push_async_callback(mesh.close)

    def read(self) -> None:
        """Read every source now; of several, one that cannot be used as a whole is unread. Raises SourceError if none can."""
        self.intake.read()

    def cluster(self, mesh: Mesh) -> Cluster:
        """The cluster of a mesh."""
        return self.clusters[mesh.cluster]

    def units(self) -> frozenset[UnitKey]:
        """All units of all clusters."""
        return frozenset(key for cluster in self.clusters.values() for key in cluster.store.units())

    def dirty(self) -> dict[str, frozenset[UnitKey]]:
        """By mesh, the units that came, went, or may compile to something else since the last call."""
        dirty = {name: cluster.store.dirty() for name, cluster in self.clusters.items()}
        return {mesh.name: dirty[mesh.cluster] for mesh in self.meshes}

    @property
    def has_changes(self) -> bool:
        """Whether `dirty` may give anything; may be asked without `deciding`."""
        return any(cluster.store.has_changes for cluster in self.clusters.values())

    # ----------------------------------------------------------------------- planning

    async def plan(
        self,
        mesh: Mesh,
        accept: Sequence[str] = (),
        keys: Iterable[UnitKey] | None = None,
        *,
        apart: bool = False,
    ) -> Reviewed:
        """Plan one mesh: these units, or (None) all that are there or ever were.

        While a part cannot be read they gain nothing; what they lose is planned. `apart`: of other meshes only those count that were observed already, so that none of them can hold this one up.
        """
        return self.window.with_approvals(await self._planned(mesh, accept, keys, apart=apart), self.clock())

    async def _planned(
        self,
        mesh: Mesh,
        accept: Sequence[str] = (),
        keys: Iterable[UnitKey] | None = None,
        holds: Holds = NOTHING_HELD,
        *,
        apart: bool = False,
    ) -> Reviewed:
        """The same, of which the window is told nothing: of a part of a plan that passes nobody learns whether all does."""
        keys = None if keys is None else {*keys}
        mirror = await mesh.observed()
        async with self.deciding:
            # Under the lock, since recalling changes the stores, which the planning thread then reads.
            lifted = await self.recall(accept, apart=apart)
            planner = self.cluster(mesh).planner
            now = self.clock()
            planner.since[mesh.name] = self.window.begins(mesh.name, now)
            accepted = sorted({*accept, *words(self.config.accept, mesh.name, now)})
            try:
                reviewed = await run_in_thread(
                    partial(planner.planned, mesh, mirror, accepted, keys, holds), mesh.calls.hanging
                )
            except AbandonedError:
                reviewed = None
        if reviewed is None:  # planned again without what hangs, once others had their turn
            return await self._planned(mesh, accept, keys, holds, apart=apart)
        return replace(reviewed, lifted=reviewed.lifted | lifted)

    async def recall(self, accept: Sequence[str] = (), *, apart: bool = False) -> frozenset[str]:
        """Let what cannot be read count as it was when it was applied last, in any mesh.

        Broken objects do not, if their code is accepted; that code is given back, if it made a difference. `apart`: see `plan`.
        """
        kept = await self._remembered(apart=apart) if self.intake.doubtful else {}
        given_up = self.intake.recall(kept, give_up=BROKEN in accept)
        rebuilt = self.intake.rebuilt()
        for name, cluster in self.clusters.items():
            cluster.planner.missing, cluster.planner.rebuilt = self.intake.missing[name], rebuilt
        return frozenset({BROKEN} if given_up else ())

    async def _remembered(self, *, apart: bool) -> dict[str, dict[ObjectRef, RememberedInput]]:
        """By cluster, what its meshes remember of what cannot be read; a mesh that cannot be read itself tells of nothing."""
        found: dict[str, dict[ObjectRef, RememberedInput]] = {name: {} for name in self.clusters}
        for mesh in self.meshes:
            if apart and mesh.mirror is None:
                continue
            try:
                mirror = await mesh.observed()
            except SmihubError:
                continue
            known = self._kept.get(mesh.name)
            if known is None or known[0] is not mirror:
                known = self._kept[mesh.name] = (
                    mirror,
                    await run_in_thread(partial(RememberedInputIndex, mirror.memory)),
                )
            self.intake.claim(part for part in sorted(self.intake.foreign) if known[1].knows(part))
            found[mesh.cluster] |= known[1].about(self.intake.broken, self.intake.unread, self.intake.unnamed)
        return found

    @property
    def may_be_ours(self) -> bool:
        """Whether a file that looks like somebody else's may be one of ours, for a mesh that was not read yet remembers it."""
        return bool(self.intake.foreign) and any(mesh.mirror is None for mesh in self.meshes)

    def foreseen(self, mesh: Mesh) -> Reviewed:
        """What of the sources a mesh would refuse in which nothing stands yet; reads and writes no state."""
        accepted = sorted(words(self.config.accept, mesh.name, self.clock()))
        return self.cluster(mesh).planner.planned(mesh, Mirror(Observation()), accepted)

    def remarks(self, reviewed: Sequence[Reviewed]) -> tuple[Problem, ...]:
        """What to tell beside these plans of the meshes: warnings of what is accepted for nothing, cannot be seen, or is others'."""
        told = {(each.code, each.ref, each.message) for each in self.intake.found()}
        found = (*unused_accepts(self.config, reviewed, self.clock()), *unseen(self.config, reviewed))
        return (
            *found,
            *(each for each in beside(self.config, reviewed) if (each.code, each.ref, each.message) not in told),
        )

    def desired(self, mesh: Mesh, mirror: Mirror, keys: Iterable[UnitKey] | None = None) -> dict[UnitKey, Desired]:
        """The units of a mesh as they should be (hub.planner)."""
        return self.cluster(mesh).planner.desired(mesh, mirror, keys)

    def render(self, mesh: Mesh) -> Plan:
        """What the sources mean now, as the plan for a mesh in which nothing stands; reads and writes no state."""
        return plan(mesh.name, self.desired(mesh, Mirror(Observation())), Observation(), mesh.spec.carry_over)

    def setup(self, smihub: str) -> Setup:
        """What a saved plan presumes of the configuration and of this smihub, which is of the given version."""
        written = sorted(self.config.meshes, key=lambda each: each.name)
        meshes = tuple(
            MeshSetup(
                each.name,
                each.adapter,
                (each.governed.mode, *each.governed.namespaces),
                settings_digest((each.config, each.sink, each.cluster)),
            )
            for each in written
        )
        domain = self.config.domain
        return Setup(smihub, domain.name, domain.trust_domain, self.config.reading, meshes)

    def inputs(self) -> str:
        """The digest of everything that governs, as it was read last (hub.plan.saved.inputs_digest)."""
        return settings_digest([(name, self._inputs(cluster)) for name, cluster in self.clusters.items()])

    def _inputs(self, cluster: Cluster) -> str:
        store = cluster.store
        compiled = ((key, store.compile(key)[0]) for key in sorted(store.units()))
        compiled_units = [
            CompiledUnit(key, unit, _files(cluster, key, unit)) for key, unit in compiled if unit is not None
        ]
        refs = sorted({ref for each in compiled_units for ref in each.unit.origins})
        objects = (found for ref in refs if (found := store.object(ref)) is not None)
        ruling = (found for found in objects if not isinstance(found, Workload | EndpointSlice))
        return inputs_digest(compiled_units, ruling, sorted(self.intake.unread))

    def fingerprints(self) -> tuple[Fingerprint, ...]:
        """The objects that the units are made from, as they were read last, sorted."""
        return tuple(sorted({one for cluster in self.clusters.values() for one in cluster.fingerprints()}))

    async def in_force(self) -> dict[str, Evaluator]:
        """What stands in each mesh, ready to judge requests; opens no mesh to which nothing was applied yet."""
        found = dict[str, Evaluator]()
        for mesh in self.meshes:
            if mesh.untouched:
                continue
            seen = (await mesh.observed()).whole().objects.values()
            natives = [
                NativeObject(one.ref, one.role, one.owned, (), one.needs) for one in seen if one.owner is not None
            ]
            if natives:
                endpoints = self.cluster(mesh).endpoints
                endpoints.update()
                found[mesh.name] = mesh.spec.evaluator(natives, endpoints.facts())
        return found

    # ----------------------------------------------------------------------- applying

    async def apply(
        self, mesh: Mesh, new_plan: Plan, accept: Sequence[str] = (), news: News | None = None
    ) -> dict[UnitKey, Result]:
        """Write a plan; what became of each of its units. Those of which there is `news` gain nothing more by it.

        Of a unit that could not be written to its end, what it loses is planned and written once more, without what it gains.
        Raises StaleError, with nothing written, if somebody else was faster; then plan again.
        """
        narrowed = frozenset[UnitKey]()
        if (
            new_plan.losing
            and isinstance(mesh.sink, Accepting)
            and (both := await _losing_behind_gains(mesh.sink, new_plan, await mesh.observed()))
        ):
            # First what these lose: their gains wait up to `ACCEPTED_S` for the mesh, and a revocation must not.
            narrowed = await self._narrow(mesh, both, accept, frozenset())
            reviewed = await self._planned(mesh, accept, units_of(new_plan), apart=True)
            if reviewed.whole:
                waiting = dict.fromkeys(units_of(new_plan), Result("waiting", reviewed.whole[0].message))
                return _with_narrowed(waiting, narrowed)
            new_plan = reviewed.plan
        new_plan = self._stamped(new_plan, accept)
        results, failed = await self._roll_out(mesh, new_plan, news)
        stopped = frozenset(key for key, each in results.items() if each.state != "written" and key.kind == "access")
        revoking = {*new_plan.losing, *(change.unit for change in new_plan.changes if change.after is None)}
        if stopped.intersection(revoking):
            narrowed |= await self._narrow(mesh, stopped, accept, failed)
        return _with_narrowed(results, narrowed)

    async def _narrow(
        self, mesh: Mesh, units: frozenset[UnitKey], accept: Sequence[str], failed: frozenset[ObjectRef]
    ) -> frozenset[UnitKey]:
        """Write what these units lose, given the objects that could not be written; those units of which all of that is."""
        keys = units | (baselines_of(mesh.spec, units) - mesh.busy)
        reviewed = await self._planned(mesh, accept, keys, Holds(units, failed), apart=True)
        if reviewed.whole:
            return frozenset()
        results, _ = await self._roll_out(mesh, self._stamped(reviewed.plan, accept))
        written = {key for key, each in results.items() if each.state == "written"}
        unwritten = {*reviewed.plan.losing} - written
        return units - unwritten - {*reviewed.plan.frozen}

    def _stamped(self, new_plan: Plan, accept: Sequence[str]) -> Plan:
        """The plan, after which is remembered that its losses were now; what somebody accepted is not counted again."""
        now = self.clock()
        if BLAST_RADIUS in {*accept, *words(self.config.accept, new_plan.mesh, now)} or not new_plan.losing:
            return new_plan
        at = int(now)
        memory = {key: stamped(raw, at) if key in new_plan.losing else raw for key, raw in new_plan.memory.items()}
        return replace(new_plan, memory=memory)

    async def _roll_out(
        self, mesh: Mesh, new_plan: Plan, news: News | None = None
    ) -> tuple[dict[UnitKey, Result], frozenset[ObjectRef]]:
        """Write a plan; what became of its units, and the objects that could not be written."""
        mirror = await mesh.observed()
        unclaimed = mirror.owner == "" and bool(self.config.owner) and not mirror.empty
        if not (new_plan.changes or new_plan.memory or unclaimed):
            return {}, frozenset()
        try:
            with mesh.writes(units_of(new_plan)), contained(SystemExit):
                done = await roll_out(mesh.sink, new_plan, mirror, news)
        except BaseException:
            # Also when it is cancelled: some of the objects may be written.
            mesh.invalidate_mirror(units_of(new_plan))
            raise
        mesh.wrote(done.written, done.memory, done.token)
        current, known = mesh.mirror, self._kept.get(mesh.name)
        if current is not None and current.owner is not None:
            current.owner = self.config.owner
        if known is not None and known[0] is current:
            known[1].follow(done.memory)
        unsure = [key for key, each in done.results.items() if each.state in _UNSURE]
        if mirror.mends or not done.whole or unsure:
            # What somebody else did there, or whether an object was written after all.
            mesh.invalidate_mirror([key for key in unsure if done.results[key].state != "stale"])
        return dict(done.results), done.failed

    async def withdraw(self) -> None:
        """Take endpoints that are gone out of service, before anything else of a change is written."""
        await await_each(
            cluster.withdraw(incomplete=self.intake.misses_facts(name)) for name, cluster in self.clusters.items()
        )

    async def publish(self) -> None:
        """Hand endpoints to the meshes that serve them, unless a part is missing that may hold some of them."""
        await await_each(
            cluster.publish(incomplete=self.intake.misses_facts(name)) for name, cluster in self.clusters.items()
        )


async def _losing_behind_gains(sink: Accepting, new_plan: Plan, mirror: Mirror) -> frozenset[UnitKey]:
    """The units that lose, and also gain by what the mesh has not taken yet: what they lose does not wait for that."""
    needing = prerequisites(new_plan, gaining_and_losing(new_plan), mirror)
    late = await sink.unaccepted(sorted(needing), 0.0) if needing else ()
    return gated_gaining_and_losing(new_plan).union(*(needing[one.ref] for one in late))


def _with_narrowed(results: Mapping[UnitKey, Result], narrowed: frozenset[UnitKey]) -> dict[UnitKey, Result]:
    """These results, with what was written of units that stopped all the same."""
    stopped = {key for key in narrowed & results.keys() if results[key].state != "written"}
    return {**results, **{key: replace(results[key], narrowed=True) for key in stopped}}


def _files(cluster: Cluster, key: UnitKey, unit: Unit) -> tuple[str, ...]:
    return tuple(sorted({file for kept in cluster.planner.inputs_of(key, unit) for file in kept.files}))
