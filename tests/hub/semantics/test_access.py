"""TrafficTargets: what they grant, what they limit, and when they grant nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hub.model import Answer

Ask = Callable[..., Answer]
Target = Callable[..., str]

HTTP_RULE = "{kind: HTTPRouteGroup, name: r}"
A = "{kind: HTTPRouteGroup, name: r, matches: [a]}"
T80 = "{kind: TCPRoute, name: t80}"
TALL = "{kind: TCPRoute, name: tall}"
UDP_RULE = "{kind: UDPRoute, name: u}"


def test_verdict_without_traffic_targets(ask: Ask) -> None:
    """Nothing is allowed by default, whatever the protocol."""
    verdicts = [ask("", protocol=protocol, path="/api") for protocol in ("http", "tcp", "udp")]
    assert verdicts == [Answer("deny")] * 3


def test_verdict_names_every_traffic_target_that_allows(ask: Ask, target: Target) -> None:
    """All TrafficTargets that allow are named, sorted, and none when the answer is deny."""
    text = target(f"[{A}]", "b") + target(f"[{HTTP_RULE}]", "a") + target(f"[{A}]", "c", src="pay")
    assert ask(text, path="/api") == Answer("allow", by=("TrafficTarget/d/a", "TrafficTarget/d/b"))
    assert ask(text, path="/x") == Answer("deny")


@pytest.mark.parametrize(
    ("rules", "port", "protocol", "path", "verdict"),
    [
        (f"[{HTTP_RULE}]", 8080, "http", "/metrics", "allow"),
        (f"[{HTTP_RULE}]", 9090, "http", "/api", "allow"),
        (f"[{HTTP_RULE}]", 8080, "http", "/x", "deny"),
        (f"[{A}, {T80}]", 8080, "http", "/api", "allow"),
        (f"[{A}, {T80}]", 9090, "http", "/api", "deny"),
        (f"[{A}, {T80}]", 8080, "tcp", "/api", "deny"),
        (f"[{A}, {TALL}]", 9090, "http", "/api", "allow"),
        (f"[{A}, {TALL}]", 5432, "tcp", "/api", "deny"),
        (f"[{A}, {TALL}]", 5432, "http", "/api", "deny"),
        (f"[{T80}]", 8080, "http", "/api", "deny"),
        (f"[{T80}]", 8080, "tcp", "/api", "deny"),
        (f"[{TALL}]", 5432, "tcp", "/api", "allow"),
        (f"[{TALL}]", 5432, "http", "/api", "allow"),
        (f"[{TALL}]", 7000, "http", "/api", "allow"),
        (f"[{TALL}]", 7000, "tcp", "/api", "allow"),
        (f"[{TALL}]", 7000, "udp", "/api", "deny"),
        (f"[{A}]", 7000, "http", "/api", "allow"),
        (f"[{A}]", 7000, "tcp", "/api", "deny"),
        (f"[{UDP_RULE}]", 5353, "udp", "/api", "allow"),
        (f"[{UDP_RULE}]", 5354, "udp", "/api", "deny"),
        (f"[{UDP_RULE}]", 5353, "tcp", "/api", "deny"),
        (f"[{UDP_RULE}, {A}]", 8080, "http", "/api", "allow"),
    ],
)
def test_verdict_by_kind_of_rule(
    ask: Ask, target: Target, *, rules: str, port: int, protocol: str, path: str, verdict: str
) -> None:
    """HTTP rules grant requests, TCPRoutes alone grant bytes or limit HTTP, UDPRoutes grant UDP only."""
    assert ask(target(rules), port=port, protocol=protocol, path=path).verdict == verdict


@pytest.mark.parametrize(
    "rules",
    [
        "[{kind: HTTPRouteGroup, name: r, matches: []}]",
        "[{kind: HTTPRouteGroup, name: r, matches: null}]",
        "[{kind: HTTPRouteGroup, name: r, matches: [nope]}]",
        "[{kind: HTTPRouteGroup, name: missing}]",
        f"[{A}, {{kind: TCPRoute, name: missing}}]",
        f"[{A}, {{kind: TCPRoute, name: t80, matches: [a]}}]",
        f"[{A}, {{kind: TCPRoute, name: t80, matches: null}}]",
        f"[{A}, {{kind: Pod, name: r}}]",
        f"[{A}, {{kind: HTTPRouteGroup, name: r, port: 8080}}]",
        f"[{A}, {{kind: HTTPRouteGroup}}]",
        f"[{A}, {{kind: HTTPRouteGroup, name: r, matches: a}}]",
        f"[{A}, {{kind: HTTPRouteGroup, name: r, matches: [1]}}]",
        "[]",
        "null",
        "{}",
    ],
)
def test_rules_that_grant_nothing(ask: Ask, target: Target, *, rules: str) -> None:
    """A rule that names nothing grants nothing; a missing TCPRoute and a schema error take the whole object."""
    assert ask(target(rules), path="/api") == Answer("deny")


@pytest.mark.parametrize(
    "rules",
    [
        f"[{A}, {{kind: HTTPRouteGroup, name: missing}}]",
        f"[{A}, {{kind: HTTPRouteGroup, name: r, matches: null}}]",
        f"[{A}, {{kind: UDPRoute, name: missing}}]",
        f"[{A}, {{kind: UDPRoute, name: u, matches: []}}]",
        "[{kind: HTTPRouteGroup, name: r, matches: [a, nope]}]",
    ],
)
def test_rules_beside_one_that_names_nothing(ask: Ask, target: Target, *, rules: str) -> None:
    """A dangling HTTP or UDP rule leaves the other rules alone."""
    assert ask(target(rules), path="/api").verdict == "allow"


def test_udp_grant_beside_missing_tcp_route(ask: Ask, target: Target) -> None:
    """A missing TCPRoute takes the UDP grant too."""
    text = target(f"[{UDP_RULE}, {{kind: TCPRoute, name: missing}}]")
    assert ask(text, port=5353, protocol="udp").verdict == "deny"


def test_opaque_tcp_beside_missing_route_group(ask: Ask, target: Target) -> None:
    """Naming an HTTPRouteGroup, even a missing one, gives up opaque TCP."""
    text = target(f"[{TALL}, {{kind: HTTPRouteGroup, name: missing}}]")
    assert ask(text, port=5432, protocol="tcp").verdict == "deny"


def test_no_cross_product_of_traffic_targets(ask: Ask, target: Target) -> None:
    """Ports of one TrafficTarget never combine with matches of another."""
    metrics = "{kind: HTTPRouteGroup, name: r, matches: [m]}"
    route = "---\nkind: TCPRoute\nmetadata: {name: t90, namespace: d}\nspec: {matches: {ports: [9090]}}\n"
    text = route + target(f"[{A}, {T80}]", "x") + target(f"[{metrics}, {{kind: TCPRoute, name: t90}}]", "y")
    assert ask(text, port=8080, path="/api").verdict == "allow"
    assert ask(text, port=8080, path="/metrics").verdict == "deny"
    assert ask(text, port=9090, path="/api").verdict == "deny"


@pytest.mark.parametrize(
    ("subject", "verdict"),
    [
        ("{kind: ServiceAccount, name: web, namespace: d}", "allow"),
        ("{kind: ServiceAccount, name: web}", "deny"),
        ("{kind: ServiceAccount, name: web, namespace: ''}", "deny"),
        ("{kind: ServiceAccount, name: web, namespace: e}", "deny"),
        ("{kind: ServiceAccount, name: '*', namespace: d}", "deny"),
        ("{kind: Group, name: web, namespace: d}", "deny"),
        ("{kind: IdentityBinding, name: web, namespace: d}", "deny"),
        ("{kind: ServiceAccount, name: web, namespace: d, group: ''}", "deny"),
        ("{kind: ServiceAccount, name: web, namespace: d, port: 80}", "deny"),
        ("{name: web, namespace: d}", "deny"),
        ("{kind: ServiceAccount, namespace: d}", "deny"),
        ("web", "deny"),
    ],
)
def test_source_forms(ask: Ask, subject: str, verdict: str) -> None:
    """A source counts only with a kind of its version, a valid name and its own namespace."""
    text = f"""
apiVersion: access.smi-spec.io/v1alpha3
kind: TrafficTarget
metadata: {{name: t, namespace: d}}
spec:
  destination: {{kind: ServiceAccount, name: api}}
  sources: [{subject}]
  rules: [{A}]
"""
    assert ask(text, path="/api").verdict == verdict


@pytest.mark.parametrize(
    ("destination", "verdict"),
    [
        ("{kind: ServiceAccount, name: api}", "allow"),
        ("{kind: ServiceAccount, name: api, namespace: d}", "allow"),
        ("{kind: ServiceAccount, name: api, namespace: ''}", "allow"),
        ("{kind: ServiceAccount, name: api, namespace: e}", "deny"),
        ("{kind: ServiceAccount, name: api, port: 8080}", "deny"),
        ("{kind: User, name: api}", "deny"),
        ("{kind: ServiceAccount, name: api, namespace: null}", "deny"),
        ("null", "deny"),
    ],
)
def test_destination_forms(ask: Ask, destination: str, verdict: str) -> None:
    """A destination is an identity of the TrafficTarget's own namespace."""
    text = f"""
apiVersion: access.smi-spec.io/v1alpha3
kind: TrafficTarget
metadata: {{name: t, namespace: d}}
spec:
  destination: {destination}
  sources: [{{kind: ServiceAccount, name: web, namespace: d}}]
  rules: [{A}]
"""
    assert ask(text, path="/api").verdict == verdict


def test_foreign_traffic_target_for_our_identity(ask: Ask) -> None:
    """A TrafficTarget of another namespace cannot open this one."""
    text = f"""
kind: TrafficTarget
metadata: {{name: t, namespace: x}}
spec:
  destination: {{kind: ServiceAccount, name: api, namespace: d}}
  sources: [{{kind: ServiceAccount, name: web, namespace: d}}]
  rules: [{TALL}]
---
kind: TCPRoute
metadata: {{name: tall, namespace: x}}
spec: {{}}
"""
    assert ask(text, port=5432, protocol="tcp").verdict == "deny"


@pytest.mark.parametrize(
    ("rules", "port", "protocol", "verdict"),
    [
        (A, 8080, "http", "allow"),
        (A, 9090, "http", "deny"),
        (f"{A}, {TALL}", 9090, "http", "deny"),
        (f"{A}, {TALL}", 8080, "http", "allow"),
        (f"{A}, {{kind: TCPRoute, name: missing}}", 8080, "http", "allow"),
        (f"{A}, {{kind: TCPRoute, name: missing}}", 9090, "http", "deny"),
        (f"{A}, {{kind: TCPRoute, name: missing}}", 8080, "tcp", "deny"),
        ("{kind: TCPRoute, name: missing}", 8080, "tcp", "deny"),
        (f"{TALL}, {{kind: TCPRoute, name: missing}}", 7000, "tcp", "deny"),
        (TALL, 7000, "tcp", "deny"),
        (f"{A}, {{kind: UDPRoute, name: u}}", 8080, "http", "deny"),
        (f"{A}", 8080, "tcp", "deny"),
    ],
)
def test_destination_port_of_old_versions(
    ask: Ask, target: Target, *, rules: str, port: int, protocol: str, verdict: str
) -> None:
    """`destination.port` limits HTTP grants, also beside a missing TCPRoute, and opens no raw TCP."""
    text = target(f"[{rules}]", more=", port: 8080", version="v1alpha2")
    assert ask(text, port=port, protocol=protocol, path="/api").verdict == verdict


def test_raw_tcp_beside_missing_tcp_route_and_port(ask: Ask, target: Target) -> None:
    """`destination.port` saves HTTP grants beside a missing TCPRoute, but no raw TCP."""
    text = target(f"[{TALL}, {{kind: TCPRoute, name: missing}}]", more=", port: 7000", version="v1alpha2")
    assert ask(text, port=7000, protocol="tcp").verdict == "deny"


def test_destination_port_beside_tcp_routes(ask: Ask, target: Target) -> None:
    """A TCPRoute without ports is limited to the port; one with other ports leaves nothing."""
    portless = target(f"[{TALL}]", more=", port: 7000", version="v1alpha2")
    assert ask(portless, port=7000, protocol="tcp").verdict == "allow"
    assert ask(portless, port=7001, protocol="tcp").verdict == "deny"
    disjoint = target(f"[{A}, {T80}]", more=", port: 9090", version="v1alpha2")
    assert [ask(disjoint, port=port, path="/api").verdict for port in (8080, 9090)] == ["deny", "deny"]


@pytest.mark.parametrize("port", ["'8080'", "8080.0", "true", "0", "65536", "null"])
def test_destination_port_of_wrong_type(ask: Ask, target: Target, port: str) -> None:
    """A port is an integer from 1 to 65535, anything else voids the object."""
    text = target(f"[{A}]", more=f", port: {port}", version="v1alpha2")
    assert {ask(text, port=number, path="/api").verdict for number in (1, 8080, 9090)} == {"deny"}


def test_v1alpha1_fields_at_top_level(ask: Ask) -> None:
    """v1alpha1 keeps its fields at the top level and calls the rules `specs`; under `spec` they void the object."""
    inner = """destination: {kind: ServiceAccount, name: api, namespace: d}
sources: [{kind: ServiceAccount, name: web, namespace: d}]
specs: [{kind: HTTPRouteGroup, name: r, matches: [a]}]"""
    head = "apiVersion: access.smi-spec.io/v1alpha1\nkind: TrafficTarget\nmetadata: {name: t, namespace: d}\n"
    assert ask(head + inner, path="/api").verdict == "allow"
    assert ask(f"{head}{inner}\nspec: {{}}", path="/api").verdict == "deny"
    assert ask(head + "spec:\n  " + inner.replace("\n", "\n  "), path="/api").verdict == "deny"
    assert ask(head + inner.replace("specs:", "rules:"), path="/api").verdict == "deny"
    assert ask(head + inner.replace("HTTPRouteGroup", "UDPRoute"), path="/api").verdict == "deny"


@pytest.mark.parametrize("version", ["v1alpha2", "v1alpha3", "v1alpha4"])
def test_newer_versions_agree(ask: Ask, target: Target, version: str) -> None:
    """The same TrafficTarget means the same in every version that keeps its fields under `spec`."""
    assert ask(target(f"[{A}, {T80}]", version=version), path="/api").verdict == "allow"


def test_foreign_namespace_of_route(ask: Ask, target: Target) -> None:
    """Routes are looked up in the TrafficTarget's namespace only."""
    text = "kind: HTTPRouteGroup\nmetadata: {name: far, namespace: e}\nspec: {matches: [{name: x, methods: [GET]}]}\n"
    assert ask(text + target("[{kind: HTTPRouteGroup, name: far}]"), path="/api").verdict == "deny"
