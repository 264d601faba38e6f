"""Who stands in every world of the Consul mesh: a Pod for each account, the Service of the same name, and its Consul service.

A Consul service is its own identity, so an account, the Service in front of it, and their Consul service are one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.servers.worlds import NAMESPACE, service

HTTP, RAW = 8080, 5432
CALLEES: Mapping[str, str] = {
    **dict.fromkeys(("api", "api-v1", "api-v2", "orders", "catalog"), "http"),
    "ledger": "tcp",
}
"""Their protocols."""
CALLERS = ("web", "partner", "orders", "api")
ACCOUNTS = tuple(dict.fromkeys((*CALLERS, *CALLEES)))
VIRTUAL = ("shop",)
"""Services without anybody behind them, for splits."""


def consul_name(name: str) -> str:
    """The Consul service of an account, or of a Service, of the shop."""
    return f"{NAMESPACE}_{name}"


def pod_of(name: str) -> str:
    """The Pod of an account."""
    return f"{name}-1"


def app_of(name: str) -> str:
    """The application of an account, as judges know it."""
    return f"{NAMESPACE}/{pod_of(name)}:{port_of(name)}"


def port_of(name: str) -> int:
    """The one port of an account's Pod."""
    return RAW if CALLEES.get(name) == "tcp" else HTTP


def standing_documents() -> list[dict[str, Any]]:
    """What is in every world."""
    return [*map(_pod, ACCOUNTS), *map(_service, (*ACCOUNTS, *VIRTUAL))]


def _service(name: str) -> dict[str, Any]:
    port = ("tcp", RAW, RAW) if port_of(name) == RAW else ("http", 80, HTTP)
    return service(name, {"app": name}, port)


def _pod(name: str) -> dict[str, Any]:
    address = f"10.1.0.{10 + ACCOUNTS.index(name)}"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": pod_of(name), "namespace": NAMESPACE, "labels": {"app": name, "smihub.io/sa": name}},
        "spec": {
            "serviceAccountName": name,
            "nodeName": "node",
            "containers": [{"name": "app", "image": "app", "ports": [{"containerPort": port_of(name)}]}],
        },
        "status": {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }
