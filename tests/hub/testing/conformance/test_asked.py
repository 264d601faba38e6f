"""Which features a grant asks of a mesh."""

from __future__ import annotations

import pytest

from hub.api import Access, Feature, Grant, Identity, ObjectRef
from hub.testing.conformance.asked import asked_by

_ORIGIN = ObjectRef("access.smi-spec.io", "TrafficTarget", "d", "t")


@pytest.mark.parametrize(
    ("source", "asked"),
    [
        ("spiffe://cluster.local/ns/d/sa/web", {Feature.ACCESS_TCP}),
        ("spiffe://cluster.local/vm/7", {Feature.ACCESS_TCP, Feature.ACCESS_SPIFFE_SOURCE}),
        # It reads like an account, and no TrafficTarget can name it as one.
        ("spiffe://partner.example/ns/d/sa/web", {Feature.ACCESS_TCP, Feature.ACCESS_SPIFFE_SOURCE}),
    ],
)
def test_a_caller_of_another_trust_domain_is_a_spiffe_id(source: str, asked: set[Feature]) -> None:
    """Whatever its path is; 100 000 pairs found a mesh blamed for it that has no federation."""
    unit = Access(Identity("cluster.local", "d", "api"), (Grant(_ORIGIN, (source,), "TCP", None, None),))
    assert asked_by(unit, _ORIGIN) == asked
