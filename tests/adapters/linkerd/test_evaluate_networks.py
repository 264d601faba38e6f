"""Whom a NetworkAuthentication lets in, as evaluate reads it.

Source: https://linkerd.io/2-edge/reference/authorization-policy/#networkauthentication; observed on Linkerd edge-26.8: a
route of its own with networks lets probes in, and what one policy requires must hold together.
"""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from adapters.linkerd.evaluate.mesh import evaluator
from hub.api import Facts, NativeObject, Source
from tests.adapters.linkerd.objects import (
    RAW,
    ROGUE,
    WEB,
    ask,
    authn,
    granted,
    identities,
    native,
    path,
    policy,
    route,
    server,
)

_POD = Source(pod="shop/v1")


def networks(*cidrs: Any) -> NativeObject:
    """A NetworkAuthentication `near` of these networks; a pair is one with what it excepts."""
    listed = [{"cidr": one} if isinstance(one, str) else {"cidr": one[0], "except": list(one[1])} for one in cidrs]
    return native("NetworkAuthentication", "near", {"networks": listed})


def at(facts: Facts, *addresses: str) -> Facts:
    """The facts with the Pod `v1` at these addresses."""
    placed = {
        ref: replace(one, addresses=addresses) if ref.name == "v1" else one for ref, one in facts.placements.items()
    }
    return replace(facts, placements=placed)


_NEAR = authn("near", "NetworkAuthentication")


@pytest.mark.parametrize(
    ("cidrs", "addresses", "verdict"),
    [
        (("10.0.0.0/8",), ("10.1.2.3",), "allow"),
        (("10.0.0.0/8",), ("11.1.2.3",), "deny"),
        (("10.0.0.0/8",), ("fd00::1", "10.1.2.3"), "allow"),
        (("10.0.0.0/8", "fd00::/8"), ("fd00::1",), "allow"),
        (("10.0.0.0/8",), ("fd00::1",), "deny"),
        ((("10.0.0.0/8", ["10.1.0.0/16"]),), ("10.1.2.3",), "deny"),
        ((("10.0.0.0/8", ["10.1.0.0/16"]), "10.1.2.3/32"), ("10.1.2.3",), "allow"),
        (("10.1.2.3",), ("10.1.2.3",), "allow"),
        (("10.0.0.0/8",), (), "allow"),
    ],
)
def test_addresses_of_a_caller(cidrs: Any, addresses: tuple[str, ...], verdict: str, facts: Facts) -> None:
    """Any of those that a Pod has; whoever's are not known may call from a network that is meant, so it counts as let in."""
    objects = (server(), networks(*cidrs), policy("Server/api", _NEAR))
    assert evaluator(objects, at(facts, *addresses)).judge(ask(src=_POD)).verdict == verdict


def test_networks_and_identities_of_one_policy_must_both_hold(facts: Facts) -> None:
    """And those of two policies add up."""
    both = (server(), networks("10.0.0.0/8"), identities(), policy("Server/api", "web", _NEAR))
    assert evaluator(both, facts).judge(ask(src=WEB)).verdict == "allow"
    assert evaluator(both, facts).judge(ask(src=ROGUE)).verdict == "deny"
    assert evaluator(both, facts).judge(ask(src=RAW)).verdict == "deny"
    either = (*both, policy("Server/api", _NEAR, name="b"))
    assert evaluator(either, facts).judge(ask(src=RAW)).verdict == "allow"


def test_only_what_asks_for_nothing_but_an_address_is_told_as_opened(facts: Facts) -> None:
    """Not what is granted to an identity as well, nor what is for everybody."""
    probe = (
        server(),
        networks("10.0.0.0/8"),
        route("r", path("/healthz", "Exact", method="GET")),
        policy("HTTPRoute/r", _NEAR),
    )
    opened = ("linkerd.opened-network",)
    assert evaluator(probe, facts).judge(ask("/healthz", RAW)).losses == opened
    assert evaluator((*probe, *granted("Server/api", "web")), facts).judge(ask("/healthz", WEB)).losses == ()
    by_both = (server(), networks("10.0.0.0/8"), identities(), policy("Server/api", "web", _NEAR))
    assert evaluator(by_both, facts).judge(ask(src=WEB)).losses == ()
    anywhere = (server(), networks("0.0.0.0/0", "::/0", "10.0.0.0/8"), policy("Server/api", _NEAR))
    assert evaluator(anywhere, facts).judge(ask(src=RAW)).losses == ()
    assert evaluator(anywhere, at(facts, "11.0.0.1")).judge(ask(src=_POD)).verdict == "allow"


@pytest.mark.parametrize("refs", [[authn("gone", "NetworkAuthentication")], [_NEAR, _NEAR]])
def test_a_policy_that_is_ignored(refs: list[Any], facts: Facts) -> None:
    """It requires networks that do not exist, or two of them."""
    objects = (server(), networks("0.0.0.0/0", "::/0"), policy("Server/api", *refs))
    assert evaluator(objects, facts).judge(ask()).verdict == "deny"
