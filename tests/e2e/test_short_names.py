"""Two Workloads of one account whose inbound ports had one name of 32 bits, on real Envoys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hub.testing.found import to_yaml
from hub.testing.kit import CASES, load_case
from tests.servers.live_mesh import LiveMesh, free_octet
from tests.servers.many_apps import Apps
from tests.servers.raw_calls import Ask, Door, Outcome, http1

pytestmark = pytest.mark.envoy
CASE = load_case(CASES / "69-two-variants-of-one-short-digest.yaml")
APPS = {"d/z-gold": ("127.2.154.7", 18080), "d/plain-1": ("127.101.43.100", 18080)}


@pytest.fixture
async def doors(tmp_path: Path) -> AsyncIterator[tuple[Door, Door]]:
    """The sidecars of z-gold and plain-1, as d/web calls them."""
    octet = free_octet([8080], 3)
    apps, made = Apps(), LiveMesh(tmp_path)
    try:
        for name, place in APPS.items():
            await apps.start(name, place)
        [stage] = CASE.stages
        text = to_yaml([each.value for each in stage.documents]).replace("127.0.0.", f"127.{octet}.0.")
        made.replace({"all.yaml": text})
        await made.apply()
        await made.serve()
        for name in APPS:
            await made.start(name, made.enrol(name))
        for envoy in made.envoys.values():
            await envoy.ready()
        await made.settled()
        web = made.certificates.of("spiffe://cluster.local/ns/d/sa/web")
        yield Door(f"127.{octet}.0.2", 8080, web), Door(f"127.{octet}.0.3", 8080, web)
    finally:
        await made.stop()
        await apps.stop()


async def test_grant_by_labels_reaches_only_their_carrier(doors: tuple[Door, Door]) -> None:
    """The granted caller reaches the application that carries the label, and is refused at the other Workload."""
    said = [await http1(door, Ask("GET", "/")) for door in doors]
    assert said == [Outcome(200, "d/z-gold"), Outcome(403, "")]
