"""Matches that AuthorizationPolicy cannot say, as permissions of an EnvoyFilter, for meshes that have `patterns: envoyfilter`.

A pattern that a sidecar refuses freezes all inbound policies of its Pod, revocations too, so what might be refused by
any generation of sidecars is never written: see `adapters.istio.regex`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec
from msgspec.structs import replace

from adapters.istio.config import IstioConfig
from adapters.istio.regex import is_compiled, is_portable
from adapters.istio.translate.budget import CHEAP_STEPS, ConditionPattern, step_limit
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
    HEADER,
    JOIN_GUARD,
    NON_ASCII,
    NOT_UTF8,
    PATH,
    HttpMatch,
    Language,
    Objection,
    RegexRefusedError,
    bounded,
    intersection,
    language,
    overlap,
    path_matcher,
    pattern_of,
    permission_rules,
    short,
    survives_crumbs,
    value_guards,
    value_matcher,
    value_matchers,
)

Json = dict[str, Any]
Guards = Callable[[str, str], list[Json]]
"""What must not match of a header (name, pattern); see `hub.rbac.value_guards`."""
_MAX_PATTERN = 4096
_REWRITING_STEPS = 12_000
"""Most steps to write a path pattern in another way: a Unicode class takes 9 000."""
_VALUES = r"(?s:[^ \t](?:.*[^ \t])?)?"
"""Header values, which have no outer blanks."""
_ASCII, _LINE_IN_ASCII = "[\t -~]*", "[\t -+.-~-]*"
"""Those in ASCII, and without a comma."""
_NO_RAW_BYTES = {"not_rule": {"url_path": path_matcher(NON_ASCII)}}
"""Where paths are not normalised, HTTP/2 carries bytes beyond ASCII, which RE2 counts one by one and SMI's patterns do not."""


def expressed(match: HttpMatch, expensive: frozenset[ConditionPattern], config: IstioConfig) -> Expressed:
    """A match as far as policies say it, else by a filter where the mesh has those, else what policies say of it."""
    found = express(match, expensive, text=config.header_values == "text")
    if not found.objections:
        return found
    limit = step_limit(ConditionPattern("", match.path or ""), expensive)
    guards = value_guards if config.header_values == "text" else _guards
    refused, permission = _by_filter(match, min(limit, _REWRITING_STEPS), guards)
    if config.patterns != "envoyfilter":
        return found if refused else replace(found, objections=tuple(map(_with_setting, found.objections)))
    return replace(found, objections=refused) if refused else Expressed(permission=permission)


def _with_setting(lifted: Objection) -> Objection:
    """An objection that a filter would lift."""
    return replace(lifted, remedy=f'{lifted.remedy}, or set "patterns: envoyfilter" in the config of this mesh')


@lru_cache(maxsize=8192)
def _by_filter(match: HttpMatch, limit: int, guards: Guards) -> tuple[tuple[Objection, ...], bytes]:
    """What keeps a filter from saying the match (nothing: it can), and the permission."""
    said = match if match.path is None else replace(match, path=_portable_path(match.path, limit))
    found = {*express_methods(match.methods).objections}
    found.update(filter(None, (_header(name, pattern, guards) for name, pattern in match.headers)))
    if match.path is not None and said.path is not None:
        found.update(_pattern(match.path, said.path))
    rules = permission_rules(said, _may_be_joined, guards) + ([] if match.path is None else [_NO_RAW_BYTES])
    body = msgspec.json.encode({"and_rules": {"rules": rules}}, order="sorted")
    if not found and len(body) > MAX_BYTES:
        found.add(too_large(match))
    return tuple(sorted(found)), body


def _guards(name: str, pattern: str) -> list[Json]:
    """The guards where values may be no text: none beyond ASCII passes.

    RE2 over characters, that of sidecars without the fix of CVE-2026-73552, takes for a character also what is none: surrogates,
    overlong forms, what is beyond U+10FFFF. No pattern of it could tell these from text.
    """
    broken, beyond = value_matcher(name, NOT_UTF8), value_matcher(name, NON_ASCII)
    return [beyond if guard == broken else guard for guard in value_guards(name, pattern)]


def _may_be_joined(name: str) -> bool:
    """Every header: sidecars without the fix of CVE-2026-26308 join the lines of any."""
    return True


def _header(name: str, pattern: str, guards: Guards) -> Objection | None:
    managed = managed_by_sidecar(name)
    if managed is not None:
        return managed
    if name == "cookie" and not survives_crumbs(pattern):
        return matches_across_lines(name, pattern)
    return next(iter(_pattern(pattern, pattern)), None) or _never_passes(name, pattern, guards)


def _never_passes(name: str, pattern: str, guards: Guards) -> Objection | None:
    """Why nothing that the pattern matches gets past its guards, where that is so."""
    one_line = value_matcher(name, JOIN_GUARD) in value_matchers(name, pattern, _may_be_joined)
    in_ascii = value_matcher(name, NON_ASCII) in guards(name, pattern)
    with bounded(CHEAP_STEPS):
        try:
            meant = intersection(language(pattern, HEADER), language(_VALUES, HEADER))
            if one_line and not _share(meant, JOIN_GUARD):
                return matches_across_lines(name, pattern)
            if in_ascii and not _share(meant, _LINE_IN_ASCII if one_line else _ASCII):
                return _read_in_two_ways(pattern)
        except RegexRefusedError:
            return None
    return None


def _share(meant: Language, guard: str) -> bool:
    """Whether any of these values matches another pattern, too; or there are none."""
    return meant.is_empty() or overlap(meant, language(guard, HEADER)) is not None


def _pattern(meant: str, written: str) -> tuple[Objection, ...]:
    if not is_portable(written):
        return (_read_in_two_ways(meant),)
    if not is_compiled(written or "(?:)"):
        example = f'a request that matches "{short(meant)}"'
        message = f'pattern "{short(meant)}" is larger than sidecars allow'
        return (Objection("regex.too-large", message, example, "use a shorter pattern, or several matches"),)
    return ()


def _read_in_two_ways(pattern: str) -> Objection:
    message = (
        f'"{short(pattern)}" means something different to sidecars that match bytes and to those that match characters'
    )
    example, remedy = (
        f'a request that matches "{short(pattern)}"',
        "list the characters one by one, in ASCII and in both cases",
    )
    return Objection("regex.not-ascii", message, example, remedy)


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
