"""How much deciding the patterns of one unit may take, so that nobody can keep the hub from its other work.

What is beyond it grants nothing, and is told. Counted are steps of the engine, not time, and of each unit for itself, so that
equal units give equal objects on any machine and in any company.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Struct

from hub.api import HttpMatch

CHEAP_STEPS = 6_000
"""Steps that every pattern may take: of patterns as people write them nine in ten take fewer, and 1 ms."""
MAX_STEPS = 120_000
"""Steps that a pattern may take at the expense of its unit, some 100 ms; people's take up to 80 000."""
UNIT_STEPS, STEPS_PER_PATTERN = 150_000, 1_000
"""Steps that those patterns of a unit which take more than `CHEAP_STEPS` may take together, and more for each that it has. The last
of them may take more."""


class ConditionPattern(Struct, frozen=True, order=True, gc=False):
    """One pattern of a unit, for the header of this name, or for the path (no name)."""

    header: str
    pattern: str


def patterns_of(match: HttpMatch) -> frozenset[ConditionPattern]:
    """The patterns of a match."""
    path = () if match.path is None else (ConditionPattern("", match.path),)
    return frozenset((*path, *(ConditionPattern(name, pattern) for name, pattern in match.headers)))


def expensive_patterns(
    matches: Iterable[HttpMatch], cost: Callable[[ConditionPattern, int], int]
) -> frozenset[ConditionPattern]:
    """Those patterns of a unit that may take `MAX_STEPS`, in alphabetical order, as long as the unit has steps left.

    `cost(asked, limit)` is what deciding takes, more than the limit if it was refused for that.
    """
    asked = sorted({one for match in matches for one in patterns_of(match)})
    left, found = UNIT_STEPS + STEPS_PER_PATTERN * len(asked), set()
    for one in asked:
        if cost(one, CHEAP_STEPS) <= CHEAP_STEPS:
            continue
        if left <= 0:
            break
        left -= cost(one, MAX_STEPS)
        found.add(one)
    return frozenset(found)


def step_limit(one: ConditionPattern, expensive: frozenset[ConditionPattern]) -> int:
    """How many steps a pattern of a unit may take."""
    return MAX_STEPS if one in expensive else CHEAP_STEPS
