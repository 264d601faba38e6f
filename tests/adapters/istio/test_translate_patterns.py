"""Patterns by EnvoyFilters: which matches they say, how they are named and grouped, and in which order they are written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from adapters.istio import names
from adapters.istio.config import IstioConfig
from adapters.istio.plugin import SPEC
from adapters.istio.translate import filters
from adapters.istio.translate.unit import translate
from hub.api import (
    JOIN_GUARD,
    NON_ASCII,
    NOT_UTF8,
    Access,
    Feature,
    Grant,
    HttpMatch,
    NativeObject,
    Observed,
    Op,
    Role,
    Support,
    Translation,
)
from hub.model import Change, UnitKey
from hub.plan.changes import Desired, all_changes
from tests.servers.units import access, http_grant, tcp_grant

Json = dict[str, Any]
FILTERS, POLICIES = IstioConfig(patterns="envoyfilter"), IstioConfig()
KEY = UnitKey("access", "d", "api")
USERS = HttpMatch(path="/users/[0-9]+")
TEAMS = HttpMatch(path="/teams/[a-z]+")
GOLD = HttpMatch(headers=(("x-tier", ".*gold.*"),))


def made(*grants: Grant, config: IstioConfig = FILTERS) -> Translation:
    """The translation of grants to `d/api`."""
    return translate(access(*grants, ports=()), config)


def of_kind(translation: Translation, kind: str) -> list[NativeObject]:
    """The objects of a kind."""
    return [one for one in translation.objects if one.ref.kind == kind]


def permissions(native: NativeObject) -> list[Json]:
    """What a filter lets pass."""
    patch = msgspec.json.decode(native.body)["spec"]["configPatches"][0]["patch"]["value"]
    found: list[Json] = patch["typed_config"]["shadow_rules"]["policies"]["match"]["permissions"]
    return found


def keys(native: NativeObject) -> list[str]:
    """The conditions of a policy's rules."""
    rules = msgspec.json.decode(native.body)["spec"].get("rules", [])
    return [condition["key"] for rule in rules for condition in rule.get("when", [])]


def rules(match: HttpMatch) -> list[Json]:
    """The rules by which a filter says one match."""
    ((permission,),) = [permissions(one) for one in of_kind(made(http_grant("t", ["web"], match)), "EnvoyFilter")]
    found: list[Json] = permission["and_rules"]["rules"]
    return found


# ---------------------------------------------------------------------------------------------------- what goes where


@pytest.mark.parametrize(
    "match",
    [
        USERS,
        GOLD,
        HttpMatch(path="/u/[^/]+/x"),  # a template would leave some out
        HttpMatch(headers=(("x-a", "gold.*"),)),  # a prefix would take bytes that are no text
        HttpMatch(headers=(("x-a", "v[0-9](,v[0-9])*"),)),
        HttpMatch(headers=(("x-a", " a"),)),
        HttpMatch(path="/v1/a", headers=(("x-a", "a[0-9]+"),), methods=("GET",)),
        HttpMatch(path="/a?.*b.{9}"),  # too much to decide, and no work for RE2
    ],
)
def test_matches_that_policies_cannot_say(match: HttpMatch) -> None:
    """Lost without the setting; with it one filter says them, whole and without a loss."""
    refused = made(http_grant("t", ["web"], match), config=POLICIES).losses
    assert refused
    assert all("patterns: envoyfilter" in loss.remedy for loss in refused)
    found = made(http_grant("t", ["web"], match))
    assert (found.losses, len(of_kind(found, "EnvoyFilter"))) == ((), 1)
    assert [grant.http for grant in found.carried or ()] == [(match,)]


@pytest.mark.parametrize(
    "match",
    [HttpMatch(path="/v1/.*"), HttpMatch(methods=("GET",)), HttpMatch(path="/é"), HttpMatch(headers=(("x", "a|b"),))],
)
def test_matches_that_policies_say(match: HttpMatch) -> None:
    """They stay as they are: the fewer Pods depend on a filter, the better."""
    grant = http_grant("t", ["web"], match)
    assert made(grant) == made(grant, config=POLICIES)


def test_filters_without_the_setting() -> None:
    """Never."""
    found = made(http_grant("t", ["web"], USERS, GOLD), config=POLICIES)
    assert (of_kind(found, "EnvoyFilter"), found.carried) == ([], ())


def test_path_of_a_filter() -> None:
    """The pattern itself, and the guard against bytes that HTTP/2 carries where nothing normalises paths."""
    path = {"url_path": {"path": {"safe_regex": {"regex": "/users/[0-9]+"}}}}
    guard = {"not_rule": {"url_path": {"path": {"safe_regex": {"regex": NON_ASCII}}}}}
    assert rules(USERS) == [path, guard]


def test_header_of_a_filter() -> None:
    """Older sidecars join the lines of every header: a pattern that could match across them asks for a line without a comma."""

    def asked(pattern: str) -> list[str]:
        found = [
            rule["header"]["string_match"] for rule in rules(HttpMatch(headers=(("x-a", pattern),))) if "header" in rule
        ]
        return [match["safe_regex"]["regex"] for match in found]

    assert asked("a+") == ["a+", JOIN_GUARD]
    assert asked(".*gold.*") == [".*gold.*"]


@pytest.mark.parametrize(
    ("pattern", "written"),
    [
        (r"/\p{Lu}[0-9]+", "/[A-Z][0-9][0-9]*"),
        ("/[éa]+", "/aa*"),
        (r"/\x41+", "/AA*"),
        ("(?i)/é?k+", "/[Kk][Kk]*"),
        ("/(?P<name>a)+x", "/aa*x"),
        ("(?i)/users/[a-z]+", "(?i)/users/[a-z]+"),
    ],
)
def test_path_that_sidecars_would_read_in_different_ways(pattern: str, written: str) -> None:
    """It is written as what it means of the paths that the guard lets pass, in ASCII alone; any other as it stands."""
    assert rules(HttpMatch(path=pattern))[0]["url_path"]["path"]["safe_regex"]["regex"] == written


@pytest.mark.parametrize(
    ("match", "code"),
    [
        pytest.param(
            HttpMatch(path="/(?:[a-z]{1,1000}" + "[b-z]{1,1000}" * 17 + ")x*"),
            "regex.too-large",
            marks=pytest.mark.thorough,
        ),
        (HttpMatch(headers=(("x-a", r"\pL+"),)), "regex.not-ascii"),
        (HttpMatch(headers=(("x-a", "(?i)é.*"),)), "regex.not-ascii"),
        (HttpMatch(headers=(("x-forwarded-for", "1.*"),)), "header.managed"),
        (HttpMatch(headers=(("host", "a.*"),)), "header.managed"),
        (HttpMatch(headers=(("cookie", "a; b"),)), "header.managed"),
        (HttpMatch(headers=(("x-a", "a,b"),)), "header.managed"),
        (HttpMatch(headers=(("x-a", ".*a,[0-9].*"),)), "header.managed"),
        (HttpMatch(headers=(("x-a", "[^ -~]+"),)), "regex.not-ascii"),
        (HttpMatch(methods=("G T",), path="/[0-9]+"), "method.nonstandard"),
        pytest.param(
            HttpMatch(path="/[0-9]+", headers=tuple((f"x-{n}", "a" * 900 + "+") for n in range(70))),
            "limit.exceeded",
            marks=pytest.mark.thorough,
        ),
    ],
)
def test_matches_that_no_filter_may_say(match: HttpMatch, code: str) -> None:
    """Lost, and no filter is written: what a sidecar may reject would freeze later revocations."""
    found = made(http_grant("t", ["web"], match))
    assert [loss.code for loss in found.losses] == [code]
    assert of_kind(found, "EnvoyFilter") == []
    without = made(http_grant("t", ["web"], match), config=POLICIES).losses
    assert without
    assert not any("envoyfilter" in loss.remedy for loss in (*found.losses, *without))


def test_values_beyond_ascii() -> None:
    """Older sidecars take for a character what is none, so only ASCII passes; where all values are text, all of them do."""
    match = HttpMatch(headers=(("x-a", ".*gold.*"),))

    def guards(config: IstioConfig) -> list[str]:
        (native,) = of_kind(made(http_grant("t", ["web"], match), config=config), "EnvoyFilter")
        inner = [one["not_rule"] for one in permissions(native)[0]["and_rules"]["rules"] if "not_rule" in one]
        return [one["header"]["string_match"]["safe_regex"]["regex"] for one in inner]

    assert guards(FILTERS) == [NON_ASCII]
    assert guards(replace(FILTERS, header_values="text")) == [NOT_UTF8]


# ------------------------------------------------------------------------------------------------- groups and names


def test_one_filter_for_each_set_of_callers_and_ports() -> None:
    """Two TrafficTargets of the same callers and ports share one; what else they say stays in the policy."""
    found = made(
        http_grant("a", ["web"], USERS, ports=(8080,)),
        http_grant("b", ["web"], TEAMS, HttpMatch(path="/v1/.*"), ports=(8080,)),
        http_grant("c", ["partner"], USERS, ports=(8080,)),
        http_grant("d", ["web"], USERS, ports=(9090,)),
        tcp_grant("e", ["web"], ports=(7070,)),
    )
    (policy,) = of_kind(found, "AuthorizationPolicy")
    assert sorted(len(permissions(one)) for one in of_kind(found, "EnvoyFilter")) == [1, 2]
    assert len(keys(policy)) == 3  # the filter of the one permission is asked by two rules
    assert sorted(policy.needs) == sorted(one.ref for one in of_kind(found, "EnvoyFilter"))


def test_names_are_of_the_content() -> None:
    """Of permissions and Pods, in 40 digits; equal in another order, another for anything else."""
    one = made(http_grant("a", ["web"], USERS, TEAMS))
    same = made(http_grant("b", ["web"], TEAMS), http_grant("a", ["web"], USERS))
    assert of_kind(one, "EnvoyFilter") == of_kind(same, "EnvoyFilter")
    labelled = made(replace(http_grant("a", ["web"], USERS, TEAMS), labels=(("tier", "front"),)))
    other = made(http_grant("a", ["web"], USERS))
    refs = {one.ref for each in (one, labelled, other) for one in of_kind(each, "EnvoyFilter")}
    assert len(refs) == 3
    (key,) = keys(of_kind(one, "AuthorizationPolicy")[0])
    (native,) = of_kind(one, "EnvoyFilter")
    digest = native.ref.name.split(".")[1]
    assert (len(digest), key) == (40, names.result_key(digest))
    assert (native.role, native.needs) == (Role.REFERENCED, ())


def test_account_with_a_long_name() -> None:
    """Its filters have names that an API server takes."""
    long = "a" * 120 + "." + "b" * 120 + "-." + "c" * 11
    ref = names.pattern_filter("d", long, "0" * 40)
    assert len(ref.name) <= 253
    assert ref.name[-1].isalnum()


def test_too_many_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of the grants to these Pods is written, and each TrafficTarget is told so."""
    monkeypatch.setattr(filters, "MAX_FILTERS", 2)
    grants = [http_grant(f"t{n}", [f"s{n}"], HttpMatch(path=f"/{n}/[0-9]+")) for n in range(3)]
    assert len(of_kind(made(*grants[:2]), "EnvoyFilter")) == 2
    found = made(*grants)
    assert [loss.code for loss in found.losses] == ["limit.exceeded"] * 3
    assert (of_kind(found, "EnvoyFilter"), found.carried) == ([], ())


@pytest.mark.thorough
def test_many_permissions() -> None:
    """More than one filter holds: each of its own name, each asked by a rule."""
    matches = [HttpMatch(path=f"/{n}/[0-9]+") for n in range(300)]
    found = made(http_grant("t", ["web"], *matches))
    assert sorted(len(permissions(one)) for one in of_kind(found, "EnvoyFilter")) == [44, 256]
    assert len(keys(of_kind(found, "AuthorizationPolicy")[0])) == 2


def test_account_in_the_root_namespace() -> None:
    """A filter there would reach into all namespaces: it has none."""
    here = Access(replace(access(ports=()).identity, namespace="istio-system"), (http_grant("t", ["web"], USERS),))
    assert of_kind(translate(here, FILTERS), "EnvoyFilter") == []


# ----------------------------------------------------------------------------------------------------------- in time


def changes(before: Sequence[Grant], after: Sequence[Grant]) -> list[tuple[Op, str]]:
    """What the hub would write, by waves."""
    had, wanted = made(*before), made(*after)
    standing = {one.ref: Observed(one.ref, one.body, KEY, "t", one.role, one.needs) for one in had.objects}
    desired = Desired(access(*after, ports=()), wanted)
    found: list[Change] = list(all_changes({KEY: desired}, {KEY: wanted.objects}, standing, {KEY: standing}))
    return [(one.op, one.ref.kind) for one in sorted(found, key=lambda change: change.wave)]


def test_order_of_a_change() -> None:
    """The new filter, then the policy that asks for it, then the old filter goes: never one in place."""
    order = changes([http_grant("t", ["web"], USERS)], [http_grant("t", ["web"], TEAMS)])
    assert order == [(Op.CREATE, "EnvoyFilter"), (Op.REPLACE, "AuthorizationPolicy"), (Op.DELETE, "EnvoyFilter")]


def test_order_of_a_first_and_a_last_pattern() -> None:
    """It stands before it is asked for, and is asked for no more before it goes."""
    plain, pattern = [http_grant("t", ["web"], HttpMatch(path="/a"))], [http_grant("t", ["web"], USERS)]
    assert changes(plain, pattern) == [(Op.CREATE, "EnvoyFilter"), (Op.REPLACE, "AuthorizationPolicy")]
    assert changes(pattern, plain) == [(Op.REPLACE, "AuthorizationPolicy"), (Op.DELETE, "EnvoyFilter")]


# ---------------------------------------------------------------------------------------------------------- features


def test_features_follow_the_settings() -> None:
    """Paths are supported in full only where filters judge them; the adapter alone promises less."""
    assert SPEC.supports(POLICIES) == SPEC.features
    assert SPEC.features[Feature.ACCESS_HTTP_PATH] is Support.PARTIAL
    assert SPEC.supports(FILTERS) == {**SPEC.features, Feature.ACCESS_HTTP_PATH: Support.FULL}
