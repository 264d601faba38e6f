"""Envoy's listeners and clusters: one filter chain, its network filters, and what stands at its end.

Source: Envoy `config.listener.v3`, `network.rbac.v3`, `tcp_proxy.v3`, `config.cluster.v3`. Observed on Envoy 1.40: a
network RBAC filter decides at the first byte of the *client*, so a server that speaks first is heard by everyone whom
TLS let in, unless the proxy connects only on the client's data.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from ipaddress import ip_address

from msgspec import Struct

from adapters.vm import wire
from adapters.vm.evaluate.fields import Fields, extension
from adapters.vm.evaluate.http import Manager, manager_of
from adapters.vm.evaluate.match import Call, Connection
from adapters.vm.evaluate.rbac import NETWORK, Decision, Engine, engine_of
from adapters.vm.evaluate.resources import Resources
from adapters.vm.evaluate.tls import Client, Gate, client_of, gate_of
from hub.api import UnmodelledError

_HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_RBAC = "envoy.extensions.filters.network.rbac.v3.RBAC"
_LIMIT = "envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit"
_TCP = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
_UPSTREAM_HTTP = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_STATIC, _EDS = 0, 3
_ON_DATA = 1


class TcpProxy(Struct, frozen=True):
    """A TCP proxy: clusters and their exact parts; `plain` names one cluster; `waits` connects on the client's data."""

    origin: str
    shares: tuple[tuple[str, Fraction], ...]
    plain: bool
    waits: bool


class Chain(Struct, frozen=True):
    """A compiled listener and the (address, port) pairs where it receives. `closed` is true where a network filter's configuration is missing: connections are reset."""

    origin: str
    places: tuple[tuple[str, int], ...]
    bound: bool
    gate: Gate
    guards: tuple[Engine | None, ...]
    closed: bool
    end: Manager | TcpProxy

    @property
    def port(self) -> int:
        """The port of its main address."""
        return self.places[0][1]

    def decide(self, connection: Connection) -> Decision:
        """What the network RBAC filters say when the client's first byte comes."""
        if self.closed:
            return Decision(False, self.origin)
        decisions = [guard.decide(Call(connection)) for guard in self.guards if guard is not None]
        refused = next((one for one in decisions if not one.passes), None)
        # Filters run in their order and the first refusal ends the chain; without any RBAC filter the port is open.
        return refused or (decisions[-1] if decisions else Decision(True, self.origin))


class Upstream(Struct, frozen=True):
    """A compiled cluster: `fixed` are the (address, port) pairs of its own endpoints, None where EDS tells them."""

    fixed: tuple[tuple[str, int], ...] | None
    client: Client


def chain_of(message: wire.Message, resources: Resources) -> Chain:
    """Compile a Listener."""
    origin = _named("Listener", message)
    with Fields(message, origin) as left:
        left.neutral("name", "stat_prefix", "metadata", "traffic_direction", "access_log", "enable_reuse_port")
        left.neutral("per_connection_buffer_limit_bytes", "tcp_backlog_size", "listener_filters_timeout", "drain_type")
        bound = left.take("bind_to_port")
        places = [_address(left.take("address"), origin)]
        places += [_additional(one, origin) for one in left.take("additional_addresses", ())]
        chains = left.take("filter_chains", ())
    # With several chains Envoy picks one by SNI, ALPN or address, which a request of ours does not tell.
    if len(chains) != 1:
        raise UnmodelledError(f"{origin}: {len(chains)} filter chains are not modelled, only one")
    gate, filters = _filter_chain(chains[0], resources, origin)
    compiled = [_network(one, resources, origin) for one in filters]
    if not compiled or not isinstance(compiled[-1], Manager | TcpProxy):
        raise UnmodelledError(f"{origin}: Envoy rejects a chain that does not end in a terminal filter")
    guards, end = _guards(compiled[:-1], origin), compiled[-1]
    closed = any(isinstance(one, _Missing) for one in compiled)
    return Chain(origin, tuple(places), bound is None or bound.value, gate, guards, closed, end)


def check_client_listener(message: wire.Message, origin: str) -> None:
    """Refuse a listener for one workload's own calls that is open to more than its machine (Pipe: to owner and group).

    Raises UnmodelledError: strangers would have that workload's identity, and no verdict about them would hold.
    """
    parts = dict(wire.fields(message))
    if "address" not in parts or "additional_addresses" in parts:
        raise UnmodelledError(f"{origin}: a listener without exactly one address is not modelled")
    with Fields(parts["address"], origin) as left:
        kind, value = left.only()
    here = dict(wire.fields(value))
    if kind == "pipe" and here.get("path", "").startswith("/") and not here.get("mode", 0o777) & 0o007:
        return
    if kind != "socket_address" or not ip_address(here.get("address", "0.0.0.0")).is_loopback:  # noqa: S104 - no bind
        raise UnmodelledError(f"{origin}: every program that can reach it calls as its workload, which is not modelled")


class _Missing(Struct, frozen=True):
    """A filter whose configuration was never delivered."""


_Compiled = Manager | TcpProxy | Engine | _Missing | None


def _guards(compiled: Sequence[_Compiled], origin: str) -> tuple[Engine | None, ...]:
    if any(isinstance(one, Manager | TcpProxy) for one in compiled):
        raise UnmodelledError(f"{origin}: Envoy rejects a terminal filter before the end of a chain")
    return tuple(one for one in compiled if isinstance(one, Engine))


def _named(kind: str, message: wire.Message) -> str:
    return f"{kind}/{dict(wire.fields(message)).get('name', '')}"


def _address(message: wire.Message | None, origin: str) -> tuple[str, int]:
    if message is None:
        raise UnmodelledError(f"{origin}: a listener without an address is not modelled")
    with Fields(message, origin) as left:
        kind, value = left.only()
    if kind != "socket_address":
        raise UnmodelledError(f'{origin}: the address kind "{kind}" is not modelled')
    with Fields(value, origin) as inner:
        if inner.take("protocol", 0):
            raise UnmodelledError(f"{origin}: UDP is not modelled")
        return str(inner.take("address", "")), int(inner.take("port_value", 0))


def _additional(message: wire.Message, origin: str) -> tuple[str, int]:
    with Fields(message, origin) as left:
        return _address(left.take("address"), origin)


def _filter_chain(message: wire.Message, resources: Resources, origin: str) -> tuple[Gate, Sequence[wire.Message]]:
    with Fields(message, origin) as left:
        left.neutral("name", "metadata", "transport_socket_connect_timeout")
        match = left.take("filter_chain_match")
        gate = gate_of(left.take("transport_socket"), resources, origin)
        filters = left.take("filters", ())
    if match is not None:
        with Fields(match, origin):
            pass
    return gate, filters


def _network(message: wire.Message, resources: Resources, origin: str) -> _Compiled:
    """One network filter; None is one that lets all pass: RBAC without rules, a limit of connections."""
    with Fields(message, origin) as left:
        packed, discovery, name = left.take("typed_config"), left.take("config_discovery"), left.take("name", "")
    source = origin
    if discovery is not None:
        packed, source = _discovered(discovery, name, resources, origin), f"TypedExtensionConfig/{name}"
        if packed is None:
            return _Missing()
    if packed is None:
        raise left.rejected("a network filter without a configuration")
    kind, config = extension(packed, source)
    if kind == _RBAC:
        return engine_of(config, source, NETWORK)
    if kind == _HCM:
        return manager_of(config, origin, resources)
    if kind == _TCP:
        return _tcp_proxy(config, origin)
    if kind == _LIMIT:
        _check_limit(config, origin)
        return None
    raise UnmodelledError(f'{origin}: the network filter "{kind}" is not modelled')


def _check_limit(message: wire.Message, origin: str) -> None:
    """A limit of connections says how many are let in, not who."""
    with Fields(message, origin) as left:
        left.neutral("stat_prefix", "delay")
        most = left.take("max_connections")
    if most is None or not most.value:
        raise left.rejected("a limit of no connections")


def _discovered(message: wire.Message, name: str, resources: Resources, origin: str) -> wire.Any | None:
    with Fields(message, origin) as left:
        left.neutral("config_source", "type_urls")
    found = resources.find("TypedExtensionConfig", name)
    if found is None:
        return None
    with Fields(found, f"TypedExtensionConfig/{name}") as inner:
        inner.neutral("name")
        packed: wire.Any | None = inner.take("typed_config")
    return packed


def _tcp_proxy(message: wire.Message, origin: str) -> TcpProxy:
    where = f"{origin}#tcp_proxy"
    with Fields(message, where) as left:
        left.neutral("stat_prefix", "idle_timeout", "access_log", "max_connect_attempts", "max_early_data_bytes")
        left.neutral("max_downstream_connection_duration")
        waits = left.take("upstream_connect_mode", 0) == _ON_DATA
        kind, value = left.only()
    if kind == "cluster":
        return TcpProxy(where, ((value, Fraction(1)),), True, waits)
    if kind != "weighted_clusters":
        raise UnmodelledError(f'{where}: the meaning of "{kind}" is not modelled')
    return TcpProxy(where, _weighted(value, where), False, waits)


def _weighted(message: wire.Message, where: str) -> tuple[tuple[str, Fraction], ...]:
    with Fields(message, where) as left:
        members = [_member(one, where) for one in left.take("clusters", ())]
    total = sum(weight for _, weight in members)
    if not members or any(weight < 1 for _, weight in members):
        raise left.rejected("a weighted TCP cluster needs a weight of at least 1")
    return tuple((name, Fraction(weight, total)) for name, weight in members)


def _member(message: wire.Message, where: str) -> tuple[str, int]:
    with Fields(message, where) as left:
        return str(left.take("name", "")), int(left.take("weight", 0))


# --------------------------------------------------------------------------- clusters


def upstream_of(message: wire.Message, resources: Resources) -> Upstream:
    """Compile a Cluster."""
    origin = _named("Cluster", message)
    with Fields(message, origin) as left:
        left.neutral("connect_timeout", "per_connection_buffer_limit_bytes", "lb_policy", "circuit_breakers")
        left.neutral("alt_stat_name", "metadata", "common_lb_config", "outlier_detection", "track_cluster_stats")
        left.neutral("upstream_connection_options", "close_connections_on_host_health_failure")
        left.neutral("ignore_health_on_host_removal", "max_requests_per_connection")
        name, kind = left.take("name", ""), left.take("type", _STATIC)
        eds, load = left.take("eds_cluster_config"), left.take("load_assignment")
        _check_protocols(left.take("typed_extension_protocol_options", {}), origin)
        client = client_of(left.take("transport_socket"), resources, origin)
    if kind == _EDS and eds is not None and load is None:
        _check_eds(eds, name, origin)
        return Upstream(None, client)
    if kind != _STATIC or eds is not None:
        raise UnmodelledError(f"{origin}: only STATIC and EDS clusters are modelled")
    return Upstream(_fixed(load, name, origin), client)


def _check_eds(message: wire.Message, name: str, origin: str) -> None:
    with Fields(message, origin) as left:
        left.neutral("eds_config")
        service = left.take("service_name", name)
    # Facts know endpoints by Service; a cluster that borrows
    # another's endpoints would be judged against the wrong ones.
    if service != name:
        raise UnmodelledError(f'{origin}: it takes the endpoints of "{service}"')


def _check_protocols(options: object, origin: str) -> None:
    entries: dict[str, wire.Any] = dict(options)  # type: ignore[call-overload]  # a protobuf map
    for packed in entries.values():
        kind, config = extension(packed, origin)
        if kind != _UPSTREAM_HTTP:
            raise UnmodelledError(f'{origin}: the protocol options "{kind}" are not modelled')
        with Fields(config, origin) as left:
            left.neutral("explicit_http_config", "use_downstream_protocol_config", "common_http_protocol_options")


def _fixed(message: wire.Message | None, cluster: str, origin: str) -> tuple[tuple[str, int], ...]:
    if message is None:
        return ()
    with Fields(message, origin) as left:
        name = left.take("cluster_name", "")
        places = [place for one in left.take("endpoints", ()) for place in _locality(one, origin)]
    # ClusterLoadAssignment: the name is required; Envoy reads no other cluster's here, and we emit none.
    if name != cluster:
        raise UnmodelledError(f'{origin}: it has the endpoints of "{name}"')
    return tuple(places)


def _locality(message: wire.Message, origin: str) -> list[tuple[str, int]]:
    with Fields(message, origin) as left:
        left.neutral("locality", "load_balancing_weight", "priority")
        return [_endpoint(one, origin) for one in left.take("lb_endpoints", ())]


def _endpoint(message: wire.Message, origin: str) -> tuple[str, int]:
    with Fields(message, origin) as left:
        left.neutral("load_balancing_weight")
        endpoint = left.take("endpoint")
    if endpoint is None:
        raise left.rejected("an endpoint without an address")
    with Fields(endpoint, origin) as inner:
        return _address(inner.take("address"), origin)
