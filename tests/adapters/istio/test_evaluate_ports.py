"""Ports and protocols: target ports, what HTTP conditions leave on TCP ports, bytes nobody declared, datagrams."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from adapters.istio.evaluate.ports import received, spoken
from hub.api import Answer, Destination, Exposed, NativeObject, Request
from tests.adapters.istio.test_evaluate_workloads import (
    CLIENT,
    FACTS,
    FROM_CLIENT,
    IS_CLIENT,
    IS_OTHER,
    OTHER,
    ROOT,
    WEB,
    allows,
    call,
    facts,
    granting,
    http,
    judged,
    placed,
    policy,
    tcp,
)

Json = Any
BY_PORT = {"ports": ["9002"]}
GET_9001 = {"ports": ["9001"], "methods": ["GET"]}
POST = {"operation": {"methods": ["POST"]}}
GOLD = {"key": "request.headers[x-tier]", "values": ["gold"]}


def rule(*operations: Json, source: Json = IS_CLIENT, when: Sequence[Json] = ()) -> Json:
    """A rule of operations."""
    return {"from": [source], "to": [{"operation": one} for one in operations], "when": list(when)}


ABOUT_TCP: list[tuple[Json, bool, bool, dict[str, bool]]] = [
    (policy({"from": [IS_CLIENT]}), True, False, {"GET": True, "POST": True}),
    (policy(rule({"methods": ["GET"]})), False, False, {"GET": True, "POST": False}),
    (policy(rule({"ports": ["9002"], "paths": ["/*"]})), False, False, {"GET": False, "POST": False}),
    (policy(rule({}, when=[GOLD])), False, False, {"GET": False}),
    (policy(rule(BY_PORT), rule(GET_9001)), True, False, {"GET": True, "POST": False}),
    (policy(rule(BY_PORT, GET_9001)), False, False, {"GET": True, "POST": False}),
    (policy({"to": [POST]}, action="DENY"), False, False, {"GET": True, "POST": False}),
    (policy({"when": [GOLD]}, action="DENY"), False, False, {"GET": True, "POST": True}),
    (policy({"from": [IS_OTHER], "to": [POST]}, action="DENY"), True, False, {"GET": True, "POST": True}),
    (policy(rule({"ports": ["9001"], "methods": ["POST"]}), action="DENY"), True, True, {"GET": True, "POST": False}),
    (
        policy({"from": [{"source": {"notPrincipals": [FROM_CLIENT]}}]}, action="DENY"),
        True,
        False,
        {"GET": True, "POST": True},
    ),
]


@pytest.mark.parametrize(("object_", "client", "other", "methods"), ABOUT_TCP)
def test_http_fields_on_a_tcp_port(object_: NativeObject, client: bool, other: bool, methods: dict[str, bool]) -> None:  # noqa: FBT001
    """An ALLOW rule with one goes as a whole; a DENY rule loses the field and gets wider."""
    assert [allows(object_, tcp(src)) for src in (CLIENT, OTHER)] == [client, other]
    assert {method: allows(object_, http(method=method)) for method in methods} == methods
    assert [allows(object_, http(src=src, port=9002)) for src in (CLIENT, OTHER)] == [client, other]


@pytest.mark.parametrize(
    ("ports", "allowed"),
    [
        (["9001"], {8080: True, 8085: False}),
        (["9003"], {8080: False, 8085: True}),
        (["8080"], {8080: False, 8085: False}),
        (["8085"], {8080: False, 8085: False}),
        (["08080"], {8080: False, 8085: False}),
        (["abc"], {8080: False, 8085: False}),
        (["9001", "abc"], {8080: False, 8085: False}),
        (["65536"], {8080: False, 8085: False}),
        ([], {8080: True, 8085: True}),
    ],
)
def test_ports_are_those_of_the_workload(ports: list[str], allowed: dict[int, bool]) -> None:
    """Target ports, not Service ports; one that is no number takes the rule away."""
    grant = granting({"ports": ports})
    assert {port: allows(grant, call(port=port)) for port in allowed} == allowed


def test_port_that_is_no_number_widens_a_denial() -> None:
    """The field is lost; and a condition that nobody knows loses the rule, whatever the action."""
    assert not allows(policy({"to": [{"operation": {"ports": ["abc"]}}]}, action="DENY"), http())
    unknown = {"when": [{"key": "nobody.knows", "values": ["x"]}]}
    assert allows(policy(unknown, action="DENY"), http())
    assert not allows(policy(unknown), http())
    assert allows(policy(unknown, {"from": [IS_CLIENT]}), http())
    assert allows(granting({"notPorts": ["9003"]}), http())
    assert not allows(granting({"notPorts": ["9001"]}), http())


def test_bytes_decide_where_nothing_is_declared() -> None:
    """HTTP meets the rules of HTTP and other bytes those of TCP; a port declared HTTP takes nothing else."""
    sniffed = facts(placed("web1", {"app": "web"}, ((7000, "none"), (9001, "http+12345678"))))
    grant = policy(rule({"methods": ["GET"]}), {"from": [IS_OTHER], "to": [{"operation": {"ports": ["7000", "7001"]}}]})
    for port in (7000, 7001):
        assert [allows(grant, http(port=port, src=src), sniffed) for src in (CLIENT, OTHER)] == [True, True]
        assert [allows(grant, tcp(src, port), sniffed) for src in (CLIENT, OTHER)] == [False, True]
    assert judged([], tcp(port=9001), sniffed) == Answer("deny")


def test_datagrams_are_not_captured() -> None:
    """Sidecars see no UDP, so nothing is said of it but that."""
    for dst, route in ((WEB, None), (ROOT, "no-port"), (Destination(service="default/ghost"), "no-service")):
        answer = judged([], Request(CLIENT, dst, 8080, "udp"))
        assert (answer.verdict, answer.route, answer.losses) == ("deny", route, ("proto.udp-not-captured",))


# ------------------------------------------------------------------------------------------------- words of Services


@pytest.mark.parametrize(
    ("name", "app_protocol", "number", "kind"),
    [
        ("http-a", "", 80, "http"),
        ("GRPC", "", 80, "http"),
        ("a", "kubernetes.io/h2c", 80, "http"),
        ("a", "h2c", 80, "none"),
        ("tcp-a", "http", 80, "http"),
        ("mysql", "", 80, "tcp"),
        ("postgres", "", 5432, "none"),
        ("", "", 8080, "none"),
        ("", "", 3306, "tcp"),
        ("http", "", 3306, "http"),
        ("https", "", 443, "tls"),
        ("tls-a", "", 443, "tls"),
        ("a", "HTTPS", 443, "tls"),
        ("a", "https-x", 443, "tls"),
        ("a", "kubernetes.io/wss", 443, "tls"),
        ("a", "Kubernetes.io/wss", 443, "none"),
        ("https", "tcp", 443, "tcp"),
        ("a", "http_proxy", 80, "http"),
        ("a", "http-x", 80, "http"),
        ("grpc-web-x", "", 80, "http"),
        ("udp-x", "", 80, "udp"),
        ("a", "udp", 3306, "udp"),
    ],
)
def test_a_service_port_is_taken_by_its_word_or_number(name: str, app_protocol: str, number: int, kind: str) -> None:
    """Istio's own words, which are fewer than those of other meshes, and four numbers where servers speak first."""
    assert spoken(Exposed("TCP", name, app_protocol), number) == kind


def test_receivers_follow_the_services_before_them() -> None:
    """One word of all Services is taken; where they disagree the first bytes decide."""
    place, other = ("default", "web", 8080), ("default", "web", 8085)
    endpoints = {place: FACTS.endpoints[place], other: FACTS.endpoints[place]}
    ports = {port for (_, port) in received(replace(FACTS, endpoints=endpoints))}
    assert ports == {9001}
    said = {place: Exposed("TCP", "postgres"), other: Exposed("TCP", "http")}
    assert set(received(replace(FACTS, endpoints=endpoints, exposed=said)).values()) == {"none"}
    alike = dict.fromkeys(said, Exposed("TCP", "redis"))
    assert set(received(replace(FACTS, endpoints=endpoints, exposed=alike)).values()) == {"tcp"}
    assert not received(replace(FACTS, endpoints=endpoints, exposed=dict.fromkeys(said, Exposed("UDP", "dns"))))
    encrypted = {place: Exposed("TCP", "https"), other: Exposed("TCP", "tcp")}
    assert set(received(replace(FACTS, endpoints=endpoints, exposed=encrypted)).values()) == {"tcp"}
    unheard = {place: Exposed("TCP", "udp"), other: Exposed("TCP", "http")}
    assert set(received(replace(FACTS, endpoints=endpoints, exposed=unheard)).values()) == {"http"}
