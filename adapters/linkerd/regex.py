r"""Which patterns a route may carry: text that RE2 and the Rust crate `regex` read alike, and that both compile.

Source: https://docs.rs/regex/latest/regex/#syntax (classes have `&&`, `--` and `~~`, a brace must be a repetition, programs are
limited to 10 MB); https://github.com/google/re2/wiki/Syntax. Observed on Linkerd edge-26.8: of a route whose pattern does not
compile, the form before stays in effect; a match counts only if the first one that is found spans the whole text.
"""

from __future__ import annotations

import re
from functools import lru_cache

import re2

MAX_PATH, MAX_HEADER = 1024, 4096
"""Longest patterns of a path and of a header's value (the schemas of HTTPRoute)."""
MAX_PROGRAM = 16384
"""RE2 instructions over characters: a program of the crate is of about the same size, far below its limit."""
_OPEN, _CLOSE = "^(?:", ")$"
ANCHORS = len(_OPEN + _CLOSE)

# Letters, escaped punctuation, code points, plain classes, groups and repetitions: what is not listed counts as read
# differently. A class has no class inside, no named class and none of the crate's operators.
_CODE = r"\\x\{[0-9A-F]{1,6}\}"
_IN_CLASS = rf"(?:[A-Za-z0-9 /_!@%=:;,<>\"'`#.+*?()|{{}}$]|\\[\\\]\[^&~-]|{_CODE}|-(?!-)|&(?!&)|~(?!~))"
_TOKEN = (
    rf"[A-Za-z0-9 /_~!@%&=:;,<>\"'`#-]|\\[.\\+*?()|\[\]{{}}^$/-]|{_CODE}|\.|\[\^?{_IN_CLASS}+\]"
    r"|[*+?](?![*+?])|\{[0-9]+(?:,[0-9]*)?\}|\(\?:|\((?!\?)|\)|\|"
)
_SHARED = re.compile(rf"(?:{_TOKEN})*")


@lru_cache(maxsize=16384)
def is_shared(pattern: str) -> bool:
    """Whether Linkerd reads the pattern as RE2 does, and compiles it. Doubt counts as no."""
    return _SHARED.fullmatch(pattern) is not None and _size(pattern) <= MAX_PROGRAM


def anchored(pattern: str) -> str:
    """The pattern so that whatever is found first spans the whole text, if anything does."""
    return f"{_OPEN}{pattern}{_CLOSE}"


def is_anchored(written: str) -> bool:
    """Whether it is the form of `anchored`, around a pattern that both read alike."""
    inner = written.removeprefix(_OPEN).removesuffix(_CLOSE)
    # It compiles by itself, so no bracket of it closes the one before it.
    return written == anchored(inner) and is_shared(inner)


def _size(pattern: str) -> float:
    """How many instructions RE2 makes of it; infinitely many if it refuses."""
    options = re2.Options()
    options.log_errors = False
    try:
        return float(re2.compile(pattern, options).programsize)
    except re2.error:
        return float("inf")
