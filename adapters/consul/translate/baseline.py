"""The Baseline of a mesh: an intention that denies everything to every service, where the settings ask for it."""

from __future__ import annotations

from adapters.consul.config import ConsulK8sConfig
from adapters.consul.names import EVERY
from adapters.consul.translate.objects import Form
from hub.api import Baseline, Role, Translation


def translate_baseline(baseline: Baseline, form: Form) -> Translation:
    """That intention, if everything in the mesh is governed; else it would deny what nobody governs."""
    config = form.config
    if baseline.namespace or not baseline.whole or config.mode != "mesh":
        return Translation()
    namespace = config.mesh_namespace if isinstance(config, ConsulK8sConfig) else ""
    fields = {"Sources": [{"Name": EVERY, "Action": "deny"}]}
    return Translation((form.intention(namespace, EVERY, fields, Role.GUARD),))
