"""The chain's name: up when a policy of this listener narrows, and at no other time."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from adapters.vm import wire
from adapters.vm.carry_over import carry_over
from adapters.vm.config import VmConfig
from adapters.vm.translate.unit import translate
from hub.model import Grant, HttpMatch, NativeObject, ObjectRef, Observed
from tests.adapters.vm.native import UNIT
from tests.servers.units import access, http_grant, inbound, tcp_grant

A, B = HttpMatch(path="/a"), HttpMatch(path="/b")
HTTP, TCP = "in/d/api/8080/http@127.0.0.1", "in/d/api/9000/tcp@127.0.0.1"


def made(*grants: Grant) -> tuple[NativeObject, ...]:
    """An HTTP port and a TCP port with these grants."""
    return translate(access(*grants, ports=[inbound(8080), inbound(9000, "tcp")]), VmConfig()).objects


def standing(objects: Sequence[NativeObject]) -> dict[ObjectRef, Observed]:
    """The objects as a mesh has them."""
    return {item.ref: Observed(item.ref, item.body, UNIT, "t", item.role, item.needs) for item in objects}


def chains(objects: Sequence[NativeObject]) -> dict[str, str]:
    """Chain name by listener."""
    listeners: list[Any] = [wire.parse("Listener", item.body) for item in objects if item.ref.kind == "Listener"]
    return {listener.name: listener.filter_chains[0].name for listener in listeners}


BOTH = (http_grant("h", ["web", "pay"], A, B), tcp_grant("t", ["web", "pay"]))


@pytest.mark.parametrize(
    ("after", "http", "tcp"),
    [
        (BOTH, "g0", "g0"),
        ((*BOTH, http_grant("more", ["new"], A)), "g0", "g0"),
        ((*BOTH, tcp_grant("more", ["new"])), "g0", "g0"),
        ((http_grant("renamed", ["web", "pay"], A, B), BOTH[1]), "g0", "g0"),
        ((http_grant("one", ["web"], A, B), http_grant("two", ["pay"], A, B), BOTH[1]), "g0", "g0"),
        ((http_grant("h", ["web", "pay"], A), BOTH[1]), "g1", "g0"),
        ((http_grant("h", ["web"], A, B), BOTH[1]), "g1", "g0"),
        ((http_grant("h", ["web"], A, B), http_grant("i", ["pay"], A), BOTH[1]), "g1", "g0"),
        ((http_grant("h", ["web", "pay", "new"], B), BOTH[1]), "g1", "g0"),
        ((BOTH[0], tcp_grant("t", ["web"])), "g0", "g1"),
        ((BOTH[0], tcp_grant("t", ["web", "new"])), "g0", "g1"),
        ((BOTH[0],), "g0", "g1"),
        ((), "g1", "g1"),
    ],
)
def test_chain_when_grants_change(after: tuple[Grant, ...], http: str, tcp: str) -> None:
    """A lost pair renames the chain of its own port; gains, names and grouping do not."""
    assert chains(carry_over(made(*after), standing(made(*BOTH)))) == {HTTP: http, TCP: tcp}


def test_chain_when_nothing_stands() -> None:
    """Without history every chain is g0, and the objects are untouched."""
    assert carry_over(made(*BOTH), {}) == made(*BOTH)


def test_chain_when_settled_again() -> None:
    """A generation is kept once it stands: planning twice changes nothing, and the next narrowing counts on."""
    first = carry_over(made(), standing(made(*BOTH)))
    assert carry_over(made(), standing(first)) == first
    widened = carry_over(made(*BOTH), standing(first))
    assert chains(widened) == {HTTP: "g1", TCP: "g1"}
    assert chains(carry_over(made(BOTH[0]), standing(widened))) == {HTTP: "g1", TCP: "g2"}


def test_everything_else_when_a_chain_is_renamed() -> None:
    """Only the listener's body changes, and in it only the chain's name."""
    before = {item.ref: item for item in made()}
    for item in carry_over(made(), standing(made(*BOTH))):
        if item.ref.kind != "Listener":
            assert item == before[item.ref]
            continue
        listener: Any = wire.parse("Listener", item.body)
        listener.filter_chains[0].name = "g0"
        assert replace(item, body=wire.pack(listener)) == before[item.ref]


def test_result_when_the_order_differs() -> None:
    """The order of objects has no effect on any of them."""
    shuffled = list(made())
    Random(7).shuffle(shuffled)
    observed = standing(made(*BOTH))
    assert set(carry_over(shuffled, observed)) == set(carry_over(made(), observed))


def test_chain_when_what_stands_cannot_be_read() -> None:
    """Unreadable history counts as wider than anything: the chain is renamed."""
    broken = {ref: replace(item, owned=b"\xff") for ref, item in standing(made(*BOTH)).items()}
    assert chains(carry_over(made(*BOTH), broken)) == {HTTP: "g1", TCP: "g1"}


@pytest.mark.parametrize("name", ["", "x", "g", "g01", "g-1", "G3"])
def test_chain_when_its_name_was_not_ours(name: str) -> None:
    """A chain name that is not `g<n>` counts as g0."""
    observed = standing(made(*BOTH))
    ref = next(ref for ref in observed if ref.name == HTTP)
    listener: Any = wire.parse("Listener", observed[ref].owned)
    listener.filter_chains[0].name = name
    observed[ref] = replace(observed[ref], owned=wire.pack(listener))
    assert chains(carry_over(made(*BOTH), observed))[HTTP] == "g0"
