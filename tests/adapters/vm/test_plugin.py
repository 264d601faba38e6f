"""The registration of the VM mesh says something about everything, and hands over what it names."""

from __future__ import annotations

import pytest

from adapters.vm.plugin import SPEC, smihub_adapters, smihub_sinks
from adapters.vm.view import name, view
from hub.api import Feature, Support, UnmodelledError


def test_features_when_listed() -> None:
    """Every feature of SMI has a support word, and access is never approximate."""
    assert set(SPEC.features) == set(Feature)
    assert Support.APPROXIMATE not in {SPEC.features[feature] for feature in Feature if feature.startswith("access.")}


def test_hooks_when_asked() -> None:
    """One adapter and its sink, of one family."""
    (adapter,), (sink,) = smihub_adapters(), smihub_sinks()
    assert (adapter.name, adapter.family, sink.name) == ("vm", "xds", "xds")


@pytest.mark.parametrize(
    ("kind", "body"), [("Workload", b"{"), ("Workload", b"[]"), ("Listener", b"\xff"), ("Pod", b"")]
)
def test_view_when_bytes_are_no_resource(kind: str, body: bytes) -> None:
    """Unreadable bytes are one error, for the view and for the name."""
    for read in (lambda: view(body, kind), lambda: name(kind, body)):
        with pytest.raises(UnmodelledError):
            read()
