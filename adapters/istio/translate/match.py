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

from adapters.istio.translate.budget import PLAIN, Asked, asked_of, limit_of
from adapters.istio.translate.losses import short
from adapters.istio.translate.objects import Condition
from adapters.istio.translate.values import (
    joined_by,
    said_of_path,
    survives_joining,
    survives_trimming,
)
from hub.api import (
    HEADER,
    PATH,
    Forms,
    HttpMatch,
    Inexpressible,
    Objection,
    RegexRefusedError,
    bounded,
    header_forms,
    is_managed_header,
    language,
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


class Piece(Struct, frozen=True, order=True, gc=False):
    """One part of a match; every field that is there must hold. A match is the union of its pieces."""

    methods: tuple[str, ...] = ANY_METHOD
    paths: tuple[str, ...] = ()
    not_paths: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()


class Said(Struct, frozen=True, gc=False):
    """A match as far as Istio can say it: its pieces (none: nothing is granted), and what of it is lost."""

    pieces: tuple[Piece, ...] = ()
    objections: tuple[Objection, ...] = ()


MAX_BYTES = 60_000
"""Most text of one match: an API server takes objects of about a megabyte and a half."""


def said(match: HttpMatch, favour: frozenset[Asked] = frozenset(), *, text: bool) -> Said:
    """A match in Istio's words; one condition that cannot be said leaves none of it.

    Patterns in `favour` may take more steps than others (see `budget.favoured`). `text` says that header values are
    UTF-8; else beginnings and ends could not tell whether they are.
    """
    return _said(match, favour & asked_of(match) if favour else favour, text=text)


@lru_cache(maxsize=8192)
def _said(match: HttpMatch, favour: frozenset[Asked], *, text: bool) -> Said:
    if match.methods == ():
        return Said()
    headers = [Asked(name, pattern) for name, pattern in match.headers]
    values = [_header_said(each, limit_of(each, favour))[0] for each in headers]
    found = [*(values if text else map(_of_text, headers, values)), _methods_said(match.methods)]
    path = None if match.path is None else Asked("", match.path)
    paths = Said((Piece(),)) if path is None else _path_said(path.pattern, limit_of(path, favour))[0]
    objections = {one for each in (paths, *found) for one in each.objections}
    if not all(each.pieces for each in (paths, *found)):
        return Said((), tuple(sorted(objections)))
    pieces = sorted({_both(each) for each in product(paths.pieces, *(each.pieces for each in found))})
    if len(msgspec.json.encode(pieces)) > MAX_BYTES:
        return Said((), (_too_large(match),))
    return Said(tuple(pieces), tuple(sorted(objections)))


def cost(one: Asked, limit: int) -> int:
    """How many steps it takes to say a pattern; more than the limit if it was refused for that."""
    return (_header_said(one, limit) if one.header else _path_said(one.pattern, limit))[1]


def _too_large(match: HttpMatch) -> Objection:
    message = f'path "{short(match.path or "")}" and its headers take too many texts'
    example = "a request that this match admits"
    return Objection("limit.exceeded", message, example, "match fewer texts, or by their beginning")


def managed(name: str) -> Objection | None:
    """Why a header tells about sidecars rather than about the caller; None if it does not."""
    traced = name in _TRACED | _FORWARDED or name.startswith(_TRACED_PREFIXES)
    if _HEADER_NAME.fullmatch(name) and not traced and not is_managed_header(name):
        return None
    message = f'sidecars set, remove or rewrite the header "{short(name)}", so a match on it proves nothing'
    return Objection("header.managed", message, f'a request with "{short(name)}"', "match another header")


def across(name: str, pattern: str) -> Objection:
    """Why a pattern may match joined lines of which none matches."""
    message = f'sidecars (of some headers only old ones) join repeated lines of "{short(name)}", so "{short(pattern)}" may match'
    message += " across them"
    remedy = "match a text that no separator is in"
    return Objection("header.managed", message, f'a request with "{short(name)}"', remedy)


def blank_outside(name: str, pattern: str) -> Objection:
    """Why a pattern may match a blank that is no part of the value."""
    message = f'"{short(pattern)}" may match an outer blank of "{short(name)}", which is no part of its value'
    example = f'a request with "{short(name)}" that matches "{short(pattern)}"'
    return Objection("istio.header-not-expressible", message, example, "begin and end the pattern with other letters")


def no_text(name: str, pattern: str) -> Objection:
    """Why a pattern may match what is no text."""
    message = f'"{short(pattern)}" may match values of "{short(name)}" that are no UTF-8: Istio compares bytes'
    remedy = 'list the values, or declare "headerValues: text"'
    return Objection("istio.header-not-text", message, f'a request with "{short(name)}" that is not listed', remedy)


def too_complex(refusal: RegexRefusedError, pattern: str) -> Objection:
    """Why a pattern was not decided."""
    message = f'pattern "{short(pattern)}" was not decided: {refusal.reason}'
    return Objection(refusal.code, message, f'a request that matches "{short(pattern)}"', "write a simpler pattern")


def _both(pieces: Iterable[Piece]) -> Piece:
    """The requests that all the pieces match: each of them has fields of its own."""
    found = tuple(pieces)
    methods = next((each.methods for each in found if each.methods != ANY_METHOD), ANY_METHOD)
    conditions = sorted({condition for each in found for condition in each.conditions})
    return Piece(methods, found[0].paths, found[0].not_paths, tuple(conditions))


def _methods_said(methods: tuple[str, ...] | None) -> Said:
    if methods is None:
        return Said((Piece(),))
    odd = next((method for method in methods if not _METHOD.fullmatch(method)), None)
    if odd is None:
        return Said((Piece(tuple(sorted(set(methods)))),))
    message = f'"{short(odd)}" is no method that Istio takes literally'
    return Said((), (Objection("method.nonstandard", message, f'a request "{short(odd)}"', "name another method"),))


@lru_cache(maxsize=16384)
def _path_said(pattern: str, limit: int = PLAIN) -> tuple[Said, int]:
    with bounded(limit) as account:
        try:
            return _path_decided(pattern), account.spent
        except RegexRefusedError as refusal:
            return Said((), (too_complex(refusal, pattern),)), account.spent


def _path_decided(pattern: str) -> Said:
    forms = said_of_path(pattern)
    if isinstance(forms, Inexpressible):
        return Said((), (_inexpressible("path", "path", pattern, forms),))
    return Said(tuple(_path_pieces(forms)), _narrowed(pattern, forms))


def _path_pieces(forms: Forms) -> Iterable[Piece]:
    affixes = (*(f"{text}*" for text in forms.prefixes), *(f"*{text}" for text in forms.suffixes))
    whole = tuple(sorted({*forms.exact, *forms.templates, *affixes}))
    if whole:
        yield Piece(paths=whole, not_paths=forms.excepted if affixes else ())
    for one in forms.between:
        begins = Condition("request.headers[:path]", tuple(f"{text}*" for text in one.prefixes))
        yield Piece(ANY_METHOD, tuple(f"*{text}" for text in one.suffixes), forms.excepted, (begins,))


def _narrowed(pattern: str, forms: Forms) -> tuple[Objection, ...]:
    if forms.narrowed is None:
        return ()
    message = f'path "{short(pattern)}" is said by a template, which misses letters that no URI has unescaped'
    remedy = "escape such letters in requests, or list the paths"
    return (Objection("istio.path-narrowed", message, f'a request for "{short(forms.narrowed)}"', remedy),)


@lru_cache(maxsize=16384)
def _header_said(one: Asked, limit: int = PLAIN) -> tuple[Said, int]:
    objection = managed(one.header)
    if objection is not None:
        return Said((), (objection,)), 0
    with bounded(limit) as account:
        try:
            return _header_decided(one.header, one.pattern), account.spent
        except RegexRefusedError as refusal:
            return Said((), (too_complex(refusal, one.pattern),)), account.spent


def _header_decided(name: str, pattern: str) -> Said:
    values = language(pattern, HEADER)
    forms = header_forms(values)
    if not survives_joining(values, joined_by(name)):
        return Said((), (across(name, pattern),))
    if not survives_trimming(values):
        return Said((), (blank_outside(name, pattern),))
    if isinstance(forms, Inexpressible):
        return Said((), (_inexpressible("header", f"header {short(name)}", pattern, forms),))
    return Said(tuple(_header_pieces(name, forms)))


def _of_text(one: Asked, found: Said) -> Said:
    """The same, if it is said by whole values; a beginning or an end also takes bytes that are no text."""
    values = [value for piece in found.pieces for condition in piece.conditions for value in condition.values]
    starred = any(value.startswith("*") or value.endswith("*") for value in values)
    return Said((), (no_text(one.header, one.pattern),)) if starred else found


def _header_pieces(name: str, forms: Forms) -> Iterable[Piece]:
    """`*` alone asks for presence, and the empty value is one."""
    affixes = (*(f"{text}*" for text in forms.prefixes), *(f"*{text}" for text in forms.suffixes))
    values = tuple(sorted({*forms.exact, *affixes}))
    if values:
        yield Piece(conditions=(Condition(f"request.headers[{name}]", values),))


def _inexpressible(kind: str, what: str, pattern: str, found: Inexpressible) -> Objection:
    told = "" if found.unmatched is None else f' ("{short(found.matched or "")}", not "{short(found.unmatched)}")'
    message = f'{what} "{short(pattern)}" is more than Istio can say: {found.reason}{told}'
    shortest = language(pattern, _UNIVERSES[kind]).shortest()
    example = f'a request with {what} "{short(pattern if shortest is None else shortest)}"'
    remedy = "list the values, or match by their beginning or end"
    return Objection(_INEXPRESSIBLE[kind], message, example, remedy)
