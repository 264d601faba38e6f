"""Conditions of a split as matches of a VirtualService: literal values where they say it, else RE2 that all readers share.

Source: Istio documentation, VirtualService, `HTTPMatchRequest`: RE2, full match, path without query. Istio compiles a
pattern with Go's engine, Envoy with RE2 over bytes; one that either refuses freezes the route table of the whole port.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from math import prod

from msgspec import Struct
from msgspec.structs import replace

from adapters.istio.regex import is_portable, is_small
from adapters.istio.translate.budget import ConditionPattern, step_limit
from adapters.istio.translate.match import managed_by_sidecar, matches_across_lines, matches_outer_blank
from adapters.istio.translate.objects import Json
from adapters.istio.translate.values import (
    forms_of_path,
    is_byte_exact,
    line_separator,
    survives_joining,
    survives_trimming,
    takes_beyond_ascii,
)
from hub.api import (
    HEADER,
    NOT_UTF8,
    Forms,
    HttpMatch,
    Inexpressible,
    Objection,
    RegexRefusedError,
    bounded,
    header_forms,
    language,
    short,
    too_complex,
)

IGNORED_HEADERS = frozenset({"authority", "method", "scheme", "uri"})
"""Names that Istio does not take for headers in a match (VirtualService, `HTTPMatchRequest.headers`)."""
_MAX_VALUES = 16
_MAX_MATCHES = 256

Text = tuple[str, str]
"""A StringMatch: (`exact`, `prefix` or `regex`, text)."""


class StringMatches(Struct, frozen=True, gc=False):
    """The alternatives that say a condition (None: it always holds; none: it never does), and what is lost."""

    texts: tuple[Text | None, ...] = ()
    objection: Objection | None = None
    beyond: bool = False
    """Whether it takes header values beyond ASCII, so that bytes which are no text must be ruled out."""


def matches_of(
    match: HttpMatch, port: int, expensive: frozenset[ConditionPattern] = frozenset(), *, text: bool
) -> tuple[list[Json], tuple[Objection, ...]]:
    """The entries that say an HttpMatch on one port (none if it cannot be said, or never holds), and what is lost.

    `expensive`: see `match.express`. `text` says that header values are UTF-8; else entries rule out those that are not.
    """
    headers = [ConditionPattern(name, pattern) for name, pattern in sorted(set(match.headers))]
    names = [each.header for each in headers]
    patterns = [_header(each, step_limit(each, expensive))[0] for each in headers]
    path = _path(match.path, step_limit(ConditionPattern("", match.path or ""), expensive))[0]
    lost = {matches.objection for matches in (path, *patterns) if matches.objection is not None}
    if len(set(names)) < len(names):
        lost.add(_repeated_header(next(name for name in names if names.count(name) > 1)))
    methods: Sequence[str | None] = [None] if match.methods is None else sorted(set(match.methods))
    if len(methods) * prod(len(matches.texts) for matches in (path, *patterns)) > _MAX_MATCHES:
        lost.add(_too_many(match))
    if lost:
        return [], tuple(sorted(lost))
    ways = product(methods, product(path.texts, *(matches.texts for matches in patterns)))
    wide = () if text else tuple(name for name, matches in zip(names, patterns, strict=True) if matches.beyond)
    return [_entry(port, method, texts, names, wide) for method, texts in ways], ()


def cost(one: ConditionPattern, limit: int) -> int:
    """How many steps it takes to word a pattern; more than the limit if it was refused for that."""
    return (_header(one, limit) if one.header else _path(one.pattern, limit))[1]


def _entry(
    port: int, method: str | None, texts: Sequence[Text | None], names: Sequence[str], wide: Sequence[str]
) -> Json:
    path, *values = texts
    entry: Json = {"port": port}
    if method is not None:
        entry["method"] = {"exact": method}
    if path is not None:
        entry["uri"] = dict([path])
    headers = {name: dict([value]) for name, value in zip(names, values, strict=True) if value is not None}
    without = {name: {"regex": NOT_UTF8} for name in wide if "exact" not in headers[name]}
    return {**entry, **({"headers": headers} if headers else {}), **({"withoutHeaders": without} if without else {})}


@lru_cache(maxsize=16384)
def _path(pattern: str | None, limit: int) -> tuple[StringMatches, int]:
    if pattern is None:
        return StringMatches((None,)), 0
    forms: Forms | None = None
    with bounded(limit) as account:
        try:
            found = forms_of_path(pattern)
            forms = _literal(found)
        except RegexRefusedError:
            found = Inexpressible("")
    if isinstance(found, Forms) and found.prefixes == ("/",) and not found.excepted:
        return StringMatches((None,)), account.spent
    return _string_matches(pattern, forms, portable=is_portable(pattern)), account.spent


@lru_cache(maxsize=16384)
def _header(one: ConditionPattern, limit: int) -> tuple[StringMatches, int]:
    objection = _ignored(one.header) if one.header in IGNORED_HEADERS else managed_by_sidecar(one.header)
    if objection is not None:
        return StringMatches((), objection), 0
    with bounded(limit) as account:
        try:
            return _decide_header(one.header, one.pattern), account.spent
        except RegexRefusedError as refusal:
            return StringMatches((), too_complex(refusal, one.pattern)), account.spent


def _decide_header(name: str, pattern: str) -> StringMatches:
    values = language(pattern, HEADER)
    if not survives_joining(values, line_separator(name)):
        return StringMatches((), matches_across_lines(name, pattern))
    if not survives_trimming(values):
        return StringMatches((), matches_outer_blank(name, pattern))
    exact, beyond = is_byte_exact(values), takes_beyond_ascii(values)
    try:
        forms = _literal(header_forms(values))
    except RegexRefusedError:
        forms = None  # the pattern says it as well
    # Any value, but there must be one; Envoy refuses an empty prefix.
    if forms is not None and forms.prefixes == ("",):
        return StringMatches((("regex", ".*"),), beyond=True)
    return replace(_string_matches(pattern, forms, portable=is_portable(pattern) and exact), beyond=beyond)


def _string_matches(pattern: str, forms: Forms | None, *, portable: bool) -> StringMatches:
    """One literal text is said so; more of them, or none, by the pattern itself where it means the same everywhere."""
    texts: list[Text] = []
    if forms is not None:
        texts = [*(("exact", text) for text in forms.exact), *(("prefix", text) for text in forms.prefixes)]
    if forms is not None and len(texts) <= 1:
        return StringMatches(tuple(texts))
    # One entry with the pattern rather than up to sixteen with literals, where Go and RE2 read it alike.
    if portable and is_small(pattern):
        return StringMatches((("regex", pattern),))
    if forms is not None and len(texts) <= _MAX_VALUES:
        return StringMatches(tuple(texts))
    return StringMatches((), _not_portable(pattern, portable=portable))


def _literal(found: Forms | Inexpressible) -> Forms | None:
    """The forms, if they are exact texts and prefixes alone."""
    if isinstance(found, Inexpressible):
        return None
    return None if found.suffixes or found.between or found.excepted or found.templates else found


def _ignored(name: str) -> Objection:
    message = f'in a match, Istio does not treat "{name}" as a header'
    return Objection("istio.condition-not-expressible", message, f'a request with "{name}"', "match a different header")


def _not_portable(pattern: str, *, portable: bool) -> Objection:
    example = f'a request that matches "{short(pattern)}"'
    if portable:
        message = f'pattern "{short(pattern)}" is larger than Istio and Envoy allow'
        return Objection("regex.too-large", message, example, "use a shorter pattern, or several matches")
    message = f'"{short(pattern)}" means something different to Envoy, which matches bytes, or to Go, which validates it for Istio'
    return Objection("regex.not-ascii", message, example, "list the characters one by one, in ASCII and in both cases")


def _repeated_header(name: str) -> Objection:
    message = f'a VirtualService allows one condition on the header "{short(name)}", but there are two'
    example = f'a request whose "{short(name)}" matches both'
    return Objection("istio.condition-not-expressible", message, example, "combine them in one pattern")


def _too_many(match: HttpMatch) -> Objection:
    message = f"the condition needs more than {_MAX_MATCHES} matches"
    example = f'a request with path "{short(match.path or "/")}"'
    return Objection("limit.exceeded", message, example, "use fewer alternatives")
