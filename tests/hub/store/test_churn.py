"""One change costs one change: churn is free, and an event reaches the units that read it, no others."""

from __future__ import annotations

import pytest

from hub.endpoints import EndpointView
from hub.model import Access, Document, UnitKey
from hub.smi import Decoded, decode
from hub.store import Store
from hub.testing.documents import decoded, store_of

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: api, namespace: d}
spec: {selector: {app: api}, ports: [{port: 80, targetPort: 8080}]}
"""
POD = """
apiVersion: v1
kind: Pod
metadata: {{name: api-{n}, namespace: d, labels: {{app: api, pod-template-hash: "{n}"}}}}
spec:
  serviceAccountName: api
  containers: [{{name: main, ports: [{{containerPort: 8080}}]}}]
status: {{podIP: 10.{a}.{b}.{c}, conditions: [{{type: Ready, status: "True"}}]}}
"""
TARGET = """
apiVersion: access.smi-spec.io/v1alpha3
kind: TrafficTarget
metadata: {{name: {name}, namespace: {ns}}}
spec:
  destination: {{kind: ServiceAccount, name: {account}}}
  sources: [{{kind: ServiceAccount, name: web, namespace: d}}]
  rules: [{{kind: HTTPRouteGroup, name: {group}}}]
"""
GROUP = """
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {{name: {name}, namespace: d}}
spec: {{matches: [{{name: a, pathRegex: {path}}}]}}
"""
API = UnitKey("access", "d", "api")
ROUTE = UnitKey("route", "d", "api")


def pod(number: int) -> str:
    """A Pod that differs from the others in name, address and pod-template-hash."""
    return POD.format(n=number, a=number >> 16, b=number >> 8 & 255, c=number & 255)


def quick_pod(number: int) -> Decoded:
    """The same without YAML text, which would take most of the time."""
    meta = {"name": f"api-{number}", "namespace": "d", "labels": {"app": "api", "pod-template-hash": str(number)}}
    spec = {"serviceAccountName": "api", "containers": [{"name": "main", "ports": [{"containerPort": 8080}]}]}
    value = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}
    return decode(Document({**value, "status": {"podIP": f"10.0.{number >> 8}.{number & 255}"}}))


def settle(store: Store) -> None:
    """Compile whatever is dirty."""
    for key in store.dirty():
        store.compile(key)
    assert store.dirty() == frozenset()


def put(store: Store, part: str, text: str) -> None:
    """One part of one source."""
    store.upsert("test", part, decoded(text))


@pytest.mark.thorough
@pytest.mark.parametrize("batch", [1, 100])
def test_replaced_pods_dirty_nothing(batch: int) -> None:
    """10 000 replacements of Pods by equal ones: no dirty unit, and the endpoints are the new Pods."""
    store = store_of(SERVICE + "---" + TARGET.format(name="t", ns="d", account="api", group="r"))
    for number in range(batch):
        store.upsert("test", f"pod-{number}", (quick_pod(number),))
    view = EndpointView(store)
    view.update()
    settle(store)
    for number in range(batch, 10_000, batch):
        for each in range(number, number + batch):
            store.upsert("test", f"pod-{each - batch}", ())
            store.upsert("test", f"pod-{each}", (quick_pod(each),))
        assert store.dirty() == frozenset()
        assert view.update() == {("d", "api", 80)}
    endpoints = view.facts().endpoints["d", "api", 80]
    assert {each.workload.name for each in endpoints} == {f"api-{n}" for n in range(10_000 - batch, 10_000)}


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GROUP.format(name="r", path="/new"), {API}),
        (GROUP.format(name="unused", path="/x"), set()),
        (TARGET.format(name="t2", ns="d", account="api", group="r"), {API}),
        (TARGET.format(name="t2", ns="x", account="api", group="r"), {UnitKey("access", "x", "api")}),
        (SERVICE.replace("port: 80,", "port: 81,"), {API, ROUTE}),
        (SERVICE.replace("name: api,", "name: other,"), {API, UnitKey("route", "d", "other")}),
        (SERVICE.replace("{app: api}", "{app: nobody}"), {API, ROUTE}),
    ],
)
def test_dirty_is_what_read_the_change(text: str, expected: set[UnitKey]) -> None:
    """An event dirties the units whose answers it changed, and no others."""
    objects = [
        SERVICE,
        pod(1),
        TARGET.format(name="t", ns="d", account="api", group="r"),
        GROUP.format(name="r", path="/a"),
    ]
    objects.append(TARGET.format(name="t", ns="y", account="api", group="r"))
    store = Store("td")
    for each in objects:
        put(store, _part(each), each)
    settle(store)
    put(store, _part(text), text)
    assert store.dirty() == expected


def _part(text: str) -> str:
    ref = decoded(text)[0].ref
    return f"{ref}"


def test_dirty_is_empty_when_only_lines_move() -> None:
    """An object that moved down in its file is the same object; its Problems tell the new line."""
    target = TARGET.format(name="t", ns="d", account="api", group="gone")
    store = Store("td")
    put(store, "file", target)
    settle(store)
    put(store, "file", GROUP.format(name="unused", path="/x") + "---" + target)
    assert store.dirty() == frozenset()
    assert [problem.origin.line for problem in store.problems()] == [2]


def test_unit_is_dirty_once_more_and_gone_when_nothing_names_it() -> None:
    """The last object that names an identity takes its unit along."""
    store = store_of(TARGET.format(name="t", ns="d", account="api", group="r"))
    settle(store)
    assert store.units() == {API}
    store.upsert("test", "part-0", ())
    assert store.dirty() == {API}
    assert store.compile(API) == (None, ())
    assert store.units() == frozenset()


def test_deny_remains_when_the_last_target_is_gone() -> None:
    """An identity that has a workload keeps its Access, with no grant in it."""
    store = Store("td")
    put(store, "pod", pod(1))
    put(store, "target", TARGET.format(name="t", ns="d", account="api", group="r"))
    put(store, "group", GROUP.format(name="r", path="/a"))
    unit, _ = store.compile(API)
    assert isinstance(unit, Access)
    assert unit.grants
    settle(store)
    store.upsert("test", "target", ())
    assert store.dirty() == {API}
    unit, _ = store.compile(API)
    assert isinstance(unit, Access)
    assert unit.grants == ()
