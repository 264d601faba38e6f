"""A whole VM mesh under test: a folder of SMI, the hub (in this process), real Envoys, and certificates of the mesh.

Loopback addresses: 127.N.0.W receives (the sidecar of workload W), 127.N.1.W is its application, 127.N.2.W is where it
calls out.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import shutil
import socket
import ssl
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from adapters.vm.bootstrap.enrol import Enrolment, enrol
from adapters.vm.identity.ca import LEAF_LIFE, Authority, make_root
from adapters.vm.state.revisions import State
from hub.meshes import Mesh as ConfiguredMesh
from hub.reconcile.hub import Hub
from tests.servers.envoy import Envoy
from tests.servers.hubs import hub_of
from tests.servers.ports import claimed

TRUST_DOMAIN = "cluster.local"
CONFIG = """\
domain: {trustDomain: cluster.local}
sources: [{path: folder}]
meshes: [{name: vms, adapter: vm}]
accept: [guard.blast-radius]
"""


def free_octet(ports: Iterable[int], hosts: int = 8) -> int:
    """A second octet N, nobody else's, such that nobody listens on 127.N.0.1 to 127.N.2.<hosts> at these ports."""
    wanted = tuple(ports)
    for octet in range(10, 250):
        hosts_of = [f"127.{octet}.{half}.{host}" for half in range(3) for host in range(1, hosts + 1)]
        if claimed(f"127.{octet}") and all(_free((host, port)) for host in hosts_of for port in wanted):
            return octet
    raise RuntimeError("no free loopback addresses")


def _free(place: tuple[str, int]) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(place)
        except OSError:
            return False
    return True


class Certificates:
    """TLS contexts of a mesh's own authority, of a foreign one, and without a certificate."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._kept: dict[tuple[str, bool, bool], ssl.SSLContext] = {}
        self._now = dt.datetime.now(dt.UTC)
        self._foreign = Authority(make_root(TRUST_DOMAIN, self._now), LEAF_LIFE)

    def own(self) -> Authority:
        """The authority of the mesh, read from its state file."""
        state = State(self._base / ".smihub" / "hub.sqlite", "vms")
        try:
            return Authority(state.authority(make_root(TRUST_DOMAIN, self._now)), LEAF_LIFE)
        finally:
            state.close()

    def of(self, spiffe: str, *, foreign: bool = False, http2: bool = False) -> ssl.SSLContext:
        """A certificate with this URI, of a foreign authority if asked; offers HTTP/2 if asked."""
        key = (spiffe, foreign, http2)
        if key not in self._kept:
            leaf = (self._foreign if foreign else self.own()).issue(spiffe, self._now)
            file = self._base / "client.pem"
            file.touch(mode=0o600)
            file.write_bytes(leaf.chain + leaf.key.reveal())
            context = self.none(http2=http2)
            context.load_cert_chain(file)
            file.unlink()
            self._kept[key] = context
        return self._kept[key]

    @staticmethod
    def none(*, http2: bool = False) -> ssl.SSLContext:
        """TLS without a certificate; offers HTTP/2 if asked. Whom it reaches is not checked: the callee is what is tried."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if http2:
            context.set_alpn_protocols(["h2"])
        return context


class LiveMesh:
    """The folder, the hub and the Envoys. `replace` the folder's files, `apply`, `start` Envoys, `settled`, `stop`."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.folder = base / "folder"
        self.folder.mkdir()
        (base / "smihub.yaml").write_text(CONFIG)
        self.certificates = Certificates(base)
        self.envoys: dict[str, Envoy] = {}
        self._enrolled: dict[str, dict[str, Any]] = {}
        self._hub: Hub | None = None

    @property
    def hub(self) -> Hub:
        """The hub; opened when it is first needed."""
        if self._hub is None:
            self._hub = hub_of(self.base / "smihub.yaml")
        return self._hub

    @property
    def mesh(self) -> ConfiguredMesh:
        """The one mesh."""
        return self.hub.meshes[0]

    @property
    def sink(self) -> Any:
        """Its sink."""
        return self.mesh.sink

    def replace(self, files: Mapping[str, str]) -> None:
        """Make the folder hold exactly these files."""
        for path in self.folder.iterdir():
            if path.name not in files:
                path.unlink()
        for name, text in files.items():
            fresh = self.folder / f".{name}.new"
            fresh.write_text(text)
            fresh.rename(self.folder / name)

    async def apply(self, accept: Sequence[str] = ()) -> int:
        """Read the folder, plan, withdraw endpoints, write, publish endpoints; gives how many objects changed. Losses are accepted."""
        await asyncio.to_thread(self.hub.read)
        reviewed = await self.hub.plan(self.mesh, accept)
        assert not reviewed.plan.conflicts, reviewed.plan.conflicts
        if losses := {loss.code for loss in reviewed.plan.losses}.difference(accept):
            accept = (*accept, *losses)
            reviewed = await self.hub.plan(self.mesh, accept)
        await self.hub.withdraw()
        await self.hub.apply(self.mesh, reviewed.plan, accept)
        await self.hub.publish()
        return len(reviewed.plan.changes)

    async def serve(self) -> None:
        """Serve the last revision."""
        await self.sink.start()

    def enrol(self, workload: str, **more: Any) -> tuple[str, ...]:
        """What `smihub bootstrap` does; gives Envoy's command line."""
        self._enrolled[workload] = more
        return enrol(self.sink, Enrolment(workload, self.envoy_folder(workload), **more))

    async def renew(self) -> None:
        """Give Workloads whose token ended (another account) a new one, and wait until their Envoys speak by it."""
        found = self.sink.report()
        ended = [name for name in self.envoys if name in found and not found[name]["enrolled"]]
        for workload in ended:
            self.enrol(workload, **self._enrolled[workload])
        async with asyncio.timeout(45):
            while not all(self._speaks(workload) for workload in ended):  # noqa: ASYNC110 - other processes
                await asyncio.sleep(0.01)

    def _speaks(self, workload: str) -> bool:
        sessions = self.sink._server.connected(workload)
        return bool(sessions) and not sessions[-1].ended

    def envoy_folder(self, workload: str) -> Path:
        """Where a workload's Envoy lives."""
        return self.base / "envoy" / workload.replace("/", "_")

    async def start(self, workload: str, line: tuple[str, ...]) -> None:
        """Start a workload's Envoy."""
        folder = self.envoy_folder(workload)
        log = folder / "envoy.log"
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(*line, stdout=output, stderr=output)
        self.envoys[workload] = Envoy(process, folder / "admin.sock", log)

    async def settled(self, *, cut: bool = False) -> None:
        """Wait until every Envoy accepted the newest revision and warms nothing; with `cut`, until open connections ended."""
        async with asyncio.timeout(20):
            while not self._accepted(cut=cut):  # noqa: ASYNC110 - other processes
                await asyncio.sleep(0.01)
            for envoy in self.envoys.values():
                while await warming(envoy):  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)  # workers take over what the main thread has accepted

    def _accepted(self, *, cut: bool) -> bool:
        found = self.sink.status()
        for workload in self.envoys:
            said, sessions = found.get(workload), self.sink._server.connected(workload)
            assert said is None or not said.refused, said
            if said is None or not sessions or said.pending or (cut and not said.programmed):
                return False
            newest = sessions[-1]
            if newest.changed.is_set() or newest.turn.locked() or newest.stream.waits:
                return False
        return True

    async def rest(self) -> None:
        """Close the hub of this process; another one may take over."""
        if self._hub is not None:
            await self._hub.close()
        self._hub = None

    async def stop(self) -> None:
        """End every Envoy and the hub."""
        for envoy in self.envoys.values():
            await envoy.stop()
        await self.rest()
        with suppress(OSError):
            shutil.rmtree(self.base / "envoy")


async def warming(envoy: Envoy) -> bool:
    """Whether a listener or a cluster waits for what it needs."""
    return any((await envoy.stats("total_listeners_warming|cluster_manager.warming_clusters")).values())
