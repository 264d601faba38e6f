"""Objects that Linkerd's types, or those of the Gateway API, do not allow: a name for each, the manifest, what the refusal says.

`SOUND` has one object of each kind of Linkerd's own, with most of its fields: those are taken.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tests.adapters.linkerd.objects import (
    GATEWAY,
    TO_API,
    authn,
    header,
    native,
    path,
    policy,
    route,
    rule,
    server,
    split,
    to,
)

Json = Any
_ONE = "must validate one and only one schema"
_HEAVY = "weight in body should be less than or equal to 1000000"
_TWICE = "headers: duplicate entries"
_MANY = "backendRefs: Too many: 17"
_NAMED = {"name": "api"}
_X = path("/x")
_PROFILE = "linkerd.io"
_ROUTE = {"name": "r", "condition": {"pathRegex": "/x"}}
_LINE = {"name": "a", "value": "b"}
_REPEATED = {"headers": [header("a", "b"), header("a", "c")]}
_BACKENDS = [to(f"b{number}") for number in range(17)]


def _authorized(**client: Json) -> Json:
    return native("ServerAuthorization", "bad", {"server": _NAMED, "client": client})


def _mesh_tls(**spec: Json) -> Json:
    return native("MeshTLSAuthentication", "bad", spec)


def _networks(networks: Json) -> Json:
    return native("NetworkAuthentication", "bad", {"networks": networks})


def _profile(**spec: Json) -> Json:
    return native("ServiceProfile", "bad", spec, _PROFILE)


def _grpc(*rules: Json) -> Json:
    return native("GRPCRoute", "bad", {"parentRefs": [TO_API], "rules": list(rules)}, GATEWAY)


def _paths(number: int) -> list[Json]:
    return [path(f"/{each}") for each in range(number)]


_ALL: dict[str, tuple[tuple[str, Any, str], ...]] = {
    "Server": (
        ("no port", native("Server", "bad", {"podSelector": {}}), "spec.port: Required"),
        ("no selector", native("Server", "bad", {"port": 80}), _ONE),
        ("two selectors", server("bad", externalWorkloadSelector={}), _ONE),
        ("a port that is neither a number nor a name", server("bad", port=True), "spec.port: Invalid value"),
        (
            "an unknown operator",
            server("bad", podSelector={"matchExpressions": [{"key": "app", "operator": "Is"}]}),
            "matchExpressions[0].operator: Unsupported value",
        ),
        ("a protocol that is not a text", server("bad", proxyProtocol=1), "spec.proxyProtocol: expected string"),
    ),
    "ServerAuthorization": (
        ("no client", native("ServerAuthorization", "bad", {"server": _NAMED}), "spec.client: Required"),
        (
            "a Server by name and by labels",
            native("ServerAuthorization", "bad", {"server": {**_NAMED, "selector": {}}, "client": {}}),
            _ONE,
        ),
        ("no Server", native("ServerAuthorization", "bad", {"server": {}, "client": {}}), _ONE),
        (
            "an identity in capitals",
            _authorized(meshTLS={"identities": ["WEB.shop"]}),
            "identities[0] in body should match",
        ),
        (
            "an account without a name",
            _authorized(meshTLS={"serviceAccounts": [{"namespace": "d"}]}),
            "serviceAccounts[0].name: Required",
        ),
        ("a network without addresses", _authorized(networks=[{"except": []}]), "cidr: Required"),
    ),
    "AuthorizationPolicy": (
        (
            "no list of authentications",
            native("AuthorizationPolicy", "bad", {"targetRef": TO_API}),
            "spec.requiredAuthenticationRefs: Required",
        ),
        ("no target", native("AuthorizationPolicy", "bad", {"requiredAuthenticationRefs": []}), "targetRef: Required"),
        ("a target without a name", policy("Server/", name="bad"), "spec.targetRef.name: Invalid value"),
        (
            "an authentication without a kind",
            policy("Server/api", authn("a", ""), name="bad"),
            "spec.requiredAuthenticationRefs[0].kind: Invalid value",
        ),
        (
            "a group in capitals",
            policy("Server/api", name="bad", group="Policy"),
            "spec.targetRef.group in body should match",
        ),
    ),
    "MeshTLSAuthentication": (
        ("no identity refs", _mesh_tls(identityRefs=[]), "spec.identityRefs in body should have at least 1 items"),
        ("no identities", _mesh_tls(identities=[]), "spec.identities in body should have at least 1 items"),
        ("nothing", _mesh_tls(), _ONE),
        ("both", _mesh_tls(identities=["*"], identityRefs=[{"kind": "Namespace"}]), _ONE),
        ("a ref without a kind", _mesh_tls(identityRefs=[_NAMED]), "kind: Required"),
    ),
    "NetworkAuthentication": (
        ("no networks", native("NetworkAuthentication", "bad", {}), "networks: Required"),
        ("a network without addresses", _networks([{"except": ["10.0.0.0/8"]}]), "cidr: Required"),
        ("one text", _networks("10.0.0.0/8"), "spec.networks: expected list"),
    ),
    "HTTPRoute": (
        ("a header twice", route("bad", _REPEATED), _TWICE),
        ("a method of one's own", route("bad", {"method": "PROPFIND"}), "method: Unsupported value"),
        ("a method in small letters", route("bad", {"method": "get"}), "method: Unsupported value"),
        ("nine matches in a rule", route("bad", *_paths(9)), "spec.rules[0].matches: Too many: 9"),
        ("seventeen rules", route("bad", rules=[{"matches": [_X]}] * 17), "spec.rules: Too many: 17"),
        ("a long path", route("bad", path("/" + "x" * 1024)), "path.value: Too long"),
        ("a way to match that there is not", route("bad", path("/x", "Glob")), "path.type: Unsupported value"),
        ("a header without a name", route("bad", {"headers": [header("", "b")]}), "headers[0].name: Invalid value"),
        (
            "a filter that there is not",
            route("bad", rules=[{"filters": [{"type": "URLRewrite"}]}]),
            "filters[0].type: Unsupported value",
        ),
        ("the port zero", split(rule(to("store-v1")), name="bad", port=0), "spec.parentRefs[0].port: Invalid value"),
        ("a heavy backend", split(rule(to("store-v1", 1_000_001)), name="bad"), _HEAVY),
        ("seventeen backends", split(rule(*_BACKENDS), name="bad"), _MANY),
    ),
    "HTTPRoute of the Gateway API": (
        ("a header twice", route("bad", _REPEATED, group=GATEWAY), _TWICE),
        ("a method of one's own", route("bad", {"method": "PROPFIND"}, group=GATEWAY), "method: Unsupported value"),
        (
            "a backend without a port",
            split(rule(_NAMED), name="bad", kind="HTTPRoute"),
            "Must have port for Service reference",
        ),
        ("a heavy backend", split(rule(to("store-v1", 1_000_001)), name="bad", kind="HTTPRoute"), _HEAVY),
        ("129 matches", route("bad", rules=[{"matches": _paths(43)}] * 3, group=GATEWAY), "less than 128"),
    ),
    "GRPCRoute": (
        (
            "neither service nor method",
            _grpc({"matches": [{"method": {"type": "Exact"}}]}),
            "One or both of 'service' or 'method' must be specified",
        ),
        ("a heavy backend", _grpc({"backendRefs": [to("store-v1", 1_000_001)]}), _HEAVY),
        ("a header twice", _grpc({"matches": [{"headers": [_LINE, _LINE]}]}), _TWICE),
    ),
    "TCPRoute": (
        ("no rules", split(name="bad", kind="TCPRoute"), "spec.rules in body should have at least 1 items"),
        ("a heavy backend", split(rule(to("store-v1", 1_000_001)), name="bad", kind="TCPRoute"), _HEAVY),
        ("seventeen backends", split(rule(*_BACKENDS), name="bad", kind="TCPRoute"), _MANY),
    ),
    "ServiceProfile": (
        ("a route without a name", _profile(routes=[{"condition": {}}]), "name: Required"),
        ("a route without a condition", _profile(routes=[{"name": "r"}]), "condition: Required"),
        (
            "a weight that is no quantity",
            _profile(dstOverrides=[{"authority": "a", "weight": "much"}]),
            "weight in body should match",
        ),
        (
            "a budget without an end",
            _profile(retryBudget={"minRetriesPerSecond": 1, "retryRatio": 0.1}),
            "ttl: Required",
        ),
        (
            "a response without a condition",
            _profile(routes=[{**_ROUTE, "responseClasses": [{}]}]),
            "condition: Required",
        ),
    ),
}

REFUSED: Sequence[tuple[str, Json, str]] = tuple(
    (f"{kind}: {what}", json.loads(made.body), said) for kind, rows in _ALL.items() for what, made, said in rows
)

_SELECTOR = {"matchLabels": {"app": "api"}, "matchExpressions": [{"key": "app", "operator": "In", "values": ["api"]}]}
_CLIENT = {
    "networks": [{"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}],
    "meshTLS": {"identities": ["*.shop"], "serviceAccounts": [{"name": "web", "namespace": "shop"}]},
}
_STATUS = {"status": {"min": 500, "max": 599}}
_WRITTEN = {"set": [_LINE], "add": [_LINE], "remove": ["b"]}
_FILTERS = [
    {"type": "RequestHeaderModifier", "requestHeaderModifier": _WRITTEN},
    {"type": "RequestRedirect", "requestRedirect": {"statusCode": 301, "path": {"type": "ReplaceFullPath"}}},
]
_MATCH = path("/x", method="GET", headers=[header("a", "b")], queryParams=[header("c", "d")])
_ROUTED = {**rule(to("store-v1", 1), matches=[_MATCH]), "filters": _FILTERS, "timeouts": {"request": "1s"}}
_KNOWN: Sequence[Json] = (
    server("sound", podSelector=_SELECTOR, proxyProtocol="HTTP/1", accessPolicy="deny"),
    native("ServerAuthorization", "sound", {"server": {"selector": _SELECTOR}, "client": _CLIENT}),
    policy("Server/api", authn("web", namespace="shop"), name="sound"),
    _mesh_tls(identityRefs=[{"group": "", "kind": "ServiceAccount", "name": "web", "namespace": "shop"}]),
    _networks([{"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}]),
    route("sound", hostnames=["*.shop"], rules=[_ROUTED], parent={**TO_API, "namespace": "shop", "sectionName": "a"}),
    _profile(
        opaquePorts=["3306"],
        dstOverrides=[{"authority": "store-v2.shop.svc.cluster.local:80", "weight": "500m"}],
        retryBudget={"minRetriesPerSecond": 1, "retryRatio": 0.5, "ttl": "10s"},
        routes=[
            {
                "name": "r",
                "timeout": "1s",
                "condition": {"all": [{"pathRegex": "/x"}], "not": [{"method": "GET"}]},
                "responseClasses": [{"condition": {"all": [_STATUS], "not": _STATUS}, "isFailure": True}],
            }
        ],
    ),
)
SOUND: Sequence[Json] = tuple(json.loads(made.body) for made in _KNOWN)
