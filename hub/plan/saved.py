"""Saved plans: a reviewed plan of all meshes as bytes, and what must still hold when it is applied.

Pure. The bytes are one JSON document for each domain, in one form only (fields in order, no spaces, base64 for bodies, a line feed at the
end), with the SHA-256 of its content. The digest finds damage and edits by hand. It is no signature: whoever applies a
saved plan also plans anew, and `check_plan` holds that the same comes out.

A saved plan holds policy and nothing else: endpoints, certificates, keys and tokens of workloads are in no plan, and of
a mesh's settings only a digest is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from hashlib import sha256
from typing import Any, get_type_hints

import msgspec
from msgspec import Struct, json
from msgspec.structs import asdict, replace

from hub.errors import RefusedError
from hub.model import Access, Loss, ObjectRef, Origin, Problem, Reading, Unit, UnitKey
from hub.plan.causes import FieldLocation
from hub.plan.guards import Refusal
from hub.plan.moved import Fingerprint, MovedError, describe, moved
from hub.plan.plan import Plan
from hub.smi.types import SmiObject

SCHEMA = 3
PREFIX = b'{"kind":"SmihubSavedPlan","schema":'
"""What every saved plan begins with, of whatever schema."""
_ALTERED = "was modified after it was saved; plan again"


class MeshSetup(Struct, frozen=True, order=True):
    """What a plan presumes of one mesh's configuration; `settings` is a digest of the adapter's and the sink's own."""

    name: str
    adapter: str
    governed: tuple[str, ...]
    settings: str


class Setup(Struct, frozen=True):
    """What a plan presumes of smihub.yaml and of smihub itself; meshes sorted by name."""

    smihub: str
    domain: str
    trust_domain: str
    reading: Reading
    meshes: tuple[MeshSetup, ...]


class SavedMesh(Struct, frozen=True):
    """One mesh's plan, what refused it when it was saved, and the codes that would have, had nobody accepted them.

    `standing` is what stood in the mesh then; `places` and `spots` are where the plan's objects and Losses were written.
    """

    plan: Plan
    refusals: tuple[Refusal, ...] = ()
    accepted: tuple[str, ...] = ()
    standing: tuple[Fingerprint, ...] = ()
    places: tuple[tuple[ObjectRef, Origin], ...] = ()
    spots: tuple[tuple[Loss, FieldLocation], ...] = ()


class Saved(Struct, frozen=True):
    """A reviewed plan of all meshes, or of those that were asked for (sorted by name); `inputs` is the digest of what governed it, `saved_at` UTC.

    `objects` are what the units were made from, and `problems` what was wrong then.
    """

    setup: Setup
    inputs: str
    saved_at: str
    meshes: tuple[SavedMesh, ...]
    objects: tuple[Fingerprint, ...] = ()
    problems: tuple[Problem, ...] = ()


# --------------------------------------------------------------------------- bytes


_FIELDS = {**get_type_hints(Plan), "memory": tuple[tuple[UnitKey, bytes], ...]}
_Plan: Any = msgspec.defstruct("_Plan", list(_FIELDS.items()), frozen=True, gc=False)
"""A `Plan` as it is written: JSON has no objects whose keys are units, so `memory` is pairs."""


class _SavedMesh(Struct, frozen=True):
    plan: _Plan
    refusals: tuple[Refusal, ...]
    accepted: tuple[str, ...]
    standing: tuple[Fingerprint, ...]
    places: tuple[tuple[ObjectRef, Origin], ...]
    spots: tuple[tuple[Loss, FieldLocation], ...]


class _Content(Struct, frozen=True):
    setup: Setup
    inputs: str
    saved_at: str
    meshes: tuple[_SavedMesh, ...]
    objects: tuple[Fingerprint, ...]
    problems: tuple[Problem, ...]


class _Header(Struct, frozen=True):
    schema: int


class _SavedFile(Struct, frozen=True, tag="SmihubSavedPlan", tag_field="kind"):
    schema: int
    digest: str
    content: msgspec.Raw


def encode(saved: Saved) -> bytes:
    """A saved plan as bytes; equal plans give equal bytes."""
    meshes = tuple(_SavedMesh(**{**asdict(each), "plan": _written(each.plan)}) for each in saved.meshes)
    content = json.encode(_Content(**{**asdict(saved), "meshes": meshes}))
    return json.encode(_SavedFile(SCHEMA, sha256(content).hexdigest(), msgspec.Raw(content))) + b"\n"


def encode_all(saved: Iterable[Saved]) -> bytes:
    """The plans of several domains, one after the other."""
    return b"".join(map(encode, saved))


def decode_all(raw: bytes) -> tuple[Saved, ...]:
    """What `encode_all` gave; raises as `decode`."""
    return tuple(map(decode, raw.splitlines(keepends=True) or [raw]))


def digest_of(plan: Plan) -> str:
    """A name for what a plan does to its mesh as it stands there, and for what that means to people (SHA-256)."""
    digest = sha256(_line((plan.mesh, plan.token, plan.gained, plan.lost, plan.lost_lines, plan.governs)))
    for change in plan.changes:
        body = b"" if change.after is None else change.after.body
        digest.update(_line((change.op, change.ref, change.unit, sha256(body).hexdigest())))
    return digest.hexdigest()


def decode(raw: bytes) -> Saved:
    """The plan in these bytes; exactly what `encode` gives is read.

    Raises RefusedError for bytes that are no saved plan, of another schema, or not as they were saved.
    """
    if not raw.startswith(PREFIX):
        raise RefusedError("is not a saved plan; create one with smihub plan --save")
    try:
        schema = json.decode(raw, type=_Header).schema
        if schema != SCHEMA:
            raise RefusedError(f"has schema {schema}, this smihub reads {SCHEMA}; plan again")
        content = json.decode(json.decode(raw, type=_SavedFile).content, type=_Content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise RefusedError(_ALTERED) from None
    saved = Saved(**{**asdict(content), "meshes": tuple(map(_read, content.meshes))})
    if encode(saved) != raw:  # the digest and every byte that a decoder would forgive
        raise RefusedError(_ALTERED)
    return saved


def _written(plan: Plan) -> Any:
    return _Plan(**{**asdict(plan), "memory": tuple(sorted(plan.memory.items()))})


def _read(mesh: _SavedMesh) -> SavedMesh:
    plan = Plan(**{**asdict(mesh.plan), "memory": dict(mesh.plan.memory)})
    return SavedMesh(**{**asdict(mesh), "plan": plan})


# --------------------------------------------------------------------------- what governs


class CompiledUnit(Struct, frozen=True):
    """A unit and the files that it was made from."""

    key: UnitKey
    unit: Unit
    files: tuple[str, ...]


def inputs_digest(made: Iterable[CompiledUnit], objects: Iterable[SmiObject], unread: Iterable[tuple[str, str]]) -> str:
    """SHA-256 of everything that governs, all three in a stable order.

    These are the units with the files that they come from, the objects that they rest on as they are read (without
    place, comments and fields that mean nothing), and which parts could not be read. Addresses of workloads, Pods and
    endpoints are in no unit and not in here, but for the sockets that a Workload's sidecar binds.
    """
    digest = sha256()
    for each in made:
        digest.update(_line(replace(each, unit=_without_addresses(each.unit))))
    for found in objects:
        digest.update(_line((type(found).__name__, found)))
    for part in unread:
        digest.update(_line(("unread", *part)))
    return digest.hexdigest()


def settings_digest(settings: Iterable[object]) -> str:
    """SHA-256 of JSON-like settings, whatever the order of their fields."""
    return sha256(json.encode(tuple(settings), order="sorted")).hexdigest()


def _line(value: object) -> bytes:
    return json.encode(value, enc_hook=_fraction) + b"\n"


def _fraction(value: object) -> str:
    if isinstance(value, Fraction):
        return str(value)
    raise TypeError(f"{type(value).__name__} is in no unit")


def _without_addresses(unit: Unit) -> Unit:
    if not isinstance(unit, Access):
        return unit
    return replace(unit, workloads=tuple(replace(each, addresses=()) for each in unit.workloads))


# --------------------------------------------------------------------------- what must still hold


def check_verdict(saved: Saved) -> None:
    """Raise RefusedError if a guard refused a mesh's plan as a whole when it was saved."""
    for each in saved.meshes:
        codes = sorted({refusal.code for refusal in each.refusals if refusal.unit is None})
        if codes:
            raise RefusedError(
                f'mesh "{each.plan.mesh}" was refused when this plan was saved ({", ".join(codes)}); '
                "see smihub plan, then save it again with --accept CODE"
            )


def check_setups(saved: Sequence[Saved], now: Sequence[Setup]) -> None:
    """Raise RefusedError unless there is a plan for each domain, in order, and for the configuration that it has now."""
    then, names = [each.setup.domain for each in saved], [each.domain for each in now]
    if then != names and (len(then), len(names)) != (1, 1):
        describe = f"domains {', '.join(then)} instead of {', '.join(names)}"
        raise RefusedError(f"this plan is for another configuration ({describe}); plan again")
    for each, setup in zip(saved, now, strict=True):
        check_setup(each, setup)


def check_setup(saved: Saved, now: Setup) -> None:
    """Raise RefusedError if the plan is for another configuration or of another smihub, naming what differs."""
    if saved.setup.smihub != now.smihub:
        raise RefusedError(
            f"this plan was saved by smihub {saved.setup.smihub}, this is smihub {now.smihub}; plan again"
        )
    differing = [name for name in Setup.__struct_fields__ if getattr(saved.setup, name) != getattr(now, name)]
    if differing:
        describe = ", ".join(_difference(name, saved.setup, now) for name in differing)
        raise RefusedError(f"this plan is for another configuration ({describe}); plan again")
    planned = [each.plan.mesh for each in saved.meshes]
    if not planned or planned != [each.name for each in now.meshes if each.name in planned]:
        raise RefusedError("this plan does not contain each of its meshes exactly once, in order; plan again")


def _difference(field: str, before: Setup, now: Setup) -> str:
    if field != "meshes":
        return {"trust_domain": "domain.trustDomain", "domain": "domain.name"}.get(field, field)
    names, known = [each.name for each in before.meshes], [each.name for each in now.meshes]
    if names != known:
        return f"meshes {', '.join(names)} instead of {', '.join(known)}"
    differing = [a.name for a, b in zip(before.meshes, now.meshes, strict=True) if a != b]
    return f"settings of mesh {', '.join(differing)}"


def check_inputs(saved: Saved, now: str, objects: Iterable[Fingerprint] = ()) -> None:
    """Raise MovedError if what governs has changed, naming it; `now` is the digest of it, `objects` are what there is."""
    if saved.inputs != now:
        changes = moved(saved.objects, objects)
        what = describe(changes) if changes else "other files can be read, or other objects count"
        raise MovedError(f"the sources have changed since this plan was saved: {what}; plan again", changes)


def check_token(saved: SavedMesh, now: str, standing: Iterable[Fingerprint] = (), who: str = "") -> None:
    """Raise MovedError if the mesh has changed, naming what; `now` is its revision's token, `who` is who may have done it."""
    if saved.plan.token != now:
        changes = moved(saved.standing, standing)
        what = describe(changes) if changes else "its objects are as they were, and were written since"
        by = f", {who}" if who else ""
        message = f'mesh "{saved.plan.mesh}" has changed since this plan was saved: {what}{by}; plan again'
        raise MovedError(message, changes, saved.plan.mesh)


def check_plan(saved: SavedMesh, now: Plan, refusals: Iterable[Refusal]) -> None:
    """Raise RefusedError unless planning anew gives the same plan, and today's guards refuse no more of it."""
    if saved.plan != now:
        raise RefusedError(f'mesh "{now.mesh}": planning now gives a different result; plan again')
    codes = sorted({refusal.code for refusal in refusals if refusal not in saved.refusals})
    if codes:
        raise RefusedError(
            f'mesh "{now.mesh}" is now refused by the guards in smihub.yaml ({", ".join(codes)}); plan again'
        )
