"""What the objects of one port let whom send, and whether one such set is part of another.

Linkerd takes the most specific route for a request, and of equally specific ones the oldest (Gateway API, HTTPRouteRule,
matches), so what a route allows counts only where no other one may take its requests away.
"""

from __future__ import annotations

from collections.abc import Mapping

from adapters.linkerd.translate.grants import Callers
from adapters.linkerd.translate.objects import RouteMatch
from adapters.linkerd.translate.patterns import is_disjoint
from hub.api import PATH, Identity, Language, RegexRefusedError, charge, difference, language

MAX_PAIRS = 200_000
"""Most pairs of matches that are held against each other."""
EVERY_REQUEST = RouteMatch(None)


class Permits:
    """Who may send what on one port: `raw` any bytes, and by match who may send such requests, those of `raw` included.

    `torn` are matches of several routes that do not let in the same callers, with those of any of them.
    What reads patterns raises RegexRefusedError where that takes too long, or where one cannot be read.
    """

    def __init__(
        self, raw: Callers, requests: Mapping[RouteMatch, Callers], torn: Mapping[RouteMatch, Callers] | None = None
    ) -> None:
        self._torn = torn or {}
        self.raw = raw
        self.requests = requests
        self._languages: dict[str, Language] = {}
        self._covered: dict[tuple[RouteMatch, Identity], bool] = {}

    def cover(self, match: RouteMatch, caller: Identity) -> bool:
        """Whether a caller may send all requests that match, as far as that can be told."""
        if caller in self.requests.get(match, ()) or caller in self.requests.get(EVERY_REQUEST, ()):
            return True
        key = match, caller
        if key not in self._covered:
            self._covered[key] = self._cover(match, caller)
        return self._covered[key]

    def _cover(self, match: RouteMatch, caller: Identity) -> bool:
        charge(len(self.requests))
        wider = [one for one, callers in self.requests.items() if caller in callers and _asks_less(one, match)]
        if any(one.path in {None, match.path} for one in wider):
            return True
        if match.path is None or not wider:
            return False
        left = self.texts(match.path)
        for one in wider:
            if not is_disjoint(left, other := self.texts(one.path or "")):
                left = difference(left, other)
        return left.is_empty()

    def texts(self, path: str) -> Language:
        """The paths that match a pattern."""
        if path not in self._languages:
            self._languages[path] = language(path, PATH)
        return self._languages[path]

    def unsound(self, proven: Permits) -> frozenset[RouteMatch]:
        """Matches of which a request may meet another match, which counts, and lets in others: both of each such two.

        Where both sets say the same, `proven` is known to have none.
        """
        groups: dict[tuple[Callers, Callers], list[RouteMatch]] = {}
        for match, callers in self.requests.items():
            groups.setdefault((self._torn.get(match, callers), callers), []).append(match)
        pairs = [(one, two) for one in groups for two in groups if not one[0] <= two[1]]
        if sum(len(groups[one]) * len(groups[two]) for one, two in pairs) > MAX_PAIRS:
            return frozenset(self.requests)
        same = {match for match, callers in self.requests.items() if proven.requests.get(match) == callers}
        found = set(self._torn)
        for one, two in pairs:
            for match in groups[one]:
                for other in groups[two]:
                    if not (match in same and other in same) and self._may_take(other, match):
                        found |= {match, other}
        return frozenset(found)

    def without(self, matches: frozenset[RouteMatch]) -> Permits:
        """The same without these matches."""
        left = {match: callers for match, callers in self.requests.items() if match not in matches}
        return Permits(self.raw, left)

    def _may_take(self, other: RouteMatch, match: RouteMatch) -> bool:
        """Whether `other` may count for a request that meets `match`, and refuse somebody who may send it by that."""
        charge(1)
        if other.method is not None and match.method is not None and other.method != match.method:
            return False
        if match.path is not None and other.path is not None and match.path != other.path:
            return not is_disjoint(self.texts(match.path), self.texts(other.path))
        if match.path is not None and other.path is None:  # longer than every path alone, unless it is "/"
            return self.texts(match.path).holds("/")
        # What speaks of all that both speak of goes first, in whichever order releases compare headers and methods.
        method, headers = match.method or other.method, {*match.headers, *other.headers}
        both = RouteMatch(other.path, method, tuple(sorted(headers)))
        most = self._torn.get(match, self.requests[match])
        return both == other or not most <= self.requests.get(both, frozenset())


def _asks_less(one: RouteMatch, match: RouteMatch) -> bool:
    """Whether what meets `match` has the method and the headers of `one`."""
    return one.method in {None, match.method} and set(one.headers) <= set(match.headers)


def covered(match: RouteMatch, callers: Callers, permits: Permits) -> Callers:
    """Those of the callers who may send all such requests by other permits as well; nobody of whom that cannot be told."""
    same = permits.requests.get(match, frozenset())
    if callers <= same:
        return callers
    try:
        return frozenset(caller for caller in callers if permits.cover(match, caller))
    except RegexRefusedError:
        return callers & same
