"""Whose a file is to be from now on: what adopting, releasing and hands-off write. Pure.

An adopted object that stood in a file of another name is for a moment in two: ours tells by an annotation which one it
came from, so that whoever writes next, after a kill as well, removes that one and no other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal
from urllib.parse import quote_from_bytes, unquote_to_bytes

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from hub.api import Marking
from hub.errors import StaleError, UnsafeResourceError
from hub.model import ObjectRef, Observed, Role, UnitKey
from hub.sinks.emit import emit
from hub.sinks.manifest import ADOPTED_FROM, HANDS_OFF, Broken, Foreign, Unowned, canonical, digest, read, stamp
from hub.sinks.names import OBJECTS, file_name, shown

_BEFORE = re.compile(rb"^( +)smihub[.]io/mesh:", re.MULTILINE)
_HANDS_OFF = re.compile(rb"^ +([\"']?)smihub[.]io/hands-off\1:.*\n", re.MULTILINE)


class Move(Struct, frozen=True):
    """One file: what is written at first and at last (None: it is gone anyhow), and how it is listed from then on.

    `token` is the digest of what was read, in the file `old` if that is another one, which then goes.
    """

    file: str
    first: bytes | None
    last: bytes | None
    token: str
    listed: tuple[Role, UnitKey] | Literal["others", "as before"] = "as before"
    old: str = ""


class Standing(Struct, frozen=True):
    """What the marks are set upon: our objects and others' by file, for one mesh."""

    mesh: str
    ours: Mapping[str, Observed]
    theirs: Mapping[str, Foreign]
    owner: str = ""

    def read(self, data: bytes) -> Observed | Foreign | Broken:
        """What a file would hold; a mark that names no owner is ours, as that of what it was written over."""
        found = read(data, self.mesh, self.owner)
        return found.ours if isinstance(found, Unowned) else found


def move(mark: Marking, standing: Standing, data: bytes) -> Move:
    """How a mark is set; `data` is what the object's file holds. Raises StaleError where it is not as it was."""
    if mark.mark == "adopt":
        return _adopt(mark, standing)
    file = file_name(mark.ref)
    one = standing.ours.get(file)
    if one is None or one.token != mark.token:
        raise _stale(mark.ref)
    if mark.mark == "release":
        return _release(file, one, standing)
    text = _with_hands_off(data) if mark.mark == "hands-off" else _HANDS_OFF.sub(b"", data)
    wanted = replace(one, hands_off=mark.mark == "hands-off", token=digest(text))
    if standing.read(text) != wanted:
        raise UnsafeResourceError(
            f'"{OBJECTS}/{file}" is not laid out as smihub writes it; write (or take out) {HANDS_OFF}: "true" by hand'
        )
    return Move(file, text, text, one.token)


def _adopt(mark: Marking, standing: Standing) -> Move:
    native, unit, file = mark.native, mark.unit, file_name(mark.ref)
    old = next((name for name, found in standing.theirs.items() if mark.ref in found.refs), file)
    found = standing.theirs.get(old, Foreign())
    if native is None or unit is None or not found.token or (found.content, found.token) != (native.body, mark.token):
        raise _stale(mark.ref)
    data = stamp(native, unit, standing.mesh, standing.owner)
    listed = (native.role, unit)
    if old == file:
        return Move(file, data, data, found.token, listed)
    if file in standing.theirs or file in standing.ours:
        raise _stale(mark.ref)
    return Move(file, _from(data, old), data, found.token, listed, old)


def _release(file: str, one: Observed, standing: Standing) -> Move:
    if not one.token:  # it is listed, and its file is gone
        return Move(file, None, None, "", "others")
    content = without_source(one.owned)
    data = emit(msgspec.json.decode(content)).encode()
    if standing.read(data) != Foreign((one.ref,), content, digest(data)):
        raise UnsafeResourceError(
            f'"{OBJECTS}/{file}" would be read back as something else without its mark; run smihub apply first'
        )
    return Move(file, data, data, one.token, "others")


def _stale(ref: ObjectRef) -> StaleError:
    return StaleError(f"{ref} is not as it was, so nothing was written; run the command again")


# --------------------------------------------------------------------------- annotations in the text of a file


def _with_hands_off(data: bytes) -> bytes:
    text = _HANDS_OFF.sub(b"", data)
    return _BEFORE.sub(rb'\1%b: "true"\n\g<0>' % HANDS_OFF.encode(), text, count=1)


def _from(data: bytes, old: str) -> bytes:
    name = quote_from_bytes(old.encode("utf-8", "surrogateescape"), safe="")
    return _BEFORE.sub(rb'\1%b: "%b"\n\g<0>' % (ADOPTED_FROM.encode(), name.encode()), data, count=1)


def adopted_from(owned: bytes) -> str:
    """The file that an object of ours was adopted from by a write that did not end; else nothing."""
    if ADOPTED_FROM.encode() not in owned:
        return ""
    name = msgspec.json.decode(owned)["metadata"].get("annotations", {}).get(ADOPTED_FROM)
    return unquote_to_bytes(name).decode("utf-8", "surrogateescape") if isinstance(name, str) else ""


def without_source(owned: bytes) -> bytes:
    """What we own of an object, without the name of the file that it was adopted from."""
    value = msgspec.json.decode(owned)
    metadata = dict(value["metadata"])
    annotations = {key: text for key, text in metadata.pop("annotations", {}).items() if key != ADOPTED_FROM}
    if annotations:
        metadata["annotations"] = annotations
    return canonical({**value, "metadata": metadata})


def hindrance(ref: ObjectRef, files: Sequence[str], theirs: Mapping[str, Foreign]) -> str:
    """Why a foreign object cannot be adopted; nothing if it stands alone in the one file."""
    first, *more = (f'"{OBJECTS}/{shown(file)}"' for file in files)
    found = theirs[files[0]]
    if more:
        return f"{first} and {more[0]} both hold it or stand in its place; keep one"
    if ref not in found.refs:
        return f"{first} stands in its place and holds something else; move that away"
    if found.owner:
        return f"{first} was written for another smihub.yaml, of owner {found.owner[:8]}...; that one has to release it"
    return "" if found.token else f"{first} holds more than this object; give it a file of its own"
