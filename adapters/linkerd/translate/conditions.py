"""Conditions of splits as matches of a route: the first layer that holds decides, whatever is more specific.

Linkerd takes the most specific match, and of equal ones the first (linkerd2-proxy, linkerd/http/route/src/lib.rs). So where a
later layer asks for more than an earlier one, the earlier one gets a match for what both ask for. Headers and methods are
compared in one order or the other (https://github.com/linkerd/linkerd2-proxy/pull/4604), and nothing here depends on which.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Struct

from adapters.linkerd.translate.losses import headers_refused, nonstandard_method
from adapters.linkerd.translate.objects import RouteMatch
from adapters.linkerd.translate.patterns import (
    CHEAP_STEPS,
    MAX_STEPS,
    Pattern,
    any_path,
    header_value,
    is_disjoint,
    routed_path,
    worded,
)
from adapters.linkerd.vocabulary import METHODS
from hub.api import HttpMatch, Objection, RegexRefusedError, bounded, intersection

MAX_CASES = 120
"""Most matches of one route, as SMI's conditions and what they have in common."""
SPLIT_STEPS = 1_000_000
"""Steps of the engine that the conditions of one port may take."""

Lost = dict[HttpMatch, Objection]


class Case(Struct, frozen=True, gc=False):
    """Requests of one path pattern, one method (None: any) and some headers; `narrower`: with values beyond ASCII as well."""

    path: Pattern
    method: str | None
    headers: frozenset[tuple[str, str]]
    narrower: bool = False

    def matches(self) -> list[RouteMatch]:
        """The same as matches of a route."""
        return [RouteMatch(word, self.method, tuple(sorted(self.headers))) for word in self.path.words]


class Layers(Struct, frozen=True, gc=False):
    """The cases of each layer, in order; by layer, what keeps it from going before a later one; whether they fit a route."""

    cases: tuple[tuple[Case, ...], ...]
    objections: tuple[tuple[int, Objection], ...] = ()
    fits: bool = True


def cases_of(matches: Iterable[HttpMatch]) -> tuple[list[Case], Lost]:
    """The cases of a condition, and its matches that cannot be said."""
    found: list[Case] = []
    lost: Lost = {}
    left = SPLIT_STEPS
    for match in sorted(matches, key=msgspec.json.encode):
        cases, spent = _cases(match, MAX_STEPS if left > 0 else CHEAP_STEPS)
        left -= spent
        if isinstance(cases, Objection):
            lost[match] = cases
        else:
            found += cases
    return list(dict.fromkeys(found)), lost


def _cases(match: HttpMatch, limit: int) -> tuple[list[Case] | Objection, int]:
    """A case for each method; what cannot be said in part is not said at all."""
    path, spent = (any_path(), 0) if match.path is None else routed_path(match.path, limit)
    if isinstance(path, Objection):
        return path, spent
    values = {(name, pattern): header_value(name, pattern, limit) for name, pattern in match.headers}
    spent += sum(steps for _, steps in values.values())
    headers = frozenset((name, one.words[0]) for (name, _), (one, _) in values.items() if isinstance(one, Pattern))
    unknown = sorted(set(match.methods or ()) - METHODS)
    lost = [one for one, _ in values.values() if isinstance(one, Objection)]
    refused = lost[0] if lost else headers_refused(headers)
    if refused is not None or unknown:
        return refused or nonstandard_method(unknown[0]), spent
    methods = [None] if match.methods is None else sorted(set(match.methods))
    narrower = any(isinstance(one, Pattern) and one.beyond_ascii for one, _ in values.values())
    return [Case(path, method, headers, narrower) for method in methods], spent


def in_order(layers: Sequence[Sequence[Case]]) -> Layers:
    """The layers with what an earlier one needs so that a later one never takes what it is to take."""
    below: list[Case] = []
    made: list[tuple[Case, ...]] = []
    found: set[tuple[int, Objection]] = set()
    with bounded(SPLIT_STEPS):
        for number in range(len(layers) - 1, -1, -1):
            cases, objections = _before(layers[number], below)
            found |= {(number, one) for one in objections}
            made.insert(0, tuple(cases))
            below += cases
            if sum(len(case.path.words) for case in below) > MAX_CASES:
                return Layers(tuple(tuple(layer) for layer in layers), fits=False)
    return Layers(tuple(made), tuple(sorted(found)))


def _before(layer: Sequence[Case], later: Sequence[Case]) -> tuple[list[Case], list[Objection]]:
    """A layer that goes before these cases."""
    made, objections = list(layer), list[Objection]()
    for case in layer:
        for other in later:
            if len(other.headers) <= len(case.headers) and (other.method is None or case.method is not None):
                continue
            try:
                common = _common(case, other)
            except RegexRefusedError:
                common = _ORDER
            if isinstance(common, Objection):
                objections.append(common)
            elif common is not None and common not in made:
                made.append(common)
    return made, objections


def _common(one: Case, other: Case) -> Case | Objection | None:
    """The requests of both; None if there are none."""
    if None not in {one.method, other.method} and one.method != other.method:
        return None
    if is_disjoint(one.path.texts, other.path.texts):
        return None
    headers = one.headers | other.headers
    if headers_refused(headers) is not None:
        return _ORDER
    texts = intersection(one.path.texts, other.path.texts)
    words = worded(texts, {each.path.texts: each.path.words for each in (other, one)})
    return _ORDER if words is None else Case(Pattern(texts, words), one.method or other.method, headers)


_ORDER = Objection(
    "linkerd.condition-order",
    "Linkerd takes the most specific condition, and what this one has in common with a later one cannot be written",
    "a request that meets this condition and the more specific one of a later TrafficSplit",
    "combine both TrafficSplits' conditions on a header in one pattern, or make them exclude each other",
)
