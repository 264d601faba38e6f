"""Whose a file is to be from now on: what adopting, releasing, pausing and resuming write. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from hub.api import Marking
from hub.errors import StaleError, UnsafeResourceError
from hub.model import ObjectRef, Observed, Role, UnitKey
from hub.sinks.emit import emit
from hub.sinks.manifest import PAUSED, Broken, Foreign, Unowned, digest, read, stamp
from hub.sinks.names import OBJECTS, file_name, printable

_BEFORE = re.compile(rb"^( +)smihub[.]io/role:", re.MULTILINE)
_PAUSED = re.compile(rb"^ +([\"']?)smihub[.]io/(?:paused|hands-off)\1:.*\n", re.MULTILINE)


class OwnershipChange(Struct, frozen=True):
    """One file: what is written (None: it is gone anyhow) over what has this digest, and how it is listed from then on."""

    file: str
    data: bytes | None
    token: str
    listed: tuple[Role, UnitKey] | Literal["others", "as before"] = "as before"


class FolderObjects(Struct, frozen=True):
    """What the marks are set upon: our objects and others' by file, for one mesh."""

    mesh: str
    ours: Mapping[str, Observed]
    theirs: Mapping[str, Foreign]
    owner: str = ""

    def read(self, data: bytes) -> Observed | Foreign | Broken:
        """What a file would hold; a mark that names no owner is ours, as that of what it was written over."""
        found = read(data, self.mesh, self.owner)
        return found.ours if isinstance(found, Unowned) else found


def ownership_change(mark: Marking, standing: FolderObjects, data: bytes) -> OwnershipChange:
    """How a mark is set; `data` is what the object's file holds. Raises StaleError where it is not as it was."""
    if mark.mark == "adopt":
        return _adopt(mark, standing)
    file = file_name(mark.ref)
    one = standing.ours.get(file)
    if one is None or one.token != mark.token:
        raise _stale(mark.ref)
    if mark.mark == "release":
        return _release(file, one, standing)
    text = _with_pause(data) if mark.mark == "pause" else _PAUSED.sub(b"", data)
    wanted = replace(one, paused=mark.mark == "pause", token=digest(text))
    # The text is edited by pattern, so that comments and layout stay; what comes of it is proven here.
    if standing.read(text) != wanted:
        raise UnsafeResourceError(
            f'"{OBJECTS}/{file}" does not have the layout that smihub writes; add or remove {PAUSED}: "true" by hand'
        )
    return OwnershipChange(file, text, one.token)


def _adopt(mark: Marking, standing: FolderObjects) -> OwnershipChange:
    native, unit, file = mark.native, mark.unit, file_name(mark.ref)
    holders = [name for name, found in standing.theirs.items() if mark.ref in found.refs]
    found = standing.theirs.get(file, Foreign())
    if native is None or unit is None or holders != [file] or (found.content, found.token) != (native.body, mark.token):
        raise _stale(mark.ref)
    return OwnershipChange(file, stamp(native, unit, standing.mesh, standing.owner), found.token, (native.role, unit))


def _release(file: str, one: Observed, standing: FolderObjects) -> OwnershipChange:
    if not one.token:  # it is listed, and its file is gone
        return OwnershipChange(file, None, "", "others")
    data = emit(msgspec.json.decode(one.owned)).encode()
    # If it still read as ours, the next plan would delete what was released.
    if standing.read(data) != Foreign((one.ref,), one.owned, digest(data)):
        raise UnsafeResourceError(
            f'"{OBJECTS}/{file}" would be read back differently without its ownership label; run smihub apply first'
        )
    return OwnershipChange(file, data, one.token, "others")


def _stale(ref: ObjectRef) -> StaleError:
    return StaleError(f"{ref} has changed in the meantime, so nothing was written; run the command again")


# --------------------------------------------------------------------------- annotations in the text of a file


def _with_pause(data: bytes) -> bytes:
    text = _PAUSED.sub(b"", data)
    return _BEFORE.sub(rb'\1%b: "true"\n\g<0>' % PAUSED.encode(), text, count=1)


def why_not_adoptable(ref: ObjectRef, files: Sequence[str], theirs: Mapping[str, Foreign]) -> str:
    """Why a foreign object cannot be adopted; nothing if it stands alone in the file of its name."""
    first, *more = (f'"{OBJECTS}/{printable(file)}"' for file in files)
    found = theirs[files[0]]
    if more:
        return f"{first} and {more[0]} both contain this object or use its file name; keep one of them"
    if ref not in found.refs:
        return f"{first} has the file name of this object and contains something else; move it away"
    if found.owner:
        return f"{first} was written by another smihub.yaml, with owner {found.owner[:8]}...; release it there first"
    if not found.token:
        return f"{first} contains more than this object; move this object to a separate file"
    return "" if files[0] == file_name(ref) else f'{first} contains it; rename the file to "{file_name(ref)}" first'
