"""VirtualServices of `web`, written as Istio has them, and where a request goes by them."""

from __future__ import annotations

from typing import Any

from hub.api import NativeObject, Request
from tests.adapters.istio.test_evaluate_workloads import (
    call,
    judged,
    native,
)

Json = Any
V1, V2 = {"web-v1": "1"}, {"web-v2": "1"}
"""The shares of a request that goes to one version alone."""


def to(service: str, weight: int | None = None, port: int | None = 8080) -> Json:
    """A destination of the namespace."""
    destination: Json = {"host": f"{service}.default.svc.cluster.local"}
    if port is not None:
        destination["port"] = {"number": port}
    return {"destination": destination} | ({} if weight is None else {"weight": weight})


def vs(*entries: Json, host: str = "web.default.svc.cluster.local", **parts: Json) -> NativeObject:
    """The VirtualService of `web`."""
    return native("VirtualService", {"hosts": [host], "http": list(entries), **parts}, "web")


def split(*route: Json, **match: Json) -> Json:
    """An HTTP entry: matches on 8080, if anything is asked, and destinations."""
    return {"match": [{"port": 8080, **match}], "route": list(route)}


def shares(objects: list[NativeObject], request: Request | None = None) -> Json:
    """The exact shares, or the word where nobody has one."""
    answer = judged(objects, request or call())
    return answer.weights or answer.route
