"""Whose the objects of a mesh are: adopt what somebody else made, release what is ours, leave one alone.

Each is decided against what stands there and what the sources ask for, and carried out as one write of the sink.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from hub.api import Marking, MarkingSink
from hub.diff import diff
from hub.errors import RefusedError
from hub.meshes import Mesh
from hub.model import Change, NativeObject, ObjectRef, Observed, Op, UnitKey
from hub.plan import wave
from hub.reconcile import Hub

_SHOWN = 3


class Adoption(Struct, frozen=True):
    """A foreign object that stands where one of ours belongs, and the fields in which it differs (none: adoptable)."""

    native: NativeObject
    observed: Observed
    differences: tuple[str, ...]


async def adoptions(hub: Hub, mesh: Mesh) -> tuple[Adoption, ...]:
    """Every foreign object that a plan of this mesh would meet."""
    mirror = await mesh.observed()
    standing = mirror.whole().objects
    natives = (native for unit in hub.desired(mesh, mirror).values() for native in unit.translation.objects)
    found = ((native, standing[native.ref]) for native in natives if native.ref in standing)
    return tuple(
        Adoption(native, observed, tuple(_differences(mesh, native, observed)))
        for native, observed in sorted(found, key=lambda pair: pair[0].ref)
        if observed.owner is None
    )


async def adopt_all(mesh: Mesh, chosen: Iterable[Adoption]) -> None:
    """Take these over. Raises RefusedError, with nothing written, unless the content of each is what we would write."""
    asked = tuple(chosen)
    for each in asked:
        if each.differences:
            shown = "; ".join(each.differences[:_SHOWN])
            raise RefusedError(
                f"{each.native.ref} is not what smihub would write ({shown}); make it equal, or remove it"
            )
    await _mark(mesh, [Marking(each.native.ref, "adopt", each.observed.token, each.native) for each in asked])


async def release_unit(hub: Hub, mesh: Mesh, key: UnitKey) -> tuple[ObjectRef, ...]:
    """Govern a unit no longer: its objects stay as they are, without our mark. Raises RefusedError; gives the objects."""
    held = await _given_up(hub, mesh, key)
    await _mark(mesh, [Marking(each.ref, "release", each.token) for each in held], key)
    return tuple(each.ref for each in held)


async def remove_unit(hub: Hub, mesh: Mesh, key: UnitKey) -> tuple[ObjectRef, ...]:
    """Govern a unit no longer, and delete its objects: whoever it protected is open to all. Raises RefusedError."""
    held = await _given_up(hub, mesh, key)
    changes = [
        Change(Op.DELETE, each.ref, wave(each.role, Op.DELETE), each.owned, None, key, each.token) for each in held
    ]
    mirror = await mesh.observed()
    mesh.mirror = None
    await mesh.sink.write(sorted(changes, key=lambda change: (change.wave, change.ref)), {key: b""}, mirror.token)
    return tuple(each.ref for each in held)


async def leave(mesh: Mesh, ref: ObjectRef, *, alone: bool) -> None:
    """Let plans leave an object of ours alone, or no longer. Raises RefusedError if there is none."""
    observed = (await mesh.observed()).whole().objects.get(ref)
    if observed is None or observed.owner is None:
        raise RefusedError(f"{ref} is no object of smihub's in mesh {mesh.name}")
    await _mark(mesh, [Marking(ref, "hands-off" if alone else "hands-on", observed.token)])


async def _given_up(hub: Hub, mesh: Mesh, key: UnitKey) -> Sequence[Observed]:
    """What stands there of a unit that the sources no longer have in the mesh's scope. Raises RefusedError."""
    mirror = await mesh.observed()
    if key in hub.units() and mesh.governs(key, hub.store.compile(key)[0]):
        raise RefusedError(
            f'the sources have {key} in the scope of mesh "{mesh.name}"; '
            'take it out of "governed", or delete what names it, first'
        )
    held = [each for each in mirror.whole().objects.values() if each.owner == key]
    if not mirror.holds(key):
        raise RefusedError(f'mesh "{mesh.name}" does not govern {key}')
    return sorted(held, key=lambda each: each.ref)


async def _mark(mesh: Mesh, marks: Sequence[Marking], forgotten: UnitKey | None = None) -> None:
    sink = mesh.sink
    if not isinstance(sink, MarkingSink):
        raise RefusedError(f'mesh "{mesh.name}" holds nobody else\'s objects: there is nothing to mark')
    mirror = await mesh.observed()
    mesh.mirror = None
    await sink.mark(marks, {} if forgotten is None else {forgotten: b""}, mirror.token)


def _differences(mesh: Mesh, native: NativeObject, observed: Observed) -> Iterable[str]:
    kind = native.ref.kind
    for field in diff(mesh.spec.view(observed.owned, kind), mesh.spec.view(native.body, kind)):
        yield f"{field.path}: {field.before} instead of {field.after}"
