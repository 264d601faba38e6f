"""Inbound HTTP: who gets in by which policy, at which level and with which certificate, as a real Envoy 1.40 answers."""

from __future__ import annotations

from typing import Any

import pytest

from hub.api import (
    Answer,
    Destination,
    Identity,
    NativeObject,
    ObjectRef,
    Placement,
    Request,
    Source,
)
from tests.adapters.vm.native import (
    ANY,
    API,
    APP,
    FILTER_CONFIG,
    GOOD,
    LISTENER,
    OTHER,
    RBAC_NAME,
    TABLE,
    TLS,
    WEB,
    Json,
    allows,
    facts,
    header_is,
    http,
    judged,
    listener,
    manager,
    mesh,
    native,
    path_is,
    per_route,
    placed,
    policy,
    rbac_filter,
    rules,
    san,
    table,
    tls,
    workload,
)

OPEN = per_route(None)


GOLD = {"string_match": {"safe_regex": {"regex": "gold.*"}}}


POLICIES = {
    "read": policy(
        san(WEB),
        {"and_rules": {"rules": [path_is("/v1/.*"), {"or_rules": {"rules": [
            header_is(":method", string_match={"exact": method}) for method in ("GET", "HEAD")
        ]}}]}},
    ),
    "order": policy(
        san(WEB),
        {"and_rules": {"rules": [
            path_is("/orders"), header_is(":method", string_match={"exact": "POST"}), header_is("x-tier", **GOLD)
        ]}},
    ),
    "third": policy(san("spiffe://td/ns/s/sa/third"), path_is("/t")),
}  # fmt: skip


POLICY = mesh(table(per_route({"rules": rules(POLICIES)})))


THIRD = "spiffe://td/ns/s/sa/third"


@pytest.mark.parametrize(
    ("request_", "allowed"),
    [
        (http(), True),
        (http(method="HEAD"), True),
        (http("/v1/a?x=1"), True),
        (http(headers=(("host", "unknown.example"),)), True),
        (http(method="DELETE"), False),
        (http(method="POST"), False),
        (http("/orders", method="POST", headers=(("x-tier", "gold1"),)), True),
        (http("/orders", method="POST", headers=(("X-TIER", "gold"),)), True),
        (http("/orders", method="POST"), False),
        (http("/orders", method="POST", headers=(("x-tier", "silver"),)), False),
        (http("/orders", method="POST", headers=(("x-tier", "agold"),)), False),
        (http("/orders", headers=(("x-tier", "gold"),)), False),
        (http("/t", src=THIRD), True),
        (http("/t"), False),
        (http(src=THIRD), False),
        (http(src=OTHER), False),
        (http("/v1"), False),
        (http("/x/v1/a"), False),
        (http("/V1/a"), False),
        (http("/admin?q=/v1/a"), False),
        (http("/v1/../admin"), False),
        (http("/x/../v1/a"), True),
    ],
)
def test_policy_decides_when_requests_differ(request_: Request, allowed: bool) -> None:  # noqa: FBT001 - a table's column
    """A policy of paths, methods and headers for two sources."""
    assert allows(POLICY, request_) is allowed


def test_answer_names_policy_when_allowed() -> None:
    """The decision is told by resource and policy; a default denial by resource alone."""
    assert judged(POLICY, http()) == Answer("allow", by=(f"RouteConfiguration/{TABLE}#read",))
    assert judged(POLICY, http(src=OTHER)) == Answer("deny", by=(f"RouteConfiguration/{TABLE}",))


def test_tls_refuses_when_certificate_is_foreign_or_absent() -> None:
    """A certificate of another trust domain is not of our CA; outsiders and unknown pods have none."""
    assert judged(POLICY, http(src="spiffe://elsewhere/ns/s/sa/web")).losses == ("source.foreign-trust-domain",)
    for source in (Source(outside=True), Source(pod="s/ghost")):
        request = Request(source, Destination(identity="d/api"), 8080, path="/v1/a")
        assert judged(POLICY, request) == Answer("deny", by=(f"Listener/{LISTENER}",))


def levels(**entries: Json) -> list[NativeObject]:
    """A route table with RBAC entries at the named levels: config, host, route, member."""

    def at(level: str) -> Json:
        return {"typed_per_filter_config": {RBAC_NAME: entries[level]}} if level in entries else {}

    member = {"name": APP, "weight": 1, **at("member")}
    action = {"weighted_clusters": {"clusters": [member]}} if "member" in entries else {"cluster": APP}
    host = {"name": "in", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": action, **at("route")}]}
    config = {"name": TABLE, "virtual_hosts": [{**host, **at("host")}], **at("config")}
    return mesh(native("RouteConfiguration", config))


DISABLED = {"@type": FILTER_CONFIG, "disabled": True}


WRAPPED = {"@type": FILTER_CONFIG, "config": GOOD}


LEVELS: list[Any] = [
    (levels(), False, False),
    (levels(config=GOOD), True, False),
    (levels(host=GOOD), True, False),
    (levels(config=GOOD, host=OPEN), True, True),
    (levels(config=OPEN, host=GOOD), True, False),
    (levels(host=GOOD, route=OPEN), True, True),
    (levels(host=GOOD, route=DISABLED), True, True),
    (levels(host=GOOD, member=OPEN), True, True),
    (levels(host=DISABLED, route=GOOD), True, False),
    (levels(host=WRAPPED), True, False),
    (levels(host={**WRAPPED, "is_optional": True}), True, False),
    (levels(host=DISABLED), True, True),
    (levels(host={**WRAPPED, "disabled": True}), True, True),
    (levels(host=per_route({})), True, True),
    (levels(host=per_route({"shadow_rules": rules()})), True, True),
    (levels(host=per_route({"rules": rules()})), False, False),
    (levels(host=per_route({"rules": rules(action="LOG")})), True, True),
    (levels(host=per_route({"rules": rules(action="DENY")})), True, True),
    (levels(host=per_route({"rules": rules({"p": policy(san(WEB), ANY)}, "DENY")})), False, True),
    (mesh(table(None, typed_per_filter_config={"rbac": GOOD})), False, False),
    (mesh(table(GOOD), filters=[{**rbac_filter(), "name": "r0"}]), False, False),
    (mesh(table(GOOD), filters=[]), True, True),
    (mesh(table(GOOD), filters=[rbac_filter(rules_stat_prefix="x")]), True, False),
    (mesh(table(None), filters=[rbac_filter(rules_stat_prefix="x")]), True, True),
    (mesh(table(GOOD), filters=[{**rbac_filter(), "disabled": True}]), True, False),
    (mesh(table(None), filters=[{**rbac_filter(), "disabled": True}]), True, True),
    (mesh(table(GOOD), filters=[rbac_filter(), {**rbac_filter(), "name": "two"}]), False, False),
    (mesh(), False, False),
    (mesh(native("RouteConfiguration", {"name": TABLE})), False, False),
    (mesh(table(GOOD, domains=["other.example"])), False, False),
    (mesh(table(GOOD, routes=[])), False, False),
    (mesh(table(GOOD, routes=[{"match": {"prefix": "/"}, "direct_response": {"status": 200}}])), False, False),
    (mesh(table(GOOD, routes=[{"match": {"prefix": "/"}, "redirect": {}}])), False, False),
    (
        mesh(table(GOOD, routes=[{"match": {"prefix": "/"}, "route": {"cluster": APP, "prefix_rewrite": "/q"}}])),
        True,
        False,
    ),
    (mesh(table(GOOD, routes=[{"match": {"prefix": "/"}, "route": {"cluster": "app/none"}}])), False, False),
    (mesh(table(GOOD, request_headers_to_remove=["x-original-url"])), True, False),
]


@pytest.mark.thorough
@pytest.mark.parametrize(("objects", "good", "other"), LEVELS)
def test_levels_decide_as_envoy_does(objects: list[NativeObject], good: bool, other: bool) -> None:  # noqa: FBT001 - a table's columns
    """Whether the granted and the other source get in, for every place where policy can stand or be lost."""
    assert (allows(objects, http()), allows(objects, http(src=OTHER))) == (good, other)


def test_second_host_decides_when_host_header_names_the_first() -> None:
    """A policy at one domain only: the catch-all host without an entry is closed."""
    route = [{"match": {"prefix": "/"}, "route": {"cluster": APP}}]
    first = {"name": "a", "domains": ["a.example"], "routes": route, "typed_per_filter_config": {RBAC_NAME: GOOD}}
    config = {"name": TABLE, "virtual_hosts": [first, {"name": "b", "domains": ["*"], "routes": route}]}
    objects = mesh(native("RouteConfiguration", config))
    assert allows(objects, http(headers=(("host", "A.example"),)))
    assert not allows(objects, http())


@pytest.mark.parametrize(
    ("principal", "web", "other", "outside"),
    [
        (ANY, True, True, True),
        ({"authenticated": {}}, True, True, True),
        ({"authenticated": {"principal_name": {"exact": WEB}}}, True, False, False),
        ({"authenticated": {"principal_name": {"exact": ""}}}, True, True, True),
        ({"authenticated": {"principal_name": {"safe_regex": {"regex": ".*"}}}}, True, True, True),
        (san(WEB)[0], True, False, False),
        ({"and_ids": {"ids": [san(WEB)[0], {"not_id": san(OTHER)[0]}]}}, True, False, False),
        ({"or_ids": {"ids": [*san(WEB), *san(OTHER)]}}, True, True, False),
        ({"not_id": san(WEB)[0]}, False, True, True),
        ({"header": {"name": "x-me", "string_match": {"exact": "web"}}}, True, True, True),
    ],
)
def test_principal_matches_as_envoy_does(principal: Json, web: bool, other: bool, outside: bool) -> None:  # noqa: FBT001 - a table's columns
    """Each kind of principal for two mesh certificates and for nobody, where no certificate is required."""
    entry = per_route({"rules": rules({"p": policy([principal], ANY)})})
    open_tls = tls({"validation_context": {"trusted_ca": {"inline_string": "smihub:trust-bundle"}}}, required=False)
    objects = [listener(LISTENER, [manager()], open_tls), table(entry)]
    sources = (Source(spiffe=WEB), Source(spiffe=OTHER), Source(outside=True))
    destination, headers = Destination(identity="d/api"), (("x-me", "web"),)
    got = [allows(objects, Request(source, destination, 8080, headers=headers)) for source in sources]
    assert got == [web, other, outside]


def test_identity_is_allowed_when_every_workload_allows() -> None:
    """One workload of the identity whose Envoy lacks the listener denies the identity; pods answer for themselves."""
    good = [listener(LISTENER, [manager()], TLS), table(GOOD), workload("two", [])]
    known = facts(placed("one"), placed("two"), placed("one", "Pod"))
    assert judged(good, http(), known).verdict == "deny"
    one = Request(Source(pod="d/one"), Destination(pod="d/one"), 8080, path="/v1/a")
    assert judged(good, one, known).verdict == "deny"  # the caller is d/api itself, which has no grant
    assert (
        judged(good, Request(Source(spiffe=WEB), Destination(pod="d/one"), 8080, path="/v1/a"), known).verdict
        == "allow"
    )


def test_own_identity_is_judged_like_any_other() -> None:
    """The destination itself has no privilege."""
    assert not allows(POLICY, http(src=API))


@pytest.mark.parametrize(
    ("source", "verdict"),
    [
        (Source(identity="s/web"), "allow"),
        (Source(identity="s/other"), "deny"),
        (Source(pod="s/caller"), "allow"),
        (Source(pod="s/ghost"), "deny"),
        (Source(spiffe="spiffe://td.evil/ns/s/sa/web"), "deny"),
        (Source(spiffe="web"), "deny"),
        (Source(), "deny"),
    ],
)
def test_caller_is_known_by_its_one_certificate(source: Source, verdict: str) -> None:
    """Identities, pods and ids of our trust domain have a certificate of ours; nobody else has."""
    caller = Placement(ObjectRef("", "Pod", "s", "caller"), Identity("td", "s", "web"))
    request = Request(source, Destination(identity="d/api"), 8080, path="/v1/a")
    assert judged(POLICY, request, facts(placed(), caller)).verdict == verdict


def test_pod_name_means_the_workload_when_kinds_share_it() -> None:
    """A Workload goes before a Pod, a Pod before a template."""
    kinds = {"Deployment": "other", "Pod": "other", "Workload": "web"}
    callers = [Placement(ObjectRef("", kind, "s", "c"), Identity("td", "s", who)) for kind, who in kinds.items()]
    request = Request(Source(pod="s/c"), Destination(identity="d/api"), 8080, path="/v1/a")
    assert judged(POLICY, request, facts(placed(), *callers)).verdict == "allow"


def test_principal_name_needs_tls_when_connection_is_plain() -> None:
    """On plain text not even an empty name matches."""
    entry = per_route({"rules": rules({"p": policy([{"authenticated": {"principal_name": {"exact": ""}}}], ANY)})})
    assert not allows([listener(LISTENER, [manager()]), table(entry)], http())
