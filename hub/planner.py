"""Planner: what has to change in a mesh, given what its sources say, what of them cannot be read, and what stands.

Pure. A loss never waits; a gain waits while anything is unread that may hide what it rests on, while an object behind its unit is
broken, and while a Loss of the unit is not accepted. While it waits the unit is cut down to what it permitted before as well (hub.narrower).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from math import inf

from msgspec import Struct
from msgspec.structs import replace

from hub.api import stateless
from hub.baselines import NOTHING_HELD, Holds, baselines_of, beside_baselines, covers
from hub.binding import rebuilt, unprotected
from hub.config.file import Config
from hub.faults import Faults, blamed, carried_over, narrowest, with_unenforced
from hub.memory.recall import Missing, files_of, hides, placeless
from hub.memory.states import RememberedInput, decode
from hub.meshes import Mesh
from hub.mirror import Mirror
from hub.model import Access, Identity, ObjectRef, Observation, Problem, Unit, UnitKey
from hub.narrower import Narrower, broken, differs, refs_behind
from hub.plan.changes import Constraints, Desired, by_unit, conflicts_of
from hub.plan.conditions import Decided
from hub.plan.guards import Refusal, of_blast_radius, of_conflicts, of_faults, of_losses, of_owner, unaccepted
from hub.plan.plan import Plan, claimed_states, grantless_states, known_states, plan, with_non_atomic_units
from hub.readings import changed_readings, reading_words
from hub.smi import is_smi
from hub.store import Store


class Reviewed(Struct, frozen=True):
    """A plan, the mesh that it is for, what refuses it or parts of it, and the words that lifted what would have.

    `decided` are its units and their causes. `faults` are the units on which the adapter raised, with what it raised.
    """

    mesh: Mesh
    plan: Plan
    refusals: tuple[Refusal, ...]
    lifted: frozenset[str] = frozenset()
    decided: Decided = Decided()
    faults: tuple[tuple[UnitKey, BaseException], ...] = ()

    @property
    def whole(self) -> tuple[Refusal, ...]:
        """What refuses the plan as a whole; anything else holds the gains of single units, which are not in the plan."""
        return tuple(each for each in self.refusals if each.unit is None)

    @property
    def refused(self) -> frozenset[UnitKey]:
        """The units whose gains are refused."""
        return frozenset(each.unit for each in self.refusals if each.unit is not None)


class Planner:
    """Plans the meshes of one domain; `missing` is what cannot be read now.

    `rebuilt` are the files of which objects are deployed otherwise than written, with what is told of that. `since` is by mesh from when on losses count for the blast radius.
    """

    def __init__(self, config: Config, store: Store) -> None:
        self.missing = Missing()
        self.rebuilt: Mapping[str, Problem] = {}
        self.since: dict[str, float] = {}
        self._config = config
        self._store = store

    def planned(
        self,
        mesh: Mesh,
        mirror: Mirror,
        accept: Sequence[str] = (),
        keys: Iterable[UnitKey] | None = None,
        holds: Holds = NOTHING_HELD,
    ) -> Reviewed:
        """Plan these units, or (None) all that are there or ever were; `accept` are words (hub.config.accepts).

        A unit with a conflict, a Loss or an open Pod that nobody accepted, or on which its adapter fails, gains nothing.
        """
        refused = tuple(of_owner(mirror.owner, self._config.owner))
        if refused:
            return Reviewed(mesh, Plan(mesh.name, mirror.token), refused)
        faults = Faults()
        desired = self._desired_of(mesh, mirror, keys, faults)
        natives = (native for unit in desired.values() for native in unit.translation.objects)
        observation = mirror.restrict(desired, natives)
        refusals = [*self._unbound(mesh, desired), *of_conflicts(conflicts_of(desired, observation.objects))]
        refusals += changed_readings(self._store, observation.memory, desired)
        refusals += [*of_losses(loss for unit in desired.values() for loss in unit.translation.losses)]
        accepted = frozenset(accept)
        refused_units = {one.unit for one in unaccepted(refusals, accepted) if one.unit is not None}
        holds = beside_baselines(mesh.spec, desired, mirror, holds.also(refused_units | faults.found.keys()))
        decision = self._withhold_gains(mesh, mirror, _PlanInput(desired, observation, holds), faults)
        draft = with_unenforced(self._plan_of(mesh, mirror, decision, faults), mesh, self._store, keys, faults)
        recent = mirror.lost_since(self.since.get(mesh.name, inf)) if draft.losing else ()
        refusals += of_faults(faults.found.items(), mesh.spec.name)
        refusals += of_blast_radius(draft, self._config.guards, recent)
        refused = unaccepted(refusals, accepted)
        lifted = frozenset[str]().union(*(each.lifted_by(accepted) for each in refusals))
        paused_units = frozenset(owner for ref in draft.paused if (owner := decision.observation.objects[ref].owner))
        decided = self._decided(desired, paused_units, whole=keys is None)
        return Reviewed(mesh, draft, refused, lifted, decided, tuple(faults.found.items()))

    def _withhold_gains(self, mesh: Mesh, mirror: Mirror, proposed: _PlanInput, faults: Faults) -> _Decision:
        """Take from the units what has to wait."""
        desired, observation, withhold = proposed.desired, proposed.observation, proposed.holds.withhold
        waiting = frozenset(self._waiting(desired, observation, withhold))
        doubted = self._doubted(desired)
        standing, memory = by_unit(observation.objects) if waiting or doubted else {}, observation.memory
        states = {key: known_states(memory.get(key), standing.get(key, {})) for key in sorted(waiting | doubted)}
        if not self.missing.unread and not self.missing.recalled:
            # All can be read, so that nothing of what is wanted is wider; only what is new waits for somebody's word.
            asked = [key for key, known in states.items() if known is None and key not in doubted]
            states |= {
                key: claimed_states(key, observation) or grantless_states(standing.get(key, {})) for key in asked
            }
        unproven = {key for key, known in states.items() if known is None}
        frozen = self._frozen(mesh, desired, observation, unproven, faults)
        # A route grants nothing that could be taken out of it, so while something of it waits it stays as it stands.
        frozen |= {key for key in withhold if key.kind == "route" and key in desired}
        narrower, narrowed = Narrower(self._store, self.missing), dict[UnitKey, Desired]()
        for key, known in states.items():
            with faults.of(key):
                if known is not None:
                    narrow = narrower.to_states if key in waiting else narrower.to_certain
                    narrowed[key] = narrow(mesh, desired[key], known)
                elif key not in frozen:
                    narrowed[key] = narrower.to_what_stands(mesh, key, desired[key], standing.get(key, {}))
        stuck = {key for key in faults.found if key not in narrowed or narrowed[key] is desired[key]}
        unproven = {key for key in unproven & narrowed.keys() if narrowed[key] is not desired[key]} - stuck
        held = {key for key, unit in narrowed.items() if key in unproven or unit.standing != desired[key].standing}
        decided = {**desired, **narrowed}
        if narrowed:
            # Cut down, a unit may need other objects than in full.
            natives = (native for unit in decided.values() for native in unit.translation.objects)
            observation = mirror.restrict(decided, natives)
        constraints = Constraints(frozen | stuck, proposed.holds.lacking, frozenset(unproven))
        return _Decision(desired, decided, observation, constraints, frozenset(held - stuck))

    def _plan_of(self, mesh: Mesh, mirror: Mirror, decision: _Decision, faults: Faults) -> Plan:
        decided, final = decision.decided, carried_over(mesh, decision.decided, decision.observation, faults)
        narrow = partial(narrowest, mesh, faults)
        frozen = decision.constraints.frozen | (decided.keys() - final.keys())
        constraints = replace(decision.constraints, frozen=frozen, narrowest=narrow, new_first=mesh.spec.new_first)
        draft = plan(mesh.name, {**decided, **final}, decision.observation, stateless, constraints)
        # Pods that nothing governed before were open; a sidecar on a VM that is not configured lets nobody in.
        shut = draft.governs if mesh.spec.selects_by and not mirror.empty else ()
        draft = replace(
            draft,
            losing=(*draft.losing, *shut),
            losses=tuple(sorted(loss for unit in decision.desired.values() for loss in unit.translation.losses)),
            governed=max(mirror.governed, draft.governed),
            first=mirror.empty,
            held=tuple(sorted(decision.held)),
            recalled=tuple(sorted({ref for key in decision.desired for ref in broken(self._store, self.missing, key)})),
        )
        return draft if mesh.order == "revision" else with_non_atomic_units(draft)

    def _decided(self, desired: Mapping[UnitKey, Desired], paused: frozenset[UnitKey], *, whole: bool) -> Decided:
        """The units with the objects behind them, and what is wrong with them."""
        units = {key: None if one.unit is None else one.unit.origins for key, one in desired.items()}
        refs = {ref for origins in units.values() for ref in origins or ()}
        places = {ref: found[0] for ref in refs if (found := self._store.origins(ref))}
        problems = {key: wrong for key in units if (wrong := self._store.compile(key)[1])}
        return Decided(units, places, problems, paused, whole)

    def _unbound(self, mesh: Mesh, keys: Iterable[UnitKey]) -> tuple[Refusal, ...]:
        """What keeps a mesh that goes by the labels or annotations of Pods from protecting these identities."""
        label, ask, without = mesh.spec.selects_by, mesh.spec.annotations(mesh.settings), mesh.spec.excluded
        keys = sorted(key for key in keys if key.kind == "access" and (label or ask or without))
        found = ((unprotected(self._store, key, label, ask, without), self._rebuilt(key)) for key in keys)
        return tuple(each for pair in found for refusals in pair for each in refusals)

    def _rebuilt(self, key: UnitKey) -> Iterator[Refusal]:
        """A refusal for an identity whose real Pods are not those that the sources show."""
        if not self.rebuilt:
            return
        refs = {
            *refs_behind(self._store, key, self._store.compile(key)[0]),
            *self._store.workloads_of(key.namespace, key.name),
        }
        files = {file for ref in refs for file in self._files(ref)} & self.rebuilt.keys()
        for file in sorted(files)[:1]:
            yield rebuilt(file, self.rebuilt[file], key)

    # ----------------------------------------------------------------------- what is wanted

    def desired(self, mesh: Mesh, mirror: Mirror, keys: Iterable[UnitKey] | None = None) -> dict[UnitKey, Desired]:
        """The units of a mesh as they should be: these, or (None) all there are or ever were; only governed ones. Raises AdapterError."""
        return self._desired_of(mesh, mirror, keys, None)

    def _desired_of(
        self, mesh: Mesh, mirror: Mirror, keys: Iterable[UnitKey] | None, faults: Faults | None
    ) -> dict[UnitKey, Desired]:
        """The same; where faults are collected, a unit that raises is noted, and has no objects."""
        asked = {*(self._store.units() | mirror.units if keys is None else keys)}
        baselines = {key for key in asked if key.kind == "baseline"}
        asked -= baselines
        desired = dict[UnitKey, Desired]()
        for key in sorted(asked):
            with blamed(mesh.spec.name, key) if faults is None else faults.of(key):
                unit = self._store.compile(key)[0]
                # By what the sources say now, or because it was before.
                if mirror.holds(key) or mesh.governs(key, unit):
                    desired[key] = Desired(self._or_deny_all(key, unit))
                    desired[key] = self._translated(mesh, key, desired[key].unit)
        for key in sorted(baselines | (baselines_of(mesh.spec, asked) if keys is None else frozenset())):
            with blamed(mesh.spec.name, key) if faults is None else faults.of(key):
                skeleton = mesh.baseline(key) if self._needs_baseline(mesh, mirror, key, desired) else None
                if skeleton is not None or mirror.holds(key):
                    desired[key] = self._translated(mesh, key, skeleton)
        return desired

    def _needs_baseline(
        self, mesh: Mesh, mirror: Mirror, baseline: UnitKey, desired: Mapping[UnitKey, Desired]
    ) -> bool:
        """Whether anything in the scope of a baseline is governed, or nobody can tell. Looks far only where it seems to go."""
        mine = {key: each.unit for key, each in desired.items() if covers(baseline, key)}
        if any(unit is not None for unit in mine.values()) or (self.missing.unread and mirror.holds(baseline)):
            return True
        going = sum(not mirror.has_paused(key) for key in mine)
        if mirror.held_in(baseline) > going or any(covers(baseline, key) for key in mesh.busy - mine.keys()):
            return True
        others = (key for key in self._store.units() - mine.keys() if covers(baseline, key))
        return any(mesh.governs(key, self._store.compile(key)[0]) for key in others)

    def _or_deny_all(self, key: UnitKey, unit: Unit | None) -> Unit | None:
        if unit is None and key.kind == "access":
            # Governed once, governed until released: nothing is granted, and that is said.
            return Access(Identity(self._store.trust_domain, key.namespace, key.name))
        return unit

    def _translated(self, mesh: Mesh, key: UnitKey, unit: Unit | None) -> Desired:
        if unit is None:
            return Desired(None)
        words = reading_words(key, self._store.reading)
        return Desired(unit, mesh.translate(key, unit), self.inputs_of(key, unit), words)

    def inputs_of(self, key: UnitKey, unit: Unit) -> tuple[RememberedInput, ...]:
        """The objects that a unit rests on, as they count now, with their files; of equal pod templates one.

        A Service is kept by its own route alone, for there is one for each.
        """
        own = ObjectRef("", "Service", key.namespace, key.name) if key.kind == "route" else None
        refs = (
            ref
            for ref in sorted(refs_behind(self._store, key, unit))
            if (ref.group, ref.kind) != ("", "Service") or ref == own
        )
        found = ((ref, self._store.object(ref)) for ref in refs)
        return tuple(RememberedInput(placeless(each), self._files(ref)) for ref, each in found if each is not None)

    def _files(self, ref: ObjectRef) -> tuple[str, ...]:
        if ref in self.missing.recalled:
            return self.missing.recalled[ref].files
        return files_of(self._store.parts(ref))

    # ----------------------------------------------------------------------- what has to wait

    def _waiting(
        self, desired: Mapping[UnitKey, Desired], observation: Observation, withhold: frozenset[UnitKey]
    ) -> list[UnitKey]:
        """Access units that may gain nothing now."""
        access = {key for key in desired if key.kind == "access"}
        hidden = {key for key in access if self._may_be_hidden(key, desired[key].unit)} | (access & withhold)
        past = {key for key in access if broken(self._store, self.missing, key) or self._was_broken(observation, key)}
        return sorted(hidden | past)

    def _may_be_hidden(self, key: UnitKey, unit: Unit | None) -> bool:
        """Whether what cannot be read may hold another copy of what this unit rests on, or more of its namespace.

        TrafficTargets and routes are of the receiver's namespace, IdentityBindings of whichever the unit names.
        """
        origins = unit.origins if unit is not None else ()
        return self.missing.may_hide({key.namespace, *(ref.namespace for ref in origins if is_smi(ref))})

    def _doubted(self, desired: Mapping[UnitKey, Desired]) -> frozenset[UnitKey]:
        """Units of which some port's protocol is not known, because something else than what they rest on cannot be read."""
        if self.missing.given_up:
            return frozenset()
        return frozenset(key for key, one in desired.items() if isinstance(one.unit, Access) and one.unit.doubts)

    def _was_broken(self, observation: Observation, key: UnitKey) -> bool:
        """Whether the unit rested on such an object when it was applied."""
        past = decode(observation.memory.get(key)) if self.missing.recalled else None
        return past is not None and any(each.object.ref in self.missing.recalled for each in past.kept)

    def _frozen(
        self,
        mesh: Mesh,
        desired: Mapping[UnitKey, Desired],
        observation: Observation,
        unproven: Iterable[UnitKey],
        faults: Faults,
    ) -> frozenset[UnitKey]:
        """Units that stay as they stand: nobody can tell which grants, or routes, rested on what cannot be read now."""
        unknown = {key for key in unproven if not self._has_remembered_inputs(observation, key)}
        unknown |= {key for key in desired if key.kind == "route" and self._rested_on_unread(observation, key)}
        standing = by_unit(observation.objects) if unknown else {}
        same_still = set[UnitKey]()
        for key in unknown:
            with faults.of(key):
                if not differs(mesh, key, desired[key], standing.get(key, {})):
                    same_still.add(key)
        return frozenset(unknown - same_still)

    def _has_remembered_inputs(self, observation: Observation, key: UnitKey) -> bool:
        """Whether a unit is wanted with all that it was made of, although some of that cannot be read now; lines of text never tell."""
        past = decode(observation.memory.get(key))
        if past is not None and past.old:
            return False
        return bool(past and past.states) or not (self.missing.unread or self.missing.recalled)

    def _rested_on_unread(self, observation: Observation, key: UnitKey) -> bool:
        """Whether a route was made from a file that cannot be read, and only the file's name is remembered."""
        past = decode(observation.memory.get(key)) if self.missing.unread else None
        return past is not None and past.old and any(hides(self.missing.unread, file) for file in past.files)


class _PlanInput(Struct, frozen=True):
    """Units as they should be, what stands of them, and what is held."""

    desired: Mapping[UnitKey, Desired]
    observation: Observation
    holds: Holds


class _Decision(Struct, frozen=True):
    """Units as they should be, and as they are decided now, less what waits, with what stands of them.

    `held` ones have something that waits.
    """

    desired: Mapping[UnitKey, Desired]
    decided: Mapping[UnitKey, Desired]
    observation: Observation
    constraints: Constraints
    held: frozenset[UnitKey]
