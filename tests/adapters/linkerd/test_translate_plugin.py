"""The registration of Linkerd says something about everything."""

from __future__ import annotations

import msgspec
import pytest

from adapters.linkerd.config import LinkerdConfig
from adapters.linkerd.plugin import SPEC, smihub_adapters


def test_hook_when_asked() -> None:
    """One adapter, of the family that sinks of Kubernetes objects write."""
    (adapter,) = smihub_adapters()
    assert (adapter.name, adapter.family, adapter.selects_by) == ("linkerd", "kubernetes", "smihub.io/sa")


def test_annotations_when_the_cluster_denies_by_default() -> None:
    """Templates ask for it, unless it is declared."""
    assert SPEC.annotations(LinkerdConfig()) == {"config.linkerd.io/default-inbound-policy": "deny"}
    assert SPEC.annotations(LinkerdConfig(default_policy="cluster")) == {}


@pytest.mark.parametrize("text", ['{"httpRoutes": "x"}', '{"http_routes": "policy.linkerd.io"}', '{"mtls": "strict"}'])
def test_config_when_wrong(text: str) -> None:
    """Options are checked where they are read."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=LinkerdConfig)
