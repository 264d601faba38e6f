"""Objects of others that change what smihub's do: each is named with what it does."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.linkerd.overrides import overrides

POLICY, GATEWAY = "policy.linkerd.io/v1alpha1", "gateway.networking.k8s.io/v1"


def said(version: str, kind: str, **spec: Any) -> str:
    """What is said of an object."""
    return overrides({"apiVersion": version, "kind": kind, "metadata": {"name": "api.shop.svc"}, "spec": spec})


@pytest.mark.parametrize(
    ("text", "version", "kind", "spec"),
    [
        ("in place of smihub's Server", POLICY, "Server", {}),
        ("every Server that it selects", POLICY, "ServerAuthorization", {}),
        ('the splits of Service "api"', "linkerd.io/v1alpha2", "ServiceProfile", {}),
        ("of its namespace", POLICY, "AuthorizationPolicy", {"targetRef": {"kind": "Namespace", "name": "shop"}}),
        ('"smihub-80-api"', POLICY, "AuthorizationPolicy", {"targetRef": {"kind": "Server", "name": "smihub-80-api"}}),
        ("decides", POLICY, "HTTPRoute", {"parentRefs": [{"kind": "Server", "name": "smihub-80-api"}]}),
        ("is merged", GATEWAY, "HTTPRoute", {"parentRefs": [{"kind": "Service", "name": "api"}]}),
        ("takes the place", GATEWAY, "GRPCRoute", {"parentRefs": [{"kind": "Service", "name": "api"}]}),
    ],
)
def test_what_it_does_is_said(text: str, version: str, kind: str, spec: dict[str, Any]) -> None:
    """By kind, and by what it names."""
    assert text in said(version, kind, **spec)


@pytest.mark.parametrize(
    ("version", "kind", "spec"),
    [
        (POLICY, "MeshTLSAuthentication", {}),
        (POLICY, "AuthorizationPolicy", {"targetRef": {"kind": "Server", "name": "metrics"}}),
        (POLICY, "AuthorizationPolicy", {"targetRef": 7}),
        (GATEWAY, "HTTPRoute", {"parentRefs": [{"kind": "Gateway", "name": "front"}, 7]}),
        (POLICY, "HTTPRoute", {"parentRefs": [{"kind": "Server", "name": "metrics"}]}),
        ("apps/v1", "Server", {}),
    ],
)
def test_what_leaves_ours_alone_is_not_named(version: str, kind: str, spec: dict[str, Any]) -> None:
    """Nor what is no object of Linkerd, whatever it holds."""
    assert said(version, kind, **spec) == ""


@pytest.mark.parametrize("manifest", [{}, {"apiVersion": 1, "kind": [], "spec": []}, {"apiVersion": POLICY}])
def test_no_shape_is_too_odd(manifest: dict[str, Any]) -> None:
    """Sources hold anything."""
    assert overrides(manifest) == ""
