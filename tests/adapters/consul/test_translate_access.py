"""Grants as an intention: what is written, what is lost and why, and that nothing is ever left open."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from adapters.consul.config import ConsulConfig, ConsulK8sConfig
from adapters.consul.translate.access import MAX_CALLERS
from adapters.consul.translate.narrowest import narrowest
from adapters.consul.translate.unit import translate_entries, translate_resources
from hub.api import Access, Baseline, Declared, Grant, HttpMatch, Identity, InboundPort, ObjectRef, Role, Translation
from tests.servers.units import access, http_grant, inbound, spiffe, target, tcp_grant

SERVICE = ObjectRef("", "Service", "d", "api")
DENY = {"Action": "deny", "Name": "*"}
LAST = {"Action": "deny", "HTTP": {"PathPrefix": "/"}}
EVERY = HttpMatch()


def named(*grants: Grant, ports: Sequence[InboundPort] = (inbound(8080),)) -> Access:
    """The same with a Service of the account's name."""
    return replace(access(*grants, ports=ports), origins=(SERVICE,))


def made(unit: Access, **settings: Any) -> Translation:
    """As entries."""
    return translate_entries(unit, ConsulConfig(**settings))


def sources(translation: Translation) -> list[Any]:
    """Of the one intention."""
    (one,) = translation.objects
    assert one.ref == ObjectRef("", "service-intentions", "", "d_api")
    return json.loads(one.body)["Sources"]  # type: ignore[no-any-return] # JSON


def codes(translation: Translation) -> list[str]:
    """What is lost."""
    return [loss.code for loss in translation.losses]


def test_an_intention_denies_everybody_without_grants() -> None:
    """It is a grant and a guard in one, so that it outlives what it grants."""
    found = made(access(ports=()))
    assert sources(found) == [DENY]
    assert [one.role for one in found.objects] == [Role.GRANT]
    assert found.carried == ()


def test_what_is_allowed_is_followed_by_a_denial_of_everything_else() -> None:
    """Where Consul allows by default, permissions that allow are dropped, and everything else would be allowed."""
    found = made(named(http_grant("t", ["web"], HttpMatch(None, ("GET",)))))
    allowed = {"Action": "allow", "HTTP": {"Methods": ["GET"]}}
    assert sources(found) == [{"Name": "d_web", "Permissions": [allowed, LAST]}, DENY]
    assert [ref.kind for ref in found.objects[0].needs] == ["service-defaults"]


def test_paths_that_have_two_readings_are_denied_before_patterns_alone() -> None:
    """Whoever may send every path may send those too."""
    found = made(named(http_grant("t", ["web"], HttpMatch("/a"), EVERY)))
    permissions = sources(found)[0]["Permissions"]
    assert [one["Action"] for one in permissions] == ["allow", "deny", "allow", "deny"]
    assert permissions[0]["HTTP"] == {"PathPrefix": "/"}
    assert permissions[2]["HTTP"] == {"PathRegex": "/a"}


def test_sources_of_several_targets_are_one() -> None:
    """Consul refuses a source that is listed twice; bytes take in every request."""
    found = made(named(http_grant("t", ["web"], HttpMatch("/a")), http_grant("u", ["web", "job"], HttpMatch("/b"))))
    assert [(one["Name"], len(one.get("Permissions", ()))) for one in sources(found)] == [
        ("d_job", 3),
        ("d_web", 4),
        ("*", 0),
    ]
    raw = made(access(tcp_grant("t", ["web"]), tcp_grant("u", ["web"]), ports=(inbound(5432, "tcp"),)))
    assert sources(raw) == [{"Action": "allow", "Name": "d_web"}, DENY]
    assert raw.objects[0].needs == ()


def test_services_that_are_allowed_everywhere_are_denied_by_name() -> None:
    """Unless they are granted something here; the denial of everybody would not keep them out."""
    grant = tcp_grant("t", ["web"])
    found = made(access(grant, ports=(inbound(5432, "tcp"),)), wildcard_sources=("old", "d_web", "d_api"))
    assert [(one["Name"], one["Action"]) for one in sources(found)] == [
        ("d_api", "deny"),
        ("d_web", "allow"),
        ("old", "deny"),
        ("*", "deny"),
    ]


HTTP_GRANT, RAW_GRANT = http_grant("t", ["web"], HttpMatch("/a")), tcp_grant("t", ["web"])


@pytest.mark.parametrize(
    ("unit", "lost"),
    [
        pytest.param(*pair, id=name)
        for name, pair in {
            "http where nothing is declared": (named(HTTP_GRANT, ports=(inbound(8080, "none"),)), ["consul.not-http"]),
            "http without a Service of the name": (access(HTTP_GRANT, ports=(inbound(8080),)), ["consul.no-service"]),
            "http where ports differ": (
                named(replace(HTTP_GRANT, ports=(8080,)), ports=(inbound(8080), inbound(8081))),
                ["consul.several-ports"],
            ),
            "http where one of two is tcp": (
                named(HTTP_GRANT, ports=(inbound(8080), inbound(8081, "tcp"))),
                ["consul.several-ports"],
            ),
            "http where a Service says otherwise": (
                named(HTTP_GRANT, ports=(replace(inbound(8080), services=((80, "http"), (81, "tcp"))),)),
                ["port.mixed-protocols"],
            ),
            "http where it is unknown": (
                named(HTTP_GRANT, ports=(inbound(8080), replace(inbound(8080, "unknown"), variant="u"))),
                ["port.unknown-protocol"],
            ),
            "raw on a port that nobody knows": (
                access(replace(RAW_GRANT, ports=(5432,)), ports=()),
                ["consul.unknown-port"],
            ),
            "labels of the receiver": (
                named(replace(HTTP_GRANT, labels=(("a", "b"),))),
                ["consul.labelled-destination"],
            ),
            "labels of a caller": (
                named(replace(HTTP_GRANT, unauthenticated=("d/x",))),
                ["source.labels-unauthenticated"],
            ),
            "a foreign caller": (
                named(replace(HTTP_GRANT, sources=("spiffe://x/ns/d/sa/web",))),
                ["source.foreign-trust-domain"],
            ),
            "a caller with a dot": (
                named(replace(HTTP_GRANT, sources=(spiffe("pay.v1"),))),
                ["source.no-consul-service"],
            ),
            "datagrams": (named(replace(RAW_GRANT, transport="UDP")), ["proto.udp-not-captured"]),
            "a method without words": (
                named(http_grant("t", ["web"], HttpMatch(None, ("PURGE",)))),
                ["consul.method-nonstandard"],
            ),
            "a method in lower case": (
                named(http_grant("t", ["web"], HttpMatch(None, ("get",)))),
                ["consul.method-nonstandard"],
            ),
            "a header of proxies": (
                named(http_grant("t", ["web"], HttpMatch(None, None, (("host", "a"),)))),
                ["header.managed"],
            ),
            "cookies": (
                named(http_grant("t", ["web"], HttpMatch(None, None, (("cookie", "a; b"),)))),
                ["header.managed"],
            ),
            "a pattern that is too large": (
                named(http_grant("t", ["web"], HttpMatch("(?:/[a-z]{900}){90}"))),
                ["regex.too-large"],
            ),
        }.items()
    ],
)
def test_what_consul_cannot_say_is_lost_and_grants_nothing(unit: Access, lost: list[str]) -> None:
    """Each with a reason; nothing of a match is left out."""
    found = made(unit)
    assert set(codes(found)) == set(lost)
    allowed = [one for one in sources(found) if one.get("Action") == "allow" or "Permissions" in one]
    assert bool(allowed) is (lost == ["source.labels-unauthenticated"])
    assert bool(found.carried) is bool(allowed)


@pytest.mark.parametrize("declared", ["http", "unknown"])
def test_bytes_are_not_granted_where_http_may_be_declared(declared: Declared) -> None:
    """SMI grants nothing there, so nothing is lost."""
    found = made(named(tcp_grant("t", ["web"]), ports=(inbound(8080, declared),)))
    assert (sources(found), codes(found)) == ([DENY], [])


def test_a_grant_on_every_port_counts_whichever_the_service_has() -> None:
    """One on some of them does not."""
    ports = (inbound(5432, "tcp"), inbound(6379, "tcp"))
    found = made(access(tcp_grant("t", ["web"]), tcp_grant("u", ["job"], (5432,)), ports=ports))
    assert [one["Name"] for one in sources(found)] == ["d_web", "*"]
    assert codes(found) == ["consul.several-ports"]
    assert [one.ports for one in found.carried or ()] == [(5432, 6379)]


def test_who_else_declares_protocols_is_counted_on() -> None:
    """Then nothing is needed, and no Service of the account's name."""
    found = made(access(HTTP_GRANT, ports=(inbound(8080),)), service_defaults="theirs")
    assert codes(found) == []
    assert found.objects[0].needs == ()


def test_an_account_that_is_no_service_has_no_intention() -> None:
    """What is granted to it is lost."""
    unit = replace(named(HTTP_GRANT), identity=Identity("td", "d", "pay.v1"))
    found = made(unit)
    assert (found.objects, codes(found), found.carried) == ((), ["consul.name", "consul.no-service"], ())
    assert made(replace(unit, grants=())).losses == ()


def test_too_many_callers_or_rules_are_lost_together() -> None:
    """Which ones fit must not depend on an order."""
    many = tcp_grant("t", [f"w{number}" for number in range(MAX_CALLERS + 1)])
    found = made(access(many, tcp_grant("u", ["web"]), ports=(inbound(5432, "tcp"),)))
    assert sources(found) == [DENY]
    assert {(loss.code, loss.origin) for loss in found.losses} == {("limit.exceeded", target(name)) for name in "tu"}
    matches = [HttpMatch(f"/{number}") for number in range(300)]
    assert codes(made(named(http_grant("t", ["web"], *matches)))) == ["limit.exceeded"]


def test_the_narrowest_form_denies_by_name_whom_it_allowed() -> None:
    """In both forms; of nothing else is there one."""
    unit, settings = named(HTTP_GRANT), {"wildcard_sources": ("old",)}
    entry = made(unit, **settings).objects[0]
    denied = [{"Action": "deny", "Name": name} for name in ("d_web", "old", "*")]
    assert json.loads(narrowest(entry.body, entry.ref.kind) or b"")["Sources"] == denied
    resource = translate_resources(unit, ConsulK8sConfig(**settings)).objects[0]  # type: ignore[arg-type] # one of them
    spec = json.loads(narrowest(resource.body, resource.ref.kind) or b"")["spec"]
    assert [(one["name"], one["action"]) for one in spec["sources"]] == [
        ("d--web", "deny"),
        ("old", "deny"),
        ("*", "deny"),
    ]
    assert spec["destination"] == {"name": "d--api"}
    assert narrowest(b"{}", "service-intentions") is None
    assert narrowest(entry.body, "service-router") is None


def test_every_service_is_denied_only_where_all_is_governed_and_asked_for() -> None:
    """In both forms."""
    whole = Baseline(whole=True)
    (one,) = translate_entries(whole, ConsulConfig(mode="mesh")).objects
    assert (one.role, json.loads(one.body)) == (
        Role.GUARD,
        {"Kind": "service-intentions", "Name": "*", "Sources": [DENY]},
    )
    (resource,) = translate_resources(whole, ConsulK8sConfig(mode="mesh")).objects
    assert json.loads(resource.body)["spec"]["destination"] == {"name": "*"}
    for baseline, config in (
        (whole, ConsulConfig()),
        (Baseline(), ConsulConfig(mode="mesh")),
        (Baseline("d", whole=True), ConsulConfig(mode="mesh")),
    ):
        assert translate_entries(baseline, config) == Translation()


def test_an_account_without_a_consul_service_has_the_losses_of_its_grants_too() -> None:
    """A better name alone would not help."""
    udp = replace(tcp_grant("u", ["web"], (53,)), transport="UDP")
    unit = Access(Identity("cluster.local", "shop", "a.b"), (udp,))
    assert {one.code for one in translate_entries(unit, ConsulConfig()).losses} == {
        "consul.name",
        "proto.udp-not-captured",
    }
