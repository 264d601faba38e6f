"""Every field of every version of TrafficSplit, valid and invalid."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest

from hub.smi import Decoded
from hub.smi.types import SplitBackend, TrafficSplit

Valid = Callable[[str], Any]
Invalid = Callable[[str], list[tuple[str, str]]]
Reading = Callable[[str], Decoded]
ALL = ("v1alpha1", "v1alpha2", "v1alpha3", "v1alpha4")
PLAIN, CONDITIONAL = ALL[:2], ALL[2:]


def split(version: str, spec: str, metadata: str = "") -> str:
    """A TrafficSplit of this version (flow YAML)."""
    head = f"apiVersion: split.smi-spec.io/{version}, kind: TrafficSplit, metadata: {{name: s, namespace: d{metadata}}}"
    return f"{{{head}, spec: {{{spec}}}}}"


def weighted(version: str, weight: str) -> str:
    """A split with one backend of this weight."""
    return split(version, f"service: web, backends: [{{service: v1, weight: {weight}}}]")


@pytest.mark.parametrize("version", ALL)
def test_split_reads_the_same_when_versions_differ(version: str, valid: Valid) -> None:
    """Root, backends and order are kept as written; duplicates and FQDNs are resolved later."""
    read = valid(
        split(
            version,
            "service: web.d.svc, backends: [{service: b, weight: 9}, {service: a, weight: 0}, {service: b, weight: 1}]",
        )
    )
    assert isinstance(read, TrafficSplit)
    assert read.service == "web.d.svc"
    assert read.backends == (
        SplitBackend("b", Fraction(9)),
        SplitBackend("a", Fraction(0)),
        SplitBackend("b", Fraction(1)),
    )
    assert (read.matches, read.created) == (None, 0.0)


@pytest.mark.parametrize(
    ("weight", "value"),
    [
        ("1", 1),
        ("'1'", 1),
        ("500m", Fraction(1, 2)),
        ("1e3", 1000),
        ("1k", 1000),
        ("0m", 0),
        ("'0'", 0),
        ("0.5", Fraction(1, 2)),
    ],
)
def test_quantity_is_exact_when_v1alpha1(weight: str, value: Fraction, valid: Valid) -> None:
    """v1alpha1 weights are quantities; suffixes scale, unlike in the reference converters."""
    assert valid(weighted("v1alpha1", weight)).backends[0].weight == value


@pytest.mark.parametrize("version", ALL[1:])
@pytest.mark.parametrize(
    ("weight", "value"), [("0", 0), ("50", 50), ("50.0", 50), (str(2**63 - 1), 2**63 - 1), ("-0.0", 0)]
)
def test_whole_weight_is_read_since_v1alpha2(version: str, weight: str, value: int, valid: Valid) -> None:
    """Integral JSON numbers below 2^63."""
    assert valid(weighted(version, weight)).backends[0].weight == value


@pytest.mark.parametrize("version", ALL[1:])
@pytest.mark.parametrize(
    "weight",
    ["0.5", "500m", "'50'", "-1", "-1.0", "true", "null", "[]", "{}", ".inf", ".nan", str(2**63), "1.0e+300", "''"],
)
def test_other_weight_voids_since_v1alpha2(version: str, weight: str, invalid: Invalid) -> None:
    """Weights must be whole numbers; the object is void as a whole."""
    assert invalid(weighted(version, weight)) == [("split.weight", "spec.backends[0].weight")]


@pytest.mark.parametrize(
    "weight",
    [
        "-1",
        "'-1'",
        "-1m",
        "true",
        "null",
        "[]",
        "{}",
        "''",
        "' 1'",
        "1 k",
        "1kk",
        "0x10",
        "1e",
        ".inf",
        ".nan",
        "Infinity",
        "1_000",
        "１",
        "1e999999999",
        "1e-999999999",
    ],
)
def test_no_quantity_voids_when_v1alpha1(weight: str, invalid: Invalid) -> None:
    """What is no quantity, or is negative, voids; YAML's own number forms are those of the loader."""
    if weight == "1_000":  # YAML 1.1 reads it as a number
        weight = "'1_000'"
    if weight == "0x10":
        weight = "'0x10'"
    assert invalid(weighted("v1alpha1", weight)) == [("split.weight", "spec.backends[0].weight")]


@pytest.mark.parametrize("version", ALL)
@pytest.mark.parametrize(
    ("spec", "code", "field"),
    [
        ("backends: [{service: a, weight: 1}]", "field.missing", "spec.service"),
        ("service: '', backends: [{service: a, weight: 1}]", "field.type", "spec.service"),
        ("service: 1, backends: [{service: a, weight: 1}]", "field.type", "spec.service"),
        ("service: [], backends: [{service: a, weight: 1}]", "field.type", "spec.service"),
        ("service: web", "split.no-backends", "spec.backends"),
        ("service: web, backends: []", "split.no-backends", "spec.backends"),
        ("service: web, backends: null", "field.type", "spec.backends"),
        ("service: web, backends: {a: 1}", "field.type", "spec.backends"),
        ("service: web, backends: [a]", "field.type", "spec.backends[0]"),
        ("service: web, backends: [{weight: 1}]", "field.missing", "spec.backends[0].service"),
        ("service: web, backends: [{service: '', weight: 1}]", "field.type", "spec.backends[0].service"),
        ("service: web, backends: [{service: a}]", "field.missing", "spec.backends[0].weight"),
        ("service: web, backends: [{service: a, weight: 1, port: 80}]", "field.unknown", "spec.backends[0].port"),
        (
            "service: web, backends: [{service: a, weight: 1, matches: []}]",
            "field.misplaced",
            "spec.backends[0].matches",
        ),
        ("service: web, backends: [{service: a, weight: 1}], port: 80", "field.unknown", "spec.port"),
    ],
)
def test_split_is_void(version: str, spec: str, code: str, field: str, invalid: Invalid) -> None:
    """One bad entry voids the whole split: there is no partial application."""
    assert invalid(split(version, spec)) == [(code, field)]


@pytest.mark.parametrize("version", ALL)
def test_unknown_top_level_field_voids(version: str, invalid: Invalid) -> None:
    """All versions keep their fields under `spec`."""
    text = weighted(version, "1")
    assert invalid(text[:-1] + ", backends: []}") == [("field.misplaced", "backends")]
    assert invalid(text[:-1] + ", zone: x}") == [("field.unknown", "zone")]
    assert invalid(text[: text.index(", spec")] + "}")[0] == ("field.missing", "spec")


BACKENDS = "service: web, backends: [{service: v1, weight: 1}]"


@pytest.mark.parametrize("version", PLAIN)
@pytest.mark.parametrize("matches", ["[{kind: HTTPRouteGroup, name: r}]", "[]", "null"])
def test_matches_void_when_the_version_lacks_them(version: str, matches: str, invalid: Invalid) -> None:
    """A condition that the version does not know is never read as none."""
    assert invalid(split(version, f"{BACKENDS}, matches: {matches}")) == [("field.misplaced", "spec.matches")]


@pytest.mark.parametrize("version", CONDITIONAL)
@pytest.mark.parametrize(
    ("matches", "value"),
    [
        ("[]", ()),
        ("[{kind: HTTPRouteGroup, name: r}]", (("HTTPRouteGroup", "r"),)),
        ("[{kind: HTTPRouteGroup, name: r, apiGroup: ''}]", (("HTTPRouteGroup", "r"),)),
        ("[{kind: HTTPRouteGroup, name: r, apiGroup: specs.smi-spec.io}]", (("HTTPRouteGroup", "r"),)),
        ("[{kind: TCPRoute, name: r}, {kind: HTTPRouteGroup, name: q}]", (("TCPRoute", "r"), ("HTTPRouteGroup", "q"))),
    ],
)
def test_matches_are_kept_as_written(version: str, matches: str, value: tuple[Any, ...], valid: Valid) -> None:
    """An empty condition stays a condition; what the entries mean is resolved later."""
    assert valid(split(version, f"{BACKENDS}, matches: {matches}")).matches == value


@pytest.mark.parametrize("group", ["core", "access.smi-spec.io", "gateway.networking.k8s.io"])
def test_match_of_another_group_never_holds(group: str, read: Reading) -> None:
    """It stays in the condition without a kind, so that the split does not become unconditional."""
    decoded = read(split("v1alpha4", f"{BACKENDS}, matches: [{{kind: HTTPRouteGroup, name: r, apiGroup: {group}}}]"))
    assert isinstance(decoded.object, TrafficSplit)
    assert decoded.object.matches == (("", "r"),)
    assert [(p.code, p.field) for p in decoded.problems] == [("split.match-group", "spec.matches[0].apiGroup")]


@pytest.mark.parametrize("version", CONDITIONAL)
@pytest.mark.parametrize(
    ("matches", "code", "field"),
    [
        ("null", "field.type", "spec.matches"),
        ("{kind: HTTPRouteGroup, name: r}", "field.type", "spec.matches"),
        ("[r]", "field.type", "spec.matches[0]"),
        ("[{name: r}]", "field.missing", "spec.matches[0].kind"),
        ("[{kind: HTTPRouteGroup}]", "field.missing", "spec.matches[0].name"),
        ("[{kind: HTTPRouteGroup, name: r, apiGroup: 1}]", "field.type", "spec.matches[0].apiGroup"),
        ("[{kind: HTTPRouteGroup, name: r, matches: [a]}]", "field.unknown", "spec.matches[0].matches"),
    ],
)
def test_bad_condition_voids(version: str, matches: str, code: str, field: str, invalid: Invalid) -> None:
    """A condition that cannot be read voids the split; it is never dropped."""
    assert (code, field) in invalid(split(version, f"{BACKENDS}, matches: {matches}"))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("'1970-01-01T00:00:01Z'", 1.0),
        ("'2024-01-31T12:00:00Z'", 1706702400.0),
        ("'2024-01-31T14:00:00+02:00'", 1706702400.0),
        ("'2024-01-31T12:00:00.25Z'", 1706702400.25),
        ("'0001-01-01T00:00:00Z'", 0.0),
        ("null", 0.0),
    ],
)
def test_creation_time_is_seconds(text: str, seconds: float, valid: Valid) -> None:
    """RFC 3339 with any offset; null and Kubernetes' zero time are the oldest."""
    assert valid(split("v1alpha4", BACKENDS, f", creationTimestamp: {text}")).created == seconds


@pytest.mark.parametrize(
    "text",
    [
        "yesterday",
        "''",
        "1706702400",
        "'2024-01-31'",
        "'2024-02-30T00:00:00Z'",
        "'2024-01-31T12:00:00'",
        "[]",
        "{}",
        "true",
        "'9999-99-99T99:99:99Z'",
        "'2024-01-31T12:00:00+99:99'",
    ],
)
def test_bad_creation_time_is_the_oldest(text: str, read: Reading) -> None:
    """It is only a tie-break, so a bad one is a warning."""
    decoded = read(split("v1alpha4", BACKENDS, f", creationTimestamp: {text}"))
    assert isinstance(decoded.object, TrafficSplit)
    assert decoded.object.created == 0.0
    assert [(p.code, p.severity.value) for p in decoded.problems] == [("split.created", "warning")]
