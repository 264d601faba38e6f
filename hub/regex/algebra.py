"""Compare and combine languages of one universe.

Cost: at most the product of the two numbers of states times the number of common classes; `MAX_STEPS` and `MAX_STATES`
bound it, beyond them `RegexRefusedError` with `regex.too-complex`. Every function raises ValueError for languages of two
universes. Equality needs no function: `==`.
"""

from __future__ import annotations

from collections.abc import Callable

from hub.regex.automaton import Language, Universe, frozen
from hub.regex.bounds import Meter
from hub.regex.chars import partition, refinement
from hub.regex.minimal import minimal
from hub.regex.program import Rows

_Rule = Callable[[bool, bool], bool]


def excess(one: Language, other: Language) -> str | None:
    """A shortest text of `one` that is not in `other`; None if `other` contains `one`."""
    return _shortest(one, other, _only_first)


def overlap(one: Language, other: Language) -> str | None:
    """A shortest text that is in both; None if they have none in common."""
    return _shortest(one, other, _both)


def intersection(one: Language, other: Language) -> Language:
    """The texts that are in both."""
    return _product(one, other, _both)


def union(one: Language, other: Language) -> Language:
    """The texts that are in either."""
    return _product(one, other, _either)


def difference(one: Language, other: Language) -> Language:
    """The texts that are in `one` and not in `other`."""
    return _product(one, other, _only_first)


def complement(one: Language) -> Language:
    """The texts of the universe that are not in the language."""
    return difference(everything(one.universe), one)


def everything(universe: Universe) -> Language:
    """All texts of a universe."""
    return _constant(universe, accepts=True)


def nothing(universe: Universe) -> Language:
    """No text of a universe."""
    return _constant(universe, accepts=False)


def restricted(one: Language, universe: Universe) -> Language:
    """The texts of a language that are in a smaller universe with the same start, as a language of that one."""
    if universe.start != one.universe.start:
        raise ValueError("the universes begin differently")
    return _product(Language(universe, one.classes, one.rows, one.accepting), everything(universe), _both)


def _constant(universe: Universe, *, accepts: bool) -> Language:
    letters, _ = partition([], universe.letters)
    return Language(universe, letters, ((0 if accepts else -1,),), (accepts,))


def _both(one: bool, other: bool) -> bool:  # noqa: FBT001 - what each language says, not a mode
    return one and other


def _either(one: bool, other: bool) -> bool:  # noqa: FBT001 - see _both
    return one or other


def _only_first(one: bool, other: bool) -> bool:  # noqa: FBT001 - see _both
    return one and not other


def _accepts(one: Language, state: int) -> bool:
    return state >= 0 and one.accepting[state]


def _shortest(one: Language, other: Language, rule: _Rule) -> str | None:
    """A shortest text on whose two verdicts the rule holds; the search is breadth first and stops at the first."""
    pairs = _Pairs(one, other, rule)
    letters = pairs.classes.letters()
    seen = {(0, 0)}
    # The list grows while it is walked: that is the breadth-first queue, and the first hit is a shortest text.
    layer = [(one.universe.start, (0, 0))]
    for text, pair in layer:
        if pairs.accepts(pair):
            return text
        for letter, target in zip(letters, pairs.targets(pair), strict=True):
            if target is not None and target not in seen:
                seen.add(target)
                layer.append((text + letter, target))
    return None


def _product(one: Language, other: Language, rule: _Rule) -> Language:
    pairs = _Pairs(one, other, rule)
    numbers, waiting = {(0, 0): 0}, [(0, 0)]
    rows: list[tuple[int, ...]] = []
    for pair in waiting:
        targets = pairs.targets(pair)
        for target in targets:
            if target is not None and target not in numbers:
                numbers[target] = len(waiting)
                waiting.append(target)
                pairs.meter.hold(len(waiting))
        rows.append(tuple(-1 if target is None else numbers[target] for target in targets))
    raw = Rows(pairs.classes, rows, [pairs.accepts(pair) for pair in waiting])
    return frozen(minimal(raw, pairs.meter), one.universe)


class _Pairs:
    """Both automata at once; a pair without any way to the rule's yes is left out."""

    def __init__(self, one: Language, other: Language, rule: _Rule) -> None:
        if one.universe != other.universe:
            raise ValueError(f'languages of two universes, "{one.universe.name}" and "{other.universe.name}"')
        self._one, self._other, self._rule = one, other, rule
        self.classes, self._kinds = refinement(one.classes, other.classes)
        self.meter = Meter()
        self._alone = rule(True, False), rule(False, True)

    def accepts(self, pair: tuple[int, int]) -> bool:
        """What the rule says of the two verdicts."""
        return self._rule(_accepts(self._one, pair[0]), _accepts(self._other, pair[1]))

    def targets(self, pair: tuple[int, int]) -> list[tuple[int, int] | None]:
        """The next pair per common class; None where the rule cannot hold any more."""
        self.meter.spend(len(self._kinds))
        first = self._one.rows[pair[0]] if pair[0] >= 0 else None
        second = self._other.rows[pair[1]] if pair[1] >= 0 else None
        found = []
        for kind, other_kind in self._kinds:
            target = (first[kind] if first else -1, second[other_kind] if second else -1)
            found.append(target if self._open(target) else None)
        return found

    def _open(self, pair: tuple[int, int]) -> bool:
        # One automaton has no way on: the pair matters only if the rule can hold by the other one alone.
        if pair[0] >= 0:
            return pair[1] >= 0 or self._alone[0]
        return pair[1] >= 0 and self._alone[1]
