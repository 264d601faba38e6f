"""A local user who may reach the hub's socket holds thousands of connections; revocations go through all the same."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import grpc.aio
import pytest

from adapters.vm import names
from adapters.vm.state import State
from tests.adversary.machine import MEMBER, flooding, needs_root
from tests.adversary.shop import token_of, with_group
from tests.hub.cli.test_run import Running
from tests.servers.folder import Folder, target
from tests.servers.xds import Client

pytestmark = [pytest.mark.envoy, needs_root]
DESCRIPTORS = 1024
"""What many systems give a process, here without more to ask for."""
IN_TIME_S = 3.0
LET_IN_S = 20.0


@pytest.fixture
def hub(folder: Folder) -> Iterator[Running]:
    """A hub with few descriptors, whose socket a group may reach."""
    with_group(folder)
    command = ["prlimit", f"--nofile={DESCRIPTORS}:{DESCRIPTORS}", *folder.command("run")]
    child = subprocess.Popen(command, cwd=folder.root, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        yield Running(child)
    finally:
        child.kill()
        child.communicate()


def descriptors(pid: int) -> int:
    """How many a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def routes(folder: Folder) -> list[str]:
    """The names of all RouteConfigurations."""
    state = State(folder.root / ".smihub" / "hub.sqlite", "vms")
    try:
        return [ref.name for ref in state.refs(names.GROUP, "RouteConfiguration")]
    finally:
        state.close()


async def newcomer(socket: Path, token: str) -> Client:
    """A sidecar that connects, and tries again as Envoy does, until it has its policy."""
    while True:
        client = Client(f"unix:{socket}", token)
        with suppress(grpc.aio.AioRpcError, AssertionError, TimeoutError, asyncio.InvalidStateError):
            await client.ask("RouteConfiguration", "shop/api-1", resource_names_subscribe=["in/shop/api-1"])
            await client.next()
            return client
        await client.close()
        await asyncio.sleep(0.2)


async def story(hub: Running, folder: Folder, socket: Path, token: str) -> None:
    """Connect, flood, revoke; then let somebody else in."""
    client = Client(f"unix:{socket}", token)
    await client.ask("RouteConfiguration", "shop/api-1", resource_names_subscribe=routes(folder))
    await client.answer(await client.next())
    with flooding(str(socket), 4 * DESCRIPTORS, MEMBER) as held:
        assert held > DESCRIPTORS
        assert descriptors(hub.child.pid) < DESCRIPTORS // 2
        started = time.monotonic()
        folder.remove("more.yaml")
        assert (await client.next()).resources
        assert time.monotonic() - started < IN_TIME_S
        async with asyncio.timeout(LET_IN_S):
            await (await newcomer(socket, token)).close()
    await client.close()


def test_revocation_goes_through_a_flood_of_connections(hub: Running, folder: Folder) -> None:
    """Connections are capped, so sources and state keep their descriptors; idle ones end, so other Envoys get in."""
    folder.write("more.yaml", target("more", matches="orders"))
    hub.until("plan_applied")
    asyncio.run(story(hub, folder, folder.root / "run" / "vms.sock", token_of(folder)))
