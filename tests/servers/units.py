"""Short ways to write intent in tests: grants, ports, splits of one namespace `d` and trust domain `td`."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from hub.model import (
    Access,
    Backend,
    Declared,
    Grant,
    HttpMatch,
    Identity,
    InboundPort,
    ObjectRef,
    Route,
    RoutePort,
    Split,
)

TRUST_DOMAIN = "td"
API = Identity(TRUST_DOMAIN, "d", "api")


def spiffe(account: str) -> str:
    """The SPIFFE id of a service account of namespace `d`."""
    return Identity(TRUST_DOMAIN, "d", account).spiffe


def target(name: str) -> ObjectRef:
    """The ref of a TrafficTarget."""
    return ObjectRef("access.smi-spec.io", "TrafficTarget", "d", name)


def split_ref(name: str) -> ObjectRef:
    """The ref of a TrafficSplit."""
    return ObjectRef("split.smi-spec.io", "TrafficSplit", "d", name)


def http_grant(name: str, sources: Sequence[str], *matches: HttpMatch, ports: tuple[int, ...] | None = None) -> Grant:
    """A grant of HTTP matches to service accounts of `d`."""
    return Grant(target(name), tuple(sorted(map(spiffe, sources))), "TCP", ports, matches)


def tcp_grant(name: str, sources: Sequence[str], ports: tuple[int, ...] | None = None) -> Grant:
    """A grant of raw bytes to service accounts of `d`."""
    return Grant(target(name), tuple(sorted(map(spiffe, sources))), "TCP", ports, None)


def inbound(port: int, declared: Declared = "http", app_port: int = 0, bind: str = "127.0.0.1") -> InboundPort:
    """A port of `d/api`, with its application on the next port unless it is given."""
    return InboundPort(port, "TCP", declared, declared, app_port or port + 1, binds=(bind,))


def access(*grants: Grant, ports: Sequence[InboundPort]) -> Access:
    """Everything granted to `d/api`."""
    return Access(API, tuple(grants), tuple(ports))


def split(name: str, matches: tuple[HttpMatch, ...] | None = None, **weights: Fraction | int) -> Split:
    """One layer; weights by Service."""
    return Split(
        split_ref(name), matches, tuple(Backend(service, Fraction(weight)) for service, weight in weights.items())
    )


def route(service: str, *ports: RoutePort) -> Route:
    """The route of a Service of `d`."""
    return Route("d", service, ports)
