"""IdentityBindings: whom they admit as a source, and whom they name as a destination."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hub.model import Request
from hub.semantics import Semantics

Read = Callable[..., Semantics]
RequestTo = Callable[..., Request]

PODS = """
---
apiVersion: v1
kind: Pod
metadata: {name: web-0, namespace: d, labels: {app: web, tier: front}}
spec: {serviceAccountName: web}
---
apiVersion: v1
kind: Pod
metadata: {name: web-0, namespace: e, labels: {app: web, tier: front}}
spec: {serviceAccountName: web}
---
apiVersion: v1
kind: Pod
metadata: {name: api-1, namespace: d, labels: {app: other}}
spec: {serviceAccountName: api}
"""
SOURCE = "{kind: IdentityBinding, name: b, namespace: d}"
ACCOUNT = "{kind: ServiceAccount, name: api}"


def policy(schemes: str, source: str = SOURCE, destination: str = ACCOUNT, version: str = "v1alpha4") -> str:
    """Write an IdentityBinding d/b and a TrafficTarget that uses it."""
    return f"""
apiVersion: access.smi-spec.io/v1alpha4
kind: IdentityBinding
metadata: {{name: b, namespace: d}}
spec: {{schemes: {schemes}}}
---
apiVersion: access.smi-spec.io/{version}
kind: TrafficTarget
metadata: {{name: t, namespace: d}}
spec:
  destination: {destination}
  sources: [{source}]
  rules: [{{kind: TCPRoute, name: tall}}]
{PODS}"""


def allowed(read: Read, text: str, request: Request, trust_domain: str = "cluster.local") -> bool:
    """Tell whether a request is allowed in the small world plus this text."""
    return read(text, trust_domain=trust_domain).judge(request).verdict == "allow"


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("schemes", "src", "admitted"),
    [
        ("{serviceAccount: web}", "d/web", True),
        ("{serviceAccount: web}", "e/web", False),
        ("{serviceAccount: web}", "pod:d/web-0", True),
        ("{serviceAccount: web}", "spiffe://cluster.local/ns/d/sa/web", True),
        ("{serviceAccount: web}", "spiffe://other/ns/d/sa/web", False),
        ("{serviceAccount: web}", "outside", False),
        ("{serviceAccount: web}", "pod:d/unknown", False),
        ("{serviceAccount: 'a/b'}", "d/a/b", False),
        ("{podLabelSelector: {matchLabels: {app: web}}}", "pod:d/web-0", True),
        ("{podLabelSelector: {matchLabels: {app: web}}}", "pod:e/web-0", False),
        ("{podLabelSelector: {matchLabels: {app: web}}}", "d/web", False),
        ("{podLabelSelector: {matchLabels: {app: web}}}", "spiffe://cluster.local/ns/d/sa/web", False),
        ("{podLabelSelector: {matchLabels: {app: web, x: z}}}", "pod:d/web-0", False),
        ("{podLabelSelector: {matchLabels: {app: web, tier: front}}}", "pod:d/web-0", True),
        ("{podLabelSelector: {matchLabels: {}}}", "pod:d/web-0", False),
        ("{podLabelSelector: {}}", "pod:d/web-0", False),
        ("{podLabelSelector: {matchLabels: {}}, spiffeIdentities: [o/x]}", "spiffe://o/x", False),
        ("{podLabelSelector: {matchLabels: {app: web}, matchExpressions: []}}", "pod:d/web-0", False),
        ("{podLabelSelector: {matchLabels: {app: 1}}}", "pod:d/web-0", False),
        ("{podLabelSelector: {matchLabels: {app: web}}, serviceAccount: web}", "pod:d/web-0", False),
        ("{podLabelSelector: {matchLabels: {app: web}}, spiffeIdentities: [o/x]}", "pod:d/web-0", True),
        ("{podLabelSelector: {matchLabels: {app: web}}, spiffeIdentities: [o/x]}", "spiffe://o/x", True),
        ("{spiffeIdentities: [cluster.local/ns/d/sa/web]}", "d/web", True),
        ("{spiffeIdentities: ['spiffe://cluster.local/ns/d/sa/web']}", "pod:d/web-0", True),
        ("{spiffeIdentities: [cluster.local/ns/e/sa/web]}", "e/web", False),
        ("{spiffeIdentities: [cluster.local/ns/e/sa/web]}", "spiffe://cluster.local/ns/e/sa/web", False),
        ("{spiffeIdentities: [cluster.local/vm/web]}", "spiffe://cluster.local/vm/web", True),
        ("{spiffeIdentities: [o/ns/e/sa/web]}", "spiffe://o/ns/e/sa/web", True),
        ("{spiffeIdentities: [o/ns/e/sa/web]}", "e/web", False),
        ("{spiffeIdentities: [o/x, 'O/x']}", "spiffe://o/x", False),
        ("{spiffeIdentities: [o/x, 'o/x/']}", "spiffe://o/x", False),
        ("{spiffeIdentities: [o/x, o/../x]}", "spiffe://o/x", False),
        ("{spiffeIdentities: [o/x, 'https://o/x']}", "spiffe://o/x", False),
        ("{spiffeIdentities: [o/x, 1]}", "spiffe://o/x", False),
        ("{spiffeIdentities: []}", "d/web", False),
        ("{spiffeIdentities: [o/x], jwt: x}", "spiffe://o/x", False),
        ("{}", "d/web", False),
        ("[]", "d/web", False),
    ],
)
def test_binding_as_source(read: Read, request_to: RequestTo, *, schemes: str, src: str, admitted: bool) -> None:
    """Schemes are alternatives; a binding speaks for its own namespace and a bad scheme voids it."""
    assert allowed(read, policy(schemes), request_to(src, "d/api", 7000, protocol="tcp")) == admitted


@pytest.mark.parametrize(
    ("schemes", "dst", "admitted"),
    [
        ("{serviceAccount: api}", "d/api", True),
        ("{serviceAccount: pay}", "d/api", False),
        ("{spiffeIdentities: [cluster.local/ns/d/sa/api]}", "d/api", True),
        ("{spiffeIdentities: [cluster.local/ns/e/sa/api]}", "e/api", False),
        ("{podLabelSelector: {matchLabels: {app: api}}}", "pod:d/api-0", True),
        ("{podLabelSelector: {matchLabels: {app: api}}}", "pod:d/api-1", False),
        ("{podLabelSelector: {matchLabels: {app: api}}}", "d/api", False),
        ("{podLabelSelector: {matchLabels: {app: web}}}", "d/web", True),
        ("{podLabelSelector: {matchLabels: {app: web}}}", "e/web", False),
        ("{podLabelSelector: {matchLabels: {app: web}}}", "d/nobody", False),
    ],
)
def test_binding_as_destination(read: Read, request_to: RequestTo, *, schemes: str, dst: str, admitted: bool) -> None:
    """Labels open the workloads that carry them; an identity is open only if all of its workloads are."""
    source = "{kind: ServiceAccount, name: web, namespace: d}"
    text = policy(schemes, source, "{kind: IdentityBinding, name: b}")
    assert allowed(read, text, request_to("d/web", dst, 7000, protocol="tcp")) == admitted


@pytest.mark.parametrize(
    ("source", "admitted"),
    [
        ("{kind: IdentityBinding, name: b, namespace: d, group: access.smi-spec.io}", True),
        ("{kind: IdentityBinding, name: b, namespace: d, group: ''}", False),
        ("{kind: IdentityBinding, name: b, namespace: d, group: core}", False),
        ("{kind: IdentityBinding, name: b}", False),
        ("{kind: IdentityBinding, name: missing, namespace: d}", False),
        ("{kind: ServiceAccount, name: web, namespace: d, group: ''}", True),
        ("{kind: ServiceAccount, name: web, namespace: d, group: core}", True),
        ("{kind: ServiceAccount, name: web, namespace: d, group: access.smi-spec.io}", False),
        ("{kind: ServiceAccount, name: web, namespace: d, group: 1}", False),
    ],
)
def test_group_of_subject(read: Read, request_to: RequestTo, *, source: str, admitted: bool) -> None:
    """The group of a subject must be the one of its kind."""
    text = policy("{serviceAccount: web}", source)
    assert allowed(read, text, request_to("d/web", "d/api", 7000, protocol="tcp")) == admitted


def test_binding_named_by_older_version(read: Read, request_to: RequestTo) -> None:
    """Before v1alpha4 a subject of kind IdentityBinding matches nobody."""
    text = policy("{serviceAccount: web}", version="v1alpha3")
    assert not allowed(read, text, request_to("d/web", "d/api", 7000, protocol="tcp"))


def test_binding_under_another_trust_domain(read: Read, request_to: RequestTo) -> None:
    """Which SPIFFE ids are ours depends on the trust domain alone."""
    text = policy("{spiffeIdentities: [cluster.local/ns/e/sa/web]}")
    foreign = request_to("spiffe://cluster.local/ns/e/sa/web", "d/api", 7000, protocol="tcp")
    assert allowed(read, text, foreign, trust_domain="example.org")
    assert not allowed(read, text, request_to("e/web", "d/api", 7000, protocol="tcp"), trust_domain="example.org")
