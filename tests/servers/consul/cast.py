"""Who stands in every world of the Consul mesh: a Pod for each account, the Service of the same name, and its Consul service.

A Consul service is its own identity, so an account, the Service in front of it, and their Consul service are one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from tests.servers.worlds import NAMESPACE, service

HTTP, RAW = 8080, 5432


class Cast(Struct, frozen=True):
    """Who stands in a mesh: callers, callees with their protocol, and Services for splits with nobody behind them."""

    callers: tuple[str, ...]
    callees: Mapping[str, str]
    virtual: tuple[str, ...]

    @property
    def accounts(self) -> tuple[str, ...]:
        """Whoever has a sidecar."""
        return tuple(dict.fromkeys((*self.callers, *self.callees)))

    def port(self, account: str) -> int:
        """The one port of an account's Pod."""
        return RAW if self.callees.get(account) == "tcp" else HTTP

    def app(self, account: str) -> str:
        """The application of an account, as judges know it."""
        return f"{NAMESPACE}/{pod_of(account)}:{self.port(account)}"


SHOP = Cast(
    ("web", "partner", "orders", "api"),
    {**dict.fromkeys(("api", "api-v1", "api-v2", "orders", "catalog"), "http"), "ledger": "tcp"},
    ("shop",),
)


def consul_name(name: str) -> str:
    """The Consul service of an account, or of a Service, of the shop."""
    return f"{NAMESPACE}_{name}"


def pod_of(account: str) -> str:
    """The Pod of an account."""
    return f"{account}-1"


def standing_documents() -> list[dict[str, Any]]:
    """What is in every world of the shop."""
    return [*map(_pod, SHOP.accounts), *map(_service, (*SHOP.accounts, *SHOP.virtual))]


def _service(name: str) -> dict[str, Any]:
    port = ("tcp", RAW, RAW) if SHOP.port(name) == RAW else ("http", 80, HTTP)
    return service(name, {"app": name}, port)


def _pod(name: str) -> dict[str, Any]:
    address = f"10.1.0.{10 + SHOP.accounts.index(name)}"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": pod_of(name), "namespace": NAMESPACE, "labels": {"app": name, "smihub.io/sa": name}},
        "spec": {
            "serviceAccountName": name,
            "nodeName": "node",
            "containers": [{"name": "app", "image": "app", "ports": [{"containerPort": SHOP.port(name)}]}],
        },
        "status": {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }
