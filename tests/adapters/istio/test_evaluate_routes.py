"""Where calls to a Service go: weights, matches, ports and whoever serves, as real sidecars sent them."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from hub.api import Answer, Destination, Exposed, Facts, NativeObject, UnmodelledError
from tests.adapters.istio.routes import V1, Json, shares, split, to, vs
from tests.adapters.istio.test_evaluate_workloads import (
    FACTS,
    IS_CLIENT,
    IS_OTHER,
    OTHER,
    PLAIN,
    PODS,
    ROOT,
    call,
    facts,
    http,
    judged,
    native,
    placed,
    policy,
    tcp,
)

VS = "VirtualService/default/web"


# ------------------------------------------------------------------------------------------------- weights


WEIGHTS: list[tuple[list[tuple[str, int | None]], dict[str, str]]] = [
    ([("web-v1", 90), ("web-v2", 10)], {"web-v1": "9/10", "web-v2": "1/10"}),
    ([("web-v1", 1), ("web-v2", 2)], {"web-v1": "1/3", "web-v2": "2/3"}),
    ([("web-v1", 300), ("web-v2", 100)], {"web-v1": "3/4", "web-v2": "1/4"}),
    ([("web-v1", 0), ("web-v2", 100)], {"web-v2": "1"}),
    ([("web-v1", 0), ("web-v2", 1)], {"web-v2": "1"}),
    ([("web-v1", 2**31 - 1), ("web-v2", 2**31 - 1)], {"web-v1": "1/2", "web-v2": "1/2"}),
    ([("web-v1", 1), ("web-v1", 1), ("web-v2", 2)], {"web-v1": "1/2", "web-v2": "1/2"}),
    ([("web-v1", None), ("web-v2", 50)], {"web-v2": "1"}),
    ([("web-v1", 0)], {"web-v1": "1"}),
    ([("web-v1", 50)], {"web-v1": "1"}),
    ([("web", 50), ("web-v1", 50)], {"web": "1/2", "web-v1": "1/2"}),
    ([("web-v1", 50), ("web-empty", 50)], {"web-v1": "1/2", "web-empty": "1/2"}),
    ([("web-v1", 50), ("ghost", 50)], {"web-v1": "1/2", "ghost": "1/2"}),
]


@pytest.mark.parametrize(("route", "wanted"), WEIGHTS)
def test_weights_are_exact(route: list[tuple[str, int | None]], wanted: Json) -> None:
    """A single destination takes all; of several, one without a weight gets nothing. TCP shares the same way."""
    destinations = [to(name, weight) for name, weight in route]
    assert shares([vs({"route": destinations})]) == wanted
    at_tcp = [{"match": [{"port": 8082}], "route": destinations}]
    assert shares([vs(tcp=at_tcp)], tcp(port=8082, dst=ROOT)) == wanted


@pytest.mark.parametrize(
    "weights",
    [(0, 0), (None, None), (-1, 2), (2**31 - 1, 2**31 - 1, 2**31 - 1), (2**31, 1), (0.5, 1), ("1", 1), (True, 1)],
)
def test_raises_when_envoy_would_keep_its_old_routes(weights: tuple[Any, ...]) -> None:
    """What the API server lets in and Envoy rejects has no meaning of its own."""
    with pytest.raises(UnmodelledError):
        judged([vs({"route": [to(f"web-v{index}", weight) for index, weight in enumerate(weights)]})], call())


def test_words_of_backends() -> None:
    """A share without endpoints fails, and nobody takes it over; backends decide by themselves who gets in."""
    objects = [vs({"route": [to("web-v1", 50), to("web-empty", 25), to("ghost", 25)]})]
    answer = judged(objects, call())
    assert answer.backends == {"ghost": "no-endpoint", "web-empty": "no-endpoint", "web-v1": "allow"}
    assert (answer.verdict, answer.route, answer.by) == ("mixed", "split", (VS,))


def test_backends_own_policy_decides() -> None:
    """web-v2 grants only the other: half of the client's calls are denied."""
    selector = {"matchLabels": {"version": "v2"}}
    two = native("AuthorizationPolicy", {"selector": selector, "rules": [{"from": [IS_OTHER]}]})
    objects = [vs({"route": [to("web-v1", 50), to("web-v2", 50)]}), two]
    mine, others = judged(objects, call()), judged(objects, call(src=OTHER))
    assert (mine.verdict, mine.backends) == ("mixed", {"web-v1": "allow", "web-v2": "deny"})
    assert (others.verdict, others.by) == ("allow", ("AuthorizationPolicy/default/x", VS))
    root = judged([two], call())
    assert (root.verdict, root.route, root.backends) == ("mixed", "root", {"web": "mixed"})


def test_root_is_served_by_its_own_endpoints() -> None:
    """Without a VirtualService, without an entry for the port, by a plain route to itself, and for outsiders."""
    plain = {"match": [{"port": 8080}], "route": [to("web")]}
    root = Answer("allow", route="root", weights={"web": "1"}, backends={"web": "allow"})
    assert judged([], call()) == root
    assert judged([vs(split(to("web-v1")))], call(port=8085)) == root
    assert judged([vs(split(to("web-v1")))], call(src=PLAIN)) == root
    assert judged([vs(plain)], call()).route == "root"
    assert judged([vs({"route": [to("web", 1)]})], call()).route == "split"
    assert judged([vs({"route": [to("web", port=None)]})], call()).route == "root"


def test_backend_that_is_a_root_is_not_followed() -> None:
    """Its VirtualService counts for calls to it alone."""
    other = native("VirtualService", {"hosts": ["web-v1"], "http": [{"route": [to("web-v2")]}]}, "v1")
    objects = [vs({"route": [to("web-v1")]}), other]
    assert shares(objects) == {"web-v1": "1"}
    assert shares(objects, http(port=8080, dst=Destination(service="default/web-v1"))) == {"web-v2": "1"}


def test_unavailable_when_nobody_is_meant() -> None:
    """No match (404), a direct answer of 503, and a route to what does not exist."""
    nobody = Answer("deny", by=(VS,), route="unavailable", weights={}, backends={})
    only = split(to("web-v1"), headers={"x-tier": {"exact": "gold"}})
    assert judged([vs(only)], call()) == nobody
    assert judged([vs({"directResponse": {"status": 503}})], call()) == nobody
    assert judged([vs({"route": [to("ghost")]})], call()) == nobody
    assert judged([vs({"route": [{"destination": {"host": "nobody.example.com"}}]})], call()) == nobody
    half = [vs({"route": [{"destination": {"host": "nobody.example.com"}, "weight": 1}, to("web-v1", 1)]})]
    assert judged(half, call()).backends == {"nobody.example.com": "no-endpoint", "web-v1": "allow"}
    assert judged([vs(only)], call(headers=(("x-tier", "gold"),))).verdict == "allow"


def test_services_that_are_not_there() -> None:
    """No Service of that name, no such port, a port for datagrams."""
    ghost = http(port=8080, dst=Destination(service="default/ghost"))
    assert judged([vs({"route": [to("web-v1")]})], ghost) == Answer("deny", route="no-service", weights={}, backends={})
    assert judged([], call(port=1)) == Answer("deny", route="no-port", weights={}, backends={})
    datagrams = replace(FACTS, exposed={("default", "web", 8080): Exposed("UDP", "dns")})
    assert judged([], call(), datagrams) == Answer("deny", route="no-port", weights={}, backends={})


# ------------------------------------------------------------------------------------------------- ports


def test_entry_without_port_is_for_every_port() -> None:
    """A destination without port keeps that of the call, which the backend lacks; with one it goes to a wrong port."""
    lacking = judged([vs({"route": [to("web-v1", port=None)]})], call(port=8085))
    assert (lacking.verdict, lacking.backends) == ("deny", {"web-v1": "no-endpoint"})
    wrong = judged(
        [vs({"route": [to("web-v1")]}), policy({"to": [{"operation": {"ports": ["9001"]}}]})], call(port=8085)
    )
    assert (wrong.verdict, wrong.weights) == ("allow", {"web-v1": "1"})
    assert shares([vs({"route": [to("web-v1", 1, 9), to("web-v2", 1)]})]) == {"web-v1": "1/2", "web-v2": "1/2"}
    with pytest.raises(UnmodelledError):
        judged([vs({"route": [to("web-v1", 1, 9), to("web-v1", 1)]})], call())


def test_port_of_a_match_keeps_others_as_they_are() -> None:
    """8080 is split and 8085 untouched; entries are tried in order."""
    objects = [vs(split(to("web-v1"), uri={"exact": "/a"}), split(to("web-v2")), split(to("web-empty")))]
    assert [shares(objects, call(path)) for path in ("/a", "/a?b", "/b")] == [
        *({"web-v1": "1"}, {"web-v1": "1"}, {"web-v2": "1"})
    ]
    assert shares(objects, call(port=8085)) == {"web": "1"}


def test_bytes_take_tcp_routes_alone() -> None:
    """Routes of one kind say nothing of the other; an HTTP client sidecar refuses bytes, a TCP one reads no HTTP."""
    tcp_route = {"match": [{"port": 8082}], "route": [to("web-v1", 1), to("web-v2", 1)]}
    half = {"web-v1": "1/2", "web-v2": "1/2"}
    assert shares([vs(tcp=[tcp_route])], tcp(port=8082, dst=ROOT)) == half
    assert shares([vs(tcp=[tcp_route])], call(port=8082)) == half
    assert judged([vs(tcp=[tcp_route])], call("/%61", port=8082)).received == "/a"
    http_alone = judged([vs(split(to("web-v1")))], tcp(port=8080, dst=ROOT))
    assert (http_alone.route, http_alone.losses) == ("unavailable", ("port.undeclared-mixed",))
    assert (
        judged(
            [vs(split(to("web-v1")), host="web-empty")], tcp(port=8080, dst=Destination(service="default/web-empty"))
        ).route
        == "unavailable"
    )
    plain = judged([], tcp(port=8080, dst=ROOT))
    assert (plain.route, plain.verdict, plain.losses) == ("root", "deny", ())


def test_undeclared_port_has_routes_of_both_kinds() -> None:
    """The first bytes decide which of them are asked."""
    pods = tuple(placed(pod.ref.name, dict(pod.labels), ((9001, "none"),)) for pod in PODS)
    at = facts(*pods, behind={"web": pods, "web-v1": pods[:1], "web-v2": pods[1:]})
    at = replace(at, exposed={place: Exposed("TCP", "main") for place in at.exposed})
    tcp_route = {"match": [{"port": 8080}], "route": [to("web-v2")]}
    both = [vs(split(to("web-v1")), tcp=[tcp_route])]
    assert judged(both, call(), at).weights == {"web-v1": "1"}
    assert judged(both, tcp(port=8080, dst=ROOT), at).weights == {"web-v2": "1"}
    assert judged([vs(split(to("web-v1")))], tcp(port=8080, dst=ROOT), at).weights == {"web": "1"}
    assert judged([vs(tcp=[tcp_route])], call(), at).weights == {"web": "1"}


# ------------------------------------------------------------------------------------------------- refused, received


def test_client_sidecar_refuses() -> None:
    """The way is told, nobody lets it in, and the loss says why."""
    objects = [vs({"route": [to("web-v1", 1), to("web-v2", 1)]})]
    for request, code in (
        (call(method="F O"), "method.nonstandard"),
        (call("a"), "path.refused"),
        (call(headers=(("x-tier", "a\nb"),)), "header.rejected"),
    ):
        answer = judged(objects, request)
        assert (answer.verdict, answer.route, answer.losses) == ("deny", "split", (code,))
        assert answer.backends == {"web-v1": "deny", "web-v2": "deny"}


@pytest.mark.parametrize(
    ("host", "means"),
    [
        ("web", True),
        ("web.default", True),
        ("WEB.default.svc", True),
        ("web.default.svc.cluster.local", True),
        ("web:8080", True),
        ("web:8085", False),
        ("web-v1", False),
        ("unknown.example", False),
        ("", False),
    ],
)
def test_host_header_decides(host: str, means: bool) -> None:  # noqa: FBT001
    """Names of the Service lead to its routes; any other name leads elsewhere, or past them."""
    answer = judged([vs(split(to("web-v1")))], call(headers=(("Host", host),)))
    assert (answer.verdict == "allow", answer.losses) == (means, () if means else ("header.rejected",))


def test_path_that_backends_receive() -> None:
    """What two sidecars made of it; of a Service that nobody serves, what the first one did."""
    assert judged([], call("/a/../b?x")).received == "/b?x"
    assert judged([policy()], call("/a/../b")).received == "/b"
    assert judged([vs({"directResponse": {"status": 503}})], call("/a/../b")).received == "/b"
    assert judged([], call("/a/../b", port=1)).received is None
    assert judged([], call("/a/../b\n")).received is None


# ------------------------------------------------------------------------------------------------- not modelled


ROUTE: Json = {"route": [to("web-v1")]}


@pytest.mark.parametrize(
    "object_",
    [
        vs(ROUTE, tls=[{}]),
        vs(ROUTE, gateways=["x"]),
        vs(ROUTE, exportTo=["."]),
        vs(ROUTE, host="*.default.svc.cluster.local"),
        vs(ROUTE, host="web.default"),
        vs({**ROUTE, "rewrite": {"uri": "/"}}),
        vs({**ROUTE, "mirror": {"host": "web"}}),
        vs({**ROUTE, "directResponse": {"status": 503}}),
        vs({"directResponse": {"status": 200}}),
        vs({"route": []}),
        vs({"route": [{"destination": {"host": "web-v1", "subset": "a"}}]}),
        vs({"route": [{"destination": {"host": "web-v1.other.svc.cluster.local"}}]}),
        vs({"route": [{"destination": {"host": "web-v1.default.svc.elsewhere"}}]}),
        vs({"route": [{"destination": {"host": "web-v1"}, "headers": {}}]}),
        vs(split(to("web-v1"), uri={"regex": "/("})),
        vs(split(to("web-v1"), uri={"regex": ""})),
        vs(split(to("web-v1"), uri={"prefix": ""})),
        vs(split(to("web-v1"), uri={"exact": "/a", "prefix": "/a"})),
        vs(split(to("web-v1"), uri={"suffix": "/a"})),
        vs(split(to("web-v1"), uri={"regex": "(a{1000}){900}"})),
        vs(split(to("web-v1"), headers={"x": {"prefix": ""}})),
        vs(split(to("web-v1"), headers={"host": {"exact": "a"}})),
        vs(split(to("web-v1"), headers={"@request.auth.claims.a": {"exact": "a"}})),
        vs(split(to("web-v1"), ignoreUriCase=True)),
        vs(split(to("web-v1"), sourceLabels={"a": "b"})),
        vs(split(to("web-v1"), authority={"exact": "web"})),
        vs(ROUTE, extra={}),
    ],
)
def test_raises_when_not_modelled(object_: NativeObject) -> None:
    """A field or value that this reading does not know, or that Envoy rejects."""
    with pytest.raises(UnmodelledError):
        judged([object_], call())


def test_raises_when_a_host_has_two_owners() -> None:
    """The older one wins, whatever it is called and wherever it stands; here nobody knows its age."""
    foreign = native("VirtualService", {"hosts": ["web.default.svc.cluster.local"], "http": [ROUTE]}, "y", "foreign")
    for second in (foreign, native("VirtualService", {"hosts": ["web"], "http": [ROUTE]}, "y")):
        with pytest.raises(UnmodelledError):
            judged([vs(ROUTE), second], call())
    assert shares([foreign]) == V1


def taken_as(word: str, **more: bool) -> Facts:
    """The usual mesh, with every Service port so called."""
    return replace(FACTS, exposed={place: Exposed("TCP", "", word, **more) for place in FACTS.exposed})


@pytest.mark.parametrize("word", ["https", "tls", "kubernetes.io/wss"])
def test_tls_port_takes_neither_http_nor_tcp_routes(word: str) -> None:
    """The root serves, whatever the routes of other kinds say."""
    both = [vs(split(to("web-v1")), tcp=[{"match": [{"port": 8080}], "route": [to("web-v1")]}])]
    for request in (call(), tcp(port=8080, dst=ROOT)):
        answer = judged(both, request, taken_as(word))
        assert (answer.route, answer.weights, answer.by) == ("root", {"web": "1"}, ())
        assert judged(both, request, taken_as("tcp")).weights == {"web-v1": "1"}


def test_tcp_port_called_udp_is_passed_on_without_an_identity() -> None:
    """No route counts, and whoever asks for mutual TLS or an identity refuses it."""
    both = [vs(split(to("web-v1")), tcp=[{"match": [{"port": 8080}], "route": [to("web-v1")]}])]
    passed = judged(both, call(), taken_as("udp"))
    assert (passed.verdict, passed.route, passed.losses) == ("allow", "root", ("istio.port-called-udp",))
    guarded = [*both, policy({"from": [IS_CLIENT]})]
    assert judged(guarded, call(), taken_as("udp")).verdict == "deny"
    assert judged(guarded, call(), taken_as("tcp")).verdict == "allow"


@pytest.mark.parametrize("exposed", [Exposed("TCP", "http", headless=True), Exposed("TCP", "http", "udp")])
def test_share_that_istio_sends_elsewhere_is_not_claimed(exposed: Exposed) -> None:
    """A headless backend, and one whose port is called udp: nobody says that these get it. A headless root gets its own."""
    at = replace(FACTS, exposed={**FACTS.exposed, ("default", "web-v1", 8080): exposed})
    with pytest.raises(UnmodelledError):
        judged([vs(split(to("web-v1", 1), to("web-v2", 1)))], call(), at)
    assert judged([vs(split(to("web-v2")))], call(), at).weights == {"web-v2": "1"}
    own = replace(FACTS, exposed={**FACTS.exposed, ("default", "web", 8080): Exposed("TCP", "http", headless=True)})
    assert judged([vs(split(to("web", 1), to("web-v2", 1)))], call(), own).weights == {"web": "1/2", "web-v2": "1/2"}
