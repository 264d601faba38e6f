"""Tokens by which a sidecar proves which Workload it belongs to.

A token is `<namespace>/<name>:<secret>`; the workload in front only says whose hashes to compare with. Only hashes are
stored: SHA-256 suffices because the secret is 256 random bits.

It holds for one Workload with one account. Once that Workload is deleted, or runs as somebody else, the token has ended:
it never again gives anything, and whoever comes with it is told to let go of what it still has.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Sequence

from msgspec import Struct

from adapters.vm.identity.ca import Secret

_FORM = re.compile(r"([a-z0-9.-]{1,253}/[a-z0-9.-]{1,253}):[A-Za-z0-9_-]{43}", re.ASCII)
_NOBODY = hashlib.sha256(b"").digest()


class StoredToken(Struct, frozen=True):
    """What is stored of one token of a workload."""

    digest: bytes
    ended: bool = False


class Bearer(Struct, frozen=True):
    """Whose token somebody came with; `replaced` is one that has ended while another one holds."""

    workload: str
    ended: bool = False
    replaced: bool = False


def new_token(workload: str) -> Secret:
    """A fresh token for a workload (`ns/name`)."""
    return Secret(f"{workload}:{secrets.token_urlsafe(32)}".encode())


def digest_of(token: Secret) -> bytes:
    """What is stored of a token."""
    return hashlib.sha256(token.reveal()).digest()


def bearer(token: Secret, known: Callable[[str], Sequence[StoredToken]]) -> Bearer | None:
    """Whose token this is, or None. Compares in constant time, also where the workload is unknown."""
    form = _FORM.fullmatch(token.reveal().decode("ascii", "replace"))
    if form is None:
        return None
    stored, digest = known(form[1]), digest_of(token)
    if not stored:
        hmac.compare_digest(_NOBODY, digest)
    equal = [item for item in stored if hmac.compare_digest(item.digest, digest)]
    if not equal:
        return None
    ended = equal[0].ended
    return Bearer(form[1], ended, ended and any(not item.ended for item in stored))
