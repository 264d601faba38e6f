"""The Kubernetes objects that SMI refers to: Service, Pod, pod templates, EndpointSlice and Endpoints.

Unknown fields are none of our business here, and null is the same as absent, as in a Kubernetes API server. A value
of the wrong type voids the object. Source: Kubernetes API reference, core/v1, apps/v1, batch/v1, discovery.k8s.io/v1.
"""

from __future__ import annotations

from collections.abc import Mapping

from hub.semantics import reader
from hub.semantics.envelope import KNATIVE
from hub.semantics.labels import Labels
from hub.semantics.names import is_subdomain
from hub.semantics.reader import Invalid
from hub.semantics.types import ContainerPort, ExposedPort, ExposedService, Instance, Manifest, Slice, SlicePort

_TRANSPORTS = frozenset({"TCP", "UDP", "SCTP"})
_SERVICE_OF_SLICE = "kubernetes.io/service-name"
_SLICES = "endpointslice.kubernetes.io/"
TEMPLATE_KINDS = frozenset(
    {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob", "Rollout", "DeploymentConfig"}
) | {"Service of Knative"}


def word_of_kind(found: Manifest) -> str:
    """Return the kind of an object, told apart from another one of its name."""
    return "Service of Knative" if found.group == KNATIVE else found.kind


def labels_of(meta: Mapping[str, object]) -> Labels:
    """Return the labels of a metadata mapping. Raises `Invalid` unless every one is text."""
    return reader.pairs(reader.unless_null(meta, "labels", {}), "labels")


def transport_of(port: Mapping[str, object]) -> str:
    """Return the transport of a port, TCP unless it says otherwise (empty is absent). Raises `Invalid`."""
    transport = reader.text(reader.unless_null(port, "protocol", ""), "protocol") or "TCP"
    if transport not in _TRANSPORTS:
        raise Invalid(f"{transport!r} is not a protocol")
    return transport


# --------------------------------------------------------------------------- what runs


def decode_pod(found: Manifest) -> Instance:
    """Decode a Pod. Raises `Invalid`."""
    return _workload(found, found.body)


def decode_template(found: Manifest) -> Instance:
    """Decode the pod template of one of `TEMPLATE_KINDS`. Raises `Invalid`."""
    spec = reader.mapping(found.body.get("spec"), "spec")
    if found.kind == "CronJob":
        job = reader.mapping(spec.get("jobTemplate"), "jobTemplate")
        spec = reader.mapping(job.get("spec"), "jobTemplate.spec")
    return _workload(found, reader.mapping(spec.get("template"), "template"))


def _workload(found: Manifest, pod: Mapping[str, object]) -> Instance:
    """Read what a pod is; for a template, name and namespace are those of its owner."""
    spec = reader.mapping(reader.unless_null(pod, "spec", {}), "spec")
    named = reader.text(reader.unless_null(spec, "serviceAccountName", ""), "serviceAccountName")
    legacy = reader.text(reader.unless_null(spec, "serviceAccount", ""), "serviceAccount")
    account = named or legacy or "default"
    if not is_subdomain(account):
        raise Invalid("serviceAccountName is not a valid name")
    return Instance(
        kind=word_of_kind(found),
        namespace=found.namespace,
        name=found.name,
        account=(found.namespace, account),
        labels=labels_of(reader.mapping(reader.unless_null(pod, "metadata", {}), "metadata")),
        ports=tuple(_container_ports(spec)),
    )


def _container_ports(spec: Mapping[str, object]) -> list[ContainerPort]:
    """Read the ports of the containers, then those of the init containers that go on beside them (sidecars)."""
    ports: list[ContainerPort] = []
    for key in ("containers", "initContainers"):
        for item in reader.items(reader.unless_null(spec, key, []), key):
            container = reader.mapping(item, key)
            if key == "containers" or container.get("restartPolicy") == "Always":
                ports += _ports(container)
    return ports


def _ports(container: Mapping[str, object]) -> list[ContainerPort]:
    ports: list[ContainerPort] = []
    for entry in reader.items(reader.unless_null(container, "ports", []), "ports"):
        port = reader.mapping(entry, "port")
        number = reader.port_number(port.get("containerPort"), "containerPort")
        name = reader.text(reader.unless_null(port, "name", ""), "name")
        ports.append(ContainerPort(number, transport_of(port), name))
    return ports


# --------------------------------------------------------------------------- what leads there


def decode_service(found: Manifest) -> ExposedService:
    """Decode a Service; one of type ExternalName has no ports here. Raises `Invalid`."""
    spec = reader.mapping(reader.unless_null(found.body, "spec", {}), "spec")
    external = reader.unless_null(spec, "type", "ClusterIP") == "ExternalName"
    selector = reader.pairs(reader.unless_null(spec, "selector", {}), "selector")
    ports = reader.items(reader.unless_null(spec, "ports", []), "ports")
    decoded = tuple(_service_port(port) for port in ports)
    return ExposedService(found.namespace, found.name, selector, () if external else decoded)


def _service_port(value: object) -> ExposedPort:
    written = reader.mapping(value, "port")
    number = reader.port_number(written.get("port"), "port")
    app_protocol = reader.text(reader.unless_null(written, "appProtocol", ""), "appProtocol")
    return ExposedPort(
        port=number,
        transport=transport_of(written),
        name=reader.text(reader.unless_null(written, "name", ""), "name"),
        target=_target(reader.unless_null(written, "targetPort", 0), number),
        app_protocol=app_protocol or None,
    )


def _target(value: object, port: int) -> int | str:
    """Return the target port: a name, a number, or the Service's own port where it is absent, 0 or empty."""
    if value == "" or (value == 0 and type(value) is int):
        return port
    if isinstance(value, str):
        return value
    return reader.port_number(value, "targetPort")


def decode_slice(found: Manifest) -> Slice:
    """Decode an EndpointSlice. Raises `Invalid`."""
    labels = dict(labels_of(reader.mapping(found.body.get("metadata"), "metadata")))
    endpoints = reader.items(reader.unless_null(found.body, "endpoints", []), "endpoints")
    ports = reader.items(reader.unless_null(found.body, "ports", []), "ports")
    pods = tuple(_pod_behind(endpoint, found.namespace) for endpoint in endpoints)
    service = labels.get(_SERVICE_OF_SLICE, "")
    mirror = labels.get(f"{_SLICES}managed-by") == "endpointslicemirroring-controller.k8s.io"
    return Slice(found.namespace, found.name, service, pods, tuple(_slice_port(port) for port in ports), mirror)


def decode_endpoints(found: Manifest) -> tuple[Slice, ...]:
    """Decode Endpoints as the slices that Kubernetes mirrors them into, one for each subset. Raises `Invalid`.

    Source: Kubernetes, "EndpointSlices", on mirroring; core/v1 Endpoints.
    """
    meta = reader.mapping(found.body.get("metadata"), "metadata")
    labels = dict(labels_of(meta))
    notes = reader.mapping(reader.unless_null(meta, "annotations", {}), "annotations")
    subsets = reader.items(reader.unless_null(found.body, "subsets", []), "subsets")
    slices = tuple(_subset(found, subset) for subset in subsets)
    is_leader = notes.get("control-plane.alpha.kubernetes.io/leader") is not None
    return () if is_leader or labels.get(f"{_SLICES}skip-mirror") == "true" else slices


def _subset(found: Manifest, value: object) -> Slice:
    subset = reader.mapping(value, "subset")
    pods: list[str | None] = []
    for key in ("addresses", "notReadyAddresses"):
        for entry in reader.items(reader.unless_null(subset, key, []), key):
            reader.text(reader.unless_null(reader.mapping(entry, key), "ip", ""), "ip")  # read for its type alone
            pods.append(_pod_behind(entry, found.namespace))
    ports = reader.items(reader.unless_null(subset, "ports", []), "ports")
    return Slice(found.namespace, found.name, found.name, tuple(pods), tuple(_slice_port(port) for port in ports))


def _pod_behind(value: object, namespace: str) -> str | None:
    """Return the name of the Pod of an endpoint, None when it names no Pod of this namespace."""
    endpoint = reader.mapping(value, "endpoint")
    reader.texts(reader.unless_null(endpoint, "addresses", []), "addresses")  # read for their types alone
    reader.mapping(reader.unless_null(endpoint, "conditions", {}), "conditions")
    target = reader.mapping(reader.unless_null(endpoint, "targetRef", {}), "targetRef")
    name = target.get("name")
    if target.get("kind") != "Pod" or (reader.unless_null(target, "namespace", "") or namespace) != namespace:
        return None
    return name if isinstance(name, str) else None


def _slice_port(value: object) -> SlicePort:
    written = reader.mapping(value, "port")
    number = reader.unless_null(written, "port", None)
    name = reader.text(reader.unless_null(written, "name", ""), "name")
    return SlicePort(name, transport_of(written), None if number is None else reader.port_number(number, "port"))
