"""Envoy's messages: the one module that imports protobuf. Classes, type URLs, deterministic bytes, parsing.

A resource is named by its *kind*, the short name of its message (`Listener`, `Cluster`, ...). The modules of xds-protos
carry no type information, so every message is a `Message` to the type checker.
Source: Envoy API v3, https://www.envoyproxy.io/docs/envoy/latest/api-v3/api
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any as Json
from typing import TypeVar

from envoy.config.accesslog.v3.accesslog_pb2 import (
    AccessLog,
    AccessLogFilter,
    AndFilter,
    ExtensionFilter,
    RuntimeFilter,
)
from envoy.config.bootstrap.v3.bootstrap_pb2 import Bootstrap
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.address_pb2 import Address, Pipe, SocketAddress
from envoy.config.core.v3.base_pb2 import DataSource, TrafficDirection, TransportSocket
from envoy.config.core.v3.config_source_pb2 import (
    AggregatedConfigSource,
    ApiVersion,
    ConfigSource,
    ExtensionConfigSource,
)
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from envoy.config.core.v3.protocol_pb2 import Http1ProtocolOptions, Http2ProtocolOptions
from envoy.config.core.v3.protocol_pb2 import HttpProtocolOptions as CoreHttpProtocolOptions
from envoy.config.core.v3.substitution_format_string_pb2 import SubstitutionFormatString
from envoy.config.endpoint.v3.endpoint_components_pb2 import Endpoint, LbEndpoint, LocalityLbEndpoints
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_components_pb2 import Filter, FilterChain
from envoy.config.listener.v3.listener_pb2 import AdditionalAddress, Listener
from envoy.config.rbac.v3.rbac_pb2 import RBAC, Permission, Policy, Principal
from envoy.config.route.v3.route_components_pb2 import (
    DirectResponseAction,
    FilterConfig,
    HeaderMatcher,
    Route,
    RouteAction,
    RouteMatch,
    VirtualHost,
    WeightedCluster,
)
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.access_loggers.filters.cel.v3.cel_pb2 import ExpressionFilter
from envoy.extensions.access_loggers.stream.v3.stream_pb2 import StdoutAccessLog
from envoy.extensions.filters.http.rbac.v3.rbac_pb2 import RBAC as HttpRbac  # noqa: N811 - a message, no constant
from envoy.extensions.filters.http.rbac.v3.rbac_pb2 import RBACPerRoute
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from envoy.extensions.filters.network.connection_limit.v3.connection_limit_pb2 import ConnectionLimit
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
    HttpFilter,
    Rds,
)
from envoy.extensions.filters.network.rbac.v3.rbac_pb2 import RBAC as NetworkRbac  # noqa: N811 - a message, no constant
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy, UpstreamConnectMode
from envoy.extensions.rbac.principals.mtls_authenticated.v3.mtls_authenticated_pb2 import Config as MtlsAuthenticated
from envoy.extensions.transport_sockets.tls.v3.common_pb2 import (
    CertificateValidationContext,
    SubjectAltNameMatcher,
    TlsCertificate,
    TlsParameters,
)
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import SdsSecretConfig, Secret
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import CommonTlsContext, DownstreamTlsContext, UpstreamTlsContext
from envoy.extensions.upstreams.http.v3.http_protocol_options_pb2 import HttpProtocolOptions
from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
    Resource,
)
from envoy.type.matcher.v3.path_pb2 import PathMatcher
from envoy.type.matcher.v3.regex_pb2 import RegexMatcher
from envoy.type.matcher.v3.string_pb2 import StringMatcher
from google.protobuf import json_format
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.wrappers_pb2 import BoolValue, UInt32Value, UInt64Value

from hub.api import UnmodelledError

_PREFIX = "type.googleapis.com/"

KINDS: dict[str, type[Message]] = {
    "Listener": Listener,
    "RouteConfiguration": RouteConfiguration,
    "Cluster": Cluster,
    "ClusterLoadAssignment": ClusterLoadAssignment,
    "Secret": Secret,
    "TypedExtensionConfig": TypedExtensionConfig,
}
"""The resources of xDS that we serve, by kind (LDS, RDS, CDS, EDS, SDS, ECDS)."""

TYPE_URLS: dict[str, str] = {kind: _PREFIX + message.DESCRIPTOR.full_name for kind, message in KINDS.items()}
"""kind -> type URL, as in `DiscoveryRequest.type_url`."""

_NESTED: tuple[type[Message], ...] = (
    ConnectionLimit,
    DownstreamTlsContext,
    ExpressionFilter,
    FilterConfig,
    HttpConnectionManager,
    HttpProtocolOptions,
    HttpRbac,
    MtlsAuthenticated,
    NetworkRbac,
    RBACPerRoute,
    Router,
    StdoutAccessLog,
    TcpProxy,
    UpstreamTlsContext,
)
_UNPACKABLE = {_PREFIX + message.DESCRIPTOR.full_name: message for message in _NESTED}

M = TypeVar("M", bound=Message)


def pack(message: Message) -> bytes:
    """Serialise deterministically: equal messages give equal bytes (map entries sorted by key)."""
    return bytes(message.SerializeToString(deterministic=True))


def parse(kind: str, body: bytes) -> Message:
    """The message of a resource body. Raises UnmodelledError for an unknown kind or bytes that are no such message."""
    if kind not in KINDS:
        raise UnmodelledError(f'"{kind}" is not a kind of xDS resource that smihub knows')
    return _decode(KINDS[kind], body)


def type_url(message: Message | type[Message]) -> str:
    """The type URL of a message or message class."""
    return _PREFIX + str(message.DESCRIPTOR.full_name)


def any_of(message: Message) -> Any:
    """The message in an `Any`, with deterministic bytes."""
    return Any(type_url=type_url(message), value=pack(message))


def unpack(packed: Any) -> Message:
    """What an `Any` holds. Raises UnmodelledError for a type that smihub never emits, or for undecodable bytes."""
    if packed.type_url not in _UNPACKABLE:
        raise UnmodelledError(f'"{packed.type_url}" is not an extension that smihub knows')
    return _decode(_UNPACKABLE[packed.type_url], packed.value)


def _decode(message: type[M], body: bytes) -> M:
    try:
        return message.FromString(body)
    except DecodeError as error:
        raise UnmodelledError(f"these bytes are not a {message.DESCRIPTOR.name}") from error


def is_canonical(message: Message, body: bytes) -> bool:
    """Whether `body` is exactly how `pack` writes `message`, without one field that its schema does not name."""
    known = type(message)()
    known.CopyFrom(message)
    known.DiscardUnknownFields()  # type: ignore[no-untyped-call,unused-ignore]  # typed in some releases only
    return pack(known) == body


def fields(message: Message) -> Iterator[tuple[str, Json]]:
    """The fields that are set, as (name, value); scalars without presence count as set when they are not the default."""
    for descriptor, value in message.ListFields():
        yield descriptor.name, value


def name_of(resource: Json) -> str:
    """The name under which a resource is subscribed to."""
    return str(resource.cluster_name if isinstance(resource, ClusterLoadAssignment) else resource.name)


def to_json(message: Message) -> Json:
    """The message as JSON-like data under its proto field names, every `Any` opened. Raises UnmodelledError for what has no such form."""
    try:
        text = json_format.MessageToJson(message, preserving_proto_field_name=True)
    except Exception as error:  # the printer has no list of what it raises: unknown extensions, numbers that are none
        raise UnmodelledError(f"a {message.DESCRIPTOR.name} that JSON cannot say: {error}") from error
    return _in_order(json.loads(text))


_MAPS = frozenset({"json_format", "policies", "typed_per_filter_config", "typed_extension_protocol_options"})


def _in_order(value: Json) -> Json:
    """The same data with the entries of map fields sorted: protobuf hands them over in any order."""
    if isinstance(value, list):
        return [_in_order(item) for item in value]
    if not isinstance(value, dict):
        return value
    inner = {name: _in_order(item) for name, item in value.items()}
    return {name: dict(sorted(item.items())) if name in _MAPS else item for name, item in inner.items()}


def from_json(kind: str, value: Json) -> Message:
    """The message of JSON-like data, the inverse of `to_json`. Raises UnmodelledError where it does not fit."""
    if not isinstance(value, dict):  # the parser takes an empty text for an empty message
        raise UnmodelledError(f"not a {kind}: it is not a mapping")
    try:
        message = json_format.ParseDict(value, KINDS[kind]())
    except Exception as error:  # the parser has no list of what it raises for values of the wrong type
        raise UnmodelledError(f"not a {kind}: {error}") from error
    _tidy(message)
    return message


def _tidy(message: Json) -> None:
    """Give every `Any` in a message deterministic bytes; the JSON parser packs map entries in any order."""
    if isinstance(message, Any):
        inner = unpack(message)
        _tidy(inner)
        message.CopyFrom(any_of(inner))
        return
    for descriptor, value in message.ListFields():
        if descriptor.message_type is None:
            continue
        parts = [value] if hasattr(value, "ListFields") else list(value.values() if hasattr(value, "values") else value)
        for part in parts:
            if hasattr(part, "ListFields"):
                _tidy(part)


__all__ = [
    "KINDS",
    "RBAC",
    "TYPE_URLS",
    "AccessLog",
    "AccessLogFilter",
    "AdditionalAddress",
    "Address",
    "AggregatedConfigSource",
    "AndFilter",
    "Any",
    "ApiVersion",
    "BoolValue",
    "Bootstrap",
    "CertificateValidationContext",
    "Cluster",
    "ClusterLoadAssignment",
    "CommonTlsContext",
    "ConfigSource",
    "ConnectionLimit",
    "CoreHttpProtocolOptions",
    "DataSource",
    "DecodeError",
    "DeltaDiscoveryRequest",
    "DeltaDiscoveryResponse",
    "DirectResponseAction",
    "DiscoveryRequest",
    "DiscoveryResponse",
    "DownstreamTlsContext",
    "Duration",
    "Endpoint",
    "ExpressionFilter",
    "ExtensionConfigSource",
    "ExtensionFilter",
    "Filter",
    "FilterChain",
    "FilterConfig",
    "HeaderMatcher",
    "Http1ProtocolOptions",
    "Http2ProtocolOptions",
    "HttpConnectionManager",
    "HttpFilter",
    "HttpProtocolOptions",
    "HttpRbac",
    "LbEndpoint",
    "Listener",
    "LocalityLbEndpoints",
    "Message",
    "MtlsAuthenticated",
    "NetworkRbac",
    "PathMatcher",
    "Permission",
    "Pipe",
    "Policy",
    "Principal",
    "RBACPerRoute",
    "Rds",
    "RegexMatcher",
    "Resource",
    "Route",
    "RouteAction",
    "RouteConfiguration",
    "RouteMatch",
    "Router",
    "RuntimeFilter",
    "SdsSecretConfig",
    "Secret",
    "SocketAddress",
    "StdoutAccessLog",
    "StringMatcher",
    "Struct",
    "SubjectAltNameMatcher",
    "SubstitutionFormatString",
    "TcpProxy",
    "TlsCertificate",
    "TlsParameters",
    "TrafficDirection",
    "TransportSocket",
    "TypedExtensionConfig",
    "UInt32Value",
    "UInt64Value",
    "UpstreamConnectMode",
    "UpstreamTlsContext",
    "VirtualHost",
    "WeightedCluster",
    "any_of",
    "fields",
    "from_json",
    "is_canonical",
    "name_of",
    "pack",
    "parse",
    "to_json",
    "type_url",
    "unpack",
]
