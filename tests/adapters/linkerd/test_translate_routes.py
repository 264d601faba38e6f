"""Splits as routes: shares, conditions in their order, and what must never be written."""

from __future__ import annotations

from fractions import Fraction
from random import Random
from typing import Any

import pytest
import re2
from msgspec.structs import replace

from adapters.linkerd.config import LinkerdConfig
from adapters.linkerd.translate import conditions as translate_conditions
from adapters.linkerd.translate.unit import translate
from hub.model import Backend, Declared, HttpMatch, RoutePort, Split, Translation
from tests.adapters.linkerd.choice import bodies, matches, specificity
from tests.servers.units import route, split, split_ref

Headers = tuple[tuple[str, str], ...]


def made(*splits: Split, declared: Declared = "http", **config: Any) -> Translation:
    """What the splits of port 80 of `shop` come to."""
    return translate(route("shop", RoutePort(80, "TCP", declared, splits)), LinkerdConfig(**config))


def backend(service: str, weight: int) -> dict[str, Any]:
    """A backend at port 80, with what the API server would fill in."""
    return {"group": "", "kind": "Service", "name": service, "port": 80, "weight": weight}


def losses(found: Translation) -> list[tuple[str, str, bool]]:
    """Code, field, and whether it is about access."""
    return [(loss.code, loss.field, loss.access) for loss in found.losses]


def shares(found: Translation, path: str, method: str = "GET", headers: Headers = ()) -> dict[str, int]:
    """Where a request goes, by the first of the most specific matches; in whichever order Linkerd compares."""
    (spec,) = bodies(found, "HTTPRoute").values()
    scored = [
        (*specificity(match, path), number)
        for number, rule in enumerate(spec["rules"])
        for match in rule["matches"]
        if matches(match, path, method, headers)
    ]
    by_headers = max(scored, key=lambda one: (one[0], one[1], one[2], -one[3]))
    by_method = max(scored, key=lambda one: (one[0], one[2], one[1], -one[3]))
    assert by_headers[3] == by_method[3], "the release decides"
    rule = by_method[3]
    return {ref["name"]: ref["weight"] for ref in spec["rules"][rule]["backendRefs"]}


def test_nothing_is_written_without_a_split() -> None:
    """The Service is routed as Kubernetes does."""
    assert translate(route("shop", RoutePort(80, "TCP", "http")), LinkerdConfig()) == Translation()


def test_a_split_of_requests() -> None:
    """One rule for everything; the port is always there."""
    found = made(split("s", v1=9, v2=1))
    (spec,) = bodies(found, "HTTPRoute").values()
    assert spec == {
        "parentRefs": [{"group": "core", "kind": "Service", "name": "shop", "namespace": "d", "port": 80}],
        "rules": [
            {
                "backendRefs": [backend("v1", 9), backend("v2", 1)],
                "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
            }
        ],
    }
    assert found.losses == ()


def test_the_group_of_the_parent() -> None:
    """The Gateway API calls the core group by its name, which is empty."""
    found = made(split("s", v1=1), http_routes="gateway.networking.k8s.io")
    (spec,) = bodies(found, "HTTPRoute").values()
    assert spec["parentRefs"][0]["group"] == ""
    assert found.objects[0].ref.group == "gateway.networking.k8s.io"


def test_a_split_of_connections() -> None:
    """A TCPRoute with one rule; conditions never hold there, and that is no loss."""
    found = made(split("c", (HttpMatch("/a"),), v3=1), split("s", v1=1, v2=1), declared="tcp")
    (spec,) = bodies(found, "TCPRoute").values()
    assert [[ref["name"] for ref in rule["backendRefs"]] for rule in spec["rules"]] == [["v1", "v2"]]
    assert "matches" not in spec["rules"][0]
    assert bodies(found, "HTTPRoute") == {}
    assert found.losses == ()


def test_a_port_that_declares_nothing() -> None:
    """A TCPRoute takes all of it; where a condition needs an HTTPRoute, that leaves other connections to the root."""
    found = made(split("s", v1=1, v2=1), declared="none")
    assert len(bodies(found, "TCPRoute")) == 1
    assert found.losses == ()
    conditional = made(split("c", (HttpMatch("/a"),), v3=1), split("s", v1=1, v2=1), declared="none")
    assert shares(conditional, "/") == {"v1": 1, "v2": 1}
    assert losses(conditional) == [("linkerd.raw-not-split", "spec.backends", False)]
    assert made(split("c", (HttpMatch("/a"),), v3=1), declared="none").losses == ()


@pytest.mark.parametrize(
    ("number", "word", "declared", "lost"),
    [
        (80, "http", "http", False),
        (80, "http-web", "http", False),
        (80, "kubernetes.io/h2c", "http", False),
        (80, "grpc", "http", True),
        (80, "kubernetes.io/ws", "http", True),
        (3306, "http", "http", True),
        (3306, "kubernetes.io/h2c", "http", False),
        (80, "", "none", False),
        (80, "main", "none", True),
    ],
)
def test_ports_that_may_be_opaque(number: int, word: str, declared: Declared, lost: bool) -> None:  # noqa: FBT001
    """Linkerd would ignore the HTTPRoute; a name and an appProtocol look the same here."""
    port = RoutePort(number, "TCP", declared, (split("s", (HttpMatch("/a"),), v1=1),), word=word)
    found = translate(route("shop", port), LinkerdConfig())
    assert [code for code, _, _ in losses(found)] == (["linkerd.other-protocol"] if lost else [])


@pytest.mark.parametrize("declared", ["http", "tcp"])
def test_no_backend_has_a_positive_weight(declared: Declared) -> None:
    """Calls fail, and never go to the root; weights that are all zero are never written."""
    found = made(split("s", v1=0, v2=0), declared=declared)
    (spec,) = (bodies(found, "HTTPRoute") | bodies(found, "TCPRoute")).values()
    assert spec["rules"][0]["backendRefs"] == [backend("nobody.smihub.invalid", 1)]
    assert found.losses == ()


def test_weights() -> None:
    """Whole numbers in the same ratio; those that do not fit are the nearest."""
    assert shares(made(split("s", v1=Fraction(1, 3), v2=Fraction(2, 3), v3=0)), "/") == {"v1": 1, "v2": 2}
    found = made(split("s", v1=10_000_000, v2=1))
    assert shares(found, "/") == {"v1": 999_999, "v2": 1}
    assert losses(found) == [("split.weights-too-large", "spec.backends", False)]


def test_a_condition_goes_before_the_root() -> None:
    """What meets no condition goes to the root, not to nobody."""
    found = made(split("s", (HttpMatch("/beta/.*"),), v2=1))
    assert shares(found, "/beta/x") == {"v2": 1}
    assert shares(found, "/x") == {"shop": 1}
    assert shares(made(split("s", (HttpMatch("/"),), v2=1)), "/") == {"v2": 1}


def test_the_first_condition_goes_before_a_more_specific_one() -> None:
    """Linkerd would take the one with a header, so what both ask for stands in the first."""
    one = split("a", (HttpMatch("/a/.*"),), v1=1)
    other = split("b", (HttpMatch(None, None, (("x-beta", "1"),)),), v2=1)
    found = made(one, other, split("z", v3=1))
    assert shares(found, "/a/b", headers=(("x-beta", "1"),)) == {"v1": 1}
    assert shares(found, "/b", headers=(("x-beta", "1"),)) == {"v2": 1}
    assert shares(found, "/b") == {"v3": 1}
    assert found.losses == ()


def test_two_conditions_on_one_header_in_two_splits() -> None:
    """What has both lines goes to either; that is reported."""
    one = split("a", (HttpMatch(None, None, (("x-a", "1"),)),), v1=1)
    other = split("b", (HttpMatch(None, ("GET",), (("x-a", "2"),)),), v2=1)
    found = made(one, other)
    assert losses(found) == [("linkerd.condition-order", "spec.matches", False)]
    assert shares(found, "/", headers=(("x-a", "1"),)) == {"v1": 1}


def test_a_condition_that_cannot_be_said() -> None:
    """It never holds, and the others stay."""
    found = made(split("s", (HttpMatch(None, None, (("host", ".*"),)), HttpMatch("/b")), v2=1))
    assert losses(found) == [("header.managed", "spec.matches", False)]
    assert shares(found, "/b") == {"v2": 1}
    assert [[one.matches for one in port.splits] for port in found.routed or ()] == [[(HttpMatch("/b"),)]]


def test_a_condition_that_also_means_values_beyond_ascii() -> None:
    """It holds for the others."""
    found = made(split("s", (HttpMatch(None, None, (("x-a", "gold.*"),)),), v2=1))
    assert losses(found) == [("linkerd.header-not-text", "spec.matches", False)]
    assert shares(found, "/", headers=(("x-a", "gold 7"),)) == {"v2": 1}


def test_no_condition_can_be_said() -> None:
    """No route is needed where the root serves everything."""
    found = made(split("s", (HttpMatch(None, None, (("host", ".*"),)),), v2=1))
    assert found.objects == ()
    assert [port.splits for port in found.routed or ()] == [()]


def test_too_many_conditions(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of them is written: half of them would send requests to the backends of others."""
    monkeypatch.setattr(translate_conditions, "MAX_CASES", 1)
    found = made(split("s", (HttpMatch("/a"), HttpMatch("/b")), v2=1))
    assert found.objects == ()
    assert losses(found) == [("limit.exceeded", "spec.matches", False)]


def test_splits_that_linkerd_does_not_carry_out() -> None:
    """Of UDP ports, to headless Services, with too many backends."""
    udp = translate(route("shop", RoutePort(53, "UDP", "none", (split("s", v1=1),))), LinkerdConfig())
    headless = split("s", v1=1)
    headless = replace(headless, backends=tuple(replace(one, headless=True) for one in headless.backends))
    root = RoutePort(80, "TCP", "http", (split("s", v1=1),), headless=True)
    assert losses(translate(route("shop", root), LinkerdConfig())) == [
        ("linkerd.headless-root", "spec.backends", False)
    ]
    many = replace(split("s"), backends=tuple(Backend(f"v{number}", Fraction(1)) for number in range(17)))
    for found, code in (
        (udp, "proto.udp-not-captured"),
        (made(headless), "linkerd.headless-backend"),
        (made(many), "limit.exceeded"),
    ):
        assert found.objects == ()
        assert losses(found) == [(code, "spec.backends", False)]


def meant(splits: list[Split], path: str, method: str, headers: Headers) -> dict[str, int]:
    """The first layer that holds."""
    for one in splits:
        for match in one.matches or ():
            if (
                (match.path is None or re2.fullmatch(match.path, path))
                and (match.methods is None or method in match.methods)
                and all(
                    any(name == each and re2.fullmatch(pattern, value) for name, value in headers)
                    for each, pattern in match.headers
                )
            ):
                return {backend.service: int(backend.weight) for backend in one.backends}
    return {"shop": 1}


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(12))
def test_random_conditions(seed: int) -> None:
    """The layer that SMI means, whatever is more specific."""
    random = Random(seed)
    paths, methods = ("/a", "/a/.*", "/", ".*", None, None), (None, None, ("GET",), ("GET", "POST"))
    asked: tuple[Headers, ...] = ((), (), (("x-a", "1"),), (("x-b", "[0-9]+"),), (("x-a", "1"), ("x-b", "[0-9]+")))
    splits = [
        Split(
            split_ref(f"s{number}"),
            tuple(
                {
                    HttpMatch(random.choice(paths), random.choice(methods), random.choice(asked))
                    for _ in range(random.randint(1, 2))
                }
            ),
            (Backend(f"v{number}", Fraction(1)),),
        )
        for number in range(3)
    ]
    found = made(*splits)
    assert found.losses == ()
    for path in ("/a", "/a/b", "/", "/b"):
        for method in ("GET", "POST", "HEAD"):
            for headers in ((), (("x-a", "1"),), (("x-b", "2"),), (("x-a", "1"), ("x-b", "2"))):
                assert shares(found, path, method, headers) == meant(splits, path, method, headers)
