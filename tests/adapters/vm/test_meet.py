"""What of a VM unit both stands and is wanted, where nobody can tell what stands permits."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from adapters.vm import wire
from adapters.vm.carry_over import Pair, policy_pairs
from adapters.vm.config import VmConfig
from adapters.vm.translate.meet import meet
from adapters.vm.translate.unit import translate
from adapters.vm.vocabulary import HTTP_RBAC
from hub.model import Grant, HttpMatch, NativeObject, ObjectRef, Placement, Role
from tests.servers.units import API, access, http_grant, inbound, tcp_grant

A, B = HttpMatch(path="/a"), HttpMatch(path="/b")
BOTH = (http_grant("h", ["web", "pay"], A, B), tcp_grant("t", ["web", "pay"]))


def made(*grants: Grant) -> tuple[NativeObject, ...]:
    """An HTTP port and a TCP port with these grants, of one workload."""
    ports = [inbound(8080), inbound(9000, "tcp")]
    places = tuple((one.port, one.transport, one.variant) for one in ports)
    workload = Placement(ObjectRef("smihub.io", "Workload", "d", "api-1"), API, bind="127.0.0.1", inbound=places)
    return translate(replace(access(*grants, ports=ports), workloads=(workload,)), VmConfig()).objects


def granted(objects: Sequence[NativeObject]) -> set[tuple[str, Pair]]:
    """Every pair that is granted, with the kind of its policy."""
    grants = [one for one in objects if one.role is Role.GRANT]
    return {(one.ref.kind, pair) for one in grants for pair in policy_pairs(one.ref.kind, one.body)}


@pytest.mark.parametrize(
    "wanted",
    [
        BOTH,
        (http_grant("h", ["web"], A, B), BOTH[1]),
        (http_grant("h", ["web", "pay"], A), BOTH[1]),
        (http_grant("one", ["web"], A, B), http_grant("two", ["pay"], A), BOTH[1]),
        (BOTH[0], tcp_grant("t", ["web"])),
        (),
    ],
)
def test_what_was_only_revoked_is_written_as_it_is_wanted(wanted: tuple[Grant, ...]) -> None:
    """Whatever is left stood before, so it stays, on the same listeners."""
    assert {*meet(made(*BOTH), made(*wanted))} == {*made(*wanted)}


@pytest.mark.parametrize(
    ("stands", "wanted"),
    [
        ((http_grant("h", ["web"], A), tcp_grant("t", ["web"])), BOTH),
        ((http_grant("h", ["web"], A), http_grant("i", ["pay"], B)), (http_grant("h", ["web", "pay"], A, B),)),
        ((http_grant("h", ["new"], A), BOTH[1]), (http_grant("h", ["web"], A), tcp_grant("t", ["pay", "new"]))),
        ((), BOTH),
    ],
)
def test_of_callers_and_permissions_stays_what_both_have(stands: tuple[Grant, ...], wanted: tuple[Grant, ...]) -> None:
    """Pair by pair, also where one policy of what is wanted holds more."""
    standing, asked = made(*stands), made(*wanted)
    met = meet(standing, asked)
    assert granted(met) == granted(standing) & granted(asked)
    assert {one.ref for one in met} == {one.ref for one in asked}
    assert {*meet(met, asked)} == {*met}


def _denies(rules: Any) -> None:
    rules.action = wire.RBAC.DENY


def _has_a_condition(rules: Any) -> None:
    for policy in rules.policies.values():
        policy.condition.SetInParent()


@pytest.mark.parametrize("edit", [_denies, _has_a_condition])
def test_port_whose_policy_says_more_than_pairs_is_closed(edit: Callable[[Any], None]) -> None:
    """Its pairs are no grants, or not whole ones: the port goes, and with it the workload's list; the other port stays."""
    standing = [_edited(one, edit) if one.ref.kind == "RouteConfiguration" else one for one in made(*BOTH)]
    met = meet(standing, made(*BOTH))
    assert not [one for one in met if "/8080/" in one.ref.name and one.role is not Role.REFERENCED]
    assert [one for one in met if one.ref.kind == "Listener"] == [
        one for one in made(*BOTH) if one.ref.kind == "Listener" and "/9000/" in one.ref.name
    ]


def _edited(one: NativeObject, edit: Callable[[Any], None]) -> NativeObject:
    table: Any = wire.parse(one.ref.kind, one.body)
    for host in table.virtual_hosts:
        entry: Any = wire.unpack(host.typed_per_filter_config[HTTP_RBAC])
        edit(entry.rbac.rules)
        host.typed_per_filter_config[HTTP_RBAC].CopyFrom(wire.any_of(entry))
    return replace(one, body=wire.pack(table))


@pytest.mark.parametrize("kind", ["Listener", "RouteConfiguration", "Secret", "TypedExtensionConfig", "Cluster"])
@pytest.mark.parametrize("how", ["gone", "garbage", "needs"])
def test_what_does_not_stand_as_it_is_wanted_closes_its_port(kind: str, how: str) -> None:
    """Be it gone, broken, or bound to other objects."""
    edits = {"gone": lambda _: None, "garbage": lambda one: replace(one, body=b"\xff"), "needs": _without_needs}
    before = made(*BOTH)
    standing = [found for one in before if (found := edits[how](one) if one.ref.kind == kind else one) is not None]
    met = meet(standing, before)
    if how == "needs" and kind in {"Secret", "TypedExtensionConfig", "RouteConfiguration"}:
        assert granted(met) == granted(before)  # what a policy grants does not depend on them
        return
    assert granted(met) < granted(before)
    assert {*meet(met, before)} == {*met}


def _without_needs(one: NativeObject) -> NativeObject:
    return replace(one, needs=(*one.needs, one.ref))


def test_workload_that_stands_as_another_identity_is_sent_nothing() -> None:
    """With its list it would get the certificate that is wanted."""
    before = made(*BOTH)
    assert Role.ROUTE in {one.role for one in meet(before, before)}
    others = [
        replace(one, body=json.dumps({"spiffe": "x"}).encode()) if one.role is Role.ROUTE else one for one in before
    ]
    assert [one for one in meet(others, before) if one.role is Role.ROUTE] == []
