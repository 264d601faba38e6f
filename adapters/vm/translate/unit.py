"""Translate one unit of intent into xDS resources. Pure: no clock, no network, no order dependence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from adapters.vm import names, wire
from adapters.vm.config import VmConfig
from adapters.vm.translate import inbound, routes
from adapters.vm.translate.clusters import app_cluster, service_cluster, unavailable_cluster, unavailable_name
from adapters.vm.translate.policy import (
    LoweredGrant,
    grants_on_port,
    http_rules,
    lower_grants,
    mixed_losses,
    speaks_http,
    tcp_rules,
    tcp_sources,
)
from hub.api import (
    Access,
    InboundPort,
    Loss,
    NativeObject,
    ObjectRef,
    Placement,
    Role,
    Route,
    RoutePort,
    Translation,
    Unit,
)


def translate(unit: Unit, config: VmConfig) -> Translation:
    """The native objects of a unit, sorted by ref, and what Envoys cannot carry out of it (never wider, split aside)."""
    if not isinstance(unit, Access | Route):
        return Translation()
    builder = _Access(unit, config) if isinstance(unit, Access) else _Route(unit, config)
    objects = {(item.ref, item.body): item for item in builder.objects()}
    ordered = tuple(objects[each] for each in sorted(objects))
    return Translation(
        ordered,
        tuple(sorted(set(builder.losses))),
        carried=builder.carried,
        routed=builder.routed if builder.losses else None,
    )


def _object(message: wire.Message, role: Role, needs: Iterable[ObjectRef] = ()) -> NativeObject:
    ref = names.ref(message.DESCRIPTOR.name, wire.name_of(message))
    return NativeObject(ref, role, wire.pack(message), needs=tuple(sorted(set(needs))))


class _Access:
    """One Access on its way to Envoy; `losses` is complete once `objects` has been run through."""

    def __init__(self, access: Access, config: VmConfig) -> None:
        self._access = access
        self._config = config
        self._lowered, losses = lower_grants(access)
        self.losses: list[Loss] = list(losses)
        carried = (grant for lowered_grant in self._lowered if (grant := lowered_grant.carried) is not None)
        self.carried = tuple(sorted(carried, key=msgspec.json.encode))
        self.routed = None

    def objects(self) -> Iterator[NativeObject]:
        for port in self._access.ports:
            if port.transport == "TCP":
                yield from self._port(port)
        for placement in self._access.workloads:
            yield self._workload(placement)

    def _port(self, port: InboundPort) -> Iterator[NativeObject]:
        name = inbound.app_of(self._access.identity, port)
        app = app_cluster(name, port.app_address, port.app_port, self._config)
        yield _object(app, Role.REFERENCED)
        lowered = grants_on_port(self._lowered, port)
        if speaks_http(port, lowered):
            self.losses += mixed_losses(port, lowered)
            yield from self._http(port, lowered)
        else:
            yield from self._tcp(port, lowered)

    def _http(self, port: InboundPort, lowered: Sequence[LoweredGrant]) -> Iterator[NativeObject]:
        identity = self._access.identity
        app = names.ref("Cluster", inbound.app_of(identity, port))
        policy = _object(inbound.http_policy(identity, port, http_rules(port, lowered)), Role.GRANT, [app])
        yield policy
        # The listener by itself denies everything, so it is safe before its policy has come, and after it has gone.
        for bind in port.binds:
            yield _object(inbound.http_listener(identity, port, bind, self._config), Role.GUARD, [policy.ref])

    def _tcp(self, port: InboundPort, lowered: Sequence[LoweredGrant]) -> Iterator[NativeObject]:
        identity = self._access.identity
        stem = (identity.namespace, identity.service_account, port.port, port.variant)
        peers = _object(inbound.tcp_peers(names.peers(*stem), tcp_sources(lowered)), Role.GRANT)
        rbac = _object(inbound.tcp_policy(names.rbac(*stem), tcp_rules(lowered)), Role.GRANT)
        app = names.ref("Cluster", inbound.app_of(identity, port))
        yield from (peers, rbac)
        for bind in port.binds:
            listener = inbound.tcp_listener(identity, port, bind, self._config)
            yield _object(listener, Role.GUARD, [peers.ref, rbac.ref, app])

    def _workload(self, placement: Placement) -> NativeObject:
        """What one workload's Envoy is sent; the list is in the body too, so that people see it change."""
        name = f"{placement.ref.namespace}/{placement.ref.name}"
        owner = (placement.identity.namespace, placement.identity.service_account)
        received = [
            names.inbound_listener(*owner, port, variant, placement.bind)
            for port, transport, variant in placement.inbound
            if transport == "TCP"
        ]
        called = [
            names.client_listener(names.outbound(namespace, service, port), name, address, local)
            for namespace, service, port, address, local in placement.upstreams
        ]
        listeners = sorted({*received, *called})
        body = {"workload": name, "spiffe": placement.identity.spiffe, "listeners": listeners}
        needs = tuple(names.ref("Listener", listener) for listener in listeners)
        # A route, so it is written after the listeners that it names and before any of them goes.
        ref = names.ref("Workload", name)
        return NativeObject(ref, Role.ROUTE, msgspec.json.encode(body), (placement.ref,), needs)


class _Route:
    """One Route on its way to Envoy; `losses` is complete once `objects` has been run through."""

    def __init__(self, route: Route, config: VmConfig) -> None:
        self._route = route
        self._config = config
        self.losses: list[Loss] = []
        self.carried = None
        self.routed = tuple(routes.carried(port) for port in route.ports)

    def objects(self) -> Iterator[NativeObject]:
        for port in self._route.ports:
            if port.transport == "UDP":
                self.losses += routes.udp_losses(port)
                continue
            name = names.outbound(self._route.namespace, self._route.service, port.port)
            yield _object(service_cluster(name, port.callees, self._config), Role.REFERENCED)
            yield from self._http(name, port) if routes.speaks_http(port) else self._tcp(name, port)

    def _http(self, name: str, port: RoutePort) -> Iterator[NativeObject]:
        layers, losses = routes.layers_of(self._route, port)
        self.losses += [*losses, *routes.mixed_losses(port)]
        needs = [names.ref("Cluster", cluster) for layer in layers for cluster, _ in layer.target.clusters]
        table = _object(routes.route_table(name, layers), Role.ROUTE, needs)
        yield table
        yield from self._listeners(name, port, routes.http_chain(name, self._config), [table.ref])

    def _tcp(self, name: str, port: RoutePort) -> Iterator[NativeObject]:
        layers, losses = routes.layers_of(self._route, port)
        # Conditions ask about HTTP, so on raw bytes they never hold and nothing is lost with them.
        self.losses += [loss for loss in losses if loss.field == "spec.backends"]
        target = layers[-1].target
        closed = unavailable_name(self._route.namespace, self._route.service, port.port)
        needs = [names.ref("Cluster", cluster) for cluster, _ in target.clusters]
        if not target.clusters:
            yield _object(unavailable_cluster(closed, self._config), Role.REFERENCED)
            needs = [names.ref("Cluster", closed)]
        yield from self._listeners(name, port, routes.tcp_chain(name, target, closed), needs)

    def _listeners(
        self, name: str, port: RoutePort, chain: wire.FilterChain, needs: Sequence[ObjectRef]
    ) -> Iterator[NativeObject]:
        yield _object(routes.virtual_listener(name, chain, port.port), Role.ROUTE, needs)
        for client in port.clients:
            yield _object(routes.client_listener(name, chain, client), Role.ROUTE, needs)
