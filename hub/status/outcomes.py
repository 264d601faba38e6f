"""Outcomes: what became of every unit of every mesh, and since when. The command, the record, metrics and the log read this.

Pure; the time (seconds of the Unix epoch) is passed in. Conditions and what a plan says of them: hub.plan.conditions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

from hub.model import ObjectRef, Origin, UnitKey
from hub.plan.conditions import CONDITIONS, Condition, ConditionType, Decided, MeshCondition, Moment, PlanIndex

if TYPE_CHECKING:
    from hub.planner import Reviewed

_C = TypeVar("_C", bound=Condition)
_PAUSED = frozenset(("paused", "hands-off"))  # the latter from the record of an earlier release
_UNSEEN = Condition("Unknown", "pending")
_UNSEEN_MESH = MeshCondition("Unknown", "pending")


class Cause(Struct, frozen=True, gc=False):
    """An input object behind a unit, and where it was read."""

    ref: ObjectRef
    origin: Origin = Origin()


class Outcome(Struct, frozen=True):
    """What became of one unit in one mesh.

    `generation` counts the different states that were wanted of it. `losing_since` is when somebody was to lose access here,
    which is not written yet (None: nothing of that kind waits).
    """

    conditions: Mapping[ConditionType, Condition] = field(default_factory=dict)
    causes: tuple[Cause, ...] = ()
    generation: int = 0
    wanted: str = ""
    losing_since: Moment | None = None

    def condition(self, kind: ConditionType) -> Condition:
        """One condition; Unknown where nothing was said yet."""
        return self.conditions.get(kind, _UNSEEN)

    @property
    def pending(self) -> bool:
        """Whether it is to be written, and nothing speaks against it."""
        return self.condition("Applied").reason == "pending"

    @property
    def settled(self) -> bool:
        """Whether a write can change nothing of it."""
        return self.condition("Applied").status == "True" and not self.drifted and self.losing_since is None

    @property
    def drifted(self) -> bool:
        """Whether somebody else changed what was written, and it is to be put back."""
        return self.condition("Drifted").reason == "changed"

    @property
    def bad(self) -> tuple[ConditionType, ...]:
        """The conditions that are not as they should be; one that somebody asked for (paused) is not among them."""
        return tuple(kind for kind in CONDITIONS if _is_bad(kind, self.condition(kind)))


def _is_bad(kind: ConditionType, condition: Condition) -> bool:
    return condition.status == ("True" if kind == "Drifted" else "False") and condition.reason not in _PAUSED


class Result(Struct, frozen=True):
    """What a write gave for one unit; `ref` is the object at which it ended, if it is known.

    `narrowed`: it was not written to its end, and what somebody was to lose there is written all the same.
    """

    state: Literal["written", "stale", "refused", "failed", "waiting", "bug"]
    detail: str = ""
    ref: ObjectRef | None = None
    narrowed: bool = False


class UnitChange(Struct, frozen=True):
    """The outcome of one unit before and after (None: there was, or is, no such unit)."""

    mesh: str
    unit: UnitKey
    before: Outcome | None
    after: Outcome | None


class MeshChange(Struct, frozen=True):
    """A mesh as a whole, before and after: whether it can be observed, and its plan carried out."""

    mesh: str
    before: MeshCondition | None
    after: MeshCondition


class Changed(Struct, frozen=True):
    """What changed since somebody asked last."""

    units: tuple[UnitChange, ...] = ()
    meshes: tuple[MeshChange, ...] = ()


class Summary(Struct, frozen=True):
    """A mesh in numbers of units; `governed` counts identities, `losing` units in which a loss of access waits since `oldest`."""

    units: int = 0
    governed: int = 0
    applied: int = 0
    refused: int = 0
    conflicts: int = 0
    waiting: int = 0
    frozen: int = 0
    failed: int = 0
    lossy: int = 0
    bad: int = 0
    losing: int = 0
    oldest: float | None = None


class Outcomes:
    """The outcomes of all meshes; `before` are those of an earlier process, so that what lasts keeps its `since`."""

    def __init__(
        self,
        before: Iterable[tuple[str, UnitKey, Outcome]] = (),
        meshes: Mapping[str, MeshCondition] | None = None,
    ) -> None:
        self._units: dict[str, dict[UnitKey, Outcome]] = {}
        for mesh, key, outcome in before:
            self._units.setdefault(mesh, {})[key] = outcome
        self._meshes = dict(meshes or {})
        self._summaries: dict[str, Summary] = {}
        self._was: dict[tuple[str, UnitKey], Outcome | None] = {}
        self._mesh_was: dict[str, MeshCondition | None] = {}
        self._gone: dict[str, frozenset[UnitKey]] = {}
        self._waiting: dict[str, frozenset[UnitKey]] = {}

    def of(self, mesh: str) -> Mapping[UnitKey, Outcome]:
        """The outcomes of a mesh."""
        return self._units.get(mesh, {})

    def mesh(self, mesh: str) -> MeshCondition:
        """The mesh as a whole: True once its plan was made and nothing refuses all of it."""
        return self._meshes.get(mesh, _UNSEEN_MESH)

    def summary(self, mesh: str) -> Summary:
        """A mesh in numbers; looks at every unit, once after each change."""
        if mesh not in self._summaries:
            self._summaries[mesh] = summary_of(self.of(mesh))
        return self._summaries[mesh]

    # ----------------------------------------------------------------------- what is told

    def planned(self, reviewed: Reviewed, now: float) -> None:
        """A mesh was planned. What has to be written is pending until `written` is told."""
        mesh, decided = reviewed.mesh.name, reviewed.decided
        index = PlanIndex.of(reviewed.plan, reviewed.refusals)
        self._set_mesh(mesh, index.of_mesh(self.mesh(mesh).refused_since or now), now)
        known = self._units.get(mesh, {})
        gone = {key for key, refs in decided.units.items() if refs is None}
        for key, refs in decided.units.items():
            if refs is not None or key in index.changes:
                self._put(mesh, key, _planned(known.get(key, Outcome()), key, decided, index, now))
            else:
                self._put(mesh, key, None)
        # Only a plan of all units shows that one is gone.
        for key in (known.keys() - decided.units.keys()) if decided.whole else ():
            self._put(mesh, key, None)
        self._gone[mesh], self._waiting[mesh] = frozenset(gone), index.waiting

    def written(self, mesh: str, results: Mapping[UnitKey, Result], now: float) -> None:
        """What a write gave. A unit of which something waits goes on waiting; what it lost is written."""
        for key, result in results.items():
            before = self._units.get(mesh, {}).get(key, Outcome())
            done = result.state == "written"
            if done and key in self._gone.get(mesh, ()):
                self._put(mesh, key, None)
            elif done:
                self._put(mesh, key, _written(before, now, waits=key in self._waiting.get(mesh, ())))
            else:
                self._put(mesh, key, _unwritten(before, result, now))

    def problem(self, mesh: str, units: Collection[UnitKey], reason: str, message: str, now: float) -> None:
        """A mesh cannot be observed, or nothing of its plan can be carried out: these units stay as they are."""
        refused_since = self.mesh(mesh).refused_since  # nothing was planned, so that goes on
        self._set_mesh(mesh, MeshCondition("False", reason, message, refused_since=refused_since), now)
        for key in units:
            before = self._units.get(mesh, {}).get(key, Outcome())
            self._put(mesh, key, _with(before, {"Applied": Condition("False", reason, message)}, now))

    def changed(self) -> Changed:
        """What changed since this was asked last; a change that was taken back meanwhile is none."""
        units = tuple(
            UnitChange(mesh, key, before, after)
            for (mesh, key), before in self._was.items()
            if (after := self._units.get(mesh, {}).get(key)) != before
        )
        meshes = tuple(
            MeshChange(mesh, before, self._meshes[mesh])
            for mesh, before in self._mesh_was.items()
            if self._meshes[mesh] != before
        )
        self._was, self._mesh_was = {}, {}
        return Changed(units, meshes)

    # ----------------------------------------------------------------------- inside

    def _put(self, mesh: str, key: UnitKey, after: Outcome | None) -> None:
        known = self._units.setdefault(mesh, {})
        before = known.get(key)
        after = _resumed(self._was.get((mesh, key)), after)
        if before == after:
            return
        self._summaries.pop(mesh, None)
        self._was.setdefault((mesh, key), before)
        if after is None:
            known.pop(key, None)
        else:
            known[key] = after

    def _set_mesh(self, mesh: str, fresh: MeshCondition, now: float) -> None:
        before = self._meshes.get(mesh)
        told = self._mesh_was.get(mesh)
        after = _since(told if _is_still(told, fresh) else before, fresh, now)
        if after != before:
            self._mesh_was.setdefault(mesh, before)
            self._meshes[mesh] = after


# --------------------------------------------------------------------------- one unit


def _planned(before: Outcome, key: UnitKey, decided: Decided, index: PlanIndex, now: float) -> Outcome:
    wanted = index.wanted(key)
    causes = tuple(Cause(ref, decided.places.get(ref, Origin())) for ref in sorted(decided.units[key] or ()))
    moved = replace(
        before,
        causes=causes or before.causes,  # of one that goes, those that it had
        generation=before.generation + (wanted not in {"", before.wanted}),
        wanted=wanted or before.wanted,
        losing_since=(before.losing_since or now) if index.revokes(key) else None,
    )
    return _with(moved, index.of_unit(key, decided), now)


def _written(before: Outcome, now: float, *, waits: bool) -> Outcome:
    # Most units of most writes: nothing about them is new.
    if before.settled:
        return before
    found: dict[ConditionType, Condition] = {} if waits else {"Applied": Condition("True", "applied")}
    if before.drifted:
        found["Drifted"] = Condition("False", "as-written")
    losing_since = before.losing_since if before.condition("Applied").reason == "frozen" else None
    return _with(replace(before, losing_since=losing_since), found, now)


def _unwritten(before: Outcome, result: Result, now: float) -> Outcome:
    at = f"{result.ref}: " if result.ref is not None else ""
    if result.narrowed:
        before = replace(before, losing_since=None)
    return _with(before, {"Applied": Condition("False", result.state, f"{at}{result.detail}")}, now)


# --------------------------------------------------------------------------- small things


def _with(before: Outcome, found: Mapping[ConditionType, Condition], now: float) -> Outcome:
    fresh = {kind: _kept(before.conditions.get(kind), each, before.generation, now) for kind, each in found.items()}
    return replace(before, conditions=_ordered({**before.conditions, **fresh}))


def _kept(before: Condition | None, fresh: Condition, generation: int, now: float) -> Condition:
    """The new condition with its time; the very same as before where nothing about it is new, for most of many stay."""
    if before is None or not _is_still(before, fresh):
        return Condition(fresh.status, fresh.reason, fresh.message, now, generation)
    if (before.message, before.generation) == (fresh.message, generation):
        return before
    return Condition(fresh.status, fresh.reason, fresh.message, before.since, generation)


def _resumed(told: Outcome | None, after: Outcome | None) -> Outcome | None:
    """The outcome; what was told to be wrong, and is wrong again, goes on from then: what was so in between, nobody saw."""
    if told is None or after is None:
        return after
    again = {
        kind: replace(each, since=min(each.since, told.condition(kind).since))
        for kind, each in after.conditions.items()
        if each.status == "False" and _is_still(told.conditions.get(kind), each)
    }
    return replace(after, conditions={**after.conditions, **again})


def _is_still(before: Condition | None, fresh: Condition) -> bool:
    return before is not None and (before.status, before.reason) == (fresh.status, fresh.reason)


def _ordered(conditions: Mapping[ConditionType, Condition]) -> dict[ConditionType, Condition]:
    return {kind: conditions[kind] for kind in CONDITIONS if kind in conditions}


def _since(before: Condition | None, fresh: _C, now: float) -> _C:
    return replace(fresh, since=before.since if before is not None and _is_still(before, fresh) else now)


def with_programmed(outcomes: Mapping[UnitKey, Outcome], report: Mapping[str, Any]) -> dict[UnitKey, Outcome]:
    """The same with what data planes say (`hub.api.LiveSink.report`): of an identity its own, of a route all of them."""
    rows: dict[str, list[tuple[str, bool]]] = {}
    for workload, row in report.items():
        rows.setdefault(str(row.get("unit", "")), []).append((workload, bool(row["programmed"])))
    everyone = [each for found in rows.values() for each in found]
    found: dict[UnitKey, Outcome] = {}
    for key, each in outcomes.items():
        programmed = _programmed(rows.get(str(key), []) if key.kind == "access" else everyone, key)
        found[key] = replace(each, conditions=_ordered({**each.conditions, "Programmed": programmed}))
    return found


def _programmed(rows: list[tuple[str, bool]], key: UnitKey) -> Condition:
    missing = [workload for workload, done in rows if not done]
    if not rows:
        return Condition("Unknown", "nobody", "no data plane reports on it")
    if not missing:
        return Condition("True", "programmed")
    message = f"not yet accepted by {', '.join(sorted(missing)[:3])}{' and others' if len(missing) > 3 else ''}"
    return Condition("False" if key.kind == "access" else "Unknown", "waiting", message)


def summary_of(outcomes: Mapping[UnitKey, Outcome]) -> Summary:
    """These outcomes in numbers."""
    reasons = [each.condition("Applied").reason for each in outcomes.values()]
    losing = [each.losing_since for each in outcomes.values() if each.losing_since is not None]
    return Summary(
        units=len(outcomes),
        governed=sum(key.kind == "access" for key in outcomes),
        applied=sum(each.condition("Applied").status == "True" for each in outcomes.values()),
        refused=reasons.count("refused"),
        conflicts=reasons.count("conflict"),
        waiting=reasons.count("waiting"),
        frozen=reasons.count("frozen"),
        failed=sum(reason in {"failed", "bug", "stale"} for reason in reasons),
        lossy=sum(each.condition("Lowered").reason == "loss" for each in outcomes.values()),
        bad=sum(bool(each.bad) for each in outcomes.values()),
        losing=len(losing),
        oldest=min(losing, default=None),
    )
