"""A policy that grants nothing any more, and denies by being there.

A workload that no ALLOW policy selects is open (Istio documentation, "Authorization policy", "Policy precedence"). So the last
policy that selects some Pods must not go before another one denies; without rules it denies itself.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from adapters.istio.translate.objects import authorization_policy
from hub.api import SERVICE_ACCOUNT_LABEL, ObjectRef


class _Selector(Struct, frozen=True, rename="camel"):
    match_labels: dict[str, str]


class _Spec(Struct, frozen=True):
    selector: _Selector


class _Metadata(Struct, frozen=True):
    name: str
    namespace: str


class _Policy(Struct, frozen=True):
    metadata: _Metadata
    spec: _Spec


def narrowest(body: bytes, kind: str) -> bytes | None:
    """The policy in `body` without rules; None for another kind, or where it does not select the Pods of one account."""
    try:
        found = msgspec.json.decode(body, type=_Policy)
    except msgspec.MsgspecError:
        return None
    labels = found.spec.selector.match_labels
    if kind != "AuthorizationPolicy" or not labels.get(SERVICE_ACCOUNT_LABEL):
        return None
    ref = ObjectRef("security.istio.io", kind, found.metadata.namespace, found.metadata.name)
    return authorization_policy(ref, labels, ())
