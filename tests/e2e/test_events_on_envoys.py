"""Events and time on real Envoys: whatever happens, nobody is served whom SMI denied both before and after.

The steps are those of tests/hub/reconcile/test_events.py and some more, in a town of four workloads whose Envoys have two workers.
After each step that is applied, callers make new connections through their own sidecars, and use those that they keep
open: raw bytes, HTTP/1.1 and WebSockets, some of each kind. Who is served must be allowed, once the bounds of
docs/vm.md have passed; and where all can be read, who is allowed must be served.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

from tests.servers.links import KINDS
from tests.servers.searching import search
from tests.servers.wire_scene import ON_ENVOYS, WireScene

pytestmark = pytest.mark.envoy
SEARCH = int(os.environ.get("SMIHUB_SEARCH", "1"))
FEW, MANY = (SEARCH, 10), (20, 10)
"""Towns, and steps in each; tests/mutants/test_searches.py takes some times as many."""
PATIENCE_S = 240.0


def _search(towns: int, length: int, *, fixed: bool) -> Counter[str]:
    """What was asked of so many towns."""
    tally = search(WireScene, ON_ENVOYS, towns, length, fixed=fixed, patience_s=PATIENCE_S)
    print(dict(sorted(tally.items())))  # noqa: T201 - what was measured
    return tally


def test_nobody_is_served_on_real_envoys_whom_smi_denied_before_and_after() -> None:
    """Fixed seeds."""
    _search(*FEW, fixed=True)


@pytest.mark.slow
def test_nobody_is_served_on_real_envoys_whom_smi_denied_before_and_after_many_steps() -> None:
    """Two hundred steps and new seeds; many are served and many are not, on new connections and on kept ones."""
    _well_mixed(_search(*MANY, fixed=False))


def test_towns_begin_with_open_connections_on_every_worker() -> None:
    """Of each kind, and each Envoy has some on both of its workers: else the search would see little."""
    with WireScene() as scene:
        scene.take("begin", 0)
        assert {one.link.kind for one in scene.wire.opened} == set(KINDS)
        for name, workers in scene.workers().items():
            assert len(workers) == 2, name
            assert all(workers.values()), (name, workers)


def _well_mixed(tally: Counter[str]) -> None:
    for kind in ("new tcp", "new http", "kept http"):
        served, denied = tally[f"{kind} served"], tally[f"{kind} denied"]
        assert min(served, denied) > (served + denied) / 20, (kind, tally)
    for kind in ("kept raw", "kept web"):
        assert tally[f"{kind} served"] > 100, (kind, tally)
        assert tally[f"{kind} cut"] > 10, (kind, tally)
