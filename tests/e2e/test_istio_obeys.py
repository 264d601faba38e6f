"""A real Istio mesh obeys what the adapter writes: real API server, istiod and Envoys, real requests, SMI as the measure.

World after world is translated, applied and called. Each call is held against SMI's own reading of the documents (never
wider; equal where the adapter reports no loss) and against what the adapter's reading of its own manifests foretold.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from adapters.istio.plugin import SPEC
from hub.requests import to_json
from tests.servers.istio.dice import random_world
from tests.servers.istio.judging import IstioJudge
from tests.servers.istio.mesh import Mesh, standing
from tests.servers.istio.trials import WORLDS
from tests.servers.istio.trying import counted, tried, unlikely
from tests.servers.istio.worlds import SERVICES
from tests.servers.worlds import World

pytestmark = pytest.mark.istio
TIMES = 1200
SEEDS = range(12)
CALLS = 150


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """One mesh for this file; its logs stay in the temporary folder."""
    with standing(tmp_path_factory.mktemp("istio"), SERVICES) as running:
        yield running


def faults(mesh: Mesh, judge: IstioJudge, world: World) -> list[str]:
    """What did not end as SMI says, or not as foretold."""
    pairs = zip(world.requests, tried(mesh, world.requests), strict=True)
    return [f"{why}: {to_json(request)}" for request, each in pairs for why in judge.faults(request, each)]


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_requests_when_a_world_is_applied(mesh: Mesh, world: World) -> None:
    """Every request ends as SMI says and as foretold; shares lie in their 99.9 % interval; nothing was rejected."""
    judge = IstioJudge(world, SPEC)
    mesh.put(judge.natives)
    wrong = faults(mesh, judge, world)
    for request in world.counted:
        found = unlikely(counted(mesh, request, TIMES), judge.expected(request))
        wrong += [f"share: {why}: {to_json(request)}" for why in found]
    assert wrong == []
    assert mesh.rejections() == {}


@pytest.mark.parametrize("seed", SEEDS)
def test_requests_when_a_world_is_random(mesh: Mesh, seed: int) -> None:
    """The same of random worlds, whose calls stand close to their boundaries."""
    world = random_world(Random(seed), CALLS)
    judge = IstioJudge(world, SPEC)
    mesh.put(judge.natives)
    assert faults(mesh, judge, world) == []
    assert mesh.rejections() == {}
