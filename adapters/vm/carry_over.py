"""What only history knows: the name of a listener's filter chain, `g<n>`.

Envoy keeps open connections and streams under their old policy. Giving the chain another name makes it drain them, and
nothing else. So the number goes up exactly when a policy that the listener looks up has lost something.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from adapters.vm import names, wire
from adapters.vm.vocabulary import HTTP_RBAC, NOBODY
from hub.api import NativeObject, ObjectRef, Observed, UnmodelledError

_GENERATION = re.compile(r"g(0|[1-9][0-9]*)")
Pair = tuple[bytes, bytes]


def carry_over(desired: Sequence[NativeObject], observed: Mapping[ObjectRef, Observed]) -> tuple[NativeObject, ...]:
    """The same objects, each inbound listener with the chain name it has, or the next one if its policy narrowed.

    A policy narrows when a (principal, permission) pair, or an admitted peer, is gone. Without history it stays `g0`.
    """
    looked_up = {ref for item in desired if names.is_inbound(item.ref) for ref in item.needs}
    narrowed = {
        item.ref
        for item in desired
        if item.ref in looked_up and item.ref in observed and _has_narrowed(item, observed[item.ref].owned)
    }
    return tuple(_with_generation(item, observed.get(item.ref), narrowed) for item in desired)


def _with_generation(item: NativeObject, before: Observed | None, narrowed: set[ObjectRef]) -> NativeObject:
    if not names.is_inbound(item.ref) or before is None:
        return item
    # By what the listener refers to, so a narrowed port cuts its own connections and nobody else's.
    generation = _generation(before.owned) + (1 if narrowed.intersection(item.needs) else 0)
    if generation == 0:
        return item
    listener: Any = wire.parse("Listener", item.body)
    for chain in listener.filter_chains:
        chain.name = f"g{generation}"
    return msgspec.structs.replace(item, body=wire.pack(listener))


def _generation(body: bytes) -> int:
    """The number in a listener's chain name; 0 where it is not one of ours."""
    try:
        listener: Any = wire.parse("Listener", body)
    except UnmodelledError:
        return 0
    found = [_GENERATION.fullmatch(chain.name) for chain in listener.filter_chains]
    return max((int(match[1]) for match in found if match), default=0)


def _has_narrowed(item: NativeObject, before: bytes) -> bool:
    """Whether the policy in `before` admits a pair that `item` does not; what cannot be read counts as narrowed."""
    if item.ref.kind not in _READERS or item.body == before:
        return False
    try:
        old = policy_pairs(item.ref.kind, before)
    # One cut too many costs reconnects; one too few lets a revoked caller go on.
    except UnmodelledError:
        return True
    return not old <= policy_pairs(item.ref.kind, item.body)


def policy_pairs(kind: str, body: bytes) -> set[Pair]:
    """The (principal, permission) pairs that a policy admits, and the peers of a list of peers. Raises UnmodelledError."""
    return _READERS[kind](wire.parse(kind, body))


def _route_pairs(table: Any) -> set[Pair]:
    packed = [host.typed_per_filter_config[HTTP_RBAC] for host in table.virtual_hosts if _has_policy(host)]
    entries: list[Any] = [wire.unpack(one) for one in packed]
    return {pair for entry in entries for pair in _rule_pairs(entry.rbac.rules)}


def _has_policy(host: Any) -> bool:
    return HTTP_RBAC in host.typed_per_filter_config


def peer_pairs(secret: Any) -> list[tuple[Any, Pair]]:
    """The peers that a list admits, each with its pair."""
    admitted = secret.validation_context.match_typed_subject_alt_names
    # NOBODY stands for an empty list, so its end takes nothing from anybody.
    return [(san, (wire.pack(san), b"")) for san in admitted if san.matcher.exact != NOBODY]


def _network_pairs(extension: Any) -> set[Pair]:
    config: Any = wire.unpack(extension.typed_config)
    return _rule_pairs(config.rules)


def _rule_pairs(rules: Any) -> set[Pair]:
    found = (
        pairs(principal, policy.permissions) for policy in rules.policies.values() for principal in policy.principals
    )
    return set[Pair]().union(*found)


def pairs(principal: Any, permissions: Iterable[Any]) -> set[Pair]:
    """A principal with each of these permissions."""
    return {(wire.pack(principal), wire.pack(permission)) for permission in permissions}


_READERS = {
    "RouteConfiguration": _route_pairs,
    "Secret": lambda secret: {pair for _, pair in peer_pairs(secret)},
    "TypedExtensionConfig": _network_pairs,
}
