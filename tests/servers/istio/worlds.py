"""Small SMI worlds over the standing Pods, and the calls that try their boundaries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

from hub.model import Destination, Request, Source
from tests.servers.istio.pods import NAMESPACE, PODS, service

BOOKSHOP = Path(__file__).parents[3] / "deploy" / "examples" / "bookshop"
Lines = tuple[tuple[str, str], ...]


class World(Struct, frozen=True):
    """SMI objects (the Pods and Services stand anyway), single requests, and requests whose shares are counted."""

    name: str
    values: tuple[dict[str, Any], ...]
    requests: tuple[Request, ...]
    counted: tuple[Request, ...] = ()


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


# ------------------------------------------------------------------------------------------------------ SMI, in short


def group(name: str, *matches: Mapping[str, Any]) -> dict[str, Any]:
    """An HTTPRouteGroup; matches without a name are numbered."""
    named = [{"name": f"m{index}", **one} for index, one in enumerate(matches)]
    return _smi("specs", "v1alpha4", "HTTPRouteGroup", name, {"matches": named})


def ports(name: str, *numbers: int) -> dict[str, Any]:
    """A TCPRoute."""
    return _smi("specs", "v1alpha4", "TCPRoute", name, {"matches": {"ports": list(numbers)}})


def target(name: str, account: str, sources: Iterable[str], *rules: str) -> dict[str, Any]:
    """A TrafficTarget; rules as `http:name` or `tcp:name`."""
    kinds = {"http": "HTTPRouteGroup", "tcp": "TCPRoute"}
    spec = {
        "destination": _account(account),
        "sources": [_account(one) for one in sources],
        "rules": [{"kind": kinds[kind], "name": named} for kind, _, named in (rule.partition(":") for rule in rules)],
    }
    return _smi("access", "v1alpha3", "TrafficTarget", name, spec)


def split(name: str, root: str, shares: Mapping[str, int], *conditions: str) -> dict[str, Any]:
    """A TrafficSplit, conditional if HTTPRouteGroups are named."""
    spec: dict[str, Any] = {"service": root, "backends": [{"service": one, "weight": n} for one, n in shares.items()]}
    if conditions:
        spec["matches"] = [{"kind": "HTTPRouteGroup", "name": one} for one in conditions]
    return _smi("split", "v1alpha4", "TrafficSplit", name, spec)


def _account(name: str) -> dict[str, str]:
    return {"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}


def _smi(part: str, version: str, kind: str, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    meta = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": f"{part}.smi-spec.io/{version}", "kind": kind, "metadata": meta, "spec": dict(spec)}


# ----------------------------------------------------------------------------------------------------------- requests


def call(pod: str, callee: str, port: int, path: str = "/", method: str = "GET", headers: Lines = ()) -> Request:
    """An HTTP call of a Pod to a Service."""
    source, place = Source(pod=f"{NAMESPACE}/{pod}"), Destination(service=f"{NAMESPACE}/{callee}")
    return Request(source, place, port, "http", method, path, headers)


def bytes_to(pod: str, callee: str, port: int) -> Request:
    """A line of text from a Pod to a Service."""
    return Request(Source(pod=f"{NAMESPACE}/{pod}"), Destination(service=f"{NAMESPACE}/{callee}"), port, "tcp")


def plain(callee: str, port: int, path: str = "/", protocol: Any = "http") -> Request:
    """A call in plain text, by somebody without a sidecar, to a Pod at its own address, or to a Service."""
    name = f"{NAMESPACE}/{callee}"
    place = Destination(pod=name) if callee in {pod.name for pod in PODS} else Destination(service=name)
    return Request(Source(outside=True), place, port, protocol, "GET", path)


def certified(spiffe: str, pod: str, port: int, path: str = "/", method: str = "GET", headers: Lines = ()) -> Request:
    """An HTTP call with a certificate straight to a Pod, past every sidecar but its own."""
    return Request(Source(spiffe=spiffe), Destination(pod=f"{NAMESPACE}/{pod}"), port, "http", method, path, headers)


def spiffe(account: str) -> str:
    """The SPIFFE id of an account of the shop."""
    return f"spiffe://cluster.local/ns/{NAMESPACE}/sa/{account}"


def calls(
    pods: Sequence[str],
    callee: str,
    port: int,
    paths: Sequence[str] = ("/",),
    methods: Sequence[str] = ("GET",),
    headers: Sequence[Lines] = ((),),
) -> Iterator[Request]:
    """Every combination."""
    for pod, path, method, lines in product(pods, paths, methods, headers):
        yield call(pod, callee, port, path, method, lines)
