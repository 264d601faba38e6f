"""Whose the objects of a mesh are: adopt what somebody else made, release what is ours, pause one.

Each is decided against what stands there and what the sources ask for, and carried out as one write of the sink.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from hub.api import Marking, MarkingSink
from hub.errors import RefusedError, TransientError
from hub.meshes import Mesh
from hub.mirror import Mirror
from hub.model import Change, NativeObject, Observed, Op, UnitKey
from hub.plan.changes import wave
from hub.plan.diff import FieldChange, diff
from hub.plan.plan import Plan, plan
from hub.reconcile.hub import Hub
from hub.reconcile.rollout import roll_out

_SHOWN = 3


class Adoption(Struct, frozen=True):
    """A foreign object that stands where one of ours belongs, and the fields in which it differs (none: adoptable)."""

    native: NativeObject
    unit: UnitKey
    observed: Observed
    differences: tuple[str, ...]


async def adoptions(hub: Hub, mesh: Mesh) -> tuple[Adoption, ...]:
    """Every foreign object that a plan of this mesh would meet."""
    mirror = await mesh.observed()
    standing = mirror.whole().objects
    found = (
        Adoption(native, key, standing[native.ref], ())
        for key, unit in hub.desired(mesh, mirror).items()
        for native in unit.translation.objects
        if native.ref in standing and standing[native.ref].owner is None
    )
    return tuple(
        replace(each, differences=tuple(_differences(mesh, each.native, each.observed)))
        for each in sorted(found, key=lambda each: each.native.ref)
    )


def check_adoptable(hub: Hub, chosen: Iterable[Adoption]) -> None:
    """Raise RefusedError unless the content of each is what we would write, as far as anybody can tell."""
    for each in chosen:
        _refuse_unread(hub, f"{each.native.ref} is what smihub would write")
        if each.differences:
            shown, more = "; ".join(each.differences[:_SHOWN]), len(each.differences) - _SHOWN
            rest = f"; and {more} more" if more > 0 else ""
            raise RefusedError(
                f"{each.native.ref} differs from what smihub would write ({shown}{rest}); make it the same, or remove it and run "
                "smihub apply"
            )


async def adopt_all(hub: Hub, mesh: Mesh, chosen: Sequence[Adoption]) -> None:
    """Take these over. Raises RefusedError, with nothing written, unless the content of each is what we would write."""
    check_adoptable(hub, chosen)
    marks = [Marking(each.native.ref, "adopt", each.observed.token, each.native, each.unit) for each in chosen]
    await _mark(mesh, marks, _completed(hub, mesh, await mesh.observed(), chosen))


def _completed(hub: Hub, mesh: Mesh, mirror: Mirror, chosen: Sequence[Adoption]) -> Mapping[UnitKey, bytes]:
    """What to remember of units of which, with these, everything stands as it should; of others the next plan tells."""
    ours = {each.native.ref: _ours(each.native, each.unit) for each in chosen}
    seen = mirror.whole()
    seen = replace(seen, objects={**seen.objects, **ours})
    memory: dict[UnitKey, bytes] = {}
    for key in sorted({each.unit for each in chosen}):
        new_plan = plan(mesh.name, hub.desired(mesh, mirror, [key]), seen, mesh.spec.carry_over)
        if not new_plan.changes:
            memory |= new_plan.memory
    return memory


def _ours(native: NativeObject, unit: UnitKey) -> Observed:
    return Observed(native.ref, native.body, unit, "", native.role, native.needs)


async def held_by(hub: Hub, mesh: Mesh, key: UnitKey) -> tuple[Observed, ...]:
    """What stands there of a unit that the sources no longer have in the mesh's scope. Raises RefusedError."""
    mirror = await mesh.observed()
    if not mirror.holds(key):
        raise RefusedError(f'mesh "{mesh.name}" does not govern {key}; there is nothing to release')
    _refuse_unread(hub, f"the sources still have {key}")
    store = hub.cluster(mesh).store
    unit = store.compile(key)[0]
    if key in store.units() and mesh.governs(key, unit):
        causes = ", ".join(sorted(str(ref) for ref in unit.origins)[:_SHOWN]) if unit else ""
        narrower = 'remove it from "governed" in smihub.yaml, or ' if len(mesh.spec.governs) > 1 else ""
        raise RefusedError(
            f'the sources have {key} in the scope of mesh "{mesh.name}"{f" ({causes})" if causes else ""}; '
            f"first {narrower}delete the objects that name it"
        )
    return tuple(sorted((one for one in mirror.whole().objects.values() if one.owner == key), key=lambda one: one.ref))


def check_releasable(mesh: Mesh) -> None:
    """Raise RefusedError where objects cannot stay without our mark."""
    _marking(mesh, "only contains objects that smihub manages, so they can only be deleted: add --delete")


async def release_unit(mesh: Mesh, key: UnitKey, held: Sequence[Observed]) -> None:
    """Govern a unit no longer: these, its objects, stay as they are, without our mark. Raises RefusedError."""
    check_releasable(mesh)
    await _mark(mesh, [Marking(each.ref, "release", each.token) for each in held], {key: b""})


async def remove_unit(mesh: Mesh, key: UnitKey, held: Sequence[Observed]) -> None:
    """Govern a unit no longer, and delete these, its objects: whoever they protected is open. Raises RefusedError."""
    paused = [each.ref for each in held if each.paused]
    if paused:
        raise RefusedError(f"{paused[0]} is paused; run smihub resume first, or release without --delete")
    changes = [
        Change(Op.DELETE, each.ref, wave(each.role, Op.DELETE), each.owned, None, key, each.token) for each in held
    ]
    mirror = await mesh.observed()
    # Whatever comes of the write, what stands is no longer what was read.
    mesh.mirror = None
    ordered = tuple(sorted(changes, key=lambda change: (change.wave, change.ref)))
    done = await roll_out(mesh.sink, Plan(mesh.name, mirror.token, ordered, {key: b""}), mirror)
    if done.stopped:
        raise TransientError("; ".join(each.detail for each in done.results.values() if each.detail))


async def set_paused(mesh: Mesh, observed: Observed, *, paused: bool) -> None:
    """Have plans leave an object of ours as it is, or manage it again. Raises RefusedError where nothing stands, or where none can be."""
    served = ", and serve it with smihub run --serve-only" if mesh.live else ""
    _marking(
        mesh,
        "is changed as a whole, so no object of it can be paused or resumed; to keep all of it as it is, apply the other meshes only "
        f"(--mesh){served}",
    )
    if not observed.token:
        raise RefusedError(f"{observed.ref} does not exist; run smihub apply first")
    if observed.paused != paused:
        await _mark(mesh, [Marking(observed.ref, "pause" if paused else "resume", observed.token)], {})


def _refuse_unread(hub: Hub, what: str) -> None:
    if hub.intake.unread:
        raise RefusedError(
            f"a file of the sources cannot be read, so it is unknown whether {what}; run smihub check to see which"
        )


async def _mark(mesh: Mesh, marks: Sequence[Marking], memory: Mapping[UnitKey, bytes]) -> None:
    sink = _marking(mesh, "only contains objects that smihub manages, so none can be adopted, released or paused")
    mirror = await mesh.observed()
    mesh.mirror = None
    await sink.mark(marks, memory, mirror.token)


def _marking(mesh: Mesh, instead: str) -> MarkingSink:
    """The sink, if its mesh also holds objects of others. Raises RefusedError that says what to do instead."""
    sink = mesh.sink
    if not isinstance(sink, MarkingSink):
        raise RefusedError(f'mesh "{mesh.title}" {instead}')
    return sink


# --------------------------------------------------------------------------- differences


def _differences(mesh: Mesh, native: NativeObject, observed: Observed) -> Iterable[str]:
    """One line per field; for an object that cannot be marked at all, the reason that the sink gives."""
    kind = native.ref.kind
    if observed.owned == native.body:
        return
    fields = diff(mesh.view(observed.owned, kind), mesh.view(native.body, kind))
    if not observed.token:
        yield from (f"{field.path}: {field.before}" for field in fields if field.after is None)
        return
    yield from map(_difference_text, fields)
    if not fields:
        yield "its bytes differ from what smihub would write"


def _difference_text(field: FieldChange) -> str:
    if field.after is None:
        return f"{field.path}: {field.before} would be lost"
    return f"{field.path}: {'nothing' if field.before is None else field.before} instead of {field.after}"
