"""One Access unit as AuthorizationPolicy and PeerAuthentication.

The policy of an account is always there: without rules it denies everything, and without it everything would be allowed
(Istio documentation, "Authorization policy", "Policy precedence"). Policies with further labels only add to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256

import msgspec
from msgspec import Struct

from adapters.istio import names
from adapters.istio.config import IstioConfig
from adapters.istio.translate.budget import expensive_patterns
from adapters.istio.translate.chunks import chunks
from adapters.istio.translate.filters import MAX_BYTES, MAX_FILTERS, PatternFilter, filters_of, fit
from adapters.istio.translate.grants import Labels, LoweredGrant, lower_grant
from adapters.istio.translate.losses import access_loss
from adapters.istio.translate.match import cost
from adapters.istio.translate.objects import (
    Condition,
    Operation,
    Rule,
    authorization_policy,
    envoy_filter,
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
_MAX_BYTES = 400_000
MAX_POLICIES = 64
"""Most policies of one account and one set of labels."""

_Key = tuple[bool, tuple[str, ...], tuple[Condition, ...]]


class _Owner(Struct, frozen=True, gc=False):
    access: Access
    config: IstioConfig

    @property
    def account(self) -> str:
        return self.access.identity.service_account

    @property
    def namespace(self) -> str:
        return self.access.identity.namespace


def translate_access(access: Access, config: IstioConfig) -> Translation:
    """The objects of one identity and what Istio cannot say of its grants."""
    owner = _Owner(access, config)
    root = access.identity.namespace == config.root_namespace
    made = _made(owner) if not root else _Made({}, {}, [_root_namespace_loss(owner)], [])
    policies = made.policies
    policies.setdefault((), [()])  # without any policy Istio lets everybody in, so one that grants nothing stays
    objects = [native for labels, rule_sets in policies.items() for native in _policies(owner, labels, rule_sets)]
    objects += {
        one.ref: one for labels, every in made.filters.items() for one in _filters(owner, labels, every)
    }.values()
    if config.mtls == "strict" and not root:  # a selector there is ignored by Istio, or reaches everybody
        objects.append(_peer_authentication(owner))
    former = sorted(ref for labels, rule_sets in policies.items() for ref in _former(owner, labels, len(rule_sets)))
    ordered = tuple(sorted(objects, key=lambda native: native.ref))
    return Translation(
        ordered, tuple(sorted(set(made.losses))), tuple(former), tuple(sorted(made.carried, key=msgspec.json.encode))
    )


class _Made(Struct):
    """By labels the rules, spread over as many policies as they need, and the filters; losses, and what is carried."""

    policies: dict[Labels, list[tuple[Rule, ...]]]
    filters: dict[Labels, list[PatternFilter]]
    losses: list[Loss]
    carried: list[Grant]


def _made(owner: _Owner) -> _Made:
    # By labels, since one policy has one selector: grants for other Pods must stand in another policy.
    lowered: dict[Labels, list[LoweredGrant]] = {}
    made = _Made({}, {}, [], [])
    expensive = expensive_patterns((match for grant in owner.access.grants for match in grant.http or ()), cost)
    for grant in owner.access.grants:
        lowered_grant, lost = lower_grant(grant, owner.access, expensive, owner.config)
        made.losses += lost
        if lowered_grant is not None:
            lowered.setdefault(lowered_grant.labels, []).append(lowered_grant)
    for labels, found in lowered.items():
        filters = filters_of(found, _selector(owner, labels))
        spread = _sharded((*_rules(found), *(rule for one in filters for rule in one.rules())))
        # All grants to these labels or none: which ones fit must not depend on the order of TrafficTargets.
        if spread is None or not fit(filters):
            meant = {grant.origin for grant in owner.access.grants if (grant.labels or ()) == labels}
            made.losses += [access_loss(_LIMIT if spread is None else _TOO_MANY_FILTERS, origin) for origin in meant]
        else:
            made.policies[labels], made.filters[labels] = spread, filters
            made.carried += [one.grant for one in found]
    return made


def _rules(lowered: Iterable[LoweredGrant]) -> Iterator[Rule]:
    """Operations of equal callers and conditions stand in one rule; raw bytes and HTTP never do."""
    groups: dict[_Key, set[Operation]] = {}
    for lowered_grant in lowered:
        for conditions, operation in lowered_grant.alternatives:
            groups.setdefault((lowered_grant.raw, lowered_grant.principals, conditions), set()).add(operation)
    for (raw, principals, conditions), operations in sorted(groups.items()):
        # It allows everything already, and written out it would be an empty object, which Istio reads as "any" as well.
        anything = raw and Operation() in operations
        every: list[Sequence[Operation]] = [()] if anything else chunks(sorted(operations))
        for callers in chunks(principals):
            for some in every:
                yield Rule(tuple(callers), tuple(some), conditions)


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
    selector = _selector(owner, labels)
    for index, rules in enumerate(rule_sets):
        first = not labels and index == 0
        # Only the first one denies by being there; another one without rules says nothing.
        if not rules and not first:
            continue
        name = names.plain(owner.account) if first else names.derived(owner.account, labels, index)
        ref = _policy(owner, name)
        # Never without the first: it denies whatever is granted no more once they are gone.
        beside = () if first else (_policy(owner, names.plain(owner.account)),)
        needs = (*beside, *sorted(_asked(owner, rules)))
        yield NativeObject(ref, Role.GRANT, authorization_policy(ref, selector, rules), needs=needs)


def _asked(owner: _Owner, rules: Iterable[Rule]) -> set[ObjectRef]:
    """The filters whose results these rules ask for."""
    found = (names.RESULT_KEY.fullmatch(condition.key) for rule in rules for condition in rule.conditions)
    return {names.pattern_filter(owner.namespace, owner.account, one[1]) for one in found if one}


def _filters(owner: _Owner, labels: Labels, filters: Iterable[PatternFilter]) -> Iterator[NativeObject]:
    for one in filters:
        ref = names.pattern_filter(owner.namespace, owner.account, one.digest)
        body = envoy_filter(ref, _selector(owner, labels), one.digest, one.permissions)
        yield NativeObject(ref, Role.REFERENCED, body)


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


def _selector(owner: _Owner, labels: Labels = ()) -> Mapping[str, str]:
    return {**dict(labels), SERVICE_ACCOUNT_LABEL: service_account_label(owner.account)}


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
_TOO_MANY_FILTERS = Objection(
    "limit.exceeded",
    f"the patterns granted to this account need more than {MAX_FILTERS} filters, or {MAX_BYTES} bytes, so none of its grants is written",
    "any request that this TrafficTarget allows",
    "grant the same patterns to the same sources in fewer TrafficTargets, or match fewer patterns",
)
