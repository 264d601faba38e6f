"""Bodies of Linkerd objects: canonical JSON.

Source: https://linkerd.io/2-edge/reference/authorization-policy/ and .../httproute/; Gateway API, HTTPRoute v1 and TCPRoute
v1alpha2 (https://gateway-api.sigs.k8s.io/reference/spec/).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from adapters.linkerd.config import GATEWAY, POLICY
from adapters.linkerd.regex import anchored
from hub.api import SERVICE_ACCOUNT_LABEL, Identity, ObjectRef, service_account_label

Json = dict[str, Any]
MATCHES_PER_RULE = 8
"""Most matches of one rule (the schema of policy.linkerd.io HTTPRoute)."""

_VERSIONS = {
    (POLICY, "Server"): "v1beta3",
    (POLICY, "AuthorizationPolicy"): "v1alpha1",
    (POLICY, "MeshTLSAuthentication"): "v1alpha1",
    (POLICY, "NetworkAuthentication"): "v1alpha1",
    (POLICY, "HTTPRoute"): "v1beta3",
    (GATEWAY, "HTTPRoute"): "v1",
    (GATEWAY, "TCPRoute"): "v1alpha2",
}
EVERY_PATH: Json = {"type": "PathPrefix", "value": "/"}


class RouteMatch(Struct, frozen=True, order=True, gc=False):
    """One match of a route: a pattern for the whole path, a method (None: any) and a pattern for each of some headers.

    Without a pattern it is for every path, and less specific than any with one, except for the path "/".
    """

    path: str | None
    method: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


def sort_key(match: RouteMatch) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    """By what matches are ordered where nothing else orders them."""
    return match.path or "", match.method or "", match.headers


def match_body(match: RouteMatch) -> Json:
    """A match as it is written."""
    pattern = {} if match.path is None else {"type": "RegularExpression", "value": anchored(match.path)}
    body: Json = {"path": pattern or EVERY_PATH}
    if match.method is not None:
        body["method"] = match.method
    if match.headers:
        body["headers"] = [
            {"name": name, "type": "RegularExpression", "value": anchored(pattern)} for name, pattern in match.headers
        ]
    return body


def server(ref: ObjectRef, account: str, port: int, protocol: str) -> bytes:
    """A port of the Pods of an account, on which nothing is allowed but what policies that name the Server allow."""
    selector = {"matchLabels": {SERVICE_ACCOUNT_LABEL: service_account_label(account)}}
    return _body(ref, {"accessPolicy": "deny", "podSelector": selector, "port": port, "proxyProtocol": protocol})


def authentication(ref: ObjectRef, callers: Iterable[Identity]) -> bytes:
    """Callers that prove by mutual TLS to be one of these service accounts; never without any."""
    refs = [
        {"kind": "ServiceAccount", "name": one.service_account, "namespace": one.namespace} for one in sorted(callers)
    ]
    return _body(ref, {"identityRefs": refs})


def networks(ref: ObjectRef, cidrs: Iterable[str]) -> bytes:
    """Callers from some addresses, whoever they are."""
    return _body(ref, {"networks": [{"cidr": cidr} for cidr in cidrs]})


def authorization(ref: ObjectRef, target: ObjectRef, callers: ObjectRef) -> bytes:
    """What is allowed to the callers of one MeshTLSAuthentication or NetworkAuthentication."""
    refs = [{"group": callers.group, "kind": callers.kind, "name": callers.name}]
    target_ref = {"group": target.group, "kind": target.kind, "name": target.name}
    return _body(ref, {"requiredAuthenticationRefs": refs, "targetRef": target_ref})


def server_route(ref: ObjectRef, server: ObjectRef, matches: Sequence[RouteMatch]) -> bytes:
    """Requests to a Server that policies can allow; without a policy of its own it allows nothing."""
    parent = {"group": POLICY, "kind": "Server", "name": server.name}
    rules = [{"matches": list(map(match_body, some))} for some in in_rules(matches)]
    return _body(ref, {"parentRefs": [parent], "rules": rules})


def service_route(ref: ObjectRef, service: str, port: int, rules: Sequence[Json]) -> bytes:
    """Where calls to one port of a Service go."""
    group = "core" if ref.group == POLICY else ""
    parent = {"group": group, "kind": "Service", "name": service, "namespace": ref.namespace, "port": port}
    return _body(ref, {"parentRefs": [parent], "rules": rules})


def backend(service: str, port: int, weight: int) -> Json:
    """A Service with its part of the calls; with what the API server would fill in (the schemas of HTTPRoute and TCPRoute)."""
    return {"group": "", "kind": "Service", "name": service, "port": port, "weight": weight}


def in_rules(matches: Sequence[RouteMatch]) -> list[Sequence[RouteMatch]]:
    """The matches in order, as many to a rule as it takes."""
    return [matches[at : at + MATCHES_PER_RULE] for at in range(0, len(matches), MATCHES_PER_RULE)]


def _body(ref: ObjectRef, spec: Json) -> bytes:
    version = f"{ref.group}/{_VERSIONS[ref.group, ref.kind]}"
    metadata = {"name": ref.name, "namespace": ref.namespace}
    return msgspec.json.encode(
        {"apiVersion": version, "kind": ref.kind, "metadata": metadata, "spec": spec}, order="sorted"
    )
