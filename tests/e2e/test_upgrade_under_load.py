"""An installation of an older smihub is taken over while requests flow: nothing fails that is granted, nothing opens."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.vm.bootstrap.envoy import write_private
from tests.servers.live_mesh import LiveMesh, free_octet
from tests.servers.many_apps import Apps
from tests.servers.older import install
from tests.servers.raw_calls import Ask, Door, Outcome, http1, tcp

pytestmark = pytest.mark.envoy
APPS = {
    "api": (1, (8080, 9090, 5432)),
    "gold": (2, (8080, 9090, 5432)),
    "orders-1": (3, (8080,)),
    "orders-2": (4, (8080,)),
}
CALLERS = {"web": 5, "peer": 6}
LOCAL = {
    "api http": 20001,
    "api other": 20002,
    "api raw": 20003,
    "gold http": 20004,
    "gold raw": 20005,
    "orders": 20006,
}
GET = Ask("GET", "/v1/books/1")
GRANTED = {
    "web api http": GET,
    "web api raw": None,
    "web gold http": GET,
    "web gold raw": None,
    "web orders": GET,
    "peer api http": GET,
    "peer api other": GET,
    "peer api raw": None,
}
STATE = "control_plane.connected_state"
DENIED = {"web api other": GET, "peer orders": GET}


class Site:
    """The mesh of the older installation, its applications, and what became of every request."""

    def __init__(self, mesh: LiveMesh, octet: int) -> None:
        self.mesh = mesh
        self.octet = octet
        self.failed: Counter[str] = Counter()
        self.served: Counter[str] = Counter()
        self.opened: Counter[str] = Counter()
        self.done = asyncio.Event()

    async def ask(self, what: str, asked: Ask | None) -> Outcome:
        """One request, or one raw connection, on a connection of its own to the caller's sidecar, which pools its own."""
        caller, _, service = what.partition(" ")
        door = Door(f"127.{self.octet}.2.{CALLERS[caller]}", LOCAL[service])
        if asked is None:
            return await tcp(door)
        return await http1(door, asked)

    async def keep_asking(self, what: str, asked: Ask | None) -> None:
        """Ask for something that is granted, again and again."""
        while not self.done.is_set():
            outcome = await self.ask(what, asked)
            (self.served if outcome.served else self.failed)[f"{what} {'' if outcome.served else outcome.status}"] += 1

    async def keep_trying(self, what: str, asked: Ask) -> None:
        """Ask for something that is not."""
        while not self.done.is_set():
            self.opened[what] += (await self.ask(what, asked)).served

    async def calm(self, seconds: float = 1.5) -> None:
        """Let some traffic flow."""
        await asyncio.sleep(seconds)


@pytest.fixture(params=["delta", pytest.param("sotw", marks=pytest.mark.slow)])
async def site(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    """The older installation, served as the older hub did it: without marks in any name."""
    ports = {port for _, numbers in APPS.values() for port in numbers}
    octet = free_octet([*ports, *LOCAL.values()], 6)
    while octet < 100:
        octet = free_octet([*ports, *LOCAL.values()], 6)
    apps, mesh = Apps(), LiveMesh(tmp_path)
    install(tmp_path, "vm", octet)
    try:
        for name, (number, numbers) in APPS.items():
            for port in numbers:
                await apps.start(f"{name}:{port}", (f"127.{octet}.1.{number}", port))
                if port == 5432:
                    apps.greets.add((f"127.{octet}.1.{number}", port))
        monkeypatch.setattr("adapters.vm.serve.seal._add_mark_places", lambda _: None)
        monkeypatch.setattr("adapters.vm.names.own", lambda _: "self")
        await asyncio.to_thread(mesh.hub.read)
        await mesh.serve()
        await mesh.hub.publish()
        for workload, token in json.loads((tmp_path / "tokens.json").read_text()).items():
            write_private(mesh.envoy_folder(workload) / "token", token.encode())
            await mesh.start(workload, mesh.enrol(workload, variant=request.param))
        for envoy in mesh.envoys.values():
            await envoy.ready()
        await mesh.settled()
        yield Site(mesh, octet)
    finally:
        await mesh.stop()
        await apps.stop()


async def test_kept_grants_have_no_gap_while_an_older_installation_is_taken_over(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Objects get other names, chains and certificates too; every request that is granted is served throughout."""
    mesh = site.mesh
    root = mesh.certificates.own().bundle
    async with asyncio.TaskGroup() as group:
        try:
            for what, asked in GRANTED.items():
                group.create_task(site.keep_asking(what, asked))
            for what, denied in DENIED.items():
                group.create_task(site.keep_trying(what, denied))
            await site.calm()
            before = sum(site.served.values())
            await mesh.rest()
            # As CHANGELOG says: with the hub stopped, say which upstreams are shared on purpose.
            workloads = mesh.folder / "workloads.yaml"
            workloads.write_text(re.sub(r"(localPort: \d+)", r"\1, shared: host", workloads.read_text()))
            await site.calm(0.3)
            monkeypatch.undo()
            await mesh.serve()
            async with asyncio.timeout(30):
                for envoy in mesh.envoys.values():
                    while (await envoy.stats(STATE)).get(STATE) != 1:  # noqa: ASYNC110 - another process
                        await asyncio.sleep(0.05)
            await mesh.settled(cut=True)
            await site.calm()
            anew = sum(site.served.values()) - before
            changed = await mesh.apply()
            await mesh.settled(cut=True)
            await site.calm()
        finally:
            site.done.set()
    print(f"{changed} objects; served: {before} before, {anew} while taken over, {sum(site.served.values())} in all")  # noqa: T201
    assert not +site.opened
    assert not site.failed
    assert set(site.served) == {f"{what} " for what in GRANTED}
    assert changed > 0
    assert await mesh.apply() == 0
    assert mesh.certificates.own().bundle == root
