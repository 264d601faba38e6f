"""Who stands in every world of the Istio mesh: Pods, and the Services in front of them; and who has no sidecar."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from hub.model import Destination, Request, Source
from tests.servers.istio.pods import PODS
from tests.servers.worlds import NAMESPACE, service

BOOKSHOP = Path(__file__).parents[3] / "deploy" / "examples" / "bookshop"


def _read(*names: str) -> list[dict[str, Any]]:
    texts = [(BOOKSHOP / name).read_text(encoding="utf-8") for name in names]
    return [one for text in texts for one in yaml.load_all(text, yaml.CSafeLoader) if one]


def _of_bookshop() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The Services of the example, and its SMI objects; its Workloads stand here as Pods."""
    every = _read(*sorted(path.name for path in BOOKSHOP.glob("*.yaml")))
    services = [one for one in every if one["kind"] == "Service"]
    return services, [one for one in every if one["kind"] not in {"Service", "Workload"}]


_SHOP_SERVICES, _SHOP = _of_bookshop()
SERVICES: tuple[dict[str, Any], ...] = (
    *_SHOP_SERVICES,
    service(
        "mix", {"app": "api", "version": "v1"}, ("http-a", 8080, 8080), ("http-b", 9090, 9090), ("tcp-c", 5432, 5432)
    ),
    service("db", {"app": "ledger"}, ("tcp", 5432, 5432)),
    service("db-1", {"app": "ledger"}, ("tcp", 5432, 5432)),
    service("db-2", {"app": "orders"}, ("tcp", 5432, 5432)),
    service("gone", {"app": "nobody"}, ("http", 80, 8080)),
)


def standing_documents() -> list[dict[str, Any]]:
    """What is in every world."""
    return [*(pod.document() for pod in PODS), *SERVICES]


def plain(callee: str, port: int, path: str = "/", protocol: Any = "http") -> Request:
    """A call in plain text, by somebody without a sidecar, to a Pod at its own address, or to a Service."""
    name = f"{NAMESPACE}/{callee}"
    place = Destination(pod=name) if callee in {pod.name for pod in PODS} else Destination(service=name)
    return Request(Source(outside=True), place, port, protocol, "GET", path)
