"""The last look at a resource before it leaves the hub: final bytes against a closed list of shapes.

Not a search for known mistakes: whatever the shapes do not name is refused, so a field that opens something is refused
whether anybody thought of it or not. It shares nothing with translation but names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from adapters.vm import wire
from adapters.vm.safety.policy import NETWORK_RBAC, OUTBOUND_ROUTES, PEERS, SECRETS, inbound_routes
from adapters.vm.safety.shape import Shape, ShapeError
from adapters.vm.safety.sockets import ASSIGNMENT, cluster_shape, inbound_listener, outbound_listener
from hub.api import UnmodelledError, UnsafeResourceError


def check(kind: str, body: bytes) -> None:
    """Refuse bytes that are not exactly a resource as smihub makes them.

    Raises UnsafeResourceError that names the resource, the place in it, and what is wrong there.
    """
    try:
        message = wire.parse(kind, body)
    except UnmodelledError as error:
        raise UnsafeResourceError(f'a "{kind}" must not be sent: {error}') from error
    label = f'{kind} "{wire.name_of(message)}"'
    # A field that our generated classes do not know passes the shapes unseen, and a newer Envoy may act on it.
    if not wire.is_canonical(message, body):
        raise UnsafeResourceError(f"{label} must not be sent: it has unknown fields or irregular bytes")
    try:
        _SHAPES[kind](wire.name_of(message))(message, kind)
    except ShapeError as finding:
        raise UnsafeResourceError(f"{label} must not be sent: {finding}") from finding


def _listener(name: str) -> Shape:
    return inbound_listener(name) if name.startswith("in/") else outbound_listener(name)


def _routes(name: str) -> Shape:
    # A shorter name lacks the parts from which an inbound shape is made.
    inbound = name.startswith("in/") and name.count("/") > 2
    return inbound_routes(name) if inbound else OUTBOUND_ROUTES


def _assignment(name: str) -> Shape:
    return ASSIGNMENT


def _network_rbac(name: str) -> Shape:
    return NETWORK_RBAC


def _secret(name: str) -> Shape:
    return SECRETS.get(name.partition("/")[0], PEERS)


_SHAPES: Mapping[str, Callable[[str], Shape]] = {
    "Listener": _listener,
    "RouteConfiguration": _routes,
    "Cluster": cluster_shape,
    "ClusterLoadAssignment": _assignment,
    "Secret": _secret,
    "TypedExtensionConfig": _network_rbac,
}
