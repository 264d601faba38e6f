"""One good resource of each shape that is sent to an Envoy, for tests that change one place of it."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.vm import wire
from adapters.vm.config import VmConfig
from adapters.vm.safety.check import check
from adapters.vm.translate.unit import translate
from adapters.vm.view import view
from hub.errors import UnsafeResourceError
from hub.model import Client, HttpMatch, ObjectRef, RoutePort
from tests.servers.sidecar import endpoint
from tests.servers.units import access, http_grant, inbound, route, spiffe, split, tcp_grant

Path = tuple[str | int, ...]
GONE = object()
T = "type.googleapis.com/envoy."
PER_ROUTE = T + "extensions.filters.http.rbac.v3.RBACPerRoute"
FILTER_CONFIG = T + "config.route.v3.FilterConfig"


def resources() -> dict[str, tuple[str, bytes]]:
    """One good resource of each shape, by a short name."""
    match = HttpMatch(path="/v1/.*", methods=("GET",), headers=(("x-tier", "gold.*"),))
    ports = [inbound(8080), inbound(9000, "tcp"), inbound(9100, "tcp")]
    made = translate(access(http_grant("h", ["web"], match), tcp_grant("t", ["web"], (9000,)), ports=ports), VmConfig())
    client, socket = (
        Client(ObjectRef("smihub.io", "Workload", "d", "c"), *place)
        for place in (("127.0.0.1", 7000), ("/run/c/web.sock", 0))
    )
    layers = (split("ab", (HttpMatch(headers=(("x-a", "b"),)),), v2=1), split("w", v1=1, v2=2, v3=0))
    http = RoutePort(80, "TCP", "http", layers, (spiffe("api"),), (client, socket))
    tcp = RoutePort(90, "TCP", "tcp", (split("off", v1=0),), (), (client,))
    made_route = translate(route("web", http, tcp), VmConfig())
    named = {item.ref.name: (item.ref.kind, item.body) for item in made.objects}
    named |= {f"{item.ref.kind}:{item.ref.name}": (item.ref.kind, item.body) for item in made_route.objects}
    return {
        "http": named["in/d/api/8080/http@127.0.0.1"],
        "tcp": named["in/d/api/9000/tcp@127.0.0.1"],
        "policy": named["in/d/api/8080/http"],
        "rbac": named["rbac/d/api/9000/tcp"],
        "closed rbac": named["rbac/d/api/9100/tcp"],
        "peers": named["peers/d/api/9000/tcp"],
        "app": named["app/d/api/127.0.0.1:8081"],
        "service": named["Cluster:out/d/web/80"],
        "none": named["Cluster:out/d/web/90/none"],
        "routes": named["RouteConfiguration:out/d/web/80"],
        "out": named["Listener:out/d/web/80@d/c@127.0.0.1:7000"],
        "out socket": named["Listener:out/d/web/80@d/c@/run/c/web.sock"],
        "virtual": named["Listener:out/d/web/80"],
        "out tcp": named["Listener:out/d/web/90@d/c@127.0.0.1:7000"],
        "endpoints": endpoint("out/d/web/80", 1234),
    }


GOOD = resources()
CHAIN: Path = ("filter_chains", 0)
HCM: Path = (*CHAIN, "filters", 1, "typed_config")
OUT_HCM: Path = (*CHAIN, "filters", 0, "typed_config")
TLS: Path = (*CHAIN, "transport_socket", "typed_config")
COMMON: Path = (*TLS, "common_tls_context")
HOST: Path = ("virtual_hosts", 0)
ENTRIES: Path = (*HOST, "typed_per_filter_config")
ENTRY: Path = (*ENTRIES, "envoy.filters.http.rbac")
RULES: Path = (*ENTRY, "rbac", "rules")
POLICY: Path = (*RULES, "policies", "d/h")
PERMISSION: Path = (*POLICY, "permissions", 0)
CONDITIONS: Path = (*PERMISSION, "and_rules", "rules")
PRINCIPAL: Path = (*POLICY, "principals", 0)
SAN: Path = (*PRINCIPAL, "custom", "typed_config", "san_matcher")
NETWORK: Path = ("typed_config", "rules")
CONTEXT: Path = ("validation_context",)
UPSTREAM: Path = ("transport_socket", "typed_config", "common_tls_context")
PINS: Path = (*UPSTREAM, "combined_validation_context", "default_validation_context")
ANY: dict[str, Any] = {"any": True}
ROUTER = {
    "name": "envoy.filters.http.router",
    "typed_config": {"@type": T + "extensions.filters.http.router.v3.Router"},
}
OPEN_RBAC = {"name": "envoy.filters.http.rbac", "typed_config": {"@type": T + "extensions.filters.http.rbac.v3.RBAC"}}


def disabled(**more: Any) -> dict[str, Any]:
    """A FilterConfig as an entry of a filter."""
    return {"@type": FILTER_CONFIG, **more}


def good(key: str, path: Path) -> Any:
    """What stands at a path of a good resource."""
    value = view(GOOD[key][1], GOOD[key][0])
    for part in path:
        value = value[part]
    return value


def edited(value: Any, path: Path, new: Any) -> Any:
    """JSON-like data with one place replaced (GONE: removed; None in a dict: removed)."""
    if not path:
        return new
    key, rest = path[0], path[1:]
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    if not rest and new is GONE:
        del copy[key]
        return copy
    inner = copy[key] if isinstance(key, int) else copy.get(key, {})
    copy[key] = edited(inner, rest, new)
    return copy


def refused(key: str, path: Path, new: Any) -> None:
    """A good resource with one changed place is refused, and the error names the resource."""
    kind, body = GOOD[key]
    bad = wire.pack(wire.from_json(kind, edited(view(body, kind), path, new)))
    assert bad != body
    with pytest.raises(UnsafeResourceError, match=f'{kind} ".*" must not be sent: '):
        check(kind, bad)
