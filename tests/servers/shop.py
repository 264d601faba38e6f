"""A small shop on real Envoys: `web` and `peer` call two HTTP ports and two raw ports of `api`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.servers.live_mesh import LiveMesh, free_octet
from tests.servers.many_apps import Apps
from tests.servers.raw_calls import Door

PORTS = {"http": 8080, "other-http": 9090, "tcp": 5432, "other-tcp": 5433}
LOCAL = 20001
WORKLOADS = ("shop/api", "shop/web", "shop/peer")

SERVICES = """\
apiVersion: v1
kind: Service
metadata: {name: api, namespace: shop}
spec:
  selector: {app: api}
  ports: [{name: http-a, port: 8080}, {name: http-b, port: 9090}, {name: tcp-a, port: 5432}, {name: tcp-b, port: 5433}]
---
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: all, namespace: shop}
spec: {matches: [{name: all, pathRegex: "/.*", methods: ["*"]}]}
---
apiVersion: specs.smi-spec.io/v1alpha4
kind: TCPRoute
metadata: {name: raw, namespace: shop}
spec: {}
"""
WORKLOAD = """\
apiVersion: smihub.io/v1alpha1
kind: Workload
metadata: {{name: {name}, namespace: shop, labels: {{app: {name}}}}}
spec:
  serviceAccount: {name}
  addresses: [127.{octet}.0.{number}]
"""
GRANT = """\
apiVersion: access.smi-spec.io/v1alpha2
kind: TrafficTarget
metadata: {{name: "{account}-{port}", namespace: shop}}
spec:
  destination: {{kind: ServiceAccount, name: api, namespace: shop, port: {port}}}
  sources: [{{kind: ServiceAccount, name: {account}, namespace: shop}}]
  rules: [{{kind: {kind}, name: {rule}}}]
"""


def grant(account: str, port: str) -> str:
    """A TrafficTarget for one account at one port."""
    kind, rule = ("HTTPRouteGroup", "all") if "http" in port else ("TCPRoute", "raw")
    return GRANT.format(account=account, kind=kind, rule=rule, port=PORTS[port])


def workload(name: str, number: int, octet: int) -> str:
    """A Workload: `api` receives, the others call it on every port."""
    text = WORKLOAD.format(name=name, number=number, octet=octet)
    if name == "api":
        ports = ", ".join(f"{{port: {port}, appAddress: 127.{octet}.1.{number}}}" for port in PORTS.values())
        return f"{text}  ports: [{ports}]\n"
    called = ", ".join(
        f"{{service: api, port: {port}, address: 127.{octet}.2.{number}, localPort: {LOCAL + index}, shared: host}}"
        for index, port in enumerate(PORTS.values())
    )
    return f"{text}  upstreams: [{called}]\n"


def folder(octet: int) -> dict[str, str]:
    """Web and peer may call every port of api; `revoked.yaml` is what web will lose."""
    names = ("api", "web", "peer")
    kept = [grant("web", "other-http"), grant("web", "other-tcp"), *(grant("peer", port) for port in PORTS)]
    return {
        "services.yaml": SERVICES,
        "workloads.yaml": "---\n".join(workload(name, index + 1, octet) for index, name in enumerate(names)),
        "kept.yaml": "---\n".join(kept),
        "revoked.yaml": "---\n".join([grant("web", "http"), grant("web", "tcp")]),
    }


class Shop:
    """The mesh, its applications, and where its callers find it."""

    def __init__(self, mesh: LiveMesh, apps: Apps, octet: int) -> None:
        self.mesh = mesh
        self.apps = apps
        self.octet = octet

    def door(self, caller: str, port: str) -> Door:
        """Where a caller's sidecar listens for a port of `api`."""
        return Door(f"127.{self.octet}.2.{('api', 'web', 'peer').index(caller) + 1}", LOCAL + list(PORTS).index(port))


@asynccontextmanager
async def standing(root: Path, *, greets: bool = False) -> AsyncIterator[Shop]:
    """The shop with an Envoy beside each workload, served and programmed; `greets`: what is behind raw ports speaks first."""
    octet = free_octet([*PORTS.values(), *range(LOCAL, LOCAL + len(PORTS))], 3)
    apps, mesh = Apps(), LiveMesh(root)
    try:
        for port in PORTS.values():
            await apps.start(f"api:{port}", (f"127.{octet}.1.1", port))
        if greets:
            apps.greets = {(f"127.{octet}.1.1", PORTS[port]) for port in ("tcp", "other-tcp")}
        mesh.replace(folder(octet))
        await mesh.apply()
        await mesh.serve()
        for name in WORKLOADS:
            line = mesh.enrol(name)
            assert line[line.index("--concurrency") + 1] == "2", "one worker has every connection"
            await mesh.start(name, line)
        for envoy in mesh.envoys.values():
            await envoy.ready()
        await mesh.settled()
        yield Shop(mesh, apps, octet)
    finally:
        await mesh.stop()
        await apps.stop()
