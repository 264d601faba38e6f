"""How a receiver's sidecar takes a port that Services declare in odd ways. Observed on a real mesh.

`hub.intent` tells an adapter the Service ports that lead to a workload port; what Istio makes of them is tried here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import pytest

from adapters.istio.plugin import SPEC
from hub.model import Destination, Request, Source
from tests.servers.istio.callers import http, tcp
from tests.servers.istio.judging import IstioJudge
from tests.servers.istio.mesh import Mesh, standing
from tests.servers.istio.pods import PODS, slices
from tests.servers.istio.worlds import SERVICES
from tests.servers.raw_calls import Ask
from tests.servers.worlds import NAMESPACE, World, group, ports, service, spiffe, target

pytestmark = pytest.mark.istio


def sliced(name: str, pod: str, port: tuple[str, int, int]) -> list[dict[str, Any]]:
    """A Service without a selector, and the slice that makes a Pod stand behind it."""
    labels = next(one.labels for one in PODS if one.name == pod)
    found = service(name, labels, port)
    (slice_,) = slices([found])
    spec = {key: value for key, value in found["spec"].items() if key != "selector"}
    return [{**found, "spec": spec}, slice_]


def declared(name: str, pod: str, words: dict[int, str]) -> dict[str, Any]:
    """A Service before a Pod, whose ports (by container port) say these words as `appProtocol`."""
    found = service(name, {"app": pod}, *((f"p{to}", 100 + place, to) for place, to in enumerate(words)))
    for port in found["spec"]["ports"]:
        port["appProtocol"] = words[port["targetPort"]]
    return found


ODD = (
    declared("words", "ledger", {8080: "tcp-x", 9090: "http-x", 7070: "http_proxy"}),
    service("by-number", {"app": "orders"}, ("main", 3306, 7070)),
    service("says-http", {"app": "orders"}, ("http-x", 81, 9090)),
    service("says-tcp", {"app": "orders"}, ("tcp-x", 82, 9090)),
    *sliced("listed", "partner-1", ("tcp-x", 83, 7070)),
)
WORLD = World(
    "ports",
    (
        *ODD,
        group("any", {"pathRegex": "/.*"}),
        ports("raw", 7070, 9090),
        ports("all", 7070, 8080, 9090),
        target("ledger-odd", "ledger", ["web"], "http:any"),
        target("ledger-odd-raw", "ledger", ["orders"], "tcp:all"),
        target("orders", "orders", ["web"], "http:any"),
        target("orders-raw", "orders", ["partner"], "tcp:raw"),
        target("partner", "partner", ["web"], "http:any"),
        target("partner-raw", "partner", ["orders"], "tcp:raw"),
    ),
    (),
)


@pytest.fixture(scope="module")
def judge() -> IstioJudge:
    """What SMI says of this world, and what becomes of it."""
    return IstioJudge(WORLD, SPEC)


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory, judge: IstioJudge) -> Iterator[Mesh]:
    """One mesh for this file, with odd Services beside the usual ones."""
    with standing(tmp_path_factory.mktemp("istio"), SERVICES) as running:
        for one in ODD:
            running.plane.kube.apply(one)
        running.put(judge.natives)
        yield running
        assert running.rejections() == {}


@pytest.mark.parametrize(
    ("source", "pod", "port", "protocol", "served"),
    [
        ("web", "orders-1", 7070, "http", False),  # undeclared, but the Service port's number makes it TCP
        ("partner", "orders-1", 7070, "tcp", True),
        ("web", "orders-1", 9090, "http", False),  # two Services disagree: one of them wins, and nobody knows which
        ("partner", "orders-1", 9090, "tcp", False),
        ("web", "partner-1", 7070, "http", False),  # a Service without a selector declares it by a slice
        ("orders", "partner-1", 7070, "tcp", True),
        ("web", "partner-1", 9090, "http", True),  # nobody declares it
        ("orders", "partner-1", 9090, "tcp", True),
        ("partner", "partner-1", 9090, "http", False),
        ("web", "ledger-1", 8080, "http", False),  # "tcp-x" declares nothing to SMI, and TCP to Istio
        ("orders", "ledger-1", 8080, "tcp", True),
        ("web", "ledger-1", 9090, "http", True),  # "http-x" is HTTP to Istio
        ("orders", "ledger-1", 9090, "tcp", False),
        ("web", "ledger-1", 7070, "http", True),  # and so is "http_proxy"
        ("orders", "ledger-1", 7070, "tcp", False),
    ],
)
def test_port_when_services_declare_it_oddly(
    mesh: Mesh, judge: IstioJudge, source: str, pod: str, port: int, protocol: Literal["http", "tcp"], *, served: bool
) -> None:
    """What the adapter says of it is what Istio does, and where SMI allows more, there is a loss."""
    place = Destination(pod=f"{NAMESPACE}/{pod}")
    request = Request(Source(identity=f"{NAMESPACE}/{source}"), place, port, protocol, "GET", "/a")
    smi, said = judge._semantics.judge(request), judge.predicted(request)
    assert (said.verdict == "allow") == served
    assert smi.verdict == said.verdict or (said.verdict == "deny" and said.losses)
    if protocol == "http":
        reached = mesh.loop.wait(http(mesh.certified(spiffe(source), pod, port, "istio-http/1.1"), Ask("GET", "/a")))
    else:
        reached = mesh.loop.wait(tcp(mesh.certified(spiffe(source), pod, port, "istio")))
    assert reached.served == served
