"""Worlds about one Service that several TrafficSplits share out: overlapping conditions, ages against names, weights of zero."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

_GROUPS: Mapping[str, Mapping[str, Any]] = {
    "path": {"pathRegex": "/a"},
    "prefix": {"pathRegex": "/a.*"},
    "method": {"methods": ["GET"]},
    "header": {"headers": {"x-tier": "gold"}},
    "every": {"methods": ["*"]},
}
_SERVICES = ("root", "a", "b", "c")


def make_split_values(rng: Random) -> list[Any]:
    """The objects of such a world; every caller named `web` may send everything."""
    splits = [_split(rng, name) for name in rng.sample(("k", "m", "z", "b", "q"), rng.randrange(1, 5))]
    groups = [
        _object("specs.smi-spec.io/v1alpha4", "HTTPRouteGroup", name, {"matches": [{"name": "m", **match}]})
        for name, match in _GROUPS.items()
    ]
    values = [one for name in _SERVICES for one in _service(rng, name)] + groups + splits + [_target()]
    rng.shuffle(values)
    return values


def _object(api: str, kind: str, name: str, spec: Any, **meta: Any) -> Any:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": "d", **meta}, "spec": spec}


def _service(rng: Random, name: str) -> list[Any]:
    account = "api" if rng.randrange(5) else "pay"
    containers = [{"name": "main", "ports": [{"containerPort": 8080}]}]
    pod = _object(
        "v1", "Pod", f"{name}-1", {"serviceAccountName": account, "containers": containers}, labels={"app": name}
    )
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    return [pod, _object("v1", "Service", name, {"selector": {"app": name}, "ports": ports})]


def _split(rng: Random, name: str) -> Any:
    backends = [
        {"service": service, "weight": rng.choice((0, 0, 1, 2, 90))}
        for service in rng.sample(_SERVICES[1:], rng.randrange(1, 4))
    ]
    spec: Any = {"service": "root", "backends": backends}
    if rng.randrange(4):
        spec["matches"] = [{"kind": "HTTPRouteGroup", "name": rng.choice(tuple(_GROUPS))}]
    age = {"creationTimestamp": f"2024-01-0{rng.randrange(1, 8)}T00:00:00Z"} if rng.randrange(5) else {}
    return _object("split.smi-spec.io/v1alpha4", "TrafficSplit", name, spec, **age)


def _target() -> Any:
    account = {"kind": "ServiceAccount", "namespace": "d"}
    spec = {
        "destination": {**account, "name": "api"},
        "sources": [{**account, "name": "web"}],
        "rules": [{"kind": "HTTPRouteGroup", "name": "every"}],
    }
    return _object("access.smi-spec.io/v1alpha4", "TrafficTarget", "t", spec)
