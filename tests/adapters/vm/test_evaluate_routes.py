"""Calls to a Service: where a client's Envoy sends them, in which parts, and who serves them then."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.vm import names
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
    UnmodelledError,
)
from tests.adapters.vm.native import (
    CA,
    HTTP_RBAC,
    RBAC_NAME,
    STRICT,
    TD,
    TLS,
    TYPES,
    WEB,
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
    rules,
    san,
    uri,
)

Json = Any
OWN = names.outbound("d", "api", 80)
SERVICES = ("api", "v1", "v2")


def upstream_tls(*ids: str, **common: Json) -> Json:
    """A client's transport socket that trusts these servers."""
    context = {**CA, "match_typed_subject_alt_names": [uri(one) for one in ids]}
    merged = {
        "tls_certificate_sds_secret_configs": [{"name": names.SELF}],
        "combined_validation_context": {
            "default_validation_context": context,
            "validation_context_sds_secret_config": {"name": names.TRUST},
        },
        **common,
    }
    kind = f"{TYPES}.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
    return {"name": "tls", "typed_config": {"@type": kind, "common_tls_context": merged}}


def eds(service: str, socket: Json | None = None, **more: Json) -> NativeObject:
    """The cluster of a Service port, which trusts the Service's own account only."""
    return native(
        "Cluster",
        {
            "name": names.outbound("d", service, 80),
            "type": "EDS",
            "eds_cluster_config": {"eds_config": {"ads": {}}},
            "transport_socket": socket or upstream_tls(f"spiffe://{TD}/ns/d/sa/{service}"),
            **more,
        },
    )


def served(service: str, *permissions: Json) -> list[NativeObject]:
    """A workload's own objects: web may make requests that match one of these permissions."""
    stem = names.inbound("d", service, 8080, "http")
    entry = per_route({"rules": rules({"web": policy(san(WEB), *permissions)} if permissions else {})})
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": f"app/{service}"}}]
    host = {"name": "in", "domains": ["*"], "routes": routes, "typed_per_filter_config": {RBAC_NAME: entry}}
    return [
        listener(f"{stem}@10.0.0.1", [manager(rds=stem)], TLS),
        native("RouteConfiguration", {"name": stem, "virtual_hosts": [host]}),
        cluster(f"app/{service}"),
    ]


def known(*services: str, spiffe: str = "") -> Facts:
    """One Pod per Service, of an account of the Service's name."""
    placements, endpoints = {}, {}
    for service in services:
        pod = ObjectRef("", "Pod", "d", service)
        identity = Identity(TD, "d", service)
        placements[pod] = Placement(pod, identity, bind="10.0.0.1", inbound=((8080, "TCP", "http"),))
        endpoints["d", service, 80] = (Endpoint(pod, spiffe or identity.spiffe, "10.0.0.1", 8080),)
    return Facts(TD, placements, endpoints)


def split(**weights: int) -> Json:
    """A weighted action over Services."""
    members = [{"name": names.outbound("d", service, 80), "weight": weight} for service, weight in weights.items()]
    return {"route": {"weighted_clusters": {"clusters": members}}}


ROOT = {"route": {"cluster": OWN}}
DOWN = {"direct_response": {"status": 503}}


def calling(*actions: Json, **more: Json) -> list[NativeObject]:
    """The client side over HTTP: routes in order (a match is added where there is none)."""
    routes = [{"match": {"prefix": "/"}, **action} for action in actions]
    host = {"name": "out", "domains": ["*"], "routes": routes, **more}
    return [
        listener(OWN, [manager(rds=OWN, filters=[])], bind_to_port=False),
        native("RouteConfiguration", {"name": OWN, "virtual_hosts": [host]}),
        *(eds(service) for service in SERVICES),
    ]


def piping(*filters: Json) -> list[NativeObject]:
    """The client side over TCP."""
    return [listener(OWN, list(filters), bind_to_port=False), *(eds(service) for service in SERVICES)]


ALL = [*served("api", path_is(".*")), *served("v1", path_is(".*")), *served("v2")]


def ask(path: str = "/", **more: Any) -> Request:
    """Web calls the Service d/api on port 80."""
    return Request(Source(spiffe=WEB), Destination(service="d/api"), 80, path=path, **more)


def judged(objects: list[NativeObject], request: Request, facts: Facts | None = None) -> Answer:
    """The verdict with all three workloads standing."""
    from adapters.vm.evaluate.mesh import evaluator  # noqa: PLC0415 - the test of one module

    return evaluator(objects, facts or known(*SERVICES)).judge(request)


def shape(answer: Answer) -> tuple[Any, ...]:
    """Verdict, route, weights and backends."""
    return answer.verdict, answer.route, answer.weights, answer.backends


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (ROOT, ("allow", "root", {"api": "1"}, {"api": "allow"})),
        (split(v1=9, v2=1), ("mixed", "split", {"v1": "9/10", "v2": "1/10"}, {"v1": "allow", "v2": "deny"})),
        (split(v1=1, api=2), ("allow", "split", {"api": "2/3", "v1": "1/3"}, {"api": "allow", "v1": "allow"})),
        (split(v1=5, v2=0), ("allow", "split", {"v1": "1"}, {"v1": "allow"})),
        (split(v2=7), ("deny", "split", {"v2": "1"}, {"v2": "deny"})),
        (split(api=1), ("allow", "split", {"api": "1"}, {"api": "allow"})),
        (DOWN, ("deny", "unavailable", {}, {})),
    ],
)
def test_route_is_told_exactly_when_http(action: Json, expected: tuple[Any, ...]) -> None:
    """The route word, exact parts and each backend's word."""
    assert shape(judged([*calling(action), *ALL], ask())) == expected


def test_weights_add_up_when_a_cluster_is_named_twice() -> None:
    """Envoy adds the shares, and ignores `total_weight`."""
    members = [{"name": names.outbound("d", one, 80), "weight": 1} for one in ("v1", "v1", "v2", "v2")]
    members[3]["weight"] = 2
    action = {"route": {"weighted_clusters": {"clusters": members, "total_weight": 100}}}
    assert judged([*calling(action), *ALL], ask()).weights == {"v1": "2/5", "v2": "3/5"}


def test_first_route_is_taken_when_its_headers_match() -> None:
    """Conditional routes come first; the answer names the route."""
    match = {"prefix": "/", "headers": [{"name": "x-beta", "string_match": {"exact": "1"}}]}
    objects = [*calling({"match": match, "name": "beta", **split(v1=1)}, ROOT), *ALL]
    beta = judged(objects, ask(headers=(("x-beta", "1"),)))
    assert (beta.route, beta.weights) == ("split", {"v1": "1"})
    assert f"RouteConfiguration/{OWN}#beta" in beta.by
    assert judged(objects, ask()).route == "root"
    assert judged([*calling({"match": match, **ROOT}), *ALL], ask()).route == "unavailable"


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ([proxy(cluster=OWN)], ("allow", "root", {"api": "1"}, {"api": "allow"})),
        (
            [proxy(weighted_clusters={"clusters": [{"name": names.outbound("d", "v2", 80), "weight": 1}, {"name": OWN, "weight": 3}]})],
            ("mixed", "split", {"api": "3/4", "v2": "1/4"}, {"api": "allow", "v2": "deny"}),
        ),
        ([network_rbac(rules()), proxy(cluster=OWN)], ("deny", "unavailable", {}, {})),
        ([proxy(cluster="out/closed")], ("deny", "unavailable", {}, {})),
    ],
)  # fmt: skip
def test_route_is_told_exactly_when_tcp(filters: list[Json], expected: tuple[Any, ...]) -> None:
    """HTTP requests through a client's TCP proxy."""
    closed = native("Cluster", {"name": "out/closed", "load_assignment": {"cluster_name": "out/closed"}})
    assert shape(judged([*piping(*filters), closed, *ALL], ask())) == expected


def test_raw_bytes_are_routed_when_a_closing_filter_stands_before_a_live_cluster() -> None:
    """A server that speaks first is heard through a network RBAC filter that denies all."""
    objects = [*piping(network_rbac(rules()), proxy(cluster=OWN)), *ALL]
    assert judged(objects, ask(protocol="tcp")).route == "root"


def test_raw_bytes_are_refused_when_the_client_speaks_http() -> None:
    """An HTTP connection manager refuses them, and says why."""
    answer = judged([*calling(ROOT), *ALL], ask(protocol="tcp"))
    assert (answer.verdict, answer.route, answer.losses) == ("deny", "unavailable", ("port.undeclared-mixed",))


def test_service_or_port_is_unknown_when_nothing_speaks_of_it() -> None:
    """No listener: the service if it is known otherwise, else nothing."""
    objects = [*calling(ROOT), *ALL]
    port = Request(Source(spiffe=WEB), Destination(service="d/api"), 81)
    service = Request(Source(spiffe=WEB), Destination(service="d/nope"), 80)
    assert shape(judged(objects, port)) == ("deny", "no-port", {}, {})
    assert shape(judged(objects, service)) == ("deny", "no-service", {}, {})
    assert judged(objects, ask(protocol="udp")).losses == ("proto.udp-not-captured",)


def test_backend_is_empty_when_nobody_stands_behind_it() -> None:
    """No endpoints, or a cluster that does not exist."""
    assert judged([*calling(ROOT), *ALL], ask(), known("v1")).backends == {"api": "no-endpoint"}
    gone = [one for one in calling(ROOT) if one.ref != names.ref("Cluster", OWN)]
    assert judged([*gone, *ALL], ask()).backends == {"api": "no-endpoint"}


def test_endpoint_serves_nothing_when_its_identity_is_not_pinned() -> None:
    """A client speaks only to servers whose id is pinned; an empty list trusts the whole CA, plain text shows nobody."""
    stranger = known(*SERVICES, spiffe=f"spiffe://{TD}/ns/d/sa/stranger")
    assert judged([*calling(ROOT), *ALL], ask(), stranger).backends == {"api": "deny"}
    rest = [one for one in calling(ROOT) if one.ref != names.ref("Cluster", OWN)]
    assert judged([*rest, eds("api", upstream_tls()), *ALL], ask(), stranger).backends == {"api": "allow"}
    foreign = known(*SERVICES, spiffe="spiffe://elsewhere/ns/d/sa/api")
    assert judged([*rest, eds("api", upstream_tls()), *ALL], ask(), foreign).backends == {"api": "deny"}
    silent = upstream_tls(f"spiffe://{TD}/ns/d/sa/api", tls_certificate_sds_secret_configs=[])
    assert judged([*rest, eds("api", silent), *ALL], ask()).backends == {"api": "deny"}


def test_backend_is_mixed_when_endpoints_disagree() -> None:
    """Two endpoints, of which one has no placement."""
    facts = known(*SERVICES)
    ghost = Endpoint(ObjectRef("", "Pod", "d", "ghost"), f"spiffe://{TD}/ns/d/sa/api", "10.0.0.9", 8080)
    both = Facts(TD, facts.placements, {("d", "api", 80): (*facts.endpoints["d", "api", 80], ghost)})
    answer = judged([*calling(ROOT), *ALL], ask(), both)
    assert (answer.verdict, answer.backends, answer.losses) == ("mixed", {"api": "mixed"}, ("port.unexposed",))


def test_path_is_normalised_when_a_client_sends_it_on() -> None:
    """The client's Envoy normalises, so the callee's policy sees the normal form even where it does not normalise."""
    lax = [one for one in served("api", path_is("/public/.*")) if one.ref.kind != "Listener"]
    stem = names.inbound("d", "api", 8080, "http")
    options = dict.fromkeys(STRICT, None) | {"normalize_path": False}
    bare = manager(rds=stem)
    bare["typed_config"] = {key: value for key, value in bare["typed_config"].items() if key not in options}
    objects = [*calling(ROOT), *lax, listener(f"{stem}@10.0.0.1", [bare], TLS)]
    assert judged(objects, ask("/public/../admin")).verdict == "deny"
    assert judged(objects, ask("/admin/../public/x")).verdict == "allow"
    escaped = judged(objects, ask("/public/%2fx"))
    assert (escaped.verdict, escaped.route, escaped.losses) == ("deny", "root", ("path.guarded",))


def test_loss_is_named_when_both_envoys_refuse() -> None:
    """A path that both refuse is denied on its route, with the one code."""
    answer = judged([*calling(ROOT), *ALL], ask("/x%2fy"))
    assert (answer.verdict, answer.route, answer.backends) == ("deny", "root", {"api": "deny"})
    assert answer.losses == ("path.guarded",)


def test_refused_path_keeps_its_route_when_a_condition_names_another() -> None:
    """A path without its leading slash meets no condition on paths, and is told on the route of all others."""
    condition = {"match": {"safe_regex": {"regex": "/word"}}, **split(v1=1)}
    answer = judged([*calling(condition, ROOT), *ALL], ask("word"))
    assert (answer.verdict, answer.route, answer.losses) == ("deny", "root", ("path.guarded",))


def test_header_is_gone_when_the_route_removes_it() -> None:
    """`request_headers_to_remove` on the client's side hides a header from the callee."""
    callee = served("api", header_is("x-tier", present_match=True))
    request = ask(headers=(("x-tier", "gold"),))
    assert judged([*calling(ROOT), *callee], request).verdict == "allow"
    removing = calling(ROOT, request_headers_to_remove=["X-Tier"])
    assert judged([*removing, *callee], request).verdict == "deny"


def test_call_is_denied_when_the_caller_has_no_certificate() -> None:
    """An outsider's call is refused by the callee's TLS, a foreign one with its code."""
    objects = [*calling(ROOT), *ALL]
    outside = Request(Source(outside=True), Destination(service="d/api"), 80)
    foreign = Request(Source(spiffe="spiffe://elsewhere/x"), Destination(service="d/api"), 80)
    assert shape(judged(objects, outside)) == ("deny", "root", {"api": "1"}, {"api": "deny"})
    assert judged(objects, foreign).losses == ("source.foreign-trust-domain",)


@pytest.mark.parametrize(
    "objects",
    [
        calling({"route": {"cluster": "out/e/api/80"}}),
        calling({"route": {"cluster": "out/d/api/81"}}),
        calling({"route": {"cluster": "elsewhere"}}),
        calling(split(v1=0, v2=0)),
        calling(split()),
        calling(split(v1=2**32 - 1, v2=1)),
        calling({"route": {"cluster": OWN, "prefix_rewrite": "/x"}}),
        calling({"route": {"cluster": OWN, "request_mirror_policies": [{"cluster": "x"}]}}),
        calling(ROOT, request_headers_to_add=[{"header": {"key": "a", "value": "b"}}]),
        [*calling(ROOT)[:2], eds("api", eds_cluster_config={"eds_config": {"ads": {}}, "service_name": "other"})],
        [*calling(ROOT)[:2], eds("api", transport_socket_matches=[{"name": "x"}])],
        [*calling(ROOT)[:2], eds("api", type="STRICT_DNS", eds_cluster_config=None)],
        [listener(OWN, [manager(rds=OWN, filters=[])], TLS)],
    ],
)
def test_route_is_unmodelled_when_it_leads_elsewhere(objects: list[NativeObject]) -> None:
    """Clusters of another namespace or port, rejected weights, and fields that nobody models."""
    with pytest.raises(UnmodelledError):
        judged([*objects, *ALL], ask())


def test_http_filter_denies_all_when_it_stands_on_the_client_side() -> None:
    """A policy on the outbound side is judged too."""
    denying = {"name": RBAC_NAME, "typed_config": {"@type": HTTP_RBAC, "rules": rules()}}
    objects = [listener(OWN, [manager(rds=OWN, filters=[denying])]), *calling(ROOT)[1:], *ALL]
    assert shape(judged(objects, ask())) == ("deny", "unavailable", {}, {})


def test_workload_kind_needs_its_listener_when_called() -> None:
    """A Workload that is not sent its listener serves nobody; with it in `needs` it does."""
    facts = known(*SERVICES)
    pod = facts.placements[ObjectRef("", "Pod", "d", "api")]
    node = ObjectRef("smihub.io", "Workload", "d", "api")
    stands = Placement(node, pod.identity, bind=pod.bind, inbound=pod.inbound)
    end = Endpoint(node, pod.identity.spiffe, "10.0.0.1", 8080)
    moved = Facts(TD, {node: stands}, {("d", "api", 80): (end,)})
    stem = names.inbound("d", "api", 8080, "http")
    sent = NativeObject(
        names.ref("Workload", "d/api"), Role.GRANT, b"{}", needs=(names.ref("Listener", f"{stem}@10.0.0.1"),)
    )
    objects = [*calling(ROOT), *ALL]
    assert judged(objects, ask(), moved).losses == ("port.unexposed",)
    assert judged([*objects, sent], ask(), moved).verdict == "allow"


DOOR = names.client_listener(OWN, "d/one", "/run/one/api.sock", 0)


@pytest.mark.parametrize(
    ("address", "known"),
    [
        ({"pipe": {"path": "/run/one/api.sock", "mode": 0o660}}, True),
        ({"pipe": {"path": "/run/one/api.sock", "mode": 0o600}}, True),
        ({"socket_address": {"address": "127.0.0.1", "port_value": 80}}, True),
        ({"socket_address": {"address": "::1", "port_value": 80}}, True),
        ({"pipe": {"path": "/run/one/api.sock", "mode": 0o666}}, False),
        ({"pipe": {"path": "/run/one/api.sock", "mode": 0o662}}, False),
        ({"pipe": {"path": "/run/one/api.sock"}}, False),
        ({"pipe": {"path": "@one", "mode": 0o660}}, False),
        ({"socket_address": {"address": "0.0.0.0", "port_value": 80}}, False),
        ({"socket_address": {"address": "10.0.0.1", "port_value": 80}}, False),
        ({"socket_address": {"address": "::", "port_value": 80}}, False),
        ({"socket_address": {"port_value": 80}}, False),
    ],
)
def test_strangers_are_judged_only_where_nobody_lends_them_an_identity(address: Json, known: bool) -> None:  # noqa: FBT001
    """A workload's own way out that others reach makes them that workload."""
    objects = [*calling(ROOT), *ALL, listener(DOOR, [proxy(cluster=OWN)], address=address)]
    request = Request(Source(outside=True), Destination(service="d/api"), 80)
    if known:
        assert judged(objects, request).verdict == "deny"
        return
    with pytest.raises(UnmodelledError, match=r"calls as its workload|not modelled"):
        judged(objects, request)
