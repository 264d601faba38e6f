"""A whole Consul mesh under test: a Consul, services with real sidecars, and their applications."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from tests.servers.consul.agent import HOST, Agent, Policy, consul
from tests.servers.consul.cast import Cast, consul_name
from tests.servers.consul.entries import CHAIN, Entries, Entry, marked
from tests.servers.consul.sidecar import Place, Sidecar, start_sidecar
from tests.servers.loops import Loop
from tests.servers.many_apps import Apps
from tests.servers.ports import free_ports, held_port
from tests.servers.processes import wait_until
from tests.servers.raw_calls import Door

FENCE = "fence"
"""A service of no importance: who has its newest route has, as a rule, everything that was written before."""
OWN = "own-mark"
_HUB = """
service_prefix "" { policy = "write" intentions = "write" }
"""


class Mesh:
    """The running mesh. `put` makes Consul's entries be exactly these and waits until every sidecar follows them."""

    def __init__(self, agent: Agent, cast: Cast, loop: Loop, folder: Path) -> None:
        self.agent = agent
        self.cast = cast
        self.loop = loop
        self.apps = Apps()
        self.sidecars: dict[str, Sidecar] = {}
        self.entries = Entries(agent.bearer("hub", _HUB), _protocols(cast))
        self._fence = 0
        self._folder = folder
        self._certificates: dict[str, ssl.SSLContext] = {}

    def door(self, caller: str, callee: str) -> Door:
        """Where an account calls another one: its sidecar listens there."""
        return Door(HOST, self.sidecars[caller].place.upstreams[consul_name(callee)])

    def direct(self, caller: str, callee: str) -> Door:
        """The sidecar of an account, for whoever has the certificate of another one ("": has none) and no sidecar."""
        return Door(HOST, self.sidecars[callee].place.public, self._certificate(caller) if caller else None)

    def _certificate(self, account: str) -> ssl.SSLContext:
        if account not in self._certificates:
            leaf = self.agent.root.get(f"/agent/connect/ca/leaf/{consul_name(account)}")
            file = self._folder / f"{account}.pem"
            file.write_text(f"{leaf['CertPEM']}\n{leaf['PrivateKeyPEM']}", encoding="utf-8")
            made = self._certificates[account] = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
            made.load_cert_chain(file)
        return self._certificates[account]

    def put(self, entries: Iterable[Entry]) -> None:
        """Replace the entries and wait until they are in force; connections that were open may still follow older ones.

        Raises RefusedError. What says where calls go is deleted first, and waited for: a sidecar that loses a cluster and gets it
        back at once waits fifteen seconds for endpoints (observed on Consul 1.22 with Envoy 1.40).
        """
        if self.entries.delete(CHAIN):
            self.fence()
        written = [self._marked(one) for one in entries]
        self.entries.replace(written)
        self.fence()
        named = {one["Name"] for one in written if one["Kind"] == "service-intentions"}
        for name, sidecar in self.sidecars.items():
            wanted = {f"{OWN}-{self._fence - 1}"} if consul_name(name) in named else set()
            self.until(f"{name} has its own intentions", partial(_shows, sidecar, wanted))

    def _marked(self, entry: Entry) -> Entry:
        """Intentions of one service reach its sidecar by a way of their own: they have their own mark."""
        is_one = entry["Kind"] == "service-intentions" and entry["Name"] != "*"
        return marked(entry, f"{OWN}-{self._fence}", self.agent.policy) if is_one else entry

    def fence(self) -> None:
        """Wait until every sidecar has what Consul knew before this call of all services."""
        self._fence += 1
        mark = f"{FENCE}-{self._fence}-end"
        self.entries.mark(FENCE, mark, self.agent.policy)
        for name, sidecar in self.sidecars.items():
            self.until(f"{name} has the newest entries", partial(_has, sidecar, mark))

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


def _has(sidecar: Sidecar, mark: str) -> bool:
    """Whether a sidecar has both parts of a mark: of who may call, and of where calls go."""
    text = sidecar.routes()
    return f"/svc/{mark}" in text and f'"/{mark}"' in text


def _shows(sidecar: Sidecar, marks: set[str]) -> bool:
    """Whether a sidecar has these marks of its own intentions, and no older ones."""
    return set(re.findall(rf"/svc/({OWN}-\d+)", sidecar.routes())) == marks


@contextmanager
def standing(folder: Path, policy: Policy, cast: Cast) -> Iterator[Mesh]:
    """Start everything and wait until every sidecar serves; logs stay in the folder."""
    with ExitStack() as stack:
        agent = stack.enter_context(consul(folder, policy))
        loop = Loop()
        stack.callback(loop.close)
        mesh = Mesh(agent, cast, loop, folder)
        stack.callback(lambda: loop.wait(mesh.apps.stop()))
        for name in cast.accounts:
            made = start_sidecar(agent, _place(mesh, name), folder)
            stack.callback(made.stop)
            mesh.sidecars[name] = made
        mesh.until("every sidecar serves", lambda: all(one.is_ready() for one in mesh.sidecars.values()))
        yield mesh


def _protocols(cast: Cast) -> Iterator[Entry]:
    """What stands the whole time: a sidecar whose service changes its protocol begins anew."""
    for name, protocol in cast.callees.items():
        yield _defaults(consul_name(name), protocol)
    for name in (*map(consul_name, cast.virtual), FENCE):
        yield _defaults(name, "http")


def _defaults(name: str, protocol: str) -> Entry:
    return {"Kind": "service-defaults", "Name": name, "Protocol": protocol}


def _place(mesh: Mesh, name: str) -> Place:
    """Find ports for a service, and start its application. It calls all others, if it calls."""
    (app,) = free_ports(1)
    mesh.loop.wait(mesh.apps.start(mesh.cast.app(name), (HOST, app)))
    others = [consul_name(one) for one in (*mesh.cast.callees, *mesh.cast.virtual) if one != name]
    callees = [*others, FENCE] if name in mesh.cast.callers else [FENCE]
    return Place(consul_name(name), app, held_port(), {one: held_port() for one in callees})
