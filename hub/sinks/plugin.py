"""Registration of the sink and the family that the hub brings itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hub.api import FamilySpec, SinkSpec, hookimpl
from hub.sinks.directory import DIRECTORY
from hub.sinks.kubernetes import KUBERNETES


@hookimpl
def smihub_families() -> Iterable[FamilySpec]:
    """The family `kubernetes`, of every mesh in a cluster, whoever wrote its adapter."""
    return [KUBERNETES]


@hookimpl
def smihub_sinks() -> Iterable[SinkSpec[Any]]:
    """The sink `directory`: objects as files, for GitOps."""
    return [DIRECTORY]
