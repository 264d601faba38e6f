"""Splits as a router and splitters of virtual services, and what Consul cannot carry out."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import pytest
from msgspec.structs import replace

from adapters.consul.config import ConsulConfig, ConsulK8sConfig
from adapters.consul.translate import shares as translate_shares
from adapters.consul.translate.unit import translate_entries, translate_resources
from hub.api import Backend, HttpMatch, Role, Route, RoutePort, Split, Translation
from tests.servers.units import route, spiffe, split

BETA = HttpMatch("/beta/.*", ("GET",))


def worded(layer: Split, word: str = "http") -> Split:
    """The same with backends whose Services say this of their port."""
    return replace(layer, backends=tuple(replace(one, word=word) for one in layer.backends))


def http(*layers: Split, callees: tuple[str, ...] = ()) -> Route:
    """A Service `web` with one port of HTTP."""
    return route("web", RoutePort(80, "TCP", "http", layers, callees=callees))


def made(unit: Route, **settings: Any) -> Translation:
    """As entries."""
    return translate_entries(unit, ConsulConfig(**settings))


def bodies(translation: Translation, kind: str) -> dict[str, Any]:
    """The entries of a kind, by name."""
    return {one.ref.name: json.loads(one.body) for one in translation.objects if one.ref.kind == kind}


def codes(translation: Translation) -> list[tuple[str, str]]:
    """What is lost, and of which field."""
    assert not any(loss.access for loss in translation.losses)
    return [(loss.code, loss.field) for loss in translation.losses]


def test_a_service_of_http_says_so_and_nothing_else_without_splits() -> None:
    """A TCP service has no entry: Consul takes it for TCP."""
    assert list(bodies(made(http()), "service-defaults")) == ["d_web"]
    assert made(route("web", RoutePort(80, "TCP", "tcp"))) == Translation(routed=None)
    assert made(http(), service_defaults="theirs").objects == ()


def test_routes_lead_to_virtual_services_that_share_out() -> None:
    """No service that a splitter names has a splitter, which Consul would follow; the root is shared with by its own name."""
    layers = (worded(split("c", (BETA,), v2=1)), worded(split("s", web=1, v2=3)))
    found = made(http(*layers, callees=(spiffe("web"),)))
    routes = bodies(found, "service-router")["d_web"]["Routes"]
    virtual = [one["Destination"]["Service"] for one in routes]
    assert [one["Match"]["HTTP"] for one in routes] == [
        {"Methods": ["GET"], "PathRegex": "/beta/.*"},
        {"PathRegex": ".*"},
    ]
    splitters = bodies(found, "service-splitter")
    assert set(splitters) == set(virtual)
    assert splitters[virtual[1]]["Splits"] == [{"Service": "d_v2", "Weight": 75}, {"Service": "d_web", "Weight": 25}]
    assert set(bodies(found, "service-defaults")) == {"d_web", *virtual}
    assert found.losses == ()


def test_what_no_split_takes_goes_to_the_service_itself() -> None:
    """By a route of ours: of the one that Consul adds, it removes a slash from paths that begin with two."""
    routes = bodies(made(http(worded(split("c", (HttpMatch(None, ("GET",)),), v2=1)))), "service-router")["d_web"][
        "Routes"
    ]
    assert [one["Match"]["HTTP"] for one in routes] == [{"Methods": ["GET"], "PathRegex": ".*"}, {"PathRegex": ".*"}]
    assert routes[1]["Destination"] == {"Service": "d_web"}


def test_what_refers_to_others_is_written_after_them() -> None:
    """The router last; a splitter needs the protocols of its shares."""
    found = made(http(worded(split("s", v1=1))))
    roles = {one.ref.kind: (one.role, sorted(ref.name for ref in one.needs)) for one in found.objects}
    assert roles["service-router"] == (Role.ROUTE, ["d_web", "d_web--smihub-rest", "d_web--smihub-rest"])
    assert roles["service-splitter"] == (Role.REFERENCED, ["d_v1", "d_web--smihub-rest"])
    theirs = made(http(worded(split("s", v1=1))), service_defaults="theirs")
    assert set(bodies(theirs, "service-defaults")) == {"d_web--smihub-rest"}


def test_other_weights_change_one_entry() -> None:
    """The names of virtual services depend on conditions alone."""
    one, other = (made(http(worded(split("c", (BETA,), v1=a, v2=b)))) for a, b in ((1, 3), (3, 1)))
    pairs = zip(one.objects, other.objects, strict=True)
    assert [left.ref.kind for left, right in pairs if left != right] == ["service-splitter"]


def test_no_positive_weight_leads_to_nobody() -> None:
    """A virtual service without a splitter has no instances, so calls fail (503), and never reach the root."""
    found = made(http(worded(split("s", v1=0))))
    assert bodies(found, "service-splitter") == {}
    assert bodies(found, "service-router")["d_web"]["Routes"][0]["Destination"] == {"Service": "d_web--smihub-rest"}


def test_equal_conditions_are_reached_once() -> None:
    """The first split of two takes all such requests."""
    found = made(http(worded(split("a", (BETA,), v1=1)), worded(split("b", (BETA,), v2=1))))
    (splitter,) = bodies(found, "service-splitter").values()
    assert splitter["Splits"] == [{"Service": "d_v1", "Weight": 100}]


def test_weights_that_are_no_hundredths_are_rounded_and_told() -> None:
    """To the nearest."""
    found = made(http(worded(split("s", v1=1, v2=1, v3=1))))
    (splitter,) = bodies(found, "service-splitter").values()
    assert sorted(one["Weight"] for one in splitter["Splits"]) == [33.33, 33.33, 33.34]
    assert codes(found) == [("split.weights-too-large", "spec.backends")]


MANY = Split(split("s").origin, None, tuple(Backend(f"v{n}", Fraction(1), "http") for n in range(101)))


@pytest.mark.parametrize(
    ("unit", "lost"),
    [
        pytest.param(*pair, id=name)
        for name, pair in {
            "a port of TCP": (
                route("web", RoutePort(80, "TCP", "tcp", (split("s", v1=1),))),
                [("consul.split-not-http", "spec.backends")],
            ),
            "a port without a word": (
                route("web", RoutePort(80, "TCP", "none", (split("s", v1=1),))),
                [("consul.split-not-http", "spec.backends")],
            ),
            "a backend of TCP": (http(worded(split("s", v1=1), "tcp")), [("consul.split-not-http", "spec.backends")]),
            "datagrams": (
                route("web", RoutePort(53, "UDP", "none", (split("s", v1=1),))),
                [("proto.udp-not-captured", "spec.backends")],
            ),
            "several ports": (
                route("web", *(RoutePort(port, "TCP", "http", (worded(split("s", v1=1)),)) for port in (80, 81))),
                [("consul.several-ports", "spec.backends"), ("consul.several-ports", "spec.selector")],
            ),
            "endpoints of others": (http(callees=(spiffe("x"),)), [("consul.account", "spec.selector")]),
            "a method without words": (
                http(worded(split("s", (HttpMatch(None, ("PURGE",)),), v1=1))),
                [("consul.method-nonstandard", "spec.matches")],
            ),
            "a header of proxies": (
                http(worded(split("s", (HttpMatch(None, None, ((":path", "/"),)),), v1=1))),
                [("header.managed", "spec.matches")],
            ),
            "too many backends": (http(MANY), [("limit.exceeded", "spec.backends")]),
            "too many routes": (
                http(worded(split("s", tuple(HttpMatch(f"/{n}") for n in range(501)), v1=1))),
                [("limit.exceeded", "spec.matches")],
            ),
            "a name of another one": (
                http(worded(Split(split("s").origin, None, (Backend("a--smihub-b", Fraction(1)),)))),
                [("consul.name", "spec.backends")],
            ),
        }.items()
    ],
)
def test_splits_that_consul_does_not_carry_out(unit: Route, lost: list[tuple[str, str]]) -> None:
    """The root's own endpoints serve then, and no part of such a split is written."""
    found = made(unit)
    assert sorted(codes(found)) == sorted(lost)
    assert bodies(found, "service-splitter") == bodies(found, "service-router") == {}
    assert found.routed is not None
    assert not any(port.splits for port in found.routed)


def test_shares_that_no_order_adds_up_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """None are known, so the float sum is made to fail."""
    monkeypatch.setattr(translate_shares, "_float_sum", lambda _: 99.99999)
    found = made(http(worded(split("s", v1=1, v2=1))))
    assert codes(found) == [("consul.weights-sum", "spec.backends")]
    assert bodies(found, "service-router") == {}


def test_endpoints_of_others_matter_only_where_they_are_called() -> None:
    """A root that is shared out as a whole has none of its own; one among its own backends has."""
    callees = (spiffe("v1"), spiffe("v2"))
    assert made(http(worded(split("s", v1=1, v2=1)), callees=callees)).losses == ()
    assert codes(made(http(worded(split("s", web=1, v2=1)), callees=callees))) == [("consul.account", "spec.selector")]


def test_resources_have_names_that_kubernetes_takes() -> None:
    """And stand in the namespace of their Service."""
    for one in translate_resources(http(worded(split("c", (BETA,), v1=1))), ConsulK8sConfig()).objects:
        assert one.ref.namespace == "d"
        assert "_" not in one.ref.name
