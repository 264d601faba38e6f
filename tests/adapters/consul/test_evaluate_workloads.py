"""Who calls, who receives, and on which ports."""

from __future__ import annotations

import pytest

from adapters.consul.config import ENTRY_NAMES
from adapters.consul.evaluate.mesh import BOTH, evaluator, mesh_of
from adapters.consul.names import Names
from hub.api import Answer, Destination, Facts, Request, Source
from hub.testing.documents import Scope, compile_documents
from hub.testing.kit import read_documents
from tests.adapters.consul.native import (
    HTTP,
    OUTSIDE,
    WORLD,
    A,
    B,
    allow,
    ask,
    call,
    deny,
    everyone,
    intentions,
    may,
    refuse,
    send,
    source,
)

_MORE = """\
apiVersion: v1
kind: Pod
metadata: {name: two, namespace: shop}
spec: {serviceAccountName: two, containers: [{name: a, ports: [{containerPort: 8080}, {containerPort: 9090}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: bare, namespace: shop}
spec: {serviceAccountName: bare, containers: [{name: a}]}
---
apiVersion: v1
kind: Pod
metadata: {name: odd, namespace: shop}
spec: {serviceAccountName: odd.one, containers: [{name: a}]}
---
apiVersion: v1
kind: Pod
metadata: {name: other-web, namespace: shop}
spec: {serviceAccountName: web, containers: [{name: a, ports: [{containerPort: 7070}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: stranger, namespace: shop, labels: {app: web-v1}}
spec: {serviceAccountName: stranger, containers: [{name: a, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: far, namespace: other}
spec: {serviceAccountName: web, containers: [{name: a, ports: [{containerPort: 8080}]}]}
"""
ENTRIES = Names(ENTRY_NAMES)
_ENTRIES = (*HTTP, *(intentions(name, allow("a"), deny()) for name in ("web", "two", "bare", "web-v1", "stranger")))


@pytest.fixture(scope="module")
def more() -> Facts:
    """The world of these tests with more Pods."""
    return compile_documents(read_documents(WORLD + _MORE), Scope()).facts


def judged(facts: Facts, request: Request) -> Answer:
    """The answer where `a` alone may call."""
    return evaluator(_ENTRIES, facts).judge(request)


def test_ports_that_a_workload_declares(more: Facts) -> None:
    """Any of them may be the port of its service; another one is not, and where it declares none, each may be."""
    for port, verdict in ((8080, "allow"), (9090, "allow"), (7070, "deny")):
        answer = judged(more, ask(dst=Destination(pod="shop/two"), port=port))
        assert answer.verdict == verdict
        assert answer.losses == (() if verdict == "allow" else ("port.unexposed",))
    assert judged(more, ask(dst=Destination(pod="shop/bare"), port=7070)).verdict == "allow"


def test_an_identity_lets_in_what_all_of_its_workloads_do(more: Facts) -> None:
    """One Pod of `web` has another port than the other."""
    identity = Destination(identity="shop/web")
    assert judged(more, ask(dst=identity, port=8080)).verdict == "deny"
    assert judged(more, ask(dst=Destination(identity="shop/two"), port=8080)).verdict == "allow"
    far = ask(dst=Destination(identity="other/web"))
    assert [mesh_of(_ENTRIES, more, ENTRIES, (one,)).judge(far).verdict for one in BOTH] == ["deny", "allow"]


def test_identities_that_nobody_has(facts: Facts) -> None:
    """Where an entry is about one, it says who could get in; where none is, nobody is there."""
    gone = Destination(identity="shop/gone")
    objects = (intentions("gone", allow("a"), deny()),)
    assert evaluator(objects, facts).judge(ask(dst=gone)).verdict == "allow"
    assert evaluator(objects, facts).judge(ask(dst=gone, src=B)).verdict == "deny"
    assert evaluator((), facts).judge(ask(dst=gone)).verdict == "deny"
    assert evaluator(everyone("*"), facts).judge(ask(dst=gone)).verdict == "deny"


@pytest.mark.parametrize("identity", ["", "shop", "shop/", "/web", "shop/web/x", "SHOP/web", "shop/w.b"])
def test_names_that_are_no_identities(identity: str, facts: Facts) -> None:
    """They name nobody, as a destination and as a source."""
    assert judged(facts, ask(dst=Destination(identity=identity))).verdict == "deny"
    assert judged(facts, ask(src=identity)).verdict == "deny"


def test_accounts_that_can_be_no_service(more: Facts) -> None:
    """A service has no dot in its name: nobody gets in, and it gets in nowhere."""
    odd = Destination(pod="shop/odd")
    objects = (*_ENTRIES, *everyone("*"))
    assert evaluator(objects, more).judge(ask(dst=odd)).verdict == "deny"
    assert evaluator(objects, more).judge(ask(src=Source(pod="shop/odd"))).verdict == "deny"


def test_who_stands_behind_a_service_under_another_account(more: Facts) -> None:
    """It is no instance: proxies of clients refuse its certificate, for that part of the calls."""
    answer = judged(more, call("web-v1"))
    assert (answer.verdict, answer.backends, answer.losses) == ("mixed", {"web-v1": "mixed"}, ("consul.account",))


def test_destinations_that_are_named_in_several_ways(facts: Facts) -> None:
    """They name nobody."""
    both = Destination(identity="shop/web", pod="shop/web")
    assert judged(facts, ask(dst=both)) == Answer("deny")
    assert judged(facts, ask(dst=Destination())) == Answer("deny")


def test_udp_is_not_carried(facts: Facts) -> None:
    """Sidecars have no listener for it."""
    answer = judged(facts, ask(protocol="udp"))
    assert (answer.verdict, answer.losses) == ("deny", ("proto.udp-not-captured",))


def test_answers_name_the_entries_that_decide(facts: Facts) -> None:
    """The one that lets in, or those that are about the service; none where there is none."""
    assert judged(facts, ask(src=A)).by == ("service-intentions/shop_web",)
    assert judged(facts, ask(src=B)).by == ("service-intentions/shop_web",)
    wide = (*HTTP, intentions("web", deny()), intentions("*", allow("a")))
    assert evaluator(wide, facts).judge(ask()).by == ("service-intentions/*",)
    assert evaluator(HTTP, facts).judge(ask(src=OUTSIDE)).by == ()


@pytest.mark.thorough
def test_many_sources_are_found_by_name(facts: Facts) -> None:
    """An entry of 18 000 is taken by Consul."""
    listed = [{"Name": f"shop_s{number}", "Action": "allow"} for number in range(18_000)]
    judge = evaluator((intentions("tcpsvc", *listed, allow("a"), deny()),), facts).judge
    assert judge(send()).verdict == "allow"
    assert judge(send(B)).verdict == "deny"
    assert judge(send("shop/s17999")).verdict == "allow"


def test_permissions_of_a_source_and_of_everybody(facts: Facts) -> None:
    """Whoever has permissions of its own is not asked about those of `*`."""
    entry = intentions(
        "web", source("a", may(exact="/a"), refuse(regex=".*")), source("*", may(exact="/b"), refuse(regex=".*"))
    )
    judge = evaluator((*HTTP, entry), facts).judge
    told = {(at, src): judge(ask(at, src)).verdict for at in ("/a", "/b") for src in (A, B)}
    assert told == {("/a", A): "allow", ("/b", A): "deny", ("/a", B): "deny", ("/b", B): "allow"}
