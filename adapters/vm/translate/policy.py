"""RBAC: the grants that hold on one port, as policies of Envoy.

Grants of equal sources share a policy, named after the TrafficTargets behind it, so that an answer can name them.
Source: Envoy API, config.rbac.v3 (ALLOW without a matching policy denies; unset rules enforce nothing).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from adapters.vm import wire
from adapters.vm.translate.build import principal
from adapters.vm.translate.match import objections, permission
from hub.api import Access, Grant, HttpMatch, InboundPort, Loss, Objection, ObjectRef, UnsafeResourceError

_NAMED = 3
MAX_PERMISSIONS = 20_000
"""Most matches of all grants to one account together: they stand in each HTTP listener of its workloads, some 5 MB of them."""
Judged = Sequence[tuple[HttpMatch, tuple[Objection, ...]]]
"""The matches of a grant, each with what Envoys cannot carry of it."""


class LoweredGrant(Struct, frozen=True):
    """A TCP grant as far as certificates and Envoy carry it: its sources, and its HTTP permissions (None: raw bytes).

    `matches` are those that the permissions say.
    """

    grant: Grant
    sources: tuple[str, ...]
    permissions: tuple[bytes, ...] | None
    matches: tuple[HttpMatch, ...] | None = None

    @property
    def carried(self) -> Grant | None:
        """The grant without what is lost of it; None if nothing is left."""
        if not self.sources or self.matches == ():
            return None
        return replace(self.grant, sources=self.sources, http=self.matches)


def lower_grants(access: Access) -> tuple[tuple[LoweredGrant, ...], tuple[Loss, ...]]:
    """What the grants of a unit come to on the VM mesh, and what of them is lost whatever the port."""
    trust_domain = access.identity.trust_domain
    if sum(len(grant.http or ()) for grant in access.grants) > MAX_PERMISSIONS:
        # All or none: which ones fit must not depend on the order of TrafficTargets.
        full = tuple(loss_of(_FULL, grant.origin) for grant in access.grants if grant.http is not None)
        none = tuple(grant if grant.http is None else replace(grant, http=()) for grant in access.grants)
        left, others = lower_grants(replace(access, grants=none))
        return left, (*others, *full)
    judged = [(grant, tuple((match, objections(match)) for match in grant.http or ())) for grant in access.grants]
    losses = [loss for grant, matches in judged for loss in _grant_losses(grant, matches, trust_domain)]
    lowered = [_lower_grant(grant, matches, trust_domain) for grant, matches in judged if grant.transport == "TCP"]
    return tuple(lowered), tuple(losses)


def grants_on_port(lowered: Iterable[LoweredGrant], port: InboundPort) -> tuple[LoweredGrant, ...]:
    """The grants that cover this port of these workloads; none where nobody knows what it speaks."""
    if port.declared == "unknown":
        return ()
    return tuple(one for one in lowered if _covers(one.grant, port))


def speaks_http(port: InboundPort, lowered: Sequence[LoweredGrant]) -> bool:
    """Whether a port is served as HTTP: it is declared so, or nothing is declared and a grant asks for HTTP."""
    if port.declared == "none":
        return any(one.permissions is not None for one in lowered)
    return port.declared == "http"


def http_rules(port: InboundPort, lowered: Sequence[LoweredGrant]) -> wire.RBAC:
    """The rules of an HTTP port. On a port that declares nothing, a raw grant allows every HTTP request."""
    every = (wire.pack(permission(None)),)
    raw = every if port.declared == "none" else ()
    return _rules([(one, raw if one.permissions is None else one.permissions) for one in lowered])


def tcp_rules(lowered: Sequence[LoweredGrant]) -> wire.RBAC:
    """The rules of a TCP port: raw grants only, any bytes."""
    every = (wire.pack(wire.Permission(any=True)),)
    return _rules([(one, every) for one in lowered if one.permissions is None])


def tcp_sources(lowered: Sequence[LoweredGrant]) -> tuple[str, ...]:
    """The SPIFFE ids that may open a connection to a TCP port, sorted."""
    return tuple(sorted({source for one in lowered if one.permissions is None for source in one.sources}))


def mixed_losses(port: InboundPort, lowered: Sequence[LoweredGrant]) -> tuple[Loss, ...]:
    """The raw bytes that an undeclared port refuses because another grant makes it HTTP."""
    if port.declared != "none":
        return ()
    message = f"port {port.port} declares no protocol, and another grant uses HTTP there, so everything that is not HTTP is refused"
    objection = Objection(
        "port.undeclared-mixed",
        message,
        f"a connection to port {port.port} that does not speak HTTP",
        'declare the port ("appProtocol") as http or tcp',
    )
    return tuple(loss_of(objection, one.grant.origin) for one in lowered if one.permissions is None)


def loss_of(objection: Objection, origin: ObjectRef) -> Loss:
    """The loss of a TrafficTarget."""
    field = "spec.sources" if objection.code.startswith("source.") else "spec.rules"
    return objection.loss(origin, field)


def _covers(grant: Grant, port: InboundPort) -> bool:
    if not grant.names(port.port):
        return False
    return grant.labels is None or grant.labels in port.labels


def _lower_grant(grant: Grant, matches: Judged, trust_domain: str) -> LoweredGrant:
    sources = tuple(sorted(source for source in set(grant.sources) if _is_ours(source, trust_domain)))
    if grant.http is None:
        return LoweredGrant(grant, sources, None)
    # () is no method at all (None is any); Envoy has no words for that, so the match is left out.
    expressible = [match for match, refused in matches if match.methods != () and not refused]
    permissions = tuple(sorted({_packed(match) for match in expressible}))
    return LoweredGrant(grant, sources, permissions, tuple(sorted(expressible, key=msgspec.json.encode)))


@lru_cache(maxsize=8192)
def _packed(match: HttpMatch) -> bytes:
    return wire.pack(permission(match))


def _is_ours(spiffe: str, trust_domain: str) -> bool:
    return spiffe.startswith(f"spiffe://{trust_domain}/")


def _grant_losses(grant: Grant, matches: Judged, trust_domain: str) -> Iterable[Loss]:
    if grant.transport == "UDP":
        yield loss_of(_UDP, grant.origin)
        return
    found = {objection for _, refused in matches for objection in refused}
    found.update(_labels(text) for text in grant.unauthenticated)
    found.update(_foreign(source) for source in grant.sources if not _is_ours(source, trust_domain))
    yield from (loss_of(objection, grant.origin) for objection in sorted(found))


_UDP = Objection(
    "proto.udp-not-captured",
    "sidecars do not intercept UDP, so this UDP grant has no effect",
    "a datagram from a source of this TrafficTarget",
    "remove the UDPRoute, or allow the datagrams outside of the mesh",
)


_FULL = Objection(
    "limit.exceeded",
    f"the TrafficTargets for this account have more than {MAX_PERMISSIONS} matches together, so none of them is granted",
    "any HTTP request that this TrafficTarget allows",
    "use fewer and wider patterns, or share accounts",
)


def _labels(text: str) -> Objection:
    message = f'certificates do not contain the labels of source "{text}", so its workloads are refused'
    return Objection(
        "source.labels-unauthenticated", message, f'a request from "{text}"', "use a service account instead"
    )


def _foreign(spiffe: str) -> Objection:
    message = f'source "{spiffe}" is in a trust domain whose certificates this mesh does not accept'
    return Objection(
        "source.foreign-trust-domain", message, f'a request from "{spiffe}"', "run the caller in this trust domain"
    )


def _rules(allowed: Sequence[tuple[LoweredGrant, tuple[bytes, ...]]]) -> wire.RBAC:
    """Policies by source set; always set explicitly, because unset rules would let everybody in."""
    groups: dict[tuple[str, ...], tuple[set[bytes], set[ObjectRef]]] = {}
    for lowered_grant, permissions in allowed:
        # A policy without principals or permissions is refused by Envoy, and with it the whole resource.
        if not lowered_grant.sources or not permissions:
            continue
        known, origins = groups.setdefault(lowered_grant.sources, (set(), set()))
        known.update(permissions)
        origins.add(lowered_grant.grant.origin)
    policies = {
        name: _policy(sources, groups[sources][0])
        for sources, name in _names({sources: origins for sources, (_, origins) in groups.items()}).items()
    }
    return wire.RBAC(action=wire.RBAC.ALLOW, policies=policies)


def _policy(sources: tuple[str, ...], permissions: set[bytes]) -> wire.Policy:
    """One message after the other is their merged one (Protocol Buffers, "Encoding", Last One Wins): most parts are said often."""
    return wire.Policy.FromString(b"".join((*map(_permitting, sorted(permissions)), *map(_of_source, sources))))


@lru_cache(maxsize=8192)
def _permitting(body: bytes) -> bytes:
    return wire.pack(wire.Policy(permissions=[wire.Permission.FromString(body)]))


@lru_cache(maxsize=8192)
def _of_source(spiffe: str) -> bytes:
    return wire.pack(wire.Policy(principals=[principal(spiffe)]))


def _names(groups: Mapping[tuple[str, ...], set[ObjectRef]]) -> dict[tuple[str, ...], str]:
    """A name per source set: its TrafficTargets; a digest is added where that alone would be too long or not unique."""
    plain = {sources: sorted(f"{ref.namespace}/{ref.name}" for ref in origins) for sources, origins in groups.items()}
    texts = ["+".join(found) for found in plain.values()]
    named: dict[tuple[str, ...], str] = {}
    for sources in sorted(plain):
        text = "+".join(plain[sources])
        if len(plain[sources]) > _NAMED or texts.count(text) > 1:
            first = "+".join(plain[sources][:_NAMED])
            text = f"{first}~{hashlib.sha256(repr((sources, text)).encode()).hexdigest()[:32]}"
        named[sources] = text
    if len(set(named.values())) < len(named):  # one policy would take the other's place
        raise UnsafeResourceError(f"two policies of one port have the same name: {sorted(named.values())}; report this")
    return named
