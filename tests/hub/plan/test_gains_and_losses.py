"""What a plan says that a mesh will allow and refuse is what the mesh then does: after its Losses, on single requests."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.testing.documents import SinklessMesh
from hub.testing.gains import changed
from hub.testing.worlds import World, worlds
from tests.hub.test_never_wider import FEW, each_mesh


@pytest.mark.thorough
@each_mesh
def test_what_is_allowed_after_is_what_was_before_with_the_plans_gains_and_without_its_losses(
    mesh: SinklessMesh,
) -> None:
    """On every request, save where the mesh names a declared narrowing."""
    tally: Counter[str] = Counter()

    @FEW
    @given(world=worlds(requests=8), other=worlds(requests=8), rng=st.randoms(use_true_random=False))
    def search(world: World, other: World, rng: Random) -> None:
        tally.update(changed(mesh, world, other, rng))

    search()
    assert min(tally["gained"], tally["lost"]) >= 20, tally
