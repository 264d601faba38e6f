"""Every field of every version of HTTPRouteGroup, TCPRoute and UDPRoute, valid and invalid."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hub.model import HttpMatch
from hub.regex import MAX_PATTERN
from hub.smi import Decoded
from hub.smi.types import HTTPRouteGroup, NamedMatch, PortRoute

Valid = Callable[[str], Any]
Invalid = Callable[[str], list[tuple[str, str]]]
Reading = Callable[[str], Decoded]
ALL = ("v1alpha1", "v1alpha2", "v1alpha3", "v1alpha4")
FLAT = ALL[:2]


def group(version: str, matches: str) -> str:
    """An HTTPRouteGroup of this version with these matches (flow YAML)."""
    inside = f"matches: {matches}"
    body = inside if version in FLAT else f"spec: {{{inside}}}"
    return f"{{apiVersion: specs.smi-spec.io/{version}, kind: HTTPRouteGroup, metadata: {{name: r, namespace: d}}, {body}}}"


def path(version: str, field: str = "") -> str:
    """The path of a field of the first match in this version."""
    start = "matches[0]" if version in FLAT else "spec.matches[0]"
    return f"{start}{field}"


def only(decoded: Decoded) -> HttpMatch | None:
    """The group's only match."""
    assert isinstance(decoded.object, HTTPRouteGroup)
    (named,) = decoded.object.matches
    return named.match


@pytest.mark.parametrize("version", ALL)
def test_group_reads_the_same_when_versions_differ(version: str, valid: Valid) -> None:
    """Path, methods and headers mean the same in every version, v1alpha1's headers included."""
    text = "[{name: a, pathRegex: /api, methods: [PUT, GET, GET]}, {name: b, headers: {X-B: '2', x-a: '1'}}]"
    read = valid(group(version, text))
    assert read.matches == (
        NamedMatch("a", HttpMatch("/api", ("GET", "PUT"))),
        NamedMatch("b", HttpMatch(headers=(("x-a", "1"), ("x-b", "2")))),
    )


@pytest.mark.parametrize("version", ALL)
@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ("pathRegex: .*", HttpMatch(".*")),
        ("methods: [GET]", HttpMatch(None, ("GET",))),
        ("methods: ['*']", HttpMatch()),
        ("methods: [GET, '*']", HttpMatch()),
        ("pathRegex: .*, methods: ['*']", HttpMatch(".*")),
        ("pathRegex: /a, methods: []", HttpMatch("/a")),
        ("pathRegex: /a, headers: {}", HttpMatch("/a")),
        ("pathRegex: /a, headers: []", HttpMatch("/a")),
        ("headers: {x: ''}", HttpMatch(headers=(("x", ""),))),
        ("headers: [{x: a}, {X: b}, {y: c}]", HttpMatch(headers=(("x", "a"), ("x", "b"), ("y", "c")))),
        ("headers: {x: a, X: b}", HttpMatch(headers=(("x", "a"), ("x", "b")))),
        ('headers: {"!#$%&\'*+-.^_`|~9Az": a}', HttpMatch(headers=(("!#$%&'*+-.^_`|~9az", "a"),))),
        (r"pathRegex: '\b(^/a$)|b'", HttpMatch(r"\b(^/a$)|b")),
    ],
)
def test_conditions_are_kept_as_written(version: str, fields: str, match: HttpMatch, valid: Valid) -> None:
    """A present condition is kept unchanged, an absent or empty one is none; both header forms are read."""
    assert valid(group(version, f"[{{name: m, {fields}}}]")).matches == (NamedMatch("m", match),)


@pytest.mark.parametrize("version", ALL)
@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ("methods: []", "match.no-condition", ""),
        ("headers: {}", "match.no-condition", ""),
        ("headers: [], methods: []", "match.no-condition", ""),
        ("pathRegex: ''", "regex.empty", ".pathRegex"),
        ("pathRegex: '', methods: [GET]", "regex.empty", ".pathRegex"),
        ("pathRegex: '('", "regex.invalid", ".pathRegex"),
        (r"pathRegex: '(a)\1'", "regex.invalid", ".pathRegex"),
        ("pathRegex: '(?=a)'", "regex.invalid", ".pathRegex"),
        ("pathRegex: '(?!a).*'", "regex.invalid", ".pathRegex"),
        ("pathRegex: /a, headers: {x: '['}", "regex.invalid", ".headers.x"),
        ("headers: [{x: '['}]", "regex.invalid", ".headers[0].x"),
        ("pathRegex: " + "a" * (MAX_PATTERN + 1), "regex.too-large", ".pathRegex"),
    ],
)
def test_match_is_void_but_stays(version: str, fields: str, code: str, field: str, read: Reading) -> None:
    """A match that can never match voids itself alone and is reported."""
    decoded = read(group(version, f"[{{name: m, {fields}}}]"))
    assert only(decoded) is None
    assert [(p.code, p.field) for p in decoded.problems] == [(code, path(version, field))]


def test_match_with_only_a_name_is_void(read: Reading) -> None:
    """It says nothing, and nothing is not everything."""
    assert only(read(group("v1alpha4", "[{name: m}]"))) is None


def test_every_bad_pattern_of_a_match_is_reported(read: Reading) -> None:
    """One pass tells all."""
    found = read(group("v1alpha4", "[{name: m, pathRegex: '(', headers: {a: '[', b: ')'}}]")).problems
    assert [problem.field for problem in found] == [
        path("v1alpha4", f) for f in (".pathRegex", ".headers.a", ".headers.b")
    ]


def test_reason_is_that_of_re2(read: Reading) -> None:
    """The message carries RE2's own words."""
    (problem,) = read(group("v1alpha4", "[{name: m, pathRegex: '(?=a)'}]")).problems
    assert "invalid perl operator: (?=" in problem.message


@pytest.mark.parametrize("version", ALL)
def test_duplicate_names_are_void(version: str, read: Reading) -> None:
    """A name used twice is void wherever it stands; the others count."""
    decoded = read(group(version, "[{name: a, pathRegex: /1}, {name: b, pathRegex: /2}, {name: a, pathRegex: /1}]"))
    assert isinstance(decoded.object, HTTPRouteGroup)
    assert decoded.object.matches == (NamedMatch("a", None), NamedMatch("b", HttpMatch("/2")))
    assert [problem.code for problem in decoded.problems] == ["match.duplicate", "match.duplicate"]


@pytest.mark.thorough
@pytest.mark.parametrize("version", ALL)
@pytest.mark.parametrize(
    ("entry", "code", "field"),
    [
        ("{pathRegex: /a}", "field.missing", ".name"),
        ("{name: '', pathRegex: /a}", "field.type", ".name"),
        ("{name: 1, pathRegex: /a}", "field.type", ".name"),
        ("{name: null, pathRegex: /a}", "field.type", ".name"),
        ("{name: m, pathRegex: 1}", "field.type", ".pathRegex"),
        ("{name: m, pathRegex: null}", "field.type", ".pathRegex"),
        ("{name: m, pathRegex: [/a]}", "field.type", ".pathRegex"),
        ("{name: m, methods: GET}", "field.type", ".methods"),
        ("{name: m, methods: null, pathRegex: /a}", "field.type", ".methods"),
        ("{name: m, methods: [1]}", "field.type", ".methods[0]"),
        ("{name: m, methods: [GET, get]}", "field.value", ".methods[1]"),
        ("{name: m, methods: ['']}", "field.value", ".methods[0]"),
        ("{name: m, methods: [LINK]}", "field.value", ".methods[0]"),
        ("{name: m, methods: ['GET ']}", "field.value", ".methods[0]"),
        ("{name: m, headers: x}", "field.type", ".headers"),
        ("{name: m, headers: null, pathRegex: /a}", "field.type", ".headers"),
        ("{name: m, headers: {x: 1}}", "field.type", ".headers.x"),
        ("{name: m, headers: {x: null}}", "field.type", ".headers.x"),
        ("{name: m, headers: {1: a}}", "field.type", ".headers.1"),
        ("{name: m, headers: [x]}", "field.type", ".headers[0]"),
        ("{name: m, headers: [{}]}", "field.value", ".headers[0]"),
        ("{name: m, headers: [{a: b, c: d}]}", "field.value", ".headers[0]"),
        ("{name: m, headers: {':path': /a}}", "field.value", '.headers.":path"'),
        ("{name: m, headers: {'a b': x}}", "field.value", '.headers."a b"'),
        ("{name: m, headers: {'': x}}", "field.value", '.headers.""'),
        ('{name: m, headers: {"a\\n": x}}', "field.value", '.headers."a\\n"'),
        ("{name: m, pathRegex: /a, path: /b}", "field.unknown", ".path"),
        ("{name: m, pathRegex: /a, queryParams: {}}", "field.unknown", ".queryParams"),
        ("text", "field.type", ""),
        ("null", "field.type", ""),
    ],
)
def test_schema_error_voids_the_group(version: str, entry: str, code: str, field: str, invalid: Invalid) -> None:
    """Names, methods, header names, types and unknown fields concern the whole group."""
    assert (code, path(version, field)) in invalid(group(version, f"[{entry}, {{name: good, pathRegex: /}}]"))


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"])
def test_each_method_is_known(method: str, valid: Valid) -> None:
    """The nine methods of the published schema."""
    assert valid(group("v1alpha4", f"[{{name: m, methods: [{method}]}}]")).matches[0].match.methods == (method,)


@pytest.mark.parametrize("version", ALL)
def test_misplaced_matches_void(version: str, invalid: Invalid) -> None:
    """`matches` moved under `spec` with v1alpha3; neither place is read by the other's versions."""
    other = "v1alpha3" if version in FLAT else "v1alpha1"
    wrong = group(other, "[{name: m, pathRegex: /}]").replace(other, version)
    assert ("field.misplaced", "spec" if version in FLAT else "matches") in invalid(wrong)


@pytest.mark.parametrize("version", ALL)
def test_group_needs_matches(version: str, invalid: Invalid, read: Reading) -> None:
    """An absent list is an error, an empty one matches nothing and is told."""
    start = "matches" if version in FLAT else "spec.matches"
    assert invalid(group(version, "null"))[0] == ("field.type", start)
    assert invalid(group(version, "{}")) == [("field.type", start)]
    absent = group(version, "[]").replace("matches: []", "status: {}" if version in FLAT else "")
    assert invalid(absent) == [("field.missing", start)]
    empty = read(group(version, "[]"))
    assert isinstance(empty.object, HTTPRouteGroup)
    assert [problem.code for problem in empty.problems] == ["group.empty"]


# --------------------------------------------------------------------------- TCPRoute, UDPRoute


def route(kind: str, version: str, rest: str = "") -> str:
    """A TCPRoute or UDPRoute with these further fields (flow YAML)."""
    head = f"apiVersion: specs.smi-spec.io/{version}, kind: {kind}, metadata: {{name: p, namespace: d}}"
    return f"{{{head}{', ' if rest else ''}{rest}}}"


@pytest.mark.parametrize(
    ("version", "rest"),
    [
        ("v1alpha1", ""),
        ("v1alpha2", ""),
        ("v1alpha3", ""),
        ("v1alpha3", "spec: {}"),
        ("v1alpha4", ""),
        ("v1alpha4", "spec: {}"),
        ("v1alpha4", "spec: {matches: {}}"),
        ("v1alpha4", "spec: {matches: {ports: []}}"),
    ],
)
def test_portless_route_means_every_port(version: str, rest: str, valid: Valid) -> None:
    """Before v1alpha4 there are no ports; in it an absent or empty list means all of them."""
    assert valid(route("TCPRoute", version, rest)).ports is None


@pytest.mark.parametrize("kind", ["TCPRoute", "UDPRoute"])
def test_ports_are_sorted_and_once(kind: str, valid: Valid) -> None:
    """Order and repetition have no meaning."""
    read = valid(route(kind, "v1alpha4", "spec: {matches: {ports: [9090, 1, 65535, 9090]}}"))
    assert isinstance(read, PortRoute)
    assert (read.ref.kind, read.ports) == (kind, (1, 9090, 65535))


@pytest.mark.parametrize("kind", ["TCPRoute", "UDPRoute"])
@pytest.mark.parametrize(
    ("rest", "code", "field"),
    [
        ("spec: null", "field.type", "spec"),
        ("spec: []", "field.type", "spec"),
        ("spec: {matches: null}", "field.type", "spec.matches"),
        ("spec: {matches: []}", "field.type", "spec.matches"),
        ("spec: {matches: {ports: null}}", "field.type", "spec.matches.ports"),
        ("spec: {matches: {ports: 80}}", "field.type", "spec.matches.ports"),
        ("spec: {matches: {ports: [0]}}", "field.value", "spec.matches.ports[0]"),
        ("spec: {matches: {ports: [80, 65536]}}", "field.value", "spec.matches.ports[1]"),
        ("spec: {matches: {ports: [80.0]}}", "field.value", "spec.matches.ports[0]"),
        ("spec: {matches: {ports: [true]}}", "field.value", "spec.matches.ports[0]"),
        ("spec: {matches: {ports: ['80']}}", "field.value", "spec.matches.ports[0]"),
        ("spec: {matches: {ports: [80], name: x}}", "field.unknown", "spec.matches.name"),
        ("spec: {ports: [80]}", "field.misplaced", "spec.ports"),
        ("spec: {port: 80}", "field.unknown", "spec.port"),
        ("matches: {ports: [80]}", "field.misplaced", "matches"),
        ("ports: [80]", "field.misplaced", "ports"),
    ],
)
def test_port_route_is_void(kind: str, rest: str, code: str, field: str, invalid: Invalid) -> None:
    """Whatever might have been a limit is never read as no limit."""
    assert (code, field) in invalid(route(kind, "v1alpha4", rest))


@pytest.mark.parametrize("version", ["v1alpha1", "v1alpha2", "v1alpha3"])
@pytest.mark.parametrize(
    "rest", ["spec: {matches: {ports: [80]}}", "spec: {ports: [80]}", "ports: [80]", "matches: {}"]
)
def test_ports_void_when_the_version_lacks_them(version: str, rest: str, invalid: Invalid) -> None:
    """Ports under an older version would be dropped by others: all ports would be open."""
    assert {code for code, _ in invalid(route("TCPRoute", version, rest))} == {"field.misplaced"}


@pytest.mark.parametrize("version", ["v1alpha1", "v1alpha2"])
def test_spec_voids_before_v1alpha3(version: str, invalid: Invalid) -> None:
    """v1alpha1 and v1alpha2 have no `spec`."""
    assert invalid(route("TCPRoute", version, "spec: {}")) == [("field.misplaced", "spec")]


@pytest.mark.parametrize("version", ["v1alpha1", "v1alpha2", "v1alpha3"])
def test_udp_route_needs_v1alpha4(version: str, invalid: Invalid) -> None:
    """There is no earlier UDPRoute."""
    assert invalid(route("UDPRoute", version)) == [("version.unknown", "apiVersion")]


def test_ports_label_is_not_read(valid: Valid) -> None:
    """Open Service Mesh once read TCP ports from a label; that is not SMI."""
    text = route("TCPRoute", "v1alpha4").replace("name: p,", "name: p, labels: {ports: '80'},")
    assert valid(text).ports is None
