"""SMI objects and requests of the namespace `shop`, in short; what of them is tried together is a world."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from msgspec import Struct

from hub.model import Destination, Request, Source

NAMESPACE = "shop"
Lines = tuple[tuple[str, str], ...]


class World(Struct, frozen=True):
    """SMI objects (the Pods and Services stand anyway), single requests, and requests whose shares are counted."""

    name: str
    values: tuple[dict[str, Any], ...]
    requests: tuple[Request, ...]
    counted: tuple[Request, ...] = ()


# ------------------------------------------------------------------------------------------------- objects, in short


def service(name: str, selector: Mapping[str, str], *ports: tuple[str, int, int | str]) -> dict[str, Any]:
    """A Service; its ports as name, number and target."""
    listed = [{"name": called, "port": port, "targetPort": target} for called, port, target in ports]
    meta = {"name": name, "namespace": NAMESPACE}
    spec = {"selector": dict(selector), "ports": listed}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}


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
