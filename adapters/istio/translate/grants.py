"""Grants as rules: who may do what on which ports, and what of it is lost.

Ports are workload ports, as a sidecar's policy sees them (observed on Istio 1.31). A rule without HTTP fields lets any HTTP
request through, and one with HTTP fields vanishes on raw TCP, so each kind is kept to the ports where SMI counts it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from adapters.istio.config import IstioConfig
from adapters.istio.translate.budget import ConditionPattern
from adapters.istio.translate.losses import access_loss
from adapters.istio.translate.match import ANY_METHOD, Expressed, MatchAlternative
from adapters.istio.translate.objects import Condition, Operation
from adapters.istio.translate.patterns import expressed
from adapters.istio.translate.scope import Scope, scope_of
from hub.api import (
    SERVICE_ACCOUNT_LABEL,
    Access,
    Grant,
    HttpMatch,
    Loss,
    Objection,
    is_label_value,
    labels_unproven,
    service_account_label,
    short,
)

Labels = tuple[tuple[str, str], ...]

_SPIFFE = "spiffe://"
_PRINCIPAL = re.compile(r"[a-z0-9._-]+(?:/[A-Za-z0-9._-]+)*")
_DNS = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*"
_LABEL_PREFIX = re.compile(_DNS)


class LoweredGrant(Struct, frozen=True, gc=False):
    """A grant as far as Istio carries it: at which Pods (by labels), for whom, and what; raw bytes know no conditions.

    `grant` is the same without what is lost of it. `permissions` are what a filter must judge, for requests like `anything`.
    """

    grant: Grant
    labels: Labels
    raw: bool
    principals: tuple[str, ...]
    alternatives: tuple[tuple[tuple[Condition, ...], Operation], ...]
    anything: Operation
    permissions: frozenset[bytes] = frozenset()


def lower_grant(
    grant: Grant, access: Access, expensive: frozenset[ConditionPattern], config: IstioConfig
) -> tuple[LoweredGrant | None, tuple[Loss, ...]]:
    """A grant as far as Istio carries it (None: nothing is left of it), and what is lost. The rest: see `match.express`."""
    if grant.transport == "UDP":
        return None, (access_loss(_UDP, grant.origin),)
    scope = scope_of(grant, access)
    said = {match: expressed(match, expensive, config) for match in grant.http or ()}
    principals, refused = _principals(grant, access.identity.trust_domain)
    found = {*refused, *scope.losses, *(objection for one in said.values() for objection in one.objections)}
    found.update(labels_unproven(text) for text in grant.unauthenticated)
    labels = grant.labels or ()
    is_selectable = _is_selectable(labels, access.identity.service_account)
    if not is_selectable:
        found.add(_selector(labels))
    losses = tuple(sorted(access_loss(one, grant.origin) for one in found))
    alternatives = _alternatives(grant, scope, said.values())
    permissions = frozenset(one.permission for one in said.values() if one.permission)
    # A rule without callers, ports or operations means "any" to Istio.
    if not (alternatives or permissions) or not principals or not is_selectable or scope.ports == ():
        return None, losses
    matches = {part for match, one in said.items() for part in one.carried(match)}
    carried = _carried(grant, scope, principals, matches)
    anything = _operation(MatchAlternative(), scope)
    return LoweredGrant(carried, labels, grant.http is None, principals, alternatives, anything, permissions), losses


def _carried(grant: Grant, scope: Scope, principals: Sequence[str], matches: Iterable[HttpMatch]) -> Grant:
    http = None if grant.http is None else tuple(sorted(matches, key=msgspec.json.encode))
    sources = tuple(sorted(_SPIFFE + principal for principal in principals))
    return replace(grant, sources=sources, ports=scope.ports, not_ports=scope.not_ports, http=http)


def _alternatives(
    grant: Grant, scope: Scope, said: Iterable[Expressed]
) -> tuple[tuple[tuple[Condition, ...], Operation], ...]:
    raw = {MatchAlternative(())} if grant.http is None else set()
    alternatives = raw.union(alternative for one in said for alternative in one.alternatives)
    return tuple(sorted((alternative.conditions, _operation(alternative, scope)) for alternative in alternatives))


def _operation(alternative: MatchAlternative, scope: Scope) -> Operation:
    """Methods are left out where paths already make it about HTTP."""
    methods = () if alternative.paths and alternative.methods == ANY_METHOD else alternative.methods
    ports = tuple(str(port) for port in scope.ports or ())
    return Operation(ports, tuple(map(str, scope.not_ports)), methods, alternative.paths, alternative.not_paths)


def _principals(grant: Grant, trust_domain: str) -> tuple[tuple[str, ...], Sequence[Objection]]:
    kept: set[str] = set()
    refused: list[Objection] = []
    for source in grant.sources:
        principal = source.removeprefix(_SPIFFE)
        # Sidecars refuse certificates of other trust domains. Where they do not, it is an alias: the policy would let in our own
        # identity of that name, whom nobody granted anything. Istio reads `cluster.local` so, whatever ours is called (1.31).
        if source.startswith(f"{_SPIFFE}{trust_domain}/") and _PRINCIPAL.fullmatch(principal):
            kept.add(principal)
        else:
            refused.append(_foreign(source))
    return tuple(sorted(kept)), refused


def _is_label_key(key: str) -> bool:
    """Source: Kubernetes, "Labels and Selectors", syntax: a name like a value's, after a DNS prefix and a slash at most."""
    prefix, slash, name = key.rpartition("/")
    in_form = is_label_value(name) and (not slash or _LABEL_PREFIX.fullmatch(prefix) is not None)
    return in_form and len(key) <= 317


def _is_selectable(labels: Labels, account: str) -> bool:
    """Whether a selector means these labels: for Istio, an absent label has the empty value."""
    # The policy's selector has the account's label already; a grant that asks for another account's can select nobody.
    ours = dict(labels).get(SERVICE_ACCOUNT_LABEL, service_account_label(account))
    proper = all(_is_label_key(key) and is_label_value(value) for key, value in labels)
    return proper and ours == service_account_label(account) and len(dict(labels)) == len(labels)


_UDP = Objection(
    "proto.udp-not-captured",
    "sidecars do not intercept UDP, so this UDP grant has no effect",
    "a datagram from a source of this TrafficTarget",
    "remove the UDPRoute, or allow the datagrams outside of the mesh",
)


def _foreign(source: str) -> Objection:
    message = f'source "{short(source)}" is not an identity of this trust domain: sidecars refuse it, or treat it as the account of that name'
    example, remedy = f'a request from "{short(source)}"', "run the caller in this trust domain"
    return Objection("source.foreign-trust-domain", message, example, remedy)


def _selector(labels: Labels) -> Objection:
    shown = short(", ".join(f"{key}={value}" for key, value in labels))
    message = f'Istio cannot select Pods by "{shown}": it treats a missing label like an empty one'
    example = f'a request to a Pod with "{shown}"'
    return Objection("istio.selector-not-expressible", message, example, "set the label to a value")
