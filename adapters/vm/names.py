"""Names of every xDS resource of the VM mesh: one place, so that serving and evaluation agree with translation.

All parts are DNS labels, numbers or addresses, so `/` and `@` cannot occur in them and no two resources share a name. Only
the path of a Unix socket has `/`, and it is always the last part.
"""

from __future__ import annotations

import sys
from functools import lru_cache

from hub.api import ObjectRef

GROUP = "xds"
WORKLOAD = "Workload"
"""Kind of the object that says what one sidecar gets; it is sent to nobody."""
SELF = "self"
"""SDS secret: the workload's own certificate (made per stream, in no revision). On the wire `own` adds its mark."""
TRUST = "trust"
"""SDS secret: the trust bundle alone."""
BUNDLE = "smihub:trust-bundle"
"""Placeholder in `trusted_ca.inline_string`; the server puts the trust bundle there before a byte leaves."""


def own(mark: str) -> str:
    """The certificate of one identity, as it is called on the wire."""
    return f"{SELF}/{mark}"


@lru_cache(maxsize=1024)  # what one object is called, others of its unit need
def ref(kind: str, name: str) -> ObjectRef:
    """The ref of an xDS resource; `kind` is its message's short name (`Listener`, `Cluster`, ...)."""
    return ObjectRef(GROUP, sys.intern(kind), "", sys.intern(name))


def inbound(namespace: str, account: str, port: int, variant: str) -> str:
    """RouteConfiguration of an inbound HTTP port, and the stem of the other inbound names."""
    return f"in/{namespace}/{account}/{port}/{variant}"


def inbound_listener(namespace: str, account: str, port: int, variant: str, bind: str) -> str:
    """Listener of an inbound port on one bind address."""
    return f"{inbound(namespace, account, port, variant)}@{bind}"


def is_inbound(ref: ObjectRef) -> bool:
    """Whether an object is the listener of an inbound port."""
    return ref.kind == "Listener" and ref.name.startswith("in/")


def peers(namespace: str, account: str, port: int, variant: str) -> str:
    """SDS secret: validation context with the SAN list of an inbound TCP port."""
    return f"peers/{namespace}/{account}/{port}/{variant}"


def rbac(namespace: str, account: str, port: int, variant: str) -> str:
    """TypedExtensionConfig: the network RBAC of an inbound TCP port."""
    return f"rbac/{namespace}/{account}/{port}/{variant}"


def app(namespace: str, account: str, address: str, port: int) -> str:
    """Cluster: the application behind a sidecar."""
    return f"app/{namespace}/{account}/{address}:{port}"


def outbound(namespace: str, service: str, port: int) -> str:
    """Cluster (and its EDS name) and RouteConfiguration of a Service port."""
    return f"out/{namespace}/{service}/{port}"


def outbound_listener(namespace: str, service: str, port: int) -> str:
    """The virtual listener of a Service port, which binds nothing."""
    return outbound(namespace, service, port)


def client_listener(service_port: str, workload: str, address: str, port: int) -> str:
    """Listener of one Workload (`ns/name`) for a Service port (the name that `outbound` gives).

    The socket is in the name, as it is in inbound ones: a listener never moves to another socket, it is replaced. Envoy
    refuses a listener on a socket that another one still has, so two that exchange theirs could never be updated.
    """
    return f"{service_port}@{workload}@{address}" + (f":{port}" if port else "")


def socket_of(listener: str) -> str:
    """Where a listener of this name binds, one text for each place; empty if it binds nothing."""
    stem, at, place = listener.rpartition("@")
    return f"{place}:{stem.split('/')[3]}" if at and stem.startswith("in/") else place if at else ""
