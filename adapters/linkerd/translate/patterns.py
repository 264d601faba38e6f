r"""Patterns of SMI as Linkerd carries them: text that RE2 and the Rust crate `regex` read alike.

Source: https://docs.rs/regex/latest/regex/#syntax; linkerd2-proxy, linkerd/http/route/src/http/match/path.rs (a path without
query, as it came) and header.rs (a value that is not visible ASCII matches nothing; of repeated lines one suffices).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import islice, product

from msgspec import Struct

from adapters.linkerd import regex
from adapters.linkerd.regex import is_shared
from adapters.linkerd.vocabulary import ESCAPE, HEADER_NAME, NORMAL_PATH, PLAIN_OR_DOT, SEGMENT, is_managed
from hub.api import (
    HEADER,
    PATH,
    Language,
    Objection,
    RegexRefusedError,
    bounded,
    everything,
    excess,
    intersection,
    language,
    managed_header,
    overlap,
    pattern_of,
    patterns_of,
    short,
    too_complex,
)

MAX_PATH, MAX_HEADER = regex.MAX_PATH - regex.ANCHORS, regex.MAX_HEADER - regex.ANCHORS - 40
"""Longest patterns between their anchors."""
MAX_STEPS, CHEAP_STEPS = 120_000, 12_000
"""Steps of the engine that one pattern may take, and that it may take once its unit has used up its own."""
ANY_PATH = "/.*"
_MOST_WORDINGS = 24

_PARTS = re.compile(r"\\.|\[\^/\][*+]|\.\*/|\.[*+]|\[(?:\\.|[^\]\\])*\]|.", re.DOTALL)
_LETTERS = f"(?:{PLAIN_OR_DOT}|{ESCAPE})"
_WITHIN = {  # what a wildcard may be among paths in normal form
    ".*/": (f"(?:{SEGMENT}/)+", f"(?:{SEGMENT}/)*", f"(?:{SEGMENT}/)*{_LETTERS}*/", f"{_LETTERS}*(?:/{SEGMENT})*/"),
    ".*": (f"(?:{SEGMENT}/)*(?:{SEGMENT})?", f"(?:{SEGMENT}/)*{_LETTERS}*", f"{_LETTERS}*(?:/{SEGMENT})*/?"),
    ".+": (f"(?:{SEGMENT}/)*{SEGMENT}/?", f"(?:{SEGMENT}/)*{_LETTERS}+"),
    "[^/]+": (SEGMENT, f"{_LETTERS}+"),
    "[^/]*": (f"{_LETTERS}*", f"(?:{SEGMENT})?"),
}
_VALUE, _BEGIN, _END = r"[\x{9} -~]*", r"(?:[!-~][\x{9} -~]*)?", r"(?:[\x{9} -~]*[!-~])?"
_VISIBLE = f"(?:[!-~]{_END})?"
_TRIMMED = r"(?s:[^\t ](?:.*[^\t ])?)?"
_BLANKS = r"[\x{9} ]*"
_IN_VALUE = {".*": (_END, _BEGIN, _VALUE, _VISIBLE), ".+": (f"[!-~]{_END}",)}


class Pattern(Struct, frozen=True, gc=False):
    """Texts, and patterns of which each of them matches one: only long ones of paths need several."""

    texts: Language
    words: tuple[str, ...]
    beyond_ascii: bool = False
    """Whether values beyond ASCII are meant as well, which Linkerd never matches."""


@lru_cache(maxsize=1)
def any_path() -> Pattern:
    """Every path, those included that have another normal form: an application cannot take one for a path that is not granted."""
    return Pattern(everything(PATH), (ANY_PATH,))


@lru_cache(maxsize=1)
def normal_path() -> Pattern:
    """Every path in normal form."""
    return Pattern(language(NORMAL_PATH, PATH), (NORMAL_PATH,))


@lru_cache(maxsize=8192)
def granted_path(pattern: str, limit: int) -> tuple[Pattern | Objection, int]:
    """The paths in normal form that match, or why they cannot be said; and the steps that it took."""
    normal = normal_path().texts  # outside of the block, in which nothing is remembered
    with bounded(limit) as account:
        try:
            return _granted(pattern, normal), account.spent
        except RegexRefusedError as refusal:
            return too_complex(refusal, pattern), account.spent


def _granted(pattern: str, normal: Language) -> Pattern | Objection:
    meant = language(pattern, PATH)
    if meant == everything(PATH):
        return any_path()
    texts = intersection(meant, normal)
    if texts.is_empty():
        return _not_normal(pattern)
    # A path begins with a slash, and so must the wording.
    begun = f"/{pattern}" if pattern.startswith(".") else pattern
    text = next(_wordings(begun, texts, _WITHIN, MAX_PATH), None)
    words = patterns_of(texts, MAX_PATH) if text is None else (text,)
    return _too_large(pattern) if words is None else Pattern(texts, words)


@lru_cache(maxsize=8192)
def routed_path(pattern: str, limit: int) -> tuple[Pattern | Objection, int]:
    """The paths that match, or why they cannot be said, and the steps that it took; where a route goes opens nothing."""
    with bounded(limit) as account:
        try:
            texts = language(pattern, PATH)
            words = (pattern,) if _is_shared(pattern, MAX_PATH) else patterns_of(texts, MAX_PATH)
        except RegexRefusedError as refusal:
            return too_complex(refusal, pattern), account.spent
        return (_too_large(pattern) if words is None else Pattern(texts, words)), account.spent


@lru_cache(maxsize=8192)
def header_value(name: str, pattern: str, limit: int) -> tuple[Pattern | Objection, int]:
    """The values in visible ASCII that match, or why they cannot be said; and the steps.

    Outer blanks are no part of a value, but HTTP/2 carries them (RFC 9110, 5.5), so they may stand around it.
    """
    if not HEADER_NAME.fullmatch(name) or is_managed(name):
        return managed_header(name), 0
    with bounded(limit) as account:
        try:
            found = _value(name, pattern)
        except RegexRefusedError as refusal:
            found = too_complex(refusal, pattern)
        return found, account.spent


def _value(name: str, pattern: str) -> Pattern | Objection:
    meant = language(pattern, HEADER)
    texts = intersection(meant, language(_VISIBLE, HEADER))
    text = next(_wordings(pattern, texts, _IN_VALUE, MAX_HEADER), None) or pattern_of(texts, MAX_HEADER)
    if text is None:
        return _no_value(name, pattern)
    beyond = excess(intersection(meant, language(_TRIMMED, HEADER)), texts) is not None
    return Pattern(texts, (f"{_BLANKS}(?:{text}){_BLANKS}" if text else _BLANKS,), beyond)


def worded(texts: Language, known: Mapping[Language, tuple[str, ...]]) -> tuple[str, ...] | None:
    """Patterns for paths that were put together of others, those of one that is the same if there is; None: they are too long."""
    return known.get(texts) or patterns_of(texts, MAX_PATH)


def _wordings(pattern: str, texts: Language, wildcards: Mapping[str, tuple[str, ...]], most: int) -> Iterator[str]:
    """Short patterns for the same texts: the given one, with wildcards as wide as may be. Proven, not assumed."""
    ways = product(*(wildcards.get(part, (part,)) for part in _PARTS.findall(pattern)))
    for text in ("".join(way) for way in islice(ways, _MOST_WORDINGS)):
        if _is_shared(text, most) and language(text, texts.universe) == texts:
            yield text


def _is_shared(pattern: str, most: int) -> bool:
    """Whether the pattern can be written as it is."""
    return len(pattern) <= most and is_shared(pattern)


def is_disjoint(one: Language, other: Language) -> bool:
    """Whether no text is in both. Raises RegexRefusedError."""
    left, right = _beginning(one), _beginning(other)
    # The beginnings tell most pairs apart, and cost nothing.
    if not left.startswith(right) and not right.startswith(left):
        return True
    return one != other and overlap(one, other) is None


@lru_cache(maxsize=16384)
def _beginning(texts: Language) -> str:
    """What all of the texts begin with."""
    found, state, ranges = texts.universe.start, 0, texts.classes.ranges()
    while not texts.accepting[state]:
        ways = [kind for kind, target in enumerate(texts.rows[state]) if target >= 0]
        if len(ways) != 1 or len(ranges[ways[0]]) != 1 or ranges[ways[0]][0][0] != ranges[ways[0]][0][1]:
            break
        found, state = found + chr(ranges[ways[0]][0][0]), texts.rows[state][ways[0]]
    return found


def _too_large(pattern: str) -> Objection:
    message = f'"{short(pattern)}" needs a pattern of more than {MAX_PATH} characters in a route'
    remedy = "use fewer wildcards, or several matches"
    return Objection("regex.too-large", message, f'a request that matches "{short(pattern)}"', remedy)


def _not_normal(pattern: str) -> Objection:
    message = f'"{short(pattern)}" only matches paths that have another normal form, and these are refused'
    example = f'a request that matches "{short(pattern)}"'
    return Objection("linkerd.path-not-normal", message, example, "match the normal form")


def _no_value(name: str, pattern: str) -> Objection:
    message = (
        f'"{short(pattern)}" matches no value of "{short(name)}" in ASCII, or needs a longer pattern than a route takes'
    )
    example = f'a request with "{short(name)}" that matches "{short(pattern)}"'
    return Objection("linkerd.header-not-expressible", message, example, "list the values, in ASCII")
