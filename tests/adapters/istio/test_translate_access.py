"""Grants as policies: the right callers on the right ports of the right Pods, and a denial that is always there."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from adapters.istio import names
from adapters.istio.config import IstioConfig
from adapters.istio.translate import access as translate_access
from adapters.istio.translate.unit import translate
from hub.model import Access, Grant, HttpMatch, Identity, InboundPort, Role, Translation
from hub.sinks.kubernetes import KUBERNETES
from tests.servers.units import access, http_grant, inbound, spiffe, target, tcp_grant

ANY = HttpMatch()
CANARY = (("track", "canary"),)
Rules = list[dict[str, Any]]


def policies(translation: Translation) -> dict[str, Any]:
    """The specs of AuthorizationPolicies by name."""
    made = [item for item in translation.objects if item.ref.kind == "AuthorizationPolicy"]
    return {item.ref.name: KUBERNETES.view(item.body, item.ref.kind)["spec"] for item in made}


def rules(unit: Access, config: IstioConfig | None = None) -> Rules:
    """The rules of the account's first policy."""
    found: Rules = policies(translate(unit, config or IstioConfig()))["smihub-api"].get("rules", [])
    return found


def operations(unit: Access) -> list[dict[str, Any]]:
    """The operations of every rule; a rule without any allows everything."""
    return [entry["operation"] for rule in rules(unit) for entry in rule.get("to", [{"operation": {}}])]


def losses(unit: Access) -> list[tuple[str, str]]:
    """Code and field of what is lost."""
    return [(loss.code, loss.field) for loss in translate(unit, IstioConfig()).losses]


def labelled(port: InboundPort, *labels: tuple[tuple[str, str], ...]) -> InboundPort:
    """A port of Pods that carry these labels."""
    return replace(port, variant=f"{port.declared}+{len(labels)}", labels=labels)


def test_objects_when_nothing_is_granted() -> None:
    """A policy without rules, which denies, and mutual TLS."""
    made = translate(access(ports=()), IstioConfig()).objects
    assert [(str(item.ref), item.role) for item in made] == [
        ("AuthorizationPolicy/d/smihub-api", Role.GRANT),
        ("PeerAuthentication/d/smihub-api", Role.GUARD),
    ]
    selector = {"matchLabels": {"smihub.io/sa": "api"}}
    assert KUBERNETES.view(made[0].body, "AuthorizationPolicy")["spec"] == {"action": "ALLOW", "selector": selector}
    assert KUBERNETES.view(made[1].body, "PeerAuthentication")["spec"] == {
        "mtls": {"mode": "STRICT"},
        "selector": selector,
    }


def test_peers_when_they_are_left_to_others() -> None:
    """Only the policy is written."""
    (made,) = translate(access(ports=()), IstioConfig(mtls="unmanaged")).objects
    assert made.ref.kind == "AuthorizationPolicy"


@pytest.mark.parametrize(
    ("grant", "expected"),
    [
        (tcp_grant("t", ["web"]), {"notPorts": ["8080"]}),
        (tcp_grant("t", ["web"], (8080, 9000, 9100, 7)), {"ports": ["7", "9000", "9100"]}),
        (http_grant("h", ["web"], ANY), {"methods": ["*"], "notPorts": ["9000"]}),
        (http_grant("h", ["web"], ANY, ports=(8080, 9000, 9100)), {"methods": ["*"], "ports": ["8080", "9100"]}),
        (http_grant("h", ["web"], HttpMatch(path="/a"), ports=(7,)), {"paths": ["/a"], "ports": ["7"]}),
    ],
)
def test_ports_when_declared(grant: Grant, expected: dict[str, Any]) -> None:
    """Raw bytes never on a port declared http, HTTP never on one declared tcp; what nobody declares is both."""
    ports = [inbound(8080), inbound(9000, "tcp"), inbound(9100, "none")]
    unit = access(grant, ports=ports)
    assert operations(unit) == [expected]
    assert losses(unit) == []


def test_ports_when_pods_may_be_the_granted_ones() -> None:
    """A port of Pods that satisfy the grant's labels, or may, while something cannot be read, bars it; of others it does not."""
    grant = replace(tcp_grant("t", ["web"]), labels=CANARY)
    port = replace(inbound(8080), everywhere=False)
    barred = [labelled(port, CANARY), replace(port, maybe_labels=(CANARY,))]
    for one in (*barred, port):
        (policy,) = (
            spec
            for name, spec in policies(translate(access(grant, ports=[one]), IstioConfig())).items()
            if "track" in str(spec["selector"])
        )
        written = [entry["operation"] for rule in policy["rules"] for entry in rule.get("to", [])]
        assert written == ([{"notPorts": ["8080"]}] if one in barred else [])


def test_ports_when_none_is_declared_otherwise() -> None:
    """A raw grant on every port has no operation at all, which allows everything to its callers."""
    (rule,) = rules(access(tcp_grant("t", ["web"]), ports=[inbound(9000, "tcp")]))
    assert rule == {"from": [{"source": {"principals": ["td/ns/d/sa/web"]}}]}


@pytest.mark.parametrize("grant", [tcp_grant("t", ["web"], (8080,)), http_grant("h", ["web"], ANY, ports=(9000,))])
def test_ports_when_all_are_declared_otherwise(grant: Grant) -> None:
    """Nothing is granted, as SMI grants nothing; an empty list of ports would mean any."""
    unit = access(grant, ports=[inbound(8080), inbound(9000, "tcp")])
    assert rules(unit) == []
    assert losses(unit) == []


@pytest.mark.parametrize(
    ("words", "raw", "lost"),
    [
        (("http", "none"), True, True),
        (("http", "none"), False, False),
        (("tcp", "none"), True, False),
        (("tcp", "none"), False, True),
        (("http", "tcp"), True, True),
        (("http", "tcp"), False, True),
        (("http",), True, False),
    ],
)
def test_ports_when_workloads_disagree(words: Sequence[Any], raw: bool, lost: bool) -> None:  # noqa: FBT001
    """The port is left out for all of them; that is a loss where one would have been granted."""
    grant = tcp_grant("t", ["web"], (8080,)) if raw else http_grant("t", ["web"], ANY, ports=(8080,))
    unit = access(grant, ports=[inbound(8080, word) for word in words])
    assert losses(unit) == ([("port.mixed-protocols", "spec.rules")] if lost else [])
    assert bool(rules(unit)) == (("http" if raw else "tcp") not in words)


@pytest.mark.parametrize(
    ("words", "lost"), [(("tcp",), True), (("http", "tcp"), True), (("http",), False), ((), False)]
)
def test_port_when_a_service_contradicts_its_workload(words: tuple[Any, ...], *, lost: bool) -> None:
    """SMI takes the port for HTTP then; Istio listens to Services alone, and may never see a request there."""
    grant = http_grant("t", ["web"], ANY, ports=(8080,))
    unit = access(grant, ports=[replace(inbound(8080, "http"), services=tuple((80, word) for word in words))])
    assert losses(unit) == ([("port.mixed-protocols", "spec.rules")] if lost else [])
    assert bool(rules(unit)) == (not lost)


@pytest.mark.parametrize(
    ("number", "declared", "raw", "lost"),
    [
        (3306, "none", False, True),
        (3306, "http", False, False),
        (3306, "none", True, False),
        (8080, "none", False, False),
    ],
)
def test_ports_when_servers_speak_first(number: int, declared: Any, raw: bool, lost: bool) -> None:  # noqa: FBT001
    """Istio takes undeclared Service ports of four numbers for TCP: an HTTP grant where they lead is lost."""
    port = replace(inbound(80, declared), services=((number, declared),))
    for ports in ((80,), None):
        grant = tcp_grant("t", ["web"], ports) if raw else http_grant("t", ["web"], ANY, ports=ports)
        assert losses(access(grant, ports=[port])) == ([("port.server-first", "spec.rules")] if lost else [])


def test_port_that_only_slices_lead_to() -> None:
    """SMI takes it for undeclared, and Istio for what the Service without a selector declares."""
    unit = access(http_grant("h", ["web"], ANY), tcp_grant("t", ["web"]), ports=[])
    for word, number, code in (
        ("http", 80, "port.mixed-protocols"),
        ("tcp", 80, "port.mixed-protocols"),
        ("none", 25, "port.server-first"),
    ):
        sliced: Any = ((8080, number, word),)
        assert losses(replace(unit, sliced=sliced)) == [(code, "spec.rules")]
    assert losses(replace(unit, sliced=((8080, 80, "none"),))) == []


def test_ports_when_udp_has_the_same_number() -> None:
    """A UDP port says nothing about TCP."""
    udp = replace(inbound(53, "none"), transport="UDP")
    assert operations(access(tcp_grant("t", ["web"], (53,)), ports=[udp, inbound(53, "tcp")])) == [{"ports": ["53"]}]


def test_labels_when_a_grant_has_them() -> None:
    """A policy of its own selects by account and labels; only Pods that carry them decide which ports count."""
    grant = replace(tcp_grant("t", ["web"], (9000,)), labels=CANARY)
    made = translate(access(grant, ports=[inbound(9000), labelled(inbound(9000, "tcp"), CANARY)]), IstioConfig())
    plain, further = policies(made).values()
    assert "rules" not in plain
    assert further["selector"] == {"matchLabels": {"smihub.io/sa": "api", "track": "canary"}}
    assert further["rules"][0]["to"] == [{"operation": {"ports": ["9000"]}}]
    assert made.losses == ()


@pytest.mark.parametrize(
    "labels",
    [(("track", ""),), (("track", "*"),), (("", "x"),), (("smihub.io/sa", "other"),), (("a", "1"), ("a", "2"))],
)
def test_labels_when_they_cannot_be_selected(labels: tuple[tuple[str, str], ...]) -> None:
    """Istio takes an absent label for an empty one, so nothing is granted."""
    unit = access(replace(tcp_grant("t", ["web"]), labels=labels), ports=())
    assert losses(unit) == [("istio.selector-not-expressible", "spec.destination")]
    assert len(policies(translate(unit, IstioConfig()))) == 1


def test_labels_when_they_name_the_account() -> None:
    """Our own label with our own value adds nothing."""
    unit = access(replace(tcp_grant("t", ["web"]), labels=(("smihub.io/sa", "api"),)), ports=())
    assert losses(unit) == []


@pytest.mark.parametrize(
    ("source", "principal"),
    [
        ("spiffe://td/ns/d/sa/web", "td/ns/d/sa/web"),
        ("spiffe://td/billing", "td/billing"),
        ("spiffe://partner.example/billing", None),
        ("spiffe://td.example/ns/d/sa/web", None),
        ("spiffe://cluster.local/ns/d/sa/web", None),
        ("spiffe://cluster.local/x", None),
        ("spiffe://td/*", None),
        ("spiffe://*/ns/d/sa/web", None),
        ("td/ns/d/sa/web", None),
        ("spiffe://", None),
    ],
)
def test_sources_when_named(source: str, principal: str | None) -> None:
    """Exact names of this trust domain without scheme; sidecars refuse others, or read them as ours."""
    unit = access(replace(tcp_grant("t", ["web"]), sources=(source,)), ports=())
    expected = [] if principal is None else [[principal]]
    assert [rule["from"][0]["source"]["principals"] for rule in rules(unit)] == expected
    assert losses(unit) == ([("source.foreign-trust-domain", "spec.sources")] if principal is None else [])


def test_sources_when_the_trust_domain_is_the_default() -> None:
    """In a mesh called `cluster.local` that name is no pointer to another."""
    grant = replace(tcp_grant("t", []), sources=("spiffe://cluster.local/ns/d/sa/web",))
    unit = Access(Identity("cluster.local", "d", "api"), (grant,))
    assert translate(unit, IstioConfig()).losses == ()


def test_losses_when_sources_or_transport_are_not_carried() -> None:
    """Labels prove nothing, UDP is not carried; both are told."""
    udp = replace(tcp_grant("u", ["web"], (53,)), transport="UDP")
    unit = access(replace(tcp_grant("t", ["web"]), unauthenticated=("app=web",)), udp, ports=())
    assert losses(unit) == [("proto.udp-not-captured", "spec.rules"), ("source.labels-unauthenticated", "spec.sources")]
    assert len(rules(unit)) == 1


def test_rules_when_one_match_is_lost() -> None:
    """The rest of the TrafficTarget stays; if nothing stays, there is no rule."""
    lost, kept = HttpMatch(path="/[0-9]+"), HttpMatch(path="/a")
    assert operations(access(http_grant("t", ["web"], lost, kept), ports=())) == [{"paths": ["/a"]}]
    assert rules(access(http_grant("t", ["web"], lost), ports=())) == []


def test_rules_when_raw_and_http_are_granted() -> None:
    """They never share a rule: on raw TCP, the whole rule would be lost."""
    unit = access(tcp_grant("t", ["web"], (9000,)), http_grant("h", ["web"], ANY, ports=(8080,)), ports=())
    assert sorted(len(rule["to"]) for rule in rules(unit)) == [1, 1]


def test_rules_when_grants_overlap() -> None:
    """Equal callers share a rule, equal operations stand there once, and everything swallows the rest."""
    one = http_grant("a", ["web"], HttpMatch(path="/a"), HttpMatch(path="/b"))
    two = http_grant("b", ["web"], HttpMatch(path="/a"))
    assert operations(access(one, two, ports=())) == [{"paths": ["/a"]}, {"paths": ["/b"]}]
    (rule,) = rules(access(tcp_grant("t", ["web"]), tcp_grant("u", ["web"], (1,)), ports=()))
    assert "to" not in rule


def test_rules_when_they_are_too_many_for_one_policy() -> None:
    """They are spread over several, none too large, and each rule stands in one of them."""
    grants = [tcp_grant(f"t{n}", [f"web{n}"], (n + 1,)) for n in range(1300)]
    made = policies(translate(access(*grants, ports=()), IstioConfig()))
    found = [rule for spec in made.values() for rule in spec.get("rules", [])]
    assert "smihub-api" in made
    assert len(made) == 4
    assert max(len(spec["rules"]) for spec in made.values()) <= 512
    assert len({repr(rule) for rule in found}) == len(found) == 1300


def test_rules_when_they_are_beyond_every_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is granted, and every TrafficTarget of that policy is told so."""
    monkeypatch.setattr(translate_access, "MAX_POLICIES", 1)
    grants = [tcp_grant(f"t{n}", [f"web{n}"]) for n in range(513)]
    unit = access(*grants, ports=())
    assert rules(unit) == []
    assert set(losses(unit)) == {("limit.exceeded", "spec.rules")}
    assert {loss.origin for loss in translate(unit, IstioConfig()).losses} == {grant.origin for grant in grants}


def test_sources_when_they_are_many() -> None:
    """A long list of callers is cut into several rules."""
    grant = tcp_grant("t", [f"web{n}" for n in range(600)])
    found = [rule["from"][0]["source"]["principals"] for rule in rules(access(grant, ports=()))]
    assert sorted(map(len, found)) == [88, 256, 256]


def test_sources_when_they_are_long() -> None:
    """No rule is larger than a policy may be."""
    names_of = [f"spiffe://td/{n}/{'x' * 2000}" for n in range(100)]
    grant = replace(tcp_grant("t", []), sources=tuple(names_of))
    found = [rule["from"][0]["source"]["principals"] for rule in rules(access(grant, ports=()))]
    assert [len(each) for each in found] == [59, 41]


def test_root_namespace_when_it_holds_the_account() -> None:
    """A policy there selects Pods of all namespaces: it may deny, and never grant."""
    unit = Access(Identity("td", "istio-system", "api"), (tcp_grant("t", ["web"]),))
    made = translate(unit, IstioConfig())
    assert "rules" not in policies(made)["smihub-api"]
    assert {one.ref.kind for one in made.objects} == {"AuthorizationPolicy"}
    assert [(loss.code, loss.origin) for loss in made.losses] == [("istio.root-namespace", target("t"))]
    (alone,) = translate(Access(Identity("td", "istio-system", "api")), IstioConfig()).losses
    assert str(alone.origin) == "ServiceAccount/istio-system/api"
    assert len(rules(unit, IstioConfig(root_namespace="other"))) == 1


def test_bytes_when_shuffled() -> None:
    """Grants, sources, matches and ports in any order give the same bytes."""
    rng = Random(3)
    matches = [HttpMatch(path=f"/{n}", headers=(("x", str(n % 2)),)) for n in range(4)]
    grants = [http_grant(f"g{n}", ["web", "pay"][: n % 2 + 1], *matches[n % 3 :]) for n in range(6)]
    grants += [replace(tcp_grant("t", ["web"]), labels=CANARY), tcp_grant("u", ["a", "b"])]
    ports = [inbound(8080), inbound(8080, "none"), inbound(9000, "tcp"), labelled(inbound(9001), CANARY)]
    expected = translate(access(*grants, ports=ports), IstioConfig())
    for _ in range(5):
        mixed = [
            replace(g, sources=tuple(rng.sample(g.sources, len(g.sources)))) for g in rng.sample(grants, len(grants))
        ]
        mixed = [replace(g, http=g.http and tuple(rng.sample(g.http, len(g.http)))) for g in mixed]
        assert translate(access(*mixed, ports=rng.sample(ports, len(ports))), IstioConfig()) == expected


def test_names_when_accounts_look_alike() -> None:
    """No account can be called so that its policy takes the name of another's, and no name is too long."""
    long = "a" * 250
    assert names.plain("web") == "smihub-web"
    assert names.derived("web", CANARY, 0) != names.derived("web", CANARY, 1)
    assert len({names.plain(long), names.plain(long + "b"), names.derived(long, 1), names.derived("a", 1)}) == 4
    assert max(len(names.plain(long)), len(names.derived(long, 1))) <= 253
    assert names.plain("." + "x" * 252).startswith("smihub.")


def test_former_names_when_digests_grew() -> None:
    """Names with a digest of 128 bits had one of 64, and the plan is told; names without a digest never changed."""
    labelled_grant = replace(tcp_grant("t", ["web"]), labels=CANARY)
    for unit in (access(labelled_grant, ports=()), Access(Identity("td", "d", "a" * 250), ())):
        made = translate(unit, IstioConfig())
        (name,) = (
            one.ref.name for one in made.objects if one.ref.name.startswith("smihub.") and one.role is Role.GRANT
        )
        (old,) = (ref.name for ref in made.former)
        assert len(name.split(".")[1]) == 32
        assert old.split(".")[1] == name.split(".")[1][:16]
    assert translate(access(tcp_grant("t", ["web"]), ports=()), IstioConfig()).former == ()


def test_selector_when_the_account_is_no_label() -> None:
    """Long accounts are selected by their digest, as they are labelled."""
    unit = Access(Identity("td", "d", "a" * 80), ())
    ((_, spec),) = policies(translate(unit, IstioConfig())).items()
    assert spec["selector"]["matchLabels"]["smihub.io/sa"].startswith("h.")


def test_source_of_every_rule() -> None:
    """No rule is written for nobody, and none without callers."""
    unit = access(http_grant("h", ["web"], ANY), replace(tcp_grant("t", []), sources=("x",)), ports=())
    assert [rule["from"][0]["source"]["principals"] for rule in rules(unit)] == [
        [spiffe("web").removeprefix("spiffe://")]
    ]
