"""Where calls to a Service go: shares, conditions, ports, kinds of routes, and routes of other namespaces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from adapters.linkerd.evaluate.mesh import evaluator
from hub.api import Facts, NativeObject, Request
from tests.adapters.linkerd.objects import (
    NEW,
    OLD,
    RAW,
    WEB,
    call,
    header,
    path,
    rule,
    send,
    server,
    split,
    to,
)

V1, V2 = {"store-v1": "1"}, {"store-v2": "1"}
Json = Any
OWN: Json = ("root", {"store": "1"})
NOBODY: Json = ("unavailable", {})
GOLD = [{"headers": [header("x-tier", "^gold$")]}]
CONSUMER: Json = {"namespace": "other"}


def led(objects: Sequence[NativeObject], request: Request, facts: Facts) -> tuple[str | None, Any]:
    """The word of a route, and the shares."""
    answer = evaluator(objects, facts).judge(request)
    return answer.route, answer.weights


@pytest.mark.parametrize(
    ("backends", "shares"),
    [
        ([to("store-v1", 90), to("store-v2", 10)], {"store-v1": "9/10", "store-v2": "1/10"}),
        ([to("store-v1", 1), to("store-v2", 3)], {"store-v1": "1/4", "store-v2": "3/4"}),
        ([to("store-v1"), to("store-v2")], {"store-v1": "1/2", "store-v2": "1/2"}),
        ([to("store-v1", 1), to("store-v2", 0)], V1),
        ([to("store-v2", 0)], V2),
        ([to("store-v1", 1), to("gone", 1)], {"gone": "1/2", "store-v1": "1/2"}),
        ([to("store-v1", 1), to("store-v2", 1), to("store-v1", 2)], {"store-v1": "3/4", "store-v2": "1/4"}),
        ([to("far", 1, namespace="other"), to("store-v1", 1)], {"other/far": "1/2", "store-v1": "1/2"}),
    ],
)
@pytest.mark.parametrize("kind", ["", "HTTPRoute", "TCPRoute"])
def test_shares_are_exact(kind: str, backends: list[Any], shares: dict[str, str], facts: Facts) -> None:
    """In both groups of HTTPRoutes, and for TCP; a single backend takes everything, whatever its weight."""
    assert led([split(rule(*backends), kind=kind)], call(), facts) == ("split", shares)


def test_backend_that_is_missing_serves_nobody(facts: Facts) -> None:
    """Its share is answered with 500, and a port that it has not with 502."""
    for backend in (to("gone", 1), to("store-v2", 1, port=81)):
        answer = evaluator([split(rule(to("store-v1", 1), backend))], facts).judge(call())
        assert answer.backends == {backend["name"]: "no-endpoint", "store-v1": "allow"}
        assert answer.verdict == "mixed"
    for kind in ("", "TCPRoute"):
        assert led([split(rule(to("gone", 1)), kind=kind)], call(), facts) == NOBODY


@pytest.mark.parametrize("alone", [rule(), rule(to("store")), rule(to("store", 1)), rule(to("store", 7))])
def test_rule_with_the_service_alone_leads_to_its_own_endpoints(alone: Any, facts: Facts) -> None:
    """As if there were no route: a single backend takes everything, whatever its weight."""
    assert led([split(alone)], call(), facts) == OWN


def test_absolute_form_is_refused_where_http2_is_declared(facts: Facts) -> None:
    """Only HTTP/1.1 has it, and a loss says so; in the form of HTTP/2 the same request goes its way."""
    routes = [split(rule(to("store-v1")), port=83)]
    answer = evaluator(routes, facts).judge(call(port=83, path="http://store/x"))
    assert (answer.verdict, answer.losses) == ("deny", ("path.refused",))
    assert led(routes, call(port=83, path="/x"), facts) == ("split", V1)


def test_conditions_choose_and_the_rest_is_a_404(facts: Facts) -> None:
    """A rule without matches takes what others leave; rules stand in any order."""
    fallback, tier = rule(to("store-v1")), rule(to("store-v2"), matches=GOLD)
    gold = call(headers=(("x-tier", "gold"),))
    for rules in ([tier, fallback], [fallback, tier]):
        assert led([split(*rules)], gold, facts) == ("split", V2)
        assert led([split(*rules)], call(), facts) == ("split", V1)
    assert led([split(tier)], call(), facts) == NOBODY
    assert led([split(tier)], gold, facts) == ("split", V2)


def test_backend_that_is_a_root_is_not_followed(facts: Facts) -> None:
    """Its own endpoints serve."""
    routes = [split(rule(to("store-v1"))), split(rule(to("store-v2")), name="next", parent="store-v1")]
    assert led(routes, call(), facts) == ("split", V1)


def test_parent_port_binds_a_route(facts: Facts) -> None:
    """With another port there is no route; without one it is for every port."""
    assert led([split(rule(to("store-v1")), port=81)], call(), facts) == OWN
    assert led([split(rule(to("store-v1")), port=None)], call(), facts) == ("split", V1)
    assert led([split(rule(to("store-v1")), port=None)], call(port=82), facts) == ("split", V1)


@pytest.mark.parametrize(("first", "second", "shares"), [(OLD, NEW, V1), (NEW, OLD, V2), (OLD, OLD, V1)])
def test_oldest_of_two_equal_routes_wins(first: str, second: str, shares: Any, facts: Facts) -> None:
    """Then the first by name; a more specific one wins at any age."""
    routes = [
        split(rule(to("store-v1")), name="a", creationTimestamp=first),
        split(rule(to("store-v2")), name="b", creationTimestamp=second),
    ]
    assert led(routes, call(), facts) == ("split", shares)
    longer = split(rule(to("store"), matches=[path("^/long$")]), name="c", creationTimestamp=NEW)
    assert led([*routes, longer], call(path="/long"), facts) == OWN


def test_routes_of_other_namespaces_are_for_their_own_clients(facts: Facts) -> None:
    """They are one list with those of the Service's namespace: the older one wins."""
    producer = split(rule(to("store-v1")), creationTimestamp=OLD)
    consumer = split(rule(to("store-v2", namespace="shop")), creationTimestamp=NEW, **CONSUMER)
    older = split(rule(to("store-v2", namespace="shop")), creationTimestamp="2025-01-01T00:00:00Z", **CONSUMER)
    assert led([consumer], call(), facts) == OWN
    assert led([consumer], call(src="other/far"), facts) == ("split", V2)
    assert led([producer, consumer], call(src="other/far"), facts) == ("split", V1)
    assert led([producer, older], call(src="other/far"), facts) == ("split", V2)
    assert led([producer, older], call(), facts) == ("split", V1)
    same = split(rule(to("store-v2", namespace="shop")), name="z", creationTimestamp=OLD, **CONSUMER)
    assert led([same, producer], call(src="other/far"), facts) == ("split", V1)


def test_tcp_routes_share_out_everything_until_there_is_an_http_route(facts: Facts) -> None:
    """HTTP, too; beside an HTTPRoute they do not count, and other bytes go to the Service itself."""
    tcp, http = split(rule(to("store-v1")), kind="TCPRoute"), split(rule(to("store-v2")))
    bytes_ = Request(call().src, call().dst, 80, "tcp")
    assert led([tcp], call(), facts) == led([tcp], bytes_, facts) == ("split", V1)
    assert led([tcp, http], call(), facts) == ("split", V2)
    assert led([tcp, http], bytes_, facts) == OWN
    denied = evaluator([tcp, http, server(podSelector={})], facts).judge(bytes_)
    assert denied.losses == ("port.undeclared-mixed",)


@pytest.mark.parametrize("port", [81, 6379])
def test_http_routes_do_not_count_on_opaque_ports(port: int, facts: Facts) -> None:
    """By their appProtocol, or by default; a TCPRoute counts unless an HTTPRoute names the same parent."""
    http, tcp = split(rule(to("store-v2")), port=port), split(rule(to("store-v1")), port=port, kind="TCPRoute")
    assert led([http], call(port=port), facts) == ("root", {"store": "1"})
    assert led([tcp], call(port=port), facts) == ("split", V1)
    assert led([tcp, http], call(port=port), facts) == OWN
    assert led([tcp, split(rule(to("store-v2")), port=None)], call(port=port), facts) == ("split", V1)


def test_port_declared_http_takes_nothing_else(facts: Facts) -> None:
    """The client's proxy speaks HTTP/1.1 there."""
    http, tcp = split(rule(to("store-v2")), port=82), split(rule(to("store-v1")), port=82, kind="TCPRoute")
    bytes_ = Request(call().src, call().dst, 82, "tcp")
    assert led([http], call(port=82), facts) == ("split", V2)
    assert led([tcp], call(port=82), facts) == OWN
    answer = evaluator([http], facts).judge(bytes_)
    assert (answer.verdict, answer.losses) == ("deny", ("port.undeclared-mixed",))


@pytest.mark.parametrize("port", [82, 83])
def test_answer_is_that_of_the_version_which_the_port_speaks(port: int, facts: Facts) -> None:
    """Also where nobody is let in: HTTP/1.1 or HTTP/2 by the appProtocol."""
    closed = server(podSelector={})
    answer = evaluator([split(rule(to("store-v2")), port=port), closed], facts).judge(call(port=port))
    assert (answer.verdict, answer.route, answer.weights, answer.losses) == ("deny", "split", V2, ())


def test_callers_without_a_proxy_are_not_routed(facts: Facts) -> None:
    """Kubernetes takes them to the Service; so it does everybody who calls one without an address."""
    assert led([split(rule(to("store-v1")))], call(src=RAW), facts) == OWN
    headless = split(rule(to("store-v1")), parent="headless")
    assert led([headless], call("shop/headless"), facts) == ("root", {"headless": "1"})


def test_services_that_are_not_there(facts: Facts) -> None:
    """No Service, no such port, and no UDP."""
    assert led([], call("shop/none"), facts) == ("no-service", {})
    assert led([], call(port=7), facts) == ("no-port", {})
    answer = evaluator([], facts).judge(Request(call().src, call().dst, 80, "udp"))
    assert (answer.verdict, answer.losses) == ("deny", ("proto.udp-not-captured",))


def test_every_receiver_decides_by_itself(facts: Facts) -> None:
    """Behind a split the Server of the Pod that was chosen counts."""
    closed = server("v2", podSelector={"matchLabels": {"version": "v2"}})
    answer = evaluator([split(rule(to("store-v1", 1), to("store-v2", 1))), closed], facts).judge(call(src=WEB))
    assert answer.backends == {"store-v1": "allow", "store-v2": "deny"}
    assert answer.by == ("HTTPRoute/shop/store", "Server/shop/v2")
    assert evaluator([closed], facts).judge(send()).verdict == "allow"
