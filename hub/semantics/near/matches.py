"""What stands between an HTTP request and one match of an HTTPRouteGroup, in words."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

import re2

from hub.model import Hurdle
from hub.semantics.conditions import CompiledMatch, Http
from hub.semantics.types import Match


def hurdles_of_match(compiled: CompiledMatch, written: Match, http: Http) -> Iterator[Hurdle]:
    """Yield what does not hold of a match: its methods, its path, each of its headers."""
    if not compiled.admits_method(http):
        yield Hurdle("method", f"its methods: {', '.join(sorted(written.methods))}; the request's is {http.method}")
    if not compiled.admits_path(http):
        path, pattern = _text(http.path), written.path or ""
        yield Hurdle("path", f"its path: {pattern}; the request's is {path}{_hint(pattern, path)}")
    for place in compiled.failing_headers(http):
        name, pattern = written.headers[place]
        values = ", ".join(map(_text, http.headers.get(name, ())))
        yield Hurdle("header", f"its header {name}: {pattern}; the request {f'has {values}' if values else 'has none'}")


def _text(raw: bytes | None) -> str:
    return "not valid UTF-8" if raw is None else raw.decode()


def _hint(pattern: str, path: str) -> str:
    """Return what people often mean instead: a path from its "/" on, a glob, or the beginning of a path."""
    if not path.startswith(("/", "*")):
        return ' (a path begins with "/")'
    if "*" in pattern and fnmatchcase(path, pattern):
        return " (a regular expression, not a glob: use .* for any text)"
    options = re2.Options()
    options.log_errors = False
    beginning = re2.compile(pattern, options).match(path.encode())
    return " (it has to match the whole path)" if pattern and beginning is not None and beginning.end() else ""
