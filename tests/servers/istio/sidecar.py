"""A sidecar: Envoy in a Pod's network namespace, started as Istio's agent would, and programmed by istiod."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from msgspec import Struct

from adapters.vm.bootstrap.envoy import find_envoy
from tests.servers.istio.namespaces import ENVOY_GROUP, Namespace
from tests.servers.istio.plane import ISTIO_VERSION
from tests.servers.processes import Program, start
from tests.servers.watched import ALONE, QUICK, QUIET, Watched

_HTTP2 = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_RUNTIME = {
    "overload.global_downstream_max_connections": "2147483647",
    "re2.max_program_size.error_level": "32768",
    "envoy.reloadable_features.http_reject_path_with_fragment": False,  # all three as Istio's own bootstrap has them
}


class Node(Struct, frozen=True):
    """What a sidecar says about itself: its Pod and where the node agent's Unix sockets are."""

    namespace: str
    pod: str
    account: str
    address: str
    labels: dict[str, str]
    xds: Path
    sds: Path

    @property
    def id(self) -> str:
        """The name by which istiod knows it."""
        domain = f"{self.namespace}.svc.cluster.local"
        return f"sidecar~{self.address}~{self.pod}.{self.namespace}~{domain}"


class Sidecar(Watched):
    """A running Envoy, and for whom."""

    def __init__(self, node: Node, program: Program, admin: Path) -> None:
        super().__init__(program, admin)
        self.node = node


def start_sidecar(namespace: Namespace, node: Node, folder: Path) -> Sidecar:
    """Start the Envoy of a Pod in its namespace."""
    config, admin = folder / f"{node.pod}.json", folder / f"{node.pod}.sock"
    config.write_text(json.dumps(_bootstrap(node, admin)), encoding="utf-8")
    line: list[str | Path] = [find_envoy(), "-c", config, *ALONE, *QUICK, *QUIET]
    program = namespace.run(lambda: start(line, folder / f"{node.pod}.log", group=ENVOY_GROUP))
    return Sidecar(node, program, admin)


def _bootstrap(node: Node, admin: Path) -> dict[str, Any]:
    over_ads = {"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"}
    services = [{"envoy_grpc": {"cluster_name": "xds-grpc"}}]
    ads = {"api_type": "GRPC", "transport_api_version": "V3", "set_node_on_first_message_only": True}
    return {
        "node": {"id": node.id, "cluster": node.pod, "metadata": _metadata(node)},
        "admin": {"address": {"pipe": {"path": str(admin)}}},
        "layered_runtime": {"layers": [{"name": "istio", "static_layer": _RUNTIME}]},
        "dynamic_resources": {
            "ads_config": {**ads, "grpc_services": services},
            "cds_config": over_ads,
            "lds_config": over_ads,
        },
        "static_resources": {"clusters": [_cluster("xds-grpc", node.xds), _cluster("sds-grpc", node.sds)]},
    }


def _metadata(node: Node) -> dict[str, Any]:
    return {
        "ISTIO_VERSION": ISTIO_VERSION,
        "NAMESPACE": node.namespace,
        "CLUSTER_ID": "Kubernetes",
        "INSTANCE_IPS": node.address,
        "SERVICE_ACCOUNT": node.account,
        "LABELS": node.labels,
        "DNS_CAPTURE": "false",
    }


def _cluster(name: str, socket: Path) -> dict[str, Any]:
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": str(socket)}}}}]}]
    options = {"@type": f"type.googleapis.com/{_HTTP2}", "explicit_http_config": {"http2_protocol_options": {}}}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {"cluster_name": name, "endpoints": endpoints},
        "typed_extension_protocol_options": {_HTTP2: options},
    }
