"""HTTP matches as AuthorizationPolicy says them: literal values with a star at one end, path templates, header conditions.

Source: Istio documentation, AuthorizationPolicy, `Operation.paths` and `Condition`. Observed on Istio 1.31: a value has
at most one star, the rest is literal; `request.headers[:path]` includes the query, so only its beginning is asked about;
each line of a repeated header is looked at by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import product

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from adapters.istio.translate.budget import CHEAP_STEPS, ConditionPattern, patterns_of, step_limit
from adapters.istio.translate.objects import Condition
from adapters.istio.translate.values import (
    line_separator,
    survives_joining,
    survives_trimming,
)
from hub.api import (
    HEADER,
    PATH,
    Forms,
    HttpMatch,
    Inexpressible,
    Language,
    Objection,
    RegexRefusedError,
    bounded,
    header_forms,
    is_managed_header,
    language,
    managed_header,
    path_forms,
    path_part,
    short,
    too_complex,
)

ANY_METHOD = ("*",)
"""A presence match, which keeps a rule without other HTTP fields one about HTTP: on raw TCP it vanishes."""

_INEXPRESSIBLE = {"path": "istio.path-not-expressible", "header": "istio.header-not-expressible"}
_UNIVERSES = {"path": PATH, "header": HEADER}
_METHOD = re.compile(r"[A-Za-z0-9!#$%&'+.^_`|~-]+")
_HEADER_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
_TRACED = frozenset({"b3", "grpc-trace-bin", "sw8", "traceparent", "tracestate", "x-cloud-trace-context"})
_TRACED_PREFIXES = ("x-b3-", "x-datadog-", "x-ot-")
_FORWARDED = frozenset({"x-forwarded-host", "x-forwarded-port"})


class MatchAlternative(Struct, frozen=True, order=True, gc=False):
    """One part of a match; every field that is there must hold. A match is the union of its alternatives."""

    methods: tuple[str, ...] = ANY_METHOD
    paths: tuple[str, ...] = ()
    not_paths: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()


class Expressed(Struct, frozen=True, gc=False):
    """A match as far as Istio can say it: its alternatives (none: nothing is granted), and what of it is lost."""

    alternatives: tuple[MatchAlternative, ...] = ()
    objections: tuple[Objection, ...] = ()
    parts: tuple[str, ...] = ()
    """Patterns of the paths that are said, where they are a part of those that are meant."""
    permission: bytes = b""
    """What a filter lets pass, as JSON, where that says the whole match and no alternative does."""

    def carried(self, match: HttpMatch) -> tuple[HttpMatch, ...]:
        """The match as far as it is said."""
        if self.permission:
            return (match,)
        if not self.alternatives:
            return ()
        return tuple(replace(match, path=path) for path in self.parts) or (match,)


MAX_BYTES = 60_000
"""Most text of one match: an API server takes objects of about a megabyte and a half."""


def express(match: HttpMatch, expensive: frozenset[ConditionPattern] = frozenset(), *, text: bool) -> Expressed:
    """A match in Istio's words; one condition that cannot be said leaves none of it, but of a path the part that can.

    Patterns in `expensive` may take more steps than others (see `budget.expensive_patterns`). `text` says that header values are
    UTF-8; else beginnings and ends could not tell whether they are.
    """
    return _express(match, expensive & patterns_of(match) if expensive else expensive, text=text)


@lru_cache(maxsize=8192)
def _express(match: HttpMatch, expensive: frozenset[ConditionPattern], *, text: bool) -> Expressed:
    if match.methods == ():
        return Expressed()
    headers = [ConditionPattern(name, pattern) for name, pattern in match.headers]
    values = [_express_header(each, step_limit(each, expensive))[0] for each in headers]
    found = [*(values if text else map(_only_text, headers, values)), express_methods(match.methods)]
    path = None if match.path is None else ConditionPattern("", match.path)
    # Each part is decided under a bound of its own: a pattern
    # that is too much work must not take its neighbours' steps.
    paths = (
        Expressed((MatchAlternative(),))
        if path is None
        else _express_path(path.pattern, step_limit(path, expensive))[0]
    )
    objections = {one for each in (paths, *found) for one in each.objections}
    # Leaving out one condition would widen the match, so all of it goes.
    if not all(each.alternatives for each in (paths, *found)):
        return Expressed((), tuple(sorted(objections)))
    alternatives = sorted(
        {_joined(each) for each in product(paths.alternatives, *(each.alternatives for each in found))}
    )
    if len(msgspec.json.encode(alternatives)) > MAX_BYTES:
        return Expressed((), (too_large(match),))
    return Expressed(tuple(alternatives), tuple(sorted(objections)), paths.parts)


def cost(one: ConditionPattern, limit: int) -> int:
    """How many steps it takes to say a pattern; more than the limit if it was refused for that."""
    return (_express_header(one, limit) if one.header else _express_path(one.pattern, limit))[1]


def too_large(match: HttpMatch) -> Objection:
    """Why a match is more than an object should hold."""
    message = f'path "{short(match.path or "")}" and its headers need too many values'
    example = "a request that this match allows"
    return Objection("limit.exceeded", message, example, "match fewer values, or match by prefix")


def managed_by_sidecar(name: str) -> Objection | None:
    """Why a header tells about sidecars rather than about the caller; None if it does not."""
    traced = name in _TRACED | _FORWARDED or name.startswith(_TRACED_PREFIXES)
    if _HEADER_NAME.fullmatch(name) and not traced and not is_managed_header(name):
        return None
    return managed_header(name)


def matches_across_lines(name: str, pattern: str) -> Objection:
    """Why a pattern may match joined lines of which none matches."""
    message = f'sidecars (of some headers only old ones) join repeated lines of "{short(name)}", so "{short(pattern)}" may match'
    message += " across them"
    remedy = "match a value without a separator"
    return Objection("header.managed", message, f'a request with "{short(name)}"', remedy)


def matches_outer_blank(name: str, pattern: str) -> Objection:
    """Why a pattern may match a blank that is no part of the value."""
    message = (
        f'"{short(pattern)}" may match a leading or trailing blank of "{short(name)}", which is not part of its value'
    )
    example = f'a request with "{short(name)}" that matches "{short(pattern)}"'
    return Objection(
        "istio.header-not-expressible", message, example, "begin and end the pattern with other characters"
    )


def matches_non_text(name: str, pattern: str) -> Objection:
    """Why a pattern may match what is no text."""
    message = (
        f'"{short(pattern)}" may match values of "{short(name)}" that are not valid UTF-8, because Istio compares bytes'
    )
    remedy = 'list the values, or declare "headerValues: text"'
    return Objection("istio.header-not-text", message, f'a request with "{short(name)}" that is not listed', remedy)


def _joined(alternatives: Iterable[MatchAlternative]) -> MatchAlternative:
    """The requests that all the alternatives match: each of them has fields of its own."""
    found = tuple(alternatives)
    methods = next((each.methods for each in found if each.methods != ANY_METHOD), ANY_METHOD)
    conditions = sorted({condition for each in found for condition in each.conditions})
    return MatchAlternative(methods, found[0].paths, found[0].not_paths, tuple(conditions))


def express_methods(methods: tuple[str, ...] | None) -> Expressed:
    """The methods of a match; literal ones alone."""
    if methods is None:
        return Expressed((MatchAlternative(),))
    invalid = next((method for method in methods if not _METHOD.fullmatch(method)), None)
    if invalid is None:
        return Expressed((MatchAlternative(tuple(sorted(set(methods)))),))
    message = f'"{short(invalid)}" is not a method that Istio matches literally'
    return Expressed(
        (), (Objection("method.nonstandard", message, f'a request "{short(invalid)}"', "use another method"),)
    )


@lru_cache(maxsize=16384)
def _express_path(pattern: str, limit: int = CHEAP_STEPS) -> tuple[Expressed, int]:
    with bounded(limit) as account:
        try:
            return _decide_path(pattern), account.spent
        except RegexRefusedError as refusal:
            return Expressed((), (too_complex(refusal, pattern),)), account.spent


def _decide_path(pattern: str) -> Expressed:
    paths = language(pattern, PATH)
    forms = path_forms(paths)
    if isinstance(forms, Inexpressible):
        return _expressible_part(paths, _inexpressible("path", "path", pattern, forms))
    return Expressed(tuple(_path_alternatives(forms)), _narrowed(pattern, forms))


def _expressible_part(paths: Language, refused: Objection) -> Expressed:
    """The part that can be said, if there is one and it is not too much work to find."""
    try:
        part = path_part(paths)
    except RegexRefusedError:
        part = None
    if part is None:
        return Expressed((), (refused,))
    # The example must be a request that is really refused, so it is taken from what the part leaves out.
    refused = replace(refused, example=f'a request with path "{short(part.rest)}"')
    return Expressed(tuple(_path_alternatives(part.forms)), (refused,), part.patterns)


def _path_alternatives(forms: Forms) -> Iterable[MatchAlternative]:
    affixes = (*(f"{text}*" for text in forms.prefixes), *(f"*{text}" for text in forms.suffixes))
    whole = tuple(sorted({*forms.exact, *forms.templates, *affixes}))
    if whole:
        yield MatchAlternative(paths=whole, not_paths=forms.excepted if affixes else ())
    # One value has one star, so a beginning and an end together
    # need two fields: an end of the path, a beginning of `:path`.
    for one in forms.between:
        begins = Condition("request.headers[:path]", tuple(f"{text}*" for text in one.prefixes))
        yield MatchAlternative(ANY_METHOD, tuple(f"*{text}" for text in one.suffixes), forms.excepted, (begins,))


def _narrowed(pattern: str, forms: Forms) -> tuple[Objection, ...]:
    if forms.narrowed is None:
        return ()
    message = f'path "{short(pattern)}" is expressed by a template, which does not match characters that must be escaped in a URI'
    remedy = "escape such characters in requests, or list the paths"
    return (Objection("istio.path-narrowed", message, f'a request for "{short(forms.narrowed)}"', remedy),)


@lru_cache(maxsize=16384)
def _express_header(one: ConditionPattern, limit: int = CHEAP_STEPS) -> tuple[Expressed, int]:
    objection = managed_by_sidecar(one.header)
    if objection is not None:
        return Expressed((), (objection,)), 0
    with bounded(limit) as account:
        try:
            return _decide_header(one.header, one.pattern), account.spent
        except RegexRefusedError as refusal:
            return Expressed((), (too_complex(refusal, one.pattern),)), account.spent


def _decide_header(name: str, pattern: str) -> Expressed:
    values = language(pattern, HEADER)
    forms = header_forms(values)
    if not survives_joining(values, line_separator(name)):
        return Expressed((), (matches_across_lines(name, pattern),))
    if not survives_trimming(values):
        return Expressed((), (matches_outer_blank(name, pattern),))
    if isinstance(forms, Inexpressible):
        return Expressed((), (_inexpressible("header", f"header {short(name)}", pattern, forms),))
    return Expressed(tuple(_header_alternatives(name, forms)))


def _only_text(one: ConditionPattern, found: Expressed) -> Expressed:
    """The same, if it is said by whole values; a beginning or an end also takes bytes that are no text."""
    values = [
        value
        for alternative in found.alternatives
        for condition in alternative.conditions
        for value in condition.values
    ]
    starred = any(value.startswith("*") or value.endswith("*") for value in values)
    return Expressed((), (matches_non_text(one.header, one.pattern),)) if starred else found


def _header_alternatives(name: str, forms: Forms) -> Iterable[MatchAlternative]:
    """`*` alone asks for presence, and the empty value is one."""
    affixes = (*(f"{text}*" for text in forms.prefixes), *(f"*{text}" for text in forms.suffixes))
    values = tuple(sorted({*forms.exact, *affixes}))
    if values:
        yield MatchAlternative(conditions=(Condition(f"request.headers[{name}]", values),))


def _inexpressible(kind: str, what: str, pattern: str, found: Inexpressible) -> Objection:
    example_pair = (
        "" if found.unmatched is None else f' ("{short(found.matched or "")}", not "{short(found.unmatched)}")'
    )
    message = f'{what} "{short(pattern)}" cannot be expressed in Istio: {found.reason}{example_pair}'
    shortest = language(pattern, _UNIVERSES[kind]).shortest()
    example = f'a request with {what} "{short(pattern if shortest is None else shortest)}"'
    remedy = "list the values, or match by prefix or suffix"
    return Objection(_INEXPRESSIBLE[kind], message, example, remedy)
