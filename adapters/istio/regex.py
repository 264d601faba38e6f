r"""Which patterns a VirtualService or an EnvoyFilter may carry: RE2 that Envoy runs over bytes, and Go compiles for Istio.

Source: Istio, validation of `StringMatch.regex` (1024 characters at most); Go, regexp/syntax. `\C` is unknown to Go, a
lone `\E` too; Unicode classes mean other sets to RE2 over bytes; group names have two spellings, of which old Go knows one.
"""

from __future__ import annotations

import re
from functools import lru_cache

from hub.api import program_sizes

MAX_LENGTH = 1024
MAX_PROGRAM = 16384
"""RE2 instructions over bytes, half of what Istio's Envoys take (`re2.max_program_size.error_level`); their RE2 may count more."""
MAX_PROGRAM_OF_CHARACTERS = 32768
"""The same over characters: so sidecars without the fix of CVE-2026-73552 compile a pattern, and these are mostly more."""

_UNSHARED = re.compile(r"\\[CEQpP]|\(\?P?[<=]|\\x|\\[0-9]")


def is_portable(pattern: str) -> bool:
    """Whether Go, RE2 and RE2 over bytes read the pattern alike, as far as it is about ASCII. Doubt counts as no."""
    return pattern.isascii() and pattern.isprintable() and _UNSHARED.search(pattern) is None


def is_small(pattern: str) -> bool:
    """Whether a VirtualService may carry the pattern: it compiles, within what Istio and Envoy take, old ones too."""
    return len(pattern) <= MAX_LENGTH and is_compiled(pattern)


@lru_cache(maxsize=4096)
def is_compiled(pattern: str) -> bool:
    """Whether Envoys of both generations compile the pattern, within their limits."""
    over_bytes, over_characters = program_sizes(pattern)
    return bool(pattern) and over_bytes <= MAX_PROGRAM and over_characters <= MAX_PROGRAM_OF_CHARACTERS
