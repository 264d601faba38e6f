"""What leaves the translation is checked, whatever made it."""

from __future__ import annotations

import pytest

from adapters.consul.config import ConsulConfig, ConsulK8sConfig
from adapters.consul.translate import access as translate_access
from adapters.consul.translate.unit import translate_entries, translate_resources
from hub.api import UnsafeResourceError
from tests.servers.units import access, inbound, tcp_grant


def test_nothing_leaves_unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake, such as an intention that ends with an allowance of everybody, ends here."""
    unit = access(tcp_grant("t", ["web"]), ports=(inbound(8080, "tcp"),))
    assert translate_entries(unit, ConsulConfig()).objects
    assert translate_resources(unit, ConsulK8sConfig()).objects
    monkeypatch.setattr(translate_access, "_source", lambda name, _: {"Name": name, "Action": "allow"})
    with pytest.raises(UnsafeResourceError):
        translate_entries(unit, ConsulConfig())
    with pytest.raises(UnsafeResourceError):
        translate_resources(unit, ConsulK8sConfig())
