"""The closed list of shapes: what was seen to open or freeze a mesh never leaves the hub."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from adapters.linkerd.config import LinkerdConfig, Probe, Probes
from adapters.linkerd.safety.check import check
from adapters.linkerd.translate import ports as translate_ports
from adapters.linkerd.translate.narrowest import narrowest
from adapters.linkerd.translate.unit import translate
from hub.errors import UnsafeResourceError
from hub.model import Grant, HttpMatch, RoutePort
from tests.servers.units import access, http_grant, inbound, route, split, tcp_grant

Body = dict[str, Any]


def _bodies() -> dict[str, Body]:
    """One object of each kind as we make it; `Split` is the HTTPRoute of a Service."""
    grant = http_grant("t", ["shop", "web"], HttpMatch("/a", ("GET",), (("x-a", "1"),)))
    granted = translate(access(grant, ports=(inbound(8080),)), LinkerdConfig()).objects
    layers = (split("c", (HttpMatch("/beta"),), v2=1), split("s", v1=1, v2=1))
    http = translate(route("shop", RoutePort(80, "TCP", "http", layers)), LinkerdConfig()).objects
    tcp = translate(route("shop", RoutePort(90, "TCP", "tcp", layers)), LinkerdConfig()).objects
    found = {one.ref.kind: msgspec.json.decode(one.body) for one in (*granted, *tcp)}
    probes = LinkerdConfig(probes=Probes(("10.0.0.0/8", "fd00::/8"), (Probe("d/api", 8080, "/"),)))
    probed = translate(access(ports=(inbound(8080),)), probes).objects
    found["NetworkAuthentication"] = msgspec.json.decode(next(one.body for one in probed if "Network" in one.ref.kind))
    found["ByNetwork"] = msgspec.json.decode(next(one.body for one in probed if one.ref.kind == "AuthorizationPolicy"))
    return found | {"Split": msgspec.json.decode(http[0].body)}


BODIES = _bodies()


def written(body: Body) -> bytes:
    """As it would be written."""
    return msgspec.json.encode(body, order="sorted")


@pytest.mark.parametrize("kind", sorted(BODIES))
def test_what_we_make_passes(kind: str) -> None:
    """Every kind."""
    check(written(BODIES[kind]))


def _put(*path: Any) -> Callable[[Body], None]:
    """A change of one place; the last part is the value."""

    def change(body: Body) -> None:
        at: Any = body
        for part in path[:-2]:
            at = at[part]
        at[path[-2]] = path[-1]

    return change


POLICY = "policy.linkerd.io"
_BY_IDENTITY = {"group": POLICY, "kind": "MeshTLSAuthentication", "name": "a"}
_RULE = ("spec", "rules", 0)
_PATH = (*_RULE, "matches", 0, "path")
_HEADER = (*_RULE, "matches", 0, "headers")
_PATTERN = {"type": "RegularExpression", "value": "^(?:/a)$"}
_ONE_HEADER = {"name": "x-a", "type": "RegularExpression", "value": "^(?:1)$"}
BAD: list[tuple[str, Callable[[Body], None], str]] = [
    ("Server", _put("spec", "accessPolicy", "all-unauthenticated"), "enum"),
    ("Server", _put("spec", "accessPolicy", "audit"), "enum"),
    ("Server", _put("spec", "podSelector", {}), "matchLabels"),
    ("Server", _put("spec", "podSelector", {"matchLabels": {}}), "length"),
    ("Server", _put("spec", "podSelector", {"matchLabels": {"app": "api"}}), "selector"),
    ("Server", _put("spec", "port", "http"), "int"),
    ("Server", _put("spec", "proxyProtocol", "TLS"), "enum"),
    ("Server", _put("metadata", "annotations", {"a": "b"}), "unknown field"),
    ("MeshTLSAuthentication", _put("spec", "identityRefs", []), "length"),
    ("MeshTLSAuthentication", _put("spec", "identities", ["*"]), "unknown field"),
    ("MeshTLSAuthentication", _put("spec", "identityRefs", 0, "kind", "Namespace"), "enum"),
    ("AuthorizationPolicy", _put("spec", "requiredAuthenticationRefs", []), "length"),
    ("AuthorizationPolicy", _put("spec", "targetRef", "kind", "Namespace"), "enum"),
    ("AuthorizationPolicy", _put("spec", "targetRef", "group", "core"), "enum"),
    ("AuthorizationPolicy", _put("spec", "requiredAuthenticationRefs", 0, "kind", "ServiceAccount"), "enum"),
    ("ByNetwork", _put("spec", "targetRef", {"group": POLICY, "kind": "Server", "name": "a"}), "all of a Server"),
    ("ByNetwork", lambda body: body["spec"]["requiredAuthenticationRefs"].append(_BY_IDENTITY), "length"),
    ("NetworkAuthentication", _put("spec", "networks", []), "length"),
    ("NetworkAuthentication", _put("spec", "networks", 0, {}), "cidr"),
    ("NetworkAuthentication", _put("spec", "networks", 0, "except", []), "unknown field"),
    ("NetworkAuthentication", _put("spec", "networks", 0, "cidr", "10.0.0.0"), "regex"),
    ("NetworkAuthentication", _put("spec", "networks", 0, "cidr", "10.0.0.1/8"), "beside its prefix"),
    ("NetworkAuthentication", _put("spec", "networks", 0, "cidr", "10.0.0.0/99"), "not one"),
    ("NetworkAuthentication", _put("spec", "networks", 0, "cidr", "fd00::/8"), "twice"),
    (
        "AuthorizationPolicy",
        _put("spec", "targetRef", {"group": "gateway.networking.k8s.io", "kind": "Server", "name": "a"}),
        "another API group",
    ),
    ("HTTPRoute", _put("spec", "parentRefs", 0, "port", 8080), "unknown field"),
    ("HTTPRoute", _put("spec", "parentRefs", 0, "sectionName", "a"), "unknown field"),
    ("HTTPRoute", _put("spec", "hostnames", ["a"]), "unknown field"),
    ("HTTPRoute", _put("spec", "rules", []), "length"),
    ("HTTPRoute", _put(*_RULE, "matches", []), "length"),
    ("HTTPRoute", _put("spec", "rules", [{"matches": [{"path": _PATTERN}] * 8}] * 16), "too many matches"),
    ("HTTPRoute", _put(*_RULE, "filters", [{"type": "URLRewrite"}]), "unknown field"),
    (
        "HTTPRoute",
        _put(*_RULE, "backendRefs", [{"group": "", "kind": "Service", "name": "a", "port": 1, "weight": 1}]),
        "backends",
    ),
    ("HTTPRoute", _put(*_PATH, {"type": "PathPrefix", "value": "/foo/"}), "prefix"),
    ("HTTPRoute", _put(*_PATH, "value", "/a"), "anchored"),
    ("HTTPRoute", _put(*_PATH, "value", "^(?:/a)|(?:/b)$"), "anchored"),
    ("HTTPRoute", _put(*_PATH, "value", "^(?:/\\d+)$"), "anchored"),
    ("HTTPRoute", _put(*_PATH, "value", "^(?:/(?i)a)$"), "anchored"),
    ("HTTPRoute", _put(*_PATH, "value", "^(?:/[a&&b])$"), "anchored"),
    ("HTTPRoute", _put(*_PATH, "value", "^(?:/a{,2})$"), "anchored"),
    ("HTTPRoute", _put(*_PATH, "value", "^(?:/(a)$"), "anchored"),
    ("HTTPRoute", _put(*_PATH, "value", "^(?:/.{1000}.{1000}.{1000})$"), "anchored"),
    ("HTTPRoute", _put(*_PATH, "value", f"^(?:/{'a' * 1018})$"), "length"),
    ("HTTPRoute", _put(*_RULE, "matches", 0, "method", "get"), "enum"),
    ("HTTPRoute", _put(*_HEADER, [_ONE_HEADER, _ONE_HEADER]), "twice"),
    ("HTTPRoute", _put(*_HEADER, [{**_ONE_HEADER, "name": "host"}]), "not set by the caller"),
    ("HTTPRoute", _put(*_HEADER, [{**_ONE_HEADER, "name": "X-A"}]), "regex"),
    ("HTTPRoute", _put(*_HEADER, [{**_ONE_HEADER, "value": "1"}]), "anchored"),
    ("HTTPRoute", _put(*_HEADER, [{**_ONE_HEADER, "type": "Exact"}]), "enum"),
    (
        "Split",
        _put("spec", "parentRefs", 0, {"group": "core", "kind": "Service", "name": "shop", "namespace": "d"}),
        "port",
    ),
    ("Split", _put("spec", "parentRefs", 0, "group", ""), "group"),
    ("Split", _put("spec", "parentRefs", 0, "namespace", "e"), "another namespace"),
    ("Split", _put("spec", "rules", 1, "backendRefs", 0, "weight", 0), "1"),
    ("Split", _put("spec", "rules", 1, "backendRefs", 0, "weight", 1_000_001), "1000000"),
    ("Split", _put("spec", "rules", 1, "backendRefs", 0, "port", 81), "port"),
    ("Split", _put("spec", "rules", 1, "backendRefs", 0, "name", "v2"), "twice"),
    ("Split", _put("spec", "rules", 1, "backendRefs", 0, "namespace", "e"), "unknown field"),
    ("Split", _put("spec", "rules", 1, "backendRefs", 0, "kind", "Pod"), "enum"),
    ("Split", _put("spec", "rules", 1, "backendRefs", 0, "group", "core"), "enum"),
    ("Split", _put("spec", "rules", 1, "backendRefs", []), "length"),
    ("Split", lambda body: body["spec"]["rules"][1]["backendRefs"][0].pop("weight"), "weight"),
    ("Split", lambda body: body["spec"]["rules"].pop(), "404"),
    ("Split", lambda body: body["spec"]["rules"].reverse(), "404"),
    ("Split", lambda body: body["spec"]["rules"][-1]["matches"].append({"path": _PATTERN}), "404"),
    ("Split", _put("spec", "rules", 1, "matches", 0, "method", "GET"), "404"),
    ("Split", _put("spec", "rules", 1, "matches", 0, "headers", [_ONE_HEADER]), "404"),
    ("Split", lambda body: body["spec"]["rules"].insert(0, body["spec"]["rules"][1]), "everything"),
    ("TCPRoute", lambda body: body["spec"]["rules"].append(body["spec"]["rules"][0]), "length"),
    ("TCPRoute", _put("spec", "parentRefs", 0, "group", "core"), "group"),
    ("TCPRoute", _put("apiVersion", "gateway.networking.k8s.io/v1"), "enum"),
]


@pytest.mark.parametrize(
    ("kind", "change", "why"), BAD, ids=[f"{kind}-{number}" for number, (kind, _, _) in enumerate(BAD)]
)
def test_what_opens_or_freezes_a_mesh_is_refused(kind: str, change: Callable[[Body], None], why: str) -> None:
    """With the reason."""
    body = copy.deepcopy(BODIES[kind])
    change(body)
    with pytest.raises(UnsafeResourceError, match=f"(?i)must not be written.*{why}"):
        check(written(body))


@pytest.mark.parametrize("body", [b"", b"{}", b'{"kind": "Server"}', b'{"kind":"NetworkAuthentication"}', b"\xff"])
def test_bytes_that_are_no_object_of_ours(body: bytes) -> None:
    """They are refused as well."""
    with pytest.raises(UnsafeResourceError):
        check(body)


def test_bytes_that_may_be_read_in_two_ways() -> None:
    """A key that is there twice, or another order."""
    body = written(BODIES["Server"])
    for other in (
        body.replace(b'"port":8080', b'"port":80,"port":8080'),
        msgspec.json.encode(dict(reversed(BODIES["Server"].items()))),
    ):
        with pytest.raises(UnsafeResourceError, match="canonical"):
            check(other)


def test_nothing_leaves_unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake of the translation, such as a port that there is not, ends here."""
    monkeypatch.setattr(translate_ports, "UNUSED", 0)
    with pytest.raises(UnsafeResourceError, match=r"spec\.port"):
        translate(access(ports=()), LinkerdConfig())


@pytest.mark.parametrize("grant", [tcp_grant("t", ["web"]), http_grant("t", ["web"], HttpMatch("/a"))])
@pytest.mark.parametrize("group", ["policy.linkerd.io", "gateway.networking.k8s.io"])
def test_the_narrowest_policy_is_safe(grant: Grant, group: Any) -> None:
    """It names callers that nobody writes, keeps its target, and passes the same check."""
    made = translate(access(grant, ports=(inbound(9000, "none"),)), LinkerdConfig(http_routes=group)).objects
    (policy,) = (one for one in made if one.ref.kind == "AuthorizationPolicy")
    narrow = narrowest(policy.body, policy.ref.kind)
    assert narrow is not None
    check(narrow)
    before, after = msgspec.json.decode(policy.body), msgspec.json.decode(narrow)
    assert after["spec"]["requiredAuthenticationRefs"][0]["name"] == "nobody.smihub.invalid"
    assert (after["metadata"], after["spec"]["targetRef"]) == (before["metadata"], before["spec"]["targetRef"])


@pytest.mark.parametrize("kind", ["Server", "HTTPRoute", "MeshTLSAuthentication"])
def test_what_grants_nothing_by_itself_has_no_narrowest_form(kind: str) -> None:
    """It stays as it is until it may go."""
    assert narrowest(written(BODIES[kind]), kind) is None


def test_a_policy_for_a_namespace_has_no_narrowest_form() -> None:
    """It is none of ours."""
    body = copy.deepcopy(BODIES["AuthorizationPolicy"])
    body["spec"]["targetRef"] = {"group": "core", "kind": "Namespace", "name": "d"}
    assert narrowest(written(body), "AuthorizationPolicy") is None
    assert narrowest(b"{}", "AuthorizationPolicy") is None
