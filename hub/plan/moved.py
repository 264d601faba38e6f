"""What moved since a plan was saved: which input objects, or which objects of a mesh. Pure.

A saved plan has a fingerprint of each. They decide nothing (digests of the whole and the mesh's token do, hub.plan.saved); they name what is other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

from msgspec import Struct

from hub.errors import RefusedError
from hub.model import ObjectRef, Observed
from hub.plan.causes import InputChange

_SHOWN = 5
_DIGITS = 16


class Fingerprint(Struct, frozen=True, order=True, gc=False):
    """An object by a digest of its content, and for an input object the files (`source:part`) that it was read from."""

    ref: ObjectRef
    digest: str
    files: tuple[str, ...] = ()


class MovedError(RefusedError):
    """A saved plan no longer holds: `changes` are the objects that are other than they were, in a mesh or ("") in the sources."""

    def __init__(self, message: str, changes: Sequence[InputChange] = (), mesh: str = "") -> None:
        super().__init__(message)
        self.changes = tuple(changes)
        self.mesh = mesh


def joined(errors: Sequence[MovedError]) -> MovedError:
    """One error that says all that moved."""
    if len(errors) == 1:
        return errors[0]
    message = "; ".join(str(each).removesuffix("; plan again") for each in errors)
    return MovedError(f"{message}; plan again", [change for each in errors for change in each.changes])


def fingerprint(ref: ObjectRef, content: bytes, files: tuple[str, ...] = ()) -> Fingerprint:
    """The fingerprint of an object."""
    return Fingerprint(ref, sha256(content).hexdigest()[:_DIGITS], files)


def of_mesh(observed: Iterable[Observed]) -> tuple[Fingerprint, ...]:
    """The fingerprints of what stands in a mesh, sorted."""
    return tuple(sorted(fingerprint(each.ref, each.owned) for each in observed))


def moved(before: Iterable[Fingerprint], now: Iterable[Fingerprint]) -> tuple[InputChange, ...]:
    """The objects that came, changed or went, sorted."""
    old, new = {each.ref: each for each in before}, {each.ref: each for each in now}
    found = [InputChange(ref, "removed", old[ref].files) for ref in old.keys() - new.keys()]
    found += [InputChange(ref, "added", new[ref].files) for ref in new.keys() - old.keys()]
    found += [InputChange(ref, "changed", new[ref].files) for ref in old.keys() & new.keys() if old[ref] != new[ref]]
    return tuple(sorted(found))


def describe(changes: Sequence[InputChange]) -> str:
    """`TrafficTarget/shop/x was changed (smi/targets.yaml), ...`."""
    more = f" and {len(changes) - _SHOWN} more" if len(changes) > _SHOWN else ""
    return ", ".join(map(_describe, changes[:_SHOWN])) + more


def _describe(change: InputChange) -> str:
    files = ", ".join(file.replace(":", "/", 1) for file in change.files)
    return f"{change.ref} was {change.how}{f' ({files})' if files else ''}"
