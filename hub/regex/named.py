r"""Named classes and case: what RE2 means by `\d`, `[:alpha:]`, `\p{Greek}` and `(?i)`.

ASCII classes are written out here. For Unicode the only sure table is RE2's own, so RE2 is asked: one search over
the code points tells the ranges of a class. Source: https://github.com/google/re2/wiki/Syntax.
"""

from __future__ import annotations

from functools import lru_cache

import re2

from hub.regex.chars import SCALARS, CharSet, char_set, char_set_of, intersect, inverse, join

_DIGIT: CharSet = ((0x30, 0x39),)
_UPPER: CharSet = ((0x41, 0x5A),)
_LOWER: CharSet = ((0x61, 0x7A),)
_ALPHA = join(_UPPER, _LOWER)
_ALNUM = join(_ALPHA, _DIGIT)
WORD = join(_ALNUM, char_set_of("_"))

PERL: dict[str, CharSet] = {"d": _DIGIT, "s": char_set_of("\t\n\f\r "), "w": WORD}
r"""The classes behind `\d`, `\s` and `\w`, ASCII only."""

POSIX: dict[str, CharSet] = {
    "alnum": _ALNUM,
    "alpha": _ALPHA,
    "ascii": ((0, 0x7F),),
    "blank": char_set_of("\t "),
    "cntrl": ((0, 0x1F), (0x7F, 0x7F)),
    "digit": _DIGIT,
    "graph": ((0x21, 0x7E),),
    "lower": _LOWER,
    "print": ((0x20, 0x7E),),
    "punct": ((0x21, 0x2F), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0x7E)),
    "space": char_set_of("\t\n\v\f\r "),
    "upper": _UPPER,
    "word": WORD,
    "xdigit": join(_DIGIT, ((0x41, 0x46), (0x61, 0x66))),
}
"""The classes behind `[[:name:]]`, ASCII only."""

_ASCII: CharSet = ((0, 0x7F),)
# RE2 folds two ASCII letters with letters beyond ASCII: k with the Kelvin sign, s with the long s.
_STRANGERS = ((ord("k"), 0x212A), (ord("s"), 0x17F))
# Above this point no script has letters and no letter has a case; what is there differs only at the landmarks.
_DENSE = 0x34000
_LANDMARKS = (0x50000, 0xDFFFF, *range(0xE0000, 0xE1000), 0xEFFFF, 0xF0000, 0xFFFFD, 0xFFFFE, 0xFFFFF, 0x100000)
_LAST = (0x10FFFD, 0x10FFFE, 0x10FFFF)


def case_folded(chars: CharSet) -> CharSet:
    """The set with every letter that RE2 takes for one of its letters under `(?i)`."""
    if intersect(chars, _ASCII) != chars:
        spelled = "".join(f"\\x{{{low:x}}}-\\x{{{high:x}}}" for low, high in chars)
        return join(chars, intersect(ask_re2(f"(?i)[{spelled}]"), ((0, _DENSE - 1),)))
    return _folded_ascii(chars)


def _folded_ascii(chars: CharSet) -> CharSet:
    lower = join(intersect(chars, _LOWER), char_set((low + 32, high + 32) for low, high in intersect(chars, _UPPER)))
    upper = char_set((low - 32, high - 32) for low, high in lower)
    strangers = char_set((far, far) for near, far in _STRANGERS if intersect(lower, ((near, near),)))
    return join(chars, lower, upper, strangers)


@lru_cache(maxsize=128)
def ask_re2(pattern: str) -> CharSet:
    """The single characters that RE2 matches with a pattern of one character class; about 20 ms, once per pattern.

    Exact for named classes. Ranges that begin or end between landmarks above `_DENSE` are not: no caller asks for them.
    """
    options = re2.Options()
    options.log_errors = False
    text = _every_letter()
    runs = (text[found.start() : found.end()] for found in re2.compile(f"(?:{pattern})+", options).finditer(text))
    return intersect(SCALARS, char_set(_ends(run) for run in runs))


def _ends(run: bytes) -> tuple[int, int]:
    """First and last code point of valid UTF-8, without decoding what is between."""
    last = len(run) - 1
    while run[last] & 0xC0 == 0x80:
        last -= 1
    return ord(run[:4].decode("utf-8", "ignore")[0]), ord(run[last:].decode())


@lru_cache(maxsize=1)
def _every_letter() -> bytes:
    codes = (*range(0xD800), *range(0xE000, _DENSE), *_LANDMARKS, *_LAST)
    return "".join(map(chr, codes)).encode()


def negated(chars: CharSet) -> CharSet:
    """The letters that are not in the set."""
    return intersect(SCALARS, inverse(chars))
