"""How Istio takes a port: by the word that its Service declares, by a well-known number, or by the first bytes.

Source: https://istio.io/latest/docs/ops/configuration/traffic-management/protocol-selection/ (also on server first
protocols: undeclared Service ports of four numbers are taken for TCP).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from hub.api import Exposed, Facts, ObjectRef

Kind = Literal["http", "tcp", "none"]
_HTTP = frozenset({"http", "http2", "grpc", "grpc-web", "kubernetes.io/h2c", "kubernetes.io/ws"})
_TCP = frozenset({"tcp", "tls", "https", "mongo", "mysql", "redis", "kubernetes.io/wss"})
_SERVER_FIRST = frozenset({25, 53, 3306, 27017})


def spoken(port: Exposed, number: int) -> Kind:
    """How a sidecar takes a Service port; "none": by what the first bytes look like."""
    word = (port.app_protocol or port.name.partition("-")[0]).lower()
    if word in _HTTP:
        return "http"
    return "tcp" if word in _TCP or number in _SERVER_FIRST else "none"


def received(facts: Facts) -> Mapping[tuple[ObjectRef, int], Kind]:
    """How a receiver's sidecar takes its ports, by what the Services before it declare; "none" where these disagree."""
    found: dict[tuple[ObjectRef, int], set[Kind]] = {}
    for place, exposed in facts.exposed.items():
        for endpoint in facts.endpoints.get(place, ()) if exposed.transport == "TCP" else ():
            found.setdefault((endpoint.workload, endpoint.port), set()).add(spoken(exposed, place[2]))
    return {key: next(iter(kinds)) if len(kinds) == 1 else "none" for key, kinds in found.items()}
