"""What `check` warns of: valid, and probably a mistake. Nothing here is an error, and `plan` says nothing of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.servers.folder import Folder, target

pytestmark = pytest.mark.thorough


def told(folder: Folder) -> list[dict[str, Any]]:
    """What is wrong, or doubtful, by `check`."""
    found: list[dict[str, Any]] = json.loads(folder.run("check", "-o", "json").stdout)["problems"]
    return found


def routes(match: str) -> str:
    """An HTTPRouteGroup with one match."""
    return (
        "apiVersion: specs.smi-spec.io/v1alpha4\nkind: HTTPRouteGroup\nmetadata: {name: more, namespace: shop}\n"
        f"spec: {{matches: [{{name: one, {match}}}]}}\n"
    )


def test_a_folder_in_which_all_is_well_has_no_warning(folder: Folder) -> None:
    """Accounts, ports and patterns as they should be."""
    assert told(folder) == []


@pytest.mark.parametrize(
    ("text", "field", "meant"),
    [
        (target("typo", account="apii"), "spec.destination.name", 'did you mean "api"?'),
        (target("typo", source="wbe"), "spec.sources[0].name", 'did you mean "web"?'),
        (target("typo", source="stranger"), "spec.sources[0].name", "correct the name"),
        (
            target("typo").replace("name: web, namespace: shop", "name: web, namespace: other"),
            "spec.sources[0].name",
            'did you mean the account in namespace "shop"?',
        ),
    ],
)
def test_an_account_that_nobody_has_is_told_with_the_nearest(folder: Folder, text: str, field: str, meant: str) -> None:
    """A warning only: its workload may run where the sources do not look."""
    folder.write("more.yaml", text)
    [problem] = told(folder)
    assert (problem["code"], problem["severity"], problem["field"]) == ("target.unknown-account", "warning", field)
    assert meant in problem["remedy"]
    assert folder.run("check").exit_code == 0
    assert folder.plan()["problems"] == []


def test_a_destination_without_a_namespace_is_of_the_targets_own(folder: Folder) -> None:
    """And a source without one is nobody, which is told as what it is."""
    folder.write("more.yaml", target("more").replace("name: api, namespace: shop", "name: api"))
    assert told(folder) == []
    folder.write("more.yaml", target("more").replace("name: web, namespace: shop", "name: web"))
    assert "target.unknown-account" not in [each["code"] for each in told(folder)]


def test_accounts_are_not_told_where_the_sources_show_no_workload(folder: Folder) -> None:
    """A repository of SMI objects alone says nothing of who runs; an account of its own is known."""
    account = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: later, namespace: shop}\n"
    folder.write("more.yaml", target("more", source="later"), account)
    assert told(folder) == []
    folder.remove("workloads.yaml")
    folder.write("other.yaml", target("other", source="stranger"))
    assert [each["code"] for each in told(folder)] == []


TCP = "---\napiVersion: specs.smi-spec.io/v1alpha4\nkind: TCPRoute\nmetadata: {name: raw, namespace: shop}\nspec: {matches: {ports: [%s]}}\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (target("old").replace("v1alpha3", "v1alpha2").replace("api, namespace: shop}", "api, namespace: shop, port: 80}"), 80),
        (target("old").replace("v1alpha3", "v1alpha2").replace("api, namespace: shop}", "api, namespace: shop, port: 8080}"), 0),
        (target("tcp").replace("kind: HTTPRouteGroup, name: routes, matches: [books]", "kind: TCPRoute, name: raw") + TCP % 80, 80),
        (target("tcp").replace("kind: HTTPRouteGroup, name: routes, matches: [books]", "kind: TCPRoute, name: raw") + TCP % 8080, 0),
        (target("tcp").replace("kind: HTTPRouteGroup, name: routes, matches: [books]", "kind: TCPRoute, name: raw") + TCP % 9, 9),
    ],
)  # fmt: skip
def test_the_port_of_the_service_where_the_workloads_is_meant_is_told(folder: Folder, text: str, said: int) -> None:
    """Both ports are named, and where the Service's leads."""
    folder.write("more.yaml", text)
    found = [each for each in told(folder) if each["code"] == "target.no-such-port"]
    assert len(found) == (1 if said else 0)
    if said:
        assert f"port {said} of" in found[0]["message"]
        assert "they have 8080" in found[0]["message"]
    if said == 80:
        assert "port 80 of Service api maps to 8080" in found[0]["message"]


@pytest.mark.parametrize(
    ("match", "code", "remedy"),
    [
        ("pathRegex: /api/*", "match.glob", '"/api/.*"'),
        ('pathRegex: "/*"', "match.glob", '"/.*"'),
        ('pathRegex: "/*/books"', "match.glob", '"/.*/books"'),
        ("pathRegex: books", "match.no-path", '"/books"'),
        ("pathRegex: ^books$", "match.no-path", '"/books$"'),
        ('pathRegex: "/a?b=.*"', "", ""),
        ('pathRegex: "/books[?]page=.*"', "match.no-path", 'remove spaces, "?"'),
        ('pathRegex: "/a b"', "match.no-path", 'remove spaces, "?"'),
        ("pathRegex: http://shop/books", "match.no-path", 'use "/books"'),
        ("pathRegex: https://shop", "match.no-path", 'use "/"'),
        ("pathRegex: /api*", "match.glob", '"/api.*"'),
        ("pathRegex: /v1/books*/x", "match.glob", '"/v1/books.*/x"'),
        ('pathRegex: "/[a-z]*/books"', "", ""),
        ('pathRegex: "/(a|b)*"', "", ""),
        ('pathRegex: "/a*|/b"', "", ""),
        ("headers: {x-a: gold*}", "match.glob", '"gold.*"'),
        ("headers: {accept: text/*}", "match.glob", '"text/.*"'),
        ('pathRegex: ".*/books"', "", ""),
        ('pathRegex: "[^/]*/books"', "", ""),
        ('headers: {host: ".*"}', "match.refused-header", "a different header"),
        ('headers: {x_a: ".*"}', "match.refused-header", "a different header"),
        ('headers: {x-a: ".*"}', "", ""),
    ],
)
def test_a_match_that_is_probably_a_mistake_is_named(folder: Folder, match: str, code: str, remedy: str) -> None:
    """A glob, a path that never comes, a header that meshes refuse."""
    folder.write("more.yaml", routes(match))
    found = told(folder)
    assert [each["code"] for each in found] == ([code] if code else [])
    assert all(each["severity"] == "warning" and remedy in each["remedy"] for each in found)


@pytest.mark.parametrize(
    ("pattern", "remedy"),
    [("*", 'use ".*" for every path'), ("**", 'use ".*"'), ("/api/**", '"/api/.*"'), ("*.html", '".*.html"')],
)
def test_a_star_as_a_pattern_is_answered_with_the_pattern_that_is_meant(
    folder: Folder, pattern: str, remedy: str
) -> None:
    """RE2 takes none of these."""
    folder.write("more.yaml", routes(f'pathRegex: "{pattern}"'))
    [problem] = told(folder)
    assert (problem["code"], remedy in problem["remedy"]) == ("regex.invalid", True)


def test_a_star_as_the_value_of_a_header_is_not_told_of_paths(folder: Folder) -> None:
    """The remedy is in the words of the field."""
    folder.write("more.yaml", routes('headers: {x-a: "*"}'))
    [problem] = told(folder)
    assert problem["remedy"] == 'use ".*" for every value'


METRICS = "apiVersion: metrics.smi-spec.io/v1alpha1\nkind: TrafficMetrics\nresource: {name: books, namespace: shop, kind: Pod}\n"
GATEWAY = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: x}\n"
OSM = "apiVersion: policy.openservicemesh.io/v1alpha1\nkind: Egress\nmetadata: {name: x}\n"


CLONES = "apiVersion: apps.kruise.io/v1alpha1\nkind: CloneSet\nmetadata: {name: x}\nspec: {%s}\n"
TEMPLATE = "template: {metadata: {labels: {app: x}}, spec: {containers: [{name: c, image: x}]}}"


@pytest.mark.parametrize(
    ("text", "code", "severity"),
    [
        (CLONES % TEMPLATE, "object.unread-template", "warning"),
        (CLONES % f"jobTargetRef: {{{TEMPLATE}}}", "object.unread-template", "warning"),
        (CLONES % "template: {spec: {image: x}}", "", ""),
        (METRICS, "object.unsupported", "warning"),
        ("---\n".join([GATEWAY, OSM.replace("Egress", "Retry")]), "object.other-api", "warning"),
        (target("x").replace("access.smi-spec.io", "access.smi.spec.io"), "object.group", "error"),
        (target("x").replace("access.smi-spec.io", "acces.smi-spec.com"), "object.group", "error"),
        (GATEWAY.replace("gateway.networking.k8s.io", "spec.smi-specs.io").replace("HTTPRoute", "TCPRoute"), "object.group", "warning"),
        (target("x").replace("access.smi-spec.io", "example.org"), "", ""),
    ],
)  # fmt: skip
def test_objects_that_are_not_read_are_told_as_what_they_are(
    folder: Folder, text: str, code: str, severity: str
) -> None:
    """Other APIs are counted; a kind that only SMI has under a misspelt group grants nothing, so it is an error."""
    folder.write("more.yaml", text)
    found = told(folder)
    assert {(each["code"], each["severity"]) for each in found} == ({(code, severity)} if code else set())


def test_objects_of_other_apis_are_counted_by_kind(folder: Folder) -> None:
    """One warning for each API, over all files; a file that goes is counted no longer."""
    folder.write("one.yaml", GATEWAY, OSM)
    folder.write("two.yaml", GATEWAY)
    messages = sorted(each["message"] for each in told(folder))
    assert messages == [
        "objects of Gateway API are not read: 2 HTTPRoute",
        "objects of Open Service Mesh are not read: 1 Egress",
    ]
