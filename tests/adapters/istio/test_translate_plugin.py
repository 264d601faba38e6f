"""The registration of Istio says something about everything; what it shows is what was written."""

from __future__ import annotations

import msgspec
import pytest

from adapters.istio.config import IstioConfig
from adapters.istio.plugin import smihub_adapters
from adapters.istio.translate.unit import translate
from hub.api import UnmodelledError
from hub.sinks.kubernetes import KUBERNETES
from tests.servers.units import access


def test_hook_when_asked() -> None:
    """One adapter, of the family that sinks of Kubernetes objects write."""
    (adapter,) = smihub_adapters()
    assert (adapter.name, adapter.family, adapter.governs) == ("istio", "kubernetes", ("all", "namespaces", "targets"))


@pytest.mark.parametrize(
    "text", ['{"clusterDomain": "*"}', '{"rootNamespace": "a.b"}', '{"mtls": "off"}', '{"cluster_domain": "x"}']
)
def test_config_when_wrong(text: str) -> None:
    """Options are checked where they are read."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=IstioConfig)


def test_view_when_bytes_are_an_object() -> None:
    """The whole manifest."""
    for item in translate(access(ports=()), IstioConfig()).objects:
        assert KUBERNETES.view(item.body, item.ref.kind)["kind"] == item.ref.kind


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("VirtualService", b"{"),
        ("VirtualService", b"[]"),
        ("VirtualService", b"\xff"),
        ("VirtualService", b'{"kind": "AuthorizationPolicy"}'),
    ],
)
def test_view_when_bytes_are_no_object(kind: str, body: bytes) -> None:
    """Unreadable bytes and other kinds are one error."""
    with pytest.raises(UnmodelledError):
        KUBERNETES.view(body, kind)
