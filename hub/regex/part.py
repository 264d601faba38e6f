"""The part of a language of paths that can be said without patterns, where the whole of it cannot."""

from __future__ import annotations

from msgspec import Struct

from hub.regex.accepted import error
from hub.regex.algebra import excess
from hub.regex.automaton import Language
from hub.regex.bounds import Meter
from hub.regex.definite import StateStructure
from hub.regex.guess import MAX_VALUES, TooManyError, written_out
from hub.regex.meaning import Forms, language_of_forms

_META = frozenset("\\.+*?()|[]{}^$")


class Part(Struct, frozen=True):
    """A part of a language: the forms that say it, a pattern for each of their texts, and a shortest text of the rest."""

    forms: Forms
    patterns: tuple[str, ...]
    rest: str


def path_part(language: Language) -> Part | None:
    """The texts in which nothing repeats, and the beginnings after which anything may follow; None if there are none, or too many.

    Nothing outside of the language is in it: that is proven. Raises `RegexRefusedError` beyond the engine's bounds.
    """
    try:
        exact, prefixes = _unrepeated(StateStructure(language, Meter()))
    except TooManyError:
        return None
    forms = Forms(exact=tuple(filter(_is_writable, exact)), prefixes=tuple(filter(_is_writable, prefixes)))
    patterns = (*map(_quoted, forms.exact), *(f"{_quoted(text)}(?s:.*)" for text in forms.prefixes))
    if not patterns or any(map(error, patterns)):
        return None
    expressed = language_of_forms(forms, language.universe)
    rest = excess(language, expressed)
    return None if rest is None or excess(expressed, language) is not None else Part(forms, patterns, rest)


def _unrepeated(structure: StateStructure) -> tuple[list[str], list[str]]:
    """The texts, and the beginnings, to which no state on a loop leads, and no letter that stands for a class of many."""
    language, letters, goal = structure.language, written_out(structure.language), structure.accepting_all
    exact: list[str] = []
    prefixes: list[str] = []
    work = [(language.universe.start, 0)] if 0 not in structure.looping else []
    while work:
        text, at = work.pop()
        structure.meter.spend(1 + len(letters))
        if at == goal:
            prefixes.append(text)
            continue
        if language.accepting[at]:
            exact.append(text)
        if len(exact) + len(prefixes) + len(work) > MAX_VALUES:
            raise TooManyError
        row = language.rows[at]
        wide = {to for to, choices in zip(row, letters, strict=True) if choices is None}
        for to, choices in zip(row, letters, strict=True):
            if to >= 0 and to not in wide and (to == goal or to not in structure.looping):
                work += [(text + char, to) for char in choices or ()]
    return sorted(exact), sorted(prefixes)


def _is_writable(text: str) -> bool:
    """Whether a mesh reads the text as it is: no star at an edge, and no brace, which begins a template."""
    return bool(text) and text[0] != "*" and text[-1] != "*" and not set(text) & set("{}")


def _quoted(text: str) -> str:
    return "".join(f"\\{char}" if char in _META else char for char in text)
