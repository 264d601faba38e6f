"""What is computed and remembered of a store: a unit with its Problems, or the Problems of one object."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from hub.intent import CompiledAccess, WorkloadProfile, compile_access, inspect, route
from hub.intent.accesses import Inbound
from hub.model import Identity, ObjectRef, Placement, Problem, Unit, UnitKey
from hub.store.view import RecordingView

Job = UnitKey | ObjectRef
"""What is computed and remembered: a unit, or the Problems of one object that no unit reports."""


class Computed(Struct, frozen=True, gc=False):
    """What one job gave; an object has no unit, and only an Access has callers and placements."""

    unit: Unit | None
    problems: tuple[Problem, ...]
    inbound: Mapping[WorkloadProfile, Inbound] = {}
    placed: Mapping[ObjectRef, Placement] = {}


def compute(view: RecordingView, job: Job) -> Computed:
    """Compute a job; `view` has recorded everything that it depends on."""
    if isinstance(job, ObjectRef):
        return Computed(None, inspect(view, job))
    if job.kind == "route":
        unit, problems = route(view, job.namespace, job.name)
        return Computed(unit, problems)
    compiled: CompiledAccess = compile_access(view, Identity(view.trust_domain, job.namespace, job.name))
    placed = {each.ref: each for each in compiled.unit.workloads}
    return Computed(compiled.unit, compiled.problems, compiled.inbound, placed)
