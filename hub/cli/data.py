"""Plans, problems and refusals as JSON-like data: what `-o json` and `-o yaml` print. Schema version 2, described in docs/cli.md."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from hub.cli.losses import effect
from hub.cli.meaning import Causes
from hub.cli.places import Locations
from hub.memory.permits import Permit, line_of
from hub.model import Change, HttpMatch, Loss, NativeObject, Op, Origin, Problem, UnitKey
from hub.plan.causes import InputChange
from hub.plan.diff import FieldChange, diff
from hub.plan.guards import Refusal
from hub.plan.plan import Plan

View = Callable[[bytes, str], Any]
"""A native object's body and kind as JSON-like data."""
SCHEMA = 2


def in_domain(domain: str, data: dict[str, Any]) -> dict[str, Any]:
    """The same data, with the domain's title before it where the file has several ("": there is only one)."""
    return {"domain": domain, **data} if domain else data


def field_changes(change: Change, view: View) -> tuple[FieldChange, ...]:
    """The fields in which an object differs before and after; all of them for one that is created or deleted."""
    before = view(change.before, change.ref.kind) if change.before is not None else {}
    after = view(change.after.body, change.ref.kind) if change.after is not None else {}
    return diff(before, after)


def plan_data(plan: Plan, view: View, refused: Sequence[Refusal], places: Locations) -> dict[str, Any]:
    """A plan with every field difference, and the causes of what it means."""
    causes = Causes.of(plan, places)
    return {
        "mesh": plan.mesh,
        "first": plan.first,
        "changes": [_change_data(change, view) for change in plan.changes],
        "losses": [loss_data(loss, places) for loss in plan.losses],
        "frozen": [str(unit) for unit in plan.frozen],
        "notRevoked": [line_of(permit) for permit in plan.unrevoked],
        "held": [str(unit) for unit in plan.held],
        "edited": [str(unit) for unit in plan.unproven],
        "paused": [str(ref) for ref in plan.paused],
        "pieces": [str(unit) for unit in plan.pieces],
        "recalled": [str(ref) for ref in plan.recalled],
        "newlyGoverned": [f"{unit.namespace}/{unit.name}" for unit in plan.governs],
        "newlyAllowed": list(plan.allowed),
        "newlyDenied": list(plan.denied),
        "gains": [_permit_data(permit, causes) for permit in plan.gained],
        "revokes": [_permit_data(permit, causes) for permit in plan.lost],
        "rerouted": [_split_data(before, after, causes) for before, after in plan.rerouted],
        "refused": [_struct(refusal) for refusal in refused],
        "summary": {op.value: sum(change.op is op for change in plan.changes) for op in Op},
    }


def _split_data(before: str, after: str, causes: Causes) -> dict[str, Any]:
    service, _, port = before.partition(" -> ")[0].rpartition(":")
    because = [cause_data(each, causes.places) for each in causes.routes.get(service, ())]
    return {"service": service, "port": int(port), "before": before, "after": after, "because": because}


def cause_data(change: InputChange, places: Locations) -> dict[str, Any]:
    """A change of an object, and where that stands."""
    return {"object": str(change.ref), "change": change.how, **_origin_data(places.at(change))}


def _origin_data(origin: Origin) -> dict[str, Any]:
    return {"source": origin.source, "file": origin.file, "line": origin.line}


def _permit_data(permit: Permit, causes: Causes) -> dict[str, Any]:
    match = permit.match
    return {
        "receiver": str(permit.receiver),
        "source": permit.source,
        "transport": permit.transport,
        "ports": None if permit.ports is None else list(permit.ports),
        "labels": None if permit.labels is None else dict(permit.labels),
        "http": None if match is None else _match_data(match),
        "except": [_match_data(each) for each in permit.excepted],
        "from": [str(origin) for origin in permit.origins],
        "because": [cause_data(each, causes.places) for each in causes.of_permit(permit)],
    }


def _match_data(match: HttpMatch) -> dict[str, Any]:
    return {"methods": match.methods and list(match.methods), "path": match.path, "headers": dict(match.headers)}


def _change_data(change: Change, view: View) -> dict[str, Any]:
    after = change.after
    return {
        "op": change.op.value,
        "object": str(change.ref),
        "unit": str(change.unit),
        "wave": change.wave,
        "from": [str(origin) for origin in after.origins] if after else [],
        "sha256": hashlib.sha256(after.body).hexdigest() if after else None,
        "fields": [{"path": f.path, "before": f.before, "after": f.after} for f in field_changes(change, view)],
    }


def native_data(native: NativeObject, unit: UnitKey, view: View) -> dict[str, Any]:
    """A native object."""
    return {
        "object": str(native.ref),
        "ref": {name: getattr(native.ref, name) for name in native.ref.__struct_fields__},
        "unit": str(unit),
        "from": [str(origin) for origin in native.origins],
        "role": native.role.value,
        "needs": [str(ref) for ref in native.needs],
        "sha256": hashlib.sha256(native.body).hexdigest(),
        "body": view(native.body, native.ref.kind),
    }


def loss_data(loss: Loss, places: Locations) -> dict[str, Any]:
    """A Loss, what becomes of its example, and where it is written."""
    at = places.written(loss)
    written = {"object": str(at.object), "field": at.field, "matches": list(at.matches), **_origin_data(at.origin)}
    return {**_struct(loss), "effect": effect(loss, at), "at": written}


def refusal_data(refusal: Refusal) -> dict[str, Any]:
    """A refusal."""
    return _struct(refusal)


def problem_data(problem: Problem) -> dict[str, Any]:
    """A Problem."""
    data = _struct(problem)
    data["origin"] = _origin_data(problem.origin)
    return data


def _struct(value: Loss | Refusal | Problem) -> dict[str, Any]:
    keys = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
    return {key: _plain(getattr(value, name)) for key, name in keys}


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | None) else str(value)
