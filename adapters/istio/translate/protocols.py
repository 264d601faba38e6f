"""What Istio takes a Service port for, by the word that is written there.

Source: https://istio.io/latest/docs/ops/configuration/traffic-management/protocol-selection/ ; Istio, `ConvertProtocol` in
pkg/config/kube/conversion.go and `Parse` in pkg/config/protocol/instance.go (an appProtocol counts up to its first dash, as a name does).
"""

from __future__ import annotations

from collections.abc import Mapping

from hub.api import Declared

SERVER_FIRST = frozenset({25, 53, 3306, 27017})
"""Service ports that Istio takes for TCP where it does not know their word."""
_OF_KUBERNETES: Mapping[str, Declared] = {
    "kubernetes.io/h2c": "http",
    "kubernetes.io/ws": "http",
    "kubernetes.io/wss": "tcp",
}
_WORDS: Mapping[str, Declared] = {
    **dict.fromkeys(("http", "http2", "http_proxy", "grpc"), "http"),
    **dict.fromkeys(("tcp", "tls", "https", "mongo", "mysql", "redis"), "tcp"),
}


def istio_protocol(written: str, number: int) -> Declared:
    """The protocol of the Service port of this number; "none": Istio looks at the first bytes."""
    known = _OF_KUBERNETES.get(written) or _WORDS.get(written.partition("-")[0].lower())
    return known or ("tcp" if number in SERVER_FIRST else "none")
