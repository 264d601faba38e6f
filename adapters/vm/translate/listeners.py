"""Parts that inbound and outbound listeners share: the HTTP connection manager and the TCP proxy.

Source: Envoy API, extensions.filters.network.http_connection_manager.v3 and tcp_proxy.v3.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from adapters.vm import wire
from adapters.vm.config import VmConfig
from adapters.vm.translate.build import ads, filter_, no, yes
from adapters.vm.vocabulary import HCM, ROUTER

FIRST_CHAIN = "g0"
"""Name of the one filter chain; `carry_over` counts it up where open connections have to be cut."""


def connection_manager(routes: str, filters: Sequence[wire.HttpFilter], config: VmConfig) -> wire.HttpConnectionManager:
    """HTTP by RDS under one name. Unless paths are normalised, the path guard refuses those with another normal form."""
    manager: Any = wire.HttpConnectionManager.FromString(_manager(config.paths))
    manager.stat_prefix = manager.rds.route_config_name = routes
    manager.http_filters.extend((*filters, _router()))
    return manager


@cache
def _manager(paths: str) -> bytes:
    """What all connection managers share, as bytes: reading them is much faster than building the same again."""
    manager, normalises = wire.HttpConnectionManager, paths == "normalise"
    # Many application servers read `x_user` as `x-user`, so it would pass for a header that a policy has matched
    # (Envoy, "Configuring Envoy as an edge proxy").
    underscores = wire.CoreHttpProtocolOptions(
        headers_with_underscores_action=wire.CoreHttpProtocolOptions.REJECT_REQUEST
    )
    return wire.pack(
        manager(
            rds=wire.Rds(config_source=ads()),
            normalize_path=yes() if normalises else no(),
            merge_slashes=normalises,
            # An application that decodes %2F gets another path than the one that the policy judged.
            path_with_escaped_slashes_action=manager.REJECT_REQUEST,
            upgrade_configs=[manager.UpgradeConfig(upgrade_type="websocket")],
            common_http_protocol_options=underscores,
        )
    )


@cache
def _router() -> wire.HttpFilter:
    return wire.HttpFilter(name=ROUTER, typed_config=wire.any_of(wire.Router()))


def http_filter(manager: wire.HttpConnectionManager) -> wire.Filter:
    """The network filter that holds an HTTP connection manager."""
    return filter_(HCM, manager)
