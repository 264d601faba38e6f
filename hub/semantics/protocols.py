"""Which protocol a Service port is declared to speak.

Sources: Kubernetes, "Service", Application protocol; KEP-3726 (kubernetes.io/h2c, ws, wss). The port's name counts
as Istio reads it: the word before the first dash.
"""

from __future__ import annotations

from collections.abc import Iterable

from hub.semantics.types import ExposedPort, Word

_HTTP = frozenset({"http", "http2", "grpc", "grpc-web", "h2c", "kubernetes.io/h2c", "kubernetes.io/ws"})
_OPAQUE = frozenset(
    {"https", "tcp", "tls", "mysql", "mongo", "redis", "postgres", "postgresql", "mqtt", "amqp", "kafka", "cassandra"}
    | {"ldap", "smtp", "ssh", "dns", "wss", "kubernetes.io/wss"}
)


def word_of(protocol: str) -> Word:
    """Return what one protocol word declares; an unknown word declares nothing."""
    lower = protocol.lower()
    if lower in _HTTP:
        return "http"
    return "tcp" if lower in _OPAQUE else "none"


def word_of_service_port(port: ExposedPort) -> Word:
    """Return what a Service port declares: appProtocol if there is one, else the first word of its name."""
    return word_of(port.name.partition("-")[0] if port.app_protocol is None else port.app_protocol)


def agree(words: Iterable[Word]) -> Word:
    """Return what several declarations amount to: http when they contradict each other, none when there are none."""
    declared = set(words) - {"none"}
    if not declared:
        return "none"
    return declared.pop() if len(declared) == 1 else "http"
