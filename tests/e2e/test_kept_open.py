"""What becomes of open connections when a grant goes: measured on real Envoys, from the moment the plan is applied.

Nothing here asserts a time below five seconds: the times are printed, and their order is held.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.servers.kept import Http2, Watch, keep_asking, keep_echoing, keep_reading, now, upgrade
from tests.servers.raw_calls import Ask, Door, http1, tcp
from tests.servers.shop import Shop, standing

pytestmark = pytest.mark.envoy
GENEROUS_S = 5.0


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    """Three workloads with an Envoy each, programmed."""
    async with standing(tmp_path, greets=True) as made:
        yield made


async def test_revocation_reaches_every_kind_of_open_connection(shop: Shop) -> None:
    """The next request is refused, streams and raw connections are cut; other ports and other callers go on."""
    lost = {name: Watch() for name in ("HTTP/1.1", "stream", "WebSocket", "TCP", "HTTP/2 a", "HTTP/2 b", "HTTP/2 c")}
    calm = {name: Watch() for name in ("other HTTP/1.1", "other stream", "other TCP", "peer, kept HTTP/1.1")}
    fresh: list[bool] = []
    done, door = asyncio.Event(), shop.door
    async with asyncio.TaskGroup() as group:
        until_lost = [
            group.create_task(keep_asking(door("web", "http"), "/v1", lost["HTTP/1.1"], done)),
            group.create_task(keep_reading(door("web", "http"), Ask("GET", "/stream"), lost["stream"])),
            group.create_task(keep_echoing(door("web", "http"), lost["WebSocket"], upgrade("/ws"))),
            group.create_task(keep_echoing(door("web", "tcp"), lost["TCP"])),
        ]
        endless = [
            group.create_task(keep_asking(door("web", "other-http"), "/v1", calm["other HTTP/1.1"], done)),
            group.create_task(keep_reading(door("web", "other-http"), Ask("GET", "/stream"), calm["other stream"])),
            group.create_task(keep_echoing(door("web", "other-tcp"), calm["other TCP"])),
            group.create_task(keep_asking(door("peer", "http"), "/v1", calm["peer, kept HTTP/1.1"], done)),
            group.create_task(_ask_anew(door("peer", "http"), fresh, done)),
        ]
        many = await Http2.open(door("web", "http"))
        for name in ("HTTP/2 a", "HTTP/2 b", "HTTP/2 c"):
            many.stream("/stream", lost[name])
        assert await many.status("/v1") == 200
        async with asyncio.timeout(GENEROUS_S):
            while not all(watch.served > 3 for watch in (*lost.values(), *calm.values())):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        start = now()
        (shop.mesh.folder / "revoked.yaml").unlink()
        await shop.mesh.apply()
        applied = now()
        while (status := await many.status("/v1")) == 200:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.01)
        refused_http2 = now()
        await asyncio.wait_for(asyncio.gather(*until_lost), GENEROUS_S)
        await shop.mesh.settled(cut=True)
        before = shop.apps.raw["api:5432"]
        assert not (await tcp(door("web", "tcp"))).served
        assert shop.apps.raw["api:5432"] == before
        assert (await tcp(door("peer", "tcp"))).served
        seen = len(shop.apps.seen)
        assert (await http1(door("web", "http"), Ask("GET", "/v1", (("x-rid", "late"),)))).status == 403
        assert "late" not in shop.apps.seen, seen
        counts = {name: watch.served for name, watch in calm.items()}
        await asyncio.sleep(0.3)
        assert all(watch.served > counts[name] for name, watch in calm.items())
        assert all(watch.ended is None and watch.refused is None for watch in calm.values())
        done.set()
        await many.close()
        for task in endless:
            task.cancel()
    lines = [f"{name}: {watch.told(applied)}" for name, watch in lost.items()]
    print(f"read and applied in {1000 * (applied - start):.0f} ms; since then:", *lines, sep="\n")  # noqa: T201
    print(f"HTTP/2, next request: {status} after {1000 * (refused_http2 - applied):.0f} ms")  # noqa: T201
    print(f"peer, new connections: {fresh.count(True)} served, {fresh.count(False)} not")  # noqa: T201
    assert status == 403
    assert all(fresh)
    refused = lost["HTTP/1.1"].refused
    assert refused is not None
    cut = [watch.ended for name, watch in lost.items() if name != "HTTP/1.1"]
    assert all(end is not None and refused < end < applied + GENEROUS_S for end in cut)
    assert refused < applied + GENEROUS_S


async def _ask_anew(door: Door, served: list[bool], done: asyncio.Event) -> None:
    """Requests on new connections, one after the other."""
    while not done.is_set():
        served.append((await http1(door, Ask("GET", "/v1"))).served)
