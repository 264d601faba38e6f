"""Grants as claims: who may send which requests, as far as Linkerd can say it, whatever the port.

Source: https://linkerd.io/2-edge/reference/authorization-policy/, MeshTLSAuthentication: callers are service accounts of this
mesh; linkerd2 builds the name in the certificate from them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from msgspec import Struct
from msgspec.structs import replace

from adapters.linkerd.translate.losses import LABELLED, headers_refused, nonstandard_method
from adapters.linkerd.translate.patterns import (
    CHEAP_STEPS,
    MAX_STEPS,
    Pattern,
    any_path,
    granted_path,
    header_value,
)
from adapters.linkerd.vocabulary import METHODS
from hub.api import Grant, HttpMatch, Identity, Objection, identity_of, labels_unproven, short

UNIT_STEPS = 600_000
"""Steps of the engine that the patterns of one unit may take together; each of the rest then has to be cheap."""
_LABEL = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_NAMESPACE = re.compile(rf"(?=.{{1,63}}\Z){_LABEL}")
_ACCOUNT = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")

Callers = frozenset[Identity]
NODES = Identity("", "", "")
"""Among callers: whoever calls from the networks of probes, with no proof of who it is."""
Expressed = tuple[Pattern, tuple[tuple[str, str], ...]]


class Claim(Struct, frozen=True, gc=False):
    """One match of a grant (None: any request, by a raw grant) as a route says it, and who may send such requests."""

    grant: Grant
    match: HttpMatch | None
    callers: Callers
    path: Pattern
    methods: frozenset[str] | None = None
    headers: frozenset[tuple[str, str]] = frozenset()


class LoweredGrant(Struct, frozen=True, gc=False):
    """What Linkerd carries of a grant: its callers, its claims (raw bytes have none), and what is lost."""

    grant: Grant
    callers: Callers = frozenset()
    claims: tuple[Claim, ...] = ()
    objections: tuple[Objection, ...] = ()


def lower_grants(grants: Iterable[Grant], trust_domain: str) -> tuple[LoweredGrant, ...]:
    """Every grant as far as Linkerd can say it."""
    grants = tuple(grants)
    words = _Words(match for grant in grants for match in grant.http or ())
    return tuple(_lower(grant, trust_domain, words) for grant in grants)


def any_request(grant: Grant, callers: Callers) -> Claim:
    """The HTTP requests among raw bytes."""
    return Claim(grant, None, callers, any_path())


def _lower(grant: Grant, trust_domain: str, words: _Words) -> LoweredGrant:
    if grant.transport == "UDP":
        return LoweredGrant(grant, objections=(_UDP,))
    if grant.labels:
        return LoweredGrant(grant, objections=(_labelled(grant.labels),))
    callers, found = _callers(grant, trust_domain)
    claims: list[Claim] = []
    for match in grant.http or ():
        claim, lost = words.claim(grant, match, callers)
        claims += [claim] if claim is not None and callers else []
        found |= lost
    return LoweredGrant(grant, callers, tuple(claims), tuple(sorted(found)))


def _callers(grant: Grant, trust_domain: str) -> tuple[Callers, set[Objection]]:
    found = {source: identity_of(source) for source in grant.sources}
    known = {source: one for source, one in found.items() if one is not None and _is_account(one, trust_domain)}
    lost = {_foreign(source) for source in found.keys() - known.keys()}
    lost.update(labels_unproven(text) for text in grant.unauthenticated)
    return frozenset(known.values()), lost


def _is_account(one: Identity, trust_domain: str) -> bool:
    names = _NAMESPACE.fullmatch(one.namespace) and _ACCOUNT.fullmatch(one.service_account)
    return one.trust_domain == trust_domain and names is not None


class _Words:
    """The patterns of one unit, in an order of their own: which of them take too much does not depend on other objects."""

    def __init__(self, matches: Iterable[HttpMatch]) -> None:
        asked = {pair for match in matches for pair in _patterns(match)}
        self._found: dict[tuple[str, str], Pattern | Objection] = {}
        left = UNIT_STEPS
        for name, pattern in sorted(asked):
            limit = MAX_STEPS if left > 0 else CHEAP_STEPS
            found, spent = header_value(name, pattern, limit) if name else granted_path(pattern, limit)
            self._found[name, pattern] = found
            left -= spent

    def claim(self, grant: Grant, match: HttpMatch, callers: Callers) -> tuple[Claim | None, set[Objection]]:
        """A match as a route says it (None: not at all), and what is lost of it."""
        found = [(name, self._found[name, pattern]) for name, pattern in _patterns(match)]
        lost = {one for _, one in found if isinstance(one, Objection)}
        headers = frozenset((name, one.words[0]) for name, one in found if name and isinstance(one, Pattern))
        refused = headers_refused(headers)
        lost |= {refused} if refused is not None else set()
        unknown = set(match.methods or ()) - METHODS
        methods = None if match.methods is None else frozenset(match.methods) - unknown
        usable = not lost and methods != frozenset()
        lost |= {nonstandard_method(method) for method in unknown}
        path = next((one for name, one in found if not name and isinstance(one, Pattern)), any_path())
        said = match if methods is None else replace(match, methods=tuple(sorted(methods)))
        return (Claim(grant, said, callers, path, methods, headers) if usable else None), lost


def _patterns(match: HttpMatch) -> Iterator[tuple[str, str]]:
    if match.path is not None:
        yield "", match.path
    yield from match.headers


_UDP = Objection(
    "proto.udp-not-captured",
    "proxies do not intercept UDP, so this UDP grant has no effect",
    "a datagram from a source of this TrafficTarget",
    "remove the UDPRoute, or allow the datagrams outside of the mesh",
)


def _labelled(labels: tuple[tuple[str, str], ...]) -> Objection:
    shown = short(", ".join(f"{key}={value}" for key, value in labels))
    message = (
        f'of several Servers for one port Linkerd takes the oldest, so Pods with "{shown}" cannot have one of their own'
    )
    remedy = "give these Pods a service account of their own"
    return Objection(LABELLED, message, f'a request to a Pod with "{shown}"', remedy)


def _foreign(source: str) -> Objection:
    message = f'source "{short(source)}" is not a service account of this mesh, and Linkerd authenticates no others'
    return Objection(
        "source.foreign-trust-domain",
        message,
        f'a request from "{short(source)}"',
        "run the caller in this trust domain",
    )
