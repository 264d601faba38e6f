"""Names of every object in an Istio mesh.

`smihub-<account>` and `smihub-<service>` are the plain ones; whatever needs a digest begins with `smihub.` instead, so no
account or Service can be called so that its objects take another's name.
"""

from __future__ import annotations

from hashlib import sha256

from hub.api import ObjectRef

SECURITY = "security.istio.io"
NETWORKING = "networking.istio.io"

NOBODY = "nobody.smihub.invalid"
"""A host that can never exist (RFC 6761, 6.4): where TCP goes if no backend has a positive weight."""

_LONGEST = 253


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


def security(kind: str, namespace: str, name: str) -> ObjectRef:
    """The ref of an AuthorizationPolicy or PeerAuthentication."""
    return ObjectRef(SECURITY, kind, namespace, name)


def virtual_service(namespace: str, service: str) -> ObjectRef:
    """The ref of the VirtualService of a Service."""
    return ObjectRef(NETWORKING, "VirtualService", namespace, plain(service))


def host(namespace: str, service: str, cluster_domain: str) -> str:
    """The full name of a Service; short ones are read relative to the object's namespace, and trap the reader."""
    return f"{service}.{namespace}.svc.{cluster_domain}"
