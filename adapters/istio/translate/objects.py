"""Bodies of Istio objects: canonical JSON, and never an empty list or object, which Istio reads as "any".

Source: Istio documentation, reference, AuthorizationPolicy, PeerAuthentication and VirtualService (v1).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from hub.api import ObjectRef

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


def virtual_service(ref: ObjectRef, host: str, http: Sequence[Json], tcp: Sequence[Json]) -> bytes:
    """Where calls to one host go."""
    spec: Json = {"hosts": [host]}
    if http:
        spec["http"] = http
    if tcp:
        spec["tcp"] = tcp
    return _body(ref, spec)


def _body(ref: ObjectRef, spec: Json) -> bytes:
    metadata = {"name": ref.name, "namespace": ref.namespace}
    manifest = {"apiVersion": f"{ref.group}/v1", "kind": ref.kind, "metadata": metadata, "spec": spec}
    return msgspec.json.encode(manifest, order="sorted")
