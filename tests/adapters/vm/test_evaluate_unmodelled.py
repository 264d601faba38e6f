"""Inbound HTTP: what Envoy would reject or the evaluator does not know is never guessed."""

from __future__ import annotations

import pytest

from adapters.vm import names
from hub.api import (
    NativeObject,
    UnmodelledError,
)
from tests.adapters.vm.native import (
    ANY,
    APP,
    FILTER_CONFIG,
    GOOD,
    HTTP_RBAC,
    LISTENER,
    TLS,
    Json,
    header_is,
    http,
    judged,
    listener,
    manager,
    mesh,
    native,
    path_is,
    per_route,
    policy,
    rules,
    table,
)


@pytest.mark.parametrize(
    "entry",
    [
        {"@type": FILTER_CONFIG},
        {"@type": HTTP_RBAC, "rules": rules()},
        per_route({"rules": rules({"p": policy([], ANY)})}),
        per_route({"rules": rules({"p": policy([ANY])})}),
        per_route({"rules": rules({"p": policy([{}], ANY)})}),
        per_route({"rules": rules({"p": policy([ANY], {})})}),
        per_route({"rules": rules({"p": policy([ANY], {"any": False})})}),
        per_route({"rules": rules({"p": policy([ANY], {"and_rules": {}})})}),
        per_route({"rules": rules({"p": policy([ANY], {"or_rules": {"rules": []}})})}),
        per_route({"rules": rules({"p": policy([{"and_ids": {}}], ANY)})}),
        per_route({"rules": rules({"p": policy([{"source_ip": {"address_prefix": "::"}}], ANY)})}),
        per_route({"rules": rules({"p": policy([ANY], {"destination_ip": {"address_prefix": "::"}})})}),
        per_route({"rules": rules({"p": policy([ANY], path_is("(?=a)"))})}),
        per_route({"rules": rules({"p": policy([ANY], path_is(""))})}),
        per_route({"rules": rules({"p": policy([ANY], path_is("(a{1000}){40}"))})}),
        per_route({"rules": rules({"p": policy([ANY], path_is("a{1000}" * 40))})}),
        per_route({"rules": rules({"p": policy([ANY], header_is("x-request-id", present_match=True))})}),
        per_route({"rules": rules({"p": policy([ANY], header_is(":authority", present_match=True))})}),
        per_route({"rules": rules({"p": policy([ANY], header_is("a", string_match={"prefix": ""}))})}),
        per_route({"rules": rules({"p": policy([ANY], header_is("a", range_match={"end": 5}))})}),
        per_route({"rules": rules({"p": {**policy([ANY], ANY), "condition": {"const_expr": {"int64_value": 1}}}})}),
        per_route({"rules": rules(), "matcher": {"on_no_match": {"action": {"name": "a"}}}}),
    ],
)
def test_policy_is_unmodelled_when_envoy_rejects_it_or_we_do_not_know_it(entry: Json) -> None:
    """Nothing is guessed: neither what Envoy would NACK nor a field that is not modelled."""
    objects = mesh(table(entry))
    with pytest.raises(UnmodelledError):
        judged(objects, http())


@pytest.mark.parametrize(
    "objects",
    [
        mesh(table(GOOD), early_header_mutation_extensions=[{"name": "x"}]),
        mesh(table(GOOD), forward_client_cert_details="FORWARD_ONLY"),
        mesh(table(GOOD), codec_type="HTTP2"),
        mesh(table(GOOD), use_remote_address=True),
        mesh(table(GOOD), upgrade_configs=[{"upgrade_type": "CONNECT"}]),
        mesh(table(GOOD), http_protocol_options={"accept_http_10": True}),
        mesh(table(GOOD, request_headers_to_add=[{"header": {"key": "x-tier", "value": "gold"}}])),
        mesh(table(GOOD, routes=[{"match": {"prefix": "/"}, "route": {"cluster_header": "x-to"}}])),
        mesh(table(GOOD, routes=[{"match": {"connect_matcher": {}}, "route": {"cluster": APP}}])),
        mesh(table(GOOD, domains=["*.example"])),
        mesh(table(GOOD, domains=["*", "*"])),
        mesh(table(GOOD), native("Cluster", {"name": "x"}), native("Listener", {"name": "elsewhere"})),
        [listener(LISTENER, [manager()], TLS, use_original_dst=True), table(GOOD)],
        [listener(LISTENER, [manager()], TLS, listener_filters=[{"name": "x"}]), table(GOOD)],
        [listener(LISTENER, [manager(), manager()], TLS), table(GOOD)],
        [listener(LISTENER, [], TLS), table(GOOD)],
    ],
)
def test_mesh_is_unmodelled_when_a_field_is_not_known(objects: list[NativeObject]) -> None:
    """A set field that nobody models is never passed over."""
    with pytest.raises(UnmodelledError):
        judged(objects, http())


def test_mesh_is_unmodelled_when_bytes_hold_an_unknown_field() -> None:
    """Field numbers that the schema does not name are found, although a parser would skip them."""
    listed, good = mesh(table(GOOD))
    odd = NativeObject(good.ref, good.role, good.body + b"\xfa\x7f\x01x")
    with pytest.raises(UnmodelledError):
        judged([listed, odd], http())


def test_listener_is_unmodelled_when_it_binds_something_else() -> None:
    """A listener whose address is not what its name says would open another port."""
    where = {"socket_address": {"address": "10.0.0.1", "port_value": 8081}}
    with pytest.raises(UnmodelledError):
        judged([listener(LISTENER, [manager()], TLS, address=where), table(GOOD)], http())


def test_resource_is_unmodelled_when_envoy_knows_it_by_another_name() -> None:
    """What is asked for by its name would be another resource, or none."""
    good = table(GOOD)
    other = NativeObject(names.ref("RouteConfiguration", "in/d/api/9000/http"), good.role, good.body)
    with pytest.raises(UnmodelledError, match="Envoy knows it as"):
        judged([listener(LISTENER, [manager(other.ref.name)], TLS), other], http())


@pytest.mark.parametrize("wrong", [{"address": "10.0.0.9"}, {"port_value": 9000}])
def test_application_is_unmodelled_when_it_is_elsewhere(wrong: Json) -> None:
    """A port leads to the application on its own number: behind another one stands what other rules are about."""
    where = {"address": "127.0.0.1", "port_value": 8080, **wrong}
    load = {"endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address": where}}}]}]}
    objects = mesh(table(GOOD, routes=[{"match": {"prefix": "/"}, "route": {"cluster": "app/x"}}]))
    app = native("Cluster", {"name": "app/x", "load_assignment": {"cluster_name": "app/x", **load}})
    with pytest.raises(UnmodelledError, match="leads away from its own application"):
        judged([*objects, app], http())


def test_cluster_is_unmodelled_when_it_has_the_endpoints_of_another() -> None:
    """Whose they are, nobody says."""
    objects = mesh(table(GOOD, routes=[{"match": {"prefix": "/"}, "route": {"cluster": "app/x"}}]))
    app = native("Cluster", {"name": "app/x", "load_assignment": {"cluster_name": "app/y"}})
    with pytest.raises(UnmodelledError, match="the endpoints of"):
        judged([*objects, app], http())


def test_objects_are_unmodelled_when_kind_or_copy_is_unknown() -> None:
    """A kind of another family, or two objects of one name, raise at once."""
    bad = NativeObject(table(GOOD).ref.__class__("", "Pod", "d", "x"), table(GOOD).role, b"")
    with pytest.raises(UnmodelledError):
        judged([bad], http())
    with pytest.raises(UnmodelledError):
        judged([table(GOOD), table(GOOD)], http())
