"""Lists in parts that an object can hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

MAX_ITEMS = 256
MAX_PART = 120_000
_T = TypeVar("_T")


def chunks(items: Sequence[_T]) -> list[Sequence[_T]]:
    """Parts that are neither long nor large, in order."""
    parts: list[list[_T]] = []
    room = 0
    for item in items:
        size = len(item) if isinstance(item, bytes) else len(msgspec.json.encode(item))
        if not parts or len(parts[-1]) == MAX_ITEMS or size > room:
            parts.append([])
            room = MAX_PART
        parts[-1].append(item)
        room -= size
    return list(parts)
