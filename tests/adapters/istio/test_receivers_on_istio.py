"""What the sidecar of a receiver makes of callers by their certificate alone, and of odd requests. Observed on a real mesh.

A caller here has no sidecar: it speaks mutual TLS itself, and ALPN says what it will speak. Ports that no Service declares
(7070) are told apart by that.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from adapters.istio.plugin import SPEC
from hub.model import Request
from tests.servers.istio.callers import Line, http, http2, tcp
from tests.servers.istio.judging import IstioJudge
from tests.servers.istio.mesh import OUTSIDER, Mesh, standing
from tests.servers.istio.trying import tried
from tests.servers.istio.worlds import SERVICES
from tests.servers.raw_calls import Ask, Outcome
from tests.servers.worlds import Lines, World, call, group, ports, spiffe, target

pytestmark = pytest.mark.istio
HTTP, BYTES = "istio-http/1.1", "istio"
GET = Ask("GET", "/v1/a")
WORLD = World(
    "receivers",
    (
        group("v1", {"pathRegex": "/v1/.*"}),
        group("agent", {"pathRegex": "/agent", "headers": {"user-agent": "gold.*"}}),
        group("any", {"pathRegex": "/.*"}),
        group("read", {"pathRegex": "/read", "methods": ["GET"]}),
        ports("raw", 5432, 7070),
        target("api", "api", ["web"], "http:v1", "http:agent", "http:read"),
        target("api-raw", "api", ["partner"], "tcp:raw"),
        target("orders", "orders", ["web"], "http:any"),
    ),
    (),
)


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """One mesh for this file, in one world; its logs stay in the temporary folder."""
    with standing(tmp_path_factory.mktemp("istio"), SERVICES) as running:
        running.put(IstioJudge(WORLD, SPEC).natives)
        yield running
        assert running.rejections() == {}


def sent(mesh: Mesh, line: Line, ask: Ask | None = GET) -> Outcome:
    """How a request (None: a line of text) ends."""
    return mesh.loop.wait(tcp(line) if ask is None else http(line, ask))


@pytest.mark.parametrize(
    ("uri", "status"),
    [
        (spiffe("web"), 200),
        (spiffe("partner"), 403),
        (spiffe("api"), 403),
        (spiffe("web") + "/", 403),
        (spiffe("web") + "/x", 403),
        (spiffe("web2"), 403),
        ("spiffe://cluster.local/ns/other/sa/web", 403),
        ("spiffe://cluster.local/x/ns/shop/sa/web", 403),
        ("spiffe://cluster.local//ns/shop/sa/web", 403),
        ("spiffe://CLUSTER.local/ns/shop/sa/web", 0),
        ("spiffe://partner.example/ns/shop/sa/web", 0),
    ],
)
def test_caller_when_only_its_certificate_speaks(mesh: Mesh, uri: str, status: int) -> None:
    """Exactly the identity that is granted gets in; another trust domain does not even get through the handshake."""
    assert sent(mesh, mesh.certified(uri, "api-v1-1", 8080, HTTP)).status == status


def test_caller_when_another_authority_vouches_for_it(mesh: Mesh) -> None:
    """A certificate with the right name, issued by somebody else, is no certificate."""
    assert not sent(mesh, mesh.certified(spiffe("web"), "api-v1-1", 8080, HTTP, foreign=True)).served


@pytest.mark.parametrize(
    ("account", "protocol", "ask", "status"),
    [
        ("web", HTTP, GET, 200),
        ("web", HTTP, Ask("GET", "/x"), 403),
        ("web", HTTP, None, 0),
        ("web", BYTES, GET, 0),
        ("web", BYTES, None, 0),
        ("partner", HTTP, GET, 200),
        ("partner", BYTES, GET, 200),
        ("partner", BYTES, None, 200),
        ("orders", HTTP, GET, 403),
        ("orders", BYTES, None, 0),
    ],
)
def test_port_when_nobody_declares_it(mesh: Mesh, account: str, protocol: str, ask: Ask | None, status: int) -> None:
    """HTTP grants admit what is announced as HTTP, grants of raw bytes both; HTTP in disguise gains nothing."""
    assert sent(mesh, mesh.certified(spiffe(account), "api-v1-1", 7070, protocol), ask).status == status


@pytest.mark.parametrize(("method", "status"), [("GET", 200), ("get", 403), ("Get", 403), ("GET ", 0), ("POST", 403)])
def test_method_when_its_letters_have_another_case_over_http2(mesh: Mesh, method: str, status: int) -> None:
    """A grant for GET is none for get: methods are compared letter by letter (RFC 9110, 9.1)."""
    line = mesh.certified(spiffe("web"), "api-v1-1", 8080, "istio-h2")
    assert mesh.loop.wait(http2(line, Ask(method, "/read"))).status == status


@pytest.mark.parametrize("pod", ["web-1", "partner-1", OUTSIDER])
@pytest.mark.parametrize("port", [8080, 9090, 5432, 7070])
def test_pod_when_it_is_called_at_its_own_address(mesh: Mesh, pod: str, port: int) -> None:
    """A sidecar passes such a call on in plain text, without an identity; mutual TLS only refuses it."""
    assert not sent(mesh, mesh.direct(pod, "api-v1-1", port)).served
    assert not sent(mesh, mesh.direct(pod, "api-v1-1", port), None).served


def _web(path: str, method: str = "GET", headers: Lines = (), service: str = "api") -> Request:
    return call("web-1", service, 80, path, method, headers)


ODD = [
    (_web("http://api.shop.svc.cluster.local/v1/a"), 200, "api"),
    (_web("http://orders/x"), 200, "orders"),
    (_web("/x", headers=(("host", "orders"),)), 200, "orders"),
    (_web("/v1/a", headers=(("host", "api.shop.svc.cluster.local."),)), 200, "api"),
    (_web("/v1/a", headers=(("host", "api.shop:8080"),)), 200, "api"),
    (_web("/v1/a", headers=(("host", "api.shop."),)), 503, ""),
    (_web("/v1/a", headers=(("host", "unknown.example"),)), 503, ""),
    (_web("/v1/a", headers=(("host", "api"), ("host", "orders"))), 503, ""),
    (_web("*", "OPTIONS"), 404, ""),
    (_web("/v1/a", "CONNECT"), 400, ""),
    (_web("/v1/a", headers=(("upgrade", "h2c"), ("connection", "upgrade"))), 200, "api"),
    (_web("/v1/a", headers=(("upgrade", "foo"), ("connection", "upgrade"))), 403, ""),
    (_web("/agent", headers=(("user-agent", ""), ("user-agent", "gold"))), 200, "api"),
    (_web("/agent", headers=(("user-agent", "x"), ("user-agent", "gold"))), 403, ""),
    (_web("/agent", headers=(("connection", "user-agent"), ("user-agent", "gold"))), 403, ""),
    (_web("/v1/a", headers=tuple((f"x-h{number}", "v") for number in range(80))), 200, "api"),
    (_web("/v1/a", headers=tuple((f"x-h{number}", "v") for number in range(120))), 431, ""),
    (_web("/v1/a", headers=(("x-big", "v" * 70_000),)), 431, ""),
    (_web("/x", headers=(("x-envoy-original-path", "/v1/a"), ("x-original-url", "/v1/a"))), 403, ""),
    (_web("/x", "POST", (("content-type", "application/grpc"),)), 200, ""),
]


@pytest.mark.parametrize(("request_", "status", "app"), ODD)
def test_odd_request_when_a_pod_sends_it(mesh: Mesh, request_: Request, status: int, app: str) -> None:
    """What becomes of it: the status, and whose application answered (a refused gRPC call is a 200 of nobody)."""
    (happened,) = tried(mesh, [request_])
    assert happened.outcome.status == status
    assert happened.app.removeprefix("shop/").partition("-")[0] == app


@pytest.mark.parametrize("account", ["web", "partner", "nobody"])
def test_forged_identity_when_headers_claim_it(mesh: Mesh, account: str) -> None:
    """What a header says about the caller counts for nothing."""
    lines = (("x-forwarded-client-cert", f"By={spiffe('api')};URI={spiffe('web')}"), ("x-envoy-internal", "true"))
    ask = Ask("GET", "/v1/a", lines)
    assert sent(mesh, mesh.certified(spiffe(account), "api-v1-1", 8080, HTTP), ask).served == (account == "web")
