"""Read the parts of a pattern that stand for one character: letters, escapes and bracket expressions.

Source: https://github.com/google/re2/wiki/Syntax.
"""

from __future__ import annotations

import re

from hub.regex.bounds import charge, too_complex
from hub.regex.chars import CharSet, join
from hub.regex.named import PERL, POSIX, ask_re2, case_folded, negated

_UNICODE = re.compile(r"\\[pP](?:\{\^?\w+\}|\w)")
_POSIX = re.compile(r"\[:(\^?)(\w+):\]")
_HEX = re.compile(r"\\x(?:\{([0-9A-Fa-f]+)\}|([0-9A-Fa-f]{2}))")
_OCTAL = re.compile(r"\\([0-7]{1,3})")
_CONTROL = {"a": 7, "f": 12, "t": 9, "n": 10, "r": 13, "v": 11}
_MAX_ASKED = 16
"""Most classes of one pattern for which RE2's Unicode tables are searched."""

_ASKING = 1000
"""Steps that one of these searches counts for, whether its result is remembered or not."""


class PatternReader:
    """A place in a pattern that RE2 accepts; each method reads on from there."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0
        self._asked: set[object] = set()

    def done(self) -> bool:
        """Whether the pattern is at its end."""
        return self.at >= len(self.pattern)

    def peek(self) -> str:
        """The next character; it stays."""
        return self.pattern[self.at]

    def skip(self, text: str) -> bool:
        """Whether the text comes next; if so it is passed over."""
        if not self.pattern.startswith(text, self.at):
            return False
        self.at += len(text)
        return True

    def letter(self, code: int, fold: bool) -> CharSet:  # noqa: FBT001 - the flag (?i) of the pattern, not a mode of ours
        """The set of one code point, with its other cases under `(?i)`."""
        return self._folded(((code, code),), fold)

    def _folded(self, chars: CharSet, fold: bool) -> CharSet:  # noqa: FBT001 - see letter
        if not fold or not chars:
            return chars
        if chars[-1][1] > 0x7F:
            self._count(chars)
        return case_folded(chars)

    def _count(self, what: object) -> None:
        """Each search of RE2's tables takes time, so a pattern has a few only."""
        self._asked.add(what)
        charge(_ASKING)
        if len(self._asked) > _MAX_ASKED:
            raise too_complex(f"uses more than {_MAX_ASKED} different Unicode classes")

    def escape(self, fold: bool) -> CharSet:  # noqa: FBT001 - see letter
        """The set of an escape that stands for one character: a class or a letter."""
        named = self._named(fold)
        return self.letter(self._escaped(), fold) if named is None else named

    def _named(self, fold: bool) -> CharSet | None:  # noqa: FBT001 - see letter
        r"""The set of `\d`, `\pN`, `\p{Greek}` and their kin; None if something else comes next."""
        unicode = _UNICODE.match(self.pattern, self.at)
        if unicode is not None:
            self.at += len(unicode[0])
            self._count(unicode[0])
            return ask_re2(f"(?i){unicode[0]}" if fold else unicode[0])
        kind = self.pattern[self.at + 1 : self.at + 2]
        if not self.pattern.startswith("\\", self.at) or kind.lower() not in PERL:
            return None
        self.at += 2
        chars = self._folded(PERL[kind.lower()], fold)
        return chars if kind.islower() else negated(chars)

    def _escaped(self) -> int:
        """The code point of an escape that stands for one letter."""
        code = _HEX.match(self.pattern, self.at)
        octal = _OCTAL.match(self.pattern, self.at)
        if code is not None:
            self.at += len(code[0])
            return int(code[1] or code[2], 16)
        if octal is not None:
            self.at += len(octal[0])
            return int(octal[1], 8)
        char = self.pattern[self.at + 1]
        self.at += 2
        return _CONTROL.get(char, ord(char))

    def bracket(self, fold: bool) -> CharSet:  # noqa: FBT001 - see letter
        """The set of a bracket expression, `[...]` or `[^...]`."""
        self.at += 1
        negative = self.skip("^")
        listed: list[tuple[int, int]] = []
        sets: list[CharSet] = []
        first = True
        # Right after the opening bracket, a closing one is a letter.
        while first or not self.skip("]"):
            first = False
            named = self._class_in_bracket(fold)
            if named is None:
                listed.append(self._range())
            else:
                sets.append(named)
        chars = join(self._folded(join(tuple(listed)), fold), *sets)
        return negated(chars) if negative else chars

    def _class_in_bracket(self, fold: bool) -> CharSet | None:  # noqa: FBT001 - see letter
        posix = _POSIX.match(self.pattern, self.at)
        if posix is None:
            return self._named(fold)
        self.at += len(posix[0])
        chars = self._folded(POSIX[posix[2]], fold)
        return negated(chars) if posix[1] else chars

    def _range(self) -> tuple[int, int]:
        """One letter, or two with a dash between them; a dash before the closing bracket is a letter."""
        low = self._single()
        if not self.pattern.startswith("-", self.at) or self.pattern.startswith("-]", self.at):
            return low, low
        self.at += 1
        return low, self._single()

    def _single(self) -> int:
        if self.peek() == "\\":
            return self._escaped()
        self.at += 1
        return ord(self.pattern[self.at - 1])
