"""Route units: layers, backends that count, callees and clients."""

from __future__ import annotations

from fractions import Fraction

import pytest

from hub.model import Backend, ObjectRef, Reading, Route, RoutePort, Severity, UnitKey
from hub.store import Store
from hub.testing.documents import store_of

SERVICE = """
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: d}}
spec: {{selector: {{app: {name}}}, ports: [{ports}]}}
"""
POD = """
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: d, labels: {app: web}}
spec: {serviceAccountName: web, containers: [{name: c, ports: [{containerPort: 80, name: main}]}]}
"""
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: p, namespace: d}
spec:
  template:
    metadata: {labels: {app: web}}
    spec: {serviceAccountName: later, containers: [{name: c}]}
"""
GROUP = """
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: g, namespace: d}
spec: {matches: [{name: a, headers: {x: y}}]}
"""
HTTP = "{name: http, port: 80}"
ALL = "\n---\n".join([*(SERVICE.format(name=name, ports=HTTP) for name in ("web", "v1", "v2")), GROUP])


def split(backends: str, *, name: str = "s", root: str = "web", matches: str = "", created: str = "") -> str:
    """A TrafficSplit of namespace d."""
    more = f", matches: {matches}" if matches else ""
    when = f', creationTimestamp: "{created}"' if created else ""
    meta = f"{{name: {name}, namespace: d{when}}}"
    spec = f"{{service: {root}, backends: {backends}{more}}}"
    return f"apiVersion: split.smi-spec.io/v1alpha4\nkind: TrafficSplit\nmetadata: {meta}\nspec: {spec}\n"


def store(*objects: str, reading: Reading | None = None) -> Store:
    """A store of these objects."""
    return store_of("\n---\n".join(objects), reading or Reading())


def port(found: Store, number: int = 80, service: str = "web") -> RoutePort:
    """One TCP port of a Route of namespace d."""
    unit, _ = found.compile(UnitKey("route", "d", service))
    assert isinstance(unit, Route)
    return next(each for each in unit.ports if each.port == number)


def codes(found: Store) -> list[str]:
    """The codes of all Problems."""
    return [problem.code for problem in found.problems()]


V1 = "[{service: v1, weight: 1}]"


@pytest.mark.parametrize("root", ["web", "web.d", "web.d.svc", "web.d.svc.cluster.local", "web.d.svc.td"])
def test_root_may_be_qualified_with_its_own_namespace(root: str) -> None:
    """Every form of the own namespace means the bare name."""
    found = store(ALL, split(V1, root=root))
    assert [layer.backends for layer in port(found).splits] == [(Backend("v1", Fraction(1), "http"),)]
    assert codes(found) == []


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (split(V1, root="web.x"), "split.root-namespace"),
        (split(V1, root="gone"), "split.root-missing"),
        (split("[{service: v1, weight: 1}, {service: v2.x, weight: 0}]"), "split.backend-namespace"),
        (split(V1, matches="[{kind: HTTPRouteGroup, name: gone}]"), "split.no-condition"),
        (split(V1, matches="[{kind: TCPRoute, name: g}]"), "split.condition-kind"),
    ],
)
def test_split_that_cannot_be_read_leaves_the_root(text: str, code: str) -> None:
    """The root serves as if there were no split, and the reason is reported."""
    found = store(ALL, text)
    assert port(found).splits == ()
    assert code in codes(found)


def test_backends_are_summed_and_those_without_the_port_left_out() -> None:
    """Duplicates add up exactly, zero stays, a Service without the port or none at all does not count."""
    other = SERVICE.format(name="other", ports="{name: http, port: 81}")
    text = split(
        "[{service: v1, weight: 30}, {service: v1.d, weight: 20}, {service: v2, weight: 0}, "
        "{service: other, weight: 1}, {service: gone, weight: 1}, {service: later, weight: 0}]"
    )
    found = store(ALL, other, text)
    assert port(found).splits[0].backends == (Backend("v1", Fraction(50), "http"), Backend("v2", Fraction(0), "http"))
    assert codes(found) == ["split.backend-missing", "split.backend-port"]


def test_layer_without_counting_backends_stays() -> None:
    """No backend left means no answer, never the root."""
    found = store(ALL, split("[{service: gone, weight: 1}]"))
    assert [layer.backends for layer in port(found).splits] == [()]


def test_layers_are_conditional_first_then_the_oldest() -> None:
    """Conditional splits in order of age, then one unconditional; the younger one is conflicted."""
    condition = "[{kind: HTTPRouteGroup, name: g}]"
    texts = [
        split(V1, name="a-young", created="2024-03-01T00:00:00Z"),
        split(V1, name="z-old", created="2024-01-01T00:00:00Z"),
        split(V1, name="c2", matches=condition, created="2024-02-01T00:00:00Z"),
        split(V1, name="c1", matches=condition, created="2024-03-01T00:00:00Z"),
    ]
    found = store(ALL, *texts)
    assert [layer.origin.name for layer in port(found).splits] == ["c2", "c1", "z-old"]
    assert [(each.code, each.ref.name) for each in found.problems()] == [("split.conflicted", "a-young")]


@pytest.mark.parametrize(("written", "layers"), [("http", 2), ("odd", 2), ("mysql", 1)])
def test_conditions_stand_only_where_calls_may_be_http(written: str, layers: int) -> None:
    """On a port that is declared TCP a condition is never true."""
    services = [SERVICE.format(name=name, ports=f"{{name: {written}, port: 80}}") for name in ("web", "v1")]
    texts = [split(V1, name="c", matches="[{kind: HTTPRouteGroup, name: g}]"), split(V1, name="u")]
    found = store(*services, GROUP, *texts)
    assert len(port(found).splits) == layers
    assert ("split.condition-tcp" in codes(found)) == (layers == 1)


def test_of_ports_of_one_number_the_first_counts() -> None:
    """No API server takes two; both readings and every mesh mean the same one."""
    written = "{name: http, port: 80}, {name: mysql, port: 80}, {name: dns, port: 80, protocol: UDP}"
    unit, _ = store(SERVICE.format(name="web", ports=written)).compile(UnitKey("route", "d", "web"))
    assert isinstance(unit, Route)
    assert [(each.transport, each.declared) for each in unit.ports] == [("TCP", "http"), ("UDP", "none")]


def test_a_root_among_its_backends_means_its_own_endpoints() -> None:
    """Splits in the wild are written so; a warning says that the specification rules it out."""
    found = store(ALL, split("[{service: web, weight: 1}, {service: v1, weight: 1}, {service: web.d, weight: 1}]"))
    assert port(found).splits[0].backends == (Backend("v1", Fraction(1), "http"), Backend("web", Fraction(2), "http"))
    assert [(each.code, each.severity) for each in found.problems()] == [("split.own-endpoints", Severity.WARNING)]


def test_a_root_among_its_backends_voids_the_split_where_the_reading_rejects_it() -> None:
    """The specification's word, at any weight; the remedy names the other reading."""
    text = split("[{service: web.d, weight: 0}, {service: v1, weight: 1}]")
    found = store(ALL, text, reading=Reading(root_backend="reject"))
    assert port(found).splits == ()
    [problem] = found.problems()
    assert (problem.code, "rootBackend: endpoints" in problem.remedy) == ("split.root-backend", True)


@pytest.mark.parametrize(
    ("root", "told"), [("{app: x}", 1), ("{app: x, of: v}", 1), ("{app: x, of: w}", 0), ("{app: w}", 0)]
)
def test_a_root_that_selects_a_backends_pods_is_told(root: str, told: int) -> None:
    """These Pods get a part of the root's share as well."""
    service = (
        "apiVersion: v1\nkind: Service\nmetadata: {name: %s, namespace: d}\nspec: {selector: %s, ports: [{port: 80}]}\n"
    )
    text = split("[{service: web, weight: 1}, {service: v1, weight: 1}]")
    found = store(service % ("web", root), service % ("v1", "{app: x, of: v, track: one}"), text)
    assert codes(found).count("split.root-overlaps") == told


def test_callees_are_who_runs_else_who_would() -> None:
    """Templates stand for a Service only while nothing runs behind it."""
    assert port(store(ALL, DEPLOYMENT)).callees == ("spiffe://td/ns/d/sa/later",)
    assert port(store(ALL, DEPLOYMENT, POD)).callees == ("spiffe://td/ns/d/sa/web",)


def test_callees_of_a_service_without_selector_come_from_slices() -> None:
    """An EndpointSlice tells the Pods; an endpoint without one has no identity that could be pinned."""
    service = SERVICE.format(name="web", ports="{name: http, port: 80}").replace("selector: {app: web}, ", "")
    slice_ = """
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: d, labels: {kubernetes.io/service-name: web}}
endpoints:
- {addresses: [10.0.0.1], targetRef: {kind: Pod, name: p, namespace: d}}
- {addresses: [10.0.0.2]}
ports: [{name: http, port: 8080}]
"""
    assert port(store(service, slice_)).callees == ()
    assert port(store(service, slice_, POD)).callees == ("spiffe://td/ns/d/sa/web",)
    assert port(store(service, slice_.replace("name: http", "name: other"), POD)).callees == ()


def test_clients_are_upstreams_of_workloads() -> None:
    """A Workload's sidecar listens for a Service port; an unknown Service or port is the Workload's Problem."""
    workload = """
apiVersion: smihub.io/v1alpha1
kind: Workload
metadata: {name: vm, namespace: x}
spec:
  serviceAccount: vm
  addresses: [10.0.0.1]
  upstreams:
  - {service: d/web, port: 80, localPort: 9001}
  - {service: d/web, port: 80, path: /run/vm/web.sock}
  - {service: d/web, port: 9, localPort: 9002, shared: host}
  - {service: gone, port: 80, path: /run/vm/gone.sock}
"""
    found = store(ALL, workload)
    [client] = port(found).clients
    assert (client.workload.name, client.address, client.port) == ("vm", "/run/vm/web.sock", 0)
    told = [(each.code, each.field) for each in found.problems()]
    assert sorted(told) == [
        ("workload.upstream-port", "spec.upstreams[2]"),
        ("workload.upstream-service", "spec.upstreams[3]"),
        ("workload.upstream-shared", "spec.upstreams[0]"),
    ]
    placed = found.placement(ObjectRef("smihub.io", "Workload", "x", "vm"))
    assert placed is not None
    assert placed.upstreams == (("d", "web", 80, "/run/vm/web.sock", 0),)


@pytest.mark.parametrize(
    ("one", "other", "taken"),
    [
        ("addresses: [10.0.0.1]", "addresses: [10.0.0.1]", True),
        ("addresses: [10.0.0.1, 10.0.0.2]", "addresses: [10.0.0.3, 10.0.0.2]", True),
        ("addresses: [127.0.0.1]", "addresses: ['::1']", True),
        ("addresses: [10.0.0.1]", "addresses: [10.0.0.2]", False),
    ],
)
@pytest.mark.parametrize("place", ["path: /run/web.sock", "localPort: 9001, shared: host"])
def test_socket_of_two_workloads_of_a_machine_is_nobodys(one: str, other: str, place: str, taken: bool) -> None:  # noqa: FBT001
    """The second Envoy would take the socket from the first, and programs would call as somebody else."""
    text = """
apiVersion: smihub.io/v1alpha1
kind: Workload
metadata: {{name: {}, namespace: x}}
spec: {{serviceAccount: {}, {}, upstreams: [{{service: d/web, port: 80, {}}}]}}
"""
    found = store(ALL, text.format("one", "one", one, place), text.format("other", "other", other, place))
    assert [each.code for each in found.problems()] == ["workload.upstream-taken"] * 2 * taken
    placed = [found.placement(ObjectRef("smihub.io", "Workload", "x", name)) for name in ("one", "other")]
    assert [one and len(one.upstreams) for one in placed] == [1 - taken] * 2


def test_service_port_that_leads_nowhere_is_reported() -> None:
    """A named target that no workload has."""
    found = store(SERVICE.format(name="web", ports="{name: http, port: 80, targetPort: nope}"), POD)
    assert [(each.code, each.field) for each in found.problems()] == [
        ("service.target-port", "spec.ports[0].targetPort")
    ]
    assert port(found).callees == ()


@pytest.mark.parametrize(
    ("said", "word"), [("name: tls-a", "tls-a"), ("name: a, appProtocol: https", "https"), ("", "")]
)
def test_split_port_and_backends_as_they_are_written(said: str, word: str) -> None:
    """What a Service says of a port's protocol, word by word, and whether it has an address of its own."""
    ports = f"{{{said + ', ' if said else ''}port: 80}}"
    headless = SERVICE.format(name="v1", ports=ports).replace("spec: {", "spec: {clusterIP: None, ")
    found = port(store(SERVICE.format(name="web", ports=ports), headless, split(V1)))
    assert found.word == word
    assert found.splits[0].backends == (Backend("v1", Fraction(1), word, headless=True),)
    assert not found.headless
    root = SERVICE.format(name="web", ports=ports).replace("spec: {", "spec: {clusterIP: None, ")
    assert port(store(root, SERVICE.format(name="v1", ports=ports), split(V1))).headless
    assert not port(store(root)).headless
    assert port(store(SERVICE.format(name="web", ports=ports))).word == ""
