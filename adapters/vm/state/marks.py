"""Marks: what tells one life of a name from the next.

An Envoy keeps its connections for as long as the chain that they came through keeps its name, and its pools for as long
as the cluster keeps the name of its certificate. Both names therefore end in a mark of 128 bits, so that none of them
comes back with another meaning: for a listener that was away, after a change of account, or when the state file is
restored from a backup. A life's random part is drawn when it is written, so that plans stay the same however often they
are made; the rest follows from the identity and the authority. Marks are put in as the very last thing, since the same
listener or cluster may be served to several workloads.
"""

from __future__ import annotations

import secrets
from hashlib import blake2b
from typing import Any

import msgspec

from adapters.vm import wire
from adapters.vm.names import WORKLOAD
from hub.api import NativeObject, ObjectRef, UnmodelledError, identity_of

_BITS = 128
PENDING = "!" * (_BITS // 4)
"""Where a mark will be, in as many characters; none of our names has this one in it."""
SAMPLE = "0" * (_BITS // 4)
MARKED = frozenset(("Listener", WORKLOAD))
"""Kinds on whose objects connections hang."""


class _IdentityRecord(msgspec.Struct, frozen=True):
    spiffe: str = ""


def new_mark() -> str:
    """The random part of a new life."""
    return secrets.token_hex(_BITS // 8)


def derived_mark(*parts: str | bytes) -> str:
    """One mark of several facts; it differs when one of them does."""
    digest = blake2b(digest_size=_BITS // 8)
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        # The length first, or ("ab", "c") and ("a", "bc") would be one mark.
        digest.update(len(raw).to_bytes(8))
        digest.update(raw)
    return digest.hexdigest()


def life_of(ref: ObjectRef, body: bytes) -> str | None:
    """What stays the same through one life: the chains' names of a listener, the identity of a Workload.

    None where that cannot be read: nothing is known to be the same life then.
    """
    if ref.kind == WORKLOAD:
        return _spiffe(body) or None
    try:
        listener: Any = wire.parse(ref.kind, body)
    except UnmodelledError:
        return None
    return "\n".join(chain.name for chain in listener.filter_chains)


def same_life(before: bytes, after: NativeObject) -> bool:
    """Whether an object that is replaced lives on: connections that hang on it may stay."""
    life = life_of(after.ref, after.body)
    return life is not None and life_of(after.ref, before) == life


def account_of(body: bytes) -> str:
    """The account (`ns/name`) that a Workload object runs as; empty if it cannot be read."""
    identity = identity_of(_spiffe(body))
    return "" if identity is None else f"{identity.namespace}/{identity.service_account}"


def _spiffe(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_IdentityRecord).spiffe
    except msgspec.MsgspecError:
        return ""
