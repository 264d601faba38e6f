"""Marks in final bytes: where translated objects name a chain or the workload's own certificate, and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.vm import names, wire
from adapters.vm.config import VmConfig
from adapters.vm.safety.check import check
from adapters.vm.serve.seal import Sealer, marked
from adapters.vm.state import marks
from adapters.vm.translate.unit import translate
from hub.model import NativeObject, RoutePort
from tests.servers.units import access, http_grant, inbound, route, spiffe, tcp_grant

OWN, CHAIN, OTHER = marks.new_mark(), marks.new_mark(), marks.new_mark()
BUNDLE = b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"


def objects() -> list[NativeObject]:
    """Everything that two units become: HTTP and raw ports, a Service port."""
    inward = access(http_grant("h", ["web"]), tcp_grant("t", ["web"]), ports=[inbound(8080), inbound(9000, "tcp")])
    outward = route("api", RoutePort(80, "TCP", "http", callees=(spiffe("api"),)))
    found = [item for unit in (inward, outward) for item in translate(unit, VmConfig()).objects]
    return [item for item in found if item.ref.kind in wire.KINDS]


@pytest.mark.parametrize("item", objects(), ids=lambda item: f"{item.ref.kind} {item.ref.name}")
def test_marks_of_a_resource(item: NativeObject) -> None:
    """Its final bytes pass the last look, hold both marks in their places, and differ from those with another mark."""
    listens = item.ref.kind == "Listener"
    secured = (listens and item.ref.name.startswith("in/")) or (item.ref.kind == "Cluster" and "out/" in item.ref.name)
    made = Sealer(BUNDLE, check).seal(item.ref, item.body, item.needs)
    assert made.marked == (secured or listens)
    final, another_own, another_chain = (marked(made, *both) for both in ((OWN, CHAIN), (OTHER, CHAIN), (OWN, OTHER)))
    body: Any = wire.Any.FromString(final.body)
    check(item.ref.kind, body.value)
    assert marks.PENDING.encode() not in final.body
    assert (names.own(OWN).encode() in final.body) == secured
    assert (f"g0/{CHAIN}".encode() in final.body) == listens
    assert final.chain == (f"g0/{CHAIN}" if listens else "")
    assert len({each.version for each in (final, another_own, another_chain)}) == 1 + secured + listens
    assert another_chain.stem == final.stem
