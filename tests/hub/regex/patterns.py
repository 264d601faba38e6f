"""Random RE2 patterns and texts, and what RE2 says of them: the material of the comparison with google-re2."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import re2
from msgspec import Struct

from hub.regex import HEADER, PATH, TEXT, RegexRefusedError, complement, language

_LETTERS = [
    "a",
    "b",
    "c",
    "k",
    "S",
    "-",
    "/",
    "_",
    "0",
    "7",
    " ",
    "é",
    "ſ",
    "\\n",
    "\\.",
    "\\x41",
    "\\x{17f}",
    "\\101",
    "\\t",
]
_CLASSES = [
    *(".", "\\d", "\\D", "\\w", "\\W", "\\s", "\\S", "[ab]", "[^ab]", "[a-k]", "[^/]", "[\\w-]", "[]a]", "[^]a-]"),
    *(
        "[[:alpha:]]",
        "[[:^alpha:]]",
        "[^[:space:]b]",
        "[\\d_]",
        "[^\\W_]",
        "\\pL",
        "\\p{Greek}",
        "[\\PLa]",
        "\\p{^Lu}",
        "[-a]",
    ),
    *("[a-]", "[+--]", "[é-ü]", "[\\x{100}-\\x{17f}]", "[^\\n]", "[[:punct:]]", "[k-s]", "\\pN", "[\\x00-\\x{10ffff}]"),
]
_PLACES = ["^", "$", "\\b", "\\B", "\\A", "\\z"]
_COUNTS = ["*", "+", "?", "*?", "+?", "??", "{2}", "{0}", "{0,2}", "{1,3}?", "{2,}", "{,2}", "{", "{1"]
_GROUPS = ["(", "(?:", "(?i:", "(?s:", "(?m:", "(?i-s:", "(?P<n>", "(?ms:", "(?U:"]
_FLAGS = ["(?i)", "(?s)", "(?m)", "(?-i)", "(?im-s)", "(?U)"]
_QUOTED = ["\\Qa.b\\E", "\\Q[\\E", "\\Q\\E", "\\Qk*\\E"]
_TOKENS = [
    *_LETTERS,
    *_CLASSES,
    *_PLACES,
    *_COUNTS,
    *_GROUPS,
    *_FLAGS,
    *_QUOTED,
    ")",
    ")",
    ")",
    "|",
    "[",
    "]",
    "\\",
    "}",
    "-",
]
_TEXT = "aabbckKsSſ-/_07 éÉ.\nAB\tαβ\U0001f600\u212a[]"


class Case(Struct, frozen=True):
    """One pattern, one text, and whether the engine holds that the pattern matches all of the text."""

    pattern: str
    text: str
    ours: bool


def soup(random: Random) -> str:
    """Tokens in any order; often no pattern at all."""
    return "".join(random.choice(_TOKENS) for _ in range(random.randint(0, 9)))


def grown(random: Random, depth: int = 3) -> str:
    """A pattern of the grammar, of moderate size."""
    parts = (_part(random, depth) for _ in range(random.randint(0, 4)))
    one = "".join(parts)
    return f"{one}|{grown(random, depth - 1)}" if depth > 1 and random.random() < 0.25 else one


def _part(random: Random, depth: int) -> str:
    roll = random.random()
    if roll < 0.07:
        return random.choice(_PLACES)
    if roll < 0.12:
        return random.choice(_FLAGS)
    if roll < 0.30 and depth > 0:
        atom = f"{random.choice(_GROUPS)}{grown(random, depth - 1)})"
    else:
        atom = random.choice(random.choice((_LETTERS, _LETTERS, _CLASSES, _QUOTED)))
    return atom + (random.choice(_COUNTS) if random.random() < 0.3 else "")


def texts(pattern: str, random: Random, count: int) -> Iterator[tuple[str, bool]]:
    """Texts to try: of the language, of its complement, near misses of both, and any. With the engine's verdict."""
    found = language(pattern, TEXT)
    both = (found, complement(found))
    sides = [side.samples(random.randrange, 8) for side in both if not side.is_empty()]
    for number in range(count):
        text = next(sides[number % len(sides)])
        if number % 5 == 2:
            text = _bent(text, random)
        if number % 5 == 4:
            text = "".join(random.choice(_TEXT) for _ in range(random.randint(0, 6)))
        yield text, found.holds(text)


def _bent(text: str, random: Random) -> str:
    """The text with one letter taken out, put in or changed."""
    at = random.randint(0, len(text))
    return text[:at] + random.choice(["", random.choice(_TEXT)]) + text[at + random.randint(0, 1) :]


def compare(random: Random, patterns: int, per_pattern: int) -> Iterator[Case | None]:
    """Every comparison that went wrong, as a case; None for each that went well. Patterns that are refused count none."""
    options = re2.Options()
    options.log_errors = False
    for number in range(patterns):
        pattern = soup(random) if number % 3 == 0 else grown(random)
        try:
            tried = list(texts(pattern, random, per_pattern))
        except RegexRefusedError:
            continue
        compiled = re2.compile(pattern, options)
        for text, ours in tried:
            agreed = (compiled.fullmatch(text) is not None) == ours and _in_universes(pattern, text, ours)
            yield None if agreed else Case(pattern, text, ours)


def _in_universes(pattern: str, text: str, ours: bool) -> bool:  # noqa: FBT001 - a verdict
    """Whether the languages of the narrower universes say the same of a text that is in them."""
    return all(
        language(pattern, universe).holds(text) == ours
        for universe in (PATH, HEADER)
        if text.startswith(universe.start) and set(map(ord, text)) <= _codes(universe.letters, text)
    )


def _codes(letters: tuple[tuple[int, int], ...], text: str) -> set[int]:
    return {code for code in map(ord, text) if any(low <= code <= high for low, high in letters)}
