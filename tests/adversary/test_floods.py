"""A local user who may reach the hub's socket holds thousands of connections; revocations go through all the same."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.vm import names
from adapters.vm.state.revisions import State
from hub.status.http import CONNECTIONS
from tests.adversary.machine import MEMBER, flooding, needs_root
from tests.adversary.shop import token_of, with_group
from tests.hub.cli.test_run import Running
from tests.servers.folder import Folder, target
from tests.servers.ports import low_port
from tests.servers.xds import Client

pytestmark = [pytest.mark.envoy, needs_root]
DESCRIPTORS = 1024
"""What many systems give a process, here without more to ask for."""
IN_TIME_S = 3.0
LET_IN_S = 20.0


METRICS = ("127.0.0.1", low_port())


@pytest.fixture
def hub(folder: Folder) -> Iterator[Running]:
    """A hub with few descriptors, whose socket a group may reach, and whose metrics all may read."""
    with_group(folder)
    config = folder.root / "smihub.yaml"
    folder.config(f"{config.read_text()}http: {{address: '{METRICS[0]}:{METRICS[1]}'}}\n")
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


async def settled(pid: int) -> int:
    """How many descriptors a process has open once it accepts no more connections for a second."""
    seen = [-1]
    while len(seen) < 11 or len(set(seen[-11:])) > 1:
        seen.append(descriptors(pid))
        await asyncio.sleep(0.1)
    return seen[-1]


async def revoked(client: Client, folder: Folder) -> float:
    """Delete a grant; seconds until a connected sidecar is offered the policy without it."""
    started = time.monotonic()
    folder.remove("more.yaml")
    assert (await client.next()).resources
    return time.monotonic() - started


async def story(pid: int, folder: Folder, socket: Path, token: str) -> None:
    """Connect, flood, revoke; then the hub gets rid of the flood, and somebody else gets in."""
    client = Client(f"unix:{socket}", token)
    await client.ask("RouteConfiguration", "shop/api-1", resource_names_subscribe=routes(folder))
    await client.answer(await client.next())
    before = descriptors(pid)
    with flooding(str(socket), 4 * DESCRIPTORS, MEMBER) as held:
        assert held > DESCRIPTORS
        assert before + DESCRIPTORS // 16 < await settled(pid) < DESCRIPTORS // 2
        assert await revoked(client, folder) < IN_TIME_S
        async with asyncio.timeout(LET_IN_S):
            while descriptors(pid) > before + 5:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.1)
        other = Client(f"unix:{socket}", token)
        await other.ask("Listener", "shop/api-1")
        assert (await other.next()).resources
        await other.close()
    await client.close()


def test_revocation_goes_through_a_flood_of_connections(hub: Running, folder: Folder) -> None:
    """Connections are capped, so sources and state keep their descriptors; idle ones end, so other Envoys get in."""
    folder.write("more.yaml", target("more", matches="orders"))
    hub.until("plan_applied")
    asyncio.run(story(hub.child.pid, folder, folder.root / "run" / "vms.sock", token_of(folder)))


async def metrics() -> bytes:
    """What is answered on TCP."""
    reader, writer = await asyncio.open_connection(*METRICS)
    writer.write(b"GET /metrics HTTP/1.1\r\n\r\n")
    found = await reader.read()
    writer.close()
    return found


async def while_metrics_are_flooded(pid: int, folder: Folder, socket: Path, token: str) -> None:
    """Connect, flood the metrics, revoke; then the flood has had its time, and somebody else is answered."""
    client = Client(f"unix:{socket}", token)
    await client.ask("RouteConfiguration", "shop/api-1", resource_names_subscribe=routes(folder))
    await client.answer(await client.next())
    before = descriptors(pid)
    with flooding(METRICS, 2000) as held:
        assert held >= CONNECTIONS
        assert before < await settled(pid) <= before + CONNECTIONS + 5
        assert await revoked(client, folder) < IN_TIME_S
        async with asyncio.timeout(4 * LET_IN_S):
            assert (await metrics()).startswith(b"HTTP/1.1 200 OK")
    await client.close()


def test_revocation_goes_through_a_flood_of_the_metrics(hub: Running, folder: Folder) -> None:
    """Where they are on TCP any local user may connect; few can at a time, and none for long."""
    folder.write("more.yaml", target("more", matches="orders"))
    hub.until("plan_applied")
    asyncio.run(while_metrics_are_flooded(hub.child.pid, folder, folder.root / "run" / "vms.sock", token_of(folder)))
