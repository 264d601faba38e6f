"""Exact answers about RE2 patterns: equality, containment, witnesses, and what a mesh without patterns can say."""

from hub.regex.accepted import MAX_PATTERN, error, program_size
from hub.regex.algebra import (
    complement,
    difference,
    everything,
    excess,
    intersection,
    nothing,
    overlap,
    restricted,
    union,
)
from hub.regex.bounds import MAX_STATES, RegexRefusedError
from hub.regex.language import HEADER, PATH, TEXT, URI_PATH, Language, Universe, language

__all__ = [
    "HEADER",
    "MAX_PATTERN",
    "MAX_STATES",
    "PATH",
    "TEXT",
    "URI_PATH",
    "Language",
    "RegexRefusedError",
    "Universe",
    "complement",
    "difference",
    "error",
    "everything",
    "excess",
    "intersection",
    "language",
    "nothing",
    "overlap",
    "program_size",
    "restricted",
    "union",
]
