"""Names of every object in an Istio mesh.

`smihub-<account>` and `smihub-<service>` are the plain ones; whatever needs a digest begins with `smihub.` instead, so no
account or Service can be called so that its objects take another's name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import msgspec

from hub.api import ObjectRef

SECURITY = "security.istio.io"
NETWORKING = "networking.istio.io"

NOBODY = "nobody.smihub.invalid"
"""A host that can never exist (RFC 6761, 6.4): where TCP goes if no backend has a positive weight."""

_LONGEST = 253
_CONTENT_DIGITS = 40


def plain(stem: str) -> str:
    """The name of the one object that an account or a Service always has."""
    name = f"smihub-{stem}"
    return name if len(name) <= _LONGEST else derived(stem, "plain")


def derived(stem: str, *facts: object) -> str:
    """The name of a further object of an account; `facts` tell it from its siblings."""
    return _derived(stem, facts, 32)


def former(stem: str, *facts: object) -> str | None:
    """What `derived` (without facts: `plain`) gave when digests had 64 bits; None if it gave the same."""
    if not facts and plain(stem) == f"smihub-{stem}":
        return None
    return _derived(stem, facts or ("plain",), 16)


def _derived(stem: str, facts: tuple[object, ...], digits: int) -> str:
    head = f"smihub.{sha256(repr((stem, facts)).encode()).hexdigest()[:digits]}."
    # A name that ends with a dash or a dot is no DNS subdomain, and the API server refuses it.
    return head + stem[: _LONGEST - len(head)].rstrip("-.")


def content_digest(labels: Mapping[str, str], permissions: Any) -> str:
    """The digest by which a filter is named: of the Pods that it selects, and of what it lets pass.

    A filter never changes under its name, so an older policy never meets a newer filter.
    """
    content = msgspec.json.encode({"labels": labels, "permissions": permissions}, order="sorted")
    return sha256(content).hexdigest()[:_CONTENT_DIGITS]


def pattern_filter(namespace: str, account: str, digest: str) -> ObjectRef:
    """The ref of an EnvoyFilter of an account."""
    head = f"smihub.{digest}."
    return ObjectRef(NETWORKING, "EnvoyFilter", namespace, head + account[: _LONGEST - len(head)].rstrip("-."))


def http_filter(digest: str) -> str:
    """The name of the HTTP filter within a sidecar."""
    return f"smihub.patterns.{digest}"


def result_prefix(digest: str) -> str:
    """What stands before the filter's result in the metadata of a request."""
    return f"smihub_{digest}_"


def result_key(digest: str) -> str:
    """The condition of an AuthorizationPolicy that asks for the filter's result."""
    return f"experimental.envoy.filters.http.rbac[{result_prefix(digest)}shadow_engine_result]"


RESULT_KEY = re.compile(re.escape(result_key("DIGEST")).replace("DIGEST", rf"([0-9a-f]{{{_CONTENT_DIGITS}}})"))
"""Conditions that ask for the result of one of our filters; the group is its digest."""


def security(kind: str, namespace: str, name: str) -> ObjectRef:
    """The ref of an AuthorizationPolicy or PeerAuthentication."""
    return ObjectRef(SECURITY, kind, namespace, name)


def virtual_service(namespace: str, service: str) -> ObjectRef:
    """The ref of the VirtualService of a Service."""
    return ObjectRef(NETWORKING, "VirtualService", namespace, plain(service))


def host(namespace: str, service: str, cluster_domain: str) -> str:
    """The full name of a Service; short ones are read relative to the object's namespace, and trap the reader."""
    return f"{service}.{namespace}.svc.{cluster_domain}"
