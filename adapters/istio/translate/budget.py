"""How much deciding the patterns of one unit may take, so that nobody can keep the hub from its other work.

What is beyond it grants nothing, and is told. Counted are steps of the engine, not time, and of each unit for itself, so that
equal units give equal objects on any machine and in any company.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Struct

from hub.api import HttpMatch

PLAIN = 6_000
"""Steps that every pattern may take: of patterns as people write them nine in ten take fewer, and 1 ms."""
MOST = 120_000
"""Steps that a pattern may take at the expense of its unit, some 100 ms; people's take up to 80 000."""
UNIT, SHARE = 150_000, 1_000
"""Steps that those patterns of a unit which take more than `PLAIN` may take together, and more for each that it has. The last
of them may take more."""


class Asked(Struct, frozen=True, order=True, gc=False):
    """One pattern of a unit, for the header of this name, or for the path (no name)."""

    header: str
    pattern: str


def asked_of(match: HttpMatch) -> frozenset[Asked]:
    """The patterns of a match."""
    path = () if match.path is None else (Asked("", match.path),)
    return frozenset((*path, *(Asked(name, pattern) for name, pattern in match.headers)))


def favoured(matches: Iterable[HttpMatch], cost: Callable[[Asked, int], int]) -> frozenset[Asked]:
    """Those patterns of a unit that may take `MOST`, in alphabetical order, as long as the unit has steps left.

    `cost(asked, limit)` is what deciding takes, more than the limit if it was refused for that.
    """
    asked = sorted({one for match in matches for one in asked_of(match)})
    left, found = UNIT + SHARE * len(asked), set()
    for one in asked:
        if cost(one, PLAIN) <= PLAIN:
            continue
        if left <= 0:
            break
        left -= cost(one, MOST)
        found.add(one)
    return frozenset(found)


def limit_of(one: Asked, favour: frozenset[Asked]) -> int:
    """How many steps a pattern of a unit may take."""
    return MOST if one in favour else PLAIN
