"""Which features an object of SMI asks of a mesh, told from the unit that it became a part of."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hub.features import Feature
from hub.model import Access, Grant, ObjectRef, Route, RoutePort, Split, Unit

_ACCOUNT = re.compile(r"spiffe://([^/]+)/ns/[^/]+/sa/[^/]+")


def asked_by(unit: Unit, origin: ObjectRef) -> frozenset[Feature]:
    """The features that a TrafficTarget or TrafficSplit needs in this unit; none of any other object."""
    if isinstance(unit, Access):
        domain = unit.identity.trust_domain
        return frozenset(each for grant in unit.grants if grant.origin == origin for each in _of_grant(grant, domain))
    if isinstance(unit, Route):
        found = ((port, split) for port in unit.ports for split in port.splits if split.origin == origin)
        return frozenset(each for port, split in found for each in _of_split(port, split))
    return frozenset()


def _of_grant(grant: Grant, domain: str) -> Iterator[Feature]:
    if grant.transport == "UDP":
        yield Feature.ACCESS_UDP
    elif grant.http is None:
        yield Feature.ACCESS_TCP
    elif grant.ports is not None:
        yield Feature.ACCESS_HTTP_PORT
    if grant.labels is not None:
        yield Feature.ACCESS_LABEL_DESTINATION
    if grant.unauthenticated:
        yield Feature.ACCESS_LABEL_SOURCE
    if not all((found := _ACCOUNT.fullmatch(source)) and found[1] == domain for source in grant.sources):
        yield Feature.ACCESS_SPIFFE_SOURCE
    for match in grant.http or ():
        yield from (Feature.ACCESS_HTTP_PATH,) if match.path is not None else ()
        yield from (Feature.ACCESS_HTTP_METHOD,) if match.methods is not None else ()
        yield from (Feature.ACCESS_HTTP_HEADER,) if match.headers else ()


def _of_split(port: RoutePort, split: Split) -> Iterator[Feature]:
    if port.transport == "UDP":
        yield Feature.SPLIT_UDP
        return
    yield Feature.SPLIT_TCP if port.declared == "tcp" else Feature.SPLIT_HTTP
    if split.matches is not None:
        yield Feature.SPLIT_MATCHES
