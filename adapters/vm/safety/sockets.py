"""Shapes of what listens and what is called: listeners of both directions, clusters, endpoints."""

from __future__ import annotations

import re
from collections.abc import Sequence

from adapters.vm import names, wire
from adapters.vm.safety import logs
from adapters.vm.safety.parts import (
    ADDRESS,
    ADS,
    DURATION,
    HTTP_OPTIONS_KEYS,
    LABEL,
    SAME_PROTOCOL,
    SERVICE,
    VARIANT,
    downstream_tls,
    upstream_tls,
)
from adapters.vm.safety.policy import CLOSED_HTTP_RBAC
from adapters.vm.safety.shape import (
    Shape,
    ShapeError,
    anything,
    each,
    either,
    equal,
    exactly_one,
    extension,
    keyed,
    message,
    number,
    sequence,
    text,
    wrapped,
)
from adapters.vm.vocabulary import CONNECTION_LIMIT, HCM, HTTP_RBAC, ROUTER, TCP_PROXY, UINT32_MAX

_CHAIN = text(r"g(?:0|[1-9][0-9]{0,17})(?:/[0-9a-f]{32})?")
_INBOUND = re.compile(
    rf"in/(?P<stem>(?P<owner>{LABEL}/{LABEL})/(?P<port>[0-9]{{1,5}})/{VARIANT})@(?P<bind>[0-9A-Fa-f.:]+)"
)
# No dot segments: whoever reads the name of a listener must see where its socket is.
_PATH = r"(?:/(?!\.{1,2}/)[A-Za-z0-9._-]+)+\.sock"
_MODE = 0o660
_OUTBOUND = re.compile(
    rf"(?P<service>{SERVICE})"
    rf"(?:@{LABEL}/{LABEL}@(?:(?P<address>127(?:\.[0-9]{{1,3}}){{3}}|::1):(?P<port>[0-9]{{1,5}})|(?P<path>{_PATH})))?"
)


def inbound_listener(name: str) -> Shape:
    """A port of a workload: mutual TLS, and exactly the filters of an HTTP port or of a TCP port.

    Every name inside must be the one that belongs to this listener: another port's policy would be another policy.
    """
    parts = _INBOUND.fullmatch(name)
    if parts is None:
        return _refused
    stem, owner = parts["stem"], parts["owner"]
    manager, raw = _inbound_manager(), (_discovered(f"rbac/{stem}"), _inbound_proxy(owner))
    logged = {"access_log": logs.request_logs(name, owner)}
    bounded = {**manager, "request_headers_timeout": _TIMEOUT}
    http = _inbound_chain(names.TRUST, (_http(f"in/{stem}", bounded, logged),), (_http(f"in/{stem}", manager),))
    tcp = _inbound_chain(f"peers/{re.escape(stem)}", raw, raw)
    bound = {"address": equal(parts["bind"]), "port_value": equal(int(parts["port"]))}
    return message(
        must={
            "name": equal(name),
            "address": message(must={"socket_address": message(must=bound)}),
            "filter_chains": sequence(_by_filters(http, tcp)),
            "traffic_direction": equal(wire.TrafficDirection.INBOUND),
        },
        may={"access_log": logs.connection_logs(name, owner)},  # an older hub left listeners without
    )


def outbound_listener(name: str) -> Shape:
    """A Service port in a caller's sidecar: plain text from the application, HTTP by RDS or a TCP proxy.

    Whoever reaches it calls as the workload: it is a Unix socket of owner and group, or at least on loopback.
    """
    parts = _OUTBOUND.fullmatch(name)
    if parts is None:
        return _refused
    http = message(must={"name": _CHAIN, "filters": sequence(_http(parts["service"], _outbound_manager()))})
    tcp = message(must={"name": _CHAIN, "filters": sequence(_outbound_proxy(parts["service"]))})
    shared = {
        "name": equal(name),
        "filter_chains": sequence(_by_filters(http, tcp)),
        "traffic_direction": equal(wire.TrafficDirection.OUTBOUND),
    }
    if parts["path"] is not None:
        pipe = message(must={"path": equal(parts["path"]), "mode": equal(_MODE)})
        return message(must={**shared, "address": message(must={"pipe": pipe})})
    if parts["address"] is None:
        return message(must={**shared, "address": ADDRESS, "bind_to_port": wrapped(equal(False))})
    bound = {"address": equal(parts["address"]), "port_value": equal(int(parts["port"]))}
    return message(must={**shared, "address": message(must={"socket_address": message(must=bound)})})


def cluster_shape(name: str) -> Shape:
    """An application, a Service port with pinned callees, or the cluster without endpoints."""
    shared = {
        "name": equal(name),
        "connect_timeout": DURATION,
        "typed_extension_protocol_options": keyed(SAME_PROTOCOL, HTTP_OPTIONS_KEYS),
    }
    if re.fullmatch(SERVICE, name):
        eds = message(must={"eds_config": ADS})
        return message(
            must={
                **shared,
                "type": equal(wire.Cluster.EDS),
                "eds_cluster_config": eds,
                "transport_socket": upstream_tls(),
            }
        )
    if re.fullmatch(f"{SERVICE}/none", name):
        nobody = message(must={"cluster_name": equal(name)})
        return message(must={**shared, "type": equal(wire.Cluster.STATIC), "load_assignment": nobody})
    if not re.fullmatch(rf"app/{LABEL}/{LABEL}/[0-9A-Fa-f.:]+:[0-9]{{1,5}}", name):
        return _refused
    group = message(must={"lb_endpoints": sequence(message(must={"endpoint": message(must={"address": ADDRESS})}))})
    assignment = message(must={"cluster_name": equal(name), "endpoints": sequence(group)})
    return message(must={**shared, "type": equal(wire.Cluster.STATIC), "load_assignment": assignment})


def _assignment() -> Shape:
    one = message(must={"endpoint": message(must={"address": ADDRESS})}, may={"health_status": number(0, 5)})
    group = message(must={"lb_endpoints": each(one)})
    return message(must={"cluster_name": text(SERVICE)}, may={"endpoints": each(group)})


ASSIGNMENT = _assignment()


def _refused(value: object, path: str) -> None:
    raise ShapeError(f"{path}: it has no name of ours")


def _by_filters(http: Shape, tcp: Shape) -> Shape:
    """Whichever shape the first filter announces, so that the complaint is about what was meant."""

    def check(chain: wire.FilterChain, path: str) -> None:
        # Any, not the first: a TCP chain with one HTTP filter in it is judged, and refused, as HTTP.
        is_http = any(filter_.name == HCM for filter_ in chain.filters)
        return (http if is_http else tcp)(chain, path)

    return check


def _inbound_chain(validation: str, filters: Sequence[Shape], older: Sequence[Shape]) -> Shape:
    """A chain with bounds; or one without any, as revisions have them that were written before there were bounds."""
    shared = {"name": _CHAIN, "transport_socket": downstream_tls(validation)}
    bounds = {"transport_socket_connect_timeout": _TIMEOUT, "filters": sequence(_LIMIT, *filters)}
    bounded, unbounded = message(must={**shared, **bounds}), message(must={**shared, "filters": sequence(*older)})

    def check(chain: wire.FilterChain, path: str) -> None:
        has_bounds = chain.HasField("transport_socket_connect_timeout")
        return (bounded if has_bounds else unbounded)(chain, path)

    return check


_TIMEOUT = message(must={"seconds": number(1, 60)})
_LIMIT = message(
    must={
        "name": equal(CONNECTION_LIMIT),
        "typed_config": extension(
            wire.ConnectionLimit,
            message(must={"stat_prefix": anything, "max_connections": wrapped(number(1, 1_000_000))}),
        ),
    }
)


def _http(routes: str, manager: dict[str, Shape], may: dict[str, Shape] | None = None) -> Shape:
    """Paths are left as they are, or normalised in both ways."""
    rds = message(must={"route_config_name": equal(routes), "config_source": ADS})
    fields = {**manager, "rds": rds}
    kept = message(must={**fields, "normalize_path": wrapped(equal(False))}, may=may)
    normal = {"normalize_path": wrapped(equal(True)), "merge_slashes": equal(True)}
    config = extension(wire.HttpConnectionManager, either(kept, message(must={**fields, **normal}, may=may)))
    return message(must={"name": equal(HCM), "typed_config": config})


def _manager(*filters: Shape) -> dict[str, Shape]:
    router = _http_filter(ROUTER, extension(wire.Router, message()))
    underscores = equal(wire.CoreHttpProtocolOptions.REJECT_REQUEST)
    return {
        "stat_prefix": anything,
        "http_filters": sequence(*filters, router),
        "path_with_escaped_slashes_action": equal(wire.HttpConnectionManager.REJECT_REQUEST),
        "common_http_protocol_options": message(must={"headers_with_underscores_action": underscores}),
        "upgrade_configs": sequence(message(must={"upgrade_type": equal("websocket")})),
    }


def _outbound_manager() -> dict[str, Shape]:
    return _manager()


def _inbound_manager() -> dict[str, Shape]:
    return {
        **_manager(_http_filter(HTTP_RBAC, extension(wire.HttpRbac, CLOSED_HTTP_RBAC))),
        "forward_client_cert_details": equal(wire.HttpConnectionManager.SANITIZE_SET),
        "set_current_client_cert_details": message(must={"uri": equal(True)}),
    }


def _http_filter(name: str, config: Shape) -> Shape:
    return message(must={"name": equal(name), "typed_config": config})


def _discovered(name: str) -> Shape:
    source = message(must={"config_source": ADS, "type_urls": sequence(equal(wire.type_url(wire.NetworkRbac)))})
    return message(must={"name": equal(name), "config_discovery": source})


def _inbound_proxy(owner: str) -> Shape:
    config = message(
        must={
            "stat_prefix": anything,
            "cluster": text(rf"app/{re.escape(owner)}/[0-9A-Fa-f.:]+:[0-9]{{1,5}}"),
            "upstream_connect_mode": equal(wire.UpstreamConnectMode.ON_DOWNSTREAM_TLS_HANDSHAKE),
            "max_early_data_bytes": wrapped(number(1, UINT32_MAX)),
        }
    )
    return message(must={"name": equal(TCP_PROXY), "typed_config": extension(wire.TcpProxy, config)})


def _outbound_proxy(service: str) -> Shape:
    namespace = re.escape(service.split("/")[1])
    cluster = text(rf"out/{namespace}/{LABEL}/[0-9]{{1,5}}(?:/none)?")
    share = message(must={"name": cluster, "weight": number(1, UINT32_MAX)})
    weighted = message(must={"clusters": each(share)})
    routes = exactly_one({"weighted_clusters": weighted, "cluster": cluster}, beside={"stat_prefix": anything})
    return message(must={"name": equal(TCP_PROXY), "typed_config": extension(wire.TcpProxy, routes)})
