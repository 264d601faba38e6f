"""Splits as VirtualServices: nothing is left to 404, nothing freezes a route table, weights are exact."""

from __future__ import annotations

from fractions import Fraction
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from adapters.istio.config import IstioConfig
from adapters.istio.regex import MAX_LENGTH, is_portable, is_small
from adapters.istio.translate import routes as translate_routes
from adapters.istio.translate.budget import patterns_of
from adapters.istio.translate.conditions import matches_of
from adapters.istio.translate.routes import INT32_MAX
from adapters.istio.translate.unit import translate
from hub.api import NOT_UTF8
from hub.model import Backend, Declared, HttpMatch, RoutePort, Split, Translation
from hub.sinks.kubernetes import KUBERNETES
from tests.servers.units import route, split, split_ref

ANY = HttpMatch()
CONDITION = HttpMatch(methods=("DELETE",))


def port(number: int, declared: Declared, *splits: Split) -> RoutePort:
    """A TCP port of a Service with its layers."""
    return RoutePort(number, "TCP", declared, splits)


def spec(translation: Translation) -> dict[str, Any]:
    """What the one VirtualService says."""
    (item,) = translation.objects
    found: dict[str, Any] = KUBERNETES.view(item.body, "VirtualService")["spec"]
    return found


def entries(match: HttpMatch) -> list[dict[str, Any]]:
    """A match on port 80, without the port."""
    found, objections = matches_of(match, 80, patterns_of(match), text=True)
    assert objections == ()
    return [{key: value for key, value in entry.items() if key != "port"} for entry in found]


def test_entries_when_header_values_may_be_bytes() -> None:
    """What also takes bytes that are no text rules them out; what is compared with one text does not."""
    headers = (("x-a", "gold.*"), ("x-b", "gold"), ("x-c", "[a-z]+"), ("x-d", "a(.*|b)"))
    (entry,), _ = matches_of(HttpMatch(headers=headers), 80, text=False)
    assert entry["withoutHeaders"] == {"x-a": {"regex": NOT_UTF8}, "x-d": {"regex": NOT_UTF8}}
    assert is_small(NOT_UTF8)
    made = translate(route("web", port(80, "http", split("s", (HttpMatch(headers=headers),), v2=1))), IstioConfig())
    assert "withoutHeaders" in spec(made)["http"][0]["match"][0]
    declared = translate(
        route("web", port(80, "http", split("s", (HttpMatch(headers=headers),), v2=1))),
        IstioConfig(header_values="text"),
    )
    assert "withoutHeaders" not in spec(declared)["http"][0]["match"][0]


def codes(match: HttpMatch) -> list[str]:
    """Why a match cannot be said; nothing of it is then."""
    found, objections = matches_of(match, 80, patterns_of(match), text=True)
    assert bool(found) != bool(objections)
    return [objection.code for objection in objections]


@pytest.mark.parametrize("ports", [(), (port(80, "http"),), (RoutePort(53, "UDP", "none", (split("s", None, v1=1),)),)])
def test_no_object_when_nothing_is_split(ports: tuple[RoutePort, ...]) -> None:
    """A Service without splits is left alone."""
    assert translate(route("web", *ports), IstioConfig()).objects == ()


def test_udp_when_split() -> None:
    """A split of a UDP port is a loss that stops nothing."""
    (loss,) = translate(route("web", RoutePort(53, "UDP", "none", (split("s", None, v1=1),))), IstioConfig()).losses
    assert (loss.code, loss.access) == ("proto.udp-not-captured", False)


def test_root_when_only_conditions_are_split() -> None:
    """What no condition is about goes to the root itself, on its own port."""
    made = spec(translate(route("web", port(80, "none", split("s", (CONDITION,), v2=1))), IstioConfig()))
    destination = {"host": "web.d.svc.cluster.local", "port": {"number": 80}}
    assert made["http"][-1] == {"match": [{"port": 80}], "route": [{"destination": destination}]}
    assert "tcp" not in made


def test_root_when_no_condition_can_be_said() -> None:
    """A condition that is lost is false: without another layer there is nothing to write."""
    lost = HttpMatch(headers=(("host", "x"),))
    made = translate(route("web", port(80, "http", split("s", (lost,), v2=1))), IstioConfig())
    assert made.objects == ()
    assert [loss.code for loss in made.losses] == ["header.managed"]


def test_layers_when_a_condition_is_always_true() -> None:
    """It is the last HTTP route; raw bytes still go by the layer without condition."""
    layers = (split("a", (CONDITION, ANY), v2=1), split("b", (CONDITION,), v3=1), split("c", None, v1=1))
    made = spec(translate(route("web", port(80, "tcp", *layers)), IstioConfig()))
    (only,), (raw,) = made["http"], made["tcp"]
    assert only["match"] == [{"port": 80}]
    assert only["route"][0]["destination"]["host"].startswith("v2.")
    assert raw["route"][0]["destination"]["host"].startswith("v1.")


@pytest.mark.parametrize("declared", ["http", "tcp", "none"])
def test_tcp_when_protocols_differ(declared: Declared) -> None:
    """Both kinds of routes: Istio decides by words of its own what a port speaks."""
    made = spec(translate(route("web", port(80, declared, split("s", None, v1=1))), IstioConfig()))
    assert made["http"] == made["tcp"]


def test_destinations_when_no_weight_is_positive() -> None:
    """HTTP is answered 503, TCP goes to a host that cannot exist, never to the root."""
    made = spec(translate(route("web", port(80, "tcp", split("s", None, v1=0))), IstioConfig()))
    assert made["http"] == [{"match": [{"port": 80}], "directResponse": {"status": 503}}]
    assert made["tcp"][0]["route"] == [{"destination": {"host": "nobody.smihub.invalid", "port": {"number": 80}}}]


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({"a": Fraction(1, 2), "b": Fraction(1, 4), "c": Fraction(0)}, {"a": 2, "b": 1}),
        ({"a": 300, "b": 100}, {"a": 3, "b": 1}),
        ({"a": 7}, {"a": 1}),
    ],
)
def test_weights_when_exact(weights: dict[str, Any], expected: dict[str, int]) -> None:
    """The smallest whole numbers; who has no share is not named."""
    made = spec(translate(route("web", port(80, "http", split("s", None, **weights))), IstioConfig()))
    found = {each["destination"]["host"].split(".")[0]: each["weight"] for each in made["http"][0]["route"]}
    assert found == expected


def test_weights_when_too_large() -> None:
    """The nearest that Istio takes, and a loss of the split."""
    made = translate(route("web", port(80, "http", split("s", None, a=2**40, b=1))), IstioConfig())
    weights = [each["weight"] for each in spec(made)["http"][0]["route"]]
    assert weights == [INT32_MAX - 1, 1]
    assert [(loss.code, loss.field, loss.access) for loss in made.losses] == [
        ("split.weights-too-large", "spec.backends", False)
    ]


def test_weights_when_a_backend_is_listed_twice() -> None:
    """Shares of one backend add up."""
    twice = Split(
        split_ref("s"), None, (Backend("b", Fraction(1)), Backend("a", Fraction(2)), Backend("b", Fraction(1)))
    )
    made = spec(translate(route("web", port(80, "http", twice)), IstioConfig()))
    assert [each["weight"] for each in made["http"][0]["route"]] == [1, 1]


def test_hosts_when_the_domain_is_another() -> None:
    """Hosts are full names, always."""
    made = spec(translate(route("web", port(80, "http", split("s", None, v1=1))), IstioConfig(cluster_domain="k.corp")))
    assert made["hosts"] == ["web.d.svc.k.corp"]
    assert made["http"][0]["route"][0]["destination"]["host"] == "v1.d.svc.k.corp"


def test_bytes_when_shuffled() -> None:
    """The order of ports, matches and backends has no effect; that of layers has."""
    matches = tuple(HttpMatch(path=f"/{name}", methods=("GET", "POST")) for name in "abcd")
    layer = Split(split_ref("s"), matches, tuple(Backend(name, Fraction(1)) for name in "xyz"))
    unit = route("web", port(80, "http", layer, split("t", None, v1=1)), port(81, "http", split("t", None, v1=1)))
    expected, rng = translate(unit, IstioConfig()), Random(5)
    for _ in range(5):
        mixed = replace(
            layer,
            matches=tuple(rng.sample(matches, 4)),
            backends=tuple(rng.sample(layer.backends, 3)),
        )
        first = replace(unit.ports[0], splits=(mixed, unit.ports[0].splits[1]))
        assert translate(route("web", unit.ports[1], first), IstioConfig()) == expected


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        (ANY, [{}]),
        (HttpMatch(path=".*"), [{}]),
        (HttpMatch(path="/a"), [{"uri": {"exact": "/a"}}]),
        (HttpMatch(path="/a/.*"), [{"uri": {"prefix": "/a/"}}]),
        (HttpMatch(path="/a|/b"), [{"uri": {"regex": "/a|/b"}}]),
        (HttpMatch(path=r"/u/\d+"), [{"uri": {"regex": r"/u/\d+"}}]),
        (HttpMatch(path="/ä|/ö"), [{"uri": {"exact": "/ä"}}, {"uri": {"exact": "/ö"}}]),
        (HttpMatch(path="nothing"), []),
        (HttpMatch(methods=()), []),
        (HttpMatch(headers=(("x-a", "1"), ("x-b", ".*"))), [{"headers": {"x-a": {"exact": "1"}, "x-b": {"regex": ".*"}}}]),
        (HttpMatch(headers=(("x-a", "1"), ("x-a", "1"))), [{"headers": {"x-a": {"exact": "1"}}}]),
        (HttpMatch(headers=(("user-agent", "(?i).*firefox.*"),)), [{"headers": {"user-agent": {"regex": "(?i).*firefox.*"}}}]),
        (HttpMatch(headers=(("cookie", ".*a=1.*"),)), [{"headers": {"cookie": {"regex": ".*a=1.*"}}}]),
        (HttpMatch(headers=(("x-a", "é"),)), [{"headers": {"x-a": {"exact": "é"}}}]),
    ],
)  # fmt: skip
def test_entries_when_a_match_is_said(match: HttpMatch, expected: list[dict[str, Any]]) -> None:
    """Literal where one text says it, the pattern otherwise."""
    assert entries(match) == expected


@pytest.mark.parametrize(
    ("match", "code"),
    [
        (HttpMatch(headers=(("x-a", "a.*"), ("x-a", ".*b"))), "istio.condition-not-expressible"),
        (HttpMatch(headers=(("uri", "/x"),)), "istio.condition-not-expressible"),
        (HttpMatch(headers=(("method", "GET"),)), "istio.condition-not-expressible"),
        (HttpMatch(headers=((":path", "/x"),)), "header.managed"),
        (HttpMatch(headers=(("traceparent", ".*"),)), "header.managed"),
        (HttpMatch(headers=(("accept", "a,.*"),)), "header.managed"),
        (HttpMatch(headers=(("cookie", ".*a=1; b.*"),)), "header.managed"),
        (HttpMatch(headers=(("x-a", "a[^,]b"),)), "regex.not-ascii"),
        (HttpMatch(headers=(("x-a", "a.b"),)), "header.managed"),  # the lines a and b, joined by an old sidecar
        (HttpMatch(headers=(("x-a", "(?i).*safari.*"),)), "regex.not-ascii"),
        (HttpMatch(headers=(("x-a", ".*b "),)), "istio.header-not-expressible"),
        (HttpMatch(headers=(("x-a", r"\C*"),)), "regex.too-complex"),
        (HttpMatch(path=r"/\pL+"), "regex.not-ascii"),
        (HttpMatch(path="/(?P<id>[0-9]+)"), "regex.not-ascii"),
        (HttpMatch(path="/[0-9]+" + "x" * MAX_LENGTH), "regex.too-large"),
    ],
)
def test_objections_when_a_match_is_not_said(match: HttpMatch, code: str) -> None:
    """One code each, and no entry."""
    assert codes(match) == [code]


def test_entries_when_there_are_too_many() -> None:
    """Alternatives multiply; beyond a bound the condition is lost."""
    letters = "|".join("äöüßéèêëàáâãåæçñ")
    match = HttpMatch(headers=(("x-a", letters), ("x-b", letters), ("x-c", letters)))
    assert codes(match) == ["limit.exceeded"]


@pytest.mark.parametrize(
    "pattern", [r"\Ea", r"\C", r"\pL", r"\PL", "(?P<a>b)", "(?<a>b)", "é", "a\n", r"\x41", r"\101"]
)
def test_pattern_when_engines_differ(pattern: str) -> None:
    """Doubtful syntax never reaches an Envoy."""
    assert not is_portable(pattern)


@pytest.mark.parametrize(
    "pattern", ["", "a" * (MAX_LENGTH + 1), "(", "(?:(?:a{1000}b{1000}c{1000}){1}){1}(?:d{1000}){1}" * 20]
)
def test_pattern_when_it_does_not_compile(pattern: str) -> None:
    """Neither what RE2 refuses nor what is too large."""
    assert not is_small(pattern)


def test_object_when_it_would_be_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """The root serves then, with a loss for each split."""
    monkeypatch.setattr(translate_routes, "MAX_BYTES", 1000)
    many = tuple(HttpMatch(path=f"/{n}") for n in range(40))
    made = translate(route("web", port(80, "http", split("s", many, v1=1))), IstioConfig())
    assert made.objects == ()
    assert {(loss.code, loss.access) for loss in made.losses} == {("limit.exceeded", False)}


def test_pattern_when_it_is_large_over_characters() -> None:
    """Sidecars without the fix of CVE-2026-73552 count more instructions, and would refuse the whole table."""
    pattern = "[^/]{800}" * 6
    assert is_portable(pattern)
    assert not is_small(pattern)


# ------------------------------------------------------------------------------------- what sidecars do not carry out


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("https", "istio.tls-not-split"),
        ("HTTPS-gate", "istio.tls-not-split"),
        ("tls-x", "istio.tls-not-split"),
        ("kubernetes.io/wss", "istio.tls-not-split"),
        ("udp", "istio.port-called-udp"),
        ("udp-x", "istio.port-called-udp"),
        ("wss", ""),
        ("kubernetes.io/ws", ""),
        ("", ""),
    ],
)
def test_split_when_the_port_is_one_that_istio_does_not_route_by_splits(word: str, code: str) -> None:
    """Nothing is written that would have no effect: the root serves, and the loss says so for each split."""
    layers = (split("a", (CONDITION,), v2=1), split("b", None, v1=1))
    unit = route("web", replace(port(443, "none", *layers), word=word), port(80, "http", split("b", None, v1=1)))
    made = translate(unit, IstioConfig())
    assert {(loss.code, loss.origin.name, loss.access) for loss in made.losses} == (
        {(code, "a", False), (code, "b", False)} if code else set()
    )
    assert {entry["match"][0]["port"] for entry in spec(made)["http"]} == ({80} if code else {80, 443})
    assert [bool(each.splits) for each in made.routed or unit.ports] == [True, not code]


def shared(name: str, **backends: Backend) -> Split:
    """A layer without condition over these backends."""
    return Split(split_ref(name), None, tuple(backends.values()))


V1, V2 = Backend("v1", Fraction(4)), Backend("v2", Fraction(1))


@pytest.mark.parametrize(
    ("backend", "code"),
    [
        (replace(V2, headless=True), "istio.headless-backend"),
        (replace(V2, word="udp"), "istio.port-called-udp"),
        (replace(V2, weight=Fraction(0), headless=True), ""),
        (replace(V2, service="web", headless=True), ""),
        (replace(V2, word="https"), ""),
    ],
)
def test_split_when_a_backend_is_one_that_istio_does_not_send_calls_to(backend: Backend, code: str) -> None:
    """The whole layer is lost, named by its backend; one without a share, or the root that was dialled anyway, does no harm."""
    made = translate(route("web", port(80, "http", shared("s", v1=V1, v2=backend))), IstioConfig())
    assert [(loss.code, backend.service in loss.message) for loss in made.losses] == ([(code, True)] if code else [])
    assert bool(made.objects) == (not code)


def test_split_when_only_one_layer_has_a_headless_backend() -> None:
    """Its requests go on to the next layer, as with a condition that is lost."""
    lost = replace(shared("a", v2=replace(V2, headless=True)), matches=(CONDITION,))
    made = translate(route("web", port(80, "http", lost, shared("b", v1=V1))), IstioConfig())
    assert made.objects == translate(route("web", port(80, "http", shared("b", v1=V1))), IstioConfig()).objects
    assert [loss.origin.name for loss in made.losses] == ["a"]


@pytest.mark.parametrize(
    ("word", "number", "code"),
    [
        ("tcp-https", 80, "istio.other-protocol"),
        ("TCP-x", 80, "istio.other-protocol"),
        ("h2c", 3306, "port.server-first"),
        ("http_proxy", 3306, ""),
        ("http-x", 25, ""),
        ("strange", 80, ""),
    ],
)
def test_condition_when_istio_takes_the_port_for_tcp(word: str, number: int, code: str) -> None:
    """By its word or its number: the condition never holds there, and the split of everything stays."""
    layers = (split("a", (CONDITION,), v2=1), split("b", None, v1=1))
    made = translate(route("web", replace(port(number, "none", *layers), word=word)), IstioConfig())
    assert {(loss.code, loss.origin.name) for loss in made.losses} == ({(code, "a")} if code else set())
    assert len(spec(made)["tcp"]) == 1
