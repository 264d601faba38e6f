"""Exact answers about RE2 patterns: equality, containment, shortest examples, and what a mesh without patterns can say."""

from hub.regex.accepted import MAX_PATTERN, error, program_size, program_sizes
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
from hub.regex.automaton import HEADER, PATH, TARGET, TEXT, URI_PATH, Language, Universe, language
from hub.regex.bounds import MAX_STATES, RegexRefusedError, StepBudget, bounded, charge
from hub.regex.forms import Inexpressible, header_forms, path_forms
from hub.regex.meaning import Between, Forms, language_of_forms
from hub.regex.part import Part, path_part
from hub.regex.representatives import representatives
from hub.regex.written import pattern_of, patterns_of

__all__ = [
    "HEADER",
    "MAX_PATTERN",
    "MAX_STATES",
    "PATH",
    "TARGET",
    "TEXT",
    "URI_PATH",
    "Between",
    "Forms",
    "Inexpressible",
    "Language",
    "Part",
    "RegexRefusedError",
    "StepBudget",
    "Universe",
    "bounded",
    "charge",
    "complement",
    "difference",
    "error",
    "everything",
    "excess",
    "header_forms",
    "intersection",
    "language",
    "language_of_forms",
    "nothing",
    "overlap",
    "path_forms",
    "path_part",
    "pattern_of",
    "patterns_of",
    "program_size",
    "program_sizes",
    "representatives",
    "restricted",
    "union",
]
