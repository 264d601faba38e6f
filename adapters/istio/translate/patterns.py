"""Matches that AuthorizationPolicy cannot say, as permissions of an EnvoyFilter, for meshes that have `patterns: envoyfilter`.

A pattern that a sidecar refuses freezes all inbound policies of its Pod, revocations too, so what might be refused by
any generation of sidecars is never written: see `adapters.istio.regex`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec
from msgspec.structs import replace

from adapters.istio.config import IstioConfig
from adapters.istio.regex import SURROGATES, is_compiled, is_portable
from adapters.istio.translate.budget import ConditionPattern, step_limit
from adapters.istio.translate.losses import short
from adapters.istio.translate.match import (
    MAX_BYTES,
    Expressed,
    express,
    express_methods,
    managed_by_sidecar,
    matches_across_lines,
    too_large,
)
from hub.api import (
    NON_ASCII,
    NOT_UTF8,
    PATH,
    HttpMatch,
    Objection,
    RegexRefusedError,
    bounded,
    intersection,
    language,
    path_matcher,
    pattern_of,
    permission_rules,
    survives_crumbs,
    value_guards,
    value_matcher,
)

_MAX_PATTERN = 4096
_REWRITING_STEPS = 12_000
"""Most steps to write a path pattern in another way: a Unicode class takes 9 000."""
_NO_RAW_BYTES = {"not_rule": {"url_path": path_matcher(NON_ASCII)}}
"""Where paths are not normalised, HTTP/2 carries bytes beyond ASCII, which RE2 counts one by one and SMI's patterns do not."""


def expressed(match: HttpMatch, expensive: frozenset[ConditionPattern], config: IstioConfig) -> Expressed:
    """A match as far as policies say it, else by a filter where the mesh has those, else what policies say of it."""
    found = express(match, expensive, text=config.header_values == "text")
    if not found.objections or config.patterns != "envoyfilter":
        return found
    limit = step_limit(ConditionPattern("", match.path or ""), expensive)
    refused, permission = _by_filter(match, min(limit, _REWRITING_STEPS))
    return replace(found, objections=refused) if refused else Expressed(permission=permission)


@lru_cache(maxsize=8192)
def _by_filter(match: HttpMatch, limit: int) -> tuple[tuple[Objection, ...], bytes]:
    """What keeps a filter from saying the match (nothing: it can), and the permission."""
    said = match if match.path is None else replace(match, path=_portable_path(match.path, limit))
    found = {*express_methods(match.methods).objections, *filter(None, (_header(*one) for one in match.headers))}
    if match.path is not None and said.path is not None:
        found.update(_pattern(match.path, said.path))
    rules = permission_rules(said, _may_be_joined) + ([] if match.path is None else [_NO_RAW_BYTES])
    rules += [
        _no_surrogates(name)
        for name, pattern in match.headers
        if value_matcher(name, NOT_UTF8) in value_guards(name, pattern)
    ]
    body = msgspec.json.encode({"and_rules": {"rules": rules}}, order="sorted")
    if not found and len(body) > MAX_BYTES:
        found.add(too_large(match))
    return tuple(sorted(found)), body


def _no_surrogates(name: str) -> dict[str, Any]:
    return {"not_rule": {"header": value_matcher(name, SURROGATES)}}


def _may_be_joined(name: str) -> bool:
    """Every header: sidecars without the fix of CVE-2026-26308 join the lines of any."""
    return True


def _header(name: str, pattern: str) -> Objection | None:
    managed = managed_by_sidecar(name)
    if managed is not None:
        return managed
    if name == "cookie" and not survives_crumbs(pattern):
        return matches_across_lines(name, pattern)
    return next(iter(_pattern(pattern, pattern)), None)


def _pattern(meant: str, written: str) -> tuple[Objection, ...]:
    example = f'a request that matches "{short(meant)}"'
    if not is_portable(written):
        message = f'"{short(meant)}" means something different to sidecars that match bytes and to those that match characters'
        remedy = "list the characters one by one, in ASCII and in both cases"
        return (Objection("regex.not-ascii", message, example, remedy),)
    if not is_compiled(written or "(?:)"):
        message = f'pattern "{short(meant)}" is larger than sidecars allow'
        return (Objection("regex.too-large", message, example, "use a shorter pattern, or several matches"),)
    return ()


def _portable_path(pattern: str, limit: int) -> str:
    """The pattern, or an equal one of the paths that the guard lets pass: those in ASCII, found in so many steps."""
    if is_portable(pattern):
        return pattern
    with bounded(limit):
        try:
            paths = intersection(language(pattern, PATH), language("[!-~]*", PATH))
            return pattern_of(paths, _MAX_PATTERN) or pattern
        except RegexRefusedError:
            return pattern
