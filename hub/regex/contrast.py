"""Why a language cannot be said by prefixes and suffixes: two texts that differ only in their middle."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hub.regex.definite import StateStructure

_APART = 2
"""How many letters stand between the difference and the end, at least; it could be any number."""

_Pair = tuple[int, int]


def contrast(structure: StateStructure) -> tuple[str, str] | None:
    """A text of the language and one that is not, equal but for their middle; None if no loop is to blame.

    Beginning and end could be made as long as anyone likes, so no prefix or suffix tells the two apart.
    Time: O(n^2 m) in the worst case for n states and m classes, bounded by the meter of the structure.
    """
    blamed = {at for at in structure.looping if not structure.has_suffix_form(at)}
    if not blamed:
        return None
    begin, (here, _) = _first(structure, (0, -1), lambda pair: pair[0] in blamed)
    middle, (there, _) = _first(structure, (here, -1), lambda pair: _apart(structure, here, pair[0]))
    pair, end = (here, there), ""
    for _ in range(_APART):
        letter, pair = next(step for step in _steps(structure, pair) if _apart(structure, *step[1]))
        end += letter
    end += _first(structure, pair, lambda pair: _accepts(structure, pair[0]) != _accepts(structure, pair[1]))[0]
    begin = structure.language.universe.start + begin
    one, other = sorted((begin + end, begin + middle + end), key=structure.language.holds, reverse=True)
    return one, other


def _apart(structure: StateStructure, one: int, other: int) -> bool:
    """Whether the two states can be kept different by texts of any length."""
    if one < 0 or other < 0:
        return max(one, other) in structure.endless
    return one in structure.total and other in structure.total and structure.blocks[one] != structure.blocks[other]


def _accepts(structure: StateStructure, at: int) -> bool:
    return at >= 0 and structure.language.accepting[at]


def _steps(structure: StateStructure, pair: _Pair) -> Iterator[tuple[str, _Pair]]:
    """Every letter and where it leads."""
    rows, letters = structure.language.rows, structure.letters
    structure.meter.spend(len(letters))
    for kind, letter in enumerate(letters):
        one, other = (rows[at][kind] if at >= 0 else -1 for at in pair)
        yield letter, (one, other)


def _first(structure: StateStructure, start: _Pair, wanted: Callable[[_Pair], bool]) -> tuple[str, _Pair]:
    """A shortest text from a pair of states to a wanted one, and that pair. There is one wherever this is called."""
    seen, layer = {start}, [("", start)]
    for text, pair in layer:
        if wanted(pair):
            return text, pair
        for letter, to in _steps(structure, pair):
            if to not in seen:
                seen.add(to)
                layer.append((text + letter, to))
    raise AssertionError("no such pair can be reached")
