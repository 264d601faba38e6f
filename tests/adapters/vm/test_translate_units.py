"""Translation as a whole: no order dependence, exact weights, names, and grants that grant nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from math import gcd
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from adapters.vm import wire
from adapters.vm.config import VmConfig
from adapters.vm.safety.check import check
from adapters.vm.translate.policy import http_rules, lower_grants
from adapters.vm.translate.unit import translate
from hub.model import (
    Access,
    Backend,
    Grant,
    HttpMatch,
    NativeObject,
    RoutePort,
    Split,
    Translation,
    UnitKey,
)
from tests.servers.units import access, http_grant, inbound, route, spiffe, split, split_ref, target, tcp_grant

UNIT = UnitKey("access", "d", "api")


def policies(*grants: Grant) -> dict[str, Any]:
    """The policies of an HTTP port by name."""
    lowered, _ = lower_grants(access(*grants, ports=()))
    return dict(http_rules(inbound(8080), lowered).policies)


def by_name(translation: Translation) -> dict[str, NativeObject]:
    """Objects by their printed ref."""
    return {str(item.ref): item for item in translation.objects}


def test_translation_when_everything_is_shuffled() -> None:
    """Grants, sources, matches, ports and backends in any order give the same bytes."""
    grants = [http_grant(f"g{n}", ["web", "pay"][: n % 2 + 1], HttpMatch(path=f"/{n}")) for n in range(6)]
    ports = [inbound(8080), inbound(8081), inbound(9000, "tcp")]
    expected = translate(access(*grants, ports=ports), VmConfig())
    rng = Random(3)
    for _ in range(5):
        rng.shuffle(grants)
        rng.shuffle(ports)
        assert translate(access(*grants, ports=ports), VmConfig()) == expected


def test_policies_when_sources_are_equal() -> None:
    """Grants of equal sources share a policy that names them all; equal permissions stand there once."""
    found = policies(
        http_grant("b", ["web"], HttpMatch(path="/x")),
        http_grant("a", ["web"], HttpMatch(path="/x"), HttpMatch(path="/y")),
        http_grant("c", ["web", "pay"], HttpMatch(path="/x")),
    )
    assert {name: len(policy.permissions) for name, policy in found.items()} == {"d/a+d/b": 2, "d/c": 1}


def test_policy_names_when_many_targets_share_one() -> None:
    """A long name is cut and made unique by a digest; two policies of one target differ."""
    many = [http_grant(f"t{n}", ["web"], HttpMatch(path=f"/{n}")) for n in range(200)]
    (name,) = policies(*many)
    assert name.startswith("d/t0+d/t1+d/t10~")
    assert re.fullmatch(r"[^~]+~[0-9a-f]{32}", name)
    twice = policies(http_grant("t", ["web"], HttpMatch(path="/a")), http_grant("t", ["pay"], HttpMatch(path="/b")))
    assert len(twice) == 2
    assert all(name.startswith("d/t~") for name in twice)


@pytest.mark.parametrize(
    "grant",
    [
        http_grant("void", ["web"], HttpMatch(methods=())),
        http_grant("managed", ["web"], HttpMatch(headers=(("host", ".*"),))),
        http_grant("large", ["web"], HttpMatch(path="/(?:[a-z]{40}x?){900}")),
        replace(http_grant("foreign", ["web"], HttpMatch(path="/a")), sources=("spiffe://other/ns/d/sa/web",)),
        replace(http_grant("prefix", ["web"], HttpMatch(path="/a")), sources=("spiffe://td.evil/ns/d/sa/web",)),
        replace(http_grant("udp", ["web"], HttpMatch(path="/a")), transport="UDP"),
        replace(http_grant("labels", ["web"], HttpMatch(path="/a")), labels=(("app", "api"),)),
        http_grant("port", ["web"], HttpMatch(path="/a"), ports=(1,)),
        tcp_grant("raw", ["web"]),
    ],
    ids=lambda grant: str(grant.origin.name),
)
def test_port_when_its_grant_cannot_be_carried_out(grant: Grant) -> None:
    """Nothing is granted, and the empty policy is an explicit denial."""
    made = by_name(translate(access(grant, ports=[inbound(8080)]), VmConfig()))
    table: Any = wire.parse("RouteConfiguration", made["RouteConfiguration/in/d/api/8080/http"].body)
    check("RouteConfiguration", made["RouteConfiguration/in/d/api/8080/http"].body)
    per_route: Any = wire.unpack(table.virtual_hosts[0].typed_per_filter_config["envoy.filters.http.rbac"])
    assert per_route.rbac.HasField("rules")
    assert not per_route.rbac.rules.policies


@pytest.mark.parametrize(("labels", "count"), [((), 0), (((("app", "api"),),), 1)])
def test_port_when_a_grant_asks_for_labels(labels: tuple[tuple[tuple[str, str], ...], ...], count: int) -> None:
    """Only workloads that carry the labels of a grant get it."""
    grant = replace(http_grant("labels", ["web"], HttpMatch(path="/a")), labels=(("app", "api"),))
    lowered, _ = lower_grants(access(grant, ports=()))
    port = replace(inbound(8080), labels=labels)
    made = by_name(translate(access(grant, ports=[port]), VmConfig()))
    assert (b"d/labels" in made["RouteConfiguration/in/d/api/8080/http"].body) == bool(count)
    assert len(lowered) == 1


@pytest.mark.parametrize(
    ("declared", "grants", "kinds"),
    [
        ("none", (), "TypedExtensionConfig"),
        ("none", (tcp_grant("t", ["web"]),), "TypedExtensionConfig"),
        ("none", (http_grant("h", ["web"], HttpMatch(path="/a")),), "RouteConfiguration"),
        ("none", (http_grant("h", ["web"], HttpMatch(headers=(("host", "a"),))),), "RouteConfiguration"),
        ("none", (http_grant("h", ["web"], HttpMatch(path="/a"), ports=(1,)),), "TypedExtensionConfig"),
        ("tcp", (http_grant("h", ["web"], HttpMatch(path="/a")),), "TypedExtensionConfig"),
        ("http", (tcp_grant("t", ["web"]),), "RouteConfiguration"),
    ],
)
def test_protocol_when_it_is_declared_or_not(declared: Any, grants: tuple[Grant, ...], kinds: str) -> None:
    """Undeclared is HTTP only if a grant asks for HTTP there, even one that is lost."""
    made = translate(access(*grants, ports=[inbound(8080, declared)]), VmConfig())
    policy_kinds = {item.ref.kind for item in made.objects} & {"RouteConfiguration", "TypedExtensionConfig"}
    assert policy_kinds == {kinds}


def test_raw_grant_when_an_undeclared_port_speaks_http() -> None:
    """Its sources may send any HTTP request; that other bytes are refused is a loss of that grant."""
    grants = (http_grant("h", ["web"], HttpMatch(path="/a")), tcp_grant("t", ["pay"]))
    made = translate(access(*grants, ports=[inbound(8080, "none")]), VmConfig())
    assert [(loss.code, loss.origin.name) for loss in made.losses] == [("port.undeclared-mixed", "t")]
    table: Any = wire.parse("RouteConfiguration", by_name(made)["RouteConfiguration/in/d/api/8080/none"].body)
    per_route: Any = wire.unpack(table.virtual_hosts[0].typed_per_filter_config["envoy.filters.http.rbac"])
    assert wire.to_json(per_route.rbac.rules.policies["d/t"].permissions[0].and_rules.rules[0]) == {"any": True}


def test_tcp_peers_when_nobody_may_connect() -> None:
    """The SAN list is never empty: it names somebody who cannot exist."""
    made = by_name(translate(access(ports=[inbound(9000, "tcp")]), VmConfig()))
    secret: Any = wire.parse("Secret", made["Secret/peers/d/api/9000/tcp"].body)
    assert [san.matcher.exact for san in secret.validation_context.match_typed_subject_alt_names] == [
        "urn:smihub:nobody"
    ]


WEIGHTS = st.lists(st.fractions(min_value=0, max_value=100, max_denominator=12), min_size=1, max_size=5)


def shares(weights: Sequence[Fraction], protocol: Any) -> dict[str, int]:
    """The integers that a split becomes, by Service."""
    backends = tuple(Backend(f"b{index}", weight) for index, weight in enumerate(weights))
    port = RoutePort(80, "TCP", protocol, (Split(split_ref("s"), None, backends),))
    made = by_name(translate(route("web", port), VmConfig()))
    for item in made.values():
        check(item.ref.kind, item.body)
    if protocol == "http":
        table: Any = wire.parse("RouteConfiguration", made["RouteConfiguration/out/d/web/80"].body)
        clusters = table.virtual_hosts[0].routes[0].route.weighted_clusters.clusters
        return {cluster.name.split("/")[2]: cluster.weight.value for cluster in clusters}
    listener: Any = wire.parse("Listener", made["Listener/out/d/web/80"].body)
    proxy: Any = wire.unpack(listener.filter_chains[0].filters[0].typed_config)
    return {cluster.name.split("/")[2]: cluster.weight for cluster in proxy.weighted_clusters.clusters}


@pytest.mark.parametrize("protocol", ["http", "tcp"])
@given(WEIGHTS)
def test_weights_when_they_are_rationals(protocol: str, weights: list[Fraction]) -> None:
    """Integers in exactly the same ratios, without a common factor; zero stays out."""
    found = shares(weights, protocol)
    wanted = {f"b{index}": weight for index, weight in enumerate(weights) if weight}
    assert found.keys() == wanted.keys()
    total, units = sum(wanted.values()), sum(found.values())
    assert all(Fraction(found[name], units) == weight / total for name, weight in wanted.items())
    assert not found or gcd(*found.values()) == 1


def test_weights_when_no_integers_fit() -> None:
    """The nearest integers, and a loss that takes no access away."""
    backends = (Backend("a", Fraction(1, 2**31)), Backend("b", Fraction(1, 3**25)))
    port = RoutePort(80, "TCP", "http", (Split(split_ref("s"), None, backends),))
    made = translate(route("web", port), VmConfig())
    assert [(loss.code, loss.access) for loss in made.losses] == [("split.weights-too-large", False)]


def test_backend_when_it_is_named_twice() -> None:
    """Its weights add up."""
    backends = (Backend("a", Fraction(1)), Backend("b", Fraction(2)), Backend("a", Fraction(1, 2)))
    port = RoutePort(80, "TCP", "http", (Split(split_ref("s"), None, backends),))
    made = by_name(translate(route("web", port), VmConfig()))
    table: Any = wire.parse("RouteConfiguration", made["RouteConfiguration/out/d/web/80"].body)
    clusters = table.virtual_hosts[0].routes[0].route.weighted_clusters.clusters
    assert [(cluster.name, cluster.weight.value) for cluster in clusters] == [("out/d/a/80", 3), ("out/d/b/80", 4)]


def test_layer_when_all_its_matches_are_lost() -> None:
    """It takes no request: it is dropped, never made unconditional, and the loss takes no access away."""
    lost = Split(split_ref("lost"), (HttpMatch(headers=(("host", "a"),)),), (Backend("v2", Fraction(1)),))
    made = translate(route("web", RoutePort(80, "TCP", "http", (lost,))), VmConfig())
    table: Any = wire.parse("RouteConfiguration", by_name(made)["RouteConfiguration/out/d/web/80"].body)
    assert [(one.name, one.route.cluster) for one in table.virtual_hosts[0].routes] == [("root", "out/d/web/80")]
    assert [(loss.code, loss.access, loss.origin.name) for loss in made.losses] == [("header.managed", False, "lost")]


@pytest.mark.parametrize(("declared", "lost"), [("none", ["port.undeclared-mixed"]), ("http", []), ("tcp", [])])
def test_raw_bytes_when_a_split_has_a_condition(declared: Any, lost: list[str]) -> None:
    """On a port that declares nothing the condition makes callers speak HTTP: other bytes are refused, which is said."""
    condition = split("c", (HttpMatch(path="/a"),), v2=1)
    made = translate(route("web", RoutePort(80, "TCP", declared, (condition,))), VmConfig())
    assert [loss.code for loss in made.losses] == lost
    assert all((loss.access, loss.origin.name) == (False, "c") for loss in made.losses)
    assert all(loss.effect.endswith("does not speak HTTP is refused") for loss in made.losses)


def test_losses_when_a_port_repeats_them() -> None:
    """A loss of a grant is reported once, however many ports it touches."""
    grant = http_grant("h", ["web"], HttpMatch(headers=(("host", "a"),)))
    made = translate(access(grant, ports=[inbound(8080), inbound(8081), inbound(8082)]), VmConfig())
    assert [loss.code for loss in made.losses] == ["header.managed"]
    assert made.losses[0].origin == target("h")


@pytest.mark.thorough
def test_access_when_a_thousand_grants_share_a_source() -> None:
    """They become one policy, whose bytes grow with the permissions alone."""
    grants = [http_grant(f"t{n}", ["web"], HttpMatch(path=f"/{n}/.*")) for n in range(1000)]
    unit: Access = access(*grants, ports=[inbound(8080)])
    body = by_name(translate(unit, VmConfig()))["RouteConfiguration/in/d/api/8080/http"].body
    assert body.count(spiffe("web").encode()) == 1
    assert len(body) < 330_000
