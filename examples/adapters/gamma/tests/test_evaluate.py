"""What evaluate does not know, and what it says where implementations may differ."""

from __future__ import annotations

import json
from typing import Any

import pytest
from routes import WORLD, call, path, ref, route, rule
from smihub_gamma.evaluate import ODD_PATH, REPEATED, evaluator

from hub.api import Answer, Facts, NativeObject, Request, UnmodelledError
from hub.testing.documents import Scope, compile_documents
from hub.testing.kit import read_documents


def facts(world: str = WORLD) -> Facts:
    """What is known of Services and Pods."""
    return compile_documents(read_documents(world), Scope()).facts


FACTS = facts()
HEADLESS = WORLD.replace("spec:\n  selector: {app: foo}\n", "spec:\n  clusterIP: None\n  selector: {app: foo}\n")
IF_GOLD = route(
    "HTTPRoute", rule([ref("foo-v2")], {"headers": [{"name": "X-Tier", "value": "gold"}]}), rule([ref("foo")])
)


def asked(request: Request, *objects: NativeObject) -> Answer:
    """The answer of a mesh with these routes."""
    return evaluator(objects, FACTS).judge(request)


def test_of_several_types_the_first_is_applied() -> None:
    """GEP-1294, "Route types": GRPCRoute, HTTPRoute, TLSRoute, TCPRoute."""
    routes = [route("HTTPRoute", rule([ref("foo-v2")])), route("TCPRoute", rule([ref("foo")]))]
    for some in (routes, routes[::-1]):
        assert asked(call(), *some).weights == {"foo-v2": "1"}


def test_the_first_rule_is_taken_where_all_else_ties() -> None:
    """HTTPRouteRule: "the FIRST matching rule (in list order)"."""
    both = route("HTTPRoute", rule([ref("foo-v2")], path("/a")), rule([ref("foo")], path("/a")))
    assert asked(call("/a"), both).weights == {"foo-v2": "1"}


def test_a_header_has_its_name_in_any_case_and_its_whole_value() -> None:
    """Two lines are one value to whoever follows RFC 9110, and implementations may differ: the answer says so."""
    assert asked(call(headers=(("x-tier", "gold"),)), IF_GOLD).weights == {"foo-v2": "1"}
    assert asked(call(headers=(("x-tier", "golden"),)), IF_GOLD).weights == {"foo": "1"}
    twice = asked(call(headers=(("x-tier", "gold"), ("x-tier", "gold"))), IF_GOLD)
    assert (twice.weights, twice.losses) == ({"foo": "1"}, (REPEATED,))
    assert asked(call("*"), IF_GOLD).losses == (ODD_PATH,)


def test_other_bytes_on_an_http_port_go_nowhere() -> None:
    """Neither do plain requests on a port with a GRPCRoute."""
    assert asked(call(protocol="tcp"), IF_GOLD).verdict == "deny"
    grpc = route("GRPCRoute", rule([ref("foo-v2")]))
    assert asked(call(), grpc).verdict == "deny"


@pytest.mark.parametrize(
    "change",
    [
        {"hostnames": ["foo"]},
        {"parentRefs": [{"name": "gateway"}]},
        {"parentRefs": [{"group": "", "kind": "Service", "name": "foo", "namespace": "other"}]},
        {"rules": [rule([{**ref("foo"), "namespace": "other"}])]},
        {"rules": [rule([ref("foo")], path("/a.*", "RegularExpression"))]},
        {"rules": [rule([ref("foo", 1_000_001)])]},
        {"rules": [{**rule([ref("foo")]), "filters": []}]},
    ],
)
def test_what_is_not_modelled_is_an_error(change: dict[str, Any]) -> None:
    """A field that nobody knows may mean anything."""
    body = json.loads(IF_GOLD.body)
    spoiled = json.dumps(body | {"spec": body["spec"] | change}).encode()
    with pytest.raises(UnmodelledError):
        asked(call(), NativeObject(IF_GOLD.ref, IF_GOLD.role, spoiled))


def test_two_routes_of_one_type_on_one_port_are_not_modelled() -> None:
    """How they merge depends on their age, which is not in their bytes."""
    one, other = (
        route("HTTPRoute", rule([ref("foo")]), name=name, port=port) for name, port in (("a", 80), ("b", None))
    )
    with pytest.raises(UnmodelledError):
        asked(call(), one, other)


def test_a_headless_service_is_no_parent() -> None:
    """GEP-1294, "Allowed service types"; as a backend it is not modelled."""
    assert evaluator([route("HTTPRoute", rule([ref("foo-v2")]))], facts(HEADLESS)).judge(call()).weights == {"foo": "1"}
    backend = WORLD.replace("  selector: {app: foo-v2}\n", "  clusterIP: None\n  selector: {app: foo-v2}\n")
    with pytest.raises(UnmodelledError):
        evaluator([route("HTTPRoute", rule([ref("foo-v2")]))], facts(backend)).judge(call())
