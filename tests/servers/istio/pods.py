"""Who stands in the mesh: Pods, the Services in front of them, and the EndpointSlices that join the two."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from tests.servers.worlds import NAMESPACE

ACCOUNT_LABEL = "smihub.io/sa"
PORTS = {"http": 8080, "admin": 9090, "postgres": 5432, "spare": 7070}
"""The container ports of every Pod; each answers HTTP and lines of text alike."""


class Pod(Struct, frozen=True):
    """One Pod of namespace `shop`; `captured` tells whether it has a sidecar."""

    name: str
    account: str
    address: str
    labels: dict[str, str]
    captured: bool = True

    def manifest(self) -> dict[str, Any]:
        """The object, without its status. A sidecar's label makes callers use mTLS."""
        ports = [{"name": name, "containerPort": number} for name, number in PORTS.items()]
        mode = {"security.istio.io/tlsMode": "istio", ACCOUNT_LABEL: self.account} if self.captured else {}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": self.name, "namespace": NAMESPACE, "labels": {**self.labels, **mode}},
            "spec": {
                "serviceAccountName": self.account,
                "nodeName": "node",
                "containers": [{"name": "app", "image": "app", "ports": ports}],
            },
        }

    def status(self) -> dict[str, Any]:
        """What a kubelet would report."""
        return {
            "phase": "Running",
            "podIP": self.address,
            "podIPs": [{"ip": self.address}],
            "conditions": [{"type": "Ready", "status": "True"}],
        }

    def document(self) -> dict[str, Any]:
        """The object as an API server would give it to the hub."""
        return {**self.manifest(), "status": self.status()}


def _pod(number: int, name: str, account: str, *, captured: bool = True, **labels: str) -> Pod:
    return Pod(name, account, f"10.1.0.{10 + number}", labels, captured)


PODS = (
    _pod(1, "web-1", "web", app="web"),
    _pod(2, "partner-1", "partner", app="partner"),
    _pod(3, "api-v1-1", "api", app="api", version="v1"),
    _pod(4, "api-v2-1", "api", app="api", version="v2"),
    _pod(5, "orders-1", "orders", app="orders"),
    _pod(6, "catalog-1", "catalog", app="catalog"),
    _pod(7, "ledger-1", "ledger", app="ledger"),
    _pod(8, "plain-1", "plain", captured=False, app="plain"),
)


def slices(services: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """An EndpointSlice per Service with its Pods, as the controller manager would write it."""
    for one in services:
        chosen = [pod for pod in PODS if one["spec"]["selector"].items() <= pod.labels.items()]
        name = one["metadata"]["name"]
        yield {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": name,
                "namespace": NAMESPACE,
                "labels": {"kubernetes.io/service-name": name},
            },
            "addressType": "IPv4",
            "endpoints": [_endpoint(pod) for pod in chosen],
            "ports": [_slice_port(port) for port in one["spec"]["ports"]],
        }


def _endpoint(pod: Pod) -> dict[str, Any]:
    target = {"kind": "Pod", "name": pod.name, "namespace": NAMESPACE}
    return {"addresses": [pod.address], "conditions": {"ready": True}, "nodeName": "node", "targetRef": target}


def _slice_port(port: Mapping[str, Any]) -> dict[str, Any]:
    target = port.get("targetPort", port["port"])
    number = PORTS[target] if isinstance(target, str) else target
    return {"name": port["name"], "port": number, "protocol": "TCP"}
