"""The structural check refuses every shape that opens something, one by one, and everything that nobody named."""

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


BAD: list[tuple[str, str, Path, Any]] = [
    # --- RBAC of an HTTP port: what opens
    ("per-route entry empty", "policy", ENTRY, {"@type": PER_ROUTE}),
    ("per-route rbac without rules", "policy", (*ENTRY, "rbac"), {}),
    ("only shadow rules", "policy", (*ENTRY, "rbac"), {"shadow_rules": {}}),
    ("shadow rules beside rules", "policy", (*ENTRY, "rbac", "shadow_rules"), {}),
    ("matcher beside rules", "policy", (*ENTRY, "rbac", "matcher"), {}),
    ("action DENY", "policy", (*RULES, "action"), "DENY"),
    ("action LOG", "policy", (*RULES, "action"), "LOG"),
    ("action DENY without policies", "policy", RULES, {"action": "DENY"}),
    ("audit logging", "policy", (*RULES, "audit_logging_options"), {}),
    ("no permissions", "policy", (*POLICY, "permissions"), GONE),
    ("no principals", "policy", (*POLICY, "principals"), GONE),
    ("a CEL condition", "policy", (*POLICY, "condition"), {}),
    ("permission any alone", "policy", PERMISSION, ANY),
    ("permission without the path guard", "policy", (*CONDITIONS, 4), GONE),
    ("the guard alone", "policy", CONDITIONS, [good("policy", (*CONDITIONS, 4))]),
    ("another guard", "policy", (*CONDITIONS, 4, "not_rule", "url_path", "path", "safe_regex", "regex"), "/none"),
    ("any beside a condition", "policy", (*CONDITIONS, 0), ANY),
    ("only negative conditions", "policy", PERMISSION, {"not_rule": {"url_path": {"path": {"exact": "/x"}}}}),
    ("empty and_rules", "policy", CONDITIONS, []),
    ("or_rules of whole permissions", "policy", PERMISSION, {"or_rules": {"rules": [ANY]}}),
    ("path as a header", "policy", (*CONDITIONS, 2, "header", "name"), ":path"),
    ("authority as a header", "policy", (*CONDITIONS, 2, "header", "name"), ":authority"),
    ("a header that Envoy sets", "policy", (*CONDITIONS, 2, "header", "name"), "x-request-id"),
    ("a header of Envoy's own", "policy", (*CONDITIONS, 2, "header", "name"), "x-envoy-foo"),
    ("host as a header", "policy", (*CONDITIONS, 2, "header", "name"), "host"),
    ("an underscored header", "policy", (*CONDITIONS, 2, "header", "name"), "x_a"),
    ("an upper-case header", "policy", (*CONDITIONS, 2, "header", "name"), "X-A"),
    ("present_match", "policy", (*CONDITIONS, 2, "header"), {"name": "x-a", "present_match": True}),
    ("a header matcher without a test", "policy", (*CONDITIONS, 2, "header"), {"name": "x-a"}),
    ("missing header as empty", "policy", (*CONDITIONS, 2, "header", "treat_missing_header_as_empty"), True),
    ("an inverted header", "policy", (*CONDITIONS, 2, "header", "invert_match"), True),
    ("a header prefix", "policy", (*CONDITIONS, 2, "header"), {"name": "x-a", "prefix_match": "a"}),
    ("a path that ignores case", "policy", (*CONDITIONS, 0, "url_path", "path"), {"exact": "/a", "ignore_case": True}),
    ("a path prefix", "policy", (*CONDITIONS, 0, "url_path", "path"), {"prefix": "/"}),
    ("an empty path regex", "policy", (*CONDITIONS, 0, "url_path", "path", "safe_regex", "regex"), ""),
    ("metadata as a condition", "policy", (*CONDITIONS, 0), {"metadata": {"filter": "x"}}),
    ("a port as a condition", "policy", (*CONDITIONS, 0), {"destination_port": 80}),
    ("an address as a condition", "policy", (*CONDITIONS, 0), {"destination_ip": {"address_prefix": "::"}}),
    ("a uri template", "policy", (*CONDITIONS, 0), {"requested_server_name": {"exact": "a"}}),
    # --- principals
    ("principal any", "policy", PRINCIPAL, ANY),
    ("principal any behind another", "policy", (*POLICY, "principals"), [good("policy", PRINCIPAL), ANY]),
    ("authenticated without a name", "policy", PRINCIPAL, {"authenticated": {}}),
    ("principal_name exact", "policy", PRINCIPAL, {"authenticated": {"principal_name": {"exact": spiffe("web")}}}),
    ("principal_name empty", "policy", PRINCIPAL, {"authenticated": {"principal_name": {"exact": ""}}}),
    (
        "principal_name of a regex",
        "policy",
        PRINCIPAL,
        {"authenticated": {"principal_name": {"safe_regex": {"regex": ".*"}}}},
    ),
    ("principal by negation", "policy", PRINCIPAL, {"not_id": {"authenticated": {}}}),
    ("principals by or", "policy", PRINCIPAL, {"or_ids": {"ids": [ANY]}}),
    ("principals by and", "policy", PRINCIPAL, {"and_ids": {"ids": [ANY]}}),
    ("principal by header", "policy", PRINCIPAL, {"header": {"name": "x-user", "string_match": {"exact": "web"}}}),
    ("principal by address", "policy", PRINCIPAL, {"direct_remote_ip": {"address_prefix": "127.0.0.1"}}),
    ("principal by path", "policy", PRINCIPAL, {"url_path": {"path": {"exact": "/"}}}),
    (
        "any validated certificate",
        "policy",
        (*PRINCIPAL, "custom", "typed_config", "any_validated_client_certificate"),
        True,
    ),
    ("san matcher gone", "policy", SAN, GONE),
    ("a DNS name", "policy", (*SAN, "san_type"), "DNS"),
    ("an empty SAN", "policy", (*SAN, "matcher"), {"exact": ""}),
    ("a SAN prefix", "policy", (*SAN, "matcher"), {"prefix": "spiffe://td/"}),
    ("a SAN regex", "policy", (*SAN, "matcher"), {"safe_regex": {"regex": ".*"}}),
    ("a SAN that ignores case", "policy", (*SAN, "matcher", "ignore_case"), True),
    ("a SAN that is no SPIFFE id", "policy", (*SAN, "matcher", "exact"), "https://web"),
    ("a trust domain as a SAN", "policy", (*SAN, "matcher", "exact"), "spiffe://td"),
    # --- where the policy stands
    ("no entry", "policy", ENTRIES, GONE),
    ("entry under another name", "policy", ENTRIES, {"rbac": good("policy", ENTRY)}),
    ("a second entry", "policy", (*ENTRIES, "envoy.filters.http.cors"), disabled()),
    ("disabled filter", "policy", ENTRY, disabled(disabled=True)),
    ("wrapped entry", "policy", ENTRY, disabled(config=good("policy", ENTRY))),
    ("wrapped and optional", "policy", ENTRY, disabled(config=good("policy", ENTRY), is_optional=True)),
    ("plain RBAC as an entry", "policy", ENTRY, OPEN_RBAC["typed_config"]),
    (
        "entry at the route",
        "policy",
        (*HOST, "routes", 0, "typed_per_filter_config"),
        {"envoy.filters.http.rbac": good("policy", ENTRY)},
    ),
    (
        "open entry at the route",
        "policy",
        (*HOST, "routes", 0, "typed_per_filter_config"),
        {"envoy.filters.http.rbac": {"@type": PER_ROUTE}},
    ),
    ("entry at the table", "policy", ("typed_per_filter_config",), good("policy", ENTRIES)),
    (
        "entry at a weighted cluster",
        "policy",
        (*HOST, "routes", 0, "route"),
        {
            "weighted_clusters": {
                "clusters": [
                    {
                        "name": "app/d/api/127.0.0.1:8081",
                        "weight": 1,
                        "typed_per_filter_config": {"envoy.filters.http.rbac": {"@type": PER_ROUTE}},
                    }
                ]
            }
        },
    ),
    ("a host of its own domain", "policy", (*HOST, "domains"), ["open.example"]),
    ("two hosts", "policy", ("virtual_hosts",), [good("policy", HOST), {"name": "x", "domains": ["x"]}]),
    ("no host", "policy", ("virtual_hosts",), GONE),
    ("vhds", "policy", ("vhds",), {}),
    ("a second route", "policy", (*HOST, "routes"), [good("policy", (*HOST, "routes", 0))] * 2),
    ("a route by prefix", "policy", (*HOST, "routes", 0, "match", "prefix"), "/v1"),
    ("a rewritten path", "policy", (*HOST, "routes", 0, "route", "prefix_rewrite"), "/admin"),
    ("a cluster from a header", "policy", (*HOST, "routes", 0, "route"), {"cluster_header": "x-to", "timeout": "0s"}),
    ("a mirror", "policy", (*HOST, "routes", 0, "route", "request_mirror_policies"), [{"cluster": "app/d/x"}]),
    ("a redirect", "policy", (*HOST, "routes", 0), {"match": {"prefix": "/"}, "redirect": {"path_redirect": "/"}}),
    ("another identity's application", "policy", (*HOST, "routes", 0, "route", "cluster"), "app/d/pay/127.0.0.1:1"),
    ("an added header", "policy", (*HOST, "request_headers_to_add"), [{"header": {"key": "a", "value": "b"}}]),
    ("spoofable headers kept", "policy", (*HOST, "request_headers_to_remove"), GONE),
    ("one spoofable header kept", "policy", (*HOST, "request_headers_to_remove", 0), GONE),
    ("a foreign name", "policy", ("name",), "in/d/api"),
    # --- HTTP connection manager
    ("no rbac filter", "http", (*HCM, "http_filters", 0), GONE),
    ("rbac with rules unset", "http", (*HCM, "http_filters", 0), OPEN_RBAC),
    ("rbac disabled", "http", (*HCM, "http_filters", 0, "disabled"), True),
    ("rbac optional", "http", (*HCM, "http_filters", 0, "is_optional"), True),
    ("rbac of another name", "http", (*HCM, "http_filters", 0, "name"), "rbac"),
    ("rbac that denies nothing", "http", (*HCM, "http_filters", 0, "typed_config", "rules"), {"action": "DENY"}),
    ("rbac discovered", "http", (*HCM, "http_filters", 0), {"name": "envoy.filters.http.rbac", "config_discovery": {}}),
    ("rbac behind the router", "http", (*HCM, "http_filters"), [ROUTER, good("http", (*HCM, "http_filters", 0))]),
    ("a further filter", "http", (*HCM, "http_filters"), [*good("http", (*HCM, "http_filters")), ROUTER]),
    ("router options", "http", (*HCM, "http_filters", 1, "typed_config", "start_child_span"), True),
    ("normalising left to the runtime", "http", (*HCM, "normalize_path"), GONE),
    ("paths normalised", "http", (*HCM, "normalize_path"), True),
    ("slashes merged", "http", (*HCM, "merge_slashes"), True),
    ("escaped slashes kept", "http", (*HCM, "path_with_escaped_slashes_action"), "KEEP_UNCHANGED"),
    ("escaped slashes unescaped", "http", (*HCM, "path_with_escaped_slashes_action"), "UNESCAPE_AND_FORWARD"),
    ("underscores allowed", "http", (*HCM, "common_http_protocol_options"), {}),
    (
        "underscored headers dropped",
        "http",
        (*HCM, "common_http_protocol_options", "headers_with_underscores_action"),
        2,
    ),
    ("client cert header forwarded", "http", (*HCM, "forward_client_cert_details"), "ALWAYS_FORWARD_ONLY"),
    ("client cert header appended", "http", (*HCM, "forward_client_cert_details"), "APPEND_FORWARD"),
    ("routes inline", "http", HCM, {**good("http", HCM), "rds": None, "route_config": {"name": "x"}}),
    ("routes of another port", "http", (*HCM, "rds", "route_config_name"), "in/d/api/9999/http"),
    ("routes from a file", "http", (*HCM, "rds", "config_source"), {"path": "/tmp/x"}),
    ("another upgrade", "http", (*HCM, "upgrade_configs", 0, "upgrade_type"), "CONNECT"),
    ("filters of an upgrade", "http", (*HCM, "upgrade_configs", 0, "filters"), [ROUTER]),
    ("remote address from headers", "http", (*HCM, "xff_num_trusted_hops"), 1),
    ("local replies", "http", (*HCM, "local_reply_config"), {}),
    ("HTTP/1.0", "http", (*HCM, "http_protocol_options"), {"accept_http_10": True}),
    # --- TLS towards callers
    ("plain text", "http", (*CHAIN, "transport_socket"), GONE),
    ("no client certificate", "http", (*TLS, "require_client_certificate"), GONE),
    ("client certificate optional", "http", (*TLS, "require_client_certificate"), False),
    ("no validation", "http", (*COMMON, "validation_context_sds_secret_config"), GONE),
    (
        "validation without a CA",
        "http",
        COMMON,
        {**good("http", COMMON), "validation_context_sds_secret_config": None, "validation_context": {}},
    ),
    (
        "untrusted accepted",
        "http",
        COMMON,
        {
            **good("http", COMMON),
            "validation_context_sds_secret_config": None,
            "validation_context": {"trust_chain_verification": "ACCEPT_UNTRUSTED"},
        },
    ),
    ("another secret", "http", (*COMMON, "validation_context_sds_secret_config", "name"), "self"),
    ("another port's peers", "tcp", (*COMMON, "validation_context_sds_secret_config", "name"), "peers/d/api/1/tcp"),
    ("trust alone on a TCP port", "tcp", (*COMMON, "validation_context_sds_secret_config", "name"), "trust"),
    ("TLS 1.2", "http", (*COMMON, "tls_params", "tls_minimum_protocol_version"), "TLSv1_2"),
    ("TLS parameters gone", "http", (*COMMON, "tls_params"), GONE),
    ("session resumption", "http", (*TLS, "disable_stateless_session_resumption"), GONE),
    ("key log", "http", (*COMMON, "key_log"), {"path": "/tmp/keys"}),
    ("an inline certificate", "http", (*COMMON, "tls_certificates"), [{}]),
    # --- listener
    ("a second chain", "http", ("filter_chains",), [good("http", CHAIN), {"name": "g1"}]),
    ("a default chain", "http", ("default_filter_chain",), {"name": "g0"}),
    ("no chain", "http", ("filter_chains",), GONE),
    ("a chain match", "http", (*CHAIN, "filter_chain_match"), {"server_names": ["x"]}),
    ("a chain of another name", "http", (*CHAIN, "name"), "x"),
    ("a listener filter", "http", ("listener_filters",), [{"name": "x"}]),
    ("another port", "http", ("address", "socket_address", "port_value"), 8081),
    ("another address", "http", ("address", "socket_address", "address"), "0.0.0.0"),
    ("a named port", "http", ("address", "socket_address"), {"address": "127.0.0.1", "named_port": "x"}),
    ("UDP", "http", ("address", "socket_address", "protocol"), "UDP"),
    ("a further address", "http", ("additional_addresses",), [{"address": good("http", ("address",))}]),
    ("a pipe", "http", ("address",), {"pipe": {"path": "/tmp/x"}}),
    ("original destination", "http", ("use_original_dst",), True),
    ("an access log", "http", ("access_log",), [{"name": "x"}]),
    ("an unknown listener", "http", ("name",), "mine"),
    ("a listener that binds nothing", "http", ("bind_to_port",), False),
    # --- bounds before the handshake
    ("no time limit of handshakes", "http", (*CHAIN, "transport_socket_connect_timeout"), GONE),
    ("no limit of connections", "http", (*CHAIN, "filters", 0), GONE),
    ("no limit of connections", "tcp", (*CHAIN, "filters", 0), GONE),
    ("a limit of none", "tcp", (*CHAIN, "filters", 0, "typed_config", "max_connections"), 0),
    ("a limit switched by runtime", "tcp", (*CHAIN, "filters", 0, "typed_config", "runtime_enabled"), {}),
    ("handshakes of an hour", "tcp", (*CHAIN, "transport_socket_connect_timeout"), "3600s"),
    ("headers without end", "http", (*HCM, "request_headers_timeout"), GONE),
    # --- TCP ports
    ("no network rbac", "tcp", (*CHAIN, "filters", 1), GONE),
    ("network rbac inline", "tcp", (*CHAIN, "filters", 1), {"name": "rbac/d/api/9000/tcp"}),
    ("network rbac of another port", "tcp", (*CHAIN, "filters", 1, "name"), "rbac/d/api/1/tcp"),
    (
        "an open default",
        "tcp",
        (*CHAIN, "filters", 1, "config_discovery", "default_config"),
        {"@type": T + "extensions.filters.network.rbac.v3.RBAC"},
    ),
    (
        "default without a warning",
        "tcp",
        (*CHAIN, "filters", 1, "config_discovery", "apply_default_config_without_warming"),
        True,
    ),
    ("another type discovered", "tcp", (*CHAIN, "filters", 1, "config_discovery", "type_urls", 0), T + "x"),
    (
        "connect before the handshake",
        "tcp",
        (*CHAIN, "filters", 2, "typed_config", "upstream_connect_mode"),
        "IMMEDIATE",
    ),
    ("connect on data", "tcp", (*CHAIN, "filters", 2, "typed_config", "upstream_connect_mode"), "ON_DOWNSTREAM_DATA"),
    ("tunnelling", "tcp", (*CHAIN, "filters", 2, "typed_config", "tunneling_config"), {"hostname": "x"}),
    (
        "another identity's TCP application",
        "tcp",
        (*CHAIN, "filters", 2, "typed_config", "cluster"),
        "app/d/x/127.0.0.1:1",
    ),
    ("network rules unset", "rbac", NETWORK, GONE),
    ("network rules deny", "rbac", (*NETWORK, "action"), "DENY"),
    (
        "network rules in the shadow",
        "rbac",
        ("typed_config",),
        {"@type": T + "extensions.filters.network.rbac.v3.RBAC", "shadow_rules": {}, "stat_prefix": "x"},
    ),
    ("network principal any", "rbac", (*NETWORK, "policies", "d/t", "principals", 0), ANY),
    ("network permission by negation", "rbac", (*NETWORK, "policies", "d/t", "permissions", 0), {"not_rule": ANY}),
    ("network enforcement", "rbac", ("typed_config", "enforcement_type"), "CONTINUOUS"),
    ("network rbac is something else", "rbac", ("typed_config",), ROUTER["typed_config"]),
    ("closed network rules unset", "closed rbac", NETWORK, GONE),
    # --- secrets
    ("empty SAN list", "peers", (*CONTEXT, "match_typed_subject_alt_names"), GONE),
    ("no CA", "peers", (*CONTEXT, "trusted_ca"), GONE),
    ("an empty CA", "peers", (*CONTEXT, "trusted_ca", "inline_string"), ""),
    ("another CA text", "peers", (*CONTEXT, "trusted_ca", "inline_string"), "x"),
    ("a CA in a file", "peers", (*CONTEXT, "trusted_ca"), {"filename": "/etc/ca"}),
    ("a CA from the environment", "peers", (*CONTEXT, "trusted_ca"), {"environment_variable": "CA"}),
    ("system CAs", "peers", (*CONTEXT, "system_root_certs"), {}),
    ("untrusted peers", "peers", (*CONTEXT, "trust_chain_verification"), "ACCEPT_UNTRUSTED"),
    ("expired peers", "peers", (*CONTEXT, "allow_expired_certificate"), True),
    ("a DNS peer", "peers", (*CONTEXT, "match_typed_subject_alt_names", 0, "san_type"), "DNS"),
    ("a peer by prefix", "peers", (*CONTEXT, "match_typed_subject_alt_names", 0, "matcher"), {"prefix": "s"}),
    ("an untyped SAN list", "peers", (*CONTEXT, "match_subject_alt_names"), [{"exact": "x"}]),
    ("another validator", "peers", (*CONTEXT, "custom_validator_config"), {"name": "x"}),
    ("an unknown secret", "peers", ("name",), "mine"),
    # --- calls
    ("plain text to callees", "service", ("transport_socket",), GONE),
    ("callees not pinned", "service", PINS, {}),
    ("callees by prefix", "service", (*PINS, "match_typed_subject_alt_names", 0, "matcher"), {"prefix": "s"}),
    ("callees not validated", "service", (*UPSTREAM, "combined_validation_context"), GONE),
    ("untrusted callees", "service", (*PINS, "trust_chain_verification"), "ACCEPT_UNTRUSTED"),
    ("no certificate of our own", "service", (*UPSTREAM, "tls_certificate_sds_secret_configs"), GONE),
    ("resumed sessions", "service", ("transport_socket", "typed_config", "max_session_keys"), 5),
    ("endpoints by DNS", "service", ("type",), "STRICT_DNS"),
    ("original destination cluster", "service", ("type",), "ORIGINAL_DST"),
    ("inline endpoints", "service", ("load_assignment",), {"cluster_name": "out/d/web/80"}),
    ("another EDS name", "service", ("eds_cluster_config", "service_name"), "out/d/pay/80"),
    ("socket matches", "service", ("transport_socket_matches",), [{"name": "x"}]),
    ("endpoints where there are none", "none", ("load_assignment", "endpoints"), [{"lb_endpoints": [{}]}]),
    (
        "an application in a pipe",
        "app",
        ("load_assignment", "endpoints", 0, "lb_endpoints", 0, "endpoint", "address"),
        {"pipe": {"path": "/x"}},
    ),
    ("an application by DNS", "app", ("type",), "LOGICAL_DNS"),
    ("an unknown cluster", "app", ("name",), "mine"),
    (
        "an endpoint in a pipe",
        "endpoints",
        ("endpoints", 0, "lb_endpoints", 0, "endpoint", "address"),
        {"pipe": {"path": "/x"}},
    ),
    ("endpoints of an unknown cluster", "endpoints", ("cluster_name",), "mine"),
    (
        "a route to another namespace's path",
        "routes",
        (*HOST, "routes", 0, "route"),
        {"cluster": "ads", "timeout": "0s"},
    ),
    ("a weight of zero", "routes", (*HOST, "routes", 1, "route", "weighted_clusters", "clusters", 0, "weight"), 0),
    ("a weight unset", "routes", (*HOST, "routes", 1, "route", "weighted_clusters", "clusters", 0, "weight"), GONE),
    ("a total weight", "routes", (*HOST, "routes", 1, "route", "weighted_clusters", "total_weight"), 100),
    ("an entry on the way out", "routes", ENTRIES, {"envoy.filters.http.rbac": {"@type": PER_ROUTE}}),
    ("a retry policy", "routes", (*HOST, "retry_policy"), {"retry_on": "5xx"}),
    (
        "another answer",
        "routes",
        (*HOST, "routes", 0),
        {"name": "x", "match": {"prefix": "/"}, "direct_response": {"status": 200}},
    ),
    (
        "a managed header on the way out",
        "routes",
        (*HOST, "routes", 0, "match", "headers", 0, "name"),
        "x-forwarded-proto",
    ),
    ("a filter on the way out", "out", (*OUT_HCM, "http_filters"), [OPEN_RBAC, ROUTER]),
    ("another route table", "out", (*OUT_HCM, "rds", "route_config_name"), "out/d/pay/80"),
    ("an inbound table on the way out", "out", (*OUT_HCM, "rds", "route_config_name"), "in/d/api/8080/http"),
    ("a socket for everybody", "out socket", ("address", "pipe", "mode"), 0o666),
    ("a socket as the umask has it", "out socket", ("address", "pipe", "mode"), GONE),
    ("an abstract socket", "out socket", ("address", "pipe", "path"), "@/run/c/web.sock"),
    ("another socket", "out socket", ("address", "pipe", "path"), "/run/d/web.sock"),
    ("a port for a socket", "out socket", ("address",), good("out", ("address",))),
    ("a socket for a port", "out", ("address",), good("out socket", ("address",))),
    ("a port of the network", "out", ("address", "socket_address", "address"), "0.0.0.0"),
    ("a further address on the way out", "out", ("additional_addresses",), [{"address": good("out", ("address",))}]),
    ("a virtual listener that binds", "virtual", ("bind_to_port",), GONE),
    ("TCP to a foreign cluster", "out tcp", (*CHAIN, "filters", 0, "typed_config", "cluster"), "ads"),
    ("TCP to an application", "out tcp", (*CHAIN, "filters", 0, "typed_config", "cluster"), "app/d/api/127.0.0.1:1"),
]


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


@pytest.mark.parametrize("key", sorted(GOOD))
def test_resource_when_it_is_ours(key: str) -> None:
    """What translation makes passes."""
    check(*GOOD[key])


@pytest.mark.parametrize(("key", "path", "new"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_resource_when_one_place_is_wrong(key: str, path: Path, new: Any) -> None:
    """One changed place is refused, and the error names the resource."""
    kind, body = GOOD[key]
    bad = wire.pack(wire.from_json(kind, edited(view(body, kind), path, new)))
    assert bad != body
    with pytest.raises(UnsafeResourceError, match=f'{kind} ".*" must not be sent: '):
        check(kind, bad)


@pytest.mark.parametrize("key", sorted(GOOD))
def test_resource_when_a_field_is_unknown(key: str) -> None:
    """A field that our schema does not name may mean anything to a newer Envoy."""
    kind, body = GOOD[key]
    with pytest.raises(UnsafeResourceError, match="unknown fields"):
        check(kind, body + b"\xfa\xff\x01\x00")


def test_extension_when_a_field_inside_is_unknown() -> None:
    """The same inside an extension, where the outer message looks regular."""
    kind, body = GOOD["policy"]
    table: Any = wire.parse(kind, body)
    table.virtual_hosts[0].typed_per_filter_config["envoy.filters.http.rbac"].value += b"\xfa\xff\x01\x00"
    with pytest.raises(UnsafeResourceError, match="unknown fields or irregular bytes"):
        check(kind, wire.pack(table))


@pytest.mark.parametrize("url", ["", "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua", "x/" + PER_ROUTE])
def test_extension_when_its_type_is_not_ours(url: str) -> None:
    """An extension of another type is refused whatever it holds."""
    kind, body = GOOD["http"]
    listener: Any = wire.parse(kind, body)
    manager: Any = wire.opened(listener.filter_chains[0].filters[1].typed_config)
    manager.http_filters[0].typed_config.type_url = url
    listener.filter_chains[0].filters[1].typed_config.CopyFrom(wire.any_of(manager))
    with pytest.raises(UnsafeResourceError, match="is never sent here"):
        check(kind, wire.pack(listener))


@pytest.mark.parametrize(
    ("kind", "body"), [("Listener", b"\xff"), ("Runtime", b""), ("Listener", b""), ("Secret", b"")]
)
def test_bytes_when_they_are_no_resource(kind: str, body: bytes) -> None:
    """Garbage, an unknown kind and an empty message are refused."""
    with pytest.raises(UnsafeResourceError):
        check(kind, body)


def test_rules_when_they_were_only_read() -> None:
    """Reading a field of an unset message does not set it: rules that were never set are refused."""
    per_route = wire.RBACPerRoute(rbac=wire.HttpRbac())
    assert per_route.rbac.rules.action == wire.RBAC.ALLOW
    kind, body = GOOD["policy"]
    table: Any = wire.parse(kind, body)
    table.virtual_hosts[0].typed_per_filter_config["envoy.filters.http.rbac"].CopyFrom(wire.any_of(per_route))
    with pytest.raises(UnsafeResourceError, match=r'rbac: "rules" is not set'):
        check(kind, wire.pack(table))


@pytest.mark.parametrize(
    "place",
    [
        *("0.0.0.0:80", "10.0.0.7:80", "::ffff:127.0.0.1:80", "128.0.0.1:80", "@a.sock", "/etc/passwd", "/a/../b.sock"),
        *("/./a.sock", "a.sock", "/a b.sock", "127.0.0.1", "/.sock/x"),
    ],
)
def test_listener_for_calls_when_its_name_says_another_place(place: str) -> None:
    """Name and address agree, and yet nothing but loopback and Unix sockets is sent: the network would call as d/c."""
    kind, body = GOOD["out"]
    listener: Any = wire.parse(kind, body)
    listener.name = f"out/d/web/80@d/c@{place}"
    address, _, port = place.rpartition(":")
    listener.address.CopyFrom(
        wire.Address(socket_address=wire.SocketAddress(address=address, port_value=int(port)))
        if port.isdigit()
        else wire.Address(pipe=wire.Pipe(path=place, mode=0o660))
    )
    with pytest.raises(UnsafeResourceError):
        check(kind, wire.pack(listener))
