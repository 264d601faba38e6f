"""How Istio takes a port: by the word that its Service declares, by a well-known number, or by the first bytes.

Source: https://istio.io/latest/docs/ops/configuration/traffic-management/protocol-selection/ (also on server first
protocols: undeclared Service ports of four numbers are taken for TCP). That a dash ends an appProtocol as it ends a name, and
what becomes of TLS ports and of TCP ports called "udp", was observed on Istio 1.31
(tests/adapters/istio/test_splits_on_istio.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from hub.api import Exposed, Facts, ObjectRef

Kind = Literal["http", "tcp", "none"]
Spoken = Literal["http", "tcp", "tls", "udp", "none"]
_WORDS: Mapping[str, Spoken] = {
    **dict.fromkeys(("http", "http2", "grpc", "http_proxy"), "http"),
    **dict.fromkeys(("tcp", "mongo", "mysql", "redis"), "tcp"),
    **dict.fromkeys(("tls", "https"), "tls"),
    "udp": "udp",
}
_OF_KUBERNETES: Mapping[str, Spoken] = {
    "kubernetes.io/h2c": "http",
    "kubernetes.io/ws": "http",
    "kubernetes.io/wss": "tls",
}
_SERVER_FIRST = frozenset({25, 53, 3306, 27017})


def spoken(port: Exposed, number: int) -> Spoken:
    """How a sidecar takes a Service port of TCP.

    "none": by what the first bytes look like; "tls": by the server name, and no HTTP or TCP route counts; "udp": not at all.
    """
    written = port.app_protocol or port.name
    known = _OF_KUBERNETES.get(written) or _WORDS.get(written.partition("-")[0].lower())
    return known or ("tcp" if number in _SERVER_FIRST else "none")


def received(facts: Facts) -> Mapping[tuple[ObjectRef, int], Kind]:
    """How a receiver's sidecar takes its ports, by what the Services before it declare; "none" where these disagree."""
    found: dict[tuple[ObjectRef, int], set[Kind]] = {}
    for place, exposed in facts.exposed.items():
        for endpoint in facts.endpoints.get(place, ()) if exposed.transport == "TCP" else ():
            kind = spoken(exposed, place[2])
            if kind != "udp":
                found.setdefault((endpoint.workload, endpoint.port), set()).add("tcp" if kind == "tls" else kind)
    return {key: next(iter(kinds)) if len(kinds) == 1 else "none" for key, kinds in found.items()}
