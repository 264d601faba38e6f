"""Where others declare protocols (`serviceDefaults: theirs`), entries mean the same as where smihub does."""

from __future__ import annotations

from random import Random

import pytest
from msgspec.structs import replace

from adapters.consul.config import ConsulConfig
from adapters.consul.plugin import SPEC
from hub.testing.compare import disagreement
from hub.testing.conformance.plain import plain_world
from hub.testing.documents import Scope, SinklessMesh, explainer_of
from hub.testing.worlds import documents_of
from tests.servers.readings import CONSUL

THEIRS = SinklessMesh("theirs", SPEC, ConsulConfig(service_defaults="theirs"))


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("kind", ["Pod", "Workload"])
def test_plain_grants_and_splits_are_what_they_are_where_we_declare(kind: str, seed: int) -> None:
    """Allowed as SMI says, and with the same shares."""
    values, calls = plain_world(Random(seed), kind)
    explain = explainer_of(documents_of(values), (CONSUL, THEIRS), Scope()).explain
    for request in calls:
        smi, meshes = explain(request)
        assert meshes["theirs"].losses or not disagreement(request, smi, meshes["theirs"])  # a split of TCP is lost
        theirs, ours = (
            replace(meshes[name], by=(), losses=("",) if meshes[name].losses else ()) for name in ("theirs", "consul")
        )
        assert theirs == ours
