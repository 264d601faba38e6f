"""What one account's or one Service's rules may add up to in Envoy: beyond, they grant nothing, and that is told."""

from __future__ import annotations

import pytest

from adapters.vm.translate import policy as translate_policy
from adapters.vm.translate import routes as translate_routes
from adapters.vm.translate.policy import http_rules, lower_grants, tcp_rules
from adapters.vm.translate.routes import layers_of
from hub.model import HttpMatch, RoutePort, UnitKey
from tests.servers.units import access, http_grant, inbound, route, split, tcp_grant

UNIT = UnitKey("access", "d", "api")
MATCHES = tuple(HttpMatch(path=f"/{number}") for number in range(2000))


@pytest.mark.thorough
def test_an_account_with_too_many_matches_grants_no_http() -> None:
    """Raw bytes are granted as before; each TrafficTarget with HTTP is told."""
    full = [http_grant(f"t{number}", [f"s{number}"], *MATCHES) for number in range(11)]
    lowered, losses = lower_grants(access(*full, tcp_grant("raw", ["s"]), ports=()))
    assert not http_rules(inbound(8080), lowered).policies
    assert len(tcp_rules(lowered).policies) == 1
    assert [loss.code for loss in losses] == ["limit.exceeded"] * 11
    assert all(loss.access for loss in losses)
    fitting, none = lower_grants(access(*full[: translate_policy.MAX_PERMISSIONS // len(MATCHES)], ports=()))
    assert len(http_rules(inbound(8080), fitting).policies) == 10
    assert none == ()


def test_a_service_with_too_many_conditions_has_none() -> None:
    """The split without a condition holds on."""
    splits = [split(f"s{number}", MATCHES, v1=1) for number in range(3)]
    port = RoutePort(80, "TCP", "http", (*splits, split("all", None, v2=1)))
    made = route("api", port)
    layers, losses = layers_of(made, port)
    assert [layer.matches for layer in layers] == [None]
    assert {loss.code for loss in losses} == {"limit.exceeded"}
    assert {loss.origin.name for loss in losses} == {"s0", "s1", "s2"}
    assert translate_routes.MAX_CONDITIONS == 5000
