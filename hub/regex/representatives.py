"""One text for every way in which some languages can tell texts apart.

Two texts that are in the same languages are alike to every condition made of these languages. So a question about all texts is
one about finitely many: the shortest of each class.
"""

from __future__ import annotations

from collections.abc import Sequence

from hub.regex.automaton import Language
from hub.regex.bounds import MAX_STATES, Meter, too_complex
from hub.regex.chars import Classes, refinement

_MOST_STATES = 10 * MAX_STATES
_MOST_STEPS = 10_000_000
"""Most elementary steps, some seconds: whoever asks looks at all patterns of an account at once, and waits for it."""
_Kinds = list[tuple[int, ...]]
_Joint = tuple[int, ...]


def representatives(within: Language, languages: Sequence[Language]) -> dict[frozenset[int], str]:
    """By the languages (their places in the row) that it is in, a shortest text of `within`; those that no text is in are left out.

    Raises RegexRefusedError beyond ten times the engine's bounds, and ValueError for languages of another universe. Time: at most the product
    of the numbers of states; for patterns as people write them about their sum, since few of them stay alive together.
    """
    if any(each.universe != within.universe for each in languages):
        raise ValueError("the languages are of several universes")
    every = (within, *languages)
    classes, kinds = _common(every)
    start: _Joint = (0,) * len(every)
    meter = Meter(_MOST_STEPS)
    found: dict[frozenset[int], str] = {}
    seen, layer = {start}, [(within.universe.start, start)]
    # The list grows while it is walked: a breadth-first queue, so the first text of each class is a shortest one.
    for text, states in layer:
        if within.accepting[states[0]]:
            found.setdefault(_holding(languages, states), text)
        meter.spend(len(kinds) * len(every))
        for letter, target in _steps(every, classes, kinds, states):
            if target not in seen:
                seen.add(target)
                layer.append((text + letter, target))
        if len(seen) > _MOST_STATES:
            raise too_complex("the patterns tell too many texts apart")
    return found


def _common(every: Sequence[Language]) -> tuple[Classes, _Kinds]:
    """The classes of letters that none of the languages tells apart, and of which class each is in every language."""
    classes = every[0].classes
    kinds: _Kinds = [(kind,) for kind in range(classes.count)]
    for each in every[1:]:
        classes, pairs = refinement(classes, each.classes)
        kinds = [(*kinds[before], own) for before, own in pairs]
    return classes, kinds


def _steps(every: Sequence[Language], classes: Classes, kinds: _Kinds, states: _Joint) -> list[tuple[str, _Joint]]:
    """A letter of each class and where it leads; a letter with which no text of the first language begins is left out."""
    steps = []
    for letter, kind in zip(classes.letters(), kinds, strict=True):
        target = tuple(each.rows[at][own] if at >= 0 else -1 for each, at, own in zip(every, states, kind, strict=True))
        if target[0] >= 0:
            steps.append((letter, target))
    return steps


def _holding(languages: Sequence[Language], states: _Joint) -> frozenset[int]:
    return frozenset(
        place
        for place, (each, at) in enumerate(zip(languages, states[1:], strict=True))
        if at >= 0 and each.accepting[at]
    )
