"""Read RE2 syntax into a tree. RE2 itself decides what is a pattern; this parser is only shown what RE2 accepts.

Source: https://github.com/google/re2/wiki/Syntax, with RE2's default options: Perl classes, `(?i)`, `(?m)`, `(?s)` and
`(?U)` off at the start, a negated class matches a newline.
"""

from __future__ import annotations

import re

from msgspec import Struct

from hub.regex.accepted import MAX_PATTERN, error
from hub.regex.bounds import MAX_DEPTH, RegexRefusedError, too_complex
from hub.regex.chars import SCALARS, char_set_of, join
from hub.regex.classes import PatternReader
from hub.regex.named import negated
from hub.regex.tree import (
    BOUNDARY,
    LINE_BEGIN,
    LINE_END,
    NO_BOUNDARY,
    TEXT_BEGIN,
    TEXT_END,
    Choice,
    Edge,
    Node,
    One,
    Row,
    Times,
)

_COUNT = re.compile(r"\{(\d+)(,(\d*))?\}")
_GROUP = re.compile(r"\(\?(?:P?<[^>]+>|(?P<flags>[imsU]*(?:-[imsU]+)?)(?P<end>[:)]))")
_PLACES = {"A": TEXT_BEGIN, "z": TEXT_END, "b": BOUNDARY, "B": NO_BOUNDARY}
_NO_NEWLINE = negated(char_set_of("\n"))


def parse(pattern: str) -> Node:
    r"""The tree of a pattern. Time: linear in its length, and in the ranges of its classes.

    Raises `RegexRefusedError`: `regex.invalid` in RE2's words, `regex.too-large`, or `regex.too-complex` for `\C`
    (one byte, which may be less than a letter) and for groups nested deeper than `MAX_DEPTH`.
    """
    reason = error(pattern)
    if reason is not None:
        raise RegexRefusedError("regex.too-large" if len(pattern) > MAX_PATTERN else "regex.invalid", reason)
    return _Parser(pattern).whole()


class _GroupFrame(Struct):
    """An open group: finished alternatives, the parts of the current one, the flags to restore at its end."""

    choices: list[Node]
    parts: list[Node]
    flags: frozenset[str]


class _Parser:
    """Reads left to right with a stack of open groups, so that nesting costs no recursion."""

    def __init__(self, pattern: str) -> None:
        self._reader = PatternReader(pattern)
        self._flags: frozenset[str] = frozenset()
        self._frames = [_GroupFrame([], [], self._flags)]

    def whole(self) -> Node:
        reader = self._reader
        while not reader.done():
            self._item(reader.peek())
        return _closed(self._frames[0])

    def _item(self, char: str) -> None:
        reader = self._reader
        if char in "*+?" or (char == "{" and _COUNT.match(reader.pattern, reader.at)):
            return self._repeat(char)
        if char == "(":
            return self._open()
        if char == "[":
            return self._add(One(reader.bracket(self._fold)))
        if char == "\\":
            return self._escape()
        reader.at += 1
        if char == ")":
            return self._close()
        if char == "|":
            frame = self._frames[-1]
            frame.choices.append(_row(frame.parts))
            frame.parts = []
            return None
        return self._add(self._plain(char))

    @property
    def _fold(self) -> bool:
        return "i" in self._flags

    def _add(self, node: Node) -> None:
        self._frames[-1].parts.append(node)

    def _plain(self, char: str) -> Node:
        if char == ".":
            return One(SCALARS if "s" in self._flags else _NO_NEWLINE)
        if char == "^":
            return Edge(LINE_BEGIN if "m" in self._flags else TEXT_BEGIN)
        if char == "$":
            return Edge(LINE_END if "m" in self._flags else TEXT_END)
        return One(self._reader.letter(ord(char), self._fold))

    def _repeat(self, char: str) -> None:
        reader = self._reader
        least, most = (0 if char in "*?" else 1), (1 if char == "?" else None)
        count = _COUNT.match(reader.pattern, reader.at)
        if count is not None:
            least = int(count[1])
            most = least if count[2] is None else int(count[3]) if count[3] else None
        reader.at += 1 if count is None else len(count[0])
        # Lazy or greedy: a full match does not see the difference.
        reader.skip("?")
        parts = self._frames[-1].parts
        parts[-1] = Times(parts[-1], least, most)

    def _open(self) -> None:
        reader = self._reader
        named = _GROUP.match(reader.pattern, reader.at)
        reader.at += 1 if named is None else len(named[0])
        before = self._flags
        if named is not None and named["end"] is not None:
            self._flags = _switched(before, named["flags"])
            # Flags without a colon hold until the group around them ends.
            if named["end"] == ")":
                return
        if len(self._frames) > MAX_DEPTH:
            raise too_complex(f"nests groups deeper than {MAX_DEPTH}")
        self._frames.append(_GroupFrame([], [], before))

    def _close(self) -> None:
        frame = self._frames.pop()
        self._flags = frame.flags
        self._add(_closed(frame))

    def _escape(self) -> None:
        reader = self._reader
        kind = reader.pattern[reader.at + 1]
        if kind == "C":
            raise too_complex(r'"\C" matches a single byte, which may be part of a character')
        if kind == "Q":
            return self._quoted()
        if kind in _PLACES:
            reader.at += 2
            return self._add(Edge(_PLACES[kind]))
        return self._add(One(reader.escape(self._fold)))

    def _quoted(self) -> None:
        reader = self._reader
        text, closing, _ = reader.pattern[reader.at + 2 :].partition("\\E")
        reader.at += 2 + len(text) + len(closing)
        for char in text:
            self._add(One(reader.letter(ord(char), self._fold)))


def _switched(flags: frozenset[str], change: str) -> frozenset[str]:
    on, _, off = change.partition("-")
    return (flags | set(on)) - set(off)


def _closed(frame: _GroupFrame) -> Node:
    """The tree of a group; alternatives of one character each become one class, which keeps automata small."""
    choices = [*frame.choices, _row(frame.parts)]
    singles = [choice.chars for choice in choices if isinstance(choice, One)]
    if len(singles) == len(choices):
        return One(join(*singles))
    return Choice(tuple(choices)) if len(choices) > 1 else choices[0]


def _row(parts: list[Node]) -> Node:
    return parts[0] if len(parts) == 1 else Row(tuple(parts))
