"""HTTP matches as messages of Envoy, and what has to be refused; the guards that keep header matches exact come from the hub.

Observed on Envoy 1.40: Envoy sets, rewrites or removes some headers before any filter looks.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import re2

from adapters.vm import wire
from adapters.vm.vocabulary import HEADER_NAME, MAX_PROGRAM_SIZE, PATH_GUARD, ROUTE_PATH_GUARD
from hub.api import (
    HttpMatch,
    Objection,
    folds_beyond_ascii,
    full_match,
    is_ascii_only,
    is_managed_header,
    joined_by_envoy,
    method_matcher,
    path_matcher,
    permission_rules,
    short,
    survives_crumbs,
    value_guards,
    value_matcher,
    value_matchers,
)


@lru_cache(maxsize=8192)
def objections(match: HttpMatch) -> tuple[Objection, ...]:
    """Everything that keeps Envoy from saying this match; () for a match that can be translated."""
    patterns = [pattern for _, pattern in match.headers] + ([] if match.path is None else [match.path])
    found = [_header_objection(name, pattern) for name, pattern in match.headers]
    found += [_pattern_objection(pattern) for pattern in patterns]
    return tuple(sorted({one for one in found if one is not None}))


def _header_objection(name: str, pattern: str) -> Objection | None:
    if "_" in name:
        message = f'Envoy refuses every request with the header "{short(name)}", because of the underscore'
        return Objection("header.underscored", message, f'a request with "{short(name)}"', "use a name with dashes")
    if not HEADER_NAME.fullmatch(name) or is_managed_header(name):
        message = f'Envoy itself sets, removes or rewrites the header "{short(name)}", so a match on it proves nothing'
        return Objection("header.managed", message, f'a request with "{short(name)}"', "match a different header")
    if name == "cookie" and not survives_crumbs(pattern):
        message = f'Envoy joins the cookies of an HTTP/2 request, so "{short(pattern)}" may match across them'
        return Objection(
            "header.managed", message, 'a request with "cookie"', 'match a part of a cookie: ".*name=value.*"'
        )
    return None


def _pattern_objection(pattern: str) -> Objection | None:
    if folds_beyond_ascii(pattern):
        message = f'"{short(pattern)}" ignores case beyond ASCII, but Envoy matches bytes (for example, only SMI treats the long s like an s)'
        return Objection(
            "regex.not-ascii", message, f'a request that matches "{short(pattern)}"', "list both cases without (?i)"
        )
    size = program_size(pattern)
    if size is not None and size <= MAX_PROGRAM_SIZE:
        return None
    counted = "more" if size is None else str(size)
    message = f'pattern "{short(pattern)}" compiles to {counted} RE2 instructions; Envoy allows {MAX_PROGRAM_SIZE}'
    return Objection("regex.too-large", message, f'a request that matches "{short(pattern)}"', "use a shorter pattern")


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
    rules = [] if match is None else [wire.Permission(**rule) for rule in permission_rules(match)]
    guard = wire.Permission(url_path=wire.PathMatcher(**path_matcher(PATH_GUARD)))
    return _all([*(rules or [wire.Permission(any=True)]), wire.Permission(not_rule=guard)])


def route_match(match: HttpMatch, method: str | None) -> wire.RouteMatch:
    """The same requests for a route, with one of the match's methods (None: any)."""
    headers = [] if method is None else [method_matcher(method)]
    for name, pattern in match.headers:
        headers += value_matchers(name, pattern, joined_by_envoy)
        headers += map(_inverted, value_guards(name, pattern))
    if match.path is None:
        return wire.RouteMatch(prefix="/", headers=headers)
    if not is_ascii_only(match.path):
        headers.append(_inverted(value_matcher(":path", ROUTE_PATH_GUARD)))
    return wire.RouteMatch(safe_regex=full_match(match.path), headers=headers)


def _inverted(matcher: dict[str, Any]) -> dict[str, Any]:
    return {**matcher, "invert_match": True}


def _all(rules: list[wire.Permission]) -> wire.Permission:
    return wire.Permission(and_rules=wire.Permission.Set(rules=rules))
