r"""Regexes of routes: Rust's `regex`, of which only that part is read which means the same in RE2.

Linkerd looks for the first match in the text, leftmost alternatives first, and wants it to be the whole text: `/a|/ab` does
not match `/ab`. Left out are `\d`, `\w`, `\s`, `\b` and `\p` (of Unicode in Rust, of ASCII in RE2), flags, set operations inside
classes, `\<` and `\>`, braces that do not repeat, and characters beyond ASCII.
Source: https://docs.rs/regex/latest/regex/#syntax, https://github.com/google/re2/wiki/Syntax; how a match is held against the
whole text was observed on Linkerd edge-26.8.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import re2

from hub.api import UnmodelledError

MAX_PROGRAM = 50_000
"""Rust bounds a compiled regex by 10 MiB; beyond this many instructions of RE2, whether Linkerd takes it is not certain."""

_ESCAPE = r"\\(?:[ntrfva]|x[0-9A-Fa-f]{2}|x\{[0-9A-Fa-f]{1,6}\}|[ !-/:;=?@\[-`{-~])"
_ITEM = rf"(?:{_ESCAPE}|\[:\^?[a-z]+:\]|(?!&&|--|~~)[ -Z^-~])"
_PART = rf"{_ESCAPE}|\\[Az]|\(\?:|\((?!\?)|\[\^?{_ITEM}+\]|\{{[0-9]+(?:,[0-9]*)?\}}|[ -'*-Z\]-z|~)]"
_COMMON = re.compile(rf"(?:{_PART})*")


def regex(pattern: str, where: str) -> Callable[[str], bool]:
    """Whether a text matches as Linkerd tests it. Raises UnmodelledError for a pattern that it refuses or reads otherwise."""
    if _COMMON.fullmatch(pattern) is None:
        raise UnmodelledError(
            f'{where}: the regex "{pattern[:80]}" may mean something else in Rust, and is not modelled'
        )
    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as error:
        raise UnmodelledError(f'{where}: Linkerd ignores a route with the regex "{pattern[:80]}": {error}') from error
    if compiled.programsize > MAX_PROGRAM:
        raise UnmodelledError(f"{where}: a regex of {compiled.programsize} instructions is not modelled")
    return lambda text: _spans(compiled, text)


def _spans(compiled: Any, text: str) -> bool:
    found = compiled.search(text)
    return found is not None and found.span() == (0, len(text))
