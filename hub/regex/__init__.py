"""Exact answers about RE2 patterns: equality, containment, shortest examples, and what a mesh without patterns can say."""

from hub.regex.accepted import (
    MAX_PATTERN as MAX_PATTERN,
    error as error,
    program_size as program_size,
    program_sizes as program_sizes,
)
from hub.regex.algebra import (
    complement as complement,
    difference as difference,
    everything as everything,
    excess as excess,
    intersection as intersection,
    nothing as nothing,
    overlap as overlap,
    restricted as restricted,
    union as union,
)
from hub.regex.automaton import (
    HEADER as HEADER,
    PATH as PATH,
    TARGET as TARGET,
    TEXT as TEXT,
    URI_PATH as URI_PATH,
    Language as Language,
    Universe as Universe,
    language as language,
)
from hub.regex.bounds import (
    MAX_STATES as MAX_STATES,
    RegexRefusedError as RegexRefusedError,
    StepBudget as StepBudget,
    bounded as bounded,
    charge as charge,
)
from hub.regex.forms import Inexpressible as Inexpressible, header_forms as header_forms, path_forms as path_forms
from hub.regex.meaning import Between as Between, Forms as Forms, language_of_forms as language_of_forms
from hub.regex.part import Part as Part, path_part as path_part
from hub.regex.representatives import representatives as representatives
from hub.regex.written import pattern_of as pattern_of, patterns_of as patterns_of
