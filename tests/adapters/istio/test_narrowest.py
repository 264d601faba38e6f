"""The narrowest form of a policy: it selects whom it selected, and grants nobody anything."""

from __future__ import annotations

import msgspec
import pytest

from adapters.istio.safety.check import check
from adapters.istio.translate.narrowest import narrowest

LABELS = {"smihub.io/sa": "api", "track": "canary"}
RULES = [{"from": [{"source": {"principals": ["cluster.local/ns/shop/sa/evil"]}}]}]


def policy(kind: str = "AuthorizationPolicy", **spec: object) -> bytes:
    """An object of the shop as it may stand."""
    head = {"apiVersion": "security.istio.io/v1", "kind": kind, "metadata": {"name": "smihub-api", "namespace": "shop"}}
    return msgspec.json.encode({**head, "spec": spec}, order="sorted")


@pytest.mark.parametrize("action", ["ALLOW", "DENY", "CUSTOM"])
def test_policy_without_rules_denies_whom_it_selects(action: str) -> None:
    """Whatever somebody made of it; what is written is an object as smihub makes them."""
    found = narrowest(policy(action=action, selector={"matchLabels": LABELS}, rules=RULES), "AuthorizationPolicy")
    assert found == policy(action="ALLOW", selector={"matchLabels": LABELS})
    check(found)


@pytest.mark.parametrize(
    "body",
    [
        policy(action="ALLOW", rules=RULES),
        policy(action="ALLOW", selector={"matchLabels": {}}, rules=RULES),
        policy(action="ALLOW", selector={"matchLabels": {"track": "canary"}}, rules=RULES),
        policy(action="ALLOW", selector="api", rules=RULES),
        b"[",
    ],
)
def test_policy_that_somebody_edited_into_one_for_others_has_none(body: bytes) -> None:
    """Without rules it would deny everything to workloads that nobody governs."""
    assert narrowest(body, "AuthorizationPolicy") is None


def test_nothing_else_has_a_narrowest_form() -> None:
    """PeerAuthentication grants nothing, and a VirtualService refuses nothing."""
    assert narrowest(policy("PeerAuthentication", selector={"matchLabels": LABELS}), "PeerAuthentication") is None
