"""Searches for rows of steps that end badly: which steps, and their seeds, is chosen at random."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Sequence
from random import Random

import pytest

from tests.servers.scene import PATIENCE_S, Scene, Step, WiderError, smallest


def search(
    kind: type[Scene], steps: Sequence[str], towns: int, length: int, *, fixed: bool, patience_s: float = PATIENCE_S
) -> Counter[str]:
    """So many towns of `length` steps each, from fixed seeds or new ones; what was counted in all of them.

    A town begins with the first step; one that is there twice is taken twice as often. Fails with as few steps as end badly.
    """
    first, tally = 0 if fixed else secrets.randbits(64), Counter[str]()
    for seed in range(first, first + towns):
        tally.update(_lived(kind, _row(steps, length, Random(seed)), patience_s))
    return tally


def _row(steps: Sequence[str], length: int, rng: Random) -> list[Step]:
    """How a town begins, and what befalls it.

    Most towns lack some steps, so that the others meet more often (Groce et al., "Swarm Testing", ISSTA 2012).
    """
    first, *others = steps
    some = rng.sample(others, rng.randint(len(others) // 2, len(others)))
    return [(name, rng.getrandbits(32)) for name in (first, *rng.choices(some, k=length - 1))]


def _lived(kind: type[Scene], row: Sequence[Step], patience_s: float) -> Counter[str]:
    """Take these steps in a town; what was counted."""
    with kind() as scene:
        try:
            for name, seed in row:
                scene.take(name, seed)
        except WiderError as error:
            wrong, taken = str(error), list(scene.taken)
        except Exception as error:
            error.add_note(f"after {scene.taken}")
            raise
        else:
            return scene.trial.tally
    few, why = smallest(taken, kind, patience_s)
    pytest.fail(f"{why}\nafter {few}" if why else f"{wrong}\nafter {taken}")
