"""Which documents are objects, in which version, and which copy of an object counts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hub.model import Destination, Document, Origin, Request, Source
from hub.semantics import Semantics
from hub.semantics.envelope import read_objects

Documents = Callable[..., list[Document]]

ROUTE = "apiVersion: specs.smi-spec.io/v1alpha4\nkind: TCPRoute\nmetadata: {name: t}\nspec: {}\n"


def found(documents: list[Document]) -> list[str]:
    """Return what is read, as `version kind namespace/name`."""
    return [f"{one.version} {one.kind} {one.namespace}/{one.name}" for one in read_objects(documents)[0]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ROUTE, "v1alpha4 TCPRoute default/t"),
        ("kind: TCPRoute\nmetadata: {name: t}", "v1alpha3 TCPRoute default/t"),
        ("kind: TCPRoute\nmetadata: {name: t}\nspec: {matches: {}}", "v1alpha4 TCPRoute default/t"),
        ("kind: UDPRoute\nmetadata: {name: t}", "v1alpha4 UDPRoute default/t"),
        ("kind: HTTPRouteGroup\nmetadata: {name: t}\nmatches: []", "v1alpha2 HTTPRouteGroup default/t"),
        ("kind: HTTPRouteGroup\nmetadata: {name: t}\nspec: {}", "v1alpha4 HTTPRouteGroup default/t"),
        ("kind: TrafficTarget\nmetadata: {name: t}\nspecs: []", "v1alpha1 TrafficTarget default/t"),
        ("kind: TrafficTarget\nmetadata: {name: t}\ndestination: {}", "v1alpha1 TrafficTarget default/t"),
        ("kind: TrafficTarget\nmetadata: {name: t}\nspec: {}", "v1alpha3 TrafficTarget default/t"),
        ("kind: TrafficTarget\nmetadata: {name: t}\nspec: 1", "v1alpha3 TrafficTarget default/t"),
        (
            "kind: TrafficTarget\nmetadata: {name: t}\nspec: {destination: {port: 1}}",
            "v1alpha2 TrafficTarget default/t",
        ),
        (
            "kind: TrafficTarget\nmetadata: {name: t}\nspec: {sources: [{kind: IdentityBinding}]}",
            "v1alpha4 TrafficTarget default/t",
        ),
        (
            "kind: TrafficSplit\nmetadata: {name: t}\nspec: {backends: [{weight: 1}, {weight: '1'}]}",
            "v1alpha1 TrafficSplit default/t",
        ),
        (
            "kind: TrafficSplit\nmetadata: {name: t}\nspec: {backends: [{weight: 1}], matches: []}",
            "v1alpha4 TrafficSplit default/t",
        ),
        ("kind: TrafficSplit\nmetadata: {name: t}\nspec: {backends: 1}", "v1alpha2 TrafficSplit default/t"),
        ("apiVersion: v1alpha1\nkind: TCPRoute\nmetadata: {name: t}", "v1alpha1 TCPRoute default/t"),
        ("apiVersion: v1\nkind: Service\nmetadata: {name: t, namespace: n}", "v1 Service n/t"),
    ],
)
def test_version_of_object(documents: Documents, text: str, expected: str) -> None:
    """The version is what is written, else what the shape of an SMI object tells."""
    assert found(documents(text)) == [expected]


@pytest.mark.parametrize(
    "text",
    [
        "kind: Service\nmetadata: {name: t}",
        "kind: Workload\nmetadata: {name: t}",
        "apiVersion: specs.smi-spec.io/v1alpha9\nkind: TCPRoute\nmetadata: {name: t}",
        "apiVersion: specs.smi-spec.io/v1alpha3\nkind: UDPRoute\nmetadata: {name: t}",
        "apiVersion: gateway.networking.k8s.io/v1alpha2\nkind: TCPRoute\nmetadata: {name: t}",
        "apiVersion: access.smi-spec.io/v1alpha3\nkind: TCPRoute\nmetadata: {name: t}",
        "apiVersion: /v1\nkind: Service\nmetadata: {name: t}",
        "apiVersion: 4\nkind: TCPRoute\nmetadata: {name: t}",
        "kind: [TCPRoute]\nmetadata: {name: t}",
        "kind: TCPRoute",
        "kind: TCPRoute\nmetadata: {generateName: t}",
        "kind: TCPRoute\nmetadata: {name: T}",
        "kind: TCPRoute\nmetadata: {name: 1}",
        "kind: TCPRoute\nmetadata: {name: t, namespace: 1}",
        "kind: TCPRoute\nmetadata: {name: t, namespace: a.b}",
        "apiVersion: v1\nkind: Service\nmetadata: {name: a.b}",
        "- kind: TCPRoute",
        "text",
    ],
)
def test_documents_that_are_no_object(documents: Documents, text: str) -> None:
    """A wrong kind, group, version or name makes it none of our objects."""
    assert found(documents(text)) == []


@pytest.mark.parametrize("written", ["", ", namespace: null", ", namespace: ''", ", namespace: default"])
def test_namespace_is_default_when_unset(documents: Documents, written: str) -> None:
    """Absent, null and empty namespaces are unset, as for an API server."""
    assert found(documents(f"kind: TCPRoute\nmetadata: {{name: t{written}}}")) == ["v1alpha3 TCPRoute default/t"]


def test_list_is_unwrapped(documents: Documents) -> None:
    """Items of a List, and of a typed list, are objects; a list in a list is not looked into."""
    item = "{kind: TCPRoute, metadata: {name: %s}}"
    text = f"kind: List\nitems: [{item % 'a'}, 1, {{kind: List, items: [{item % 'c'}]}}]\n---\nkind: XList\nitems: [{item % 'b'}]"
    assert found(documents(text)) == ["v1alpha3 TCPRoute default/a", "v1alpha3 TCPRoute default/b"]


def test_same_object_twice_in_a_source(documents: Documents) -> None:
    """Equal copies are one object; unequal ones do not count, be it by their version, even if another source has one."""
    other_version = ROUTE.replace("v1alpha4", "v1alpha3")
    assert found(documents(f"{ROUTE}---\n{ROUTE}")) == ["v1alpha4 TCPRoute default/t"]
    assert found(documents(f"{ROUTE}---\n{ROUTE}") + documents(ROUTE, "other")) == ["v1alpha4 TCPRoute default/t"]
    assert found(documents(f"{ROUTE}---\n{other_version}")) == []
    assert found(documents(f"{ROUTE}---\n{other_version}") + documents(ROUTE, "other")) == []
    assert found(documents(f"{ROUTE}---\n{ROUTE.replace('v1alpha4', 'v1alpha9')}")) == []


def test_same_object_in_two_sources(documents: Documents) -> None:
    """Equal copies are one object, unequal copies are none."""
    assert found(documents(ROUTE, "a") + documents(ROUTE, "b")) == ["v1alpha4 TCPRoute default/t"]
    assert found(documents(ROUTE, "a") + documents(ROUTE.replace("{}", "{matches: {}}"), "b")) == []


@pytest.mark.parametrize(("left", "right"), [("1", "true"), ("1", "1.0"), ("[1]", "[1, 2]"), ("{a: 1}", "{a: 2}")])
def test_unequal_copies(documents: Documents, left: str, right: str) -> None:
    """Copies are compared as JSON: true is not 1."""
    assert found(documents(f"{ROUTE}x: {left}", "a") + documents(f"{ROUTE}x: {right}", "b")) == []


def test_copies_that_unfold_without_end() -> None:
    """Deep values and values that share parts are compared in bounded time, without recursion."""

    def bomb() -> object:
        value: object = "x"
        for _ in range(5_000):
            value = [value, value]
        return value

    def document(source: str) -> Document:
        return Document({"kind": "TCPRoute", "metadata": {"name": "t"}, "status": bomb()}, Origin(source))

    assert found([document("a"), document("b")]) == ["v1alpha3 TCPRoute default/t"]


def test_void_copy_takes_its_users_down(documents: Documents, target: Callable[..., str]) -> None:
    """A TCPRoute that is written twice, and not alike, is missing for the TrafficTarget that names it."""
    route = ROUTE.replace("{name: t}", "{name: t, namespace: d}")
    text = target("[{kind: TCPRoute, name: t}]")
    once, twice = documents(f"{route}---\n{text}"), documents(f"{route}---\n{route}x: 1\n---\n{text}")
    verdicts = [_tcp_verdict(Semantics(one)) for one in (once, twice)]
    assert verdicts == ["allow", "deny"]


def _tcp_verdict(semantics: Semantics) -> str:
    request = Request(Source(identity="d/web"), Destination(identity="d/api"), 1, "tcp")
    return semantics.judge(request).verdict
