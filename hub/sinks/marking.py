"""Whose a file is to be from now on: what adopting, releasing, pausing and resuming write. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from hub.api import FileForm, Marking
from hub.errors import StaleError, UnsafeResourceError
from hub.model import ObjectRef, Observed, Role, UnitKey
from hub.sinks.manifest import Broken, Foreign, ObjectFiles, Unowned, digest
from hub.sinks.names import OBJECTS, file_name, printable_file


class OwnershipChange(Struct, frozen=True):
    """One file: what is written (None: it is gone anyhow) over what has this digest, and how it is listed from then on."""

    file: str
    data: bytes | None
    token: str
    listed: tuple[Role, UnitKey] | Literal["others", "as before"] = "as before"


class FolderObjects(Struct, frozen=True):
    """What the marks are set upon: our objects and others' by file, for one mesh."""

    files: ObjectFiles
    ours: Mapping[str, Observed]
    theirs: Mapping[str, Foreign]

    def file_name(self, ref: ObjectRef) -> str:
        """The file that an object stands in."""
        return file_name(self.files.form, ref)

    def read(self, data: bytes) -> Observed | Foreign | Broken:
        """What a file would hold; a mark that names no owner is ours, as that of what it was written over."""
        found = self.files.read(data)
        return found.ours if isinstance(found, Unowned) else found


def ownership_change(mark: Marking, standing: FolderObjects, data: bytes) -> OwnershipChange:
    """How a mark is set; `data` is what the object's file holds. Raises StaleError where it is not as it was."""
    if mark.mark == "adopt":
        return _adopt(mark, standing)
    file = standing.file_name(mark.ref)
    one = standing.ours.get(file)
    if one is None or one.token != mark.token:
        raise _stale(mark.ref)
    if mark.mark == "release":
        return _release(file, one, standing)
    text = standing.files.with_pause(data, paused=mark.mark == "pause")
    wanted = replace(one, paused=mark.mark == "pause", token=digest(text))
    # The text is edited by pattern, so that comments and layout stay; what comes of it is proven here.
    if standing.read(text) != wanted:
        raise UnsafeResourceError(
            f'"{OBJECTS}/{file}" does not have the layout that smihub writes; add or remove {standing.files.form.paused} by hand'
        )
    return OwnershipChange(file, text, one.token)


def _adopt(mark: Marking, standing: FolderObjects) -> OwnershipChange:
    native, unit, file = mark.native, mark.unit, standing.file_name(mark.ref)
    holders = [name for name, found in standing.theirs.items() if mark.ref in found.refs]
    found = standing.theirs.get(file, Foreign())
    same = native is not None and (found.content, found.token) == (native.body, mark.token)
    if native is None or unit is None or holders != [file] or not same or found.owner or found.mesh:
        raise _stale(mark.ref)
    return OwnershipChange(file, standing.files.stamp(native, unit), found.token, (native.role, unit))


def _release(file: str, one: Observed, standing: FolderObjects) -> OwnershipChange:
    if not one.token:  # it is listed, and its file is gone
        return OwnershipChange(file, None, "", "others")
    try:
        return OwnershipChange(file, standing.files.without_mark(one), one.token, "others")
    except UnsafeResourceError as error:
        raise UnsafeResourceError(f'"{OBJECTS}/{file}": {error}; run smihub apply first') from None


def _stale(ref: ObjectRef) -> StaleError:
    return StaleError(f"{ref} has changed in the meantime, so nothing was written; run the command again")


def why_not_adoptable(form: FileForm, ref: ObjectRef, files: Sequence[str], theirs: Mapping[str, Foreign]) -> str:
    """Why a foreign object cannot be adopted; nothing if it stands alone in the file of its name."""
    first, *more = (f'"{OBJECTS}/{printable_file(file)}"' for file in files)
    found = theirs[files[0]]
    if more:
        return f"{first} and {more[0]} both contain this object or use its file name; keep one of them"
    if ref not in found.refs:
        return f"{first} has the file name of this object and contains something else; move it away"
    if found.owner:
        return f"{first} was written by another smihub.yaml, with owner {found.owner[:8]}...; release it there first"
    if found.mesh:
        return f'{first} was written for mesh "{printable_file(found.mesh)}"; release it there first, or remove the label if it is a copy'
    if not found.token:
        return f"{first} contains more than this object; move this object to a separate file"
    place = file_name(form, ref)
    return "" if files[0] == place else f'{first} contains it; rename the file to "{place}" first'
