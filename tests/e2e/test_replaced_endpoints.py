"""Backends that are replaced while requests flow: endpoints travel beside the plan and reach a real client's Envoy."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.servers.live_mesh import LiveMesh, free_octet
from tests.servers.many_apps import Apps
from tests.servers.one_grant import POLICY
from tests.servers.raw_calls import Ask, Door, http1

pytestmark = pytest.mark.envoy
REPLACEMENTS = 40
PORT, LOCAL = 8080, 20001
WORKLOAD = """\
apiVersion: smihub.io/v1alpha1
kind: Workload
metadata: {{name: {name}, namespace: shop, labels: {labels}}}
spec: {{serviceAccount: {account}, addresses: [127.{octet}.0.{number}], {more}}}
"""
POD = """\
apiVersion: v1
kind: Pod
metadata: {{name: api-{count}, namespace: shop, labels: {{app: api}}}}
spec: {{serviceAccountName: api, containers: [{{name: main, ports: [{{containerPort: 8080}}]}}]}}
status: {{podIP: 127.{octet}.0.{number}, conditions: [{{type: Ready, status: "True"}}]}}
"""


class Site:
    """One caller, and two machines on which Pods come and go."""

    def __init__(self, mesh: LiveMesh, apps: Apps, octet: int) -> None:
        self.mesh = mesh
        self.apps = apps
        self.octet = octet
        self.served: Counter[str] = Counter()

    @property
    def door(self) -> Door:
        """Where the caller's sidecar listens for the Service."""
        return Door(f"127.{self.octet}.2.1", LOCAL)

    def files(self, count: int) -> dict[str, str]:
        """The folder with the count-th Pod, which stands on the second or the third machine."""
        call = f"upstreams: [{{service: api, port: {PORT}, address: 127.{self.octet}.2.1, localPort: {LOCAL}, shared: host}}]"
        workloads = [WORKLOAD.format(name="web", labels="{}", account="web", octet=self.octet, number=1, more=call)]
        for number in (2, 3):
            ports = f"ports: [{{port: {PORT}, appProtocol: http, appAddress: 127.{self.octet}.1.{number}}}]"
            workloads.append(
                WORKLOAD.format(
                    name=f"host-{number}", labels="{}", account="api", octet=self.octet, number=number, more=ports
                )
            )
        pod = POD.format(count=count, octet=self.octet, number=2 + count % 2)
        return {"policy.yaml": POLICY, "workloads.yaml": "---\n".join(workloads), "pod.yaml": pod}

    async def flow(self, done: asyncio.Event) -> None:
        """Requests without a pause; an answer that is no application's counts as an error."""
        while not done.is_set():
            outcome = await http1(self.door, Ask("GET", "/v1"))
            self.served[outcome.app or f"error {outcome.status}"] += 1

    async def arrives(self, app: str) -> None:
        """Wait until only this application answers."""
        async with asyncio.timeout(10):
            while any([(await http1(self.door, Ask("GET", "/v1"))).app != app for _ in range(3)]):  # noqa: ASYNC110 - polls
                await asyncio.sleep(0.01)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """Three Envoys, programmed, with the first Pod in place."""
    octet = free_octet([PORT, LOCAL], 3)
    apps, mesh = Apps(), LiveMesh(tmp_path)
    made = Site(mesh, apps, octet)
    try:
        for number in (2, 3):
            await apps.start(f"app-{number}", (f"127.{octet}.1.{number}", PORT))
        mesh.replace(made.files(0))
        await mesh.apply()
        await mesh.serve()
        for name in ("shop/web", "shop/host-2", "shop/host-3"):
            await mesh.start(name, mesh.enrol(name))
        for envoy in mesh.envoys.values():
            await envoy.ready()
        await mesh.settled()
        yield made
    finally:
        await mesh.stop()
        await apps.stop()


async def test_replaced_pods_reach_a_real_client_without_an_error(site: Site) -> None:
    """Each replacement changes no object of the plan, arrives by EDS, and costs the running requests nothing."""
    await site.arrives("app-2")
    done = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(site.flow(done))
        for count in range(1, REPLACEMENTS + 1):
            site.mesh.replace(site.files(count))
            assert await site.mesh.apply() == 0
            await site.arrives(f"app-{2 + count % 2}")
        done.set()
    print(f"{REPLACEMENTS} replacements: {dict(site.served)}")  # noqa: T201 - what was measured
    assert set(site.served) == {"app-2", "app-3"}
    assert min(site.served.values()) > REPLACEMENTS
