"""What of a unit both stands and is wanted: of its policies, the callers and permissions that both have.

Of anything else nobody can tell what a change would open. So a port of which other objects stand otherwise than they are wanted is closed,
and a workload that lists it, or that stands as another identity, is sent nothing.
Source: Envoy API, config.rbac.v3 (ALLOW allows what one principal and one permission of one policy match).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from adapters.vm import wire
from adapters.vm.carry_over import Pair, carry_over, pairs, peer_pairs, policy_pairs
from adapters.vm.translate.build import sans
from adapters.vm.vocabulary import HTTP_RBAC
from hub.api import NativeObject, ObjectRef, Observed, Role, UnmodelledError

_Objects = Mapping[ObjectRef, NativeObject]


def meet(standing: Sequence[NativeObject], wanted: Sequence[NativeObject]) -> tuple[NativeObject, ...]:
    """The objects of both; see `AdapterSpec.meet`."""
    there, asked = {one.ref: one for one in standing}, {one.ref: one for one in wanted}
    closed = _closed(there, asked)
    left = (one for ref, one in asked.items() if ref not in closed)
    return tuple(_with_pairs(one, _pairs(there[one.ref])) if one.role is Role.GRANT else one for one in left)


def _closed(there: _Objects, wanted: _Objects) -> frozenset[ObjectRef]:
    """What stands otherwise than it is wanted, what needs it, and the policies that only such a port looks up."""
    closed = {ref for ref, one in wanted.items() if not _is_sure(one, there)}
    while more := {*_needing(closed, wanted), *_behind(closed, wanted)} - closed:
        closed |= more
    return frozenset(closed)


def _needing(closed: set[ObjectRef], wanted: _Objects) -> Iterator[ObjectRef]:
    return (ref for ref, one in wanted.items() if closed.intersection(one.needs))


def _behind(closed: set[ObjectRef], wanted: _Objects) -> Iterator[ObjectRef]:
    listeners = (wanted[ref] for ref in closed if wanted[ref].role is Role.GUARD)
    return (need for one in listeners for need in one.needs if need in wanted and wanted[need].role is Role.GRANT)


def _is_sure(one: NativeObject, there: _Objects) -> bool:
    """Whether it is known what comes of an object: a policy that can be read, a workload of its own identity, anything that is as it should be."""
    found = there.get(one.ref)
    if found is None or one.role not in {Role.GRANT, Role.ROUTE}:
        return _stands(one, there)
    try:
        if one.role is Role.ROUTE:
            return bool(_identity(found.body) == _identity(one.body))
        return _without_policies(found) == _without_policies(one)
    except (UnmodelledError, msgspec.MsgspecError, KeyError, TypeError):
        return False


def _stands(one: NativeObject, there: _Objects) -> bool:
    found = there.get(one.ref)
    if found is None:
        return False
    # As the listener that it would be if nothing of its policies changed: the name of its chain is history's.
    (same,) = carry_over([one], {one.ref: Observed(one.ref, found.body, None, "", found.role, found.needs)})
    return (found.body, found.needs) == (same.body, same.needs)


def _identity(body: bytes) -> Any:
    return msgspec.json.decode(body)["spiffe"]


# --------------------------------------------------------------------------- policies


def _pairs(found: NativeObject) -> frozenset[Pair]:
    """What a policy that stands grants. Raises UnmodelledError."""
    return frozenset(policy_pairs(found.ref.kind, found.body))


def _without_policies(one: NativeObject) -> bytes:
    """What is left of a policy that grants nothing. Raises UnmodelledError."""
    return _with_pairs(one, frozenset()).body


def _with_pairs(one: NativeObject, kept: frozenset[Pair]) -> NativeObject:
    """The policy with these pairs alone; as it is, if it has some, and no others. Raises UnmodelledError."""
    if kept and policy_pairs(one.ref.kind, one.body) <= kept:
        return one
    found: Any = wire.parse(one.ref.kind, one.body)
    if one.ref.kind == "RouteConfiguration":
        for host in found.virtual_hosts:
            entry: Any = wire.unpack(host.typed_per_filter_config[HTTP_RBAC])
            entry.rbac.rules.CopyFrom(_rules(entry.rbac.rules, kept))
            host.typed_per_filter_config[HTTP_RBAC].CopyFrom(wire.any_of(entry))
    elif one.ref.kind == "Secret":
        context = found.validation_context
        left = [san.matcher.exact for san, pair in peer_pairs(found) if pair in kept]
        del context.match_typed_subject_alt_names[:]
        context.match_typed_subject_alt_names.extend(sans(left))
    else:
        config: Any = wire.unpack(found.typed_config)
        config.rules.CopyFrom(_rules(config.rules, kept))
        found.typed_config.CopyFrom(wire.any_of(config))
    return replace(one, body=wire.pack(found))


def _rules(rules: Any, kept: frozenset[Pair]) -> wire.RBAC:
    """The same policies with these pairs alone: principals with equal permissions stand in one."""
    left = wire.RBAC()
    left.CopyFrom(rules)
    left.policies.clear()
    for name, policy in sorted(rules.policies.items()):
        if {field.name for field, _ in policy.ListFields()} - {"permissions", "principals"}:
            raise UnmodelledError(f'policy "{name}" has conditions of its own')
        for number, (permissions, principals) in enumerate(sorted(_groups(policy, kept).items())):
            some = [wire.Permission.FromString(one) for one in permissions]
            left.policies[f"{name}~{number}"].CopyFrom(wire.Policy(permissions=some, principals=principals))
    return left


def _groups(policy: Any, kept: frozenset[Pair]) -> dict[tuple[bytes, ...], list[Any]]:
    """The principals of a policy by the permissions that they keep."""
    groups: dict[tuple[bytes, ...], list[Any]] = {}
    for principal in policy.principals:
        mine = tuple(wire.pack(one) for one in policy.permissions if pairs(principal, [one]) <= kept)
        if mine:
            groups.setdefault(mine, []).append(principal)
    return groups
