"""What a kind is: its versions, its decoder, and the parts that decoders of several groups share."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct

from hub.smi.fields import NOTHING, FieldReader, Level
from hub.smi.names import is_subdomain
from hub.smi.types import SmiObject

Body = Mapping[str, object]
ENVELOPE = frozenset({"apiVersion", "kind", "metadata", "status"})
"""Fields that every object may have beside what it says; `status` is never read."""


class Kind(Struct, frozen=True):
    """One kind of one API group.

    `decode(reader, value, version)` gives the object, whose worth ends where `reader.invalid` is True.
    `guess(value)` recognises the version by shape (None: the kind needs an apiVersion). `is_name` judges metadata.name.
    """

    versions: tuple[str, ...]
    decode: Callable[[FieldReader, Body, str], SmiObject]
    guess: Callable[[Body], str] | None = None
    is_name: Callable[[str], bool] = is_subdomain


class VersionLayout(Struct, frozen=True):
    """Where a version keeps its fields: under `spec` (`nested`), or beside `metadata`."""

    nested: bool
    top: Level
    body: Level


def nested(body: Level) -> VersionLayout:
    """The shape with everything under `spec`; the same fields at the top are misplaced."""
    inside = body.known or frozenset()
    moves = {name: f'move "{name}" under "spec", where this version has it' for name in inside}
    return VersionLayout(nested=True, top=Level(ENVELOPE | {"spec"}, {**body.hints, **moves}), body=body)


def flat(body: Level) -> VersionLayout:
    """The shape of the oldest versions: fields at the top, and no `spec`."""
    hint = 'this version has no "spec": move its fields to the top level, next to "metadata", or use a newer apiVersion'
    top = Level(ENVELOPE | (body.known or frozenset()), {**body.hints, "spec": hint})
    return VersionLayout(nested=False, top=top, body=body)


def read_body(reader: FieldReader, value: Body, shape: VersionLayout) -> tuple[Body, str]:
    """The mapping that holds the version's own fields, and its path."""
    top = reader.mapping(value, "", shape.top)
    if not shape.nested:
        return top, ""
    if "spec" not in top:
        reader.missing("", "spec", "a mapping with the fields of this kind")
        return NOTHING, "spec"
    return reader.mapping(top["spec"], "spec", shape.body), "spec"


def inner(value: object, *keys: str) -> object:
    """The value at these nested keys, None where a mapping or a key is absent (for guessing, never for reading)."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value
