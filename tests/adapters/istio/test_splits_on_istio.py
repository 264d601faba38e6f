"""Which splits sidecars carry out, by what Services say of themselves. Observed on a real mesh.

Each kind of Service port that Istio knows has a number here; the same Services are the backends of every root.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Literal

import pytest

from adapters.istio.plugin import SPEC
from hub.model import Request
from tests.servers.istio.callers import Line, many, tcp
from tests.servers.istio.judging import IstioJudge
from tests.servers.istio.mesh import Mesh, standing
from tests.servers.istio.pods import slices
from tests.servers.istio.trying import ask_of, unlikely
from tests.servers.istio.worlds import SERVICES
from tests.servers.worlds import NAMESPACE, World, bytes_to, call, group, ports, service, split, target

pytestmark = pytest.mark.istio
TIMES = 200
UDP = "istio.port-called-udp"
Way = Literal["tls", "bytes", "http"]
TLS_APP, RAW_APP, HTTP_APP, UNHEARD_APP = 8443, 7070, 8080, 9090
WORDS = {
    443: ("https", "", TLS_APP),
    444: ("tls-a", "", TLS_APP),
    445: ("a445", "kubernetes.io/wss", TLS_APP),
    446: ("a446", "HTTPS-a", TLS_APP),
    447: ("https-a", "tcp", TLS_APP),
    500: ("a500", "http", HTTP_APP),
    501: ("a501", "http2", HTTP_APP),
    502: ("a502", "grpc", HTTP_APP),
    503: ("grpc-web-a", "", HTTP_APP),
    504: ("a504", "kubernetes.io/h2c", HTTP_APP),
    505: ("a505", "kubernetes.io/ws", HTTP_APP),
    506: ("a506", "http_proxy", HTTP_APP),
    507: ("a507", "http-a", HTTP_APP),
    600: ("a600", "mongo", RAW_APP),
    601: ("a601", "mysql", RAW_APP),
    602: ("a602", "redis", RAW_APP),
    700: ("udp-a", "", UNHEARD_APP),
    701: ("a701", "udp", UNHEARD_APP),
    HTTP_APP: ("http", "", HTTP_APP),
    RAW_APP: ("tcp", "", RAW_APP),
}
"""By Service port: its name, its appProtocol, and the workload port that it leads to."""
ROOT = {"app": "api", "version": "v1"}
APPS = {"root": "api-v1-1", "away": "api-v1-1", "a": "orders-1", "b": "catalog-1", "listed": "orders-1"}
HALVES = {"away": {"a-away": 1, "b": 1}, "by-list": {"listed": 1, "b": 1}, "by-alias": {"alias": 1, "b": 1}}


def spoken_to(name: str, selector: dict[str, str], **more: Any) -> dict[str, Any]:
    """A Service with all of these ports."""
    made = service(name, selector, *((called, number, to) for number, (called, _, to) in WORDS.items()))
    declared = [
        {**port, **({"appProtocol": word} if word else {})}
        for port, (_, word, _) in zip(made["spec"]["ports"], WORDS.values(), strict=True)
    ]
    return {**made, "spec": {**made["spec"], "ports": declared, **more}}


LISTED = spoken_to("listed", {"app": "orders"})
LISTS = tuple(slices([LISTED]))
LISTED["spec"].pop("selector")
ALIAS = spoken_to("alias", {}, type="ExternalName", externalName="a.shop.svc.cluster.local")
STANDING = (
    *(spoken_to(name, ROOT) for name in ("root", *HALVES)),
    spoken_to("no-address", ROOT, clusterIP="None"),
    spoken_to("a", {"app": "orders"}),
    spoken_to("b", {"app": "catalog"}),
    spoken_to("a-away", {"app": "orders"}, clusterIP="None"),
)
WORLD = World(
    "splits",
    (
        *STANDING,
        LISTED,
        *LISTS,
        ALIAS,
        group("any", {"pathRegex": "/.*"}),
        ports("raw", TLS_APP, RAW_APP, UNHEARD_APP),
        *(target(name, name, ["web"], "http:any") for name in ("api", "orders", "catalog")),
        *(target(f"{name}-raw", name, ["web"], "tcp:raw") for name in ("api", "orders", "catalog")),
        *(split(name, name, {"a": 1, "b": 3}) for name in ("root", "no-address")),
        *(split(name, name, halves) for name, halves in HALVES.items()),
    ),
    (),
)


@pytest.fixture(scope="module")
def judge() -> IstioJudge:
    """What SMI says of this world, and what becomes of it."""
    return IstioJudge(WORLD, SPEC)


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory, judge: IstioJudge) -> Iterator[Mesh]:
    """One mesh for this file, with TLS applications beside the usual ones."""
    with standing(tmp_path_factory.mktemp("istio"), (*SERVICES, *STANDING)) as running:
        for one in (LISTED, *LISTS, ALIAS):
            running.plane.kube.apply(one)
        for pod in ("api-v1-1", "orders-1", "catalog-1"):
            running.serve_tls(pod, TLS_APP)
        running.put(judge.natives)
        yield running
        assert running.rejections() == {}


def counted(mesh: Mesh, line: Line, request: Request) -> Counter[str]:
    """Whose applications answered; "" is nobody."""
    if request.protocol == "tcp":
        outcomes = [mesh.loop.wait(tcp(line)) for _ in range(TIMES)]
    else:
        outcomes = mesh.loop.wait(many(line, [ask_of(request, "")] * TIMES))
    return Counter(one.app.removeprefix(f"{NAMESPACE}/").partition(":")[0] for one in outcomes)


def line_to(mesh: Mesh, root: str, port: int) -> Line:
    """How `web` calls a root; one without an address is called at a Pod's."""
    return mesh.direct("web-1", "api-v1-1", port) if root == "no-address" else mesh.line("web-1", root, port)


SPLIT, WHOLE = {"a": "1/4", "b": "3/4"}, {"root": "1"}
KINDS: list[tuple[int, Way, dict[str, str], str]] = [
    *((port, "tls", WHOLE, "istio.tls-not-split") for port in (443, 444, 445, 446)),
    (447, "tls", SPLIT, ""),
    *((port, "http", SPLIT, "") for port in (500, 501, 502, 503, 504, 505, 506, 507, HTTP_APP)),
    *((port, "bytes", SPLIT, "") for port in (600, 601, 602, RAW_APP)),
    *((port, "bytes", WHOLE, UDP) for port in (700, 701)),
]


@pytest.mark.parametrize(("port", "way", "weights", "loss"), KINDS)
def test_split_by_each_word_that_istio_knows(
    mesh: Mesh, judge: IstioJudge, port: int, way: Way, weights: dict[str, str], loss: str
) -> None:
    """What `explain` says is what happens, and where that is not what SMI means, there is a loss. TLS: with and without a name."""
    request = call("web-1", "root", port, "/a") if way == "http" else bytes_to("web-1", "root", port)
    said = judge.predicted(request)
    assert (said.weights, said.verdict) == (weights, "deny" if loss == UDP else "allow")
    assert loss in said.losses if loss else not said.losses
    expected = {APPS[name]: Fraction(share) for name, share in weights.items()}
    line = mesh.line("web-1", "root", port)
    lines = [mesh.encrypted(line, name) for name in ("", "elsewhere.example")] if way == "tls" else [line]
    for each in lines:
        found = counted(mesh, each, request)
        assert unlikely(found, expected if said.verdict == "allow" else {"": Fraction(1)}) == []


@pytest.mark.parametrize("way", ["bytes", "http"])
@pytest.mark.parametrize(
    ("root", "expected", "loss"),
    [
        ("away", {"api-v1-1": 1}, "istio.headless-backend"),
        ("no-address", {"orders-1": Fraction(1, 4), "catalog-1": Fraction(3, 4)}, ""),
        ("by-list", {"orders-1": Fraction(1, 2), "catalog-1": Fraction(1, 2)}, ""),
        ("by-alias", {"catalog-1": 1}, ""),
    ],
)
def test_split_by_each_kind_of_service(
    mesh: Mesh, judge: IstioJudge, root: str, way: Way, expected: dict[str, Fraction], loss: str
) -> None:
    """A headless backend loses the split; a headless root, a backend without selector do not; an ExternalName gets nothing."""
    port = HTTP_APP if way == "http" else RAW_APP
    request = call("web-1", root, port, "/a") if way == "http" else bytes_to("web-1", root, port)
    said = judge.predicted(request)
    assert said.verdict == "allow"
    assert loss in said.losses if loss else not said.losses
    shares: Counter[str] = Counter()
    for name, share in (said.weights or {}).items():
        shares[APPS.get(name, "api-v1-1")] += Fraction(share)  # type: ignore[assignment] # a share is no whole number
    assert shares == expected
    assert unlikely(counted(mesh, line_to(mesh, root, port), request), expected) == []


def _route(root: str, shares: dict[str, int], kind: str, match: dict[str, Any]) -> dict[str, Any]:
    """A VirtualService as smihub does not write it."""
    host = "{}.shop.svc.cluster.local".format
    to = [
        {"destination": {"host": host(name), "port": {"number": match["port"]}}, "weight": weight}
        for name, weight in shares.items()
    ]
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": f"smihub-{root}", "namespace": NAMESPACE},
        "spec": {"hosts": [host(root)], kind: [{"match": [match], "route": to}]},
    }


def test_routes_that_are_not_written_would_not_do(mesh: Mesh, judge: IstioJudge) -> None:
    """Why these are losses: the share of a headless backend is lost, and a `tls` route cuts off who asks for another name."""
    policies = [one for one in judge.natives if one["kind"] != "VirtualService"]
    named = "root.shop.svc.cluster.local"
    away = _route("away", {"a-away": 1, "b": 1}, "http", {"port": HTTP_APP})
    mesh.put([*policies, away, _route("root", {"a": 1, "b": 3}, "tls", {"port": 443, "sniHosts": [named]})])
    found = counted(mesh, mesh.line("web-1", "away", HTTP_APP), call("web-1", "away", HTTP_APP, "/a"))
    assert unlikely(found, {"": Fraction(1, 2), "catalog-1": Fraction(1, 2)}) == []
    request, line = bytes_to("web-1", "root", 443), mesh.line("web-1", "root", 443)
    assert (
        unlikely(
            counted(mesh, mesh.encrypted(line, named), request),
            {"orders-1": Fraction(1, 4), "catalog-1": Fraction(3, 4)},
        )
        == []
    )
    assert counted(mesh, mesh.encrypted(line, "root.shop"), request) == {"": TIMES}
    assert counted(mesh, mesh.encrypted(line, ""), request) == {"": TIMES}
    mesh.put(judge.natives)
