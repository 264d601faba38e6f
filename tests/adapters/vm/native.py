"""Native objects of a small mesh for tests, written as JSON in Envoy's own field names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from adapters.vm import names, wire
from hub.api import (
    Answer,
    Destination,
    Endpoint,
    Facts,
    Identity,
    NativeObject,
    ObjectRef,
    Placement,
    Request,
    Role,
    Source,
    UnitKey,
)

TD = "td"
UNIT = UnitKey("access", "d", "api")
TYPES = "type.googleapis.com/envoy"
WEB, OTHER, API = (f"spiffe://{TD}/ns/s/sa/web", f"spiffe://{TD}/ns/s/sa/other", f"spiffe://{TD}/ns/d/sa/api")
HTTP_RBAC = f"{TYPES}.extensions.filters.http.rbac.v3.RBAC"
PER_ROUTE = f"{TYPES}.extensions.filters.http.rbac.v3.RBACPerRoute"
FILTER_CONFIG = f"{TYPES}.config.route.v3.FilterConfig"
RBAC_NAME = "envoy.filters.http.rbac"
TABLE = names.inbound("d", "api", 8080, "http")
LISTENER = names.inbound_listener("d", "api", 8080, "http", "10.0.0.1")
TCP_LISTENER = names.inbound_listener("d", "api", 9000, "tcp", "10.0.0.1")
APP, TCP_APP = (names.app("d", "api", "127.0.0.1", port) for port in (8080, 9000))
Json = Any
ANY: Json = {"any": True}
Transport = Literal["TCP", "UDP"]


def native(kind: str, body: Json, needs: Sequence[ObjectRef] = ()) -> NativeObject:
    """The object of this JSON; its name is the message's own."""
    packed = wire.pack(wire.from_json(kind, body))
    return NativeObject(names.ref(kind, body["name"]), Role.GRANT, packed, needs=tuple(needs))


def cluster(name: str, endpoints: int = 1) -> NativeObject:
    """A STATIC cluster: the application, on the port with which its name ends (8080 where it ends otherwise)."""
    port = int(name.rpartition(":")[2]) if ":" in name else 8080
    one = {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}}
    load = {"cluster_name": name, "endpoints": [{"lb_endpoints": [one] * endpoints}]}
    return native("Cluster", {"name": name, "type": "STATIC", "load_assignment": load})


def san(*ids: str) -> list[Json]:
    """Principals by URI SAN, exact."""
    return [{"custom": {"name": "envoy.rbac.principals.mtls_authenticated", "typed_config": mtls(one)}} for one in ids]


def mtls(spiffe: str) -> Json:
    """The configuration of a principal by URI SAN."""
    kind = f"{TYPES}.extensions.rbac.principals.mtls_authenticated.v3.Config"
    return {"@type": kind, "san_matcher": uri(spiffe)}


def uri(spiffe: str) -> Json:
    """A SubjectAltNameMatcher: this URI exactly."""
    return {"san_type": "URI", "matcher": {"exact": spiffe}}


def path_is(pattern: str) -> Json:
    """A permission by path regex."""
    return {"url_path": {"path": {"safe_regex": {"regex": pattern}}}}


def header_is(name: str, **match: Json) -> Json:
    """A permission by header."""
    return {"header": {"name": name, **match}}


def policy(principals: Sequence[Json], *permissions: Json) -> Json:
    """One policy."""
    return {"principals": list(principals), "permissions": list(permissions)}


def rules(policies: Mapping[str, Json] | None = None, action: str = "ALLOW") -> Json:
    """An RBAC message."""
    return {"action": action, "policies": dict(policies or {})}


def per_route(rbac: Json | None) -> Json:
    """An RBACPerRoute of these rules; None leaves `rbac` unset."""
    return {"@type": PER_ROUTE} if rbac is None else {"@type": PER_ROUTE, "rbac": rbac}


GOOD = per_route({"rules": rules({"web": policy(san(WEB), path_is("/v1/.*"))})})


def table(entry: Json | None, **more: Json) -> NativeObject:
    """The inbound RouteConfiguration with this entry of the RBAC filter at its one virtual host."""
    entries = {} if entry is None else {"typed_per_filter_config": {RBAC_NAME: entry}}
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": APP}}]
    host = {"name": "in", "domains": ["*"], "routes": routes, **entries, **more}
    return native("RouteConfiguration", {"name": TABLE, "virtual_hosts": [host]})


def rbac_filter(**config: Json) -> Json:
    """An HTTP RBAC filter; by default it denies all that no route configures."""
    return {"name": RBAC_NAME, "typed_config": {"@type": HTTP_RBAC, **(config or {"rules": rules()})}}


ROUTER = {"name": "router", "typed_config": {"@type": f"{TYPES}.extensions.filters.http.router.v3.Router"}}
STRICT = {
    "normalize_path": True,
    "merge_slashes": True,
    "path_with_escaped_slashes_action": "REJECT_REQUEST",
    "common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"},
}


def manager(rds: str = TABLE, filters: Sequence[Json] | None = None, **more: Json) -> Json:
    """An HTTP connection manager as a network filter."""
    config = {
        "@type": f"{TYPES}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "x",
        "rds": {"config_source": {"ads": {}}, "route_config_name": rds},
        "http_filters": [*(filters if filters is not None else [rbac_filter()]), ROUTER],
        **STRICT,
        **more,
    }
    return {"name": "http", "typed_config": config}


def proxy(**config: Json) -> Json:
    """A TCP proxy as a network filter."""
    kind = f"{TYPES}.extensions.filters.network.tcp_proxy.v3.TcpProxy"
    return {"name": "tcp", "typed_config": {"@type": kind, "stat_prefix": "x", **config}}


def network_rbac(rbac: Json | None) -> Json:
    """A network RBAC filter of these rules."""
    kind = f"{TYPES}.extensions.filters.network.rbac.v3.RBAC"
    config = {"@type": kind, "stat_prefix": "x", **({} if rbac is None else {"rules": rbac})}
    return {"name": "rbac", "typed_config": config}


def limited(most: int = 9) -> Json:
    """A limit of connections as a network filter."""
    kind = f"{TYPES}.extensions.filters.network.connection_limit.v3.ConnectionLimit"
    return {"name": "limit", "typed_config": {"@type": kind, "stat_prefix": "x", "max_connections": most}}


CA = {"trusted_ca": {"inline_string": names.BUNDLE}}


def tls(validation: Json, required: bool = True) -> Json:  # noqa: FBT001, FBT002 - Envoy's own field
    """A server's transport socket; `validation` are the fields of the common context that say whom it trusts."""
    common = {"tls_certificate_sds_secret_configs": [{"name": names.SELF}], **validation}
    kind = f"{TYPES}.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
    config = {"@type": kind, "require_client_certificate": required, "common_tls_context": common}
    return {"name": "tls", "typed_config": config}


def listener(name: str, filters: Sequence[Json], socket: Json | None = None, **more: Json) -> NativeObject:
    """A listener of one chain; its address is read from an inbound name."""
    address, port = ("10.0.0.1", int(name.split("/")[3])) if name.startswith("in/") else ("127.0.0.1", 1)
    chain = {"name": "g0", "filters": list(filters), **({} if socket is None else {"transport_socket": socket})}
    where = {"socket_address": {"address": address, "port_value": port}}
    return native("Listener", {"name": name, "address": where, "filter_chains": [chain], **more})


TLS = tls({"validation_context": CA})


def workload(name: str = "one", listeners: Sequence[str] = (LISTENER, TCP_LISTENER)) -> NativeObject:
    """The Workload object of d/<name>."""
    needs = tuple(names.ref("Listener", one) for one in listeners)
    return NativeObject(names.ref("Workload", f"d/{name}"), Role.GRANT, b"{}", needs=needs)


def placed(name: str = "one", kind: str = "Workload", account: str = "api") -> Placement:
    """A placement that receives HTTP on 8080 and TCP on 9000."""
    ref = ObjectRef("smihub.io" if kind == "Workload" else "", kind, "d", name)
    inbound: tuple[tuple[int, Transport, str], ...] = ((8080, "TCP", "http"), (9000, "TCP", "tcp"))
    return Placement(ref, Identity(TD, "d", account), bind="10.0.0.1", inbound=inbound)


def facts(
    *placements: Placement, endpoints: Mapping[tuple[str, str, int], tuple[Endpoint, ...]] | None = None
) -> Facts:
    """Facts of our trust domain; without placements there is the one workload d/one."""
    stand = placements or (placed(),)
    return Facts(TD, {one.ref: one for one in stand}, endpoints or {})


def http(path: str = "/v1/a", src: str = WEB, **more: Any) -> Request:
    """An HTTP request to d/api on 8080."""
    return Request(Source(spiffe=src), Destination(identity="d/api"), 8080, path=path, **more)


def judged(objects: Sequence[NativeObject], request: Request, known: Facts | None = None) -> Answer:
    """The verdict of the mesh with these objects, the application and the workload."""
    from adapters.vm.evaluate.mesh import evaluator  # noqa: PLC0415 - tests of parts import this module too

    return evaluator([cluster(APP), cluster(TCP_APP), workload(), *objects], known or facts()).judge(request)


def mesh(*objects: NativeObject, **hcm: Json) -> list[NativeObject]:
    """The inbound HTTP listener with these other objects."""
    return [listener(LISTENER, [manager(**hcm)], TLS), *objects]


def granting(*permissions: Json, principals: list[Json] | None = None) -> list[NativeObject]:
    """A mesh with one policy for web."""
    entry = per_route({"rules": rules({"web": policy(principals or san(WEB), *permissions)})})
    return mesh(table(entry))


def allows(objects: list[NativeObject], request: Request) -> bool:
    """Whether the mesh lets the request in."""
    return judged(objects, request).verdict == "allow"
