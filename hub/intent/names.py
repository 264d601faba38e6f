"""How SMI objects name identities and Services: defaults, the own namespace, and nothing beyond it."""

from __future__ import annotations

from collections.abc import Iterator

from hub.model import Identity, ObjectRef, identity_of
from hub.smi.names import is_label, is_subdomain
from hub.smi.types import IdentityBinding, Subject, TrafficTarget

CLUSTER_DOMAIN = "cluster.local"
"""The default cluster domain of Kubernetes (documentation, "DNS for Services and Pods")."""


def local_service(text: str, namespace: str, trust_domain: str) -> str | None:
    """The bare name of a Service of this namespace that `text` means, bare or as FQDN; None if it means none of them.

    Source: SMI traffic-split v1alpha4, Specification (the root is a fully qualified name, the examples are bare).
    """
    name, _, rest = text.partition(".")
    own = {"", namespace, f"{namespace}.svc", *(f"{namespace}.svc.{end}" for end in (CLUSTER_DOMAIN, trust_domain))}
    return name if is_label(name) and rest in own and not text.endswith(".") else None


def is_foreign(text: str) -> bool:
    """Whether a name that is no local Service is qualified with something else; if not, it is nobody's."""
    return "." in text


def destination(target: TrafficTarget) -> Subject | None:
    """The destination with its namespace filled in; None if it names nothing that this TrafficTarget may open."""
    subject, own = target.destination, target.ref.namespace
    if subject.kind not in {"ServiceAccount", "IdentityBinding"} or not is_subdomain(subject.name):
        return None
    return Subject(subject.kind, own, subject.name) if subject.namespace in {"", own} else None


def bound_accounts(binding: IdentityBinding, trust_domain: str) -> Iterator[str]:
    """The service accounts of its own namespace that a binding names, as account or as SPIFFE id."""
    if binding.service_account is not None:
        yield binding.service_account
    for text in binding.spiffe:
        known = own_identity(text, trust_domain)
        if known is not None and known.namespace == binding.ref.namespace and is_subdomain(known.service_account):
            yield known.service_account


def own_identity(text: str, trust_domain: str) -> Identity | None:
    """The identity of our trust domain that a SPIFFE id names, else None."""
    known = identity_of(text)
    return known if known is not None and known.trust_domain == trust_domain else None


def is_workload(ref: ObjectRef) -> bool:
    """Whether the ref is a Workload of our own kind, which is configured by name."""
    return ref.kind == "Workload"
