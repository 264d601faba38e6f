"""Whatever a document holds: decoding never raises, never shrugs, and never takes a broken object for a whole one."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.model import Document, Severity
from hub.smi import KINDS, Decoded, decode
from hub.smi.types import HTTPRouteGroup

RULES = "[{kind: HTTPRouteGroup, name: r, matches: [m]}, {kind: TCPRoute, name: p}]"
TARGET = (
    "destination: {kind: ServiceAccount, name: api, namespace: d%s}, "
    "sources: [{kind: ServiceAccount, name: web, namespace: d}]"
)
MATCHES = "matches: [{name: m, pathRegex: /a, methods: [GET], headers: {x: b}}, {name: n, headers: [{y: c}]}]"
BACKENDS = "service: web, backends: [{service: v1, weight: 1}, {service: v2, weight: 0}]"
CONDITION = ", matches: [{kind: HTTPRouteGroup, name: r, apiGroup: specs.smi-spec.io}]"
PORTS = "spec: {matches: {ports: [80, 81]}}"
SMI_BODIES = [
    ("access.smi-spec.io/v1alpha1", "TrafficTarget", f"{TARGET % ', port: 80'}, specs: {RULES}"),
    ("access.smi-spec.io/v1alpha2", "TrafficTarget", f"spec: {{{TARGET % ', port: 80'}, rules: {RULES}}}"),
    ("access.smi-spec.io/v1alpha3", "TrafficTarget", f"spec: {{{TARGET % ''}, rules: {RULES}}}"),
    ("access.smi-spec.io/v1alpha4", "TrafficTarget", f"spec: {{{TARGET % ', group: core'}, rules: {RULES}}}"),
    ("access.smi-spec.io/v1alpha4", "IdentityBinding", "spec: {schemes: {serviceAccount: s, spiffeIdentities: [a/b]}}"),
    ("access.smi-spec.io/v1alpha4", "IdentityBinding", "spec: {schemes: {podLabelSelector: {matchLabels: {a: b}}}}"),
    ("specs.smi-spec.io/v1alpha1", "HTTPRouteGroup", MATCHES),
    ("specs.smi-spec.io/v1alpha2", "HTTPRouteGroup", MATCHES),
    ("specs.smi-spec.io/v1alpha3", "HTTPRouteGroup", f"spec: {{{MATCHES}}}"),
    ("specs.smi-spec.io/v1alpha4", "HTTPRouteGroup", f"spec: {{{MATCHES}}}"),
    ("specs.smi-spec.io/v1alpha3", "TCPRoute", "spec: {}"),
    ("specs.smi-spec.io/v1alpha4", "TCPRoute", PORTS),
    ("specs.smi-spec.io/v1alpha4", "UDPRoute", PORTS),
    ("split.smi-spec.io/v1alpha1", "TrafficSplit", f"spec: {{{BACKENDS}}}"),
    ("split.smi-spec.io/v1alpha2", "TrafficSplit", f"spec: {{{BACKENDS}}}"),
    ("split.smi-spec.io/v1alpha3", "TrafficSplit", f"spec: {{{BACKENDS}{CONDITION}}}"),
    ("split.smi-spec.io/v1alpha4", "TrafficSplit", f"spec: {{{BACKENDS}{CONDITION}}}"),
    (
        "smihub.io/v1alpha1",
        "Workload",
        (
            "spec: {serviceAccount: s, addresses: [10.0.0.1], bind: 10.0.0.1, ports: [{name: h, port: 80, protocol: TCP, "
            "appProtocol: http, appAddress: 127.0.0.1, appPort: 81}], upstreams: [{service: d/web, port: 80, "
            "address: 127.0.0.1, localPort: 90, shared: host}]}"
        ),
    ),
    (
        "smihub.io/v1alpha1",
        "Workload",
        "spec: {serviceAccount: s, addresses: [10.0.0.1], upstreams: [{service: d/web, port: 80, path: /run/a/b.sock}]}",
    ),
]
FACT_BODIES = [
    ("v1", "Service", "spec: {selector: {a: b}, ports: [{name: h, port: 80, targetPort: 8080, appProtocol: http}]}"),
    ("v1", "ServiceAccount", "secrets: []"),
    (
        "v1",
        "Pod",
        (
            "spec: {serviceAccountName: s, containers: [{ports: [{name: h, containerPort: 80, protocol: TCP}]}]}, "
            "status: {podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}], conditions: [{type: Ready, status: 'True'}], phase: Running}"
        ),
    ),
    ("apps/v1", "Deployment", "spec: {template: {metadata: {labels: {a: b}}, spec: {containers: [{ports: []}]}}}"),
    ("batch/v1", "CronJob", "spec: {jobTemplate: {spec: {template: {spec: {serviceAccount: s}}}}}"),
    (
        "v1",
        "Endpoints",
        "subsets: [{addresses: [{ip: 10.0.0.1, targetRef: {kind: Pod, name: p}}], ports: [{name: h, port: 80, protocol: TCP}]}]",
    ),
    (
        "discovery.k8s.io/v1",
        "EndpointSlice",
        (
            "endpoints: [{addresses: [10.0.0.1], conditions: {ready: true}, targetRef: {kind: Pod, name: p, namespace: d}}], "
            "ports: [{name: h, port: 80, protocol: TCP}]"
        ),
    ),
]
Path = tuple[str | int, ...]
HOSTILE: list[Any] = [
    None, True, False, 0, -1, 1, 65536, 2**64, 10**5000, 1.5, float("nan"), float("inf"), "", "*", "a/b", "\ud800",
    "\x00", "x" * 100_000, "(" * 5000, "1e999999999", [], {}, [[]], [{}], {"": None}, {1: 2}, {None: []}, {"\ud800": "\ud800"},
    b"bytes", dt.date(2024, 1, 1), (1, 2), {1, 2},
]  # fmt: skip


def build(body: tuple[str, str, str]) -> dict[str, Any]:
    """A valid document of this kind."""
    api, kind, rest = body
    labels = "kubernetes.io/service-name: web"
    metadata = f"{{name: x, namespace: d, labels: {{{labels}}}, creationTimestamp: '2024-01-01T00:00:00Z'}}"
    value = yaml.load(f"{{apiVersion: {api}, kind: {kind}, metadata: {metadata}, {rest}}}", yaml.CSafeLoader)
    assert isinstance(value, dict)
    return value


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """The path of every value inside, inner nodes too."""
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from places(child, (*path, key))


def replaced(value: Any, path: Path, new: Any) -> Any:
    """A copy with another value at this path."""
    if not path:
        return new
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(copy[path[0]], path[1:], new)
    return copy


def at(value: Any, path: Path) -> Any:
    """The value at this path."""
    for key in path:
        value = value[key]
    return value


def sound(decoded: Decoded) -> None:
    """What every answer must be, whatever the question."""
    for problem in decoded.problems:
        text = " ".join((problem.code, problem.field, problem.message, problem.remedy, str(problem.ref)))
        assert text.isprintable()
        assert len(text) < 2000
    msgspec.json.encode(decoded.problems)
    if decoded.object is None:
        if decoded.ref is not None:
            assert any(problem.severity is Severity.ERROR for problem in decoded.problems)
        return
    assert decoded.object.ref == decoded.ref
    msgspec.json.encode(decoded.object, enc_hook=str)


ALL_BODIES = SMI_BODIES + FACT_BODIES
IDS = [f"{kind}-{api.rpartition('/')[2]}-{index}" for index, (api, kind, _) in enumerate(ALL_BODIES)]


@pytest.mark.parametrize("body", ALL_BODIES, ids=IDS)
def test_every_kind_is_valid_to_begin_with(body: tuple[str, str, str]) -> None:
    """The documents that the other tests break are whole."""
    decoded = decode(Document(build(body)))
    assert decoded.object is not None
    assert decoded.problems == ()
    assert decoded.ref is not None
    assert (decoded.ref.group, decoded.ref.kind) in KINDS


@pytest.mark.thorough
@pytest.mark.parametrize("body", ALL_BODIES, ids=IDS)
def test_no_value_anywhere_makes_decoding_raise(body: tuple[str, str, str]) -> None:
    """Each place of each document, each hostile value."""
    value = build(body)
    for path in places(value):
        for hostile in HOSTILE:
            sound(decode(Document(replaced(value, path, hostile))))


@pytest.mark.parametrize("body", SMI_BODIES, ids=IDS[: len(SMI_BODIES)])
def test_nothing_is_silent_when_a_leaf_is_replaced(body: tuple[str, str, str]) -> None:
    """Every leaf counts: a strange value in its place changes the object or is reported."""
    value = build(body)
    whole = decode(Document(value))
    for path in places(value):
        if isinstance(at(value, path), dict | list) or path[:1] == ("metadata",):
            continue
        for sentinel in ("sentinel-7", 7777, None, True, ["sentinel"], {"sentinel": 1}):
            if sentinel == at(value, path):
                continue
            changed = decode(Document(replaced(value, path, sentinel)))
            same = changed.object == whole.object and changed.problems == whole.problems
            assert not same, (path, sentinel)


@pytest.mark.parametrize("body", SMI_BODIES, ids=IDS[: len(SMI_BODIES)])
def test_nothing_is_silent_when_a_field_is_added(body: tuple[str, str, str]) -> None:
    """An unknown field at any level voids the object, unless it is under metadata or status, or is a free label."""
    value = build(body)
    value["status"] = {"deep": {"deeper": [{}]}}
    for path in places(value):
        inside = at(value, path)
        if not isinstance(inside, dict):
            continue
        decoded = decode(Document(replaced(value, path, {**inside, "sentinel": "s"})))
        if path[:1] in {("metadata",), ("status",)}:
            assert decoded.object is not None or path == ("metadata", "labels")
        elif path[-1:] in {("headers",), ("matchLabels",)}:
            assert decoded.object != decode(Document(value)).object
        else:
            assert decoded.object is None, path
            assert any(problem.field.endswith("sentinel") or "headers" in path for problem in decoded.problems)


@pytest.mark.parametrize("body", SMI_BODIES, ids=IDS[: len(SMI_BODIES)])
def test_no_part_is_optional_by_accident(body: tuple[str, str, str]) -> None:
    """A field that is taken away changes the object or is reported."""
    value = build(body)
    whole = decode(Document(value))
    for path in places(value):
        if not path or path[0] == "metadata" or not isinstance(path[-1], str):
            continue
        holder = {key: held for key, held in at(value, path[:-1]).items() if key != path[-1]}
        changed = decode(Document(replaced(value, path[:-1], holder)))
        defaulted = {"group", "apiGroup", "protocol", "bind", "appAddress", "address", "spec"}
        same = changed.object == whole.object and not changed.problems
        assert not same or path[-1] in defaulted, path


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(derandomize=True, max_examples=600, deadline=None)
@given(body=st.sampled_from(ALL_BODIES), data=st.data())
def test_random_values_in_random_places(body: tuple[str, str, str], data: st.DataObject) -> None:
    """Up to three places at once, any JSON value."""
    value: Any = build(body)
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(sorted(places(value), key=str)))
        value = replaced(value, path, data.draw(json_values))
    sound(decode(Document(value)))


@settings(derandomize=True, max_examples=300, deadline=None)
@given(json_values)
def test_random_documents(value: Any) -> None:
    """Any JSON value as a document."""
    sound(decode(Document(value)))


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.sampled_from(ALL_BODIES))
def test_decoding_is_a_function_of_the_value(body: tuple[str, str, str]) -> None:
    """Key order and identity of the parsed value have no effect, and the input is left as it was."""
    value = build(body)
    before = json.dumps(value)
    backwards = json.loads(before, object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    assert decode(Document(value)) == decode(Document(backwards))
    assert json.dumps(value) == before


def test_value_that_contains_itself_is_read() -> None:
    """A YAML alias may close a circle; decoding follows no value further than its schema."""
    circle: dict[str, Any] = build(SMI_BODIES[0])
    circle["destination"]["namespace"] = circle
    circle["sources"].append(circle["sources"])
    sound(decode(Document(circle)))


def test_one_void_match_leaves_the_group() -> None:
    """The opposite of voiding: a broken pattern costs its own match alone."""
    value = build(SMI_BODIES[9])
    value["spec"]["matches"][0]["pathRegex"] = "("
    decoded = decode(Document(value))
    assert isinstance(decoded.object, HTTPRouteGroup)
    assert [named.match is None for named in decoded.object.matches] == [True, False]
