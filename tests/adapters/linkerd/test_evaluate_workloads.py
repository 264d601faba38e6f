"""Who calls and who receives: accounts, Pods, callers from elsewhere, ports; and that judging changes nothing."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from msgspec.structs import replace

from adapters.linkerd.evaluate.mesh import evaluator
from hub.api import (
    SERVICE_ACCOUNT_LABEL,
    Answer,
    Destination,
    Facts,
    Identity,
    ObjectRef,
    Placement,
    Request,
    Source,
)
from tests.adapters.linkerd.judged import JUDGED
from tests.adapters.linkerd.objects import (
    API,
    RAW,
    ROGUE,
    WEB,
    ask,
    granted,
    identities,
    opened,
    path,
    policy,
    send,
    server,
)

STORE = Destination(identity="shop/store")
V2: Any = {"podSelector": {"matchLabels": {"version": "v2"}}}


def at(dst: Destination, src: Source | None = None, port: int = 8080) -> Request:
    """A request of web's to somebody."""
    return Request(src or Source(identity=WEB), dst, port)


def test_account_lets_in_what_all_of_its_pods_let_in(facts: Facts) -> None:
    """A Pod answers for itself."""
    judge = evaluator([server(**V2)], facts).judge
    assert judge(at(STORE)) == Answer("deny", by=("Server/shop/api",))
    assert judge(at(Destination(pod="shop/v1"))) == Answer("allow")
    assert judge(at(Destination(pod="shop/v2"))).verdict == "deny"


def test_account_without_pods_is_one_with_its_label(facts: Facts) -> None:
    """What would run under it is selected by the label of the account; else nobody is there."""
    ghost = Destination(identity="shop/ghost")
    bound = server("ghost", podSelector={"matchLabels": {SERVICE_ACCOUNT_LABEL: "ghost"}})
    grant = granted("Server/ghost", "web")
    assert evaluator([bound, *grant], facts).judge(at(ghost)).verdict == "allow"
    assert evaluator([bound, *grant], facts).judge(at(ghost, Source(identity=ROGUE))).verdict == "deny"
    assert evaluator([server()], facts).judge(at(ghost)) == Answer("deny", losses=("port.unexposed",))
    for nobody in ("shop/a/b", "shop/", "shop", ""):
        assert evaluator([server()], facts).judge(at(Destination(identity=nobody))) == Answer("deny")


def test_label_of_the_account_is_bound_unless_a_pod_brings_one(facts: Facts) -> None:
    """Every Pod has it, as admission writes it."""
    bound = server(podSelector={"matchLabels": {SERVICE_ACCOUNT_LABEL: "api"}})
    assert evaluator([bound], facts).judge(ask()).verdict == "deny"
    assert evaluator([bound], facts).judge(at(STORE)).verdict == "allow"
    ref = ObjectRef("", "Pod", "shop", "api")
    other = replace(facts.placements[ref], labels=((SERVICE_ACCOUNT_LABEL, "store"),))
    relabelled = replace(facts, placements={**facts.placements, ref: other})
    assert evaluator([bound], relabelled).judge(ask()).verdict == "allow"


def test_other_ports_of_a_selected_pod_are_closed(facts: Facts) -> None:
    """By its default policy; that nobody declares a port is a loss."""
    judge = evaluator([server(port=9090), *granted("Server/api", "web")], facts).judge
    assert judge(ask(port=9090)).verdict == "allow"
    assert judge(ask()) == Answer("deny")
    assert judge(ask(port=7)) == judge(send(port=7)) == Answer("deny", losses=("port.unexposed",))
    assert evaluator([], facts).judge(ask(port=7)) == Answer("allow")


def test_workload_outside_of_kubernetes_receives_nothing(facts: Facts) -> None:
    """It has no Pod, and so no proxy of this mesh."""
    ref = ObjectRef("smihub.io", "Workload", "shop", "vm")
    placed = Placement(ref, Identity("cluster.local", "shop", "vm"), inbound=((8080, "TCP", "http"),))
    alone = replace(facts, placements={ref: placed})
    for to in (Destination(pod="shop/vm"), Destination(identity="shop/vm")):
        assert evaluator([server(podSelector={})], alone).judge(at(to)) == Answer("deny", losses=("port.unexposed",))


@pytest.mark.parametrize(
    ("source", "allowed"),
    [
        (Source(identity="shop/api"), True),
        (Source(pod="shop/api"), True),
        (Source(spiffe="spiffe://cluster.local/ns/shop/sa/api"), True),
        (Source(pod="shop/v1"), False),
        (Source(pod="shop/unknown"), False),
        (Source(identity="shop"), False),
        (Source(identity="shop/api", pod="shop/api"), False),
        (Source(spiffe="spiffe://cluster.local/ns/shop/sa/api/"), False),
        (Source(spiffe="spiffe://cluster.local/vm/api"), False),
        (Source(), False),
        (RAW, False),
    ],
)
def test_caller_is_known_by_one_name(source: Source, allowed: bool, facts: Facts) -> None:  # noqa: FBT001
    """An account, a Pod's account, or the SPIFFE id of an account in our trust domain."""
    answer = evaluator([server(), *granted("Server/api", "api")], facts).judge(at(API, source))
    assert (answer.verdict == "allow") == allowed


@pytest.mark.parametrize("spiffe", ["spiffe://partner.example/ns/shop/sa/web", "spiffe://CLUSTER.local/x", "text", ""])
def test_foreign_certificate_is_refused_everywhere(spiffe: str, facts: Facts) -> None:
    """Also where nobody asks who calls."""
    foreign = Answer("deny", losses=("source.foreign-trust-domain",))
    for objects in ((), (server(accessPolicy="audit"),)):
        assert evaluator(objects, facts).judge(at(API, Source(spiffe=spiffe))) == foreign


def test_spiffe_id_matches_exact_identities_alone(facts: Facts) -> None:
    """No suffix, not even `*`, and not as one who is merely authenticated."""
    vm = at(API, Source(spiffe="spiffe://cluster.local/vm/7"))
    for text, verdict in (
        ("spiffe://cluster.local/vm/7", "allow"),
        ("spiffe://cluster.local/vm", "deny"),
        ("*", "deny"),
    ):
        objects = [server(), identities("x", text), policy("Server/api", "x")]
        assert evaluator(objects, facts).judge(vm).verdict == verdict
    assert evaluator([server(accessPolicy="all-authenticated")], facts).judge(vm).verdict == "deny"
    assert evaluator([server(accessPolicy="all-unauthenticated")], facts).judge(vm).verdict == "allow"


def test_names_with_dots_are_not_those_of_others(facts: Facts) -> None:
    """No namespace has a dot, so `shop.x/web` is nobody, and not the account `web.shop` of `x`."""
    text = "web.shop.x.serviceaccount.identity.linkerd.cluster.local"
    judge = evaluator([server(), identities("i", text), policy("Server/api", "i")], facts).judge
    assert judge(at(API, Source(identity="x/web.shop"))).verdict == "allow"
    assert judge(at(API, Source(identity="shop.x/web"))).verdict == "deny"


def test_trust_domain_is_that_of_the_mesh(facts: Facts) -> None:
    """References to accounts follow it, texts do not."""
    elsewhere = replace(facts, trust_domain="corp.example")
    assert evaluator([server(), *granted("Server/api", "web")], elsewhere).judge(ask()).verdict == "allow"
    text = "web.shop.serviceaccount.identity.linkerd.cluster.local"
    assert (
        evaluator([server(), identities("i", text), policy("Server/api", "i")], elsewhere).judge(ask()).verdict
        == "deny"
    )


def test_answer_names_what_decided(facts: Facts) -> None:
    """Whoever let it in; else the route that it met, else the Server."""
    judge = evaluator([server(), *opened("r", "web", path("^/x$")), *granted("Server/api", "api")], facts).judge
    assert judge(ask("/x")).by == ("AuthorizationPolicy/shop/for-r",)
    assert judge(ask("/x", "shop/api")).by == ("AuthorizationPolicy/shop/for-api",)
    assert judge(ask("/x", ROGUE)).by == ("HTTPRoute/shop/r",)
    assert judge(ask("/y")).by == ("Server/shop/api",)
    audit = evaluator([server(accessPolicy="audit")], facts).judge
    assert audit(ask(src=RAW)).by == ("Server/shop/api",)


def test_destination_must_be_named_in_one_way(facts: Facts) -> None:
    """Nobody else is meant."""
    for to in (Destination(), Destination(identity="shop/api", pod="shop/api")):
        assert evaluator([], facts).judge(at(to)) == Answer("deny")


def test_judging_changes_nothing(facts: Facts) -> None:
    """Neither objects nor facts; asked again, a mesh says the same."""
    known = deepcopy(facts)
    for row in JUDGED:
        given = list(row.objects)
        judge = evaluator(given, facts)
        assert judge.judge(row.request) == judge.judge(row.request)
        assert given == list(row.objects)
    assert facts == known


def test_what_reaches_an_opaque_port_is_bytes(facts: Facts) -> None:
    """Callers hand on what they do not read: routes count for none of it, policies of the Server for all of it."""
    routed = (server(port=5432), *opened("all", "web", path("^(?:.*)$")))
    assert evaluator(routed, facts).judge(ask(port=5432)).verdict == "deny"
    bytes_too = (*routed, *granted("Server/api", "web"))
    assert evaluator(bytes_too, facts).judge(ask(port=5432)).verdict == "allow"
    assert (
        evaluator((server(port=5433), *opened("all", "web", path("^(?:.*)$"))), facts).judge(ask(port=5433)).verdict
        == "allow"
    )
