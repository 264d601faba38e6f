"""The Kubernetes facts: what is read of them, and what makes them invalid."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hub.smi import Decoded
from hub.smi.types import EndpointSlice, Service, ServiceAccount, ServicePort, SliceEndpoint, Workload, WorkloadPort

Valid = Callable[[str], Any]
Invalid = Callable[[str], list[tuple[str, str]]]
Reading = Callable[[str], Decoded]


def obj(api: str, kind: str, rest: str = "", metadata: str = "") -> str:
    """An object of this kind (flow YAML)."""
    return f"{{apiVersion: {api}, kind: {kind}, metadata: {{name: x, namespace: d{metadata}}}, {rest}}}"


def service(spec: str) -> str:
    """A Service with this spec."""
    return obj("v1", "Service", f"spec: {{{spec}}}")


def pod(spec: str = "", metadata: str = "", status: str = "{}") -> str:
    """A Pod with this spec, metadata and status."""
    return obj("v1", "Pod", f"spec: {{{spec}}}, status: {status}", metadata)


# --------------------------------------------------------------------------- Service


def test_service_reads_selector_and_ports(valid: Valid) -> None:
    """Ports in the order written, with their targets, names and declared protocols."""
    read = valid(
        service(
            "selector: {b: '2', a: '1'}, clusterIP: 10.0.0.1, ports: [{name: http-web, port: 80, targetPort: 8080}, "
            "{port: 53, protocol: UDP, targetPort: dns}, {port: 81, appProtocol: h2c}, {port: 82, targetPort: 0}]"
        )
    )
    assert isinstance(read, Service)
    assert read.selector == (("a", "1"), ("b", "2"))
    assert read.ports == (
        ServicePort(80, "TCP", 8080, "http-web"),
        ServicePort(53, "UDP", "dns"),
        ServicePort(81, "TCP", 81, "", "h2c"),
        ServicePort(82, "TCP", 82),
    )


@pytest.mark.parametrize("spec", ["", "selector: {}", "selector: null", "ports: null", "ports: [], selector: {}"])
def test_service_without_selector_selects_nothing(spec: str, valid: Valid) -> None:
    """An empty selector is not every pod; null is absent."""
    read = valid(service(spec))
    assert (read.selector, read.ports) == (None, ())


def test_external_name_has_no_ports(valid: Valid) -> None:
    """It exists, but nobody of ours is behind it."""
    assert valid(service("type: ExternalName, externalName: a.b, ports: [{port: 80}]")).ports == ()


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ("selector: {a: 1}", "spec.selector.a"),
        ("selector: [a]", "spec.selector"),
        ("ports: {a: 1}", "spec.ports"),
        ("ports: [80]", "spec.ports[0]"),
        ("ports: [{}]", "spec.ports[0].port"),
        ("ports: [{port: 0}]", "spec.ports[0].port"),
        ("ports: [{port: '80'}]", "spec.ports[0].port"),
        ("ports: [{port: true}]", "spec.ports[0].port"),
        ("ports: [{port: 80, targetPort: 70000}]", "spec.ports[0].targetPort"),
        ("ports: [{port: 80, targetPort: 80.5}]", "spec.ports[0].targetPort"),
        ("ports: [{port: 80, targetPort: false}]", "spec.ports[0].targetPort"),
        ("ports: [{port: 80, targetPort: []}]", "spec.ports[0].targetPort"),
        ("ports: [{port: 80, protocol: tcp}]", "spec.ports[0].protocol"),
        ("ports: [{port: 80, protocol: 6}]", "spec.ports[0].protocol"),
        ("ports: [{port: 80, name: 1}]", "spec.ports[0].name"),
        ("ports: [{port: 80, appProtocol: []}]", "spec.ports[0].appProtocol"),
    ],
)
def test_service_is_invalid(spec: str, field: str, invalid: Invalid) -> None:
    """Types and ranges of the fields that are read."""
    assert [found for _, found in invalid(service(spec))] == [field]


def test_quoted_target_port_is_a_name_and_told(read: Reading) -> None:
    """A number in quotes is a port's name to Kubernetes."""
    decoded = read(service("ports: [{port: 80, targetPort: '8080'}]"))
    assert isinstance(decoded.object, Service)
    assert decoded.object.ports[0].target == "8080"
    assert [problem.code for problem in decoded.problems] == ["port.quoted"]


def test_sctp_is_left_out_and_told(read: Reading) -> None:
    """SMI knows TCP and UDP."""
    decoded = read(service("ports: [{port: 80, protocol: SCTP}, {port: 81}]"))
    assert isinstance(decoded.object, Service)
    assert [port.port for port in decoded.object.ports] == [81]
    assert [(p.code, p.severity.value) for p in decoded.problems] == [("port.transport", "warning")]


def test_service_name_is_a_label(invalid: Invalid) -> None:
    """A Service's name has no dots; other names may."""
    assert invalid(service("").replace("name: x", "name: a.b")) == [("name.invalid", "metadata.name")]


def test_service_account_is_its_name(valid: Valid) -> None:
    """Nothing else of it counts; dots are fine."""
    read = valid(obj("v1", "ServiceAccount", "secrets: []").replace("name: x", "name: a.b"))
    assert isinstance(read, ServiceAccount)
    assert read.ref.name == "a.b"


# --------------------------------------------------------------------------- Pods


@pytest.mark.parametrize(
    ("spec", "account"),
    [
        ("", "default"),
        ("serviceAccountName: api", "api"),
        ("serviceAccount: api", "api"),
        ("serviceAccountName: api, serviceAccount: old", "api"),
        ("serviceAccountName: '', serviceAccount: old", "old"),
        ("serviceAccountName: null", "default"),
    ],
)
def test_pod_account(spec: str, account: str, valid: Valid) -> None:
    """The name, its deprecated alias, or "default"."""
    assert valid(pod(spec)).service_account == account


def test_pod_ports_are_those_of_running_containers(valid: Valid) -> None:
    """Init containers count only where they keep running beside the others; each port once, as written."""
    read = valid(
        pod(
            "containers: [{name: a, ports: [{containerPort: 9090, name: m}, {containerPort: 53, protocol: UDP}]}, "
            "{name: b, ports: [{containerPort: 8080}, {containerPort: 8080}]}, {name: c, ports: null}], "
            "initContainers: [{name: i, ports: [{containerPort: 1}]}, {restartPolicy: Always, ports: [{containerPort: 2}]}]"
        )
    )
    assert isinstance(read, Workload)
    assert read.ports == (
        WorkloadPort(9090, "TCP", "m", app_port=9090),
        WorkloadPort(53, "UDP", app_port=53),
        WorkloadPort(8080, "TCP", app_port=8080),
        WorkloadPort(2, "TCP", app_port=2),
    )
    assert read.bind == "0.0.0.0"


@pytest.mark.parametrize(
    ("status", "addresses", "ready"),
    [
        ("{}", (), True),
        ("null", (), True),
        ("garbage", (), True),
        ("{podIP: 10.0.0.1}", ("10.0.0.1",), True),
        ("{podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}, {ip: x}, 3]}", ("10.0.0.1", "fd00::1"), True),
        ("{podIP: 'fe80::1%eth0'}", (), True),
        ("{conditions: [{type: Ready, status: 'True'}]}", (), True),
        ("{conditions: [{type: Ready, status: 'False'}]}", (), False),
        ("{conditions: [{type: Initialized, status: 'False'}, 1]}", (), True),
        ("{conditions: 3, podIPs: 4}", (), True),
        ("{phase: Succeeded}", (), False),
        ("{phase: Failed}", (), False),
    ],
)
def test_pod_status_only_informs(status: str, addresses: tuple[str, ...], ready: bool, valid: Valid) -> None:  # noqa: FBT001 - a column of the table
    """Addresses and readiness; nothing in `status` makes a Pod invalid."""
    read = valid(pod(status=status))
    assert (read.addresses, read.ready) == (addresses, ready)


def test_pod_that_is_being_deleted_is_not_ready(valid: Valid) -> None:
    """`deletionTimestamp` is set by the API server."""
    assert valid(pod(metadata=", deletionTimestamp: '2024-01-01T00:00:00Z'")).ready is False


TEMPLATES = [
    ("apps/v1", "Deployment", "spec.template", "spec: {template: %s}"),
    ("apps/v1", "StatefulSet", "spec.template", "spec: {template: %s}"),
    ("apps/v1", "DaemonSet", "spec.template", "spec: {template: %s}"),
    ("apps/v1", "ReplicaSet", "spec.template", "spec: {template: %s}"),
    ("batch/v1", "Job", "spec.template", "spec: {template: %s}"),
    ("batch/v1", "CronJob", "spec.jobTemplate.spec.template", "spec: {jobTemplate: {spec: {template: %s}}}"),
]


@pytest.mark.parametrize("row", TEMPLATES)
def test_template_is_a_workload_without_addresses(row: tuple[str, str, str, str], valid: Valid) -> None:
    """Labels and account are the template's, not the controller's own."""
    api, kind, _, spec = row
    template = "{metadata: {labels: {app: web}, creationTimestamp: null}, spec: {serviceAccountName: web, containers: [{ports: [{containerPort: 80}]}]}}"
    read = valid(obj(api, kind, spec % template, ", labels: {app: other}"))
    assert (read.ref.kind, read.labels, read.service_account) == (kind, (("app", "web"),), "web")
    assert (read.addresses, [port.port for port in read.ports]) == ((), [80])


@pytest.mark.parametrize("row", TEMPLATES)
@pytest.mark.parametrize(
    ("template", "field"),
    [
        ("text", ""),
        ("{metadata: {labels: {a: 1}}}", ".metadata.labels.a"),
        ("{spec: {serviceAccountName: 1}}", ".spec.serviceAccountName"),
        ("{spec: {serviceAccountName: 'A*'}}", ".spec.serviceAccountName"),
        ("{spec: {serviceAccountName: a, serviceAccount: [b]}}", ".spec.serviceAccount"),
        ("{spec: {containers: {}}}", ".spec.containers"),
        ("{spec: {containers: [1]}}", ".spec.containers[0]"),
        ("{spec: {containers: [{ports: [{containerPort: 0}]}]}}", ".spec.containers[0].ports[0].containerPort"),
        ("{spec: {containers: [{ports: [{}]}]}}", ".spec.containers[0].ports[0].containerPort"),
        ("{spec: {containers: [{ports: [{containerPort: 1, protocol: X}]}]}}", ".spec.containers[0].ports[0].protocol"),
        ("{spec: {initContainers: 1}}", ".spec.initContainers"),
    ],
)
def test_template_is_invalid(row: tuple[str, str, str, str], template: str, field: str, invalid: Invalid) -> None:
    """Paths lead into the template."""
    api, kind, path, spec = row
    assert [found for _, found in invalid(obj(api, kind, spec % template))] == [path + field]


def test_template_is_required(invalid: Invalid) -> None:
    """A controller without a template describes no workload."""
    assert ("field.missing", "spec.template") in invalid(obj("apps/v1", "Deployment", "spec: {replicas: 1}"))


def test_labels_of_a_pod_are_texts(invalid: Invalid) -> None:
    """A number as a label would never be selected by the text that looks like it."""
    assert invalid(pod(metadata=", labels: {version: 1}")) == [("field.type", "metadata.labels.version")]


# --------------------------------------------------------------------------- EndpointSlice


def endpoint_slice(rest: str, label: str = "kubernetes.io/service-name: web") -> str:
    """An EndpointSlice of the Service `web`."""
    return obj("discovery.k8s.io/v1", "EndpointSlice", rest, f", labels: {{{label}}}")


def test_slice_reads_endpoints_and_ports(valid: Valid) -> None:
    """Readiness is true unless said otherwise; only a Pod of the own namespace is a Pod behind it."""
    read = valid(
        endpoint_slice(
            "addressType: IPv4, endpoints: [{addresses: [10.0.0.1], targetRef: {kind: Pod, name: p, namespace: d}}, "
            "{addresses: [10.0.0.2], conditions: {ready: false}, targetRef: {kind: Node, name: n}}, "
            "{addresses: [10.0.0.3], conditions: {ready: null}, targetRef: {kind: Pod, name: q}}, {addresses: []}], "
            "ports: [{name: http, port: 8080}, {port: 53, protocol: UDP}]"
        )
    )
    assert isinstance(read, EndpointSlice)
    assert read.service == "web"
    assert read.endpoints == (
        SliceEndpoint(("10.0.0.1",), "p", ready=True),
        SliceEndpoint(("10.0.0.2",), "", ready=False),
        SliceEndpoint(("10.0.0.3",), "q", ready=True),
        SliceEndpoint((), "", ready=True),
    )
    assert read.ports == (("http", 8080, "TCP"), ("", 53, "UDP"))


@pytest.mark.parametrize(
    ("rest", "code"),
    [
        ("endpoints: [{addresses: [a.example]}]", "slice.address"),
        (
            "endpoints: [{addresses: [10.0.0.1], targetRef: {kind: Pod, name: p, namespace: other}}]",
            "slice.foreign-pod",
        ),
        ("endpoints: [], ports: [{name: all}]", "slice.no-port"),
    ],
)
def test_unusable_part_of_a_slice_is_told(rest: str, code: str, read: Reading) -> None:
    """A host name, a Pod of another namespace, a port without number: left out, and said so."""
    decoded = read(endpoint_slice(rest))
    assert isinstance(decoded.object, EndpointSlice)
    assert [problem.code for problem in decoded.problems] == [code]
    assert all(not endpoint.pod for endpoint in decoded.object.endpoints)
    assert decoded.object.ports == ()


@pytest.mark.parametrize("label", ["a: b", "kubernetes.io/service-name: 'A/b'"])
def test_slice_without_service_is_told(label: str, read: Reading) -> None:
    """A slice that names no Service is nobody's."""
    assert [problem.code for problem in read(endpoint_slice("endpoints: []", label)).problems] == ["slice.no-service"]


@pytest.mark.parametrize(
    ("rest", "field"),
    [
        ("endpoints: {}", "endpoints"),
        ("endpoints: [1]", "endpoints[0]"),
        ("endpoints: [{addresses: x}]", "endpoints[0].addresses"),
        ("endpoints: [{addresses: [1]}]", "endpoints[0].addresses[0]"),
        ("endpoints: [{conditions: 1}]", "endpoints[0].conditions"),
        ("endpoints: [{targetRef: 1}]", "endpoints[0].targetRef"),
        ("ports: [{port: x}]", "ports[0].port"),
        ("ports: [{port: 1, protocol: x}]", "ports[0].protocol"),
        ("ports: 1", "ports"),
    ],
)
def test_slice_is_invalid(rest: str, field: str, invalid: Invalid) -> None:
    """Types of the fields that are read."""
    assert [found for _, found in invalid(endpoint_slice(rest))] == [field]
