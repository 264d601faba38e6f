"""Searches for rows of steps that end badly: Hypothesis chooses the steps and their seeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.servers.scene import PATIENCE_S, Scene, WiderError, smallest

_seeds = st.integers(min_value=0, max_value=2**32 - 1)


class Events(RuleBasedStateMachine):
    """A town and what befalls it; `found` is what ended badly and after how many steps, `tally` counts over all towns.

    Hypothesis plays again what failed: nothing is done then, and it fails at the same step.
    """

    kind: ClassVar[type[Scene]] = Scene
    patience_s: ClassVar[float] = PATIENCE_S
    found: ClassVar[tuple[int, str]] = (0, "")
    tally: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self._steps = 0
        self._scene = None if self.found[0] else self.kind().__enter__()

    def teardown(self) -> None:
        """Remove everything."""
        if self._scene is not None:
            self.tally.update(self._scene.trial.tally)
            self._scene.__exit__(None, None, None)
        self._scene = None

    def step(self, name: str, seed: int) -> None:
        """Take one step; fail with as few of all steps as end as badly."""
        self._steps += 1
        if self._scene is not None:
            self._take(self._scene, name, seed)
        if self._steps == self.found[0]:
            pytest.fail(self.found[1])

    def _take(self, scene: Scene, name: str, seed: int) -> None:
        try:
            scene.take(name, seed)
        except WiderError as error:
            self.teardown()
            few, why = smallest(scene.taken, self.kind, self.patience_s)
            type(self).found = (self._steps, f"{why or error}\nafter {few if why else scene.taken}")


def machine(kind: type[Scene], steps: Sequence[str], patience_s: float = PATIENCE_S) -> type[Events]:
    """A machine that takes these steps, the first of them first; one that is there twice is taken twice as often."""
    made: Any = type("Events", (Events,), {"kind": kind, "patience_s": patience_s, "tally": Counter()})
    for at, name in enumerate(steps):
        mark = initialize(seed=_seeds) if name == steps[0] else rule(seed=_seeds)
        setattr(made, name if name not in steps[:at] else f"{name}_{at}", mark(_rule(name)))
    found: type[Events] = made
    return found


def _rule(name: str) -> Callable[[Any, int], None]:
    def taken(self: Events, seed: int) -> None:
        self.step(name, seed)

    taken.__name__ = name
    return taken


def searching(examples: int, steps: int, *, fixed: bool) -> settings:
    """So many towns with so many steps each, from fixed seeds or new ones."""
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        derandomize=fixed,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
