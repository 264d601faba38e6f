"""One Access unit as AuthorizationPolicy and PeerAuthentication.

The policy of an account is always there: without rules it denies everything, and without it everything would be allowed
(Istio documentation, "Authorization policy", "Policy precedence"). Policies with further labels only add to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import TypeVar

import msgspec
from msgspec import Struct

from adapters.istio import names
from adapters.istio.config import IstioConfig
from adapters.istio.translate.budget import expensive_patterns
from adapters.istio.translate.grants import Labels, LoweredGrant, lower_grant
from adapters.istio.translate.losses import access_loss
from adapters.istio.translate.match import cost
from adapters.istio.translate.objects import (
    Condition,
    Operation,
    Rule,
    authorization_policy,
    peer_authentication,
    rule_body,
)
from hub.api import (
    SERVICE_ACCOUNT_LABEL,
    Access,
    Grant,
    Loss,
    NativeObject,
    Objection,
    ObjectRef,
    Role,
    Translation,
    service_account_label,
)

MAX_RULES = 512
"""Most rules of one policy (the schema of AuthorizationPolicy)."""
_MAX_ITEMS = 256
_MAX_PART = 120_000
_MAX_BYTES = 400_000
MAX_POLICIES = 64
"""Most policies of one account and one set of labels."""

_T = TypeVar("_T")
_Key = tuple[bool, tuple[str, ...], tuple[Condition, ...]]


class _Owner(Struct, frozen=True, gc=False):
    access: Access
    text: bool

    @property
    def account(self) -> str:
        return self.access.identity.service_account

    @property
    def namespace(self) -> str:
        return self.access.identity.namespace


def translate_access(access: Access, config: IstioConfig) -> Translation:
    """The objects of one identity and what Istio cannot say of its grants."""
    owner = _Owner(access, config.header_values == "text")
    root = access.identity.namespace == config.root_namespace
    policies, losses, carried = _policies_by_labels(owner) if not root else ({}, [_root_namespace_loss(owner)], [])
    policies.setdefault((), [()])  # without any policy Istio lets everybody in, so one that grants nothing stays
    objects = [native for labels, rule_sets in policies.items() for native in _policies(owner, labels, rule_sets)]
    if config.mtls == "strict" and not root:  # a selector there is ignored by Istio, or reaches everybody
        objects.append(_peer_authentication(owner))
    former = sorted(ref for labels, rule_sets in policies.items() for ref in _former(owner, labels, len(rule_sets)))
    ordered = tuple(sorted(objects, key=lambda native: native.ref))
    return Translation(
        ordered, tuple(sorted(set(losses))), tuple(former), tuple(sorted(carried, key=msgspec.json.encode))
    )


def _policies_by_labels(owner: _Owner) -> tuple[dict[Labels, list[tuple[Rule, ...]]], list[Loss], list[Grant]]:
    """The rules of each label set, spread over as many policies as they need; what is lost, and the grants that are not."""
    # By labels, since one policy has one selector: grants for other Pods must stand in another policy.
    lowered: dict[Labels, list[LoweredGrant]] = {}
    losses: list[Loss] = []
    expensive = expensive_patterns((match for grant in owner.access.grants for match in grant.http or ()), cost)
    for grant in owner.access.grants:
        lowered_grant, lost = lower_grant(grant, owner.access, expensive, text=owner.text)
        losses += lost
        if lowered_grant is not None:
            lowered.setdefault(lowered_grant.labels, []).append(lowered_grant)
    policies: dict[Labels, list[tuple[Rule, ...]]] = {}
    for labels, found in lowered.items():
        spread = _sharded(tuple(_rules(found)))
        # All grants to these labels or none: which ones fit must not depend on the order of TrafficTargets.
        if spread is None:
            meant = {grant.origin for grant in owner.access.grants if (grant.labels or ()) == labels}
            losses += [access_loss(_LIMIT, origin) for origin in meant]
        else:
            policies[labels] = spread
    return policies, losses, [one.grant for labels in policies for one in lowered[labels]]


def _rules(lowered: Iterable[LoweredGrant]) -> Iterator[Rule]:
    """Operations of equal callers and conditions stand in one rule; raw bytes and HTTP never do."""
    groups: dict[_Key, set[Operation]] = {}
    for lowered_grant in lowered:
        for conditions, operation in lowered_grant.alternatives:
            groups.setdefault((lowered_grant.raw, lowered_grant.principals, conditions), set()).add(operation)
    for (raw, principals, conditions), operations in sorted(groups.items()):
        # It allows everything already, and written out it would be an empty object, which Istio reads as "any" as well.
        anything = raw and Operation() in operations
        every: list[Sequence[Operation]] = [()] if anything else _chunks(sorted(operations))
        for callers in _chunks(principals):
            for some in every:
                yield Rule(tuple(callers), tuple(some), conditions)


def _chunks(items: Sequence[_T]) -> list[Sequence[_T]]:
    """Parts that are neither long nor large, in order."""
    parts: list[list[_T]] = []
    room = 0
    for item in items:
        size = len(msgspec.json.encode(item))
        if not parts or len(parts[-1]) == _MAX_ITEMS or size > room:
            parts.append([])
            room = _MAX_PART
        parts[-1].append(item)
        room -= size
    return list(parts)


def _sharded(rules: Sequence[Rule]) -> list[tuple[Rule, ...]] | None:
    """The rules in one policy, or by their digests in 2, 4, 8...: a further rule moves few others. None beyond the cap."""
    sized = [(rule, body, len(body)) for rule in rules for body in [msgspec.json.encode(rule_body(rule))]]
    count = 1
    while count <= MAX_POLICIES:
        shares: list[list[Rule]] = [[] for _ in range(count)]
        bytes_of = [0] * count
        for rule, body, size in sized:
            # By content, not by position: a new rule in the middle
            # would otherwise move all later ones into other policies.
            place = 0 if count == 1 else int.from_bytes(sha256(body).digest()[:4]) % count
            shares[place].append(rule)
            bytes_of[place] += size
        if max(map(len, shares)) <= MAX_RULES and max(bytes_of) <= _MAX_BYTES:
            return [tuple(share) for share in shares]
        count *= 2
    return None


def _policies(owner: _Owner, labels: Labels, rule_sets: Sequence[tuple[Rule, ...]]) -> Iterator[NativeObject]:
    selector = {**dict(labels), **_selector(owner)}
    for index, rules in enumerate(rule_sets):
        first = not labels and index == 0
        # Only the first one denies by being there; another one without rules says nothing.
        if not rules and not first:
            continue
        name = names.plain(owner.account) if first else names.derived(owner.account, labels, index)
        ref = _policy(owner, name)
        # Never without the first: it denies whatever is granted no more once they are gone.
        needs = () if first else (_policy(owner, names.plain(owner.account)),)
        yield NativeObject(ref, Role.GRANT, authorization_policy(ref, selector, rules), needs=needs)


def _former(owner: _Owner, labels: Labels, count: int) -> Iterator[ObjectRef]:
    """The refs that these policies had when the digests in names had 64 bits."""
    for index in range(count):
        facts = () if not labels and index == 0 else (labels, index)
        name = names.former(owner.account, *facts)
        if name is not None:
            yield _policy(owner, name)


def _policy(owner: _Owner, name: str) -> ObjectRef:
    return names.security("AuthorizationPolicy", owner.namespace, name)


def _peer_authentication(owner: _Owner) -> NativeObject:
    ref = names.security("PeerAuthentication", owner.namespace, names.plain(owner.account))
    return NativeObject(ref, Role.GUARD, peer_authentication(ref, _selector(owner)))


def _root_namespace_loss(owner: _Owner) -> Loss:
    account = ObjectRef("", "ServiceAccount", owner.namespace, owner.account)
    return access_loss(_ROOT, min((grant.origin for grant in owner.access.grants), default=account))


def _selector(owner: _Owner) -> Mapping[str, str]:
    return {SERVICE_ACCOUNT_LABEL: service_account_label(owner.account)}


_ROOT = Objection(
    "istio.root-namespace",
    "a policy in Istio's root namespace applies to all namespaces, so the accounts of that namespace are granted nothing, and "
    "Pods elsewhere that have the label of this account and no policy of their own are denied too",
    "any request to this account",
    "move the workload to another namespace",
)
_LIMIT = Objection(
    "limit.exceeded",
    f"the grants to this account need more than {MAX_POLICIES} policies of {MAX_RULES} rules, so none of them is written",
    "any request that this TrafficTarget allows",
    "list more sources in each TrafficTarget, or share accounts",
)
