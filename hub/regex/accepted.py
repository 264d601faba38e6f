"""Whether RE2 takes a pattern, and how large a program it makes of it; google-re2 with its default options, but for memory.

Envoy's safe regex is the same engine, so a pattern that compiles here means the same there.
Source: Envoy API, type.matcher.v3.RegexMatcher ("google_re2"); https://github.com/google/re2/wiki/Syntax.
"""

from __future__ import annotations

from functools import lru_cache

import re2

MAX_PATTERN = 4096
"""Longest pattern that is read, in characters."""
_MEMORY = 2 << 20
"""Bytes that a compilation may take, a quarter of RE2's default: nine characters, such as many letters of any script, could
else take half a second. Programs of up to 21 000 instructions before RE2 flattens them still compile."""


def error(pattern: str) -> str | None:
    """Why RE2 refuses the pattern, in its own words; None if it compiles."""
    compiled = _compile(pattern) if len(pattern) <= MAX_PATTERN else f"longer than {MAX_PATTERN} characters"
    return compiled if isinstance(compiled, str) else None


def program_size(pattern: str) -> int:
    """RE2's instruction count of the pattern, the number that Envoy compares with `re2.max_program_size`.

    Raises ValueError on a pattern that does not compile.
    """
    reason = error(pattern)
    if reason is not None:
        raise ValueError(f"not a valid RE2 pattern: {reason}")
    return int(_compile(pattern))


def program_sizes(pattern: str) -> tuple[float, float]:
    """The same as Envoys count it: over bytes, and over characters as those without the fix of CVE-2026-73552 do; infinite if RE2 refuses."""
    return _size(pattern, re2.Options.Encoding.LATIN1), _size(pattern, re2.Options.Encoding.UTF8)


def _size(pattern: str, encoding: re2.Options.Encoding) -> float:
    options = re2.Options()
    options.encoding, options.log_errors = encoding, False
    try:
        return float(re2.compile(pattern.encode(), options).programsize)
    except (re2.error, UnicodeEncodeError):
        return float("inf")


@lru_cache(maxsize=16384)
def _compile(pattern: str) -> int | str:
    """The program size, or the reason why there is none."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY
    try:
        return int(re2.compile(pattern, options).programsize)
    except UnicodeEncodeError:
        return "text that is not valid Unicode"
    except re2.error as refused:
        return _words(refused)


def _words(refused: Exception) -> str:
    """RE2 gives its reason as bytes."""
    reason = refused.args[0] if refused.args else ""
    return reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
