"""A policy that grants nothing any more.

A policy whose MeshTLSAuthentication does not exist is ignored (observed on Linkerd edge-26.8), and nothing that depends on a
policy opens by that: what no policy allows is denied. A route without policies allows nothing either, so it stays as it is.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from adapters.linkerd import names
from adapters.linkerd.config import GATEWAY, POLICY
from adapters.linkerd.translate.objects import authorization
from hub.api import ObjectRef

_TARGETS = {(POLICY, "Server"), (POLICY, "HTTPRoute"), (GATEWAY, "HTTPRoute")}


class _NamedTarget(Struct, frozen=True):
    group: str
    kind: str
    name: str


class _PolicySpec(Struct, frozen=True, rename="camel"):
    target_ref: _NamedTarget


class _PolicyMetadata(Struct, frozen=True):
    name: str
    namespace: str


class _StandingPolicy(Struct, frozen=True):
    metadata: _PolicyMetadata
    spec: _PolicySpec


def narrowest(body: bytes, kind: str) -> bytes | None:
    """The policy in `body` for callers that cannot exist; None for another kind, or where it has no target as ours have."""
    try:
        found = msgspec.json.decode(body, type=_StandingPolicy)
    except msgspec.MsgspecError:
        return None
    target = found.spec.target_ref
    if kind != "AuthorizationPolicy" or (target.group, target.kind) not in _TARGETS:
        return None
    ref = ObjectRef(POLICY, kind, found.metadata.namespace, found.metadata.name)
    aim = ObjectRef(target.group, target.kind, found.metadata.namespace, target.name)
    nobody = ObjectRef(POLICY, "MeshTLSAuthentication", ref.namespace, names.NOBODY)
    return authorization(ref, aim, nobody)
