"""Whom TLS lets in, and TCP ports: the table of shapes that a real Envoy 1.40 answered."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.vm import names
from hub.api import Answer, Destination, NativeObject, Request, Source, UnmodelledError
from tests.adapters.vm.native import (
    CA,
    GOOD,
    LISTENER,
    OTHER,
    TABLE,
    TCP_APP,
    TCP_LISTENER,
    TLS,
    TYPES,
    WEB,
    facts,
    http,
    judged,
    limited,
    listener,
    manager,
    native,
    network_rbac,
    per_route,
    placed,
    policy,
    proxy,
    rules,
    san,
    table,
    tls,
    uri,
)

Json = Any
FOREIGN = "spiffe://elsewhere/ns/s/sa/web"
LAX = {"trust_chain_verification": "ACCEPT_UNTRUSTED"}
SANS = {"match_typed_subject_alt_names": [uri(WEB)]}
PEERS = names.peers("d", "api", 9000, "tcp")
POLICY = names.rbac("d", "api", 9000, "tcp")
ANY = {"any": True}
SOURCES = {
    "web": Source(spiffe=WEB),
    "other": Source(spiffe=OTHER),
    "foreign": Source(spiffe=FOREIGN),
    "nobody": Source(outside=True),
}
PRINCIPALS = {
    "name": {"authenticated": {"principal_name": {"exact": WEB}}},
    "tls": {"authenticated": {}},
    "san": san(WEB)[0],
    "valid": {
        "custom": {
            "name": "x",
            "typed_config": {
                "@type": f"{TYPES}.extensions.rbac.principals.mtls_authenticated.v3.Config",
                "any_validated_client_certificate": True,
            },
        }
    },
}
# Per caller (web, other, foreign, nobody): which of the principals name, tls, san, valid match; "-" is no connection.
ALL_PASS = ("tls", "tls", "tls", "tls")
GATES: dict[str, tuple[Json, bool, tuple[str, ...]]] = {
    "ca": ({"validation_context": CA}, True, ("name tls san valid", "tls valid", "-", "-")),
    "optional": ({"validation_context": CA}, False, ("name tls san valid", "tls valid", "-", "tls")),
    "sans": ({"validation_context": {**CA, **SANS}}, True, ("name tls san valid", "-", "-", "-")),
    "sans, optional": ({"validation_context": {**CA, **SANS}}, False, ("name tls san valid", "-", "-", "-")),
    "untyped sans": (
        {"validation_context": {**CA, "match_subject_alt_names": [{"exact": WEB}]}},
        True,
        ("name tls san valid", "-", "-", "-"),
    ),
    "typed sans win": (
        {"validation_context": {**CA, **SANS, "match_subject_alt_names": [{"exact": OTHER}]}},
        True,
        ("name tls san valid", "-", "-", "-"),
    ),
    "dns sans": (
        {
            "validation_context": {
                **CA,
                "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": WEB}}],
            }
        },
        True,
        ("-", "-", "-", "-"),
    ),
    "no ca": ({"validation_context": {}}, True, ALL_PASS),
    "no context": ({}, True, ALL_PASS),
    "lax": ({"validation_context": {**CA, **LAX}}, True, ("name tls san valid", "tls valid", "tls", "-")),
    "lax, optional": ({"validation_context": {**CA, **LAX}}, False, ("name tls san valid", "tls valid", "tls", "tls")),
    "lax, sans": ({"validation_context": {**CA, **SANS, **LAX}}, True, ("name tls san valid", "tls", "tls", "-")),
    "lax, no ca": ({"validation_context": LAX}, True, ("name tls", "tls", "tls", "tls")),
    "trust by name": (
        {"validation_context_sds_secret_config": {"name": names.TRUST}},
        True,
        ("name tls san valid", "tls valid", "-", "-"),
    ),
    "missing secret": ({"validation_context_sds_secret_config": {"name": "none"}}, True, ("-", "-", "-", "-")),
    "combined": (
        {
            "combined_validation_context": {
                "default_validation_context": SANS | CA,
                "validation_context_sds_secret_config": {"name": names.TRUST},
            }
        },
        True,
        ("name tls san valid", "-", "-", "-"),
    ),
    "other certificate": (
        {"validation_context": CA, "tls_certificate_sds_secret_configs": [{"name": "none"}]},
        True,
        ("-", "-", "-", "-"),
    ),
}


@pytest.mark.thorough
@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("principal", PRINCIPALS)
def test_tls_admits_as_envoy_does(gate: str, principal: str) -> None:
    """For every validation context and caller: which principal matches then."""
    context, required, rows = GATES[gate]
    entry = per_route({"rules": rules({"p": policy([PRINCIPALS[principal]], ANY)})})
    objects = [listener(LISTENER, [manager()], tls(context, required)), table(entry)]
    got = [judged(objects, Request(src, Destination(identity="d/api"), 8080)).verdict for src in SOURCES.values()]
    assert got == ["allow" if principal in row.split() else "deny" for row in rows]


def test_tls_is_closed_when_listener_is_plain_text() -> None:
    """Without TLS no principal by certificate matches; one that asks for nothing does."""
    objects = [listener(LISTENER, [manager()]), table(GOOD)]
    assert judged(objects, http()).verdict == "deny"
    opened = [listener(LISTENER, [manager()]), table(per_route({"rules": rules({"p": policy([ANY], ANY)})}))]
    assert judged(opened, Request(Source(outside=True), Destination(identity="d/api"), 8080)).verdict == "allow"


@pytest.mark.parametrize(
    "context",
    [
        {"validation_context": {"trusted_ca": {"inline_string": ""}}},
        {"validation_context": {"trusted_ca": {"inline_string": "-----BEGIN CERTIFICATE-----"}}},
        {"validation_context": {"trusted_ca": {"filename": "/ca.pem"}}},
        {"validation_context": SANS},
        {"validation_context": {**CA, "verify_certificate_hash": ["00"]}},
        {"validation_context": {**CA, "match_typed_subject_alt_names": [{"matcher": {"exact": WEB}}]}},
        {"validation_context": CA, "tls_certificate_sds_secret_configs": []},
        {"validation_context": CA, "custom_handshaker": {"name": "x"}},
        {"validation_context": CA, "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_2"}},
        {"combined_validation_context": {"default_validation_context": CA}},
    ],
)  # fmt: skip
def test_tls_is_unmodelled_when_shape_is_rejected_or_unknown(context: Json) -> None:
    """What Envoy NACKs, another CA, and fields that nobody models."""
    with pytest.raises(UnmodelledError):
        judged([listener(LISTENER, [manager()], tls(context)), table(GOOD)], http())


def secret(*ids: str, **more: Json) -> NativeObject:
    """The peers of the TCP port."""
    context = {**CA, "match_typed_subject_alt_names": [uri(one) for one in ids], **more}
    return native("Secret", {"name": PEERS, "validation_context": context})


def rbac(policies: Json, action: str = "ALLOW") -> NativeObject:
    """The network RBAC of the TCP port, by ECDS."""
    packed = network_rbac(rules(policies, action))["typed_config"]
    return native("TypedExtensionConfig", {"name": POLICY, "typed_config": packed})


DISCOVERED = {"name": POLICY, "config_discovery": {"config_source": {"ads": {}}, "type_urls": [f"{TYPES}.x"]}}
BY_SECRET = tls({"validation_context_sds_secret_config": {"name": PEERS}})
WEB_ONLY = {"p": policy(san(WEB), ANY)}


def tcp(*objects: NativeObject, socket: Json = BY_SECRET, **pipe: Json) -> list[NativeObject]:
    """The TCP listener: RBAC by ECDS, then a proxy to the application."""
    return [listener(TCP_LISTENER, [DISCOVERED, proxy(**(pipe or {"cluster": TCP_APP}))], socket), *objects]


def raw(src: str, protocol: Any = "tcp") -> Request:
    """Bytes to port 9000."""
    return Request(Source(spiffe=src), Destination(identity="d/api"), 9000, protocol)


LISTED = [secret(WEB), rbac(WEB_ONLY)]
LEAKY = [secret(), rbac(WEB_ONLY)]


@pytest.mark.parametrize(
    ("objects", "verdicts"),
    [
        (tcp(*LISTED), "allow allow deny deny"),
        (tcp(secret("spiffe://td/nobody"), rbac(WEB_ONLY)), "deny deny deny deny"),
        (tcp(*LEAKY), "allow allow allow deny"),
        (tcp(*LEAKY, cluster=TCP_APP, upstream_connect_mode="ON_DOWNSTREAM_TLS_HANDSHAKE"), "allow allow allow deny"),
        (tcp(*LEAKY, cluster=TCP_APP, upstream_connect_mode="ON_DOWNSTREAM_DATA"), "allow allow deny deny"),
        (tcp(secret(WEB, OTHER), rbac({})), "allow deny allow deny"),
        (tcp(secret(WEB, OTHER), rbac({}, "DENY")), "allow allow allow allow"),
        (tcp(secret(WEB, OTHER), rbac(WEB_ONLY, "DENY")), "allow deny allow allow"),
        (tcp(secret(WEB)), "deny deny deny deny"),
        (tcp(rbac(WEB_ONLY)), "deny deny deny deny"),
        (tcp(*LISTED, cluster="app/none"), "deny deny deny deny"),
        (tcp(*LISTED, weighted_clusters={"clusters": [{"name": TCP_APP, "weight": 1}]}), "allow allow deny deny"),
        ([listener(TCP_LISTENER, [proxy(cluster=TCP_APP)], TLS)], "allow allow allow allow"),
        ([listener(TCP_LISTENER, [network_rbac(None), proxy(cluster=TCP_APP)], TLS)], "allow allow allow allow"),
        ([listener(TCP_LISTENER, [limited(), proxy(cluster=TCP_APP)], TLS)], "allow allow allow allow"),
        ([listener(TCP_LISTENER, [proxy(cluster=TCP_APP)], BY_SECRET), secret(WEB)], "allow allow deny deny"),
    ],
)
def test_tcp_port_is_protected_by_the_san_list_alone(objects: list[NativeObject], verdicts: str) -> None:
    """(web raw, web HTTP, other raw, other HTTP): a silent client hears a server that speaks first unless TLS refuses."""
    asks = (raw(WEB), raw(WEB, "http"), raw(OTHER), raw(OTHER, "http"))
    assert [judged(objects, one).verdict for one in asks] == verdicts.split()


def test_tcp_answer_names_what_decided() -> None:
    """The policy that admits, the listener whose handshake refuses."""
    objects = tcp(*LISTED)
    assert judged(objects, raw(WEB)) == Answer("allow", by=(f"TypedExtensionConfig/{POLICY}#p",))
    assert judged(objects, raw(OTHER)) == Answer("deny", by=(f"Listener/{TCP_LISTENER}",))
    assert judged(objects, raw(FOREIGN)).losses == ("source.foreign-trust-domain",)


def test_combined_lists_are_joined_when_merged() -> None:
    """A combined context joins its lists, so an id of either part gets in."""
    context = {
        "combined_validation_context": {
            "default_validation_context": SANS | CA,
            "validation_context_sds_secret_config": {"name": PEERS},
        }
    }
    objects = [listener(TCP_LISTENER, [proxy(cluster=TCP_APP)], tls(context)), secret(OTHER)]
    assert [judged(objects, raw(one)).verdict for one in (WEB, OTHER, WEB + "x")] == ["allow", "allow", "deny"]


def test_raw_bytes_are_refused_when_port_speaks_http() -> None:
    """Envoy's HTTP codec refuses opaque bytes; where nobody declared HTTP that is a loss."""
    request = Request(Source(spiffe=WEB), Destination(identity="d/api"), 8080, "tcp")
    assert judged([listener(LISTENER, [manager()], TLS), table(GOOD)], request) == Answer(
        "deny", by=(f"Listener/{LISTENER}",)
    )
    undeclared = placed().__class__(placed().ref, placed().identity, bind="10.0.0.1", inbound=((8080, "TCP", "none"),))
    name = names.inbound_listener("d", "api", 8080, "none", "10.0.0.1")
    node = NativeObject(names.ref("Workload", "d/two"), table(GOOD).role, b"", needs=(names.ref("Listener", name),))
    two = undeclared.__class__(
        undeclared.ref.__class__("smihub.io", "Workload", "d", "two"),
        undeclared.identity,
        bind="10.0.0.1",
        inbound=undeclared.inbound,
    )
    objects = [listener(name, [manager(rds=TABLE)], TLS), table(GOOD), node]
    assert judged(objects, request, facts(two)).losses == ("port.undeclared-mixed",)


def test_datagrams_are_denied_because_nothing_captures_them() -> None:
    """There is no UDP listener."""
    assert judged(tcp(*LISTED), raw(WEB, "udp")) == Answer("deny", losses=("proto.udp-not-captured",))


@pytest.mark.parametrize(
    "objects",
    [
        tcp(*LISTED, cluster=TCP_APP, tunneling_config={"hostname": "x"}),
        tcp(*LISTED, weighted_clusters={"clusters": [{"name": TCP_APP, "weight": 0}]}),
        tcp(secret(WEB), rbac({"p": policy(san(WEB), {"url_path": {"path": {"exact": "/"}}})})),
        tcp(secret(WEB), rbac({"p": policy(san(WEB), {"header": {"name": "a", "present_match": True}})})),
        [listener(TCP_LISTENER, [proxy(cluster=TCP_APP), network_rbac(None)], TLS)],
        [listener(TCP_LISTENER, [network_rbac(None)], TLS)],
        [listener(TCP_LISTENER, [limited(0), proxy(cluster=TCP_APP)], TLS)],
        [listener(TCP_LISTENER, [{"name": "x"}], TLS)],
        [listener(TCP_LISTENER, [proxy(cluster=TCP_APP)], TLS, default_filter_chain={"name": "d"})],
        [listener(TCP_LISTENER, [proxy(cluster=TCP_APP)], {"name": "raw"})],
    ],
)
def test_tcp_port_is_unmodelled_when_shape_is_rejected_or_unknown(objects: list[NativeObject]) -> None:
    """What Envoy NACKs, and fields that nobody models."""
    with pytest.raises(UnmodelledError):
        judged(objects, raw(WEB))


def test_port_permission_compares_the_listener_port() -> None:
    """`destination_port` is the port that the connection came to."""
    other = {"p": policy(san(WEB), {"destination_port": 9001})}
    mine = {"p": policy(san(WEB), {"destination_port": 9000})}
    got = [judged(tcp(secret(WEB), rbac(one)), raw(WEB, "http")).verdict for one in (mine, other)]
    assert got == ["allow", "deny"]
