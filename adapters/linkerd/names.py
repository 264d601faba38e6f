"""Names of every object in a Linkerd mesh.

A Server is called after its port and account, the route of a Service after its port and Service. Whatever belongs to one set
of callers begins with `smihub.` and a digest of what tells it from its siblings, so no account takes another's name.
"""

from __future__ import annotations

from hashlib import sha256

from adapters.linkerd.config import GATEWAY, POLICY
from hub.api import ObjectRef

NOBODY = "nobody.smihub.invalid"
"""What can never exist (RFC 6761, 6.4): as a backend, since the name of a Service has no dots, and as the callers of a policy,
since smihub writes no MeshTLSAuthentication of that name."""

_LONGEST = 253


def server(namespace: str, account: str, port: int) -> ObjectRef:
    """The ref of the Server of one port of an account."""
    return ObjectRef(POLICY, "Server", namespace, _numbered(port, account))


def service_route(namespace: str, service: str, port: int, kind: str, group: str) -> ObjectRef:
    """The ref of the route of one port of a Service."""
    return ObjectRef(GATEWAY if kind == "TCPRoute" else group, kind, namespace, _numbered(port, service))


def of_callers(group: str, kind: str, namespace: str, account: str, *facts: object) -> ObjectRef:
    """The ref of a further object of an account; `facts` tell it from its siblings."""
    head = f"smihub.{sha256(repr((kind, account, facts)).encode()).hexdigest()[:32]}."
    # A name that ends with a dash or a dot is no DNS subdomain, and the API server refuses it.
    return ObjectRef(group, kind, namespace, head + account[: _LONGEST - len(head)].rstrip("-."))


def _numbered(port: int, stem: str) -> str:
    name = f"smihub-{port}-{stem}"
    if len(name) <= _LONGEST:
        return name
    digest = sha256(stem.encode()).hexdigest()[:32]
    return f"smihub.{port}.{digest}.{stem}"[:_LONGEST].rstrip("-.")
