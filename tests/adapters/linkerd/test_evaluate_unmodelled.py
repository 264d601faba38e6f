"""What is not modelled is an error that names the object and the field, never a guess."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from adapters.linkerd.evaluate.mesh import evaluator
from hub.api import Facts, NativeObject, Source, UnmodelledError
from tests.adapters.linkerd.objects import (
    GATEWAY,
    NEW,
    OLD,
    TO_API,
    WEB,
    ask,
    authn,
    call,
    granted,
    header,
    identities,
    native,
    opened,
    path,
    policy,
    route,
    rule,
    send,
    server,
    split,
    surprised,
    to,
)

_ALL = (
    server(age=OLD, proxyProtocol="unknown", accessPolicy="deny"),
    *opened("r", "web", path("^/x$", method="GET", headers=[header("a", "b")], queryParams=[header("c", "d")])),
    native("NetworkAuthentication", "n", {"networks": [{"cidr": "10.0.0.0/8", "except": []}]}),
    split(rule(to("store-v1", 1), to("store-v2", 1), matches=[path("^/x$")])),
    split(rule(to("store-v1", 1)), kind="HTTPRoute", name="g"),
    split(rule(to("store-v1", 1)), kind="TCPRoute"),
)


@pytest.mark.parametrize("native_", _ALL, ids=lambda one: str(one.ref))
def test_unknown_field_is_an_error_wherever_it_stands(native_: NativeObject, facts: Facts) -> None:
    """In the object itself, and in everything inside."""
    bodies = list(surprised(json.loads(native_.body)))
    assert len(bodies) >= 4
    evaluator([native_], facts)
    for body in bodies:
        with pytest.raises(UnmodelledError, match=str(native_.ref)):
            evaluator([replace(native_, body=json.dumps(body).encode())], facts)


def _grant(*required: Any) -> NativeObject:
    return policy("Server/api", *required)


@pytest.mark.parametrize(
    ("native_", "why"),
    [
        (native("ServerAuthorization", "x", {}), 'kind "ServerAuthorization"'),
        (native("ServiceProfile", "x", {}, "linkerd.io"), 'kind "ServiceProfile"'),
        (native("GRPCRoute", "x", {}, GATEWAY), 'kind "GRPCRoute"'),
        (native("HTTPLocalRateLimitPolicy", "x", {}), "HTTPLocalRateLimitPolicy"),
        (native("Server", "x", {}, "linkerd.io"), 'of "linkerd.io/v1beta3"'),
        (server(port="http"), '"port"'),
        (server(port=0), "the port 0"),
        (server(port=True), '"port"'),
        (server(proxyProtocol="HTTP"), 'protocol "HTTP"'),
        (server(podSelector=None), "where an object must be"),
        (server(externalWorkloadSelector={}), "externalWorkloadSelector"),
        (server(podSelector={"matchExpressions": []}), "matchExpressions"),
        (server(age="yesterday"), "yesterday"),
        (native("MeshTLSAuthentication", "x", {"identities": []}), "exactly one"),
        (native("MeshTLSAuthentication", "x", {"identityRefs": []}), "exactly one"),
        (native("MeshTLSAuthentication", "x", {"identityRefs": [{"kind": "User", "name": "a"}]}), '"User"'),
        (identities("x", "a.b.serviceaccount.identity.l5d.cluster.local"), "another control plane"),
        (policy("Deployment/api"), '"Deployment"'),
        (policy("Server/api", group="core"), '"core"'),
        (policy("GRPCRoute/api", group=GATEWAY), '"GRPCRoute"'),
        (_grant(authn("x", "User")), '"User"'),
        (native("AuthorizationPolicy", "x", {"targetRef": TO_API}), "requiredAuthenticationRefs"),
        (native("Server", "x", {}, annotations={"config.linkerd.io/x": "y"}), "config.linkerd.io/x"),
        (native("HTTPRoute", "x", {"parentRefs": [TO_API], "rules": []}), "without rules"),
        (native("TCPRoute", "x", {"parentRefs": [], "rules": []}, GATEWAY), "0 rules"),
        (route("x", parent={"kind": "Gateway", "name": "g"}), '"Gateway"'),
        (route("x", parent={"group": "core", "kind": "Service", "name": "g", "sectionName": "p"}), "parent"),
        (route("x", {"method": "PROPFIND"}), "PROPFIND"),
        (route("x", {"method": "get"}), '"get"'),
        (route("x", path("x", "Exact")), '"Exact"'),
        (route("x", path("/x", "Glob")), '"Glob"'),
        (route("x", path("/" + "x" * 1024)), "1024"),
        (route("x", {"headers": [header("a", "b"), header("a", "c")]}), "twice"),
        (route("x", {"headers": [header("a", "é", "Exact")]}), "é"),
        (route("x", {"headers": [header("host", "a")]}), '"host"'),
        (route("x", {"headers": [header("l5d-client-id", "a")]}), '"l5d-client-id"'),
        (route("x", rules=[{"filters": [{"type": "URLRewrite"}]}]), "filters"),
        (split(rule(to("a", 0), to("b", 0))), "all zero"),
        (split(rule(to("a", -1))), "weight -1"),
        (split(rule(to("a", 1_000_001))), "weight 1000001"),
        (split(rule({"name": "a"})), "with a port"),
        (split(rule(to("a", kind="Pod"))), "not a Service"),
    ],
    ids=lambda one: one if isinstance(one, str) else str(one.ref),
)
def test_object_that_is_not_modelled_says_why(native_: NativeObject, why: str, facts: Facts) -> None:
    """Kinds, versions, values, and what the policy controller would not read."""
    with pytest.raises(UnmodelledError, match=str(native_.ref)) as caught:
        evaluator([native_], facts)
    assert why in str(caught.value)


@pytest.mark.parametrize(
    "pattern",
    [
        *(r"/\d+", r"/\w", r"/\s", r"/\bx", r"/\pL", r"/\p{Greek}", "(?i)/a", "(?P<n>/a)", "(?=/a)", "/é"),
        *("[a&&b]", "[a--b]", "[a~~b]", "[a[b]]", r"\<a", r"a\>", "a{", "a{,3}", "a}", r"\Qa\E", r"\C", r"\07"),
        *("/(", "[z", "a**", "a{1001}", "[[:nope:]]", "/a\tb", "(?:[a-z]{1000}[a-z]{1000}){30}"),
    ],
)
def test_regex_of_another_dialect_is_an_error(pattern: str, facts: Facts) -> None:
    """What Rust and RE2 read otherwise, what Linkerd refuses, and what is too large."""
    for one in (path(pattern), {"headers": [header("x", pattern)]}, {"queryParams": [header("x", pattern)]}):
        with pytest.raises(UnmodelledError, match="HTTPRoute/shop/x"):
            evaluator([route("x", one)], facts)


@pytest.mark.parametrize(
    "pattern", [r"/[a-z]{2,}\.[^/]*", r"^(?:/\x41|/\x{e9}|[[:alpha:]]+)$", r"\A/\-\/[\]\-a]*?\z", "(/a)?(|b)+", "/.{3}"]
)
def test_regex_of_the_common_part_is_read(pattern: str, facts: Facts) -> None:
    """Classes, escapes, repetitions, anchors and groups."""
    evaluator([route("x", path(pattern))], facts)


_OPEN: Any = {"accessPolicy": "audit"}


@pytest.mark.parametrize(
    ("objects", "decides"),
    [
        ((server(), server("b", **_OPEN)), True),
        ((server(age=OLD), server("b", **_OPEN)), True),
        ((server(), server("b")), False),
        ((server(port=9090), server("b", **_OPEN)), False),
        ((server(), *opened("a", "web", path("^/$")), *opened("b", "rogue", path("/", "Exact"))), True),
        ((server(), *opened("a", "web", path("^/$")), *opened("b", "web", path("/", "Exact"))), False),
        ((server(), *opened("a", "web", path("^/$")), *opened("b", "rogue", path("/", method="GET"))), False),
        ((server(), *opened("a", "web", path("^/$"), age=NEW), *opened("b", "rogue", path("^/$"), age=OLD)), False),
    ],
)
def test_age_that_decides_must_be_known(objects: Sequence[NativeObject], decides: bool, facts: Facts) -> None:  # noqa: FBT001
    """Where all that may come first say the same, their ages do not matter."""
    judge = evaluator(objects, facts)
    if decides:
        with pytest.raises(UnmodelledError, match="the older one decides"):
            judge.judge(ask())
    else:
        judge.judge(ask())


def test_age_of_a_split_must_be_known(facts: Facts) -> None:
    """Two routes without ages, which share out the same calls otherwise."""
    for kind in ("", "TCPRoute"):
        routes = [split(rule(to(f"store-{name}")), name=name, kind=kind) for name in ("v1", "v2")]
        with pytest.raises(UnmodelledError, match="the older one decides"):
            evaluator(routes, facts).judge(call())


def test_equally_old_routes_of_one_name_must_agree(facts: Facts) -> None:
    """Those of two groups, or of two namespaces."""
    objects = (server(), *opened("r", "web", path("^/$"), age=OLD), route("r", path("^/$"), age=OLD, group=GATEWAY))
    with pytest.raises(UnmodelledError, match="the older one decides"):
        evaluator(objects, facts).judge(ask())
    assert evaluator(objects, facts).judge(ask(src="shop/rogue")).verdict == "deny"


def test_addresses_that_decide_must_be_known(facts: Facts) -> None:
    """Those of a cluster are not told; of a caller that is not known, any is taken for possible (test_evaluate_networks.py)."""
    cluster = (server(accessPolicy="cluster-unauthenticated"),)
    with pytest.raises(UnmodelledError, match="address of the caller"):
        evaluator(cluster, facts).judge(ask(src=Source(outside=True)))
    assert evaluator(cluster, facts).judge(ask()).verdict == "allow"
    for networks in ([], [{"cidr": "nodes"}], [{"cidr": "10.0.0.0/8", "except": ["x"]}]):
        with pytest.raises(UnmodelledError, match="not modelled"):
            evaluator([native("NetworkAuthentication", "n", {"networks": networks})], facts)


def test_host_and_grpc_that_decide_must_be_known(facts: Facts) -> None:
    """Hostnames for a request without a Host line, and calls that may be gRPC."""
    with pytest.raises(UnmodelledError, match="hostnames"):
        evaluator([server(), route("r", hostnames=["a.example"])], facts).judge(ask())
    grpc = (server(proxyProtocol="gRPC"), *granted("Server/api", "web"))
    with pytest.raises(UnmodelledError, match="gRPC"):
        evaluator(grpc, facts).judge(ask("/a.B/C", method="POST"))
    assert evaluator(grpc, facts).judge(ask("/a.B/C", "shop/rogue", method="POST")).verdict == "deny"
    assert evaluator(grpc, facts).judge(send()).verdict == "deny"


def test_two_ports_of_one_backend_are_an_error(facts: Facts) -> None:
    """An answer names a backend once."""
    with pytest.raises(UnmodelledError, match="two ports"):
        evaluator([split(rule(to("store", 1, 80), to("store", 1, 82)))], facts).judge(call(src=WEB))


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b'"x"', b"{}"])
def test_bytes_that_are_no_object_are_an_error(body: bytes, facts: Facts) -> None:
    """Not JSON, not an object, nothing in it."""
    with pytest.raises(UnmodelledError, match="Server/shop/api"):
        evaluator([replace(server(), body=body)], facts)
