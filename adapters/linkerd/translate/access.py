"""One Access unit: a denying Server for each port, and routes and policies for what is granted there.

Source: https://linkerd.io/2-edge/reference/authorization-policy/. Observed on Linkerd edge-26.8: a policy for a Server counts
on each of its routes as well, so callers of raw bytes may send any request; a port without a Server is under the default policy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from adapters.linkerd.config import LinkerdConfig, Probe
from adapters.linkerd.translate.cells import Lost, Routes, routes_of
from adapters.linkerd.translate.grants import Callers, Claim, LoweredGrant, any_request, lower_grants
from adapters.linkerd.translate.inbound import objects_of_port
from adapters.linkerd.translate.losses import access_loss
from adapters.linkerd.translate.ports import ServedPort, counts, is_meant, ports_lost, served_ports
from adapters.linkerd.translate.probes import is_possible, opened, origin_of, probe_claims, probes_of, refused
from adapters.linkerd.translate.shares import MAX_MATCHES, MAX_ROUTES, shared_out
from hub.api import Access, Grant, HttpMatch, Identity, Loss, Objection, Translation

MAX_CALLERS = 4000
"""Most service accounts that may call one account: all of them may have to stand in one object."""


class _GrantedPort(Struct, frozen=True, gc=False):
    """What is granted on one port: raw bytes to these callers, requests by these routes; and what is lost of it.

    `probes` are opened besides.
    """

    served: ServedPort
    raw: Callers
    routes: Routes
    lost: Lost
    probes: tuple[Probe, ...] = ()

    def carried(self, one: LoweredGrant) -> tuple[HttpMatch, ...] | None:
        """The matches of a grant that are written here; for raw bytes none, and None where nothing of it is."""
        if not is_meant(one.grant, self.served) or not counts(one.grant, self.served):
            return None
        if one.grant.http is None:
            return ()
        kept = (claim.match for claim in one.claims if (one.grant, claim.match) not in self.lost)
        matches = {match for match in kept if match is not None}
        return tuple(sorted(matches, key=msgspec.json.encode)) or None


def translate_access(access: Access, config: LinkerdConfig) -> Translation:
    """The objects of one identity and what Linkerd cannot say of its grants."""
    lowered = _within_limit(lower_grants(access.grants, access.identity.trust_domain))
    probes = probes_of(access.identity, config)
    served = served_ports(access, (probe.port for probe in probes))
    ports = [_granted(port, lowered, probe_claims(access.identity, probes, port)) for port in served]
    made = {
        native.ref: native
        for port in ports
        for native in objects_of_port(access.identity, port.served, port.raw, port.routes, config)
    }
    carried = {grant for one in lowered for grant in _carried(one, ports)}
    return Translation(
        tuple(made[ref] for ref in sorted(made)),
        tuple(sorted(_losses(lowered, ports) | _of_probes(access.identity, probes, ports, config))),
        carried=tuple(sorted(carried, key=msgspec.json.encode)),
    )


def _within_limit(lowered: tuple[LoweredGrant, ...]) -> tuple[LoweredGrant, ...]:
    # All grants or none: which ones fit must not depend on the order of TrafficTargets.
    if len({caller for one in lowered for caller in one.callers}) <= MAX_CALLERS:
        return lowered
    return tuple(LoweredGrant(one.grant, objections=(*one.objections, _TOO_MANY_CALLERS)) for one in lowered)


def _granted(port: ServedPort, lowered: Sequence[LoweredGrant], probes: Mapping[Claim, Probe]) -> _GrantedPort:
    """Callers of raw bytes may send any request; where there are routes, these must say so, as the rest gets 404."""
    here = [one for one in lowered if is_meant(one.grant, port) and counts(one.grant, port)]
    raw = frozenset(caller for one in here if one.grant.http is None for caller in one.callers)
    claims = [
        replace(claim, callers=claim.callers - raw) for one in here for claim in one.claims if claim.callers - raw
    ]
    claims += probes
    if claims:
        claims += [any_request(one.grant, one.callers) for one in here if one.grant.http is None and one.callers]
    routes, lost = routes_of(tuple(claims))
    if all(shared_out(matches) is not None for matches in routes.values()):
        written = (probe for claim, probe in probes.items() if (claim.grant, claim.match) not in lost)
        return _GrantedPort(port, raw, routes, lost, tuple(written))
    everything = {(claim.grant, claim.match): _TOO_MANY_MATCHES for claim in claims}
    return _GrantedPort(port, raw, {}, lost | everything)


def _losses(lowered: Iterable[LoweredGrant], ports: Sequence[_GrantedPort]) -> set[Loss]:
    found = {access_loss(objection, one.grant.origin) for one in lowered for objection in one.objections}
    served = [port.served for port in ports]
    for one in lowered:
        if one.callers:
            found |= {access_loss(objection, one.grant.origin) for objection in ports_lost(one.grant, served)}
    for port in ports:
        # Without any route left, callers of raw bytes can send every request as before.
        lost = ((grant, objection) for (grant, match), objection in port.lost.items() if match is not None)
        found |= {access_loss(objection, grant.origin) for grant, objection in lost}
    return found


def _of_probes(
    account: Identity, probes: Iterable[Probe], ports: Sequence[_GrantedPort], config: LinkerdConfig
) -> set[Loss]:
    """What is opened, and what of it could not be because its port is none of HTTP."""
    networks = () if config.probes is None else config.probes.networks
    told = [opened(port.probes, networks) for port in ports if port.probes]
    told += [refused(probe) for probe in probes if not any(is_possible(account, probe, one.served) for one in ports)]
    return {access_loss(each, origin_of(account)) for each in told}


def _carried(one: LoweredGrant, ports: Sequence[_GrantedPort]) -> Iterator[Grant]:
    """The grant as far as it is written: one for each group of ports on which equal matches are."""
    if not one.callers or (one.grant.http is not None and not one.claims):
        return
    sources = tuple(sorted(caller.spiffe for caller in one.callers))
    meant = [port for port in ports if is_meant(one.grant, port.served)]
    said = {port.served.number: port.carried(one) for port in meant}
    whole = {claim.match for claim in one.claims if claim.match is not None}
    every = None if one.grant.http is None else tuple(sorted(whole, key=msgspec.json.encode))
    if said and set(said.values()) == {None}:
        return
    if one.grant.ports is None and set(said.values()) <= {None, every or ()}:
        barred = {*one.grant.not_ports, *(number for number, matches in said.items() if matches is None)}
        yield replace(one.grant, sources=sources, http=every, not_ports=tuple(sorted(barred)))
        return
    for matches in {found for found in said.values() if found is not None}:
        ports_of = tuple(sorted(number for number, found in said.items() if found == matches))
        http = None if one.grant.http is None else matches
        yield replace(one.grant, sources=sources, ports=ports_of, not_ports=(), http=http)


_TOO_MANY_CALLERS = Objection(
    "limit.exceeded",
    f"more than {MAX_CALLERS} service accounts may call this one, so none of the grants to it is written",
    "any request that this TrafficTarget allows",
    "share service accounts between callers",
)
_TOO_MANY_MATCHES = Objection(
    "limit.exceeded",
    f"the matches on one port need more than {MAX_ROUTES} routes of {MAX_MATCHES} matches, so none of them is written",
    "any request that this TrafficTarget allows",
    "combine matches in one pattern",
)
