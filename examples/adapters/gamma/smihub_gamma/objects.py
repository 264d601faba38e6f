"""Bodies of routes, as canonical JSON. Every field that an API server would fill in is written, so that nothing differs there.

One route for each port of a Service, in the Service's own namespace: a *producer* route, which holds for callers of every namespace.
Source: GEP-1294 (https://gateway-api.sigs.k8s.io/geps/gep-1294/), "Ports" and "Namespace boundaries".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import msgspec

from hub.api import NativeObject, ObjectRef, Role, Route
from smihub_gamma.conditions import Condition

GROUP = "gateway.networking.k8s.io"
NOBODY = "nobody.smihub.invalid"
"""No Service can have this name, for it has dots: where all weights are zero, calls go to a backend that is invalid, which every
implementation must refuse (HTTPRouteRule, TCPRouteRule, backendRefs). Of a list of weights of zero the text says nothing."""
Json = dict[str, Any]
Weights = Mapping[str, int]
_LONGEST = 253


def route(unit: Route, port: int, kind: str, version: str, rules: Sequence[Json]) -> NativeObject:
    """The route of one port of a Service."""
    ref = ObjectRef(GROUP, kind, unit.namespace, name(unit.service, port))
    body = {
        "apiVersion": f"{GROUP}/{version}",
        "kind": kind,
        "metadata": {"name": ref.name, "namespace": ref.namespace},
        "spec": {
            "parentRefs": [{"group": "", "kind": "Service", "name": unit.service, "port": port}],
            "rules": list(rules),
        },
    }
    return NativeObject(ref, Role.ROUTE, msgspec.json.encode(body, order="deterministic"))


def name(service: str, port: int) -> str:
    """`smihub-SERVICE-PORT`; where that is too long, 128 bits that stand for it, behind a dot, which no short name has there."""
    plain = f"smihub-{service}-{port}"
    return plain if len(plain) <= _LONGEST else f"smihub.{sha256(plain.encode()).hexdigest()[:32]}"


def backends(weights: Weights, port: int) -> list[Json]:
    """Those that have a positive weight; where none has, one that does not exist."""
    shares = {service: weight for service, weight in sorted(weights.items()) if weight} or {NOBODY: 1}
    return [
        {"group": "", "kind": "Service", "name": service, "port": port, "weight": weight}
        for service, weight in shares.items()
    ]


def http_match(condition: Condition) -> Json:
    """A condition as HTTPRouteMatch."""
    body: Json = {"path": {"type": "Exact" if condition.exact else "PathPrefix", "value": condition.path}}
    if condition.method:
        body["method"] = condition.method
    return body | _headers(condition)


def grpc_match(condition: Condition) -> Json:
    """A condition as GRPCRouteMatch; the path is `/service` or `/service/method`."""
    service, _, method = condition.path[1:].partition("/")
    called = {"type": "Exact", "service": service} | ({"method": method} if method else {})
    return ({"method": called} if service else {}) | _headers(condition)


def _headers(condition: Condition) -> Json:
    found = [{"type": "Exact", "name": header, "value": value} for header, value in condition.headers]
    return {"headers": found} if found else {}
