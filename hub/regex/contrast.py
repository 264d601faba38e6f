"""Why a language cannot be said by prefixes and suffixes: two texts that differ only in their middle."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hub.regex.definite import StateStructure

_APART = 2
"""How many letters stand between the difference and the end, at least; it could be any number."""

_Pair = tuple[int, int]


def contrast(shape: StateStructure) -> tuple[str, str] | None:
    """A text of the language and one that is not, equal but for their middle; None if no loop is to blame.

    Beginning and end could be made as long as anyone likes, so no prefix or suffix tells the two apart.
    Time: O(n^2 m) in the worst case for n states and m classes, bounded by the meter of the shape.
    """
    blamed = {at for at in shape.looping if not shape.settled(at)}
    if not blamed:
        return None
    begin, (here, _) = _first(shape, (0, -1), lambda pair: pair[0] in blamed)
    middle, (there, _) = _first(shape, (here, -1), lambda pair: _apart(shape, here, pair[0]))
    pair, end = (here, there), ""
    for _ in range(_APART):
        letter, pair = next(step for step in _steps(shape, pair) if _apart(shape, *step[1]))
        end += letter
    end += _first(shape, pair, lambda pair: _accepts(shape, pair[0]) != _accepts(shape, pair[1]))[0]
    begin = shape.language.universe.start + begin
    one, other = sorted((begin + end, begin + middle + end), key=shape.language.holds, reverse=True)
    return one, other


def _apart(shape: StateStructure, one: int, other: int) -> bool:
    """Whether the two states can be kept different by texts of any length."""
    if one < 0 or other < 0:
        return max(one, other) in shape.endless
    return one in shape.total and other in shape.total and shape.blocks[one] != shape.blocks[other]


def _accepts(shape: StateStructure, at: int) -> bool:
    return at >= 0 and shape.language.accepting[at]


def _steps(shape: StateStructure, pair: _Pair) -> Iterator[tuple[str, _Pair]]:
    """Every letter and where it leads."""
    rows, letters = shape.language.rows, shape.letters
    shape.meter.spend(len(letters))
    for kind, letter in enumerate(letters):
        one, other = (rows[at][kind] if at >= 0 else -1 for at in pair)
        yield letter, (one, other)


def _first(shape: StateStructure, start: _Pair, wanted: Callable[[_Pair], bool]) -> tuple[str, _Pair]:
    """A shortest text from a pair of states to a wanted one, and that pair. There is one wherever this is called."""
    seen, layer = {start}, [("", start)]
    for text, pair in layer:
        if wanted(pair):
            return text, pair
        for letter, to in _steps(shape, pair):
            if to not in seen:
                seen.add(to)
                layer.append((text + letter, to))
    raise AssertionError("no such pair can be reached")
