"""HTTP conditions of SMI as Consul says them, for intentions and for routers, or why it cannot.

Source: https://developer.hashicorp.com/consul/docs/connect/config-entries/service-intentions and .../service-router. Observed on
Consul 1.22 with Envoy 1.40: patterns of paths and headers are full matches, without the query; of repeated headers, one value that
matches is enough, and with `Invert` none may.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from adapters.consul.regex import MAX_PATTERN, is_contains, is_plain, is_taken
from adapters.consul.vocabulary import BEYOND_ASCII, EVERY_PATH, HEADER_NAME, METHODS, NOT_ONE_VALUE
from hub.api import HttpMatch, Objection, is_managed_header, managed_header, short

Json = dict[str, Any]
EVERYTHING: Json = {"PathPrefix": EVERY_PATH}
"""Every HTTP request: a permission without any condition is refused."""
_EMPTY = "(?:)"
"""The pattern of nothing at all: Consul leaves out an empty one, and with it the condition."""


@lru_cache(maxsize=8192)
def objections(match: HttpMatch) -> tuple[Objection, ...]:
    """What keeps Consul from saying this match as a whole; () for one that can be said, its unknown methods aside."""
    patterns = [pattern for _, pattern in match.headers] + ([] if match.path is None else [match.path])
    found = [_header_objection(name, pattern) for name, pattern in match.headers]
    found += [_too_large(pattern) for pattern in patterns if not is_taken(_written(pattern))]
    return tuple(sorted({one for one in found if one is not None}))


def unknown_methods(match: HttpMatch) -> tuple[Objection, ...]:
    """The methods that Consul cannot name: only they are refused."""
    return tuple(map(_nonstandard, sorted(set(match.methods or ()) - METHODS)))


def said(match: HttpMatch) -> HttpMatch | None:
    """The match without methods that cannot be named; None if nothing of it can be said."""
    if objections(match):
        return None
    if match.methods is None:
        return match
    methods = tuple(sorted(METHODS.intersection(match.methods)))
    return HttpMatch(match.path, methods, match.headers) if methods else None


def http(match: HttpMatch) -> Json:
    """The conditions of a match that can be said."""
    body: Json = {}
    if match.path is not None:
        body["PathRegex"] = _written(match.path)
    if match.methods is not None:
        body["Methods"] = sorted(match.methods)
    if match.headers:
        body["Header"] = [one for name, pattern in match.headers for one in _header(name, pattern)]
    return body or EVERYTHING


def _header(name: str, pattern: str) -> Iterable[Json]:
    """The pattern, and the values for which Envoys may read it otherwise than SMI."""
    yield {"Name": name, "Regex": _written(pattern)}
    if not is_plain(pattern):
        yield {"Name": name, "Regex": BEYOND_ASCII if is_contains(pattern) else NOT_ONE_VALUE, "Invert": True}


def _written(pattern: str) -> str:
    return pattern or _EMPTY


def _header_objection(name: str, pattern: str) -> Objection | None:
    if not HEADER_NAME.fullmatch(name) or is_managed_header(name):
        return managed_header(name)
    if name == "cookie" and (" " in pattern or not is_contains(pattern)):
        message = f'Envoy joins the cookies of an HTTP/2 request, so "{short(pattern)}" may match across them'
        remedy = 'match a part of a cookie: ".*name=value.*"'
        return Objection("header.managed", message, 'a request with "cookie"', remedy)
    return None


def _too_large(pattern: str) -> Objection:
    message = f'pattern "{short(pattern)}" has more than {MAX_PATTERN} characters, or is too large for an Envoy'
    return Objection("regex.too-large", message, f'a request that matches "{short(pattern)}"', "use a shorter pattern")


def _nonstandard(method: str) -> Objection:
    message = f'"{short(method)}" is not one of the methods that Consul can name'
    return Objection("consul.method-nonstandard", message, f'a request "{short(method)}"', "use another method")
