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
from adapters.linkerd.translate.grants import NODES, Callers
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
    yield from allowed_on_port(owner, (server, port.number), (raw, routes), config)


def allowed_on_port(
    owner: Identity,
    port: tuple[ObjectRef, int],
    let_in: tuple[Callers, Routes],
    config: LinkerdConfig,
    salt: tuple[str, ...] = (),
) -> Iterator[NativeObject]:
    """Who is let in on the port of a Server, with raw bytes and by routes; with a salt under other names than usual."""
    (server, number), (raw, routes) = port, let_in
    if raw:
        yield from _allowed(owner, server, proven(owner, raw, salt), (server,))
    for callers, matches in routes.items():
        for share in filter(None, shared_out(matches) or ()):
            facts = (number, _names(callers), *map(match_body, share), *salt)
            ref = _of(owner, config.http_routes, "HTTPRoute", *facts)
            allowed = [_allowed(owner, ref, one, ()) for one in _authentications(owner, callers, config, salt)]
            yield from (native for pair in allowed for native in pair)
            body = objects.server_route(ref, server, share)
            yield NativeObject(ref, Role.GRANT, body, needs=(server, *(policy.ref for _, policy in allowed)))


def _allowed(
    owner: Identity, target: ObjectRef, callers: NativeObject, needs: tuple[ObjectRef, ...]
) -> tuple[NativeObject, NativeObject]:
    """The callers, and the policy that lets them pass."""
    ref = _of(owner, POLICY, "AuthorizationPolicy", str(target), target.group, callers.ref.name)
    body = objects.authorization(ref, target, callers.ref)
    return callers, NativeObject(ref, Role.GRANT, body, needs=(callers.ref, *needs))


def _authentications(
    owner: Identity, callers: Callers, config: LinkerdConfig, salt: tuple[str, ...]
) -> Iterator[NativeObject]:
    """Who the callers are: by what they prove, and where they call from; each is enough."""
    if accounts := callers - {NODES}:
        yield proven(owner, accounts, salt)
    if NODES in callers and config.probes is not None:
        networks = tuple(sorted(set(config.probes.networks)))
        ref = _of(owner, POLICY, "NetworkAuthentication", networks)
        yield NativeObject(ref, Role.REFERENCED, objects.networks(ref, networks))


def proven(owner: Identity, callers: Callers, salt: tuple[str, ...] = ()) -> NativeObject:
    """What these accounts prove."""
    ref = _of(owner, POLICY, "MeshTLSAuthentication", _names(callers), *salt)
    return NativeObject(ref, Role.REFERENCED, objects.authentication(ref, callers))


def _of(owner: Identity, group: str, kind: str, *facts: object) -> ObjectRef:
    return names.of_callers(group, kind, owner.namespace, owner.service_account, *facts)


def _names(callers: Callers) -> tuple[str, ...]:
    return tuple(sorted(map(str, callers)))
