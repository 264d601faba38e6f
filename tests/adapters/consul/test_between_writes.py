"""A split is written and deleted piece by piece, and Consul would store each state in between."""

from __future__ import annotations

from random import Random

import pytest

from adapters.consul.plugin import SPEC
from hub.testing.documents import SinklessMesh
from hub.testing.kit import read_documents
from hub.testing.stepping import Edit, Steps, stepped

_SPLIT = """\
apiVersion: v1
kind: Service
metadata: {name: api, namespace: d}
spec: {ports: [{name: http, port: 8080}], selector: {app: api}}
---
apiVersion: v1
kind: Service
metadata: {name: v2, namespace: d}
spec: {ports: [{name: http, port: 8080}]}
---
apiVersion: split.smi-spec.io/v1alpha4
kind: TrafficSplit
metadata: {name: shares, namespace: d}
spec: {service: v2, backends: [{service: v2, weight: 50}, {service: api, weight: 50}]}
"""


@pytest.mark.parametrize("seed", range(20))
def test_no_splitter_stands_without_the_protocol_of_its_service(seed: int) -> None:
    """In any order in which a sink may write: `evaluate` raises on what Consul does not store."""
    split = tuple(one.value for one in read_documents(_SPLIT))
    mesh, steps = SinklessMesh("consul", SPEC), Steps(order=str(seed))
    assert stepped(mesh, Edit((), split), Random(seed), steps)["between"]
    assert stepped(mesh, Edit(split, ()), Random(seed), steps)["between"]
