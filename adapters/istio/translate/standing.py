"""Policies as they stand, whoever wrote them last: whom they select, which rules they have, and what denies without any.

Source: Istio documentation, reference, AuthorizationPolicy (`selector`, `targetRefs`, `action`), and "Authorization Policy", implicit
enablement: a workload that no ALLOW policy selects is open. Only ALLOW policies let anybody in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from hub.api import NativeObject

POLICY = "AuthorizationPolicy"
Rules = Mapping[bytes, Any]
"""Rules by their JSON, sorted."""
_KNOWN = frozenset({"action", "selector", "rules"})
_REFUSING = ("DENY", "AUDIT", "CUSTOM")
_TARGETS = frozenset({"targetRef", "targetRefs"})


class Place(Struct, frozen=True, order=True):
    """The Pods that a policy selects: their namespace and the labels that they must have, sorted."""

    namespace: str
    labels: tuple[tuple[str, str], ...]

    def within(self, other: Place) -> bool:
        """Whether all these Pods are among those of another place."""
        return self.namespace == other.namespace and {*other.labels} <= {*self.labels}


class StandingPolicy(Struct, frozen=True):
    """A policy and its rules; `spec` denies whom it selects without any, None: that cannot be said.

    One that is `fixed` lets nobody in, whatever it says. One that is not `certain` has no rules that anybody could tell.
    """

    native: NativeObject
    spec: Mapping[str, Any] | None = None
    place: Place | None = None
    rules: Rules = {}
    certain: bool = False
    fixed: bool = False

    def closes(self, place: Place | None) -> bool:
        """Whether it selects all Pods of a place, so that none of them is open."""
        return self.certain and self.place is not None and place is not None and place.within(self.place)

    def with_rules(self, rules: Rules) -> bytes:
        """The policy with these rules."""
        ref = self.native.ref
        metadata = {"name": ref.name, "namespace": self.place.namespace if self.place else ref.namespace}
        spec = {**(self.spec or {}), **({"rules": [*rules.values()]} if rules else {})}
        manifest = {"apiVersion": f"{ref.group}/v1", "kind": POLICY, "metadata": metadata, "spec": spec}
        return msgspec.json.encode(manifest, order="sorted")


def json_of(body: bytes) -> Any:
    """What a body says; None for what is no JSON, or none that could be written again."""
    try:
        value = msgspec.json.decode(body)
        msgspec.json.encode(value)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return value


def spec_of(body: bytes, kind: str) -> Mapping[str, Any] | None:
    """The spec of an object of this kind; None where there is none."""
    value = json_of(body)
    spec = value.get("spec") if isinstance(value, dict) and value.get("kind") == kind else None
    return spec if isinstance(spec, dict) else None


def labels_of(selector: Any) -> tuple[tuple[str, str], ...] | None:
    """The labels that a selector asks for, sorted; None for anything that is no such selector."""
    labels = selector.get("matchLabels") if isinstance(selector, dict) and len(selector) == 1 else selector
    if not isinstance(labels, dict) or (not labels and labels is not selector):
        return None
    return tuple(sorted(labels.items())) if all(isinstance(value, str) for value in labels.values()) else None


def policy_of(native: NativeObject) -> StandingPolicy:
    """A policy as far as it can be read."""
    spec = spec_of(native.body, POLICY)
    if spec is None:
        return StandingPolicy(native)
    if spec.get("action") in _REFUSING:
        return StandingPolicy(native, fixed=True)
    labels, metadata = labels_of(spec.get("selector", {})), json_of(native.body).get("metadata")
    closing = {"action": "ALLOW", **({"selector": spec["selector"]} if labels else {})}
    if targets := {name: spec[name] for name in sorted(_TARGETS & spec.keys())}:
        return StandingPolicy(native, {**closing, **targets})
    if labels is None or not isinstance(metadata, dict) or not isinstance(metadata.get("namespace"), str):
        return StandingPolicy(native)
    rules = None if _has_marks(metadata) else _rules(spec)
    return StandingPolicy(native, closing, Place(metadata["namespace"], labels), rules or {}, certain=rules is not None)


def _rules(spec: Mapping[str, Any]) -> Rules | None:
    """The rules of an ALLOW policy; None where another field may change what they mean."""
    rules = spec.get("rules") or []
    if not spec.keys() <= _KNOWN or not isinstance(rules, list) or spec.get("action") not in (None, "", "ALLOW"):
        return None
    return {msgspec.json.encode(one, order="sorted"): one for one in rules}


def _has_marks(metadata: Mapping[str, Any]) -> bool:
    """Whether labels or annotations of Istio may say who reads the policy, or that nobody does (`istio.io/dry-run`)."""
    marks = [metadata.get(name) or {} for name in ("labels", "annotations")]
    return not all(isinstance(one, dict) for one in marks) or any("istio.io/" in key for one in marks for key in one)
