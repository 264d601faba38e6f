"""Clusters: the application behind a sidecar, a Service port, and the cluster that answers nobody.

Source: Envoy API, config.cluster.v3.Cluster; extensions.upstreams.http.v3.HttpProtocolOptions.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, lru_cache
from typing import Any

from adapters.vm import names, wire
from adapters.vm.config import VmConfig
from adapters.vm.translate.build import address, ads, seconds, transport_socket, upstream_tls
from adapters.vm.vocabulary import HTTP_OPTIONS


def unavailable_name(namespace: str, service: str, port: int) -> str:
    """The cluster without endpoints to which a TCP port with no positive weight is tied."""
    return f"{names.outbound(namespace, service, port)}/none"


def app_cluster(name: str, host: str, port: int, config: VmConfig) -> wire.Cluster:
    """The application at one fixed address, in plain text."""
    endpoint = wire.LbEndpoint(endpoint=wire.Endpoint(address=address(host, port)))
    return _static(name, [wire.LocalityLbEndpoints(lb_endpoints=[endpoint])], config)


def unavailable_cluster(name: str, config: VmConfig) -> wire.Cluster:
    """No endpoints: a TCP connection that is sent here is closed at once."""
    return _static(name, [], config)


def service_cluster(name: str, callees: Iterable[str], config: VmConfig) -> wire.Cluster:
    """A Service port: endpoints by EDS, and only servers whose certificate carries one of `callees` (none: nobody)."""
    cluster: Any = wire.Cluster.FromString(_discovered(config.connect_timeout_s))
    cluster.name = name
    cluster.transport_socket.CopyFrom(transport_socket(upstream_tls(callees)))
    return cluster


@lru_cache
def _discovered(connect_timeout_s: float) -> bytes:
    """What all clusters of Service ports share, as bytes: reading them is much faster than building the same again."""
    return wire.pack(
        wire.Cluster(
            type=wire.Cluster.EDS,
            eds_cluster_config=wire.Cluster.EdsClusterConfig(eds_config=ads()),
            connect_timeout=seconds(connect_timeout_s),
            typed_extension_protocol_options={HTTP_OPTIONS: _same_protocol()},
        )
    )


def _static(name: str, endpoints: Iterable[wire.LocalityLbEndpoints], config: VmConfig) -> wire.Cluster:
    return wire.Cluster(
        name=name,
        type=wire.Cluster.STATIC,
        connect_timeout=seconds(config.connect_timeout_s),
        load_assignment=wire.ClusterLoadAssignment(cluster_name=name, endpoints=endpoints),
        typed_extension_protocol_options={HTTP_OPTIONS: _same_protocol()},
    )


@cache
def _same_protocol() -> wire.Any:
    """Speak upstream what the caller spoke: HTTP/1.1 (and its upgrades) stays so, HTTP/2 (and gRPC) too."""
    downstream = wire.HttpProtocolOptions.UseDownstreamHttpConfig
    options = downstream(
        http_protocol_options=wire.Http1ProtocolOptions(), http2_protocol_options=wire.Http2ProtocolOptions()
    )
    return wire.any_of(wire.HttpProtocolOptions(use_downstream_protocol_config=options))
