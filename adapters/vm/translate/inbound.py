"""What a workload's sidecar receives: one listener per port and address, and the policy that it looks up.

HTTP ports take their policy from their RouteConfiguration, so that a change binds the next request of an open
connection. TCP ports take it from a SAN list (SDS: nothing leaks to a refused peer, not even a server's greeting) and
from network RBAC (ECDS) as a second lock. Before all that a stranger holds a connection for `HANDSHAKE_S` at most, and
no port has more of them than the mesh's `connections`.
Source: Envoy API, config.listener.v3.FilterChain; Envoy, "Configuring Envoy as an edge proxy".
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from adapters.vm import names, wire
from adapters.vm.config import VmConfig
from adapters.vm.translate.build import address, ads, downstream_tls, filter_, seconds, transport_socket, trust_bundle
from adapters.vm.translate.denials import connection_logs, request_log
from adapters.vm.translate.listeners import FIRST_CHAIN, connection_manager, http_filter
from adapters.vm.vocabulary import CONNECTION_LIMIT, HTTP_RBAC, REMOVED_HEADERS, TCP_PROXY
from hub.api import Identity, InboundPort

EARLY_DATA_BYTES = 65536
HANDSHAKE_S = 10
"""How long a TLS handshake may take: until its end nobody has said who they are."""
HEADERS_S = 10
"""How long the headers of a request may take (Envoy: for ever); a caller with a certificate may be a slow one, too."""


def stem_of(identity: Identity, port: InboundPort) -> str:
    """The name of a port's RouteConfiguration."""
    return names.inbound(identity.namespace, identity.service_account, port.port, port.variant)


def app_of(identity: Identity, port: InboundPort) -> str:
    """The name of the cluster of the application behind a port."""
    return names.app(identity.namespace, identity.service_account, port.app_address, port.app_port)


def http_listener(identity: Identity, port: InboundPort, bind: str, config: VmConfig) -> wire.Listener:
    """Mutual TLS, then HTTP whose RBAC denies all unless the route table says otherwise."""
    stem = stem_of(identity, port)
    manager = connection_manager(stem, [_closed_rbac()], config)
    # What a caller writes about certificates is dropped, and ours put in its place: applications believe that header.
    manager.forward_client_cert_details = wire.HttpConnectionManager.SANITIZE_SET
    manager.set_current_client_cert_details.uri = True
    manager.request_headers_timeout.CopyFrom(seconds(HEADERS_S))
    manager.access_log.append(request_log(_name(identity, port, bind), identity))
    filters = [_limit(stem, config), http_filter(manager)]
    # TLS lets in the whole trust domain: who may do what is
    # decided per request, so that a change needs no new handshake.
    return _listener(identity, port, bind, (downstream_tls(names.TRUST, ("h2", "http/1.1")), filters))


def tcp_listener(identity: Identity, port: InboundPort, bind: str, config: VmConfig) -> wire.Listener:
    """Mutual TLS with the port's SAN list, network RBAC, and no connection to the application before the handshake."""
    owner = (identity.namespace, identity.service_account, port.port, port.variant)
    stem = stem_of(identity, port)
    proxy = wire.TcpProxy(
        stat_prefix=stem,
        cluster=app_of(identity, port),
        # A server that greets first must be heard by nobody whom TLS has not let in.
        upstream_connect_mode=wire.UpstreamConnectMode.ON_DOWNSTREAM_TLS_HANDSHAKE,
        max_early_data_bytes=wire.UInt32Value(value=EARLY_DATA_BYTES),
    )
    source = wire.ExtensionConfigSource(config_source=ads(), type_urls=[wire.type_url(wire.NetworkRbac)])
    rbac = wire.Filter(name=names.rbac(*owner), config_discovery=source)
    filters = [_limit(stem, config), rbac, filter_(TCP_PROXY, proxy)]
    return _listener(identity, port, bind, (downstream_tls(names.peers(*owner)), filters))


def http_policy(identity: Identity, port: InboundPort, rules: wire.RBAC) -> wire.RouteConfiguration:
    """The one virtual host of a port: everything goes to the application, if `rules` allow it.

    The policy stands at the virtual host and nowhere below: the most specific entry would win.
    """
    table: Any = wire.RouteConfiguration.FromString(_TO_APPLICATION)
    table.name = stem_of(identity, port)
    host = table.virtual_hosts[0]
    host.routes[0].route.cluster = app_of(identity, port)
    per_route = wire.RBACPerRoute(rbac=wire.HttpRbac(rules=rules))
    host.typed_per_filter_config[HTTP_RBAC].CopyFrom(wire.any_of(per_route))
    return table


def tcp_peers(name: str, sources: Sequence[str]) -> wire.Secret:
    """The certificates that a TCP port lets in (no sources: nobody's)."""
    return wire.Secret(name=name, validation_context=trust_bundle(sources))


def tcp_policy(name: str, rules: wire.RBAC) -> wire.TypedExtensionConfig:
    """The network RBAC of a TCP port."""
    return wire.TypedExtensionConfig(
        name=name, typed_config=wire.any_of(wire.NetworkRbac(rules=rules, stat_prefix=name))
    )


def _to_application() -> bytes:
    # No timeout: Envoy's own of 15 s would cut long answers, and how long they take is the application's business.
    route = wire.Route(match=wire.RouteMatch(prefix="/"), route=wire.RouteAction(timeout=seconds(0)))
    host = wire.VirtualHost(name="in", domains=["*"], routes=[route], request_headers_to_remove=REMOVED_HEADERS)
    return wire.pack(wire.RouteConfiguration(virtual_hosts=[host]))


_TO_APPLICATION = _to_application()
"""What every `http_policy` has, as bytes: reading them is much faster than building the same again."""


@cache
def _closed_rbac() -> wire.HttpFilter:
    """RBAC without a policy: rules that are set and empty deny every request that no virtual host allows."""
    config = wire.HttpRbac(rules=wire.RBAC(action=wire.RBAC.ALLOW))
    return wire.HttpFilter(name=HTTP_RBAC, typed_config=wire.any_of(config))


def _limit(stem: str, config: VmConfig) -> wire.Filter:
    """Counts connections from their first packet on, before the handshake, and closes those beyond the limit."""
    limit = wire.UInt64Value(value=config.connections)
    return filter_(CONNECTION_LIMIT, wire.ConnectionLimit(stat_prefix=stem, max_connections=limit))


def _listener(
    identity: Identity, port: InboundPort, bind: str, chain: tuple[wire.Any, list[wire.Filter]]
) -> wire.Listener:
    tls, filters = chain
    guarded = wire.FilterChain(
        name=FIRST_CHAIN,
        transport_socket=transport_socket(tls),
        transport_socket_connect_timeout=seconds(HANDSHAKE_S),
        filters=filters,
    )
    name = _name(identity, port, bind)
    return wire.Listener(
        name=name,
        address=address(bind, port.port),
        filter_chains=[guarded],
        traffic_direction=wire.TrafficDirection.INBOUND,
        access_log=connection_logs(name, identity),
    )


def _name(identity: Identity, port: InboundPort, bind: str) -> str:
    return names.inbound_listener(identity.namespace, identity.service_account, port.port, port.variant, bind)
