"""No document makes the reading raise, run away or grant: whatever is not understood counts as absent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from hub.model import Document, Origin, Request
from hub.semantics import Semantics
from hub.semantics.decoded import decode

QUICK = settings(derandomize=True, max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))

KEYS = [
    *(
        "apiVersion",
        "kind",
        "metadata",
        "spec",
        "name",
        "namespace",
        "labels",
        "items",
        "destination",
        "sources",
        "specs",
    ),
    *(
        "rules",
        "matches",
        "ports",
        "port",
        "backends",
        "service",
        "weight",
        "schemes",
        "podLabelSelector",
        "matchLabels",
    ),
    *("spiffeIdentities", "serviceAccount", "pathRegex", "methods", "headers", "selector", "containers", "template"),
    *("endpoints", "targetRef", "addresses", "upstreams", "creationTimestamp", "group", "status"),
]
KINDS = [
    *("TrafficTarget", "IdentityBinding", "HTTPRouteGroup", "TCPRoute", "UDPRoute", "TrafficSplit", "Service", "Pod"),
    *("Deployment", "CronJob", "EndpointSlice", "Workload", "List"),
]
VERSIONS = [
    *(f"{group}.smi-spec.io/v1alpha{n}" for group in ("access", "specs", "split") for n in (1, 2, 3, 4)),
    *("v1", "v1alpha1", "apps/v1", "batch/v1", "discovery.k8s.io/v1", "smihub.io/v1alpha1"),
]
WORDS = [
    *KEYS,
    *KINDS,
    "d",
    "web",
    "api",
    "a",
    "GET",
    "*",
    "",
    "TCP",
    "cluster.local/ns/d/sa/web",
    "web.d",
    "(",
    "\ud800",
]
SCALARS = st.one_of(
    st.sampled_from(WORDS),
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, 1, 80, 8080, 65535, 2**70]),
    st.floats(),
    st.text(max_size=8),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(KEYS), st.integers(), st.none()), inner, max_size=5),
    ),
    max_leaves=12,
)
SHELLS = st.fixed_dictionaries(
    {"kind": st.sampled_from(KINDS), "metadata": st.one_of(JSON, st.just({"name": "web", "namespace": "d"}))},
    optional={
        "apiVersion": st.sampled_from(VERSIONS),
        **dict.fromkeys(("spec", "items", "matches", "sources"), JSON),
    },
)

# One valid object of each kind: a single mutated leaf reaches further into a decoder than random JSON does.
SEEDS: list[dict[str, Any]] = [
    {
        "kind": "TrafficTarget",
        "metadata": {"name": "t", "namespace": "d"},
        "spec": {
            "destination": {"kind": "ServiceAccount", "name": "api", "namespace": "d"},
            "sources": [{"kind": "ServiceAccount", "name": "web", "namespace": "d"}],
            "rules": [{"kind": "HTTPRouteGroup", "name": "r", "matches": ["a"]}, {"kind": "TCPRoute", "name": "t80"}],
        },
    },
    {
        "kind": "HTTPRouteGroup",
        "metadata": {"name": "r", "namespace": "d"},
        "spec": {"matches": [{"name": "a", "pathRegex": "/", "methods": ["GET"], "headers": [{"x": "y"}]}]},
    },
    {"kind": "TCPRoute", "metadata": {"name": "t80", "namespace": "d"}, "spec": {"matches": {"ports": [8080]}}},
    {
        "kind": "TrafficSplit",
        "metadata": {"name": "s", "namespace": "d", "creationTimestamp": "2024-01-01T00:00:00Z"},
        "spec": {
            "service": "web",
            "backends": [{"service": "api", "weight": 1}],
            "matches": [{"kind": "HTTPRouteGroup", "name": "r"}],
        },
    },
    {
        "kind": "IdentityBinding",
        "metadata": {"name": "b", "namespace": "d"},
        "spec": {"schemes": {"podLabelSelector": {"matchLabels": {"a": "b"}}, "spiffeIdentities": ["o/x"]}},
    },
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "d"},
        "spec": {"selector": {"a": "b"}, "ports": [{"name": "http", "port": 8080, "targetPort": "main"}]},
    },
    {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web-0", "namespace": "d", "labels": {"a": "b"}},
        "spec": {"serviceAccountName": "api", "containers": [{"ports": [{"name": "main", "containerPort": 8080}]}]},
    },
    {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "e", "namespace": "d", "labels": {"kubernetes.io/service-name": "web"}},
        "endpoints": [{"targetRef": {"kind": "Pod", "name": "web-0"}}],
        "ports": [{"name": "http", "port": 8080}],
    },
    {
        "apiVersion": "smihub.io/v1alpha1",
        "kind": "Workload",
        "metadata": {"name": "vm", "namespace": "d", "labels": {"a": "b"}},
        "spec": {
            "serviceAccount": "api",
            "addresses": ["10.0.0.1"],
            "ports": [{"port": 8080, "appProtocol": "http"}],
            "upstreams": [{"service": "web", "port": 8080}],
        },
    },
]


@pytest.fixture
def judge_all(request_to: Callable[..., Request]) -> Callable[[list[object]], list[str]]:
    """Return a function that judges a handful of requests over raw values and returns the verdicts."""
    asked = [
        request_to(src, dst, 8080, protocol=protocol, headers=(("x", "y"),))
        for src in ("d/web", "pod:d/web", "spiffe://o/x", "outside")
        for dst in ("d/api", "pod:d/web", "service:d/web")
        for protocol in ("http", "tcp", "udp")
    ]

    def judge_all(values: list[object]) -> list[str]:
        documents = [Document(value, Origin(str(index % 2))) for index, value in enumerate(values)]
        semantics = Semantics(documents)
        return [semantics.judge(request).verdict for request in asked]

    return judge_all


JudgeAll = Callable[[list[object]], list[str]]


@QUICK
@given(values=st.lists(st.one_of(JSON, SHELLS), max_size=6))
def test_random_documents(judge_all: JudgeAll, values: list[object]) -> None:
    """Random JSON never raises and never amounts to a grant."""
    assert set(judge_all(values)) == {"deny"}


def _leaves(value: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    if isinstance(value, dict):
        return [path, *(leaf for key, item in value.items() for leaf in _leaves(item, (*path, key)))]
    if isinstance(value, list):
        return [path, *(leaf for index, item in enumerate(value) for leaf in _leaves(item, (*path, index)))]
    return [path]


def _replaced(value: Any, path: tuple[object, ...], new: object) -> object:
    if not path:
        return new
    head, rest = path[0], path[1:]
    if isinstance(value, dict):
        return {key: _replaced(item, rest, new) if key == head else item for key, item in value.items()}
    return [_replaced(item, rest, new) if index == head else item for index, item in enumerate(value)]


OUTSIDE = 9  # the last questions of `judge_all` are those of a caller without identity
PLACES = [(index, path) for index, seed in enumerate(SEEDS) for path in _leaves(seed)]


@QUICK
@given(place=st.sampled_from(PLACES), new=JSON, version=st.sampled_from([None, *VERSIONS]))
def test_one_value_replaced(
    judge_all: JudgeAll, place: tuple[int, tuple[object, ...]], new: object, version: str | None
) -> None:
    """A valid world with one value replaced by anything, under any version, never raises and never lets in who has no identity."""
    index, path = place
    changed = dict(SEEDS[index]) if version is None else {**SEEDS[index], "apiVersion": version}
    others = (seed for other, seed in enumerate(SEEDS) if other != index)
    verdicts = judge_all([_replaced(changed, path, new), *others])
    assert set(verdicts[-OUTSIDE:]) == {"deny"}


@pytest.mark.thorough
@pytest.mark.parametrize("place", [place for place in PLACES if place[0] == 0 and place[1][:1] == ("spec",)])
@pytest.mark.parametrize("new", [None, 1, True, [], {}, [[]], {"x": 1}, 1.5], ids=repr)
def test_wrong_type_in_a_traffic_target(
    judge_all: JudgeAll, place: tuple[int, tuple[object, ...]], new: object
) -> None:
    """No value of a wrong type anywhere in a TrafficTarget opens anything."""
    values: list[object] = [_replaced(SEEDS[0], place[1], new), *SEEDS[1:]]
    assert "allow" not in judge_all(values)


STRICT = [
    (index, path)
    for index, path in PLACES
    if SEEDS[index]["kind"] not in {"Service", "Pod", "EndpointSlice"} and path[:1] == ("spec",)
]


@pytest.mark.parametrize("place", STRICT)
def test_unknown_field_voids_the_object(place: tuple[int, tuple[object, ...]]) -> None:
    """A field that no version knows, anywhere under spec of an SMI object or a Workload, takes the whole object."""
    index, path = place
    target: Any = SEEDS[index]
    for step in path:
        target = target[step]
    assert decode([Document(SEEDS[index])]) != decode([])
    added = {**target, "x": 1} if isinstance(target, dict) else {"x": 1}
    left = decode([Document(_replaced(SEEDS[index], path, added))])
    assert replace(left, doubts=(), broken=()) == decode([])


def test_the_valid_world_grants(judge_all: JudgeAll) -> None:
    """The world that the tests here break allows something while it is whole."""
    assert "allow" in judge_all(list(SEEDS))


def test_deep_and_wide_documents(judge_all: JudgeAll) -> None:
    """Depth, size and shared parts of a document cost nothing beyond what is read of it."""
    deep: object = "x"
    for _ in range(20_000):
        deep = [deep, deep]
    wide = [{"kind": "TCPRoute", "metadata": {"name": "t", "namespace": "d"}, "spec": deep}] * 1_000
    assert set(judge_all([deep, *wide, {"kind": "List", "items": wide}, {"kind": "TrafficTarget", "spec": deep}])) == {
        "deny"
    }


@pytest.mark.thorough
def test_many_bindings_named_by_many_traffic_targets(judge_all: JudgeAll) -> None:
    """Work is linear in what is written: 500 TrafficTargets that name one binding of 2 000 ids do not multiply."""
    ids = [f"o/{number}" for number in range(2_000)] + ["cluster.local/ns/d/sa/web"]
    binding = {
        "kind": "IdentityBinding",
        "metadata": {"name": "b", "namespace": "d"},
        "spec": {"schemes": {"spiffeIdentities": ids}},
    }
    subject = {"kind": "IdentityBinding", "name": "b", "namespace": "d"}
    targets = [
        {
            "kind": "TrafficTarget",
            "metadata": {"name": f"t{number}", "namespace": "d"},
            "spec": {
                "destination": SEEDS[0]["spec"]["destination"],
                "sources": [subject] * 100,
                "rules": SEEDS[0]["spec"]["rules"],
            },
        }
        for number in range(500)
    ]
    assert "deny" in judge_all([binding, *targets, *SEEDS[1:4]])
