"""What bars Pods on a port: what their own facts declare, and nothing of another workload of their identity."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from hub.memory.permits import EVERYWHERE, NOTHING, Permit, Standing, gained, standing
from hub.model import Access, Declared, Grant, HttpMatch, Identity, InboundPort, ObjectRef, UnitKey
from hub.testing.documents import Scope, compile_documents
from hub.testing.kit import read_documents

API = Identity("td", "d", "api")
WEB = "spiffe://td/ns/d/sa/web"
VM = "127.0.0.2"
GOLD = (("tier", "gold"),)


def a_grant(*ports: int, **parts: Any) -> Grant:
    """Of raw bytes, to every workload."""
    return Grant(
        ObjectRef("access.smi-spec.io", "TrafficTarget", "d", "t"), (WEB,), "TCP", ports, **{"http": None, **parts}
    )


def a_port(declared: Declared, bind: str = EVERYWHERE, **parts: Any) -> InboundPort:
    """8080, as some workloads of the identity have it, and others do not."""
    return InboundPort(8080, "TCP", declared, declared, 8080, binds=(bind,), **{"everywhere": False, **parts})


def opened(before: Standing, after: Standing) -> list[tuple[int, ...] | None]:
    """The ports of what is gained."""
    return [permit.ports for permit in gained(API, (before,), after)]


@pytest.mark.parametrize("bind", [VM, EVERYWHERE])
def test_pods_that_do_not_name_a_port_are_opened_whatever_another_workload_declares(bind: str) -> None:
    """A Workload of the same account, or a Pod behind another Service, that speaks HTTP there bars itself alone."""
    facts = (a_port("http", bind),)
    assert opened(Standing(ports=facts), Standing((a_grant(8080),), facts)) == [(8080,)]


def test_a_port_that_all_name_and_declare_otherwise_opens_to_nobody() -> None:
    """There are no other Pods; the Workload that declares nothing is one."""
    everybody = (a_port("http", everywhere=True),)
    assert opened(NOTHING, Standing((a_grant(8080),), everybody)) == []
    beside = (*everybody, a_port("none", VM, everywhere=True))
    assert opened(NOTHING, Standing((a_grant(8080),), beside)) == [(8080,)]


def test_what_a_mesh_leaves_out_for_all_pods_opens_to_nobody() -> None:
    """A mesh that bars all Pods for one says so in the grants that it carries."""
    facts = (a_port("http"),)
    assert opened(NOTHING, Standing((_everywhere_but(8080),), facts)) == [None]  # its Loss says so
    assert opened(Standing((_everywhere_but(8080),), facts), Standing((_everywhere_but(),), facts)) == [(8080,)]


def _everywhere_but(*left_out: int) -> Grant:
    return Grant(ObjectRef("", "TrafficTarget", "d", "t"), (WEB,), "TCP", None, None, not_ports=left_out)


def test_where_the_facts_stay_only_the_new_grant_is_gained() -> None:
    """Though some Pods are barred: those that are not had the other grant before."""
    facts = (a_port("http"), a_port("tcp", VM))
    match = HttpMatch("/a")
    after = Standing((a_grant(8080), a_grant(8080, http=(match,))), facts)
    assert _matches(gained(API, (Standing((a_grant(8080),), facts),), after)) == [match]


def _matches(permits: Iterable[Permit]) -> list[HttpMatch | None]:
    return [permit.match for permit in permits]


@pytest.mark.parametrize("rest", [(), (a_port("none"),)])
def test_when_pods_that_were_barred_are_of_no_such_class_any_more_it_is_a_gain(rest: tuple[InboundPort, ...]) -> None:
    """Their Service may be gone, and they stay: then they are like the others."""
    grants = (a_grant(8080),)
    assert opened(Standing(grants, (a_port("http"), *rest)), Standing(grants, rest)) == [(8080,)]
    assert opened(Standing(grants, rest), Standing(grants, (a_port("http"), *rest))) == []


def test_a_grant_by_labels_is_barred_by_pods_with_these_labels() -> None:
    """What is gone of others changes nothing for them."""
    grants = (a_grant(8080, labels=GOLD),)
    here = (a_port("none", labels=(GOLD,)),)
    assert opened(Standing(grants, (*here, a_port("http"))), Standing(grants, here)) == []
    assert opened(Standing(grants, (*here, a_port("http", labels=(GOLD,)))), Standing(grants, here)) == [(8080,)]


def test_what_a_workload_declares_tells_nothing_of_pods_that_could_not_be_read() -> None:
    """A Pod of which a Service says at last that it speaks HTTP was closed before, and the Workload beside it was open."""
    http = a_grant(8080, http=(HttpMatch("/a"),))
    before = Standing((http,), (a_port("http", VM),), beyond=("unknown",))
    after = Standing((http,), (a_port("http", VM), a_port("http")), beyond=("unknown",))
    assert opened(before, after) == [(8080,)]


def test_where_some_pods_can_be_read_what_opens_at_those_is_a_gain() -> None:
    """A broken Service may select the others only."""
    grants = (a_grant(9000),)
    assert opened(NOTHING, Standing(grants, beyond=("unknown",))) == []
    assert opened(NOTHING, Standing(grants, beyond=("none", "unknown"))) == [(9000,)]
    assert opened(Standing(grants, beyond=("none", "unknown")), Standing(grants)) == [(9000,)]


def test_a_pod_that_lists_no_port_beside_a_workload_receives_on_every_one() -> None:
    """No fact tells of it, and its sidecar takes each port all the same; Workloads alone receive on those that they list."""
    unit, alone = (
        compile_documents(read_documents(text), Scope()).units[UnitKey("access", "d", "api")]
        for text in (_WORKLOAD + _POD, _WORKLOAD)
    )
    assert isinstance(unit, Access)
    assert isinstance(alone, Access)
    assert opened(NOTHING, standing(unit, (a_grant(9000),))) == [(9000,)]
    assert opened(NOTHING, standing(alone, (a_grant(9000),))) == []


_WORKLOAD = """\
apiVersion: smihub.io/v1alpha1
kind: Workload
metadata: {name: vm, namespace: d}
spec: {serviceAccount: api, addresses: [127.0.0.2], ports: [{port: 8080}]}
---
"""
_POD = """\
apiVersion: v1
kind: Pod
metadata: {name: job, namespace: d}
spec: {serviceAccountName: api, containers: [{name: c}]}
---
"""
