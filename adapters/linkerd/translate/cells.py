"""What each set of callers may request on one port, as matches of which no request meets two that differ in callers.

Linkerd takes one route for a request, the most specific one, and only that route's policies count, while in SMI grants add up.
So where requests of different callers overlap, each cell of the overlap is written apart, with all who may send it. Patterns
of paths all count as long as the path itself, so headers and methods decide (linkerd2-proxy, linkerd/http/route/src/http/match.rs).
Which of these two goes first changed (https://github.com/linkerd/linkerd2-proxy/pull/4604), and nothing here depends on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

from msgspec import Struct
from msgspec.structs import replace

from adapters.linkerd.translate import losses
from adapters.linkerd.translate.grants import Callers, Claim
from adapters.linkerd.translate.objects import RouteMatch
from adapters.linkerd.translate.patterns import Pattern, any_path, is_disjoint, normal_path, worded
from hub.api import (
    Grant,
    HttpMatch,
    Language,
    Objection,
    RegexRefusedError,
    bounded,
    charge,
    difference,
    intersection,
    union,
)

MAX_PATHS = 64
"""Most cells of paths where requests of different callers overlap."""
MAX_HEADERS = 64
"""Most sets of headers in one of these cells."""
PORT_STEPS = 3_000_000
"""Steps of the engine that one port may take, some two seconds at most."""

Headers = frozenset[tuple[str, str]]
Routes = dict[Callers, set[RouteMatch]]
Lost = dict[tuple[Grant, HttpMatch | None], Objection]
"""Matches of grants (None: the requests of a raw one) that are not written, and why."""


class _Item(Struct, frozen=True, gc=False):
    """Requests under one condition, all who may send them, and the claims that say so."""

    path: Pattern
    methods: frozenset[str] | None
    headers: Headers
    callers: Callers
    claims: tuple[Claim, ...]


class _CellsError(Exception):
    """Why the overlaps of some items are not written."""

    def __init__(self, objection: Objection) -> None:
        super().__init__(objection.message)
        self.objection = objection


@lru_cache(maxsize=64)
def routes_of(claims: tuple[Claim, ...]) -> tuple[Routes, Lost]:
    """By callers, the matches of all they may request; and what is lost. Remembered, as the ports of an account are often alike."""
    items = _merged(claims)
    routes: Routes = {}
    lost: Lost = {}
    with bounded(PORT_STEPS):
        for group in _overlapping(items):
            try:
                found = _direct(group) if len({item.callers for item in group}) == 1 else _apart(group)
            except (_CellsError, RegexRefusedError) as refusal:
                objection = refusal.objection if isinstance(refusal, _CellsError) else _TOO_MANY
                lost |= {(claim.grant, claim.match): objection for item in group for claim in item.claims}
                continue
            for callers, match in found:
                routes.setdefault(callers, set()).add(match)
    return routes, lost


def _merged(claims: Iterable[Claim]) -> list[_Item]:
    """Claims to equal requests are one, with the callers of all."""
    found: dict[tuple[Language, frozenset[str] | None, Headers], _Item] = {}
    for claim in sorted(claims, key=_order):
        key = (claim.path.texts, claim.methods, claim.headers)
        one = found.get(key) or _Item(claim.path, claim.methods, claim.headers, frozenset(), ())
        found[key] = replace(one, callers=one.callers | claim.callers, claims=(*one.claims, claim))
    return list(found.values())


def _order(claim: Claim) -> tuple[object, ...]:
    methods = ("*",) if claim.methods is None else tuple(sorted(claim.methods))
    return claim.path.words, methods, tuple(sorted(claim.headers)), claim.grant.origin, tuple(sorted(claim.callers))


def _overlapping(items: Sequence[_Item]) -> list[list[_Item]]:
    """Groups of items: what is in two of them, of different callers, has no request in common."""
    group = list(range(len(items)))
    try:
        for one in range(len(items)):
            for other in range(one):
                if group[one] != group[other] and _conflict(items[one], items[other]):
                    left, right = group[one], group[other]
                    group = [left if number == right else number for number in group]
    except RegexRefusedError:
        return [list(items)]  # what could not be told apart is taken to overlap
    return [[items[at] for at, number in enumerate(group) if number == wanted] for wanted in dict.fromkeys(group)]


def _conflict(one: _Item, other: _Item) -> bool:
    """Whether a request meets both, and different callers may send it. Headers never keep two items apart."""
    charge(1)
    if one.callers == other.callers or not _share_method(one, other):
        return False
    return not is_disjoint(one.path.texts, other.path.texts)


def _share_method(one: _Item, other: _Item) -> bool:
    return one.methods is None or other.methods is None or bool(one.methods & other.methods)


def _direct(group: Iterable[_Item]) -> Iterable[tuple[Callers, RouteMatch]]:
    for item in group:
        headers = tuple(sorted(item.headers))
        for method in [None] if item.methods is None else sorted(item.methods):
            for word in [None] if item.path == any_path() else item.path.words:
                yield item.callers, RouteMatch(word, method, headers)


# --------------------------------------------------------------------------- cells


def _apart(group: Sequence[_Item]) -> list[tuple[Callers, RouteMatch]]:
    """The cells of the group; of every path, what is left is less specific than any pattern, except at "/", which is as short."""
    every = [item for item in group if item.path == any_path()]
    others = [item for item in group if item.path != any_path()]
    if any(item.path.texts.holds("/") for item in others):
        # What is left of every path is often too long to write; of normal ones it is shorter.
        return _in_cells([replace(item, path=normal_path()) for item in every] + others)
    rest = [
        (callers, RouteMatch(None, method, tuple(sorted(headers))))
        for (method, headers), callers in _allowed(every).items()
    ]
    return [*_in_cells(others, every), *rest]


def _in_cells(group: Sequence[_Item], every: Sequence[_Item] = ()) -> list[tuple[Callers, RouteMatch]]:
    """Disjoint paths; in each of them what every method and every set of headers allows, to those of every path as well."""
    cells: dict[tuple[Callers, str | None, Headers], list[Language]] = {}
    for texts, items in _atoms(group):
        for (method, headers), callers in _allowed([*items, *every]).items():
            cells.setdefault((callers, method, headers), []).append(texts)
    known = {item.path.texts: item.path.words for item in group}
    return [
        (callers, RouteMatch(word, method, tuple(sorted(headers))))
        for (callers, method, headers), parts in cells.items()
        for word in _words(parts, known)
    ]


def _words(parts: Sequence[Language], known: Mapping[Language, tuple[str, ...]]) -> Iterator[str]:
    """Patterns for these paths: those of a condition that they make up together, or each its own."""
    whole = parts[0]
    for part in parts[1:]:
        whole = union(whole, part)
    for each in [whole] if whole in known else parts:
        words = worded(each, known)
        if words is None:
            raise _CellsError(_TOO_LONG)
        yield from words


def _atoms(group: Sequence[_Item]) -> list[tuple[Language, list[_Item]]]:
    """The paths of the group in disjoint parts, each with the items that it is in."""
    by_path: dict[Language, list[_Item]] = {}
    for item in group:
        by_path.setdefault(item.path.texts, []).append(item)
    atoms: list[tuple[Language, list[_Item]]] = []
    for texts, items in by_path.items():
        rest, parts = texts, list[tuple[Language, list[_Item]]]()
        for atom, among in atoms:
            parts += [(intersection(atom, texts), [*among, *items]), (difference(atom, texts), among)]
            rest = difference(rest, atom)
        atoms = [part for part in (*parts, (rest, items)) if not part[0].is_empty()]
        if len(atoms) > MAX_PATHS:
            raise _CellsError(_TOO_MANY)
    return atoms


def _allowed(items: Sequence[_Item]) -> Mapping[tuple[str | None, Headers], Callers]:
    """On one cell of paths: by method (None: any other) and headers, who is allowed.

    A method stands with every set of headers or with none, so it does not matter which of the two is the more specific.
    """
    others = _lattice([item for item in items if item.methods is None])
    found: dict[tuple[str | None, Headers], Callers] = {(None, headers): callers for headers, callers in others.items()}
    for method in sorted({method for item in items for method in item.methods or ()}):
        these = _lattice([item for item in items if item.methods is None or method in item.methods])
        if these != others:
            found |= {(method, headers): callers for headers, callers in these.items()}
    return found


def _lattice(items: Sequence[_Item]) -> dict[Headers, Callers]:
    """Every union of the items' sets of headers: of those that a request meets, the largest is the one that counts."""
    unions: set[Headers] = set()
    for headers in sorted({item.headers for item in items}, key=sorted):
        unions |= {headers | other for other in unions} | {headers}
        if len(unions) > MAX_HEADERS:
            raise _CellsError(_TOO_MANY)
    for one in unions:
        refused = losses.headers_refused(one)
        if refused is not None:
            raise _CellsError(refused)
    return {one: frozenset().union(*(item.callers for item in items if item.headers <= one)) for one in unions}


_EXAMPLE = "a request that different sources may send under different conditions"
_REMEDY = "give the sources of this port the same conditions, or conditions that exclude each other"
_TOO_MANY = Objection(
    "linkerd.cells-too-many",
    f"conditions of different sources overlap in more than {MAX_PATHS} ways, or take too long to analyse, so none of them is written",
    _EXAMPLE,
    _REMEDY,
)
_TOO_LONG = Objection(
    "linkerd.cells-too-many",
    "conditions of different sources overlap, and the overlap needs a longer pattern than a route takes, so none of them is written",
    _EXAMPLE,
    _REMEDY,
)
