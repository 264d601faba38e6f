"""Random worlds as Consul can have them: behind each Service the account of its name, which receives on one port.

Of other worlds Consul carries nearly nothing, so nothing would be seen.
"""

from __future__ import annotations

from random import Random
from typing import Any

from hub.testing.cluster import NAMESPACES, SERVICES
from hub.testing.worlds import make_values

PORT = 8080
_FACTS = frozenset(("Pod", "Workload", "Service", "EndpointSlice", "Deployment"))


def consul_values(rng: Random) -> list[Any]:
    """The objects of a random world, with other Pods and Services, and TrafficTargets about their accounts."""
    values = [value for value in make_values(rng) if not _is_fact(value) or rng.randrange(12) == 0]
    values = [_aimed(rng, value) for value in values]
    for namespace in sorted(set(NAMESPACES)):
        for name in SERVICES:
            values += [_pod(rng, namespace, name), _service(rng, namespace, name)] if rng.randrange(8) else []
    rng.shuffle(values)
    return values


def _is_fact(value: Any) -> bool:
    return not isinstance(value, dict) or str(value.get("kind")) in _FACTS


def _aimed(rng: Random, value: Any) -> Any:
    """Most TrafficTargets are for accounts of these worlds, and many route groups for the port of them all."""
    try:
        if value["kind"] == "TrafficTarget" and rng.randrange(6):
            for one in (value["spec"]["destination"], *value["spec"]["sources"]):
                one["name"] = rng.choice(SERVICES) if one["kind"] == "ServiceAccount" else one["name"]
            value["spec"]["destination"].pop("port", None)
        if value["kind"] == "TCPRoute" and rng.randrange(3):
            value["spec"]["matches"]["ports"] = [PORT]
    except (KeyError, TypeError, AttributeError):
        pass  # one that was damaged stays as it is
    return value


def _pod(rng: Random, namespace: str, name: str) -> Any:
    ports = [{"containerPort": PORT}] if rng.randrange(6) else []
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"{name}-0", "namespace": namespace, "labels": {"app": name}},
        "spec": {"serviceAccountName": name, "containers": [{"name": "a", "ports": ports}]},
    }


def _service(rng: Random, namespace: str, name: str) -> Any:
    word = rng.choice(("http", "http", "http", "http", "tcp", ""))
    port: dict[str, Any] = {"port": 80, "targetPort": PORT} | ({"name": f"{word}-a"} if word else {})
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"app": name}, "ports": [port]},
    }
