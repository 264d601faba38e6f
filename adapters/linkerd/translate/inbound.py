"""The objects of one port of an account: its Server, and for each set of callers what they prove, their routes and policies.

What tells callers apart is in the name of what depends on them, so a MeshTLSAuthentication and an AuthorizationPolicy never
change, and one route changes only if what its callers may request does. Observed on Linkerd edge-26.8: a policy without its
route or its callers allows nothing, a route without policy neither; without the Server everything is open.
"""

from __future__ import annotations

from collections.abc import Iterator

from adapters.linkerd import names
from adapters.linkerd.config import POLICY, LinkerdConfig
from adapters.linkerd.translate import objects
from adapters.linkerd.translate.cells import Routes
from adapters.linkerd.translate.grants import Callers
from adapters.linkerd.translate.ports import ServedPort
from adapters.linkerd.translate.shares import shared_out
from hub.api import Identity, NativeObject, ObjectRef, Role


def objects_of_port(
    owner: Identity, port: ServedPort, raw: Callers, routes: Routes, config: LinkerdConfig
) -> Iterator[NativeObject]:
    """Everything that one port needs; objects that several ports need come once for each."""
    server = names.server(owner.namespace, owner.service_account, port.number)
    yield NativeObject(server, Role.GUARD, objects.server(server, owner.service_account, port.number, port.protocol))
    if raw:
        yield from _allowed(owner, server, raw)
    for callers, matches in routes.items():
        for index, share in enumerate(shared_out(matches) or ()):
            ref = _of(owner, config.http_routes, "HTTPRoute", port.number, _names(callers), index)
            if share:
                # It is a grant: in place it can allow more, and wave by wave grants shrink before they grow.
                body = objects.server_route(ref, server, share)
                yield NativeObject(ref, Role.GRANT, body, needs=(server,))
                yield from _allowed(owner, ref, callers)


def _allowed(owner: Identity, target: ObjectRef, callers: Callers) -> Iterator[NativeObject]:
    """The callers, and the policy that lets them pass."""
    proven = _of(owner, POLICY, "MeshTLSAuthentication", _names(callers))
    yield NativeObject(proven, Role.REFERENCED, objects.authentication(proven, callers))
    ref = _of(owner, POLICY, "AuthorizationPolicy", str(target), target.group, proven.name)
    yield NativeObject(ref, Role.GRANT, objects.authorization(ref, target, proven.name), needs=(proven, target))


def _of(owner: Identity, group: str, kind: str, *facts: object) -> ObjectRef:
    return names.of_callers(group, kind, owner.namespace, owner.service_account, *facts)


def _names(callers: Callers) -> tuple[str, ...]:
    return tuple(sorted(map(str, callers)))
