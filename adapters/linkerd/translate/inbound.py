"""The objects of one port of an account: its Server, and for each set of callers what they prove, their routes and policies.

What tells an object from its siblings is in its name, callers and matches, so no MeshTLSAuthentication, route or
AuthorizationPolicy ever changes: another one takes its place. A policy is written before its route, which decides as soon as it is
there, and goes after it. Observed on Linkerd edge-26.8: a policy without its route or its callers allows nothing, a route without
policy neither; an update that cannot be read leaves what was there before; without the Server everything is open.
"""

from __future__ import annotations

from collections.abc import Iterator

from adapters.linkerd import names
from adapters.linkerd.config import POLICY, LinkerdConfig
from adapters.linkerd.translate import objects
from adapters.linkerd.translate.cells import Routes
from adapters.linkerd.translate.grants import Callers
from adapters.linkerd.translate.objects import match_body
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
        yield from _allowed(owner, server, raw, (server,))
    for callers, matches in routes.items():
        for share in filter(None, shared_out(matches) or ()):
            ref = _of(owner, config.http_routes, "HTTPRoute", port.number, _names(callers), *map(match_body, share))
            proven, policy = _allowed(owner, ref, callers, ())
            yield from (proven, policy)
            body = objects.server_route(ref, server, share)
            yield NativeObject(ref, Role.GRANT, body, needs=(server, policy.ref))


def _allowed(
    owner: Identity, target: ObjectRef, callers: Callers, needs: tuple[ObjectRef, ...]
) -> tuple[NativeObject, NativeObject]:
    """The callers, and the policy that lets them pass."""
    proven = _of(owner, POLICY, "MeshTLSAuthentication", _names(callers))
    ref = _of(owner, POLICY, "AuthorizationPolicy", str(target), target.group, proven.name)
    return (
        NativeObject(proven, Role.REFERENCED, objects.authentication(proven, callers)),
        NativeObject(ref, Role.GRANT, objects.authorization(ref, target, proven.name), needs=(proven, *needs)),
    )


def _of(owner: Identity, group: str, kind: str, *facts: object) -> ObjectRef:
    return names.of_callers(group, kind, owner.namespace, owner.service_account, *facts)


def _names(callers: Callers) -> tuple[str, ...]:
    return tuple(sorted(map(str, callers)))
