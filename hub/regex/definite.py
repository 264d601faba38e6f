"""Which states of an automaton care for the whole text, and which only for its first or its last letters.

A language is *definite* if membership of every long enough text depends on its last letters alone. Those are the
languages that a finite list of suffixes, and exceptions, can say. If the states that are not definite lie on no loop,
a finite list of prefixes leads to definite states, and pairs of a prefix and a suffix say the language.
Theory: M. Perles, M. O. Rabin, E. Shamir, "The theory of definite automata", 1963 (states are merged as long as all
their transitions agree; the automaton is definite if one is left).
"""

from __future__ import annotations

from collections.abc import Iterable

from hub.regex.automaton import Language
from hub.regex.bounds import Meter


class StateStructure:
    """What is known of the states of one language. Time: O(m log n) for n states and m transitions."""

    def __init__(self, language: Language, meter: Meter) -> None:
        self.language, self.meter = language, meter
        rows = language.rows
        meter.spend(2 * len(rows) * max(1, language.classes.count))
        self.letters = language.classes.letters()
        self.looping = _looping(rows)
        self.endless = _reaching(rows, self.looping)
        self.total = set(range(len(rows))) - _reaching(rows, {at for at, row in enumerate(rows) if -1 in row})
        self.blocks = _blocks(language, self.total, meter)
        restless = {at for at in self.total if any(self.blocks[to] != self.blocks[at] for to in rows[at])}
        self.definite = self.total - _reaching(rows, restless)

    @property
    def accepting_all(self) -> int:
        """The state from which every text is accepted; -1 if there is none."""
        same = (at for at in self.total if self.language.accepting[at] and set(self.language.rows[at]) == {at})
        return next(same, -1)

    def has_suffix_form(self, state: int) -> bool:
        """Whether the texts from this state on can be said by suffixes and finitely many exceptions."""
        return state in self.definite or state not in self.endless

    def recurrent(self, state: int) -> set[int]:
        """The states in which arbitrarily long texts from a definite state end."""
        found, waiting = {state}, [state]
        while waiting:
            new = set(self.language.rows[waiting.pop()]) - found
            found |= new
            waiting += new
        return found & self.looping


def _looping(rows: tuple[tuple[int, ...], ...]) -> set[int]:
    """The states that lie on a loop: those in a strong component with an edge inside. Tarjan's algorithm, no recursion."""
    order: dict[int, int] = {}
    low: dict[int, int] = {}
    open_: list[int] = []
    on: set[int] = set()
    found: set[int] = set()
    work = [(0, iter(_targets(rows[0])))]
    while work:
        at, ways = work[-1]
        if at not in order:
            order[at] = low[at] = len(order)
            open_.append(at)
            on.add(at)
        to = next(ways, None)
        if to is not None:
            if to not in order:
                work.append((to, iter(_targets(rows[to]))))
            elif to in on:
                low[at] = min(low[at], order[to])
            continue
        work.pop()
        if work:
            low[work[-1][0]] = min(low[work[-1][0]], low[at])
        if low[at] == order[at]:
            component = open_[open_.index(at) :]
            del open_[-len(component) :]
            on.difference_update(component)
            found.update(component if len(component) > 1 or at in rows[at] else ())
    return found


def _targets(row: tuple[int, ...]) -> set[int]:
    return set(row) - {-1}


def _reaching(rows: tuple[tuple[int, ...], ...], goals: Iterable[int]) -> set[int]:
    """The states that lead to one of the goals, and the goals."""
    sources: list[list[int]] = [[] for _ in rows]
    for at, row in enumerate(rows):
        for to in _targets(row):
            sources[to].append(at)
    found = set(goals)
    waiting = list(found)
    while waiting:
        new = set(sources[waiting.pop()]) - found
        found |= new
        waiting += new
    return found


def _blocks(language: Language, states: set[int], meter: Meter) -> dict[int, int]:
    """Per state its block: two states share one if every long enough text leads from both to the same state."""
    rows, block = language.rows, {at: at for at in states}
    members = {at: [at] for at in states}
    sources: dict[int, list[int]] = {at: [] for at in states}
    for at in states:
        for to in _targets(rows[at]):
            sources[to].append(at)
    known: dict[tuple[int, ...], int] = {}
    waiting = list(states)
    while waiting:
        at = waiting.pop()
        meter.spend(1 + len(rows[at]) // 4)
        other = known.setdefault(tuple(block[to] for to in rows[at]), at)
        # The smaller block moves: each state then moves at most log n times.
        small, large = sorted((block[at], block[other]), key=lambda one: len(members[one]))
        if small == large:
            continue
        for moved in members[small]:
            block[moved] = large
            waiting += sources[moved]
        members[large] += members.pop(small)
    return block
