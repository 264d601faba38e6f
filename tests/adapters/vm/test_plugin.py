"""The registration of the VM mesh says something about everything, and hands over what it names."""

from __future__ import annotations

import pytest

from adapters.vm.plugin import smihub_adapters, smihub_sinks
from adapters.vm.view import name, view
from hub.api import UnmodelledError


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
