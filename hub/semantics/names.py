"""The grammars of names: Kubernetes names, HTTP header names and SPIFFE ids.

Sources: Kubernetes, "Object Names and IDs"; RFC 9110, 5.6.2 (token); SPIFFE-ID, section 2.
"""

from __future__ import annotations

import re

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]+")
_SEGMENT = re.compile(r"[A-Za-z0-9._-]+")
_SUBDOMAIN_LIMIT = 253
_SPIFFE_LIMIT = 2048


def is_label(text: str) -> bool:
    """Tell whether this is a DNS-1123 label: the names of namespaces and Services."""
    return _LABEL.fullmatch(text) is not None


def is_subdomain(text: str) -> bool:
    """Tell whether this is a DNS-1123 subdomain: the names of all other objects and of service accounts."""
    return len(text) <= _SUBDOMAIN_LIMIT and _SUBDOMAIN.fullmatch(text) is not None


def is_header_name(text: str) -> bool:
    """Tell whether this is an HTTP token; pseudo headers such as `:path` are none."""
    return _TOKEN.fullmatch(text) is not None


def split_pair(text: str | None) -> tuple[str, str] | None:
    """Split `namespace/name`, or None unless both are valid Kubernetes names."""
    namespace, slash, name = (text or "").partition("/")
    if not slash or not is_label(namespace) or not is_subdomain(name):
        return None
    return namespace, name


def canonical_spiffe(text: str) -> str | None:
    """Write a SPIFFE id with its scheme, or None when it is not a valid id.

    An id without a scheme is read as one with `spiffe://`, as the example of access v1alpha4 has it.
    """
    full = text if "://" in text else f"spiffe://{text}"
    if len(full) > _SPIFFE_LIMIT or not full.startswith("spiffe://"):
        return None
    domain, *segments = full.removeprefix("spiffe://").split("/")
    if _TRUST_DOMAIN.fullmatch(domain) is None:
        return None
    return full if all(_is_segment(segment) for segment in segments) else None


def _is_segment(text: str) -> bool:
    return text not in {".", ".."} and _SEGMENT.fullmatch(text) is not None


def account_of_spiffe(spiffe: str, trust_domain: str) -> tuple[str, str] | None:
    """Read `spiffe://<our trust domain>/ns/N/sa/S` as (N, S) without judging the two names; None for any other id."""
    head = f"spiffe://{trust_domain}/ns/"
    if not spiffe.startswith(head):
        return None
    parts = spiffe[len(head) :].split("/")
    if len(parts) != 3 or parts[1] != "sa":
        return None
    return parts[0], parts[2]
