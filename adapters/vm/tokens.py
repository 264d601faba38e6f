"""Tokens by which a sidecar proves which Workload it belongs to.

A token is `<namespace>/<name>:<secret>`; the workload in front only says whose hash to compare with. Only hashes are
stored: SHA-256 suffices because the secret is 256 random bits.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable

from adapters.vm.ca import Secret

_FORM = re.compile(r"([a-z0-9.-]{1,253}/[a-z0-9.-]{1,253}):[A-Za-z0-9_-]{43}", re.ASCII)
_NOBODY = hashlib.sha256(b"").digest()


def new_token(workload: str) -> Secret:
    """A fresh token for a workload (`ns/name`)."""
    return Secret(f"{workload}:{secrets.token_urlsafe(32)}".encode())


def digest_of(token: Secret) -> bytes:
    """What is stored of a token."""
    return hashlib.sha256(token.reveal()).digest()


def bearer(token: Secret, hash_of: Callable[[str], bytes | None]) -> str | None:
    """The workload whose token this is, or None. Compares in constant time, also where the workload is unknown."""
    form = _FORM.fullmatch(token.reveal().decode("ascii", "replace"))
    if form is None:
        return None
    stored = hash_of(form[1])
    equal = hmac.compare_digest(stored or _NOBODY, digest_of(token))
    return form[1] if equal and stored is not None else None
