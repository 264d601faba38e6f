"""What of an account's objects both stands and is wanted, where somebody edited them and nobody can tell what they permit.

Policies only add to each other, and without any a Pod is open. So a rule of one state meets each rule of the other one, and holds for
the Pods of both policies. A policy without rules stands wherever one that selects all Pods of the account is missing.
Source: Istio documentation, "Authorization Policy" (implicit enablement; DENY before ALLOW) and PeerAuthentication (modes).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from adapters.istio import names
from adapters.istio.translate.access import MAX_RULES
from adapters.istio.translate.met_rules import Found, rules_of_both
from adapters.istio.translate.objects import authorization_policy
from adapters.istio.translate.standing import (
    POLICY,
    Place,
    Rules,
    StandingPolicy,
    json_of,
    labels_of,
    policy_of,
    spec_of,
)
from hub.api import NativeObject, ObjectRef, Role

_FILTER, _PEERS = "EnvoyFilter", "PeerAuthentication"
_DIGEST = re.compile(rb"smihub_([0-9a-f]{40})_")
_Objects = Mapping[ObjectRef, NativeObject]
_Policies = Mapping[ObjectRef, StandingPolicy]
_Filters = Mapping[bytes, ObjectRef]


def meet(standing: Sequence[NativeObject], wanted: Sequence[NativeObject]) -> tuple[NativeObject, ...]:
    """The objects of one account, sorted by ref, that allow nothing which one of both refuses."""
    there, asked = ({one.ref: one for one in each} for each in (standing, wanted))
    usable = {digest: ref for ref, one in asked.items() for digest in _counted_on(one, there)}
    stand, want = ({ref: policy_of(one) for ref, one in each.items() if ref.kind == POLICY} for each in (there, asked))
    first = next((one for one in want.values() if _is_first(one.native)), None)
    policies = _Meeting(there, stand, want, usable, first).policies()
    needed = {need for one in policies for need in one.needs}
    made = {ref: one for ref, one in there.items() if ref.kind != POLICY}
    made |= {ref: asked[ref] for ref in usable.values() if ref in needed or ref in there}
    made |= {ref: one for ref, one in asked.items() if ref.kind == _PEERS and _may_be_written(one, there)}
    made |= {one.ref: one for one in policies}
    return tuple(_with_role(one) for _, one in sorted(made.items()))


def _with_role(one: NativeObject) -> NativeObject:
    """With the role of its kind: the marks of what stands may be edited as well."""
    return replace(one, role={_FILTER: Role.REFERENCED, _PEERS: Role.GUARD}.get(one.ref.kind, one.role))


# --------------------------------------------------------------------------- filters and mutual TLS


def _digests(body: bytes) -> set[bytes]:
    """The filters whose results a body speaks of."""
    value = json_of(body)
    return {*_DIGEST.findall(body if value is None else msgspec.json.encode(value))}


def _counted_on(wanted: NativeObject, there: _Objects) -> set[bytes]:
    """The filter, if it stands as it is wanted, or nothing that stands asks for it, so that writing it lets nobody in."""
    digests = _digests(wanted.body) if wanted.ref.kind == _FILTER else set()
    found = there.get(wanted.ref)
    if found is not None and found.body != wanted.body:
        return set()
    others = (one for one in there.values() if one is not found and (found is None or one.ref.kind == _FILTER))
    return digests.difference(*(_digests(one.body) for one in others))


def _may_be_written(wanted: NativeObject, there: _Objects) -> bool:
    """Whether mutual TLS may be asked for as it is wanted: where that takes it from no other Pods.

    Where it was switched off, callers prove nothing, and those who have to are refused.
    """
    found = there.get(wanted.ref)
    if found is None:
        return not any(ref.kind == _PEERS for ref in there)
    spec, mine = (spec_of(one.body, _PEERS) for one in (found, wanted))
    if spec is None or mine is None:
        return True
    labels, mtls = (labels_of(one.get("selector", {})) for one in (spec, mine)), spec.get("mtls") or {}
    theirs, ours = labels
    known = spec.keys() <= {"selector", "mtls"} and isinstance(mtls, dict) and mtls.keys() <= {"mode"}
    return known and theirs is not None and {*(ours or ())} <= {*theirs} and mtls.get("mode") != "DISABLE"


# --------------------------------------------------------------------------- policies


class _Meeting(Struct, frozen=True):
    """The policies of one account as they stand and as they are wanted, and the filters that may be counted on."""

    there: _Objects
    stand: _Policies
    want: _Policies
    usable: _Filters
    first: StandingPolicy | None

    def policies(self) -> list[NativeObject]:
        """The policies to write."""
        rules = rules_of_both(self._standing(), self._wanted(), self._places(), MAX_RULES)
        refs = sorted({*self.stand, *self.want})
        made = [one for ref in refs if (one := self._met(ref, rules.get(ref, {}))) is not None]
        if self.first is not None and not any(policy_of(one).closes(self.first.place) for one in made):
            made.append(self._marked(self._bare_policy(self.first)))
        return made

    def _standing(self) -> list[Found]:
        return [found for one in self.stand.values() for found in _found(one)]

    def _wanted(self) -> list[Found]:
        found = (found for one in self.want.values() for found in _found(one))
        return [one for one in found if _digests(one.key) <= self.usable.keys()]

    def _places(self) -> dict[ObjectRef, Place | None]:
        """The Pods of the policies that may have rules: of one that stands, those that it selects now."""
        wanted = {ref: one.place for ref, one in self.want.items()}
        return wanted | {ref: one.place if one.certain else None for ref, one in self.stand.items()}

    def _met(self, ref: ObjectRef, rules: Rules) -> NativeObject | None:
        """A policy with the rules that are left to it; None where it is to go, or not to come."""
        stands, wanted = self.stand.get(ref), self.want.get(ref)
        if stands is not None and stands.fixed:
            return stands.native
        if stands is None or stands.spec is None:
            comes = wanted is not None and (rules or stands is not None or wanted is self.first)
            return self._as_wanted(wanted, rules) if comes and wanted is not None else None
        if not rules and stands.rules and self._may_go(stands):
            return None
        if wanted is not None and stands.place == wanted.place and rules.keys() == wanted.rules.keys():
            return wanted.native
        stays = stands.certain and rules.keys() == stands.rules.keys()
        return self._marked(replace(stands.native, body=stands.native.body if stays else stands.with_rules(rules)))

    def _as_wanted(self, wanted: StandingPolicy, rules: Rules) -> NativeObject:
        same = rules.keys() == wanted.rules.keys()
        return wanted.native if same else self._marked(replace(wanted.native, body=wanted.with_rules(rules)))

    def _may_go(self, policy: StandingPolicy) -> bool:
        """Whether all its Pods stay closed without it, from the first write on."""
        first = self.stand.get(self.first.native.ref) if self.first is not None else None
        return first is not None and first is not policy and first.closes(policy.place)

    @property
    def _bare(self) -> ObjectRef:
        """The ref of a policy that denies in the place of the first one."""
        assert self.first is not None  # noqa: S101 - for mypy
        ref = self.first.native.ref
        return names.security(POLICY, ref.namespace, names.derived(ref.name, "met"))

    def _bare_policy(self, first: StandingPolicy) -> NativeObject:
        labels = dict(first.place.labels) if first.place is not None else {}
        return NativeObject(self._bare, Role.GUARD, authorization_policy(self._bare, labels, ()))

    def _marked(self, one: NativeObject) -> NativeObject:
        """With the role and the needs that smihub gives such a policy, whatever marks it has."""
        if self.first is not None and one.ref == self._bare:
            return replace(one, role=Role.GUARD, needs=())
        beside = () if self.first is None or one.ref == self.first.native.ref else (self.first.native.ref,)
        digests = _digests(one.body)
        known = {**{digest: ref for ref in self.there if (digest := _named(ref)) in digests}, **self.usable}
        asked = sorted({known[digest] for digest in digests if digest in known})
        return replace(one, role=Role.GRANT, needs=(*beside, *asked))


def _is_first(policy: NativeObject) -> bool:
    """Whether it is the policy beside which all others of an account stand."""
    return not any(ref.kind == POLICY for ref in policy.needs)


def _found(policy: StandingPolicy) -> Iterator[Found]:
    if policy.place is not None:
        yield from (Found(key, value, policy.native.ref, policy.place) for key, value in policy.rules.items())


def _named(ref: ObjectRef) -> bytes:
    """The digest in the name of a filter."""
    return ref.name.removeprefix("smihub.").partition(".")[0].encode() if ref.kind == _FILTER else b""
