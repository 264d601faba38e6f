"""Find path templates (`/users/{*}/orders`, `/files/{**}`) in an automaton; others prove them.

Safe templates begin with a slash, have no empty segment, and `{**}` at most once and last: others passed Istio's check
and ended the process of Envoy 1.40. Template syntax: Istio, AuthorizationPolicy, "Operation.paths".
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from hub.regex.chars import CharSet, intersect, size
from hub.regex.definite import StateStructure
from hub.regex.guess import TooManyError
from hub.regex.meaning import TEMPLATE_LETTERS

MAX_TEMPLATES = 64
"""Most templates for one language."""
_MAX_SEGMENTS = 24
_SAFE = re.compile(r"(?:/(?:[A-Za-z0-9\-._~%!$&'()+,;:@=]+|\{\*\}))*(?:/(?:\{\*\*\})?)?")


def is_safe(template: str) -> bool:
    """Whether a template has only shapes that no Envoy was seen to misread, and no literal star."""
    return template.startswith("/") and _SAFE.fullmatch(template) is not None


def guess_templates(structure: StateStructure) -> tuple[str, ...]:
    """Templates, and texts without operator, that may together be the language.

    Raises `TooManyError` where there would be more than `MAX_TEMPLATES`, or no end of them.
    """
    found: set[str] = set()
    for text in _Segments(structure).grown("/", 0, frozenset()):
        found.add(text)
        if len(found) > MAX_TEMPLATES:
            raise TooManyError
    return tuple(sorted(found))


class _Segments:
    """Walks an automaton segment by segment."""

    def __init__(self, structure: StateStructure) -> None:
        self._language, self._meter, self._full = structure.language, structure.meter, structure.accepting_all
        ranges = structure.language.classes.ranges()
        self._any = max(range(len(ranges)), key=lambda kind: size(intersect(ranges[kind], TEMPLATE_LETTERS)))
        self._slash = structure.language.classes.kind(ord("/"))
        self._letters = ["" if kind == self._slash else _few(chars) for kind, chars in enumerate(ranges)]

    def grown(self, text: str, at: int, passed: frozenset[int]) -> Iterator[str]:
        """What follows a slash. `passed` are the states after earlier slashes: to see one again means no end of segments."""
        self._meter.spend(1 + len(self._letters))
        if at in passed or len(passed) > _MAX_SEGMENTS:
            raise TooManyError
        if at == self._full:
            yield text + "{**}"
            return
        if self._language.accepting[at]:
            yield text
        wild = self._wild(at)
        for word, to in [("{*}", wild)] if wild >= 0 else []:
            yield from self._after(text + word, to, passed | {at})
        for word, to in self._words(at, wild):
            yield from self._after(text + word, to, passed | {at})

    def _after(self, text: str, at: int, passed: frozenset[int]) -> Iterator[str]:
        """What follows a segment: the end, a slash, or both."""
        if self._language.accepting[at]:
            yield text
        beyond = self._language.rows[at][self._slash]
        if beyond >= 0:
            yield from self.grown(text + "/", beyond, passed)

    def _wild(self, at: int) -> int:
        """The state after any segment that has no name of its own, -1 if there is none."""
        to = self._language.rows[at][self._any]
        return to if to >= 0 and self._language.rows[to][self._any] == to and to != self._full else -1

    def _words(self, at: int, wild: int) -> Iterator[tuple[str, int]]:
        """Literal segments, and the states after them."""
        work = [("", at)]
        while work:
            text, here = work.pop()
            self._meter.spend(1 + len(self._letters))
            if len(work) > MAX_TEMPLATES or len(text) > len(self._language.rows):
                raise TooManyError
            if text:
                yield text, here
            for to, letters in zip(self._language.rows[here], self._letters, strict=True):
                work += [(text + char, to) for char in letters] if to >= 0 and to != wild else []


def _few(chars: CharSet) -> str:
    """The letters of a class that is small enough to write out."""
    if size(chars) > 8:
        return ""
    return "".join(chr(code) for low, high in chars for code in range(low, high + 1))
