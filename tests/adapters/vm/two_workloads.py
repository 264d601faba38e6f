"""Two workloads of an Envoy server's tests: `api` receives, `web` calls; neither is sent what is the other's."""

from __future__ import annotations

import grpc

from adapters.vm import names
from tests.servers.xds import Client, Rig, stump, workload

API = [
    workload("d/api", "api", names.ref("Listener", "l")),
    stump("Listener", "l", names.ref("RouteConfiguration", "r")),
    stump("RouteConfiguration", "r", names.ref("Cluster", "c")),
    stump("Cluster", "c"),
]
WEB = [workload("d/web", "web", names.ref("Cluster", "w")), stump("Cluster", "w")]
METHODS = ["DeltaAggregatedResources", "StreamAggregatedResources"]


async def tokens_are_refused(rig: Rig, token: str | None, node: str, code: grpc.StatusCode) -> None:
    """A stream with this token and node ends with this code and without one response.

    A stream that is not admitted needs no request: gRPC's Python client says INTERNAL if its end meets one on its way.
    """
    for method in METHODS:
        client = Client(rig.address, token, method)
        if code not in {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNAVAILABLE}:
            await client.ask("Secret", node)
        assert await client.ending() == (0, code)
        await client.close()
