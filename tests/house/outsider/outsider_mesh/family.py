"""Walls as a family: how they are shown, and how they stand in files, as TOML with a table for the mark."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from hub.api import (
    ConfigError,
    FamilySpec,
    FileForm,
    FileMark,
    FileObject,
    ObjectRef,
    UnmodelledError,
    UnsafeResourceError,
)

GROUP, KIND = "outsider.example", "Wall"
_FILE = re.compile(r"([a-z0-9-]+)_([a-z0-9.-]+)[.]toml")


class WallFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file: where the wall stands, what it is, and our mark, if it is ours."""

    namespace: str
    name: str
    wall: dict[str, str]
    smihub: FileMark | None = None


def canonical(wall: Mapping[str, str]) -> bytes:
    """JSON in one form only."""
    return msgspec.json.encode(wall, order="deterministic")


def view(body: bytes, kind: str) -> Any:
    """A wall as data."""
    try:
        return json.loads(body)
    except ValueError:
        raise UnmodelledError(f'these bytes are not a "{kind}"') from None


def file_name(ref: ObjectRef) -> str:
    """`NAMESPACE_NAME.toml`."""
    return f"{ref.namespace}_{ref.name}.toml"


def ref_of(file: str) -> ObjectRef | None:
    """The wall whose file that is."""
    found = _FILE.fullmatch(file)
    return ObjectRef(GROUP, KIND, found[1], found[2]) if found else None


def write(body: bytes, mark: FileMark | None) -> bytes:
    """A wall as TOML; which one it is, its body says."""
    try:
        wall = msgspec.json.decode(body, type=dict[str, str])
        place = {"namespace": wall.pop("namespace"), "name": wall.pop("name")}
    except (msgspec.MsgspecError, KeyError):
        raise UnsafeResourceError("its body is not a wall") from None
    comments = [f"# {comment}" for comment in mark.comments()] if mark else []
    marked = ["[smihub]", *_lines(msgspec.structs.asdict(mark))] if mark else []
    return "\n".join([*comments, *_lines(place), "[wall]", *_lines(wall), *marked, ""]).encode()


def _lines(values: Mapping[str, object]) -> list[str]:
    return [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in sorted(values.items())]


def read(data: bytes) -> Sequence[FileObject]:
    """The wall of a file."""
    try:
        found = msgspec.convert(tomllib.loads(data.decode()), WallFile)
    except (ValueError, RecursionError, msgspec.ValidationError) as error:
        raise ConfigError(f"it is not a wall: {error}") from None
    body = canonical({**found.wall, "namespace": found.namespace, "name": found.name})
    return [FileObject(ObjectRef(GROUP, KIND, found.namespace, found.name), body, found.smihub)]


def note(kind: str, body: bytes, word: str, text: str) -> bytes:
    """A wall with a note on it."""
    return canonical({**json.loads(body or b"{}"), f"note {word}": text})


FAMILY = FamilySpec("walls", view, FileForm((".toml",), b"[smihub]", file_name, ref_of, write, read, note))
