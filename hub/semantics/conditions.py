"""Does an HTTP request satisfy a match? RE2 decides, on the whole text.

Sources: traffic-specs/v1alpha4, "HTTPRouteGroup"; google/re2 wiki, "Syntax".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Protocol

import re2
from msgspec import Struct

from hub.model import Reading, Request, raw_bytes
from hub.semantics.types import Match

_LONGEST_PATTERN = 4096
_END_OF_PATH = re.compile(r"[?#]")


class Pattern(Protocol):
    """The part of a compiled RE2 pattern that we use."""

    def fullmatch(self, text: bytes) -> object | None:
        """Return a truthy value if the pattern matches the whole text."""


class Http(Struct, frozen=True):
    """The HTTP side of a request: path without query, header lines by lower-case name; None is text without UTF-8."""

    method: str
    path: bytes | None
    headers: Mapping[str, tuple[bytes | None, ...]]


class CompiledMatch(Struct, frozen=True):
    """A match whose patterns are compiled; `name` is what rules refer to."""

    name: str
    path: Pattern | None
    methods: frozenset[str]
    headers: tuple[tuple[str, Pattern], ...]

    def holds(self, http: Http) -> bool:
        """Tell whether every condition of the match is met; no methods, or `*`, is any method."""
        return self.admits_method(http) and self.admits_path(http) and next(self.failing_headers(http), None) is None

    def admits_method(self, http: Http) -> bool:
        """Tell whether the method is one of the match's."""
        return not self.methods or http.method in self.methods or "*" in self.methods

    def admits_path(self, http: Http) -> bool:
        """Tell whether the pattern of the path holds."""
        return self.path is None or _whole(self.path, http.path)

    def failing_headers(self, http: Http) -> Iterator[int]:
        """Yield the conditions on headers that do not hold, by their places."""
        for place, (name, pattern) in enumerate(self.headers):
            if not any(_whole(pattern, value) for value in http.headers.get(name, ())):
                yield place


def http_of(request: Request) -> Http:
    """Take the HTTP side of a request: the path ends at the first `?` or `#`, header names are case-insensitive.

    Blanks around a header's value are no part of it (RFC 9110, 5.5).
    """
    headers: dict[str, list[bytes | None]] = {}
    for name, value in request.headers:
        headers.setdefault(name.lower() if name.isascii() else name, []).append(_utf8(value.strip(" \t")))
    path = _utf8(_END_OF_PATH.split(request.path, maxsplit=1)[0])
    return Http(request.method, path, {name: tuple(values) for name, values in headers.items()})


class Compiler:
    """Compiles matches under one reading, each distinct pattern once."""

    def __init__(self, reading: Reading) -> None:
        self._prefix = reading.path_regex == "prefix"
        self._compile = cache(_compile)

    def conditions(self, matches: Iterable[Match]) -> tuple[CompiledMatch, ...]:
        """Return the matches that can match; one without a condition, with a name taken twice or with a bad regex cannot."""
        listed = tuple(matches)
        times = Counter(match.name for match in listed)
        compiled = (self._condition(match) for match in listed if times[match.name] == 1)
        return tuple(condition for condition in compiled if condition is not None)

    def _condition(self, match: Match) -> CompiledMatch | None:
        if match.path is None and not match.methods and not match.headers:
            return None
        path = None if match.path is None else self._path(match.path)
        headers = [(name, self._pattern(pattern)) for name, pattern in match.headers]
        known = tuple((name, pattern) for name, pattern in headers if pattern is not None)
        if len(known) < len(headers) or (match.path is not None and path is None):
            return None
        return CompiledMatch(match.name, path, match.methods, known)

    def _path(self, written: str) -> Pattern | None:
        """Compile a pathRegex; the empty one never matches."""
        if not written:
            return None
        whole = self._pattern(written)
        if whole is None or not self._prefix or _ends_in_anchor(written):
            return whole
        # In brackets, since "a|b" with ".*" after it would be "a" or "b.*".
        return self._compile(f"(?:{written}).*")

    def _pattern(self, written: str) -> Pattern | None:
        return self._compile(written) if len(written) <= _LONGEST_PATTERN else None


def _ends_in_anchor(pattern: str) -> bool:
    r"""Tell whether a pattern ends in `$` or `\z` (a dollar after an odd number of backslashes is a literal)."""
    if pattern.endswith("$"):
        return _backslashes(pattern[:-1]) % 2 == 0
    return pattern.endswith(r"\z") and _backslashes(pattern[:-1]) % 2 == 1


def _backslashes(text: str) -> int:
    return len(text) - len(text.rstrip("\\"))


def _compile(pattern: str) -> Pattern | None:
    """Compile with RE2's defaults, or None when RE2 refuses the pattern."""
    # RE2 itself, and never Python's re: the two differ in syntax,
    # and re can take exponential time on a hostile pattern.
    options = re2.Options()
    options.log_errors = False
    try:
        compiled: Pattern = re2.compile(pattern, options)
    except (re2.error, UnicodeEncodeError):
        return None
    return compiled


def _whole(pattern: Pattern, text: bytes | None) -> bool:
    return text is not None and pattern.fullmatch(text) is not None


def _utf8(text: str) -> bytes | None:
    raw = raw_bytes(text)
    try:
        raw.decode()
    except UnicodeDecodeError:
        return None
    return raw
