"""Patterns by EnvoyFilters in a real Istio mesh: exact on random patterns, and nothing opens while they change.

Each call is held against SMI's own reading (never wider; equal where the adapter reports no loss) and against what the adapter
foretold of its own objects.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from random import Random, SystemRandom
from typing import Any

import pytest

from adapters.istio.config import IstioConfig
from adapters.istio.plugin import SPEC
from hub.requests import to_json
from tests.servers.istio.judging import IstioJudge
from tests.servers.istio.mesh import Mesh, standing
from tests.servers.istio.pattern_dice import ALLOWED, CLOSE, OTHERS, calls_of, close_to, pattern_world
from tests.servers.istio.trying import pestering, tried
from tests.servers.istio.worlds import SERVICES
from tests.servers.worlds import World, call, group, target

pytestmark = pytest.mark.istio
FILTERS = IstioConfig(patterns="envoyfilter")
SEEDS = range(6)
PROOF = 100
"""Worlds of the long search, a hundred requests each."""


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """One mesh for this file; its logs stay in the temporary folder."""
    with standing(tmp_path_factory.mktemp("istio"), SERVICES) as running:
        yield running


def asked(mesh: Mesh, rng: Random) -> tuple[list[str], Counter[str]]:
    """Try a random world: what was wrong; calls that SMI allows and denies, were let in, and are denied one byte away from allowed ones."""
    world, meant = pattern_world(rng)
    judge = IstioJudge(world, SPEC, FILTERS)
    mesh.put(judge.natives)
    requests = calls_of(rng, meant, lambda request: judge.smi(request).verdict == "deny")
    ended = tried(mesh, requests)
    wrong = [
        f"{why}: {to_json(one)}" for one, each in zip(requests, ended, strict=True) for why in judge.faults(one, each)
    ]
    count: Counter[str] = Counter(judge.smi(one).verdict for one in requests)
    count["served"] = sum(bool(each.app) for each in ended)
    allowed = [one for one in requests if judge.smi(one).verdict == "allow"]
    count["close"] = sum(judge.smi(one).verdict == "deny" and close_to(one, allowed) for one in requests)
    return wrong, count


@pytest.mark.parametrize("seed", SEEDS)
def test_requests_when_patterns_are_random(mesh: Mesh, seed: int) -> None:
    """Every call ends as SMI says; two fifths are allowed, and of those denied two fifths are one byte away from an allowed one."""
    wrong, count = asked(mesh, Random(f"patterns/{seed}"))
    assert wrong == []
    assert count["allow"] == ALLOWED
    assert count["deny"] == CLOSE + OTHERS
    assert count["close"] >= CLOSE
    assert count["served"] >= ALLOWED * 0.9  # the rest is refused for a guard, which `faults` has looked at
    assert mesh.rejections() == {}


@pytest.mark.slow
def test_ten_thousand_requests_when_patterns_are_random(mesh: Mesh) -> None:
    """The same for a hundred worlds of a new seed."""
    seed, total = f"{SystemRandom().getrandbits(64):x}", Counter[str]()
    for number in range(PROOF):
        wrong, count = asked(mesh, Random(f"{seed}/{number}"))
        total += count
        assert wrong == [], f"seed {seed}, world {number}"
    asked_about = total["allow"] + total["deny"]
    sys.stdout.write(
        f"\nseed {seed}: {asked_about} requests in {PROOF} worlds, {total['allow']} allowed, "
        f"{total['deny']} denied ({total['close']} of them one byte away from an allowed one), {total['served']} served (what arrived is judged, as it arrived), 0 wider\n"
    )
    assert asked_about >= 10_000 * 0.99
    assert min(total["allow"], total["deny"]) >= asked_about * 0.3
    assert total["close"] * 3 >= total["deny"]
    assert mesh.rejections() == {}


# ----------------------------------------------------------------------------------------------------- while they change

_PATTERNS = ("/users/[0-9]+", "/teams/[a-z]+", "/users/[0-9]+/x", "/teams/[a-z]{2}", "/orders/[0-9]{2}")
_OTHERS = ("/bills/[0-9]+", "/bills/[a-z]+", "/rooms/[0-9]+", "/rooms/[a-z]{2}", "/rooms/[0-9]{2}")
NEVER = (
    call("web-1", "api", 80, "/bills/7"),
    call("web-1", "api", 80, "/rooms/12"),
    call("web-1", "api", 80, "/users/0a0"),
    call("partner-1", "api", 80, "/users/7"),
    call("partner-1", "api", 80, "/teams/ab"),
    call("orders-1", "api", 80, "/users/7"),
)
"""Calls that no world allows: `web` has patterns of the first list, `partner` of the second."""
KEPT = call("web-1", "api", 80, "/kept/7")


def _world(rng: Random) -> World:
    own, other = rng.sample(_PATTERNS, 2), rng.sample(_OTHERS, 2)
    values = (
        group("own", *({"pathRegex": one} for one in (*own, "/kept/[0-9]+"))),
        group("other", *({"pathRegex": one} for one in other)),
        target("web", "api", ["web"], "http:own"),
        target("partner", "api", ["partner"], "http:other"),
    )
    return World("changing", values, ())


def _natives(rng: Random) -> list[dict[str, Any]]:
    return IstioJudge(_world(rng), SPEC, FILTERS).natives


def _names(natives: Sequence[dict[str, Any]]) -> set[str]:
    return {one["metadata"]["name"] for one in natives if one["kind"] == "EnvoyFilter"}


def _older(before: Sequence[dict[str, Any]], after: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The filters that go."""
    gone = _names(before) - _names(after)
    return [one for one in before if one["metadata"]["name"] in gone]


def _in_random_order(mesh: Mesh, rng: Random, before: list[dict[str, Any]], after: list[dict[str, Any]]) -> None:
    """Write new filters and the policy, and delete old filters, one by one in any order."""
    kube, old = mesh.plane.kube, _names(before)
    steps: list[tuple[Callable[[dict[str, Any]], object], dict[str, Any]]]
    steps = [(kube.apply, one) for one in after if one["metadata"]["name"] not in old]
    steps += [(kube.delete, one) for one in _older(before, after)]
    rng.shuffle(steps)
    for write, manifest in steps:
        write(manifest)
        time.sleep(rng.choice((0, 0, 0.05, 0.15)))


def test_calls_that_are_never_granted_when_updates_come_in_any_order(mesh: Mesh) -> None:
    """None is let in, at no moment of 24 updates whose objects are written and deleted in a random order."""
    rng = Random("random order")
    natives = _natives(rng)
    mesh.put(natives)
    with pestering(mesh, NEVER) as found:
        for _ in range(24):
            after = _natives(rng)
            _in_random_order(mesh, rng, natives, after)
            natives = after
            time.sleep(0.2)
    mesh.put(natives)
    assert len(found) >= 300
    assert [one for one in found if one.app] == []


def test_kept_and_never_granted_calls_when_updates_come_in_the_hub_s_order(mesh: Mesh) -> None:
    """New filters, then the policy, then old filters go: what is allowed before and after is served all the while, nothing else."""
    rng = Random("kept")
    natives = _natives(rng)
    mesh.put(natives)
    with pestering(mesh, (KEPT, *NEVER)) as found:
        for _ in range(8):
            after = _natives(rng)
            mesh.put([*after, *_older(natives, after)])
            mesh.put(after)
            natives = after
    every = len(NEVER) + 1
    kept = [one for at, one in enumerate(found) if at % every == 0]
    assert len(kept) >= 20
    assert [one for one in kept if not one.app] == []
    assert [one for at, one in enumerate(found) if at % every and one.app] == []
