"""Bodies of Istio objects: canonical JSON, and never an empty list or object, which Istio reads as "any".

Source: Istio documentation, reference, AuthorizationPolicy, PeerAuthentication and VirtualService (v1), EnvoyFilter (v1alpha3).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from adapters.istio import names
from hub.api import ObjectRef

_CONNECTION_MANAGER = "envoy.filters.network.http_connection_manager"
_RBAC = "envoy.filters.http.rbac"
INT32_MAX = 2**31 - 1
Selector = Mapping[str, str]
Json = dict[str, Any]


class Operation(Struct, frozen=True, order=True, omit_defaults=True, rename="camel", gc=False):
    """What may be done: every field that is there must hold; without any, everything may."""

    ports: tuple[str, ...] = ()
    not_ports: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    not_paths: tuple[str, ...] = ()


class Condition(Struct, frozen=True, order=True, gc=False):
    """A further condition of a rule: one of the values matches what the key names."""

    key: str
    values: tuple[str, ...]


class Rule(Struct, frozen=True, order=True, gc=False):
    """One rule: callers (never empty), what they may do (empty: everything), and conditions that must all hold."""

    principals: tuple[str, ...]
    operations: tuple[Operation, ...] = ()
    conditions: tuple[Condition, ...] = ()


def rule_body(rule: Rule) -> Json:
    """A rule as it is written."""
    body: Json = {"from": [{"source": {"principals": rule.principals}}]}
    if rule.operations:
        body["to"] = [{"operation": operation} for operation in rule.operations]
    if rule.conditions:
        body["when"] = rule.conditions
    return body


def authorization_policy(ref: ObjectRef, selector: Selector, rules: Iterable[Rule]) -> bytes:
    """An ALLOW policy; without rules it denies everything to the workloads that it selects."""
    spec: Json = {"action": "ALLOW", "selector": {"matchLabels": dict(selector)}}
    bodies = [rule_body(rule) for rule in rules]
    if bodies:
        spec["rules"] = bodies
    return _body(ref, spec)


def peer_authentication(ref: ObjectRef, selector: Selector) -> bytes:
    """Mutual TLS only, for the workloads that are selected."""
    return _body(ref, {"mtls": {"mode": "STRICT"}, "selector": {"matchLabels": dict(selector)}})


def envoy_filter(ref: ObjectRef, selector: Selector, digest: str, permissions: Sequence[Json]) -> bytes:
    """A filter that judges requests, lets all of them pass, and notes whether one of these permissions allows them.

    It stands directly before Istio's own RBAC filter, where there is one, in every inbound chain: of filters with one
    anchor that of the highest priority is inserted last. Source: Istio documentation, EnvoyFilter; Envoy API,
    extensions.filters.http.rbac.v3 (`shadow_rules`).
    """
    shadow = {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
        "shadow_rules": {
            "action": "ALLOW",
            "policies": {"match": {"permissions": permissions, "principals": [{"any": True}]}},
        },
        "shadow_rules_stat_prefix": names.result_prefix(digest),
    }
    anchor = {"name": _CONNECTION_MANAGER, "subFilter": {"name": _RBAC}}
    patch = {
        "applyTo": "HTTP_FILTER",
        "match": {"context": "SIDECAR_INBOUND", "listener": {"filterChain": {"filter": anchor}}},
        "patch": {
            "operation": "INSERT_BEFORE",
            "value": {"name": names.http_filter(digest), "typed_config": shadow},
        },
    }
    spec = {"configPatches": [patch], "priority": INT32_MAX, "workloadSelector": {"labels": dict(selector)}}
    return _body(ref, spec, "v1alpha3")


def virtual_service(ref: ObjectRef, host: str, http: Sequence[Json], tcp: Sequence[Json]) -> bytes:
    """Where calls to one host go."""
    spec: Json = {"hosts": [host]}
    if http:
        spec["http"] = http
    if tcp:
        spec["tcp"] = tcp
    return _body(ref, spec)


def _body(ref: ObjectRef, spec: Json, version: str = "v1") -> bytes:
    metadata = {"name": ref.name, "namespace": ref.namespace}
    manifest = {"apiVersion": f"{ref.group}/{version}", "kind": ref.kind, "metadata": metadata, "spec": spec}
    return msgspec.json.encode(manifest, order="sorted")
