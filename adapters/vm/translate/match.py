"""HTTP matches: what Envoy can say exactly, what has to be refused, and the guards that keep a header match exact.

Observed on Envoy 1.40 and judged here: RE2 runs in Latin-1 mode on header values, Envoy joins repeated lines of some
headers with a comma, and sets, rewrites or removes others before any filter looks.
"""

from __future__ import annotations

import re
from functools import lru_cache

import re2

from adapters.vm import wire
from adapters.vm.translate.build import exact, full_match
from adapters.vm.vocabulary import (
    HEADER_NAME,
    JOIN_GUARD,
    MAX_PROGRAM_SIZE,
    NON_ASCII,
    OUTER_BLANK,
    PATH_GUARD,
    ROUTE_PATH_GUARD,
)
from hub.api import JOINED_HEADERS, NOT_UTF8, HttpMatch, Objection, is_managed_header

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
_SHOWN = 60


@lru_cache(maxsize=8192)
def objections(match: HttpMatch) -> tuple[Objection, ...]:
    """Everything that keeps Envoy from saying this match; () for a match that can be translated."""
    patterns = [pattern for _, pattern in match.headers] + ([] if match.path is None else [match.path])
    found = [_header_objection(name, pattern) for name, pattern in match.headers]
    found += [_pattern_objection(pattern) for pattern in patterns]
    return tuple(sorted({one for one in found if one is not None}))


def _header_objection(name: str, pattern: str) -> Objection | None:
    if "_" in name:
        message = f'Envoy refuses every request with the header "{_short(name)}", because of the underscore'
        return Objection("header.underscored", message, f'a request with "{_short(name)}"', "use a name with dashes")
    if not HEADER_NAME.fullmatch(name) or is_managed_header(name):
        message = f'Envoy itself sets, removes or rewrites the header "{_short(name)}", so a match on it proves nothing'
        return Objection("header.managed", message, f'a request with "{_short(name)}"', "match a different header")
    if name == "cookie" and (" " in pattern or not _survives_joining(pattern)):
        message = f'Envoy joins the cookies of an HTTP/2 request, so "{_short(pattern)}" may match across them'
        return Objection(
            "header.managed", message, 'a request with "cookie"', 'match a part of a cookie: ".*name=value.*"'
        )
    return None


def _pattern_objection(pattern: str) -> Objection | None:
    if _FOLDS.search(pattern) and _BEYOND_ASCII.search(pattern):
        message = f'"{_short(pattern)}" ignores case beyond ASCII, but Envoy matches bytes (for example, only SMI treats the long s like an s)'
        return Objection(
            "regex.not-ascii", message, f'a request that matches "{_short(pattern)}"', "list both cases without (?i)"
        )
    size = program_size(pattern)
    if size is not None and size <= MAX_PROGRAM_SIZE:
        return None
    counted = "more" if size is None else str(size)
    message = f'pattern "{_short(pattern)}" compiles to {counted} RE2 instructions; Envoy allows {MAX_PROGRAM_SIZE}'
    return Objection("regex.too-large", message, f'a request that matches "{_short(pattern)}"', "use a shorter pattern")


@lru_cache(maxsize=16384)
def program_size(pattern: str) -> int | None:
    """How many RE2 instructions Envoys make of a pattern; None if RE2 refuses it.

    Over bytes, and over characters as those without the fix of CVE-2026-73552 do: whichever are more. A pattern that an
    Envoy refuses would freeze all that stands beside it.
    """
    encodings = re2.Options.Encoding
    sizes = [_size(pattern, encoding) for encoding in (encodings.LATIN1, encodings.UTF8)]
    return None if None in sizes else max(size for size in sizes if size is not None)


def _size(pattern: str, encoding: re2.Options.Encoding) -> int | None:
    options = re2.Options()
    options.encoding, options.log_errors = encoding, False
    try:
        return int(re2.compile(pattern.encode(), options).programsize)
    except (re2.error, UnicodeEncodeError):
        return None


def permission(match: HttpMatch | None) -> wire.Permission:
    """The HTTP requests of one match (None: all of them), minus paths that an application may read differently."""
    rules = [] if match is None else _conditions(match)
    guard = wire.Permission(url_path=_path(PATH_GUARD))
    return _all([*(rules or [wire.Permission(any=True)]), wire.Permission(not_rule=guard)])


def _conditions(match: HttpMatch) -> list[wire.Permission]:
    rules = [] if match.path is None else [wire.Permission(url_path=_path(match.path))]
    if match.methods is not None:
        methods = [wire.Permission(header=method_matcher(method)) for method in sorted(set(match.methods))]
        rules.append(methods[0] if len(methods) == 1 else wire.Permission(or_rules=wire.Permission.Set(rules=methods)))
    for name, pattern in match.headers:
        rules.append(wire.Permission(header=value_matcher(name, pattern)))
        if _needs_join_guard(name, pattern):
            rules.append(wire.Permission(header=value_matcher(name, JOIN_GUARD)))
        rules += [wire.Permission(not_rule=wire.Permission(header=one)) for one in _value_guards(name, pattern)]
    return rules


def route_match(match: HttpMatch, method: str | None) -> wire.RouteMatch:
    """The same requests for a route, with one of the match's methods (None: any)."""
    headers = [] if method is None else [method_matcher(method)]
    for name, pattern in match.headers:
        headers.append(value_matcher(name, pattern))
        if _needs_join_guard(name, pattern):
            headers.append(value_matcher(name, JOIN_GUARD))
        headers += [_inverted(one) for one in _value_guards(name, pattern)]
    if match.path is None:
        return wire.RouteMatch(prefix="/", headers=headers)
    if not _is_ascii_only(match.path):
        headers.append(_inverted(value_matcher(":path", ROUTE_PATH_GUARD)))
    return wire.RouteMatch(safe_regex=full_match(match.path), headers=headers)


def method_matcher(method: str) -> wire.HeaderMatcher:
    """Requests with exactly this method."""
    return wire.HeaderMatcher(name=":method", string_match=exact(method))


def value_matcher(name: str, pattern: str) -> wire.HeaderMatcher:
    """Requests that carry this header with a value (of any of its lines) that the whole pattern matches."""
    return wire.HeaderMatcher(name=name, string_match=wire.StringMatcher(safe_regex=full_match(pattern)))


def _value_guards(name: str, pattern: str) -> list[wire.HeaderMatcher]:
    """Requests for which Envoy reads this header's value otherwise than SMI, and the pattern may match for it."""
    guards = [] if _is_ascii_only(pattern) else [NOT_UTF8 if is_byte_exact(pattern) else NON_ASCII]
    guards += [] if is_trim_exact(pattern) else [OUTER_BLANK]
    return [value_matcher(name, guard) for guard in guards]


def _inverted(matcher: wire.HeaderMatcher) -> wire.HeaderMatcher:
    matcher.invert_match = True
    return matcher


def _path(pattern: str) -> wire.PathMatcher:
    return wire.PathMatcher(path=wire.StringMatcher(safe_regex=full_match(pattern)))


def _all(rules: list[wire.Permission]) -> wire.Permission:
    return wire.Permission(and_rules=wire.Permission.Set(rules=rules))


def _needs_join_guard(name: str, pattern: str) -> bool:
    return name in JOINED_HEADERS and not _survives_joining(pattern)


def _survives_joining(pattern: str) -> bool:
    """Whether a joined value (`a,b`, `a; b`) can match only if one of its parts does: text that occurs, begins or ends.

    Not text with an outer blank: that may be the outer blank of a part, which is no part of the value.
    """
    found = _CONTAINS.fullmatch(pattern)
    if found is None:
        return False
    text = _ESCAPED.sub(r"\1", found.group(1))
    return text == text.strip(" \t")


def _is_ascii_only(pattern: str) -> bool:
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


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
