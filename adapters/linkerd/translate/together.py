"""Routes of their own for what two sets of permits both allow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from adapters.linkerd.translate.cells import Routes, routes_of
from adapters.linkerd.translate.grants import Callers, Claim
from adapters.linkerd.translate.objects import RouteMatch, sort_key
from adapters.linkerd.translate.patterns import Pattern, any_path
from adapters.linkerd.translate.permits import EVERY_REQUEST, Permits, covered
from adapters.linkerd.translate.shares import shared_out
from hub.api import PATH, Grant, ObjectRef, RegexRefusedError, language

MAX_CLAIMS = 400
"""Most matches of which new routes are made."""
_GRANT = Grant(ObjectRef("", "", "", ""), (), "TCP", None, ())
"""Of what both allow, nobody asks which grant it comes from."""


def allowed_by(one: Permits, other: Permits) -> Mapping[RouteMatch, Callers]:
    """The matches of one with the callers who may send all that by the other as well."""
    return {match: covered(match, callers, other) for match, callers in one.requests.items()}


def routes_for(both: Iterable[Mapping[RouteMatch, Callers]], raw: Callers, *, alone: bool) -> Routes | None:
    """Routes for all of these; None where that cannot be said.

    Without any route callers of raw bytes may send every request: where no other ones stay (`alone`) they need none.
    """
    merged: dict[RouteMatch, Callers] = {}
    for match, callers in (pair for permits in both for pair in permits.items() if pair[1]):
        merged[match] = merged.get(match, frozenset()) | callers
    if alone and merged == {EVERY_REQUEST: raw}:
        return {}
    if len(merged) > MAX_CLAIMS or (raw and not merged):
        return None
    try:
        routes, lost = routes_of(tuple(_claim(match, merged[match]) for match in sorted(merged, key=sort_key)))
    except RegexRefusedError:
        return None
    return None if lost or any(shared_out(matches) is None for matches in routes.values()) else routes


def _claim(match: RouteMatch, callers: Callers) -> Claim:
    path = any_path() if match.path is None else Pattern(language(match.path, PATH), (match.path,))
    methods = None if match.method is None else frozenset({match.method})
    return Claim(_GRANT, None, callers, path, methods, frozenset(match.headers))
