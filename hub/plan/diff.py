"""Field differences between two JSON-like values, for people who review a plan. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

_MISSING: Any = object()


class FieldChange(Struct, frozen=True):
    """One leaf that differs: its path, and the values before and after as text (None: absent on that side)."""

    path: str
    before: str | None
    after: str | None


def diff(before: Any, after: Any) -> tuple[FieldChange, ...]:
    """Every differing leaf of two JSON-like values, in order of appearance; list items are compared by position.

    A part that is there on one side only is reported leaf by leaf, so nothing hides behind its parent.
    """
    return tuple(_walk("", before, after))


def _walk(path: str, before: Any, after: Any) -> Iterator[FieldChange]:
    if isinstance(before, dict) or isinstance(after, dict):
        yield from _walk_keys(path, before, after)
    elif isinstance(before, list) or isinstance(after, list):
        yield from _walk_items(path, before, after)
    # In Python 1 equals True and 1.0; in a manifest they are different values.
    elif before != after or type(before) is not type(after):
        yield FieldChange(path, _text(before), _text(after))


def _walk_keys(path: str, before: Any, after: Any) -> Iterator[FieldChange]:
    old, new = _mapping(before), _mapping(after)
    if not isinstance(before, dict) and before is not _MISSING:
        yield FieldChange(path, _text(before), None)
    if not isinstance(after, dict) and after is not _MISSING:
        yield FieldChange(path, None, _text(after))
    for key in [*old, *(key for key in new if key not in old)]:
        yield from _walk(f"{path}.{key}" if path else str(key), old.get(key, _MISSING), new.get(key, _MISSING))


def _walk_items(path: str, before: Any, after: Any) -> Iterator[FieldChange]:
    old = before if isinstance(before, list) else []
    new = after if isinstance(after, list) else []
    for index in range(max(len(old), len(new))):
        left = old[index] if index < len(old) else _MISSING
        right = new[index] if index < len(new) else _MISSING
        yield from _walk(f"{path}[{index}]", left, right)


def _mapping(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return None if value is _MISSING else str(value)
