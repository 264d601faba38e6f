"""Near misses: which TrafficTarget nearly grants a denied request, and the one thing that stands between, in words."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from hub.model import NearMiss, Request, Source
from hub.semantics import Semantics
from hub.testing.random_requests import Hints, any_request
from hub.testing.worlds import make_values, make_world

Read = Callable[..., Semantics]
RequestTo = Callable[..., Request]
Target = Callable[..., str]

RULE = "[{kind: HTTPRouteGroup, name: r}]"
_FIELDS = {"method": "method", "path": "path", "headers": "header", "src": "caller", "port": "port"}


@pytest.fixture(name="near")
def make_near(read: Read, request_to: RequestTo) -> Callable[..., list[str]]:
    """What nearly grants one request from d/web to d/api: `what: message` of each thing between, by object."""

    def near(text: str, src: str = "d/web", dst: str = "d/api", port: int = 8080, **more: Any) -> list[str]:
        found = read(text).near(request_to(src, dst, port, **{"path": "/api", **more}))
        return [f"{one.object}: " + " & ".join(f"{it.what}: {it.message}" for it in one.between) for one in found]

    return near


Near = Callable[..., list[str]]


def test_what_is_allowed_has_no_near_miss(near: Near, target: Target) -> None:
    """Nothing stands between."""
    assert near(target(RULE)) == []


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"path": "/apix"}, ["path: its path: /api; the request's is /apix (it has to match the whole path)"]),
        ({"path": "/x?q"}, ["path: its path: /api; the request's is /x"]),
        ({"src": "d/pay"}, ["caller: its sources: d/web; the caller is d/pay"] * 2),
        ({"src": "outside"}, ["caller: its sources: d/web; the caller is an unknown caller"] * 2),
        ({"path": "/metrics", "method": "PUT"}, ["method: its methods: GET; the request's is PUT"]),
    ],
)
def test_a_request_that_differs_in_one_thing(
    near: Near, target: Target, asked: dict[str, Any], said: list[str]
) -> None:
    """Another path, method or caller; each match is a way of its own."""
    found = near(target(RULE), **asked)
    assert set(said) <= {one.partition(": ")[2] for one in found}
    assert all(one.startswith(("TrafficTarget/d/t: ", "ServiceAccount/d/pay: ")) for one in found)


def test_a_service_port_written_for_the_container_port_names_both(near: Near, target: Target) -> None:
    """The mistake that people make most: the port of the Service in a TrafficTarget, whose ports are the workload's."""
    service = """
apiVersion: v1
kind: Service
metadata: {name: front, namespace: d}
spec: {selector: {app: api}, ports: [{name: http, port: 80, targetPort: 8080}]}
"""
    rules = "[{kind: HTTPRouteGroup, name: r, matches: [a]}]"
    (said,) = near(service + target(rules, more=", port: 80", version="v1alpha2"), dst="service:d/front", port=80)
    assert said == (
        "TrafficTarget/d/t: port: its port: 80, the workload's is 8080 "
        "(port 80 of Service/d/front maps to it; a TrafficTarget uses the workload's port)"
    )


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (
            "[{kind: HTTPRouteGroup, name: rr}]",
            'its HTTPRouteGroup "rr", which does not exist in namespace d; did you mean "r"?',
        ),
        ("[{kind: HTTPRouteGroup, name: r, matches: [aa]}]", 'which it does not have; did you mean "a"?'),
        (
            "[{kind: HTTPRouteGroup, name: r}, {kind: TCPRoute, name: none}]",
            'its TCPRoute "none", which does not exist',
        ),
        ("[{kind: HTTPRouteGroup, name: void}]", "which is invalid (smihub check shows why)"),
    ],
)
def test_a_rule_that_names_what_is_not_there(near: Near, target: Target, rules: str, said: str) -> None:
    """A missing route or match, with the name that may have been meant."""
    void = "\n---\nkind: HTTPRouteGroup\nmetadata: {name: void, namespace: d}\nspec: {matches: [{name: m, pathRegex: '('}]}"
    if "void" in rules:
        rules = "[{kind: HTTPRouteGroup, name: void, matches: [m]}]"
    found = near(target(rules) + void)
    assert any(said in one for one in found), found


def test_an_account_as_which_nothing_runs(near: Near, target: Target) -> None:
    """A source or a destination that is misspelt, and a caller that is."""
    pod = "kind: Pod\napiVersion: v1\nmetadata: {name: web-0, namespace: d}\nspec: {serviceAccountName: web}"
    assert near(target(RULE, src="wbe") + "\n---\n" + pod)[0] == (
        'TrafficTarget/d/t: account: its source d/wbe, which no workload runs as; did you mean "web"?'
    )
    moved = target(RULE).replace("name: api,", "name: appi,")
    assert any('its destination d/appi, which no workload runs as; did you mean "api"?' in one for one in near(moved))
    assert near(target(RULE) + "\n---\n" + pod, src="d/wbe")[0] == (
        'ServiceAccount/d/wbe: account: no workload runs as it, and no TrafficTarget names it; did you mean "web"?'
    )


def test_kinds_and_groups_that_nobody_reads(near: Near, target: Target) -> None:
    """A source of another kind or without a namespace, a TrafficTarget of a misspelt group or of an unread version."""
    whole = target(RULE)
    sources = "[{kind: ServiceAccount, name: web, namespace: d}]"
    assert (
        'kind: its source of kind "User", which is not supported'
        in near(whole.replace(sources, "[{kind: User, name: web}]"))[0]
    )
    assert "namespace: its source web without a namespace" in near(whole.replace(", namespace: d}]", "}]"))[0]
    group = near(whole.replace("access.smi", "acces.smi"))
    assert any(
        '"acces.smi-spec.io", which is not supported; did you mean "access.smi-spec.io"?' in one for one in group
    )
    assert any(
        'its version "v1beta1", which is not supported' in one for one in near(whole.replace("v1alpha3", "v1beta1"))
    )


def test_a_target_in_another_namespace_and_one_that_cannot_be_read(near: Near, target: Target) -> None:
    """A TrafficTarget grants in its own namespace only; a broken one grants nothing, and says so."""
    elsewhere = target(RULE).replace("{name: t, namespace: d}", "{name: t, namespace: e}")
    assert any(
        "namespace: its destination in namespace d: a TrafficTarget only applies to its own namespace, e" in x
        for x in near(elsewhere)
    )
    broken = near(target(RULE) + "  nonsense: 1\n")
    assert "TrafficTarget/d/t: unreadable: a part of it that cannot be read (smihub check shows why)" in broken


def test_a_place_where_nobody_is(near: Near, target: Target) -> None:
    """No Service, no such port, nobody behind it, and a receiver that no TrafficTarget names."""
    empty = "\n---\napiVersion: v1\nkind: Service\nmetadata: {name: lost, namespace: d}\nspec: {selector: {app: none}, ports: [{port: 80}]}"
    assert near(target(RULE), dst="service:d/appi")[0].endswith('it does not exist in namespace d; did you mean "api"?')
    assert (
        "it has ports 8080/TCP, 9090/TCP, 5432/TCP; the request's is 81/TCP"
        in near("", dst="service:d/api", port=81)[0]
    )
    assert near(target(RULE) + empty, dst="service:d/lost", port=80) == [
        "Service/d/lost: endpoint: no running workload is behind port 80 (it selects app=none)"
    ]
    assert "ServiceAccount/d/api: destination: no TrafficTarget names it as its destination" in near("")


@pytest.mark.parametrize(
    ("pattern", "path", "hint"),
    [
        ("/v1/*", "/v1/x", "not a glob"),
        ("/v1", "/v1/x", "the whole path"),
        ("/v1", "/v2", "/v2"),
        ("/v1", "v1", 'begins with "/"'),
    ],
)
def test_a_path_says_what_people_often_mean(near: Near, target: Target, pattern: str, path: str, hint: str) -> None:
    """A glob, the beginning of a path, or a path without its first character."""
    group = f"\n---\nkind: HTTPRouteGroup\nmetadata: {{name: g, namespace: d}}\nspec: {{matches: [{{name: m, pathRegex: '{pattern}'}}]}}"
    (said,) = near(target("[{kind: HTTPRouteGroup, name: g}]") + group, path=path)
    assert said.startswith(f"TrafficTarget/d/t: path: its path: {pattern}; the request's is {path}")
    assert hint in said


# --------------------------------------------------------------------------- properties


def _flipped(rng: Random, request: Request, other: Request, field: str) -> Request:
    """The request with one field of another one, or of one that nobody can have meant."""
    if field == "src":
        return replace(request, src=rng.choice((other.src, Source(outside=True))))
    if field == "path":
        return replace(request, path=rng.choice((other.path, request.path + "/no/such/place")))
    if field == "method":
        return replace(request, method=rng.choice((other.method, "BREW")))
    if field == "port":
        return replace(request, port=rng.choice((other.port, 1)))
    return replace(request, headers=rng.choice((other.headers, ())))


def _names(near: tuple[NearMiss, ...], word: str) -> bool:
    return any({hurdle.what for hurdle in one.between} == {word} for one in near)


@pytest.mark.thorough
def test_one_field_of_an_allowed_request_flipped_is_what_the_near_miss_names() -> None:
    """Random worlds: flip caller, port, method, path or headers of what is allowed; where that denies it, it is named alone.

    The port also decides what a port speaks, so another protocol may stand beside it. Services are left out: their splits
    may lead elsewhere once the request is another.
    """
    met = dict.fromkeys(_FIELDS, 0)
    for seed in range(220):
        rng = Random(seed)
        values = make_values(rng)
        hints, world = Hints.of(values), make_world(Random(seed), 1)
        semantics = Semantics(world.documents)
        asked = [any_request(rng, hints) for _ in range(30)]
        for request in asked:
            if request.protocol != "http" or request.dst.service or semantics.judge(request).verdict != "allow":
                continue
            for field in _FIELDS:
                flipped = _flipped(rng, request, rng.choice(asked), field)
                if semantics.judge(flipped).verdict == "deny":
                    met[field] += 1
                    near = semantics.near(flipped)
                    assert _tells(near, field), (seed, request, flipped, near)
    assert min(met.values()) >= 5, met


def _tells(near: tuple[NearMiss, ...], field: str) -> bool:
    """Of a caller also what is the matter with the source that has its name, of a port what it speaks."""
    if field == "port":
        return any({hurdle.what for hurdle in one.between} <= {"port", "protocol"} for one in near)
    also = ("account", "kind", "namespace") if field == "src" else ()
    return any(_names(near, word) for word in (_FIELDS[field], *also))


@pytest.mark.thorough
def test_every_denied_request_is_told_something_and_no_allowed_one_anything() -> None:
    """Random worlds, damaged objects among them: no near miss is empty, and none is told of what is allowed."""
    for seed in range(120):
        world = make_world(Random(seed), 24)
        semantics = Semantics(world.documents)
        for request in world.requests:
            near, answer = semantics.near(request), semantics.judge(request)
            assert all(one.between for one in near)
            assert not near or answer.verdict in {"deny", "mixed"} or "no-endpoint" in (answer.backends or {}).values()
            assert len(near) == len(set(near))
