r"""Which patterns may leave: those that RE2 takes in every way in which an Envoy may run it, and that are not too large.

Consul hands patterns on as they are. One that an Envoy refuses leaves the listener, or the routes, as they were before, and no answer
of Consul's API shows it (observed on Consul 1.22). Source: https://github.com/google/re2/wiki/Syntax.
"""

from __future__ import annotations

import re
from functools import lru_cache

from adapters.consul.vocabulary import MAX_PROGRAM_SIZE
from hub.api import program_sizes

MAX_PATTERN = 4096
"""Most characters of one pattern."""
# Text, escaped punctuation and classes of ASCII: what of it is not listed counts as read in two ways.
_TEXT = r"[A-Za-z0-9_/=@#%&!<>\"'`~:-]|\\[^A-Za-z0-9\s,;\x80-\U0010ffff]"
_LETTER = r"[A-Za-z0-9_/=@#%&!<>\"'`~:]"
_PLAIN = re.compile(rf"(?:{_TEXT}|\[(?:[A-Za-z0-9]-[A-Za-z0-9]|{_LETTER}|\.)+\]|[*+?(){{}}|])*")
_CONTAINS = re.compile(rf"(?:\(\?i\))?(?:\.\*)?(?:{_TEXT}|(?<=[^ *)])[ ](?={_LETTER}))*(?:\.\*)?")


@lru_cache(maxsize=16384)
def is_taken(pattern: str) -> bool:
    """Whether every Envoy compiles the pattern, over bytes as over characters. An empty one is none: Consul leaves it out."""
    return 0 < len(pattern) <= MAX_PATTERN and max(program_sizes(pattern)) <= MAX_PROGRAM_SIZE


def is_plain(pattern: str) -> bool:
    """Whether it matches values of one line alone, in ASCII, without commas and blanks. Doubt counts as no."""
    return _PLAIN.fullmatch(pattern) is not None and "(?" not in pattern


def is_contains(pattern: str) -> bool:
    """Whether it is a text that a value contains, begins or ends with: joined lines match only if one of them does.

    No blank at an end of the text, which may be the outer blank of a value. Doubt counts as no.
    """
    return _CONTAINS.fullmatch(pattern) is not None
