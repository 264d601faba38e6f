"""Results of RBAC filters that an EnvoyFilter inserts, and the rules that ask for them, row by row as real sidecars answered.

Istio 1.31 with Envoy 1.40; test_patterns_on_envoy.py asks a real Envoy the same of what the adapter writes.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from hub.api import NativeObject, ObjectRef, Role, UnmodelledError
from tests.adapters.istio.test_evaluate_workloads import IS_CLIENT, OTHER, POD1, WEB, http, judged, policy, tcp

Json = Any
KEY = "experimental.envoy.filters.http.rbac[mine_shadow_engine_result]"
PATH = {"url_path": {"path": {"safe_regex": {"regex": "/users/[0-9]+"}}}}
IS_GET = {"header": {"name": ":method", "string_match": {"exact": "GET"}}}


def value(pattern: str, name: str = "x-tier") -> Json:
    """A header by a pattern."""
    return {"header": {"name": name, "string_match": {"safe_regex": {"regex": pattern}}}}


def spec_of(*permissions: Json, labels: Json = None, prefix: str = "mine_") -> Json:
    """An EnvoyFilter's spec that has a filter with these permissions."""
    shadow = {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
        "shadow_rules_stat_prefix": prefix,
        "shadow_rules": {
            "action": "ALLOW",
            "policies": {"one": {"permissions": list(permissions), "principals": [{"any": True}]}},
        },
    }
    manager = {
        "name": "envoy.filters.network.http_connection_manager",
        "subFilter": {"name": "envoy.filters.http.rbac"},
    }
    patch = {
        "applyTo": "HTTP_FILTER",
        "match": {"context": "SIDECAR_INBOUND", "listener": {"filterChain": {"filter": manager}}},
        "patch": {"operation": "INSERT_BEFORE", "value": {"name": "mine", "typed_config": shadow}},
    }
    return {
        "priority": 1,
        "workloadSelector": {"labels": {"app": "web"} if labels is None else labels},
        "configPatches": [patch],
    }


def filtered(spec: Json, name: str = "f", namespace: str = "default", version: str = "v1alpha3") -> NativeObject:
    """An EnvoyFilter."""
    meta = {"name": name, "namespace": namespace}
    body = {"apiVersion": f"networking.istio.io/{version}", "kind": "EnvoyFilter", "metadata": meta, "spec": spec}
    ref = ObjectRef("networking.istio.io", "EnvoyFilter", namespace, name)
    return NativeObject(ref, Role.REFERENCED, json.dumps(body).encode())


def asking(*values: str, key: str = KEY, **more: Json) -> NativeObject:
    """A policy that asks for the result."""
    condition = {"key": key, "values": list(values), **more}
    return policy({"from": [IS_CLIENT], "to": [{"operation": {"methods": ["*"]}}], "when": [condition]})


ASKING = asking("allowed")


def verdicts(objects: list[NativeObject], *paths: str, **more: Any) -> list[str]:
    """What becomes of GET requests of the client for these paths."""
    return [judged(objects, http(path, **more)).verdict for path in paths]


def test_path_by_a_pattern() -> None:
    """Only what the whole pattern matches, without the query; only the callers of the policy."""
    objects = [ASKING, filtered(spec_of(PATH))]
    assert verdicts(objects, "/users/7", "/users/7?x=a") == ["allow", "allow"]
    assert verdicts(objects, "/users/", "/users/0a0", "/users/7/x", "/x?/users/7") == ["deny"] * 4
    assert verdicts(objects, "/users/7", src=OTHER) == ["deny"]


@pytest.mark.parametrize(
    "objects",
    [
        [ASKING],
        [ASKING, filtered(spec_of(PATH, labels={"app": "wed"}))],
        [ASKING, filtered(spec_of(PATH), namespace="elsewhere")],
        [ASKING, filtered(spec_of(PATH, prefix="older_"))],
        [asking("allowed", key=KEY.replace("mine", "newer")), filtered(spec_of(PATH))],
    ],
    ids=["no filter", "other labels", "other namespace", "another prefix", "another key"],
)
def test_rules_without_their_filter(objects: list[NativeObject]) -> None:
    """They never match."""
    assert verdicts(objects, "/users/7", "/users/x") == ["deny", "deny"]


def test_filter_on_one_of_two_pods() -> None:
    """Each Pod is judged by what stands in its own sidecar."""
    objects = [ASKING, filtered(spec_of(PATH, labels={"app": "web", "version": "v1"}))]
    assert verdicts(objects, "/users/7", dst=POD1) == ["allow"]
    assert verdicts(objects, "/users/7", dst=WEB) == ["deny"]


def test_policy_without_filter_rules() -> None:
    """A filter alone changes nothing: without a policy a workload is open, and a policy that does not ask is as it was."""
    assert verdicts([filtered(spec_of(PATH))], "/x") == ["allow"]
    assert verdicts([policy(), filtered(spec_of(PATH))], "/users/7") == ["deny"]


def test_rules_over_raw_tcp() -> None:
    """Where nothing judged requests the rule does not exist."""
    assert judged([ASKING, filtered(spec_of(PATH))], tcp()).verdict == "deny"


def test_permissions_are_alternatives_and_their_rules_must_all_hold() -> None:
    """An OR of permissions; `and_rules`, `or_rules` and `not_rule` as their names say."""
    either = {"or_rules": {"rules": [IS_GET, {"header": {"name": ":method", "string_match": {"exact": "PUT"}}}]}}
    neither = {"not_rule": {"url_path": {"path": {"safe_regex": {"regex": "/users/7"}}}}}
    objects = [
        ASKING,
        filtered(spec_of({"and_rules": {"rules": [PATH, either, neither]}}, {"and_rules": {"rules": [value("gold")]}})),
    ]
    assert verdicts(objects, "/users/8", "/users/7", "/x") == ["allow", "deny", "deny"]
    assert verdicts(objects, "/users/8", method="POST") == ["deny"]
    assert verdicts(objects, "/x", headers=(("X-Tier", "gold"),)) == ["allow"]


@pytest.mark.parametrize(
    ("pattern", "lines", "verdict"),
    [
        ("gold", ("gold",), "allow"),
        ("gold", ("guest", "gold"), "allow"),
        ("gold", ("guest,gold",), "deny"),
        ("a,b", ("a", "b"), "deny"),
        (".*", ("",), "allow"),
        (".+", ("",), "deny"),
        (".*", (), "deny"),
        ("gold.*", ("gold\udcff",), "allow"),  # a byte that is no text
        ("..", ("é",), "allow"),  # two bytes
    ],
)
def test_header_by_a_pattern(pattern: str, lines: tuple[str, ...], verdict: str) -> None:
    """Each line by itself, bytes; one that is missing never matches."""
    objects = [ASKING, filtered(spec_of(value(pattern)))]
    headers = tuple(("x-tier", line) for line in lines)
    assert verdicts(objects, "/", headers=headers) == [verdict]


@pytest.mark.parametrize(
    ("lines", "losses"),
    [(("a,b",), ("header.rejected",)), (("é",), ("header.rejected",)), (("b",), ()), ((), ())],
)
def test_what_guards_refuse_is_told_from_what_is_denied_anyway(lines: tuple[str, ...], losses: tuple[str, ...]) -> None:
    """A value with a comma, or beyond ASCII, may be refused for the guards alone."""
    guarded = [value("[^b]+"), value("[^,]*"), {"not_rule": value(r"\C*[^\x00-\x7f]\C*")}]
    objects = [ASKING, filtered(spec_of({"and_rules": {"rules": guarded}}))]
    answer = judged(objects, http("/", headers=tuple(("x-tier", line) for line in lines)))
    assert (answer.verdict, answer.losses) == ("deny", losses)


def _set(*path: Any, to: Json) -> Callable[[Json], None]:
    """Set one field of a spec."""

    def edit(spec: Json) -> None:
        at = spec
        for name in path[:-1]:
            at = at[name]
        at[path[-1]] = to

    return edit


_PATCH = ("configPatches", 0)
_VALUE = (*_PATCH, "patch", "value")
_CONFIG = (*_VALUE, "typed_config")
_POLICIES = (*_CONFIG, "shadow_rules", "policies")


@pytest.mark.parametrize(
    "edit",
    [
        _set(*_PATCH, "match", "context", to="ANY"),
        _set(*_PATCH, "match", "listener", "portNumber", to=8080),
        _set(
            *_PATCH, "match", "listener", "filterChain", "filter", "subFilter", "name", to="envoy.filters.http.router"
        ),
        _set(*_PATCH, "applyTo", to="NETWORK_FILTER"),
        _set(*_PATCH, "patch", "operation", to="INSERT_FIRST"),
        _set(*_PATCH, "patch", "operation", to="MERGE"),
        _set(*_VALUE, "name", to="envoy.filters.http.rbac"),
        _set(*_CONFIG, "shadow_rules_stat_prefix", to=""),
        _set(*_CONFIG, "shadow_rules_stat_prefix", to="istio_ext_authz_"),
        _set(*_CONFIG, "rules", to={}),
        _set(*_CONFIG, "@type", to="type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua"),
        _set(*_CONFIG, "shadow_rules", "action", to="DENY"),
        _set(*_POLICIES, "one", "principals", to=[{"authenticated": {}}]),
        _set(*_POLICIES, "one", "permissions", to=[]),
        _set(*_POLICIES, "one", "permissions", to=[{"and_rules": {"rules": []}}]),
        _set(*_POLICIES, "one", "permissions", to=[{"destination_port": 8080}]),
        _set(*_POLICIES, "one", "permissions", to=[{"header": {"name": "x-a"}}]),
        _set(*_POLICIES, "one", "permissions", to=[value("[0-9")]),
        _set(*_POLICIES, "one", "permissions", to=[value("")]),
        _set(*_POLICIES, "one", "permissions", to=[value("a", "x-forwarded-for")]),
        _set("workloadSelector", to={}),
        _set("targetRefs", to=[{"kind": "Gateway", "name": "waypoint"}]),
    ],
)
def test_filters_that_are_not_modelled(edit: Callable[[Json], None]) -> None:
    """Other places, other matchers, and what Envoy rejects: it would keep what it had."""
    spec = copy.deepcopy(spec_of(PATH))
    edit(spec)
    with pytest.raises(UnmodelledError):
        judged([ASKING, filtered(spec)], http("/"))


@pytest.mark.parametrize(
    "native",
    [
        asking("*"),
        asking("allowed", notValues=["denied"]),
        asking(),
        policy(
            {"to": [{"operation": {"methods": ["*"]}}], "when": [{"key": KEY, "values": ["denied"]}]}, action="DENY"
        ),
        asking("allowed", key="experimental.envoy.filters.http.lua[a]"),
    ],
)
def test_conditions_that_are_not_modelled(native: NativeObject) -> None:
    """A star, exclusions, and the key in a policy that denies, which does nothing without the filter."""
    with pytest.raises(UnmodelledError):
        judged([native, filtered(spec_of(PATH))], http("/"))


def test_two_filters_that_write_one_result() -> None:
    """Which one counts depends on their order in the chain."""
    with pytest.raises(UnmodelledError, match="both write"):
        judged([ASKING, filtered(spec_of(PATH)), filtered(spec_of(value("a")), "g")], http("/"))


def test_version_of_the_kind() -> None:
    """The type has one version."""
    with pytest.raises(UnmodelledError):
        judged([ASKING, filtered(spec_of(PATH), version="v1")], http("/"))
