"""Events and time: whatever happens to a folder and its hubs, nobody is served whom SMI denied both before and after.

After each step it is asked what stands in both meshes, and which connections Envoys keep that were away. A row of steps
that ends badly is made smaller and printed; it can be put among `KNOWN`, which is played for ever.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import pytest
from hypothesis.stateful import run_state_machine_as_test

from tests.servers.scene import STEPS, Scene, Step, play
from tests.servers.searching import machine, searching

KNOWN: Mapping[str, Sequence[Step]] = {
    "a second copy revokes while the running hub holds a broken Service": (
        ("begin", 697793336),
        ("mend", 1954145346),
        ("hide", 3340993392),
        ("slip", 459389210),
        ("slip", 1001633642),
        ("double", 3785238845),
    ),
}
"""Rows of steps that ended badly once. They mean what they meant only as long as towns and steps are made as they are."""
SEARCH = int(os.environ.get("SMIHUB_SEARCH", "1"))
FEW, MANY = (5 * SEARCH, 20), (100, 20)
"""Towns, and steps in each; tests/mutants/test_searches.py takes some times as many."""


def test_nobody_is_served_whom_smi_denied_before_and_after() -> None:
    """Fixed seeds."""
    run_state_machine_as_test(machine(Scene, STEPS), settings=searching(*FEW, fixed=True))


@pytest.mark.slow
def test_nobody_is_served_whom_smi_denied_before_and_after_many_steps() -> None:
    """Two thousand steps and new seeds."""
    run_state_machine_as_test(machine(Scene, STEPS), settings=searching(*MANY, fixed=False))


@pytest.mark.parametrize("steps", KNOWN.values(), ids=KNOWN)
def test_what_ended_badly_ends_well(steps: Sequence[Step]) -> None:
    """What was found before."""
    assert not play(steps)


def test_towns_begin_sound_and_with_open_connections() -> None:
    """Every object can be decoded, and callers have connections of both kinds: else the search would see little."""
    with Scene() as scene:
        scene.take("begin", 0)
        assert not scene.ground.broken
        assert {link.kind for link in scene.trial.envoys.links} == {"raw", "pooled"}
