"""The endpoint view: who answers behind a Service port, and what a data plane may be told of it."""

from __future__ import annotations

from hub.endpoints import EndpointView
from hub.store import Store
from hub.testing.documents import decoded, store_of

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: api, namespace: d}
spec: {selector: {app: api}, ports: [{port: 80, targetPort: main}, {port: 80, protocol: UDP}]}
"""
POD = """
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: d, labels: {{app: api}}}}
spec: {{serviceAccountName: api, containers: [{{name: c, ports: [{{containerPort: 8080, name: main}}]}}]}}
status: {{podIP: "{address}", conditions: [{{type: Ready, status: "{ready}"}}]}}
"""
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: d}
spec:
  template:
    metadata: {labels: {app: api}}
    spec: {serviceAccountName: api, containers: [{name: c, ports: [{containerPort: 8080, name: main}]}]}
"""
SLICE = """
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: api-1, namespace: d, labels: {kubernetes.io/service-name: api}}
endpoints:
- {addresses: [10.0.0.1], targetRef: {kind: Pod, name: p1, namespace: d}, conditions: {ready: true}}
- {addresses: [10.0.0.2]}
ports: [{name: "", port: 8080}]
"""
PLACE = ("d", "api", 80)


def put(store: Store, part: str, text: str) -> None:
    """One part of one source."""
    store.upsert("test", part, decoded(text))


def test_endpoint_tells_readiness_and_resolved_port() -> None:
    """Each Pod once, at its own port, ready or not."""
    view = EndpointView(
        store_of(
            "\n---\n".join(
                (
                    SERVICE,
                    POD.format(name="p1", address="10.0.0.1", ready="True"),
                    POD.format(name="p2", address="10.0.0.2", ready="False"),
                )
            )
        )
    )
    assert view.update() == {PLACE}
    found = view.serving().endpoints[PLACE]
    assert [(each.address, each.port, each.ready) for each in found] == [
        ("10.0.0.1", 8080, True),
        ("10.0.0.2", 8080, False),
    ]
    assert {each.spiffe for each in found} == {"spiffe://td/ns/d/sa/api"}


def test_template_stands_in_only_while_nothing_runs() -> None:
    """It can be judged, but no data plane is told of it."""
    store = store_of(SERVICE + "---" + DEPLOYMENT)
    view = EndpointView(store)
    view.update()
    assert [(each.workload.kind, each.address, each.ready) for each in view.facts().endpoints[PLACE]] == [
        ("Deployment", "", False)
    ]
    assert view.serving().endpoints[PLACE] == ()
    put(store, "pod", POD.format(name="p1", address="10.0.0.1", ready="True"))
    assert view.update() == {PLACE}
    assert [each.workload.kind for each in view.facts().endpoints[PLACE]] == ["Pod"]
    store.upsert("test", "pod", ())
    view.update()
    assert [each.workload.kind for each in view.facts().endpoints[PLACE]] == ["Deployment"]


def test_slice_endpoint_without_pod_is_never_served() -> None:
    """Nobody knows its identity: it counts for judging, as one who denies."""
    service = SERVICE.replace("selector: {app: api}, ", "").replace(", {port: 80, protocol: UDP}", "")
    store = store_of("\n---\n".join((service, SLICE, POD.format(name="p1", address="10.0.0.9", ready="True"))))
    view = EndpointView(store)
    view.update()
    assert [(each.address, each.spiffe) for each in view.facts().endpoints[PLACE]] == [
        ("10.0.0.2", ""),
        ("10.0.0.1", "spiffe://td/ns/d/sa/api"),
    ]
    assert [each.address for each in view.serving().endpoints[PLACE]] == ["10.0.0.1"]
    put(store, "part-2", POD.format(name="p1", address="10.0.0.9", ready="True").replace(": api, cont", ": web, cont"))
    assert view.update() == {PLACE}
    assert [each.spiffe for each in view.serving().endpoints[PLACE]] == ["spiffe://td/ns/d/sa/web"]


def test_update_tells_nothing_when_nothing_moved() -> None:
    """A second look is empty, and so is one after a change that concerns no endpoint."""
    store = store_of(SERVICE + "---" + POD.format(name="p1", address="10.0.0.1", ready="True"))
    view = EndpointView(store)
    assert view.update() == {PLACE}
    assert view.update() == frozenset()
    put(store, "account", "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: other, namespace: d}\n")
    assert view.update() == frozenset()


def test_place_is_told_once_more_when_its_service_goes() -> None:
    """Whoever serves endpoints learns that there are none any more."""
    store = store_of(SERVICE + "---" + POD.format(name="p1", address="10.0.0.1", ready="True"))
    view = EndpointView(store)
    view.update()
    store.upsert("test", "part-0", ())
    assert view.update() == {PLACE}
    assert view.facts().endpoints == {}


def test_placements_follow_what_services_declare() -> None:
    """A Service that names a port changes the variant on which its Pods receive."""
    store = store_of(POD.format(name="p1", address="10.0.0.1", ready="True"))
    view = EndpointView(store)
    view.update()
    [placed] = view.facts().placements.values()
    assert placed.inbound == ((8080, "TCP", "none"),)
    put(store, "service", SERVICE.replace("{port: 80, targetPort: main}", "{name: http, port: 80, targetPort: main}"))
    view.update()
    [placed] = view.facts().placements.values()
    assert (8080, "TCP", "http") in placed.inbound


def test_placements_follow_an_account_that_went_and_came_back() -> None:
    """What was known of it before it went says nothing of what its Pods receive on afterwards."""
    pod = POD.format(name="p1", address="10.0.0.1", ready="True")
    store = store_of("")
    view = EndpointView(store)
    bytes_, http = [(8080, "TCP", "none")], [(8080, "TCP", "http")]
    nothing: list[tuple[int, str, str]] = []
    stages = (("http", http), ("", bytes_), ("", nothing), ("http", http), ("", bytes_))
    for name, expected in stages:
        put(store, "service", SERVICE.replace("{port: 80, t", f'{{name: "{name}", port: 80, t'))
        put(store, "pod", pod if expected else "")
        view.update()
        assert [each.inbound[-1] for each in view.facts().placements.values()] == expected


def test_placement_follows_the_services_that_it_calls() -> None:
    """An upstream whose Service appears later is usable then, though no port of the Workload changed."""
    workload = """
apiVersion: smihub.io/v1alpha1
kind: Workload
metadata: {name: vm, namespace: d}
spec: {serviceAccount: vm, addresses: [10.0.0.1], upstreams: [{service: api, port: 80, path: /run/vm/api.sock}]}
"""
    store = store_of(workload)
    view = EndpointView(store)
    view.update()
    assert calls(view) == []
    put(store, "service", SERVICE)
    view.update()
    assert calls(view) == [("d", "api", 80)]
    store.upsert("test", "service", ())
    view.update()
    assert calls(view) == []


def calls(view: EndpointView) -> list[tuple[str, str, int]]:
    """The Service ports that workloads may call."""
    return [each[:3] for placed in view.facts().placements.values() for each in placed.upstreams]
