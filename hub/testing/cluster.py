"""Random Kubernetes objects and Workloads, with few names so that they collide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

Value = dict[str, Any]

NAMESPACES = (*("d",) * 10, "x", "default")
ACCOUNTS = ("api", "api", "api", "web", "web", "pay", "s.vc", "default")
SERVICES = ("api", "web", "v1", "v2")
PORTS = (80, 8080, 3306, 5432)
LABELS: Sequence[Mapping[str, str]] = (
    {"app": "api"},
    {"app": "api"},
    {"app": "api"},
    {"app": "web"},
    {"app": "api", "track": "canary"},
    {"tier": "front"},
    {"app": "web", "tier": "front"},
)
PROTOCOLS = ("http-a", "http2", "grpc-x", "tcp-a", "tls", "https-x", "mysql", "web", "", "HTTP-x", "admin")


def meta_of(rng: Random, name: str, labels: Mapping[str, str] | None = None) -> Value:
    """Metadata in a random namespace, `default` sometimes by silence."""
    meta: Value = {"name": name, "namespace": rng.choice(NAMESPACES)}
    if meta["namespace"] == "default" and rng.randrange(2):
        del meta["namespace"]
    if labels:
        meta["labels"] = dict(labels)
    return meta


def service(rng: Random) -> Value:
    """Ports under few numbers, named so that they declare something or nothing; seldom without a selector."""
    ports = []
    for port in rng.sample(PORTS, rng.randrange(2, 5)):
        one: Value = {"port": port}
        if name := rng.choice(PROTOCOLS):
            one["name"] = name
        if rng.randrange(6) == 0:
            one["appProtocol"] = rng.choice(("http", "tcp-x", "kubernetes.io/h2c", "HTTPS", "strange"))
        if rng.randrange(4) == 0:
            one["targetPort"] = rng.choice((*PORTS, "main", "http-a", ""))
        if rng.randrange(8) == 0:
            one["protocol"] = rng.choice(("UDP", "TCP"))
        ports.append(one)
    spec: Value = {"selector": dict(rng.choice(LABELS)), "ports": ports}
    if rng.randrange(8) == 0:
        del spec["selector"]
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta_of(rng, rng.choice(SERVICES)), "spec": spec}


def _container(rng: Random) -> Value:
    ports = []
    for port in rng.sample(PORTS, rng.randrange(2, 5)):
        one: Value = {"containerPort": port}
        if rng.randrange(4) == 0:
            one["name"] = rng.choice(("main", "http-a"))
        if rng.randrange(8) == 0:
            one["protocol"] = "UDP"
        ports.append(one)
    return {"name": "main", "image": "example.invalid/app", "ports": ports}


def _pod_spec(rng: Random) -> Value:
    spec: Value = {"containers": [_container(rng)]}
    if rng.randrange(6) == 0:
        spec["initContainers"] = [_container(rng) | {"restartPolicy": rng.choice(("Always", "Never"))}]
    if rng.randrange(8):
        spec["serviceAccountName"] = rng.choice(ACCOUNTS)
    if rng.randrange(12) == 0:
        spec["serviceAccount"] = rng.choice(ACCOUNTS)
    return spec


def pod(rng: Random) -> Value:
    """A Pod under few names."""
    meta = meta_of(rng, f"pod-{rng.randrange(9)}", rng.choice(LABELS))
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": _pod_spec(rng)}


def template(rng: Random) -> Value:
    """A Deployment or its like."""
    kind = rng.choice(("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"))
    template = {"metadata": {"labels": dict(rng.choice(LABELS))}, "spec": _pod_spec(rng)}
    spec = {"selector": {"matchLabels": template["metadata"]["labels"]}, "template": template}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": meta_of(rng, f"tpl-{rng.randrange(3)}"), "spec": spec}


def workload(rng: Random) -> Value:
    """A smihub.io Workload."""
    ports = []
    for port in rng.sample(PORTS, rng.randrange(1, 4)):
        one: Value = {"port": port}
        if rng.randrange(3) == 0:
            one["appProtocol"] = rng.choice(("http", "tcp", "grpc", "odd"))
        if rng.randrange(4) == 0:
            one["name"] = rng.choice(("main", "http-a"))
        if rng.randrange(4) == 0:
            one["appPort"] = port + 10000
        if rng.randrange(6) == 0:
            one["appAddress"] = rng.choice(("127.0.2.1", "127.0.2.2"))
        ports.append(one)
    number = rng.randrange(4)
    spec: Value = {"serviceAccount": rng.choice(ACCOUNTS), "addresses": [f"127.0.1.{number + 1}"], "ports": ports}
    meta = meta_of(rng, f"vm-{number}", rng.choice(LABELS))
    return {"apiVersion": "smihub.io/v1alpha1", "kind": "Workload", "metadata": meta, "spec": spec}


def endpoints(rng: Random) -> Value:
    """An EndpointSlice, of a Service with or without a selector, of Pods that are there or not."""
    meta = meta_of(rng, f"slice-{rng.randrange(3)}", {"kubernetes.io/service-name": rng.choice(SERVICES)})
    ports = [{"name": rng.choice(PROTOCOLS), "port": rng.choice(PORTS)} for _ in range(rng.randrange(1, 3))]
    if rng.randrange(8) == 0:
        ports[0]["protocol"] = "UDP"
    behind = [_endpoint(rng, f"10.0.1.{number}") for number in range(rng.randrange(1, 4))]
    if meta["name"] == "slice-2":
        return _as_endpoints(meta, behind, ports)
    if meta["name"] == "slice-1" and len(behind) == 1:
        meta["labels"] = {**meta["labels"], "endpointslice.kubernetes.io/managed-by": _MIRRORING}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": meta,
        "endpoints": behind,
        "ports": ports,
    }


_MIRRORING = "endpointslicemirroring-controller.k8s.io"


def _as_endpoints(meta: Value, behind: list[Value], ports: list[Value]) -> Value:
    """The same as Endpoints of the Service, each address in a subset of its own."""
    named = {**meta, "name": meta["labels"]["kubernetes.io/service-name"]}
    subsets = [
        {
            "addresses" if one.get("conditions") is None else "notReadyAddresses": [
                {"ip": one["addresses"][0], **({"targetRef": one["targetRef"]} if "targetRef" in one else {})}
            ],
            "ports": ports[: 1 + index % 2],
        }
        for index, one in enumerate(behind)
    ]
    return {"apiVersion": "v1", "kind": "Endpoints", "metadata": named, "subsets": subsets}


def _endpoint(rng: Random, address: str) -> Value:
    one: Value = {"addresses": [address]}
    if rng.randrange(6):
        one["targetRef"] = {"kind": "Pod", "name": f"pod-{rng.randrange(9)}"}
    if rng.randrange(4) == 0:
        one["targetRef"] = {**one.get("targetRef", {}), "namespace": rng.choice(("d", "x", "", None))}
    if rng.randrange(4) == 0:
        one["conditions"] = {"ready": rng.choice((True, False, None))}
    return one
