"""Which service an account is: by the names of the settings, which no entry tells."""

from __future__ import annotations

import pickle

from adapters.consul.config import ConsulConfig, ConsulK8sConfig
from adapters.consul.evaluate.mesh import evaluator, settled
from hub.api import Facts, Source
from tests.adapters.consul.native import A, B, allow, ask, defaults, deny, intentions, manifest, raw_entry

_ENTRIES = (defaults("web"), intentions("web", allow("a"), deny()))


def test_evaluators_of_the_defaults(facts: Facts) -> None:
    """Config entries have `_` between namespace and name, custom resources have two dashes."""
    assert evaluator(_ENTRIES, facts).judge(ask()).verdict == "allow"
    manifests = [manifest(one) for one in _ENTRIES]
    assert settled(ConsulConfig())(_ENTRIES, facts).judge(ask(src=B)).verdict == "deny"
    assert settled(ConsulK8sConfig())(manifests, facts).judge(ask()).verdict == "allow"


def test_names_of_one_namespace(facts: Facts) -> None:
    """Where one namespace has the bare names, an account of another one has none, and calls nobody."""
    http = raw_entry("service-defaults", "web", Protocol="http")
    entries = http, raw_entry("service-intentions", "web", Sources=[{"Name": "a", "Action": "allow"}, deny()])
    judge = settled(ConsulConfig(names="{name}", namespace="shop"))(entries, facts).judge
    assert judge(ask(src=A)).verdict == "allow"
    assert judge(ask(src="other/a")).verdict == "deny"
    assert judge(ask(src=B)).verdict == "deny"


def test_evaluator_under_settings_can_be_sent_to_another_process() -> None:
    """As the conformance kit does."""
    assert pickle.loads(pickle.dumps(settled(ConsulConfig()))).func.__name__ == "mesh_of"


def test_callers_that_are_no_accounts(facts: Facts) -> None:
    """A certificate of Consul itself names a service of our mesh; other identities of our trust domain name none."""
    judge = evaluator(_ENTRIES, facts).judge
    own = "spiffe://cluster.local/ns/{}/dc/dc1/svc/shop_a"
    assert judge(ask(src=Source(spiffe=own.format("default")))).verdict == "allow"
    assert judge(ask(src=Source(spiffe=own.format("other")))).verdict == "deny"
    assert judge(ask(src=Source(spiffe="spiffe://cluster.local/vm/7"))).verdict == "deny"
    assert judge(ask(src=Source(spiffe="spiffe://cluster.local/ns/shop/sa/a"))).verdict == "allow"
    foreign = judge(ask(src=Source(spiffe="spiffe://cluster.local.example/ns/shop/sa/a")))
    assert (foreign.verdict, foreign.losses) == ("deny", ("source.foreign-trust-domain",))
    assert judge(ask(src=Source(pod="shop/a"))).verdict == "allow"
    assert judge(ask(src=Source(pod="shop/nobody"))).verdict == "deny"
    assert judge(ask(src=Source(identity="shop/a", pod="shop/a"))).verdict == "deny"
