"""Namespaces in ambient mode, as far as a manifest tells."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.istio.overrides import overrides


def namespace(labels: Any) -> dict[str, Any]:
    """Somebody's."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": labels}}


def test_a_namespace_in_ambient_mode() -> None:
    """It is told: what is granted about HTTP has no effect there."""
    assert "ambient mode" in overrides(namespace({"istio.io/dataplane-mode": "ambient"}))


@pytest.mark.parametrize(
    "manifest",
    [
        {},
        namespace(None),
        namespace("ambient"),
        namespace({"istio.io/dataplane-mode": "none"}),
        namespace({"istio.io/dataplane-mode": ["ambient"]}),
        {**namespace({"istio.io/dataplane-mode": "ambient"}), "kind": "ConfigMap"},
        {"apiVersion": "v1", "kind": "Namespace", "metadata": 1},
    ],
)
def test_other_objects(manifest: dict[str, Any]) -> None:
    """They do nothing to ours, or nobody can tell."""
    assert overrides(manifest) == ""
