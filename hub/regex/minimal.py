"""Make an automaton minimal and give its states and classes numbers that depend on the language alone."""

from __future__ import annotations

from collections.abc import Sequence

from hub.regex.bounds import Meter, charge
from hub.regex.chars import classes
from hub.regex.program import Rows


def minimal(raw: Rows, meter: Meter) -> Rows:
    """The one minimal automaton of the same language: equal languages over equal letters give equal values.

    States that cannot reach an accepting state are left out (but not the start), the rest is numbered breadth first.
    Hopcroft's refinement: O(m log n) for n states and m transitions.
    """
    meter.spend(len(raw.rows) + sum(map(len, raw.rows)) // 8)
    narrow = _merge_classes(_live(raw))
    return _merge_classes(_renumbered(narrow, _blocks(narrow, meter)))


def _live(raw: Rows) -> Rows:
    """Cut the ways to states from which nothing is accepted."""
    sources: list[list[int]] = [[] for _ in raw.rows]
    for state, row in enumerate(raw.rows):
        for target in set(row) - {-1}:
            sources[target].append(state)
    live = {state for state, accepts in enumerate(raw.accepting) if accepts}
    waiting = list(live)
    while waiting:
        found = set(sources[waiting.pop()]) - live
        live |= found
        waiting += found
    rows = [tuple(target if target in live else -1 for target in row) for row in raw.rows]
    return Rows(raw.classes, rows, raw.accepting)


def _merge_classes(raw: Rows) -> Rows:
    """Make one class of those that no state tells apart."""
    columns = list(zip(*raw.rows, strict=True))
    charge(len(raw.classes.cuts))
    keys = [
        (cut, None if kind < 0 else columns[kind])
        for cut, kind in zip(raw.classes.cuts, raw.classes.kinds, strict=True)
    ]
    merged, kept = classes(keys)
    rows = list(zip(*(column for column in kept if isinstance(column, tuple)), strict=True))
    return Rows(merged, rows or [()] * len(raw.rows), raw.accepting)


def _blocks(raw: Rows, meter: Meter) -> list[int]:
    """Per state the number of its block: states of one block accept the same texts."""
    sources = _sources(raw)
    members = [block for block in _halves(raw) if block]
    where = [0] * len(raw.rows)
    for number, block in enumerate(members):
        for state in block:
            where[state] = number
    waiting = set(range(len(members)))
    while waiting:
        splitter = tuple(members[waiting.pop()])
        for by_target in sources:
            hit: dict[int, set[int]] = {}
            for target in splitter:
                for state in by_target.get(target, ()):
                    hit.setdefault(where[state], set()).add(state)
            meter.spend(1 + len(hit))
            for number, inside in hit.items():
                _split(number, inside, members, where, waiting)
    return where


def _halves(raw: Rows) -> tuple[set[int], set[int]]:
    accepting = {state for state, accepts in enumerate(raw.accepting) if accepts}
    return accepting, set(range(len(raw.rows))) - accepting


def _sources(raw: Rows) -> list[dict[int, list[int]]]:
    """Per class, from which states each state is reached."""
    found: list[dict[int, list[int]]] = []
    for column in zip(*raw.rows, strict=True):
        by_target: dict[int, list[int]] = {}
        for state, target in enumerate(column):
            if target >= 0:
                by_target.setdefault(target, []).append(state)
        found.append(by_target)
    return found


def _split(number: int, inside: set[int], members: list[set[int]], where: list[int], waiting: set[int]) -> None:
    """Split one block into those inside and the rest; the smaller part (or, if it waited, both) must split others."""
    rest = members[number] - inside
    if not rest:
        return
    smaller, larger = (inside, rest) if len(inside) <= len(rest) else (rest, inside)
    members[number] = larger
    members.append(smaller)
    for state in smaller:
        where[state] = len(members) - 1
    waiting.add(len(members) - 1)


def _renumbered(raw: Rows, where: Sequence[int]) -> Rows:
    """One state per block, breadth first from the start."""
    numbers, order = {where[0]: 0}, [0]
    rows: list[tuple[int, ...]] = []
    for state in order:
        for target in raw.rows[state]:
            if target >= 0 and where[target] not in numbers:
                numbers[where[target]] = len(order)
                order.append(target)
        rows.append(tuple(numbers[where[target]] if target >= 0 else -1 for target in raw.rows[state]))
    return Rows(raw.classes, rows, [raw.accepting[state] for state in order])
