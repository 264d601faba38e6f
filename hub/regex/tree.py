"""What a pattern means, as a small tree. Captures, names and greediness are gone: a full match does not see them."""

from __future__ import annotations

from msgspec import Struct

from hub.regex.chars import CharSet


class One(Struct, frozen=True):
    """One character of a set."""

    chars: CharSet


class Edge(Struct, frozen=True):
    """No character, but a condition on the place: a mask of the conditions below."""

    condition: int


class Row(Struct, frozen=True):
    """One after the other; none is the empty text."""

    parts: tuple[Node, ...]


class Choice(Struct, frozen=True):
    """Any of them, at least two."""

    parts: tuple[Node, ...]


class Times(Struct, frozen=True):
    """`least` to `most` repetitions; None has no end."""

    part: Node
    least: int
    most: int | None


Node = One | Edge | Row | Choice | Times

TEXT_BEGIN, TEXT_END, LINE_BEGIN, LINE_END, BOUNDARY, NO_BOUNDARY = 1, 2, 4, 8, 16, 32
"""Conditions on a place: `\\A`, `\\z`, `(?m)^`, `(?m)$`, `\\b`, `\\B`."""
