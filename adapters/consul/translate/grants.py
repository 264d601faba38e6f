"""Grants as far as Consul carries them: which services may call, with which permissions, and what is lost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from adapters.consul.translate.losses import LABELLED
from adapters.consul.translate.match import EVERYTHING, http, objections, said, unknown_methods
from adapters.consul.translate.objects import Form
from adapters.consul.translate.ports import ServicePorts, counts, objection_to
from adapters.consul.vocabulary import PATH_GUARD
from hub.api import Grant, HttpMatch, Objection, identity_of, labels_unproven, short

Json = dict[str, Any]
Callers = Mapping[str, frozenset[HttpMatch] | None]
"""By Consul service what it may send; None: any bytes."""


class LoweredGrant(Struct, frozen=True, gc=False):
    """A grant, the services that it lets in, its matches as Consul says them (None: raw bytes), and what is lost.

    `carried` is the grant as far as it is written; None: nothing of it is.
    """

    grant: Grant
    services: tuple[str, ...] = ()
    matches: tuple[HttpMatch, ...] | None = None
    carried: Grant | None = None
    objections: tuple[Objection, ...] = ()


def lower_grant(grant: Grant, trust_domain: str, ports: ServicePorts, form: Form) -> LoweredGrant:
    """A grant as far as Consul can say it."""
    if grant.transport == "UDP" or grant.labels:
        return LoweredGrant(grant, objections=(_UDP if grant.transport == "UDP" else _labelled(grant.labels or ()),))
    callers = {source: _service(source, trust_domain, form) for source in grant.sources}
    known = {source: one for source, one in callers.items() if isinstance(one, str)}
    lost = {one for one in callers.values() if isinstance(one, Objection)} | set(
        map(labels_unproven, grant.unauthenticated)
    )
    lost |= {one for match in grant.http or () for one in (*objections(match), *unknown_methods(match))}
    # Told beside the others: whatever else is lost of it, it would be so on another port as well.
    refused = objection_to(grant, ports, written=form.config.service_defaults == "written")
    lost |= {refused} if refused is not None else set()
    matches = None if grant.http is None else tuple(sorted(set(_said(grant.http)), key=msgspec.json.encode))
    if refused is not None or not counts(grant, ports) or not known or matches == ():
        # Where SMI grants nothing on this port either, nothing is lost.
        is_meant = refused is not None or counts(grant, ports)
        return LoweredGrant(grant, objections=tuple(sorted(lost)) if is_meant else ())
    carried = replace(grant, sources=tuple(sorted(known)), ports=ports.limits, not_ports=(), http=matches)
    return LoweredGrant(grant, tuple(sorted(set(known.values()))), matches, carried, tuple(sorted(lost)))


def _said(matches: Iterable[HttpMatch]) -> Iterator[HttpMatch]:
    yield from filter(None, map(said, matches))


def callers_of(lowered: Iterable[LoweredGrant]) -> Callers:
    """Every service that may call, with the matches of all grants to it."""
    found: dict[str, frozenset[HttpMatch] | None] = {}
    for one in lowered:
        for service in one.services:
            matches = found.get(service, frozenset())
            found[service] = None if one.matches is None or matches is None else matches.union(one.matches)
    return found


def permissions(matches: Iterable[HttpMatch]) -> list[Json]:
    """Permissions in the order in which they are tried: the first one that matches decides.

    Matches without a path are for every path, however an application reads it. Paths that it may read otherwise than the sidecar are
    denied before any pattern can allow them. Last, everything is denied: else it would be allowed where Consul allows by default.
    """
    ordered = sorted(matches, key=msgspec.json.encode)
    anywhere, somewhere = (
        [{"Action": "allow", "HTTP": http(match)} for match in ordered if (match.path is None) is anywhere]
        for anywhere in (True, False)
    )
    guard = [{"Action": "deny", "HTTP": {"PathRegex": PATH_GUARD}}] if somewhere else []
    return [*anywhere, *guard, *somewhere, {"Action": "deny", "HTTP": EVERYTHING}]


def _service(source: str, trust_domain: str, form: Form) -> str | Objection:
    found = identity_of(source)
    if found is None or found.trust_domain != trust_domain:
        return _foreign(source)
    return form.service(found.namespace, found.service_account) or _nameless(str(found))


_UDP = Objection(
    "proto.udp-not-captured",
    "sidecars do not intercept UDP, so this UDP grant has no effect",
    "a datagram from a source of this TrafficTarget",
    "remove the UDPRoute, or allow the datagrams outside of the mesh",
)


def _labelled(labels: tuple[tuple[str, str], ...]) -> Objection:
    shown = short(", ".join(f"{key}={value}" for key, value in labels))
    message = f'an intention is for all instances of a service, so those with "{shown}" cannot have one of their own'
    remedy = "give these workloads a service account of their own"
    return Objection(LABELLED, message, f'a request to a workload with "{shown}"', remedy)


def _foreign(source: str) -> Objection:
    message = f'source "{short(source)}" is not a service account of this mesh, and no Consul service is it'
    remedy = "run the caller in this trust domain"
    return Objection("source.foreign-trust-domain", message, f'a request from "{short(source)}"', remedy)


def _nameless(account: str) -> Objection:
    message = f'by the template "names", no Consul service is the account "{short(account)}" and no other'
    remedy = 'use an account without dots, or another template ("names" in the settings of the mesh)'
    return Objection("source.no-consul-service", message, f'a request from "{short(account)}"', remedy)
