"""Registration of the sinks that the hub brings itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hub.api import SinkSpec, hookimpl
from hub.sinks.directory import DIRECTORY


@hookimpl
def smihub_sinks() -> Iterable[SinkSpec[Any]]:
    """The sink `directory`: Kubernetes objects as files, for GitOps."""
    return [DIRECTORY]
