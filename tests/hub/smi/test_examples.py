"""The traps in the specification's own examples, each pinned with YAML of our own in the same shape.

Source: SMI specification, the examples of apis/traffic-access, apis/traffic-specs and apis/traffic-split.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest

from hub.model import HttpMatch
from hub.smi import Decoded
from hub.smi.types import HTTPRouteGroup, TrafficSplit, TrafficTarget

Reading = Callable[[str], Decoded]


def test_examples_without_api_version_are_read(read: Reading) -> None:
    """Trap 1: most examples carry none; the group comes from the kind, the version from the shape."""
    decoded = read(
        """
        kind: TrafficTarget
        metadata: {name: metrics-only, namespace: shop}
        destination: {kind: ServiceAccount, name: cart, namespace: shop, port: 8080}
        specs:
        - {kind: HTTPRouteGroup, name: cart-routes, matches: [metrics]}
        sources:
        - {kind: ServiceAccount, name: scraper, namespace: shop}
        """
    )
    assert isinstance(decoded.object, TrafficTarget)
    assert decoded.object.port == 8080
    assert [problem.severity.value for problem in decoded.problems] == ["warning"]


def test_example_with_a_bare_version_is_read(read: Reading) -> None:
    """Trap 2: an apiVersion without a group."""
    decoded = read(
        """
        apiVersion: v1alpha1
        kind: HTTPRouteGroup
        metadata: {name: cart-routes}
        matches:
        - {name: health, pathRegex: /ping, methods: ["*"]}
        """
    )
    assert isinstance(decoded.object, HTTPRouteGroup)
    assert decoded.object.matches[0].match == HttpMatch("/ping")


@pytest.mark.parametrize("api", ["", "apiVersion: specs.smi-spec.io/v1alpha4\n"])
def test_a_b_example_keeps_matches_at_the_top(api: str, read: Reading) -> None:
    """Trap 3: split v1alpha3/4 show a group with top-level matches; that is v1alpha2, and void under v1alpha4."""
    decoded = read(
        f"{api}kind: HTTPRouteGroup\nmetadata: {{name: beta-users}}\n"
        "matches:\n- name: beta\n  headers:\n    x-ring: '.*beta.*'\n"
    )
    assert (decoded.object is None) is bool(api)
    if isinstance(decoded.object, HTTPRouteGroup):
        assert decoded.object.matches[0].match == HttpMatch(headers=(("x-ring", ".*beta.*"),))


def test_canary_example_counts_its_yaml(read: Reading) -> None:
    """Trap 4: the prose swaps the percentages; the YAML's 90/10 is what holds."""
    decoded = read(
        """
        kind: TrafficSplit
        metadata: {name: canary}
        spec:
          service: shop
          backends:
          - {service: shop-v1, weight: 90}
          - {service: shop-v2, weight: 10}
        """
    )
    assert isinstance(decoded.object, TrafficSplit)
    assert [(b.service, b.weight) for b in decoded.object.backends] == [
        ("shop-v1", Fraction(90)),
        ("shop-v2", Fraction(10)),
    ]


@pytest.mark.parametrize("version", ["v1alpha2", "v1alpha3", "v1alpha4"])
def test_header_only_match_is_complete(version: str, read: Reading) -> None:
    """Trap 5: "all fields are required" stands next to header-only matches; these are complete."""
    matches = "matches: [{name: android, headers: [{user-agent: '.*Android.*'}]}]"
    body = matches if version == "v1alpha2" else f"spec: {{{matches}}}"
    decoded = read(f"{{apiVersion: specs.smi-spec.io/{version}, kind: HTTPRouteGroup, metadata: {{name: g}}, {body}}}")
    assert isinstance(decoded.object, HTTPRouteGroup)
    assert decoded.object.matches[0].match == HttpMatch(headers=(("user-agent", ".*Android.*"),))


def test_l4_example_without_namespace_is_in_default(read: Reading) -> None:
    """Trap 6: the layer-4 target has no metadata.namespace."""
    decoded = read(
        """
        kind: TrafficTarget
        metadata: {name: gossip}
        spec:
          destination: {kind: ServiceAccount, name: store, namespace: default}
          rules:
          - {kind: TCPRoute, name: store-tcp}
          - {kind: UDPRoute, name: store-udp}
          sources:
          - {kind: ServiceAccount, name: peer, namespace: default}
        """
    )
    assert isinstance(decoded.object, TrafficTarget)
    assert decoded.object.ref.namespace == "default"


def test_binding_example_contradicts_itself(read: Reading) -> None:
    """The only IdentityBinding example uses two schemes that its own text calls mutually exclusive: it is void."""
    schemes: dict[str, Any] = {
        "podLabelSelector": "{matchLabels: {app: cart}}",
        "spiffeIdentities": "[cluster.local/ns/shop/sa/cart, partner.example/site/a]",
        "serviceAccount": "cart",
    }
    body = ", ".join(f"{key}: {value}" for key, value in schemes.items())
    head = "apiVersion: access.smi-spec.io/v1alpha4, kind: IdentityBinding, metadata: {name: cart, namespace: shop}"
    decoded = read(f"{{{head}, spec: {{schemes: {{{body}}}}}}}")
    assert decoded.object is None
    assert [problem.code for problem in decoded.problems] == ["binding.exclusive"]


@pytest.mark.parametrize("kind", ["TrafficMetrics", "TrafficMetricsList"])
def test_metrics_are_no_input(kind: str, read: Reading) -> None:
    """Traps 7 and 8 are of the metrics group, which is an output; as an input it is reported."""
    decoded = read(f"{{apiVersion: metrics.smi-spec.io/v1alpha1, kind: {kind}, items: []}}")
    assert [problem.code for problem in decoded.problems] == ["object.unsupported"]


def test_backend_conditions_of_an_early_draft_void(read: Reading) -> None:
    """smi-sdk-go v0.3.0 had `matches` in each backend; dropping them would split every request."""
    decoded = read(
        """
        apiVersion: split.smi-spec.io/v1alpha3
        kind: TrafficSplit
        metadata: {name: old}
        spec:
          service: shop
          backends:
          - {service: shop-v2, weight: 100, matches: [{kind: HTTPRouteGroup, name: beta-users}]}
        """
    )
    assert decoded.object is None
    assert [problem.field for problem in decoded.problems] == ["spec.backends[0].matches"]


def test_reference_converters_mistake_is_not_ours(read: Reading) -> None:
    """Weights 1 and 500m stand 2 to 1; the reference conversion makes 1 to 500 of them."""
    decoded = read(
        "{apiVersion: split.smi-spec.io/v1alpha1, kind: TrafficSplit, metadata: {name: s}, "
        "spec: {service: shop, backends: [{service: a, weight: 1}, {service: b, weight: 500m}]}}"
    )
    assert isinstance(decoded.object, TrafficSplit)
    first, second = (backend.weight for backend in decoded.object.backends)
    assert first == 2 * second
