"""The journal: what the loop and `apply` tell of plans and writes, with the time of day, kept on record."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

from hub.model import Change, Op, UnitKey
from hub.plan.plan import Plan
from hub.plan.saved import digest_of
from hub.planner import Reviewed
from hub.status.outcomes import Changed, MeshChange, Outcomes, Result, UnitChange
from hub.status.record import Action, Actor, Entry, Record

Clock = Callable[[], float]


class Listener:
    """Who counts what happens, as hub.status.metrics does; this one counts nothing."""

    def synced(self, source: str) -> None:
        """A source was read as a whole."""

    def observed(self, mesh: str) -> None:
        """A mesh was observed, and planned."""

    def queued(self, mesh: str, units: int) -> None:
        """So many units of a mesh are to be planned."""

    def started(self, mesh: str) -> float:
        """A mesh is planned now; gives what `ended` wants."""
        return 0.0

    def ended(self, mesh: str, started: float) -> None:
        """A mesh was planned, and written if that was possible."""

    def applied(self, mesh: str, result: str, changes: Sequence[Change] = ()) -> None:
        """What came of a plan."""

    def heartbeat(self, mesh: str) -> None:
        """The worker of a mesh goes on, or waits for news."""

    def turn_started(self) -> int:
        """The loop begins a turn; gives what `turn_ended` wants."""
        return 0

    def turn_ended(self, number: int) -> None:
        """The loop waits for news again."""


class Journal:
    """Outcomes that are recorded as they change; without a `record` they live in this process alone.

    `on_change` gets every change once, after it was recorded, and at first all that is known of a mesh. `listener` may be set until the first call.
    """

    def __init__(
        self,
        record: Record | None = None,
        actor: Actor | None = None,
        clock: Clock = time.time,
        on_change: Callable[[Changed], None] = lambda _: None,
    ) -> None:
        # With what is on record, so that "since when" survives a restart.
        found = record.known() if record is not None else None
        self.outcomes = Outcomes(found.units, found.meshes) if found is not None else Outcomes()
        self._record = record
        self._actor = actor or Actor.here("")
        self._clock = clock
        self._on_change = on_change
        self._reported: set[str] = set()  # the meshes of which `on_change` was given all that is known
        self.listener = Listener()

    # ----------------------------------------------------------------------- what is counted

    def synced(self, source: str) -> None:
        """A source was read as a whole."""
        self.listener.synced(source)

    def heartbeat(self, mesh: str) -> None:
        """The worker of a mesh goes on, or waits for news."""
        self.listener.heartbeat(mesh)

    @contextmanager
    def turning(self) -> Iterator[None]:
        """Around one turn of the loop."""
        number = self.listener.turn_started()
        try:
            yield
        finally:
            self.listener.turn_ended(number)

    @contextmanager
    def reconciling(self, mesh: str, units: int) -> Iterator[None]:
        """Around planning so many units of a mesh, and writing the plan."""
        self.listener.queued(mesh, units)
        started = self.listener.started(mesh)
        try:
            yield
        finally:
            self.listener.ended(mesh, started)

    def left(self, mesh: str, units: int) -> None:
        """So many units of a mesh are to be planned again."""
        self.listener.queued(mesh, units)

    # ----------------------------------------------------------------------- what became of units

    def planned(self, reviewed: Reviewed) -> None:
        """A mesh was planned, and is to be written next if nothing refuses it."""
        self.outcomes.planned(reviewed, self._clock())
        known = self.outcomes.of(reviewed.mesh.name)
        if any(key in known and known[key].drifted for key in reviewed.decided.units):
            self._keep(reviewed.mesh.name)  # it is put back at once, and nobody would hear that it was otherwise
        self.listener.observed(reviewed.mesh.name)

    def refused(self, reviewed: Reviewed) -> None:
        """A plan was made of which nothing is written: what nothing of its own refuses waits for the rest."""
        self.planned(reviewed)
        mesh, known = reviewed.mesh.name, self.outcomes.of(reviewed.mesh.name)
        pending = [key for key in reviewed.decided.units if key in known and known[key].pending]
        waiting = Result("waiting", "the plan of this mesh is refused")
        self.outcomes.written(mesh, dict.fromkeys(pending, waiting), self._clock())
        self.listener.applied(mesh, "refused")
        self._keep(mesh)

    def wrote(self, reviewed: Reviewed, results: Mapping[UnitKey, Result] | None = None) -> None:
        """A plan was written; of units that are not in `results`, all of it."""
        found = {**dict.fromkeys(reviewed.decided.units, Result("written")), **(results or {})}
        self.outcomes.written(reviewed.mesh.name, found, self._clock())
        self._keep(reviewed.mesh.name)
        failed = sum(each.state != "written" for each in found.values())
        written = [change for change in reviewed.plan.changes if _is_written(found.get(change.unit))]
        self.listener.applied(reviewed.mesh.name, "partial" if failed else "written", written)
        if reviewed.plan.changes:
            self._note(reviewed, f"{failed} units not written" if failed else "written")

    def ended(self, mesh: str, results: Mapping[UnitKey, Result]) -> None:
        """Units of a plan were written, or not, that took longer than the rest of it."""
        self.outcomes.written(mesh, results, self._clock())
        self.listener.applied(
            mesh, "partial" if any(each.state != "written" for each in results.values()) else "written"
        )
        self._keep(mesh)

    def failed(self, reviewed: Reviewed, result: Result) -> None:
        """Nothing of a plan could be written, or nobody can tell how much."""
        keys = {change.unit for change in reviewed.plan.changes}
        self.outcomes.written(reviewed.mesh.name, dict.fromkeys(keys, result), self._clock())
        self.listener.applied(reviewed.mesh.name, result.state)
        self._keep(reviewed.mesh.name)
        self._note(reviewed, f"{result.state}: {result.detail}")

    def problem(self, mesh: str, units: Collection[UnitKey], reason: str, message: str) -> None:
        """A mesh cannot be observed or planned; these units stay as they are."""
        self.outcomes.problem(mesh, units, reason, message, self._clock())
        self.listener.applied(mesh, reason)
        self._keep(mesh)

    def unanswered(self, mesh: str, units: Collection[UnitKey], message: str) -> None:
        """A mesh has not answered for long: it was to write these units, or (none) to tell what stands there."""
        if units:
            self.outcomes.written(mesh, dict.fromkeys(units, Result("waiting", message)), self._clock())
        else:
            self.outcomes.problem(mesh, (), "waiting", message, self._clock())
        self._keep(mesh)

    def accepted(self, reviewed: Reviewed, codes: Collection[str]) -> None:
        """Somebody accepted these codes by hand, and they let this plan pass."""
        if codes:
            self._note(reviewed, "", "accept", tuple(sorted(codes)))

    def close(self) -> None:
        """Wait, a few seconds at most, until all is on record."""
        if self._record is not None:
            self._record.close()

    def _note(self, reviewed: Reviewed, result: str, action: Action = "apply", codes: tuple[str, ...] = ()) -> None:
        if self._record is None:
            return
        plan, found = reviewed.plan, codes or tuple(sorted(reviewed.lifted))
        at, digest = self._clock(), digest_of(plan)
        self._record.note(Entry(at, action, plan.mesh, self._actor, digest, counts_of(plan), found, result=result))

    def _keep(self, mesh: str) -> None:
        # First on record, then told: what is logged can be looked up.
        changed = self.outcomes.changed()
        if self._record is not None:
            self._record.keep(changed)
        self._on_change(changed if mesh in self._reported else self._first_report(mesh, changed))

    def _first_report(self, mesh: str, changed: Changed) -> Changed:
        """What changed, with all that is of this mesh: this process tells of it for the first time."""
        self._reported.add(mesh)
        units = (UnitChange(mesh, key, None, outcome) for key, outcome in self.outcomes.of(mesh).items())
        gone = (each for each in changed.units if each.mesh != mesh or each.after is None)
        meshes = (each for each in changed.meshes if each.mesh != mesh)
        return Changed((*gone, *units), (*meshes, MeshChange(mesh, None, self.outcomes.mesh(mesh))))


def _is_written(result: Result | None) -> bool:
    return result is not None and result.state == "written"


def counts_of(plan: Plan) -> dict[str, int]:
    """A plan in numbers: objects by what happens to them, and what it means."""
    ops = Counter(change.op for change in plan.changes)
    return {
        **{op.value: ops[op] for op in Op},
        "gained": len(plan.gained),
        "lost": len(plan.lost) + len(plan.lost_lines),
        "losing": len(plan.losing),
    }
