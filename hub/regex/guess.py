"""Find candidates for forms in an automaton; others prove them."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from hub.regex.automaton import Language
from hub.regex.chars import CharSet, size
from hub.regex.definite import StateStructure

MAX_VALUES = 256
"""Most texts of one kind that forms may list."""
MAX_LETTERS = 64
"""Largest class of letters that is written out."""


class TooManyError(Exception):
    """A list would be longer than it may be, or has no end."""


class Piece(Struct, frozen=True):
    """Texts with this prefix, and one of these suffixes."""

    prefix: str
    suffixes: tuple[str, ...]


def all_texts(language: Language) -> tuple[str, ...]:
    """All texts of a finite language. Raises `TooManyError` if it is infinite or longer than `MAX_VALUES`."""
    found: list[str] = []
    letters = written_out(language)
    work = [(language.universe.start, 0)] if any(language.accepting) else []
    while work:
        text, at = work.pop()
        if language.accepting[at]:
            found.append(text)
        if len(found) + len(work) > MAX_VALUES or len(text) > len(language.rows) + len(language.universe.start):
            raise TooManyError
        for to, choices in zip(language.rows[at], letters, strict=True):
            if to >= 0 and choices is None:
                raise TooManyError
            work += [(text + char, to) for char in choices or ()] if to >= 0 else []
    return tuple(sorted(found))


def affix_pieces(structure: StateStructure) -> list[Piece]:
    """Prefixes after which everything is accepted, and suffixes before which anything may stand."""
    language = structure.language
    pieces = (
        [Piece(text, ("",)) for text in _prefixes(structure, structure.accepting_all)]
        if structure.accepting_all >= 0
        else []
    )
    if len(structure.total) == len(language.rows):
        pieces.append(Piece("", tuple(_suffixes(structure, set(range(len(language.rows)))))))
    return [piece for piece in pieces if piece.suffixes]


def _prefixes(structure: StateStructure, goal: int) -> Iterator[str]:
    """Texts that lead to the goal, without those that pass a state twice or a class too large to write out.

    Raises `TooManyError` beyond `MAX_VALUES`; so does `_suffixes`.
    """
    language, letters = structure.language, written_out(structure.language)
    work: list[tuple[str, int, frozenset[int]]] = [(language.universe.start, 0, frozenset())]
    count = 0
    while work:
        text, at, passed = work.pop()
        count += at == goal
        structure.meter.spend(1 + len(letters))
        if count + len(work) > MAX_VALUES:
            raise TooManyError
        if at == goal:
            yield text
            continue
        for to, choices in zip(language.rows[at], letters, strict=True):
            if to >= 0 and to != at and to not in passed:
                work += [(text + char, to, passed | {at}) for char in choices or ()]


def _suffixes(structure: StateStructure, states: set[int]) -> Iterator[str]:
    """Shortest texts that lead from every one of the states to acceptance, as far as they can be written out.

    The states are closed under transitions. A text grows at its front; `good` are the states from which it is accepted.
    """
    language, letters = structure.language, written_out(structure.language)
    good = frozenset(at for at in states if language.accepting[at])
    work: list[tuple[str, frozenset[int], frozenset[frozenset[int]]]] = [("", good, frozenset())]
    count = 0
    while work:
        text, good, passed = work.pop()
        count += good >= states
        if count + len(work) > MAX_VALUES:
            raise TooManyError
        if good >= states:
            yield text
            continue
        for kind, choices in enumerate(letters):
            structure.meter.spend(1 + len(states) // 8)
            before = frozenset(at for at in states if language.rows[at][kind] in good)
            if before and before != good and before not in passed:
                work += [(char + text, before, passed | {good}) for char in choices or ()]


def prefix_suffix_pieces(structure: StateStructure) -> list[Piece]:
    """One piece per shortest text to a definite state; the language is theirs but for finitely many texts.

    Raises `TooManyError` where a state that is not definite lies on a loop, or lists are too long.
    """
    language, letters = structure.language, written_out(structure.language)
    pieces: list[Piece] = []
    known: dict[int, tuple[str, ...]] = {}
    work = [(language.universe.start, 0)]
    while work:
        text, at = work.pop()
        structure.meter.spend(1 + len(letters))
        if at in structure.definite:
            known[at] = known.get(at) or tuple(sorted(_suffixes(structure, structure.recurrent(at))))
            pieces.append(Piece(text, known[at]))
            continue
        if at not in structure.endless:
            continue
        for to, choices in zip(language.rows[at], letters, strict=True):
            if (
                at in structure.looping
                or (choices is None and to in structure.endless)
                or len(work) + len(pieces) > MAX_VALUES
            ):
                raise TooManyError
            work += [(text + char, to) for char in choices or ()] if to >= 0 else []
    return pieces


def written_out(language: Language) -> list[str | None]:
    """The letters of each class, None for a class too large to write out."""
    return [_letters(chars) if size(chars) <= MAX_LETTERS else None for chars in language.classes.ranges()]


def _letters(chars: CharSet) -> str:
    return "".join(chr(code) for low, high in chars for code in range(low, high + 1))
