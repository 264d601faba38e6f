"""A whole Istio mesh under test: control plane, Pods with real sidecars, applications, and callers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from tests.servers.istio import own_tls, sds
from tests.servers.istio.callers import Line, PodApps
from tests.servers.istio.kube import Manifest
from tests.servers.istio.namespaces import Address, Namespace, network
from tests.servers.istio.plane import ControlPlane, control_plane
from tests.servers.istio.pods import PODS, PORTS, slices
from tests.servers.istio.sidecar import Node, Sidecar, start_sidecar
from tests.servers.loops import Loop
from tests.servers.processes import SETPRIV, check_tools, wait_until
from tests.servers.worlds import NAMESPACE

FENCE = "fence.invalid"
OUTSIDER = "plain-1"
Key = tuple[str, str, str]


class Mesh:
    """The running mesh. `put` makes Istio's objects be exactly these and waits until every sidecar follows them."""

    def __init__(self, plane: ControlPlane, namespaces: Mapping[str, Namespace], loop: Loop, apps: PodApps) -> None:
        self.plane = plane
        self.apps = apps
        self.loop = loop
        self.secrets = sds.Secrets()
        self.sidecars: list[Sidecar] = []
        self.services: dict[str, str] = {}
        self._namespaces = namespaces
        self._standing: dict[Key, Manifest] = {}
        self._fence = 0

    def line(self, pod: str, service: str, port: int) -> Line:
        """How a Pod calls a Service."""
        return Line(self._namespaces[pod], self.services[service], port)

    def direct(self, pod: str, callee: str, port: int) -> Line:
        """How a Pod calls another one at its own address."""
        address = next(one.address for one in PODS if one.name == callee)
        return Line(self._namespaces[pod], address, port)

    def certified(self, spiffe: str, callee: str, port: int, protocol: str, *, foreign: bool = False) -> Line:
        """How somebody without a sidecar, but with a certificate, calls a Pod; ALPN tells its sidecar what is spoken."""
        line = self.direct(OUTSIDER, callee, port)
        return replace(line, tls=self.secrets.context(spiffe, protocol, foreign=foreign))

    def encrypted(self, line: Line, sni: str) -> Line:
        """The same, with TLS between the applications, through the sidecars."""
        return replace(line, tls=own_tls.caller(), sni=sni)

    def serve_tls(self, pod: str, port: int) -> None:
        """Let the application of a Pod answer on one more port, within TLS that ends in it."""
        listener = self._namespaces[pod].listener(port)
        self.loop.wait(self.apps.serve(f"{NAMESPACE}/{pod}:{port}", listener, own_tls.application()))

    def put(self, natives: Iterable[Manifest]) -> None:
        """Replace Istio's objects and wait: known to istiod, sent, accepted, old connections drained."""
        wanted = {_key(one): one for one in natives}
        versions = {key: self.plane.kube.apply(one)["metadata"]["resourceVersion"] for key, one in wanted.items()}
        gone = self._standing.keys() - wanted.keys()
        for key in gone:
            self.plane.kube.delete(self._standing[key])
        self._standing = wanted
        self._until("istiod knows the objects", lambda: self._knows(versions, gone))
        self.fence()
        self.drained()

    def fence(self) -> None:
        """Wait until every sidecar has what istiod knew before this call: a host of no importance comes last."""
        self._fence += 1
        self.plane.kube.apply(_fence(self._fence))
        mark = f"fence-{self._fence}-end"
        self._until("every sidecar got the newest routes", lambda: all(mark in routes(one) for one in self.sidecars))
        self._until("every sidecar accepted what was sent", self.is_synced)

    def drained(self) -> None:
        """Wait until no connection is left that an older configuration serves."""
        time.sleep(0.1)  # workers take over what the main thread has accepted
        self._until("old connections are closed", lambda: not any(one.draining() for one in self.sidecars))

    def is_synced(self) -> bool:
        """Whether istiod saw every sidecar accept all that it sent."""
        found = [one for one in self.plane.page("syncz") if one]
        return len(found) == len(self.sidecars) and all(map(_is_accepted, found))

    def rejections(self) -> dict[str, int]:
        """What istiod or an Envoy has counted as refused, by counter; empty if nothing was."""
        counted = {"pilot_total_xds_rejects": int(self.plane.metric("pilot_total_xds_rejects"))}
        for one in self.sidecars:
            stats = one.stats("(update_rejected|config_fail|lds_update_failure)$")
            counted |= {f"{one.node.pod}: {name}": value for name, value in stats.items()}
        return {name: value for name, value in counted.items() if value}

    def _knows(self, versions: Mapping[Key, str], gone: Iterable[Key]) -> bool:
        known = self.plane.versions()
        return all(known.get(key) == version for key, version in versions.items()) and not (known.keys() & set(gone))

    def _until(self, what: str, done: Any) -> None:
        programs = [*self.plane.programs, *(one.program for one in self.sidecars)]
        wait_until(what, done, 30, *programs)


def routes(sidecar: Sidecar) -> str:
    """The routes that a sidecar follows, as text."""
    return sidecar.get("/config_dump?resource=dynamic_route_configs")


def _is_accepted(status: Mapping[str, Any]) -> bool:
    return all(status.get(f"{kind}_sent") == status.get(f"{kind}_acked") for kind in _KINDS)


_KINDS = ("cluster", "listener", "route", "endpoint")


def _key(manifest: Manifest) -> Key:
    meta = manifest["metadata"]
    return manifest["kind"], meta.get("namespace", "default"), meta["name"]


def _fence(number: int) -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "fence", "namespace": NAMESPACE},
        "spec": {
            "hosts": [FENCE],
            "http": [{"directResponse": {"status": 200, "body": {"string": f"fence-{number}-end"}}}],
        },
    }


@contextmanager
def standing(
    folder: Path, services: Sequence[Mapping[str, Any]], settings: Mapping[str, Any] | None = None
) -> Iterator[Mesh]:
    """Start everything and wait until every sidecar serves; logs stay in the folder. `settings` are of Istio's MeshConfig."""
    check_tools({**SETPRIV, "ip": "iproute2", "iptables": "iptables"})
    with ExitStack() as stack:
        plane = stack.enter_context(control_plane(folder, settings))
        addresses = {pod.name: pod.address for pod in PODS}
        captured = [pod.name for pod in PODS if pod.captured]
        joined = stack.enter_context(network(addresses, captured))
        namespaces = joined.pods
        loop, apps = Loop(), PodApps()
        stack.callback(loop.close)
        mesh = Mesh(plane, namespaces, loop, apps)
        _populate(mesh, services)
        joined.publish(_reached(mesh, services))
        _serve(mesh, namespaces, stack)
        _sidecars(mesh, namespaces, folder, stack)
        yield mesh


def _populate(mesh: Mesh, services: Sequence[Mapping[str, Any]]) -> None:
    """Write the objects that stand the whole time."""
    kube = mesh.plane.kube
    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    for account in sorted({pod.account for pod in PODS}):
        meta = {"name": account, "namespace": NAMESPACE}
        kube.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
    for pod in PODS:
        kube.apply(pod.manifest())
        kube.set_status(pod.manifest(), pod.status())
    for one in services:
        mesh.services[one["metadata"]["name"]] = kube.apply(one)["spec"]["clusterIP"]
    for one in slices(services):
        kube.apply(one)


def _reached(mesh: Mesh, services: Sequence[Mapping[str, Any]]) -> dict[Address, list[Address]]:
    """The Pods behind each port of each Service, by addresses."""
    found: dict[Address, list[Address]] = {}
    for one, each in zip(services, slices(services), strict=True):
        for port, target in zip(one["spec"]["ports"], each["ports"], strict=True):
            pods = [(endpoint["addresses"][0], target["port"]) for endpoint in each["endpoints"]]
            address = mesh.services[one["metadata"]["name"]]
            if address != "None":
                found[address, port["port"]] = pods
    return found


def _serve(mesh: Mesh, namespaces: Mapping[str, Namespace], stack: ExitStack) -> None:
    """Start the applications."""
    stack.callback(lambda: mesh.loop.wait(mesh.apps.stop()))
    for pod in PODS:
        for port in PORTS.values():
            listener = namespaces[pod.name].listener(port)
            mesh.loop.wait(mesh.apps.serve(f"{NAMESPACE}/{pod.name}:{port}", listener))


def _sidecars(mesh: Mesh, namespaces: Mapping[str, Namespace], folder: Path, stack: ExitStack) -> None:
    """Start the sidecars, and what they need from the node."""
    xds, secrets = folder / "xds", folder / "sds"
    server = mesh.loop.wait(sds.forwarding(xds, mesh.plane.xds_port))
    stack.callback(lambda: mesh.loop.wait(_closed(server)))
    stack.enter_context(sds.serving(mesh.secrets, secrets))
    for pod in PODS:
        if pod.captured:
            node = Node(
                NAMESPACE, pod.name, pod.account, pod.address, pod.manifest()["metadata"]["labels"], xds, secrets
            )
            made = start_sidecar(namespaces[pod.name], node, folder)
            stack.callback(made.stop)
            mesh.sidecars.append(made)
    programs = [one.program for one in mesh.sidecars]
    wait_until("every sidecar serves", lambda: all(one.is_ready() for one in mesh.sidecars), 60, *programs)


async def _closed(server: asyncio.Server) -> None:
    server.close()


def shown(value: Any) -> str:
    """A value for people to read in a failure."""
    return json.dumps(value, indent=1, sort_keys=True)
