"""HTTP matches as what an Envoy is asked: the rules of an RBAC permission, with the guards that keep header matches exact.

Several meshes let Envoys decide, and all write the same rules: as JSON, by the names of Envoy's API (config.rbac.v3.Permission,
config.route.v3.HeaderMatcher). Measured on Envoy 1.40 and judged here: RE2 runs in Latin-1 mode on header values, and Envoy
joins repeated lines of some headers with a comma.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from hub.envoy import JOINED_HEADERS, NOT_UTF8
from hub.model import HttpMatch

Json = dict[str, Any]

JOIN_GUARD = "[^,]*"
"""Values that are certainly one header line: Envoy joins several with a comma. What follows the comma proves nothing,
because over HTTP/2 a line may begin with a blank, which Envoy keeps."""

NON_ASCII = r"\C*[^\x00-\x7f]\C*"
"""Values with a byte above 0x7f: Envoy's RE2 counts bytes there, SMI's patterns count characters."""

OUTER_BLANK = r"[ \t]\C*|\C*[ \t]"
"""Header values with a blank outside: no part of the value (RFC 9110, 5.5), but over HTTP/2 Envoy keeps it."""

# What is left of a pattern after these are taken out decides whether Envoy, which matches bytes, and SMI, which means
# characters, agree on it. None of them parses the pattern: what they do not know counts as a disagreement.
_PUNCTUATION = re.compile(r"\\[^A-Za-z0-9\x80-\U0010ffff]|\\[dws]|\[(?!\^)[\x20-\x5a\x5e-\x7e]+\]")
# Not before a repetition: over bytes that would repeat the last byte of the character alone.
_LITERAL = re.compile(r"[^\x00-\x7f](?![*+?{])")
# Parts of a pattern that never take a blank or a tab.
_NO_BLANK = re.compile(r"\\[^A-Za-z0-9\s\x80-\U0010ffff]|\\[dw]|\[(?!\^)[\x21-\x5a\x5e-\x7e]+\]")
_ANYTHING_STARRED = re.compile(r"(?:\.|\[\^[\x20-\x5a\x5e-\x7e]\])\*\??")
# "Contains, begins with, ends with, is" a text of which no part is a separator of joined lines.
_CONTAINS = re.compile(
    r"(?:\(\?i\))?\^?(?:\.\*)?((?:[A-Za-z0-9 _/=@#%&!<>\"'`~:-]|\\[^A-Za-z0-9,;])*)(?:\.\*)?\$?", re.ASCII
)
_FOLDS = re.compile(r"\(\?[a-zA-Z]*i")
_ANYTHING_FOLDED = re.compile(r"\.\*\??")
_ESCAPED = re.compile(r"\\(.)")
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]|\\x\{|\\[pP]")


def joined_by_envoy(name: str) -> bool:
    """Whether every Envoy joins repeated lines of this header (lower-case name)."""
    return name in JOINED_HEADERS


def value_guards(name: str, pattern: str) -> list[Json]:
    """Requests for which Envoy reads this header's value otherwise than SMI, and the pattern may match for it."""
    guards = [] if is_ascii_only(pattern) else [NOT_UTF8 if is_byte_exact(pattern) else NON_ASCII]
    guards += [] if is_trim_exact(pattern) else [OUTER_BLANK]
    return [value_matcher(name, guard) for guard in guards]


def permission_rules(
    match: HttpMatch,
    joined: Callable[[str], bool] = joined_by_envoy,
    guards: Callable[[str, str], list[Json]] = value_guards,
) -> list[Json]:
    """The rules that must all hold for a request of this match; none for every request.

    `joined` says of which headers some Envoy in the mesh may join repeated lines, `guards` what must not match of a header.
    """
    rules: list[Json] = [] if match.path is None else [{"url_path": path_matcher(match.path)}]
    if match.methods is not None:
        methods: list[Json] = [{"header": method_matcher(method)} for method in sorted(set(match.methods))]
        rules.append(methods[0] if len(methods) == 1 else {"or_rules": {"rules": methods}})
    for name, pattern in match.headers:
        rules += [{"header": one} for one in value_matchers(name, pattern, joined)]
        rules += [{"not_rule": {"header": one}} for one in guards(name, pattern)]
    return rules


def full_match(pattern: str) -> Json:
    """A RegexMatcher for the whole text; the empty pattern (which Envoy refuses) in an equal spelling."""
    return {"regex": pattern or "(?:)"}


def path_matcher(pattern: str) -> Json:
    """A PathMatcher: paths without their query that the whole pattern matches."""
    return {"path": {"safe_regex": full_match(pattern)}}


def method_matcher(method: str) -> Json:
    """A HeaderMatcher: requests with exactly this method."""
    return {"name": ":method", "string_match": {"exact": method}}


def value_matcher(name: str, pattern: str) -> Json:
    """A HeaderMatcher: requests that carry this header with a value (of any of its lines) that the whole pattern matches."""
    return {"name": name, "string_match": {"safe_regex": full_match(pattern)}}


def value_matchers(name: str, pattern: str, joined: Callable[[str], bool]) -> Iterable[Json]:
    """What must match so that a line of this header does."""
    yield value_matcher(name, pattern)
    if joined(name) and not survives_joining(pattern):
        yield value_matcher(name, JOIN_GUARD)


def survives_joining(pattern: str) -> bool:
    """Whether a joined value (`a,b`, `a; b`) can match only if one of its parts does: text that occurs, begins or ends.

    Not text with an outer blank: that may be the outer blank of a part, which is no part of the value.
    """
    found = _CONTAINS.fullmatch(pattern)
    if found is None:
        return False
    text = _ESCAPED.sub(r"\1", found.group(1))
    return text == text.strip(" \t")


def survives_crumbs(pattern: str) -> bool:
    """Whether the cookies of an HTTP/2 request, joined by `; `, can match only if one of them does."""
    return " " not in pattern and survives_joining(pattern)


def folds_beyond_ascii(pattern: str) -> bool:
    """Whether a pattern ignores the case of letters beyond ASCII, which RE2 over bytes cannot."""
    return _FOLDS.search(pattern) is not None and _BEYOND_ASCII.search(pattern) is not None


def is_ascii_only(pattern: str) -> bool:
    """Whether a pattern matches no byte beyond ASCII but those of characters that it names one by one.

    Doubt counts as no.
    """
    rest = _named(pattern)
    return rest.isascii() and not set(rest) & set(".[]\\")


def _named(pattern: str) -> str:
    """The pattern without ASCII classes, escapes of punctuation and (where case counts) literals beyond ASCII."""
    rest = _PUNCTUATION.sub("a", pattern)
    return rest if "(?" in rest else _LITERAL.sub("a", rest)


def is_byte_exact(pattern: str) -> bool:
    """Whether bytes and characters give the same answer for every valid UTF-8 value.

    True for what names characters literally or as ASCII classes and passes over anything else in runs: `.*`, `[^x]*`,
    and a single `.+`. Not `(?i)[^k]*`: characters fold to other letters than bytes do (U+212A to k, U+017F to s), and only
    of characters does it leave those out. Doubt counts as no.
    """
    anything = _ANYTHING_FOLDED if _FOLDS.search(pattern) else _ANYTHING_STARRED
    rest = anything.sub("", _named(pattern))
    if rest.count(".+") == 1 and not set(rest) & set("({"):
        rest = rest.replace(".+", "")
    return rest.isascii() and not set(rest) & set(".[]\\")


def is_trim_exact(pattern: str) -> bool:
    """Whether a value matches without its outer blanks whenever it matches with them: only `.*` and the like take any.

    Doubt counts as no.
    """
    rest = _ANYTHING_STARRED.sub("", _NO_BLANK.sub("a", pattern))
    return not set(rest) & set(" \t.[\\")
