"""The Kubernetes facts that SMI refers to: Service, ServiceAccount, Pod, pod templates and EndpointSlice.

Only the fields that concern SMI are read, null counts as absent, and the many other fields are Kubernetes' own affair.
Source: Kubernetes API reference v1.31, core/v1, apps/v1, batch/v1, discovery.k8s.io/v1; Argo Rollouts v1.7; OpenShift 4
apps.openshift.io/v1; Knative Serving v1.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping, Sequence

from hub.model import Transport
from hub.smi.fields import ANY, FieldReader, Labels, join, present, show
from hub.smi.kinds import Body, Kind, inner
from hub.smi.names import is_label, is_subdomain
from hub.smi.types import (
    EndpointSlice,
    Service,
    ServiceAccount,
    ServicePort,
    SliceEndpoint,
    SmiObject,
    Workload,
    WorkloadPort,
)

SERVICE_NAME_LABEL = "kubernetes.io/service-name"
_TRANSPORTS: Mapping[str, Transport] = {"": "TCP", "TCP": "TCP", "UDP": "UDP"}
_DISCOVERY = "discovery.k8s.io"

# --------------------------------------------------------------------------- shared parts


def _fields(reader: FieldReader, body: Body, key: str, path: str) -> Body:
    """The mapping at `key` without its nulls; empty if absent."""
    return present(reader.mapping(body.get(key, {}), join(path, key), ANY))


def _entries(reader: FieldReader, body: Body, key: str, path: str) -> Iterator[tuple[str, Body]]:
    """The mappings of the list at `key`, each without its nulls and with its path; none if absent."""
    for where, item in reader.entries(body, key, path):
        yield where, present(item)


def _transport(reader: FieldReader, body: Body, path: str) -> Transport | None:
    """TCP, UDP, or None for SCTP, which SMI cannot address."""
    protocol = reader.optional_text(body, "protocol", path)
    if protocol == "SCTP":
        reader.warn("port.transport", f"{path}.protocol", "SCTP ports are ignored", "SMI supports TCP and UDP only")
        return None
    if protocol not in _TRANSPORTS:
        message = f"{show(protocol)} is not a valid protocol"
        reader.refuse("field.value", f"{path}.protocol", message, 'use "TCP" or "UDP"')
    return _TRANSPORTS.get(protocol, "TCP")


def _labels(reader: FieldReader, body: Body, path: str) -> Labels:
    return reader.pairs(body.get("labels", {}), f"{path}.labels")


# --------------------------------------------------------------------------- Service, ServiceAccount


def decode_service(reader: FieldReader, value: Body, version: str) -> Service:
    """Read a Service; an ExternalName has no ports that anyone could be behind."""
    spec = _fields(reader, present(value), "spec", "")
    ports = tuple(_service_ports(reader, spec))
    selector = reader.pairs(spec.get("selector", {}), "spec.selector")
    external = spec.get("type") == "ExternalName"
    headless = spec.get("clusterIP") == "None"
    return Service(reader.ref, reader.origin, selector or None, () if external else ports, headless)


def _service_ports(reader: FieldReader, spec: Body) -> Iterator[ServicePort]:
    for path, body in _entries(reader, spec, "ports", "spec"):
        transport = _transport(reader, body, path)
        port = reader.port(body.get("port"), f"{path}.port")
        target = _target(reader, body, path, port)
        name = reader.optional_text(body, "name", path)
        app_protocol = reader.optional_text(body, "appProtocol", path)
        if transport is not None:
            yield ServicePort(port, transport, target, name, app_protocol)


def _target(reader: FieldReader, body: Body, path: str, port: int) -> int | str:
    """A number, a container port's name, or the Service's own number where nothing (or 0) is written."""
    target = body.get("targetPort", 0)
    # In Python False == 0; `targetPort: false` is a mistake to be reported, not the default.
    if target == "" or (target == 0 and not isinstance(target, bool)):
        return port
    if isinstance(target, str):
        if target.isdecimal():
            remedy = "write the number without quotes"
            reader.warn(
                "port.quoted",
                f"{path}.targetPort",
                f"{show(target)} is a string and is read as the name of a port",
                remedy,
            )
        return reader.text(body, "targetPort", path)
    return reader.port(target, f"{path}.targetPort")


def decode_account(reader: FieldReader, value: Body, version: str) -> ServiceAccount:
    """Read a ServiceAccount: only its name counts."""
    return ServiceAccount(reader.ref, reader.origin)


# --------------------------------------------------------------------------- Pods and pod templates


def decode_pod(reader: FieldReader, value: Body, version: str) -> Workload:
    """Read a Pod; `status` tells addresses and readiness, and nothing in it can make the Pod invalid."""
    pod = present(value)
    return _workload(reader, pod, "", addresses=_pod_addresses(pod), ready=_pod_ready(pod))


def _template(*keys: str) -> Callable[[FieldReader, Body, str], Workload]:
    """A decoder of the kinds whose pod template stands at these nested keys."""

    def decode(reader: FieldReader, value: Body, version: str) -> Workload:
        body, path = present(value), ""
        for key in keys:
            if key not in body:
                reader.missing(path, key, "a mapping; this kind has a pod template")
            body, path = _fields(reader, body, key, path), join(path, key)
        return _workload(reader, body, path)

    return decode


def _workload(
    reader: FieldReader, pod: Body, path: str, addresses: tuple[str, ...] = (), *, ready: bool = True
) -> Workload:
    """The workload that a Pod, or the pod template at `path`, describes."""
    metadata = _fields(reader, pod, "metadata", path)
    spec = _fields(reader, pod, "spec", path)
    where = join(path, "spec")
    return Workload(
        ref=reader.ref,
        origin=reader.origin,
        service_account=_account(reader, spec, where),
        labels=_labels(reader, metadata, join(path, "metadata")),
        # As written: of two container ports of one name, a Service's targetPort means the first.
        ports=tuple(dict.fromkeys(_container_ports(reader, spec, where))),
        addresses=addresses,
        ready=ready,
        annotations=_annotations(reader, metadata),
    )


def _annotations(reader: FieldReader, metadata: Body) -> Labels:
    """Those that meshes ask for, as others change too often; one that is not a text says nothing."""
    found = metadata.get("annotations")
    pairs = found.items() if isinstance(found, Mapping) else ()
    return tuple(sorted((key, value) for key, value in pairs if key in reader.annotations and isinstance(value, str)))


def _account(reader: FieldReader, spec: Body, path: str) -> str:
    """The Pod's service account; `serviceAccount` is the deprecated alias, and without either it is "default"."""
    named, alias = (reader.optional_text(spec, key, path) for key in ("serviceAccountName", "serviceAccount"))
    account, key = (named, "serviceAccountName") if named else (alias, "serviceAccount")
    if account and not is_subdomain(account):
        message = f"{show(account)} is not a valid service account name"
        reader.refuse("name.invalid", join(path, key), message, "use the name of a ServiceAccount")
    # As the API server fills it in: a Pod always runs under an account.
    return account or "default"


def _container_ports(reader: FieldReader, spec: Body, path: str) -> Iterator[WorkloadPort]:
    """Ports of containers, and of init containers that keep running beside them (sidecars)."""
    for key in ("containers", "initContainers"):
        for where, container in _entries(reader, spec, key, path):
            # Other init containers have ended before the Pod receives anything (Kubernetes, "Sidecar Containers").
            if key == "containers" or container.get("restartPolicy") == "Always":
                yield from _ports_of(reader, container, where)


def _ports_of(reader: FieldReader, container: Body, path: str) -> Iterator[WorkloadPort]:
    for where, body in _entries(reader, container, "ports", path):
        transport = _transport(reader, body, where)
        port = reader.port(body.get("containerPort"), f"{where}.containerPort")
        name = reader.optional_text(body, "name", where)
        if transport is not None:
            yield WorkloadPort(port, transport, name, app_port=port)


def _pod_addresses(pod: Body) -> tuple[str, ...]:
    """The Pod's IPs, the primary one first; entries that are none are passed over."""
    listed = inner(pod, "status", "podIPs")
    found = [inner(item, "ip") for item in listed] if isinstance(listed, list) else []
    candidates = [inner(pod, "status", "podIP"), *found]
    return tuple(dict.fromkeys(text for text in candidates if isinstance(text, str) and is_address(text)))


def _pod_ready(pod: Body) -> bool:
    """Whether the Pod's own conditions say so; a Pod that tells nothing counts as ready."""
    if inner(pod, "status", "phase") in ("Failed", "Succeeded") or inner(pod, "metadata", "deletionTimestamp"):
        return False
    conditions = inner(pod, "status", "conditions")
    listed = conditions if isinstance(conditions, list) else []
    return all(inner(item, "status") == "True" for item in listed if inner(item, "type") == "Ready")


def is_address(text: str) -> bool:
    """Whether the text is an IPv4 or IPv6 address without a zone."""
    if "%" in text:
        return False
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


# --------------------------------------------------------------------------- EndpointSlice


_MANAGER_LABEL, _MIRRORING = "endpointslice.kubernetes.io/managed-by", "endpointslicemirroring-controller.k8s.io"
_SKIP_LABEL, _LEADER_ANNOTATION = "endpointslice.kubernetes.io/skip-mirror", "control-plane.alpha.kubernetes.io/leader"


def decode_slice(reader: FieldReader, value: Body, version: str) -> EndpointSlice:
    """Read an EndpointSlice; the label `kubernetes.io/service-name` says whose it is."""
    body = present(value)
    labels = dict(_labels(reader, _fields(reader, body, "metadata", ""), "metadata"))
    service = labels.get(SERVICE_NAME_LABEL, "")
    if not is_label(service):
        message = f"the label {SERVICE_NAME_LABEL} is missing or invalid, so the slice is ignored"
        reader.warn("slice.no-service", "metadata.labels", message, "set it to the name of the Service")
    endpoints, ports = tuple(_endpoints(reader, body)), tuple(_slice_ports(reader, body, ""))
    # A mirrored slice repeats the Endpoints that it was made from, which may be among the documents as well.
    mirror = labels.get(_MANAGER_LABEL) == _MIRRORING
    return EndpointSlice(reader.ref, reader.origin, service, endpoints, ports, mirror)


def decode_endpoints(reader: FieldReader, value: Body, version: str) -> EndpointSlice:
    """Read Endpoints as the slice into which Kubernetes mirrors them; the Service is the one of their name.

    Source: Kubernetes, "EndpointSlices", EndpointSlice mirroring: neither with the label to skip it, nor those of a leader election.
    """
    body = present(value)
    meta = _fields(reader, body, "metadata", "")
    skipped = dict(_labels(reader, meta, "metadata")).get(_SKIP_LABEL) == "true"
    leads = _LEADER_ANNOTATION in _fields(reader, meta, "annotations", "metadata")
    found = tuple(_of_subsets(reader, body))
    return EndpointSlice(reader.ref, reader.origin, "" if skipped or leads else reader.ref.name, found, ())


def _of_subsets(reader: FieldReader, body: Body) -> Iterator[SliceEndpoint]:
    for path, subset in _entries(reader, body, "subsets", ""):
        ports = tuple(_slice_ports(reader, subset, path))
        for key in ("addresses", "notReadyAddresses"):
            for where, entry in _entries(reader, subset, key, path):
                usable = _usable(reader, (reader.optional_text(entry, "ip", where),), (f"{where}.ip",))
                yield SliceEndpoint(usable, _pod_of(reader, entry, where), key == "addresses", ports)


def _usable(reader: FieldReader, addresses: Sequence[str], places: Sequence[str]) -> tuple[str, ...]:
    """Those that are IP addresses; the others are told."""
    for address, where in zip(addresses, places, strict=True):
        if not is_address(address):
            message = f"{show(address)} is not an IP address and is ignored"
            reader.warn("slice.address", where, message, "use an IP address")
    return tuple(address for address in addresses if is_address(address))


def _endpoints(reader: FieldReader, body: Body) -> Iterator[SliceEndpoint]:
    for path, endpoint in _entries(reader, body, "endpoints", ""):
        addresses = reader.texts(endpoint.get("addresses", []), f"{path}.addresses")
        usable = _usable(reader, addresses, [f"{path}.addresses[{index}]" for index in range(len(addresses))])
        conditions = _fields(reader, endpoint, "conditions", path)
        # Unset means ready (EndpointSlice API, conditions.ready: "nil should be interpreted as true").
        ready = conditions.get("ready", True) is True
        yield SliceEndpoint(usable, _pod_of(reader, endpoint, path), ready)


def _pod_of(reader: FieldReader, endpoint: Body, path: str) -> str:
    """The Pod behind an endpoint, "" if none is told; a Pod of another namespace cannot be behind this slice."""
    target = _fields(reader, endpoint, "targetRef", path)
    name, namespace = target.get("name"), target.get("namespace", "") or reader.ref.namespace
    if target.get("kind") != "Pod" or not isinstance(name, str) or not is_subdomain(name):
        return ""
    if namespace != reader.ref.namespace:
        message = "the Pod is in another namespace, so the endpoint's identity is unknown"
        reader.report("slice.foreign-pod", f"{path}.targetRef", message, "refer to a Pod in the slice's namespace")
        return ""
    return name


def _slice_ports(reader: FieldReader, body: Body, inside: str) -> Iterator[tuple[str, int, Transport]]:
    for path, port in _entries(reader, body, "ports", inside):
        transport = _transport(reader, port, path)
        name = reader.optional_text(port, "name", path)
        if "port" not in port:
            reader.warn("slice.no-port", path, "a port without a number is ignored", 'set "port"')
            continue
        number = reader.port(port["port"], f"{path}.port")
        if transport is not None:
            yield name, number, transport


# --------------------------------------------------------------------------- table


def _kind(
    decode: Callable[[FieldReader, Body, str], SmiObject],
    is_name: Callable[[str], bool] = is_subdomain,
    versions: tuple[str, ...] = ("v1",),
) -> Kind:
    return Kind(versions, decode, is_name=is_name)


def is_elsewhere(group: str, kind: str, value: Body) -> bool:
    """Whether this is a Rollout of somebody else's pod template, which is a workload by itself.

    Source: https://argo-rollouts.readthedocs.io/en/stable/migrating/#reference-an-existing-deployment-from-a-rollout.
    """
    named = inner(value, "spec", "workloadRef") is not None
    return (group, kind) == ("argoproj.io", "Rollout") and named and inner(value, "spec", "template") is None


KINDS: Mapping[tuple[str, str], Kind] = {
    ("", "Service"): _kind(decode_service, is_label),
    ("", "ServiceAccount"): _kind(decode_account),
    ("", "Pod"): _kind(decode_pod),
    ("", "Endpoints"): _kind(decode_endpoints),
    **{
        ("apps", kind): _kind(_template("spec", "template"))
        for kind in ("DaemonSet", "Deployment", "ReplicaSet", "StatefulSet")
    },
    ("argoproj.io", "Rollout"): _kind(_template("spec", "template"), versions=("v1alpha1",)),
    ("apps.openshift.io", "DeploymentConfig"): _kind(_template("spec", "template")),
    ("serving.knative.dev", "Service"): _kind(_template("spec", "template"), is_label),
    ("batch", "Job"): _kind(_template("spec", "template")),
    ("batch", "CronJob"): _kind(_template("spec", "jobTemplate", "spec", "template")),
    (_DISCOVERY, "EndpointSlice"): _kind(decode_slice),
}
