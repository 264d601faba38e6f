"""Cases whose Workloads stand on real Envoys: what they answer is what the case says, over HTTP/1.1 and as raw bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hub.testing.counterexamples import to_yaml
from hub.testing.kit import CASES, load_case
from tests.servers.live_mesh import LiveMesh, free_octet
from tests.servers.many_apps import Apps
from tests.servers.raw_calls import Ask, Door, Outcome, http1, tcp

pytestmark = pytest.mark.envoy


@asynccontextmanager
async def standing(folder: Path, case: str, apps: Mapping[str, tuple[str, int]]) -> AsyncIterator[tuple[LiveMesh, str]]:
    """The Workloads of a case that have an application here, with an Envoy each; 127.0.0.H of the case is 127.N.0.H."""
    octet = free_octet([8080], 4)
    running, mesh = Apps(), LiveMesh(folder)
    try:
        for name, (address, port) in apps.items():
            await running.start(name, (address.replace("127.N.", f"127.{octet}."), port))
        stage = load_case(CASES / f"{case}.yaml").stages[0]
        text = to_yaml([each.value for each in stage.documents])
        mesh.replace({"all.yaml": text.replace("127.0.0.", f"127.{octet}.0.")})
        await mesh.apply()
        await mesh.serve()
        for name in apps:
            await mesh.start(name, mesh.enrol(name))
        for envoy in mesh.envoys.values():
            await envoy.ready()
        await mesh.settled()
        yield mesh, f"127.{octet}.0"
    finally:
        await mesh.stop()
        await running.stop()


async def test_grant_by_labels_reaches_only_their_carrier(tmp_path: Path) -> None:
    """Two Workloads whose ports had one name of 32 bits: the caller is refused at the one without the label."""
    apps = {"d/z-gold": ("127.2.154.7", 18080), "d/plain-1": ("127.101.43.100", 18080)}
    async with standing(tmp_path, "69-two-variants-of-one-short-digest", apps) as (mesh, net):
        web = mesh.certificates.of("spiffe://cluster.local/ns/d/sa/web")
        said = [await http1(Door(f"{net}.{host}", 8080, web), Ask("GET", "/")) for host in (2, 3)]
    assert said == [Outcome(200, "d/z-gold"), Outcome(403, "")]


async def test_service_that_cannot_be_read_opens_nothing(tmp_path: Path) -> None:
    """With `port: "8080"` in its Service, a TCPRoute admitted every HTTP request to a port that was meant to be HTTP."""
    async with standing(tmp_path, "71-service-that-cannot-be-read", {"d/api-1": ("127.N.0.102", 18080)}) as (mesh, net):
        doors = {
            name: Door(f"{net}.2", 8080, mesh.certificates.of(f"spiffe://cluster.local/ns/d/sa/{name}"))
            for name in ("peer", "web")
        }
        said = [await http1(door, Ask("GET", "/")) for door in doors.values()]
        raw = await tcp(doors["peer"])
    assert [each.served for each in (*said, raw)] == [False, False, False]
