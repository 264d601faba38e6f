"""Grants as Servers, routes and policies: the right callers on the right ports, and a denial wherever nothing is granted."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import replace

from adapters.linkerd.config import LinkerdConfig
from adapters.linkerd.translate import access as translate_access
from adapters.linkerd.translate import ports as translate_ports
from adapters.linkerd.translate import shares as translate_shares
from adapters.linkerd.translate.unit import translate
from hub.model import Access, Declared, HttpMatch, Identity, InboundPort, Role, Translation
from tests.adapters.linkerd.choice import allowed, bodies, callers_of
from tests.servers.units import access, http_grant, inbound, spiffe, tcp_grant

ANY = HttpMatch()
READ = HttpMatch(path="/v1/books", methods=("GET",))
WRITE = HttpMatch(path="/v1/orders", methods=("POST",))


def made(*grants: object, ports: tuple[InboundPort, ...] = (inbound(8080),)) -> Translation:
    """What the grants come to."""
    return translate(access(*grants, ports=ports), LinkerdConfig())  # type: ignore[arg-type]


def losses(translation: Translation) -> list[tuple[str, str]]:
    """Code and field of what is lost."""
    return [(loss.code, loss.field) for loss in translation.losses]


def test_every_declared_port_denies() -> None:
    """A Server for each, without any policy; bytes are opaque only where that is declared."""
    found = made(ports=(inbound(8080), inbound(9000, "tcp"), inbound(9100, "none")))
    assert [(str(one.ref), one.role) for one in found.objects] == [
        ("Server/d/smihub-8080-api", Role.GUARD),
        ("Server/d/smihub-9000-api", Role.GUARD),
        ("Server/d/smihub-9100-api", Role.GUARD),
    ]
    selector = {"matchLabels": {"smihub.io/sa": "api"}}
    assert bodies(found, "Server")["smihub-9000-api"] == {
        "accessPolicy": "deny",
        "podSelector": selector,
        "port": 9000,
        "proxyProtocol": "opaque",
    }
    assert {spec["proxyProtocol"] for spec in bodies(found, "Server").values()} == {"opaque", "unknown"}


def test_requests_are_granted_by_routes() -> None:
    """One route for each set of callers, and a policy that names it; the Server itself has none."""
    found = made(http_grant("read", ["web"], READ), http_grant("write", ["shop"], WRITE))
    assert callers_of(found, "smihub-8080-api", "Server") == set()
    assert allowed(found, 8080, "/v1/books") == {"d/web"}
    assert allowed(found, 8080, "/v1/orders", "POST") == {"d/shop"}
    assert allowed(found, 8080, "/v1/orders") == set()
    assert [len(bodies(found, kind)) for kind in ("HTTPRoute", "AuthorizationPolicy", "MeshTLSAuthentication")] == [
        2
    ] * 3
    assert losses(found) == []


def test_a_route_has_its_needs() -> None:
    """A policy needs its callers; a route its Server, and its policy, for it decides as soon as it is there."""
    found = {one.ref.kind: one for one in made(http_grant("read", ["web"], READ)).objects}
    assert found["HTTPRoute"].needs == (found["Server"].ref, found["AuthorizationPolicy"].ref)
    assert found["AuthorizationPolicy"].needs == (found["MeshTLSAuthentication"].ref,)
    assert found["MeshTLSAuthentication"].role is Role.REFERENCED
    assert {found["HTTPRoute"].role, found["AuthorizationPolicy"].role} == {Role.GRANT}


def test_equal_conditions_of_several_sources_are_one_route() -> None:
    """With the callers of both."""
    found = made(http_grant("a", ["web"], READ), http_grant("b", ["shop"], READ))
    assert allowed(found, 8080, "/v1/books") == {"d/web", "d/shop"}
    assert len(bodies(found, "HTTPRoute")) == 1


def test_callers_change_the_names_of_what_names_them() -> None:
    """Nothing that grants ever changes in place: other callers, or other matches, are another object."""
    one, other = (made(http_grant("read", sources, READ)) for sources in (["web"], ["shop", "web"]))
    for kind in ("HTTPRoute", "AuthorizationPolicy", "MeshTLSAuthentication"):
        assert not set(bodies(one, kind)) & set(bodies(other, kind))
    changed = made(http_grant("read", ["web"], WRITE))
    fresh = {native.ref.kind for native in changed.objects} & {"HTTPRoute", "AuthorizationPolicy"}
    assert {native.ref.kind for native in changed.objects if native not in one.objects} == fresh
    assert not {native.ref for native in changed.objects if native.ref.kind in fresh} & {
        native.ref for native in one.objects
    }


def test_raw_bytes_are_granted_by_the_server() -> None:
    """On ports declared tcp, and on undeclared ones, where they may be requests as well."""
    found = made(tcp_grant("raw", ["web"]), ports=(inbound(8080), inbound(9000, "tcp"), inbound(9100, "none")))
    assert callers_of(found, "smihub-9000-api", "Server") == {"d/web"}
    assert allowed(found, 9100, "/any") == {"d/web"}
    assert allowed(found, 8080, "/any") == set()
    assert bodies(found, "HTTPRoute") == {}


def test_raw_bytes_beside_requests() -> None:
    """On an undeclared port the callers of raw bytes get every route, and one for what no other route matches."""
    found = made(tcp_grant("raw", ["web"]), http_grant("read", ["shop"], READ), ports=(inbound(9100, "none"),))
    assert callers_of(found, "smihub-9100-api", "Server") == {"d/web"}
    assert allowed(found, 9100, "/v1/books") == {"d/web", "d/shop"}
    assert allowed(found, 9100, "/v1/../else") == {"d/web"}
    assert losses(found) == []


def test_requests_of_callers_who_may_send_raw_bytes() -> None:
    """Nothing is said of them twice."""
    found = made(tcp_grant("raw", ["web"]), http_grant("read", ["web"], READ), ports=(inbound(9100, "none"),))
    assert bodies(found, "HTTPRoute") == {}
    assert allowed(found, 9100, "/any") == {"d/web"}


def test_http_counts_on_ports_that_are_not_tcp() -> None:
    """And raw bytes on those that are not HTTP; neither loses anything by that."""
    ports = (inbound(8080), inbound(9000, "tcp"))
    found = made(http_grant("read", ["web"], READ), tcp_grant("raw", ["shop"]), ports=ports)
    assert callers_of(found, "smihub-9000-api", "Server") == {"d/shop"}
    assert {spec["parentRefs"][0]["name"] for spec in bodies(found, "HTTPRoute").values()} == {"smihub-8080-api"}
    assert losses(found) == []


@pytest.mark.parametrize(("declared", "code"), [("tcp", "port.mixed-protocols"), ("unknown", "port.unknown-protocol")])
def test_a_port_that_some_declare_otherwise(declared: str, code: str) -> None:
    """One Server has all Pods of the account, so only what every one of them allows is granted."""
    ports = (inbound(8080), replace(inbound(8080), declared=declared, variant=declared))
    found = made(http_grant("read", ["web"], READ), ports=ports)
    assert losses(found) == [(code, "spec.rules")]
    assert allowed(found, 8080, "/v1/books") == set()
    assert found.carried == ()


def test_a_port_that_some_workloads_do_not_name() -> None:
    """There it is what ports are that nothing declares."""
    found = made(http_grant("read", ["web"], READ), ports=(replace(inbound(8080, "tcp"), everywhere=False),))
    assert losses(found) == [("port.mixed-protocols", "spec.rules")]
    assert bodies(found, "Server")["smihub-8080-api"]["proxyProtocol"] == "unknown"


def test_one_of_two_ports_is_declared_otherwise() -> None:
    """What is carried leaves it out."""
    ports = (inbound(8080), replace(inbound(8080), declared="tcp", variant="tcp"), inbound(8081))
    found = made(http_grant("read", ["web"], READ), ports=ports)
    assert allowed(found, 8081, "/v1/books") == {"d/web"}
    assert [(grant.http, grant.not_ports) for grant in found.carried or ()] == [((READ,), (8080,))]


def test_a_port_that_only_a_grant_names() -> None:
    """It gets a Server; a grant for every port counts on those that something declares."""
    found = made(http_grant("read", ["web"], READ, ports=(7000,)), tcp_grant("raw", ["shop"]), ports=())
    assert allowed(found, 7000, "/v1/books") == {"d/web", "d/shop"}
    assert losses(found) == []


def test_ports_that_a_grant_leaves_out() -> None:
    """It counts on all the others."""
    ports = (inbound(9000, "tcp"), inbound(9100, "tcp"))
    found = made(replace(tcp_grant("raw", ["web"]), not_ports=(9000,)), ports=ports)
    assert callers_of(found, "smihub-9000-api", "Server") == set()
    assert callers_of(found, "smihub-9100-api", "Server") == {"d/web"}
    assert [(grant.http, grant.ports, grant.not_ports) for grant in found.carried or ()] == [(None, None, (9000,))]


def test_an_account_without_ports() -> None:
    """It has a Server all the same: every Pod of a governed account is selected by one."""
    found = made(tcp_grant("raw", ["web"]), ports=())
    assert list(bodies(found, "Server")) == ["smihub-1-api"]
    assert callers_of(found, "smihub-1-api", "Server") == {"d/web"}
    assert losses(found) == []
    assert [grant.ports for grant in found.carried or ()] == [None]


def test_more_headers_than_a_match_can_have() -> None:
    """In one match, or in the overlap of two."""
    headers = tuple((f"x-{number}", "1") for number in range(17))
    assert losses(made(http_grant("a", ["web"], HttpMatch("/a", None, headers)))) == [("limit.exceeded", "spec.rules")]
    assert allowed(made(http_grant("a", ["web"], HttpMatch("/a", None, headers[:16]))), 8080, "/a", headers=headers)
    halves = (HttpMatch("/a", None, headers[:9]), HttpMatch("/a", None, headers[8:]))
    found = made(http_grant("a", ["web"], halves[0]), http_grant("b", ["shop"], halves[1]))
    assert losses(found) == [("limit.exceeded", "spec.rules")] * 2


def test_ports_that_nothing_declares_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit they stay closed."""
    monkeypatch.setattr(translate_ports, "MAX_UNLISTED", 1)
    found = made(tcp_grant("raw", ["web"], (7000, 7001)), ports=())
    assert list(bodies(found, "Server")) == ["smihub-7000-api"]
    assert losses(found) == [("limit.exceeded", "spec.rules")]
    assert [(grant.ports, grant.http) for grant in found.carried or ()] == [((7000,), None)]


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("spiffe://other/ns/d/sa/web", "source.foreign-trust-domain"),
        ("spiffe://td/spire/web", "source.foreign-trust-domain"),
        ("spiffe://td/ns/d/sa/We_b", "source.foreign-trust-domain"),
    ],
)
def test_sources_that_are_no_service_accounts_of_ours(source: str, code: str) -> None:
    """They are lost, and the others stay."""
    grant = http_grant("read", ["web"], READ)
    found = made(replace(grant, sources=tuple(sorted((*grant.sources, source)))))
    assert losses(found) == [(code, "spec.sources")]
    assert allowed(found, 8080, "/v1/books") == {"d/web"}
    assert [one.sources for one in found.carried or ()] == [(spiffe("web"),)]


def test_no_source_is_left() -> None:
    """Then nothing is granted, and nothing is written that could mean everybody."""
    grant = replace(http_grant("read", ["web"], READ), sources=("spiffe://other/x",), unauthenticated=("app=web",))
    found = made(grant)
    assert {one.ref.kind for one in found.objects} == {"Server"}
    assert {code for code, _ in losses(found)} == {"source.foreign-trust-domain", "source.labels-unauthenticated"}
    assert found.carried == ()


def test_what_linkerd_does_not_carry() -> None:
    """UDP, and grants to some Pods of an account: the oldest Server of a port has all of them."""
    found = made(
        replace(tcp_grant("udp", ["web"], (53,)), transport="UDP"),
        replace(http_grant("some", ["web"], READ), labels=(("track", "canary"),)),
    )
    assert losses(found) == [
        ("linkerd.labelled-destination", "spec.destination"),
        ("proto.udp-not-captured", "spec.rules"),
    ]
    assert [str(one.ref) for one in found.objects] == ["Server/d/smihub-8080-api"]
    assert found.carried == ()


def test_methods_beyond_the_nine() -> None:
    """They are lost, and the others stay; without any left the match is gone."""
    found = made(http_grant("a", ["web"], HttpMatch("/a", ("GET", "PURGE")), HttpMatch("/b", ("PURGE",))))
    assert losses(found) == [("linkerd.method-nonstandard", "spec.rules")]
    assert allowed(found, 8080, "/a") == {"d/web"}
    assert allowed(found, 8080, "/b") == set()
    assert [grant.http for grant in found.carried or ()] == [(HttpMatch("/a", ("GET",)),)]


def test_two_conditions_on_one_header() -> None:
    """A route has one condition for each header."""
    twice = HttpMatch("/a", None, (("x-a", "b.*"), ("x-a", ".*c")))
    found = made(http_grant("a", ["web"], twice, READ))
    assert losses(found) == [("linkerd.header-not-expressible", "spec.rules")]
    assert [grant.http for grant in found.carried or ()] == [(READ,)]


def test_headers_that_proxies_own() -> None:
    """A match on one of them proves nothing, so it grants nothing."""
    for name in ("host", "l5d-client-id", "x-b3-traceid"):
        found = made(http_grant("a", ["web"], HttpMatch(headers=((name, ".*"),))))
        assert losses(found) == [("header.managed", "spec.rules")]
        assert bodies(found, "HTTPRoute") == {}


@pytest.mark.thorough
def test_many_matches_are_several_routes() -> None:
    """As many as the schema takes in one; all have the same callers."""
    matches = [HttpMatch(f"/a/{number}") for number in range(150)]
    found = made(http_grant("a", ["web"], *matches))
    sizes = [sum(len(rule["matches"]) for rule in spec["rules"]) for spec in bodies(found, "HTTPRoute").values()]
    assert len(sizes) == 2
    assert sum(sizes) == 150
    assert allowed(found, 8080, "/a/77") == {"d/web"}


def test_more_matches_than_routes_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of the port's matches is written, and that is reported."""
    monkeypatch.setattr(translate_shares, "MAX_ROUTES", 1)
    found = made(http_grant("a", ["web"], *(HttpMatch(f"/a/{number}") for number in range(150))))
    assert losses(found) == [("limit.exceeded", "spec.rules")]
    assert {one.ref.kind for one in found.objects} == {"Server"}
    assert found.carried == ()


def test_names_that_stand_for_content_have_128_bits() -> None:
    """Else two sets of callers could be found that have one name, and one would have what the other is granted."""
    found = made(http_grant("read", ["web"], READ), tcp_grant("raw", ["shop"]), ports=(inbound(9100, "none"),))
    unit = Access(Identity("td", "d", "a" * 253), (tcp_grant("raw", ["web"]),), (inbound(9100, "none"),))
    names = [one.ref.name for one in (*found.objects, *translate(unit, LinkerdConfig()).objects)]
    digests = [name for name in names if name.startswith("smihub.")]
    assert len(digests) == len(names) - 1 > 9
    assert all(re.match(r"smihub\.(?:9100\.)?[0-9a-f]{32}\.a", name) for name in digests)
    assert max(map(len, names)) == 253


def test_too_many_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of the grants is written, whichever came first."""
    monkeypatch.setattr(translate_access, "MAX_CALLERS", 1)
    found = made(http_grant("a", ["web"], READ), http_grant("b", ["shop"], READ))
    assert losses(found) == [("limit.exceeded", "spec.rules")] * 2
    assert bodies(found, "HTTPRoute") == {}


def test_routes_of_the_gateway_api() -> None:
    """A policy names the group of its route."""
    unit = access(http_grant("a", ["web"], READ), ports=(inbound(8080),))
    found = translate(unit, LinkerdConfig(http_routes="gateway.networking.k8s.io"))
    (policy,) = bodies(found, "AuthorizationPolicy").values()
    assert policy["targetRef"]["group"] == "gateway.networking.k8s.io"
    assert {one.ref.group for one in found.objects if one.ref.kind == "HTTPRoute"} == {"gateway.networking.k8s.io"}


def test_the_order_of_grants_does_not_matter() -> None:
    """Equal units give equal objects."""
    grants = [
        http_grant("a", ["web"], READ, ANY),
        http_grant("b", ["shop"], HttpMatch("/v1/.*")),
        tcp_grant("c", ["x"]),
    ]
    one, other = (
        Access(access(ports=()).identity, tuple(order), (inbound(9100, "none"),)) for order in (grants, grants[::-1])
    )
    assert translate(one, LinkerdConfig()) == translate(other, LinkerdConfig())


@pytest.mark.parametrize("declared", ["http", "none"])
def test_no_http_on_a_port_that_is_opaque_by_default(declared: Declared) -> None:
    """Bytes are judged by the Server alone there, so callers of raw TCP get in, and nobody by a route; the rest is a loss."""
    grants = http_grant("read", ["web"], READ, ports=(3306,)), tcp_grant("raw", ["shop"])
    found = translate(access(*grants, ports=(inbound(3306, declared),)), LinkerdConfig())
    assert bodies(found, "HTTPRoute") == {}
    assert callers_of(found, "smihub-3306-api", "Server") == (set() if declared == "http" else {"d/shop"})
    assert {loss.code for loss in found.losses} >= {"linkerd.opaque-port"}
    assert found.carried is not None
    assert all(grant.http is None for grant in found.carried)


def test_what_is_declared_tcp_on_an_opaque_port_loses_nothing() -> None:
    """HTTP is nothing that SMI grants there."""
    found = translate(access(http_grant("read", ["web"], READ), ports=(inbound(3306, "tcp"),)), LinkerdConfig())
    assert found.losses == ()


def test_requests_of_a_caller_of_raw_bytes_need_no_route() -> None:
    """On one port it may send any; without routes of others, none is written."""
    ports = (inbound(9100, "none"),)
    assert not bodies(made(http_grant("a", ["web"], READ), tcp_grant("raw", ["web"]), ports=ports), "HTTPRoute")
    beside = made(http_grant("a", ["web", "shop"], READ), tcp_grant("raw", ["web"]), ports=ports)
    assert allowed(beside, 9100, "/v1/books") == {"d/web", "d/shop"}
    assert allowed(beside, 9100, "/other") == {"d/web"}
