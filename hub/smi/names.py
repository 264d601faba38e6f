"""Which texts are Kubernetes names, and which are SPIFFE ids.

Sources: Kubernetes, "Object Names and IDs" (DNS-1123 subdomain and label); SPIFFE-ID specification, sections 2.1-2.4.
"""

from __future__ import annotations

import re

_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")
_SPIFFE = re.compile(r"spiffe://[a-z0-9._-]+(?P<path>(?:/[A-Za-z0-9._-]+)*)")
_DOTS = frozenset({".", ".."})
MAX_SPIFFE = 2048
"""Longest SPIFFE id, in bytes (all its characters are ASCII)."""


def is_label(text: str) -> bool:
    """Whether the text is a DNS-1123 label: namespaces, Services."""
    return len(text) <= 63 and _LABEL.fullmatch(text) is not None


def is_subdomain(text: str) -> bool:
    """Whether the text is a DNS-1123 subdomain: every other object."""
    return len(text) <= 253 and _SUBDOMAIN.fullmatch(text) is not None


def canonical_spiffe(text: str) -> str | None:
    """The SPIFFE id with its scheme, or None if it is none. SMI writes ids without `spiffe://`, SPIFFE with it."""
    full = text if "://" in text else f"spiffe://{text}"
    if len(full) > MAX_SPIFFE:
        return None
    found = _SPIFFE.fullmatch(full)
    if found is None or _DOTS.intersection(found["path"].split("/")):
        return None
    return full
