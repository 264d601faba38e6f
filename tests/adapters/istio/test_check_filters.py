"""The last look at EnvoyFilters: every shape that was seen to open a policy, to leave chains out, or to be refused by a sidecar."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from adapters.istio import names
from adapters.istio.config import IstioConfig
from adapters.istio.safety.check import check
from adapters.istio.translate.unit import translate
from hub.api import JOIN_GUARD, NON_ASCII, HttpMatch, UnsafeResourceError
from tests.servers.units import access, http_grant

Json = dict[str, Any]
Edit = Callable[[Json], object]
MATCH = HttpMatch(path="/users/[0-9]+", methods=("GET", "HEAD"), headers=(("x-tier", ".*gold.+"),))
BODIES = {
    one.ref.kind: msgspec.json.decode(one.body)
    for one in translate(access(http_grant("t", ["web"], MATCH), ports=()), IstioConfig(patterns="envoyfilter")).objects
}


def edited(kind: str, edit: Edit, *, renamed: bool = False) -> bytes:
    """The bytes of an object with one change; `renamed` has its names follow its content again."""
    value = copy.deepcopy(BODIES[kind])
    edit(value)
    if renamed:
        rename(value)
    return msgspec.json.encode(value, order="sorted")


def rename(value: Json) -> None:
    """Give a filter the names of its content."""
    labels, inserted = value["spec"]["workloadSelector"]["labels"], value_of(value)
    permissions = policy_of(value)["permissions"]
    digest = names.content_digest(labels, permissions)
    value["metadata"]["name"] = f"smihub.{digest}.api"
    inserted["name"] = names.http_filter(digest)
    inserted["typed_config"]["shadow_rules_stat_prefix"] = names.result_prefix(digest)


def patch_of(value: Json) -> Json:
    """The one patch."""
    found: Json = value["spec"]["configPatches"][0]
    return found


def value_of(value: Json) -> Json:
    """The filter that is inserted."""
    found: Json = patch_of(value)["patch"]["value"]
    return found


def shadow_of(value: Json) -> Json:
    """Its shadow rules."""
    found: Json = value_of(value)["typed_config"]["shadow_rules"]
    return found


def policy_of(value: Json) -> Json:
    """The one policy."""
    found: Json = shadow_of(value)["policies"]["match"]
    return found


def rules_of(value: Json) -> list[Json]:
    """The rules of its first permission: path, methods, header, join guard, guards of the header, of the path, of the header."""
    found: list[Json] = policy_of(value)["permissions"][0]["and_rules"]["rules"]
    return found


def regex(pattern: str) -> Json:
    """A text match by a pattern."""
    return {"safe_regex": {"regex": pattern}}


def test_objects_as_they_are_made() -> None:
    """A filter with every kind of rule, and the policy that asks it, are let pass; renaming changes nothing."""
    kinds = [next(iter(rule)) for rule in rules_of(BODIES["EnvoyFilter"])]
    assert kinds == ["url_path", "or_rules", "header", "header", *["not_rule"] * 3]
    for kind in BODIES:
        check(edited(kind, lambda _: None))
    assert edited("EnvoyFilter", lambda _: None, renamed=True) == edited("EnvoyFilter", lambda _: None)


@pytest.mark.parametrize(
    "edit",
    [
        lambda one: patch_of(one)["match"].update(context="ANY"),
        lambda one: patch_of(one)["match"].pop("context"),
        lambda one: patch_of(one)["match"]["listener"].update(portNumber=8080),
        lambda one: patch_of(one)["match"].update(proxy={"proxyVersion": "^1\\.31"}),
        lambda one: patch_of(one)["match"].pop("listener"),
        lambda one: patch_of(one)["match"]["listener"]["filterChain"]["filter"].pop("subFilter"),
        lambda one: patch_of(one)["patch"].update(operation="INSERT_FIRST"),
        lambda one: patch_of(one)["patch"].update(operation="MERGE"),
        lambda one: patch_of(one).update(applyTo="NETWORK_FILTER"),
        lambda one: one["spec"]["configPatches"].append(patch_of(one)),
        lambda one: one["spec"].update(configPatches=[]),
        lambda one: one["spec"].pop("priority"),
        lambda one: one["spec"].update(priority=0),
        lambda one: one["spec"].pop("workloadSelector"),
        lambda one: one["spec"].update(workloadSelector={"labels": {}}),
        lambda one: one["spec"].update(workloadSelector={"labels": {"app": "api"}}),
        lambda one: one["spec"].update(targetRefs=[{"kind": "Gateway", "name": "waypoint"}]),
        lambda one: one["metadata"].update(namespace="istio-system"),
        lambda one: value_of(one)["typed_config"].update(rules={"action": "ALLOW"}),
        lambda one: value_of(one)["typed_config"].update(matcher={}),
        lambda one: value_of(one)["typed_config"].pop("shadow_rules"),
        lambda one: value_of(one)["typed_config"].pop("@type"),
        lambda one: shadow_of(one).update(action="DENY"),
        lambda one: shadow_of(one).update(action="LOG"),
        lambda one: shadow_of(one).pop("action"),
        lambda one: shadow_of(one)["policies"].clear(),
        lambda one: shadow_of(one)["policies"].update(more=policy_of(one)),
        lambda one: policy_of(one).update(principals=[]),
        lambda one: policy_of(one).update(principals=[{"any": False}]),
        lambda one: policy_of(one).update(permissions=[]),
        lambda one: policy_of(one).update(permissions=[{"any": True}]),
        lambda one: policy_of(one).update(condition={}),
    ],
)
def test_filters_of_another_shape(edit: Edit) -> None:
    """Refused: other places, other Pods, other actions, and whatever nobody named."""
    with pytest.raises(UnsafeResourceError):
        check(edited("EnvoyFilter", edit))


@pytest.mark.parametrize(
    "edit",
    [
        lambda one: one["metadata"].update(name="smihub-api"),
        lambda one: value_of(one).update(name="envoy.filters.http.rbac"),
        lambda one: value_of(one).update(name="smihub.patterns.1"),
        lambda one: value_of(one)["typed_config"].update(shadow_rules_stat_prefix=""),
        lambda one: value_of(one)["typed_config"].update(shadow_rules_stat_prefix="istio_ext_authz_"),
        lambda one: value_of(one)["typed_config"].update(shadow_rules_stat_prefix="smihub_fixed_"),
        lambda one: rules_of(one)[0].update(url_path={"path": regex("/users/[0-9]*")}),
        lambda one: one["spec"]["workloadSelector"]["labels"].update(tier="gold"),
    ],
)
def test_filters_under_another_name_than_their_content(edit: Edit) -> None:
    """Refused: an older policy might find another filter's result under its key."""
    with pytest.raises(UnsafeResourceError, match="digest of its content"):
        check(edited("EnvoyFilter", edit))


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (lambda one: rules_of(one)[0].update(url_path={"path": regex("/users/[0-9")}), "may reject a pattern"),
        (lambda one: rules_of(one)[0].update(url_path={"path": regex("")}), "length >= 1"),
        (lambda one: rules_of(one)[0].update(url_path={"path": regex("/[a-z]{1,1000}" * 17)}), "may reject a pattern"),
        (lambda one: rules_of(one)[0].update(url_path={"path": regex(r"/x/\pL{1,100}")}), "may reject a pattern"),
        (lambda one: rules_of(one)[0].update(url_path={"path": {"prefix": "/"}}), "unknown field"),
        (lambda one: rules_of(one)[0].update(header={"name": "x"}), "string_match"),
        (lambda one: rules_of(one)[0].update(header=rules_of(one)[2]["header"]), "exactly one thing"),
        (lambda one: rules_of(one)[0].pop("url_path"), "exactly one thing"),
        (lambda one: rules_of(one)[2]["header"].update(invert_match=True), "unknown field"),
        (lambda one: rules_of(one)[2]["header"].update(treat_missing_header_as_empty=True), "unknown field"),
        (lambda one: rules_of(one)[2]["header"].update(string_match={}), "exactly one text or pattern"),
        (lambda one: rules_of(one)[2]["header"].update(string_match={"exact": "gold"}), "by a pattern"),
        (lambda one: rules_of(one)[2]["header"].update(name="x-forwarded-for"), "not set by the caller"),
        (lambda one: rules_of(one)[2]["header"].update(name="x-envoy-a"), "not set by the caller"),
        (lambda one: rules_of(one)[2]["header"].update(name=""), "not set by the caller"),
        (lambda one: rules_of(one)[2]["header"].update(name=":path"), "not set by the caller"),
        (lambda one: rules_of(one)[2]["header"].update(name=":method"), "literally"),
        (lambda one: rules_of(one)[1]["or_rules"].update(rules=[]), "length >= 2"),
        (lambda one: rules_of(one)[1]["or_rules"]["rules"][0]["header"].update(name="x-a"), "methods alone"),
        (lambda one: rules_of(one)[4].update(not_rule={"url_path": {"path": regex("/a")}}), "bytes alone"),
        (lambda one: rules_of(one)[4]["not_rule"]["header"].update(string_match=regex(".*")), "bytes and blanks"),
        (lambda one: rules_of(one)[4].update(not_rule={}), "exactly one thing"),
        (lambda one: rules_of(one).pop(6), "without the guard"),
        (lambda one: rules_of(one).__delitem__(slice(0, 4)), "guards alone"),
        (lambda one: rules_of(one).clear(), "length >= 1"),
    ],
)
def test_rules_that_a_sidecar_may_reject_or_read_as_more(edit: Edit, why: str) -> None:
    """Refused, whatever made them: one of them freezes all inbound policies of its Pod."""
    with pytest.raises(UnsafeResourceError, match=why):
        check(edited("EnvoyFilter", edit, renamed="length" not in why and "field" not in why and "string" not in why))


def test_guards_are_known_by_their_text() -> None:
    """The guards that a filter carries are those that are let pass, and no pattern for whole values is taken for one."""
    texts = msgspec.json.encode(BODIES["EnvoyFilter"]).decode()
    assert all(msgspec.json.encode(guard).decode() in texts for guard in (JOIN_GUARD, NON_ASCII))


@pytest.mark.parametrize(
    "edit",
    [
        lambda rule: rule["when"][0].update(values=["*"]),
        lambda rule: rule["when"][0].update(values=["allowed", "denied"]),
        lambda rule: rule["when"][0].update(values=["denied"]),
        lambda rule: rule["when"][0].update(values=[]),
        lambda rule: rule["when"][0].update(notValues=["denied"]),
        lambda rule: rule["when"][0].pop("values"),
        lambda rule: rule["to"][0]["operation"].pop("methods"),
        lambda rule: rule.pop("to"),
        lambda rule: rule["when"][0].update(key="experimental.envoy.filters.http.rbac[istio_dry_run_allow_x]"),
        lambda rule: rule["when"][0].update(key="experimental.envoy.filters.http.rbac[smihub_1_shadow_engine_result]"),
        lambda rule: rule["when"][0].update(key=rule["when"][0]["key"].replace("http.rbac", "http.lua")),
    ],
)
def test_rules_that_ask_for_a_result_otherwise(edit: Edit) -> None:
    """Refused: other values, no method (on TCP nothing judges), the key of somebody else's filter."""
    with pytest.raises(UnsafeResourceError):
        check(edited("AuthorizationPolicy", lambda one: edit(one["spec"]["rules"][0])))


def test_key_of_a_result_in_a_denying_policy() -> None:
    """Refused: without the filter such a policy would deny nothing."""
    with pytest.raises(UnsafeResourceError):
        check(edited("AuthorizationPolicy", lambda one: one["spec"].update(action="DENY")))
