"""HTTPRouteGroups and port routes: which requests a match admits, and which objects are void."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hub.model import Reading, Request
from hub.semantics import Semantics

Read = Callable[..., Semantics]
RULE = "[{kind: HTTPRouteGroup, name: g}]"


@pytest.fixture
def admits(read: Read, target: Callable[..., str], request_to: Callable[..., Request]) -> Callable[..., bool]:
    """Return a function that tells whether a group with these matches admits a request."""

    def admits(matches: str, *, head: str = "", reading: Reading = Reading(), **request: Any) -> bool:
        head = head or "apiVersion: specs.smi-spec.io/v1alpha4\nspec:"
        text = f"kind: HTTPRouteGroup\nmetadata: {{name: g, namespace: d}}\n{head} {{matches: {matches}}}\n"
        if "spec:" not in head:
            text = f"kind: HTTPRouteGroup\nmetadata: {{name: g, namespace: d}}\n{head}\nmatches: {matches}\n"
        judge = read(text + target(RULE), reading=reading).judge
        return judge(request_to("d/web", "d/api", **request)).verdict == "allow"

    return admits


Admits = Callable[..., bool]


@pytest.mark.parametrize(
    ("pattern", "path", "admitted"),
    [
        ("/api", "/api", True),
        ("/api", "/x/api", False),
        ("/api", "/api/v1", False),
        ("/api/.*", "/api/v1", True),
        ("/api/.*", "/api", False),
        ("/api", "/api?x=1", True),
        ("/api", "/api#x", True),
        ("/api\\\\?x", "/api?x", False),
        ("^/api$", "/api", True),
        ("", "", False),
        ("/(?=a)", "/a", False),
        ("(a", "(a", False),
        ("(a)\\\\1", "aa", False),
        ("\\\\Q/a.b\\\\E", "/a.b", True),
        ("/é", "/é", True),
        (".*", "/\ud800", False),
    ],
)
def test_path_regex(admits: Admits, *, pattern: str, path: str, admitted: bool) -> None:
    """A pathRegex matches the whole path without query and fragment, with RE2's meaning."""
    assert admits(f'[{{name: x, pathRegex: "{pattern}"}}]', path=path) == admitted


@pytest.mark.parametrize(
    ("pattern", "path", "admitted"),
    [
        ("/api", "/api/v1", True),
        ("/api", "/x/api", False),
        ("/api$", "/api/v1", False),
        ("/a|/b", "/a/v1", True),
        ("/api\\\\$", "/api$/v1", True),
        ("/api\\\\z", "/api/v1", False),
        ("", "/api", False),
    ],
)
def test_path_regex_in_prefix_reading(admits: Admits, *, pattern: str, path: str, admitted: bool) -> None:
    """The prefix reading lets anything follow, unless the pattern ends in an end anchor."""
    reading = Reading(path_regex="prefix")
    assert admits(f'[{{name: x, pathRegex: "{pattern}"}}]', path=path, reading=reading) == admitted


@pytest.mark.parametrize(
    ("match", "method", "admitted"),
    [
        ("{name: x, methods: [GET]}", "GET", True),
        ("{name: x, methods: [GET]}", "HEAD", False),
        ("{name: x, methods: [GET]}", "get", False),
        ("{name: x, methods: ['*']}", "BREW", True),
        ("{name: x, methods: [GET, '*']}", "PUT", True),
        ("{name: x, methods: [], pathRegex: /}", "PUT", True),
        ("{name: x, pathRegex: /}", "PUT", True),
        ("{name: x, methods: []}", "GET", False),
        ("{name: x}", "GET", False),
        ("{name: x, headers: {}}", "GET", False),
        ("{name: x, headers: []}", "GET", False),
        ("{name: x, methods: [get]}", "get", False),
        ("{name: x, methods: [BREW]}", "BREW", False),
        ("{name: x, methods: null, pathRegex: /}", "GET", False),
        ("{name: x, pathRegex: null, methods: [GET]}", "GET", False),
        ("{name: x, methods: GET}", "GET", False),
        ("{name: '', methods: [GET]}", "GET", False),
        ("{methods: [GET]}", "GET", False),
        ("{name: x, method: [GET], pathRegex: /}", "GET", False),
    ],
)
def test_methods_and_conditions(admits: Admits, *, match: str, method: str, admitted: bool) -> None:
    """Methods are exact words, absent or empty means any, and a match needs a condition."""
    assert admits(f"[{match}]", method=method) == admitted


def test_bad_method_voids_the_whole_group(admits: Admits) -> None:
    """A schema error in one match takes the others of the group, a bad regex does not."""
    good = "{name: y, methods: [GET]}"
    assert not admits(f"[{good}, {{name: x, methods: [BREW]}}]")
    assert admits(f"[{good}, {{name: x, pathRegex: '('}}]")


@pytest.mark.parametrize(
    ("headers", "sent", "admitted"),
    [
        ("{X-A: one}", [("x-a", "one")], True),
        ("{X-A: one}", [("x-a", "one more")], False),
        ("{X-A: one}", [], False),
        ("{X-A: '.*'}", [], False),
        ("{X-A: ''}", [("x-a", "")], True),
        ("{X-A: ''}", [("x-a", "v")], False),
        ("{X-A: one, X-B: two}", [("x-a", "one"), ("X-b", "two")], True),
        ("{X-A: one, X-B: two}", [("x-a", "one")], False),
        ("[{X-A: one}, {X-B: two}]", [("x-a", "one"), ("x-b", "two")], True),
        ("[{X-A: one}, {x-a: two}]", [("x-a", "one")], False),
        ("[{X-A: one}, {x-a: two}]", [("x-a", "one"), ("x-a", "two")], True),
        ("{X-A: one}", [("x-a", "zero"), ("x-a", "one")], True),
        ("{X-A: 'zero, ?one'}", [("x-a", "zero"), ("x-a", "one")], False),
        ("[{X-A: one, X-B: two}]", [("x-a", "one"), ("x-b", "two")], False),
        ("[{}]", [("x-a", "one")], False),
        ("{':path': /}", [(":path", "/")], False),
        ("{'a b': c}", [("a b", "c")], False),
        ("{X-A: 1}", [("x-a", "1")], False),
        ("{1: a}", [("1", "a")], False),
        ("{X-A: '('}", [("x-a", "(")], False),
        ("{k: v}", [("\u212a", "v")], False),
        ("{X-A: '.*'}", [("x-a", "\ud800")], False),
    ],
)
def test_headers(admits: Admits, *, headers: str, sent: list[tuple[str, str]], admitted: bool) -> None:
    """All headers must hold, one line of a name is enough, and map and list form mean the same."""
    assert admits(f"[{{name: x, headers: {headers}}}]", headers=tuple(sent)) == admitted


@pytest.mark.parametrize("version", ["v1alpha1", "v1alpha2"])
def test_matches_of_flat_versions(admits: Admits, version: str) -> None:
    """v1alpha1 and v1alpha2 keep matches at the top level and honour headers and single conditions."""
    head = f"apiVersion: specs.smi-spec.io/{version}"
    assert admits("[{name: x, headers: [{x-a: b}]}]", head=head, headers=(("x-a", "b"),))
    assert not admits("[{name: x, headers: [{x-a: b}]}]", head=head)
    assert not admits("[{name: x, methods: [GET]}]", head=f"{head}\nspec:")


@pytest.mark.parametrize("version", ["v1alpha3", "v1alpha4"])
def test_matches_of_nested_versions(admits: Admits, version: str) -> None:
    """v1alpha3 and v1alpha4 keep matches under spec; at the top level they void the object."""
    assert admits("[{name: x, methods: [GET]}]", head=f"apiVersion: specs.smi-spec.io/{version}\nspec:")
    assert not admits("[{name: x, methods: [GET]}]", head=f"apiVersion: specs.smi-spec.io/{version}")


def test_duplicate_match_names(admits: Admits) -> None:
    """Matches that share a name match nothing, the others do."""
    twice = "{name: x, methods: [GET]}, {name: x, pathRegex: /}"
    assert not admits(f"[{twice}]")
    assert admits(f"[{twice}, {{name: y, methods: [GET]}}]")


def test_pattern_length(admits: Admits) -> None:
    """A pattern of 4096 characters is compiled, a longer one never matches."""
    long = "/" + "a" * 4095
    assert admits(f"[{{name: x, pathRegex: {long}}}]", path=long)
    assert not admits(f"[{{name: x, pathRegex: {long}a}}]", path=f"{long}a")


@pytest.mark.parametrize(
    ("route", "allowed"),
    [
        ("apiVersion: specs.smi-spec.io/v1alpha1", [7000, 5432]),
        ("apiVersion: specs.smi-spec.io/v1alpha3\nspec: {}", [7000, 5432]),
        ("apiVersion: specs.smi-spec.io/v1alpha3", [7000, 5432]),
        ("apiVersion: specs.smi-spec.io/v1alpha4", [7000, 5432]),
        ("apiVersion: specs.smi-spec.io/v1alpha4\nspec: {}", [7000, 5432]),
        ("apiVersion: specs.smi-spec.io/v1alpha4\nspec: {matches: {}}", [7000, 5432]),
        ("apiVersion: specs.smi-spec.io/v1alpha4\nspec: {matches: {ports: [5432, 5432]}}", [5432]),
        ("apiVersion: specs.smi-spec.io/v1alpha3\nspec: {matches: {ports: [5432]}}", []),
        ("apiVersion: specs.smi-spec.io/v1alpha1\nspec: {}", []),
        ("apiVersion: specs.smi-spec.io/v1alpha4\nspec: {matches: {ports: null}}", []),
        ("apiVersion: specs.smi-spec.io/v1alpha4\nspec: {matches: null}", []),
        ("apiVersion: specs.smi-spec.io/v1alpha4\nspec: null", []),
        ("apiVersion: specs.smi-spec.io/v1alpha4\nspec: {matches: {name: x}}", []),
        ("apiVersion: specs.smi-spec.io/v1alpha4\nspec: {matches: {ports: ['5432']}}", []),
        ("apiVersion: specs.smi-spec.io/v1alpha4\nspec: {ports: [5432]}", []),
        ("apiVersion: specs.smi-spec.io/v1alpha4\nmatches: {ports: [5432]}", []),
        ("apiVersion: specs.smi-spec.io/v1alpha5\nspec: {}", []),
    ],
)
def test_tcp_route_versions(
    read: Read, target: Callable[..., str], request_to: Callable[..., Request], route: str, allowed: list[int]
) -> None:
    """Only v1alpha4 has ports; none, empty or absent means every port; whatever else is written voids the route."""
    text = f"kind: TCPRoute\nmetadata: {{name: g, namespace: d}}\n{route}\n" + target("[{kind: TCPRoute, name: g}]")
    judge = read(text).judge
    asked = {port: judge(request_to("d/web", "d/api", port, protocol="tcp")) for port in (7000, 5432)}
    assert [port for port, answer in asked.items() if answer.verdict == "allow"] == allowed


def test_udp_route_before_v1alpha4(read: Read, target: Callable[..., str], request_to: Callable[..., Request]) -> None:
    """UDPRoute exists in v1alpha4 only."""
    text = "apiVersion: specs.smi-spec.io/v1alpha3\nkind: UDPRoute\nmetadata: {name: g, namespace: d}\nspec: {}\n"
    rule = target("[{kind: UDPRoute, name: g}]")
    asked = request_to("d/web", "d/api", 53, protocol="udp")
    assert read(text + rule).judge(asked).verdict == "deny"
    assert read(text.replace("v1alpha3", "v1alpha4") + rule).judge(asked).verdict == "allow"
