"""What objects of others do to those of smihub, as far as one of them tells by itself: namespaces in ambient mode.

Source: https://istio.io/latest/docs/ambient/usage/add-workloads/; a sidecar goes before ambient mode
(https://istio.io/latest/docs/ambient/migrate/enable-ambient-mode/). Observed on Istio 1.31: a ztunnel leaves rules about HTTP out of ALLOW
policies, and no EnvoyFilter is inserted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hub.api import Excluded

_LABEL, _MODE = "istio.io/dataplane-mode", "ambient"
_EFFECT = "there, rules about HTTP grant nothing, with or without EnvoyFilters (smihub writes for sidecars)"
AMBIENT = Excluded(_LABEL, _MODE, "istio.ambient-pods", f"without a sidecar it is in ambient mode; {_EFFECT}")
"""A Pod or template of a governed account that asks for ambient mode itself."""


def overrides(manifest: Mapping[str, Any]) -> str:
    """What a Namespace puts its Pods into; "" for any other object, and where that cannot be told."""
    if (manifest.get("apiVersion"), manifest.get("kind")) != ("v1", "Namespace"):
        return ""
    metadata = manifest.get("metadata")
    labels = metadata.get("labels") if isinstance(metadata, dict) else None
    is_ambient = isinstance(labels, dict) and labels.get(_LABEL) == _MODE
    return f"puts its Pods without a sidecar into ambient mode; {_EFFECT}" if is_ambient else ""
