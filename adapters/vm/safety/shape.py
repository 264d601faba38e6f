"""A small language for saying which messages are allowed: everything that a shape does not name is refused.

A shape is a function that looks at one value and raises `ShapeError` with the path to what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from adapters.vm import wire
from hub.api import UnmodelledError

Shape = Callable[[Any, str], None]


class ShapeError(Exception):
    """A value that its shape does not allow; the text starts with the path to it."""


def message(must: Mapping[str, Shape] | None = None, may: Mapping[str, Shape] | None = None) -> Shape:
    """A message with every field of `must` set, perhaps some of `may`, and no other field at all."""
    needed, allowed = must or {}, {**(may or {}), **(must or {})}

    def check(value: Any, path: str) -> None:
        missing = len(needed)
        for descriptor, part in value.ListFields():
            name = descriptor.name
            if name not in allowed:
                raise ShapeError(f'{path}: "{name}" is never sent')
            missing -= name in needed
            allowed[name](part, f"{path}.{name}")
        if missing:
            absent = min(needed.keys() - {descriptor.name for descriptor, _ in value.ListFields()})
            raise ShapeError(f'{path}: "{absent}" is not set')

    return check


def exactly_one(fields: Mapping[str, Shape], beside: Mapping[str, Shape] | None = None) -> Shape:
    """A message with exactly one of these fields set (and every field of `beside`)."""
    shape = message(must=beside, may=fields)

    def check(value: Any, path: str) -> None:
        shape(value, path)
        if sum(descriptor.name in fields for descriptor, _ in value.ListFields()) != 1:
            raise ShapeError(f"{path}: not exactly one of {sorted(fields)} is set")

    return check


def each(shape: Shape, least: int = 1, most: int | None = None) -> Shape:
    """A list of `least` to `most` values of one shape."""

    def check(value: Any, path: str) -> None:
        if len(value) < least or (most is not None and len(value) > most):
            raise ShapeError(f"{path}: {len(value)} entries")
        for index, part in enumerate(value):
            shape(part, f"{path}[{index}]")

    return check


def sequence(*shapes: Shape) -> Shape:
    """A list of exactly these shapes, in this order."""

    def check(value: Any, path: str) -> None:
        if len(value) != len(shapes):
            raise ShapeError(f"{path}: {len(value)} entries where {len(shapes)} belong")
        for index, (part, shape) in enumerate(zip(value, shapes, strict=True)):
            shape(part, f"{path}[{index}]")

    return check


def keyed(shape: Shape, keys: Collection[str] | None = None) -> Shape:
    """A map whose values have one shape; with `keys`, exactly these keys."""

    def check(value: Any, path: str) -> None:
        if keys is not None and set(value) != set(keys):
            raise ShapeError(f"{path}: keys {sorted(value)} where {sorted(keys)} belong")
        for key in sorted(value):
            shape(value[key], f'{path}["{key}"]')

    return check


def equal(*wanted: object) -> Shape:
    """One of these values."""

    def check(value: Any, path: str) -> None:
        if value not in wanted:
            raise ShapeError(f"{path}: {value!r} is never sent")

    return check


def text(pattern: str) -> Shape:
    """A text that this pattern fully matches."""
    compiled = re.compile(pattern)

    def check(value: Any, path: str) -> None:
        if not isinstance(value, str) or compiled.fullmatch(value) is None:
            raise ShapeError(f"{path}: {str(value)[:80]!r} is never sent")

    return check


def number(least: int, most: int) -> Shape:
    """A whole number in this range."""

    def check(value: Any, path: str) -> None:
        if not least <= value <= most:
            raise ShapeError(f"{path}: {value} is not in {least}..{most}")

    return check


def either(*shapes: Shape) -> Shape:
    """Any of these shapes; the complaint is the last one's."""

    def check(value: Any, path: str) -> None:
        for shape in shapes[:-1]:
            try:
                return shape(value, path)
            except ShapeError:
                continue
        return shapes[-1](value, path)

    return check


def anything(value: Any, path: str) -> None:
    """A scalar that cannot open anything."""


def extension(kind: type[wire.Message], shape: Shape) -> Shape:
    """An `Any` of exactly this type, in canonical bytes, with content of this shape."""

    def check(value: Any, path: str) -> None:
        if value.type_url != wire.type_url(kind):
            raise ShapeError(f'{path}: "{value.type_url}" is never sent here')
        try:
            content = wire.unpack(value)
        except UnmodelledError as error:
            raise ShapeError(f"{path}: {error}") from error
        if not wire.is_canonical(content, value.value):
            raise ShapeError(f"{path}: it has unknown fields or irregular bytes")
        shape(content, path)

    return check


def wrapped(shape: Shape) -> Shape:
    """A wrapper message (BoolValue, UInt32Value) whose value has this shape; unset counts as the default."""

    def check(value: Any, path: str) -> None:
        shape(value.value, path)

    return check
