"""The structural check refuses every shape that opens something, one by one, and everything that nobody named."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.vm import wire
from adapters.vm.safety.check import check
from hub.errors import UnsafeResourceError
from tests.adapters.vm.shapes import (
    ANY,
    CHAIN,
    COMMON,
    CONTEXT,
    ENTRIES,
    GONE,
    GOOD,
    HCM,
    HOST,
    NETWORK,
    OPEN_RBAC,
    OUT_HCM,
    PER_ROUTE,
    PINS,
    ROUTER,
    TLS,
    UPSTREAM,
    Path,
    T,
    good,
    refused,
)

BAD: list[tuple[str, str, Path, Any]] = [
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


@pytest.mark.parametrize("key", sorted(GOOD))
def test_resource_when_it_is_ours(key: str) -> None:
    """What translation makes passes."""
    check(*GOOD[key])


@pytest.mark.thorough
@pytest.mark.parametrize(("key", "path", "new"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_resource_when_one_place_is_wrong(key: str, path: Path, new: Any) -> None:
    """One changed place is refused, and the error names the resource."""
    refused(key, path, new)


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
    manager: Any = wire.unpack(listener.filter_chains[0].filters[1].typed_config)
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
