"""What is wrong, by what it was found in: kept up to date at the cost of what changed, however many problems there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence

from msgspec.structs import replace

from hub.model import ObjectRef, Origin, Problem

Finder = Hashable
"""What problems were found in: a unit, an object, a part of a source."""


class ProblemIndex:
    """Every problem once, and which came and which went since somebody asked.

    `origins` tells where the copies of an object stand: what is `put` is then kept at each of these places, and follows
    them when they are `moved`. Without it, problems stay where they were found.
    """

    def __init__(self, origins: Callable[[ObjectRef], tuple[Origin, ...]] | None = None) -> None:
        self._origins = origins
        self._found: dict[Finder, Sequence[Problem]] = {}
        self._placed: dict[Finder, tuple[Problem, ...]] = {}
        self._about: dict[ObjectRef, set[Finder]] = {}
        self._stale: set[Finder] = set()
        self._count: Counter[Problem] = Counter()
        self._before: dict[Problem, bool] = {}  # those of which the count changed: whether they were there

    def __contains__(self, problem: Problem) -> bool:
        """Whether it is there now."""
        self._settle()
        return problem in self._count

    def put(self, finder: Finder, problems: Sequence[Problem]) -> None:
        """Exactly these were found there, instead of what was."""
        known = self._found.get(finder, ())
        if known == problems:
            return
        for problem in known:
            if (finders := self._about.get(problem.ref)) is not None:
                finders.discard(finder)
                if not finders:
                    del self._about[problem.ref]
        if problems:
            self._found[finder] = problems
        else:
            self._found.pop(finder, None)
        for problem in problems:
            self._about.setdefault(problem.ref, set()).add(finder)
        self._stale.add(finder)

    def moved(self, ref: ObjectRef) -> None:
        """The copies of this object may stand elsewhere now."""
        self._stale |= self._about.get(ref, set())

    def all(self) -> tuple[Problem, ...]:
        """Every problem that is there now, sorted."""
        self._settle()
        return tuple(sorted(self._count))

    def pop_changed(self) -> tuple[Problem, ...]:
        """Those that came or went since the last call."""
        self._settle()
        changed = tuple(problem for problem, was in self._before.items() if was != (problem in self._count))
        self._before.clear()
        return changed

    def _settle(self) -> None:
        for finder in self._stale:
            self._place(finder)
        self._stale.clear()

    def _place(self, finder: Finder) -> None:
        before = self._placed.pop(finder, ())
        after = tuple(dict.fromkeys(self._at_its_places(self._found.get(finder, ()))))
        if after:
            self._placed[finder] = after
        for problem in (*before, *after):
            self._before.setdefault(problem, problem in self._count)
        self._count.update(after)
        self._count.subtract(before)
        for problem in before:
            if not self._count[problem]:
                del self._count[problem]

    def _at_its_places(self, problems: Iterable[Problem]) -> Iterable[Problem]:
        """Problems at every place where their object stands; a unit does not change because a line number does."""
        if self._origins is None:
            yield from problems
            return
        for problem in problems:
            for origin in self._origins(problem.ref) or (problem.origin,):
                yield replace(problem, origin=origin)
