"""A whole Consul mesh under test: a Consul, services with real sidecars, and their applications."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.servers.consul.agent import HOST, Agent, Policy, consul
from tests.servers.consul.cast import ACCOUNTS, CALLEES, CALLERS, VIRTUAL, app_of, consul_name
from tests.servers.consul.entries import Entries, Entry
from tests.servers.consul.sidecar import Place, Sidecar, start_sidecar
from tests.servers.loops import Loop
from tests.servers.many_apps import Apps
from tests.servers.ports import free_ports, held_port
from tests.servers.processes import wait_until
from tests.servers.raw_calls import Door

FENCE = "fence"
"""A service of no importance: who has its newest route has everything that was written before."""
_HUB = """
service_prefix "" { policy = "write" intentions = "write" }
"""


class Mesh:
    """The running mesh. `put` makes Consul's entries be exactly these and waits until every sidecar follows them."""

    def __init__(self, agent: Agent, loop: Loop, apps: Apps) -> None:
        self.agent = agent
        self.loop = loop
        self.apps = apps
        self.sidecars: dict[str, Sidecar] = {}
        self.entries = Entries(agent.bearer("hub", _HUB))
        self._fence = 0

    def door(self, caller: str, callee: str) -> Door:
        """Where an account calls another one: its sidecar listens there."""
        return Door(HOST, self.sidecars[caller].place.upstreams[consul_name(callee)])

    def put(self, entries: Iterable[Entry]) -> None:
        """Replace the entries and wait: sent, accepted, old connections drained. Raises RefusedError."""
        self.entries.replace(entries)
        self.fence()
        self.drained()

    def fence(self) -> None:
        """Wait until every sidecar has what Consul knew before this call."""
        self._fence += 1
        mark = f"{FENCE}-{self._fence}-end"
        self.entries.mark(FENCE, mark, self.agent.policy)
        self.until("every sidecar has the newest entries", lambda: all(map(_has(mark), self.sidecars.values())))

    def drained(self) -> None:
        """Wait until no connection is left that an older configuration serves."""
        time.sleep(0.1)  # workers take over what the main thread has accepted
        self.until("old connections are closed", lambda: not any(one.draining() for one in self.sidecars.values()))

    def refused(self) -> list[str]:
        """What a sidecar did not accept."""
        return [why for one in self.sidecars.values() for why in one.refused()]

    def until(self, what: str, done: Callable[[], bool]) -> None:
        """Wait for something; every program must live meanwhile."""
        wait_until(what, done, 30, self.agent.program, *(one.program for one in self.sidecars.values()))


def _has(mark: str) -> Callable[[Sidecar], bool]:
    """Both come last, and each by a way of its own: who may call, and where calls go."""
    return lambda sidecar: sidecar.routes().count(mark) >= _WAYS


_WAYS = 2


@contextmanager
def standing(folder: Path, policy: Policy) -> Iterator[Mesh]:
    """Start everything and wait until every sidecar serves; logs stay in the folder."""
    with ExitStack() as stack:
        agent = stack.enter_context(consul(folder, policy))
        loop, apps = Loop(), Apps()
        stack.callback(loop.close)
        stack.callback(lambda: loop.wait(apps.stop()))
        mesh = Mesh(agent, loop, apps)
        _populate(agent)
        for name in ACCOUNTS:
            made = start_sidecar(agent, _place(mesh, name), folder)
            stack.callback(made.stop)
            mesh.sidecars[name] = made
        mesh.until("every sidecar serves", lambda: all(one.is_ready() for one in mesh.sidecars.values()))
        yield mesh


def _populate(agent: Agent) -> None:
    """Entries that stand the whole time."""
    protocols = {**{consul_name(name): CALLEES.get(name, "http") for name in (*ACCOUNTS, *VIRTUAL)}, FENCE: "http"}
    for name, protocol in protocols.items():
        agent.root.put("/config", {"Kind": "service-defaults", "Name": name, "Protocol": protocol})


def _place(mesh: Mesh, name: str) -> Place:
    """Find ports for a service, and start its application. It calls all others, if it calls."""
    (app,) = free_ports(1)
    mesh.loop.wait(mesh.apps.start(app_of(name), (HOST, app)))
    callees = [consul_name(one) for one in (*CALLEES, *VIRTUAL) if one != name] if name in CALLERS else []
    return Place(consul_name(name), app, held_port(), {one: held_port() for one in (*callees, FENCE)})
