"""A real Consul mesh obeys what the adapter writes: real server and Envoys, real requests, SMI as the measure.

World after world is translated, written and called, where intentions are denied by default and where they are allowed.
Each call is held against SMI's own reading of the documents (never wider; equal where the adapter reports no loss) and
against what the adapter's reading of its own entries foretold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import count
from random import Random, SystemRandom

import pytest

from adapters.consul.plugin import SPEC
from hub.requests import to_json
from tests.servers.consul.agent import POLICIES
from tests.servers.consul.calls import tried
from tests.servers.consul.cast import SHOP
from tests.servers.consul.dice import random_world
from tests.servers.consul.judging import ConsulJudge, call_of
from tests.servers.consul.mesh import Mesh, standing

pytestmark = pytest.mark.consul
SEEDS, CALLS = {"deny": (0, 1, 2, 3, 4, 5, 7, 8, 9), "allow": (9, 10, 11, 12, 13, 14, 15, 16, 17)}, 40
MANY, EACH = 5_000, 100
"""Requests of the long search under either default, and of each of its worlds."""


@pytest.fixture(scope="module", params=POLICIES)
def mesh(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """One mesh for this file and each default; its logs stay in the temporary folder."""
    with standing(tmp_path_factory.mktemp("consul"), request.param, SHOP) as running:
        yield running


def obeyed(mesh: Mesh, seed: str, calls: int, tally: Counter[str]) -> list[str]:
    """Bring a random world into force and make its calls; what did not end as SMI says, or not as foretold."""
    world = random_world(Random(seed), calls)
    judge = ConsulJudge(world, SPEC)
    mesh.put(judge.natives)
    mesh.drained()
    found = tried(mesh, [call_of(request) for request in world.requests])
    tally.update(["worlds", *("allowed" if one.app else "denied" for one in found)])
    pairs = zip(world.requests, found, strict=True)
    wrong = [f"{why}: {to_json(request)}" for request, each in pairs for why in judge.faults(request, each)]
    return [f"world {seed}: {why}" for why in (*wrong, *mesh.refused())]


def mixed(tally: Counter[str]) -> bool:
    """Whether neither what was allowed nor what was denied is less than three tenths."""
    return min(tally["allowed"], tally["denied"]) >= 0.3 * (tally["allowed"] + tally["denied"])


def test_random_worlds_are_obeyed(mesh: Mesh) -> None:
    """Calls that stand close to the boundaries of nine worlds: none that SMI denies gets through, none is lost."""
    tally: Counter[str] = Counter()
    wrong = [why for seed in SEEDS[mesh.agent.policy] for why in obeyed(mesh, f"c{seed}", CALLS, tally)]
    print(mesh.agent.policy, dict(tally))  # noqa: T201 - what was measured
    assert wrong == []
    assert tally["allowed"] + tally["denied"] == len(SEEDS[mesh.agent.policy]) * CALLS
    assert mixed(tally), tally


@pytest.mark.slow
def test_ten_thousand_requests_are_obeyed(mesh: Mesh) -> None:
    """The same with new seeds, half of them under either default."""
    seed, tally, wrong = SystemRandom().randrange(2**48), Counter[str](), list[str]()
    print(seed)  # noqa: T201 - with it the worlds can be made again
    for number in count():
        wrong += obeyed(mesh, f"{seed}/{number}", EACH, tally)
        if wrong or (tally["allowed"] + tally["denied"] >= MANY and mixed(tally)):
            break
    print(mesh.agent.policy, dict(tally))  # noqa: T201 - what was measured
    assert wrong == []
    assert mixed(tally), tally
