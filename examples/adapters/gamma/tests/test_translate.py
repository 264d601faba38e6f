"""The objects, field by field; whether they mean what SMI says is for the conformance suite."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import pytest
from smihub_gamma.conditions import Condition, Said, say
from smihub_gamma.config import GammaConfig
from smihub_gamma.layers import in_order
from smihub_gamma.translate import translate

from hub.api import Access, Backend, Grant, HttpMatch, Identity, ObjectRef, Route, RoutePort, Split, Translation

GOLD = HttpMatch(headers=(("x-tier", "gold"),))


def split(*weights: int, when: tuple[HttpMatch, ...] | None = None, name: str = "s") -> Split:
    """A split between v0, v1, and so on."""
    backends = tuple(Backend(f"v{number}", Fraction(weight)) for number, weight in enumerate(weights))
    return Split(ObjectRef("split.smi-spec.io", "TrafficSplit", "shop", name), when, backends)


def translated(*splits: Split, declared: Any = "http", **parts: Any) -> Translation:
    """The Service api with one port that is split."""
    config = parts.pop("config", GammaConfig())
    return translate(
        Route("shop", "api", (RoutePort(80, parts.pop("transport", "TCP"), declared, splits, **parts),)), config
    )


def spec(made: Translation) -> Any:
    """The spec of the only object."""
    (native,) = made.objects
    return json.loads(native.body)["spec"]


def codes(made: Translation) -> set[str]:
    """The codes of what is lost."""
    assert not any(loss.access for loss in made.losses)
    return {loss.code for loss in made.losses}


def test_a_split_is_one_rule_with_every_default_written() -> None:
    """So that an API server adds nothing, and a GitOps tool sees no difference."""
    made = translated(split(90, 10))
    backend = {"group": "", "kind": "Service", "port": 80}
    every = {"path": {"type": "PathPrefix", "value": "/"}}
    assert spec(made) == {
        "parentRefs": [{"group": "", "kind": "Service", "name": "api", "port": 80}],
        "rules": [
            {
                "matches": [every],
                "backendRefs": [{**backend, "name": "v0", "weight": 9}, {**backend, "name": "v1", "weight": 1}],
            }
        ],
    }
    assert made.objects[0].ref == ObjectRef("gateway.networking.k8s.io", "HTTPRoute", "shop", "smihub-api-80")


def test_a_conditional_split_leaves_the_rest_to_the_service() -> None:
    """What no rule matches would get a 404 (HTTPRouteRule)."""
    rules = spec(translated(split(0, 1, when=(GOLD,))))["rules"]
    assert [[one["name"] for one in rule["backendRefs"]] for rule in rules] == [["v1"], ["api"]]
    assert rules[0]["matches"][0]["headers"] == [{"type": "Exact", "name": "x-tier", "value": "gold"}]


def test_where_no_weight_is_positive_calls_go_to_nobody() -> None:
    """Never to the root."""
    rules = spec(translated(split(0, 0)))["rules"]
    assert [one["name"] for one in rules[0]["backendRefs"]] == ["nobody.smihub.invalid"]


def test_an_unsplit_port_has_no_object() -> None:
    """A route replaces what Kubernetes does; without a reason there is none."""
    assert translated() == Translation()


def test_a_port_that_declares_grpc_gets_a_grpc_route() -> None:
    """Service and method are the two elements of the path."""
    match = HttpMatch(path=r"/shop\.Cart/(Add|Drop)", methods=("POST",))
    made = translated(split(1, when=(match, HttpMatch(path=r"/shop\.Till/.*"))), word="grpc-shop")
    methods = [one.get("method") for one in spec(made)["rules"][0]["matches"]]
    asked = {"type": "Exact", "service": "shop.Cart"}
    assert methods == [
        {**asked, "method": "Add"},
        {**asked, "method": "Drop"},
        {"type": "Exact", "service": "shop.Till"},
    ]
    assert translated(split(1), word="grpc-web").objects[0].ref.kind == "HTTPRoute"


@pytest.mark.parametrize("version", ["v1", "v1alpha2"])
@pytest.mark.parametrize("declared", ["tcp", "none", "unknown"])
def test_any_other_port_gets_a_tcp_route(declared: str, version: Any) -> None:
    """It has no conditions, which is said."""
    made = translated(split(1), split(1, when=(GOLD,), name="if"), declared=declared, config=GammaConfig(version))
    (native,) = made.objects
    assert (native.ref.kind, json.loads(native.body)["apiVersion"].rpartition("/")[2]) == ("TCPRoute", version)
    assert codes(made) == {"gamma.undeclared-port"}


@pytest.mark.parametrize(
    ("code", "made"),
    [
        ("gamma.udp", translated(split(1), transport="UDP", declared="none")),
        ("gamma.weights", translated(split(1_000_001, 3))),
        ("gamma.backends", translated(split(*range(1, 18)))),
        ("gamma.headless", translated(split(1), headless=True)),
        ("gamma.path", translated(split(1, when=(HttpMatch(path="/a.*"),)))),
        ("gamma.header", translated(split(1, when=(HttpMatch(headers=(("x", "a.*"),)),)))),
        ("gamma.header", translated(split(1, when=(HttpMatch(headers=(("x", "a,b"),)),)))),
        ("gamma.header", translated(split(1, when=(HttpMatch(headers=(("x", "a|b"), ("x", "b|c"))),)))),
        ("gamma.method", translated(split(1, when=(HttpMatch(methods=("GET", "PURGE")),)))),
        ("gamma.matches", translated(split(1, when=tuple(HttpMatch(path=f"/{n}") for n in range(65))))),
    ],
)
def test_what_a_route_cannot_say_is_lost_and_has_no_object(code: str, made: Translation) -> None:
    """A part of it would send calls elsewhere."""
    assert (codes(made), made.objects) == ({code}, ())


def test_the_most_that_a_rule_takes_is_taken() -> None:
    """One less than what is lost above."""
    assert len(spec(translated(split(*range(1, 17))))["rules"][0]["backendRefs"]) == 16
    assert translated(split(1_000_000, 3)).losses == ()
    assert (
        len(spec(translated(split(1, when=tuple(HttpMatch(path=f"/{n}") for n in range(64)))))["rules"][0]["matches"])
        == 64
    )


def test_a_path_is_whole_or_begins_by_elements() -> None:
    """PathMatchType."""
    assert say(HttpMatch(path="/a(/.*)?")) == Said((Condition("/a"),))
    assert say(HttpMatch(path="/.*")) == Said((Condition(),))
    assert say(HttpMatch(path="/a|/b/")) == Said((Condition("/a", exact=True), Condition("/b/", exact=True)))
    assert not say(HttpMatch(path="/a/.*")).conditions


def test_an_earlier_split_wins_although_a_later_one_is_more_specific() -> None:
    """What holds for both is a match of the earlier one, at least as specific as either."""
    header, exact = Condition(headers=(("x-tier", "gold"),)), Condition("/a", exact=True, method="GET")
    both = Condition("/a", exact=True, method="GET", headers=(("x-tier", "gold"),))
    assert in_order([[header], [exact]]) == ((header, both), (exact,))
    assert in_order([[exact], [header]]) == ((exact,), (header,))
    assert in_order([[Condition(f"/{n}")] for n in range(17)]) is None


def test_access_is_refused_with_the_reason() -> None:
    """Nothing of it is enforced, and the Loss does not say that anything is refused."""
    target = ObjectRef("access.smi-spec.io", "TrafficTarget", "shop", "t")
    grant = Grant(target, ("spiffe://example.org/ns/shop/sa/web",), "TCP", None, None)
    made = translate(Access(Identity("example.org", "shop", "api"), (grant, grant)), GammaConfig())
    assert (made.objects, made.carried, len(made.losses)) == ((), (), 1)
    assert (made.losses[0].code, made.losses[0].origin, made.losses[0].access) == (
        "gamma.no-authorization",
        target,
        False,
    )
