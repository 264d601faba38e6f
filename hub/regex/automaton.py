r"""Languages: the set of texts of one universe that a pattern matches as a whole, as a minimal automaton.

Letters are Unicode scalar values, not bytes (see hub.regex.chars). A pattern with `\b`, `^`, `$` or `(?m)` anywhere
means what RE2 means by it. Values are canonical: two languages of one universe are equal exactly if `==` says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

from msgspec import Struct

from hub.regex.bounds import Meter, is_bounded
from hub.regex.chars import SCALARS, CharSet, Classes, char_set, char_set_of, intersect, inverse
from hub.regex.minimal import minimal
from hub.regex.program import Rows, determinise
from hub.regex.syntax import parse


class Universe(Struct, frozen=True):
    """All texts that can occur: `start`, then any number of `letters`. Complement and equality are relative to it."""

    name: str
    start: str
    letters: CharSet


TEXT = Universe("text", "", SCALARS)
"""Every text."""
TARGET = Universe("target", "", intersect(SCALARS, inverse(char_set([*char_set_of("?#"), (0, 0x1F), (0x7F, 0x7F)]))))
"""What a request may have in the place of its path, without query: also `*`, a host and port, a whole URI (RFC 9112, 3.2)."""
PATH = Universe(
    "path", "/", intersect(SCALARS, inverse(char_set([*char_set_of("?#"), (0, 0x20), (0x7F, 0xA0), (0x2028, 0x2029)])))
)
"""Paths without query: "/" first, no "?", "#", control character, space, no-break space or line separator."""
URI_PATH = Universe(
    "uri-path", "/", char_set([*char_set_of("/!$%&'()*+,-.:;=@_~"), (0x30, 0x39), (0x41, 0x5A), (0x61, 0x7A)])
)
"""Paths of the letters that RFC 3986 allows in a path (pchar and "/"); a part of `PATH`."""
HEADER = Universe("header", "", intersect(SCALARS, inverse(char_set([(0, 8), (0xA, 0x1F), (0x7F, 0x7F)]))))
"""Header values: any text without control characters but the tab. Includes the empty value."""


class Language(Struct, frozen=True):
    """A regular set of texts of a universe. State 0 stands after `universe.start`; -1 as a target is no way on.

    `rows[state][class]` is the next state. Every state but the start leads to an accepting one, so a loop among them
    means infinitely many texts.
    """

    universe: Universe
    classes: Classes
    rows: tuple[tuple[int, ...], ...]
    accepting: tuple[bool, ...]

    def holds(self, text: str) -> bool:
        """Whether the text is in the set. Time: linear in its length and in the number of classes' ranges."""
        if not text.startswith(self.universe.start):
            return False
        state = 0
        for char in text[len(self.universe.start) :]:
            kind = self.classes.kind(ord(char))
            state = -1 if kind < 0 else self.rows[state][kind]
            if state < 0:
                return False
        return self.accepting[state]

    def is_empty(self) -> bool:
        """Whether no text is in the set."""
        return not any(self.accepting)

    def shortest(self) -> str | None:
        """A shortest text of the set, None if it is empty. Time: O(states x classes)."""
        return None if self.is_empty() else self.universe.start + self.tail(0)

    def samples(self, pick: Callable[[int], int], length: int = 40) -> Iterator[str]:
        """Texts of the set by chance, without end; none if it is empty. `pick(n)` chooses a number below n.

        After `length` letters a text takes the shortest way to an end.
        """
        ranges, tails = self.classes.ranges(), {}
        while not self.is_empty():
            text, state = self.universe.start, 0
            for _ in range(length):
                ways = [kind for kind, target in enumerate(self.rows[state]) if target >= 0]
                if not ways or (self.accepting[state] and pick(4) == 0):
                    break
                kind = ways[pick(len(ways))]
                low, high = ranges[kind][pick(len(ranges[kind]))]
                text, state = text + chr(low + pick(high - low + 1)), self.rows[state][kind]
            if state not in tails:
                tails[state] = self.tail(state)
            yield text + tails[state]

    def tail(self, state: int) -> str:
        """A shortest text that leads from a state to acceptance. Raises ValueError where there is none."""
        letters, seen, layer = self.classes.letters(), {state}, [("", state)]
        for text, at in layer:
            if self.accepting[at]:
                return text
            for letter, target in zip(letters, self.rows[at], strict=True):
                if target >= 0 and target not in seen:
                    seen.add(target)
                    layer.append((text + letter, target))
        raise ValueError("the language is empty")


def language(pattern: str, universe: Universe = TEXT) -> Language:
    """The texts of the universe that RE2 matches as a whole with the pattern. The last 64 are remembered.

    Raises `RegexRefusedError`: `regex.invalid` (in RE2's words), `regex.too-large`, `regex.too-complex` (beyond a bound
    of hub.regex.bounds). Time: that of the subset construction, exponential in the worst case and cut off by the
    bounds after some 50 ms; a pattern as people write them takes about 1 ms.
    """
    # Within a block nothing comes from the cache: what a pattern costs must not depend on what was asked before.
    return _made(pattern, universe) if is_bounded() else _remembered(pattern, universe)


def _made(pattern: str, universe: Universe) -> Language:
    raw = determinise(parse(pattern), universe.start, universe.letters)
    return frozen(minimal(raw, Meter()), universe)


_remembered = lru_cache(maxsize=64)(_made)


def frozen(rows: Rows, universe: Universe) -> Language:
    """The language of a minimal automaton."""
    return Language(universe, rows.classes, tuple(rows.rows), tuple(rows.accepting))
