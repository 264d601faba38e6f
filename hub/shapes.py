"""The last look at a manifest before it leaves the hub: final bytes against a closed list of shapes, which an adapter gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from hub.errors import UnsafeResourceError


class _ShapeError(Exception):
    """What is wrong, and where."""


def demand(held: object, otherwise: str) -> None:
    """Have `check_shape` refuse the manifest, with the words of `otherwise`, unless something is held."""
    if not held:
        raise _ShapeError(otherwise)


def check_shape(body: bytes, shapes: Any, checks: Mapping[type, Callable[[Any], None]], vendor: str) -> None:
    """Refuse bytes that are not exactly an object as smihub makes them.

    `shapes` is a tagged union of msgspec types that forbid unknown fields; `checks` call `demand` about each of them.
    Raises UnsafeResourceError that names the object, or the vendor, and what is wrong.
    """
    try:
        raw = msgspec.json.decode(body)
        manifest = msgspec.convert(raw, shapes)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UnsafeResourceError(f"{vendor} object must not be written: {error}") from error
    label = f'{type(manifest).__name__} "{manifest.metadata.namespace}/{manifest.metadata.name}"'
    try:
        # Compared as bytes: a duplicate key, or a number written in another way, may be read differently in Go than here.
        demand(msgspec.json.encode(raw, order="sorted") == body, "its bytes are not canonical")
        checks[type(manifest)](manifest)
    except _ShapeError as finding:
        raise UnsafeResourceError(f"{label} must not be written: {finding}") from finding
