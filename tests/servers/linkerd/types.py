"""Linkerd's types (CRDs) as its reference describes them, written anew: the fields and limits of the versions that are stored.

Their schemas are closed: a field that is not described is refused, where Linkerd's own keep it in a few places. Linkerd's routes of
the Gateway API are that project's own types (`tests.servers.istio.gateway`).
Source: https://linkerd.io/2-edge/reference/, https://github.com/linkerd/linkerd2/tree/main/charts/linkerd-crds/templates.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).with_name("crds")


def linkerd_types() -> list[Mapping[str, Any]]:
    """The CRDs, one for each kind."""
    return [yaml.load(file.read_text(encoding="utf-8"), yaml.CSafeLoader) for file in sorted(FOLDER.glob("*.yaml"))]
