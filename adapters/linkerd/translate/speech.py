"""What the proxies of clients take a Service port for, as far as the hub knows it.

Source: linkerd2, policy-controller/core/src/outbound.rs (`appProtocol`: `http` and `kubernetes.io/h2c` are HTTP, every other word
makes a port opaque); https://linkerd.io/2-edge/features/protocol-detection/ (ports that are opaque by default). The name of a
port says nothing to Linkerd. HTTPRoutes do not count on an opaque port, TCPRoutes count on all that are not declared HTTP.
"""

from __future__ import annotations

from adapters.linkerd.vocabulary import OPAQUE_PORTS
from hub.api import RoutePort

_ALSO_NAMES = frozenset(("http2", "grpc", "grpc-web", "h2c", "kubernetes.io/ws"))
"""What is HTTP to SMI as the `appProtocol` of a port, and HTTP or not to Linkerd if it is only the port's name."""


def may_be_opaque(port: RoutePort) -> bool:
    """Whether Linkerd may take the bytes as they come: the hub does not know whether a word is an `appProtocol` or a name."""
    word = port.word.lower()
    if word == "kubernetes.io/h2c":
        return False
    if port.port in OPAQUE_PORTS:
        return True
    return word in _ALSO_NAMES if port.declared == "http" else word != ""
