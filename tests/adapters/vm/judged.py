"""Requests to an Envoy, judged by hand from Envoy's documentation: what stands at the port of one Pod, who asks, and the page that says what happens.

The configurations are as those pages write them; names of resources are ours, because by them our evaluator finds what is whose.
"""

from __future__ import annotations

from typing import Any

from adapters.vm import names
from hub.api import Destination, NativeObject, Request, Source
from hub.testing.conformance.subject import JudgedRequest
from tests.adapters.vm.native import (
    CA,
    RBAC_NAME,
    cluster,
    header_is,
    listener,
    manager,
    native,
    network_rbac,
    path_is,
    per_route,
    policy,
    proxy,
    rbac_filter,
    rules,
    san,
    tls,
    uri,
)

_DOCS = "https://www.envoyproxy.io/docs/envoy/latest/"
RBAC = _DOCS + "api-v3/config/rbac/v3/rbac.proto"
HTTP_FILTER = _DOCS + "api-v3/extensions/filters/http/rbac/v3/rbac.proto"
NETWORK_FILTER = _DOCS + "configuration/listeners/network_filters/rbac_filter"
MANAGER = _DOCS + "api-v3/extensions/filters/network/http_connection_manager/v3/http_connection_manager.proto"
PROTOCOL = _DOCS + "api-v3/config/core/v3/protocol.proto"
STRING = _DOCS + "api-v3/type/matcher/v3/string.proto"
PATH = _DOCS + "api-v3/type/matcher/v3/path.proto"
HEADER = _DOCS + "api-v3/config/route/v3/route_components.proto"
TRUST = _DOCS + "api-v3/extensions/transport_sockets/tls/v3/common.proto"
LISTENERS = _DOCS + "intro/arch_overview/listeners/listeners"

_WORLD = """\
apiVersion: v1
kind: Pod
metadata: {name: api, namespace: d}
spec: {serviceAccountName: api, containers: [{name: a, ports: [{containerPort: 8080}, {containerPort: 9000}]}]}
"""
_WEB, _PEER = (f"spiffe://cluster.local/ns/d/sa/{name}" for name in ("web", "peer"))
_TABLE = names.inbound("d", "api", 8080, "none")
_APPS = tuple(cluster(names.app("d", "api", "127.0.0.1", port)) for port in (8080, 9000))
_ANYBODY = tls({"validation_context": CA})
_ANYTHING: Any = {"any": True}
_CLOSED = rules()


def _listener(port: int, filters: list[Any], socket: Any = _ANYBODY) -> NativeObject:
    where = {"socket_address": {"address": "0.0.0.0", "port_value": port}}
    return listener(f"{names.inbound('d', 'api', port, 'none')}@0.0.0.0", filters, socket, address=where)


def _http(entry: Any = None, rbac: Any = _CLOSED, **hcm: Any) -> tuple[NativeObject, ...]:
    """HTTP on 8080: a filter of these rules, and a virtual host with this entry for it."""
    entries = {} if entry is None else {"typed_per_filter_config": {RBAC_NAME: entry}}
    app = {"match": {"prefix": "/"}, "route": {"cluster": names.app("d", "api", "127.0.0.1", 8080)}}
    host = {"name": "in", "domains": ["*"], "routes": [app], **entries}
    table = native("RouteConfiguration", {"name": _TABLE, "virtual_hosts": [host]})
    return (_listener(8080, [manager(_TABLE, [rbac_filter(rules=rbac)], **hcm)]), table, *_APPS)


def _granting(*permissions: Any, **hcm: Any) -> tuple[NativeObject, ...]:
    """One policy for web, at the virtual host."""
    return _http(per_route({"rules": rules({"p": policy(san(_WEB), *permissions)})}), **hcm)


def _raw(*filters: Any, socket: Any = _ANYBODY) -> tuple[NativeObject, ...]:
    """Raw TCP on 9000."""
    app = proxy(cluster=names.app("d", "api", "127.0.0.1", 9000))
    return (_listener(9000, [*filters, app], socket), *_APPS)


def _ask(path: str = "/a", caller: str = "d/web", **parts: Any) -> Request:
    return Request(Source(identity=caller), Destination(pod="d/api"), 8080, path=path, **parts)


def _send(caller: str = "d/web") -> Request:
    return Request(Source(identity=caller), Destination(pod="d/api"), 9000, "tcp")


_READ = {"and_rules": {"rules": [path_is("/a"), header_is(":method", string_match={"exact": "GET"})]}}
_GOLD = header_is("x-tier", string_match={"exact": "gold"})
_NOT_GOLD = header_is("x-tier", string_match={"exact": "gold"}, invert_match=True)
_DENIED = rules({"p": policy([_ANYTHING], path_is("/a"))}, "DENY")
_LISTED = tls({"validation_context": {**CA, "match_typed_subject_alt_names": [uri(_WEB)]}})
_FOR_WEB = network_rbac(rules({"p": policy(san(_WEB), _ANYTHING)}))

JUDGED = tuple(
    JudgedRequest(objects, request, verdict, source, _WORLD)
    for source, objects, request, verdict in (
        # ALLOW lets in what a policy matches and nothing else, and of no policies none does.
        (RBAC, _http(), _ask(), "deny"),
        (RBAC, _http(rbac=rules({"p": policy([_ANYTHING], _ANYTHING)})), _ask(), "allow"),
        (RBAC, _http(rbac=_DENIED), _ask("/a"), "deny"),
        (RBAC, _http(rbac=_DENIED), _ask("/b"), "allow"),
        (RBAC, _granting(_READ), _ask(), "allow"),
        (RBAC, _granting(_READ), _ask(method="POST"), "deny"),
        (RBAC, _granting(_READ), _ask(caller="d/peer"), "deny"),
        (RBAC, _granting(path_is("/b"), _READ), _ask(), "allow"),
        # An entry of a route (or virtual host) without rules turns the filter off there.
        (HTTP_FILTER, _http(per_route(None)), _ask(caller="d/peer"), "allow"),
        # A pattern matches the whole text, which of a path is what stands before the query.
        (STRING, _granting(path_is("/a")), _ask("/ab"), "deny"),
        (STRING, _granting(path_is("/a.*")), _ask("/ab"), "allow"),
        (PATH, _granting(path_is("/a")), _ask("/a?b=c"), "allow"),
        (HEADER, _granting(_GOLD), _ask(headers=(("x-tier", "gold"),)), "allow"),
        (HEADER, _granting(_GOLD), _ask(headers=(("x-tier", "iron"),)), "deny"),
        (HEADER, _granting(_GOLD), _ask(), "deny"),
        (HEADER, _granting(_NOT_GOLD), _ask(headers=(("x-tier", "iron"),)), "allow"),
        (PROTOCOL, _granting(path_is("/a")), _ask(headers=(("x_tier", "gold"),)), "deny"),
        (MANAGER, _granting(path_is("/.*")), _ask("/a%2Fb"), "deny"),
        (MANAGER, _granting(path_is("/b")), _ask("/a/../b"), "allow"),
        (NETWORK_FILTER, _raw(_FOR_WEB), _send(), "allow"),
        (TRUST, _raw(socket=_LISTED), _send(), "allow"),
        (TRUST, _raw(socket=_LISTED), _send("d/peer"), "deny"),
        (LISTENERS, _APPS, _ask(), "deny"),
    )
)
