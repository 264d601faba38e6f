"""What two states of one identity both permit: a unit while its gains have to wait.

Pure. The result permits a request only if both do. It may permit less where two patterns overlap and neither contains the
other, for no pattern says their intersection; then neither is granted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import cast

from msgspec.structs import replace

from hub.model import Access, Declared, Grant, HttpMatch, InboundPort
from hub.permits import EVERYWHERE, Labels, Standing, counterparts
from hub.regex import HEADER, PATH, RegexRefusedError, Universe, excess, language

Ports = tuple[int, ...] | None
_Where = tuple[Ports, Labels | None]


def meet(states: Iterable[Standing], after: Access) -> Access:
    """The unit `after`, its grants and declared ports cut down to what each of these states permits as well."""
    for state in states:
        after = _meet(state, after)
    return after


def _meet(before: Standing, after: Access) -> Access:
    return replace(
        after,
        grants=tuple(one for grant in after.grants for one in _kept(before.grants, grant)),
        ports=_ports(before, after),
        sliced=tuple(sorted({*before.sliced, *after.sliced})),
        beyond=tuple(sorted({*before.beyond, *after.beyond})),
    )


# --------------------------------------------------------------------------- grants


def _kept(before: Sequence[Grant], grant: Grant) -> Iterator[Grant]:
    """What is left of a grant, as few grants of the same origin."""
    pieces: dict[tuple[str, _Where], set[HttpMatch | None]] = {}
    rivals = [one for one in before if one.transport == grant.transport and (one.http is None) == (grant.http is None)]
    for source in grant.sources:
        for match in grant.http or (None,):
            for where, what in _shared(source, match, grant, rivals):
                pieces.setdefault((source, where), set()).add(what)
    merged: dict[tuple[_Where, tuple[HttpMatch | None, ...]], list[str]] = {}
    for (source, where), found in pieces.items():
        merged.setdefault((where, tuple(sorted(found, key=repr))), []).append(source)
    for ((ports, labels), matches), sources in sorted(merged.items(), key=repr):
        http = None if grant.http is None else cast("tuple[HttpMatch, ...]", matches)
        yield replace(grant, sources=tuple(sorted(sources)), ports=ports, labels=labels, http=http)


def _shared(
    source: str, match: HttpMatch | None, grant: Grant, rivals: Iterable[Grant]
) -> list[tuple[_Where, HttpMatch | None]]:
    """Where, and as what, one match of one source was granted before; the whole of it alone, if one grant had that."""
    whole: _Where = (grant.ports, grant.labels)
    found = []
    for rival in rivals:
        where = _where(grant, rival)
        if source not in rival.sources or where is None:
            continue
        for known in rival.http or (None,):
            both = match if known == match else _both(known, match)
            if known is None or both is not None:
                found.append((where, both))
    return [(whole, match)] if (whole, match) in found else found


def _where(one: Grant, other: Grant) -> _Where | None:
    """The ports and labels of both; None if no workload has both, or no selector says so."""
    ports = one.ports if other.ports is None else other.ports
    if one.ports is not None and other.ports is not None:
        ports = tuple(sorted({*one.ports} & {*other.ports}))
    if ports == ():
        return None
    mine, theirs = one.labels, other.labels
    if theirs is None or (mine is not None and {*theirs} <= {*mine}):
        return ports, mine
    if mine is None or {*mine} <= {*theirs}:
        return ports, theirs
    return None


@lru_cache(maxsize=4096)
def _both(one: HttpMatch | None, other: HttpMatch | None) -> HttpMatch | None:
    """A match of what both admit; None if there is nothing, or no pattern says it."""
    if one is None or other is None:
        return None
    methods = one.methods if other.methods is None else other.methods
    if one.methods is not None and other.methods is not None:
        methods = tuple(sorted({*one.methods} & {*other.methods}))
    headers = _headers(dict(one.headers), dict(other.headers))
    paths = [path for path in (one.path, other.path) if path is not None]
    path = _smaller(paths[0], paths[-1], PATH) if paths else None
    if methods == () or headers is None or (paths and path is None):
        return None
    return HttpMatch(path, methods, headers)


def _headers(one: dict[str, str], other: dict[str, str]) -> tuple[tuple[str, str], ...] | None:
    found: dict[str, str] = {**one, **other}
    for name in one.keys() & other.keys():
        smaller = _smaller(one[name], other[name], HEADER)
        if smaller is None:
            return None
        found[name] = smaller
    return tuple(sorted(found.items()))


def _smaller(one: str, other: str, universe: Universe) -> str | None:
    """The pattern that the other one contains; None if neither does, or it is too much to tell."""
    if one == other:
        return one
    try:
        first, second = language(one, universe), language(other, universe)
        if excess(first, second) is None:
            return one
        return other if excess(second, first) is None else None
    except RegexRefusedError:
        return None


# --------------------------------------------------------------------------- ports


def _ports(before: Standing, after: Access) -> tuple[InboundPort, ...]:
    """The ports as they are now, declared as far as both agree; Pods keep those that no fact names any more.

    Otherwise a grant on every port would reach a port that was barred, because what barred it cannot be read.
    """
    now = tuple(_port(before, port) for port in after.ports)
    known = {(port.port, port.transport) for port in now if EVERYWHERE in port.binds}
    gone = (port for port in before.ports if EVERYWHERE in port.binds and (port.port, port.transport) not in known)
    return tuple(sorted((*now, *(replace(port, binds=(EVERYWHERE,)) for port in gone))))


def _port(before: Standing, port: InboundPort) -> InboundPort:
    for bind in port.binds:
        found = counterparts(before, port, bind)
        if found is not None:
            port = _narrower(port, found)
    return port


def _narrower(port: InboundPort, found: Sequence[InboundPort]) -> InboundPort:
    declared: Declared = port.declared if found else "unknown"
    labels = set(port.labels)
    for one in found:
        declared = _agreed(declared, one.declared)
        labels &= set(one.labels)
    return replace(
        port,
        declared=declared,
        labels=tuple(sorted(labels)),
        everywhere=port.everywhere and all(one.everywhere for one in found),
        services=tuple(sorted({*port.services, *(service for one in found for service in one.services)})),
    )


def _agreed(one: Declared, other: Declared) -> Declared:
    """What is granted on a port under both declarations: nothing is granted where they contradict each other."""
    if other in (one, "none"):
        return one
    return other if one == "none" else "unknown"
