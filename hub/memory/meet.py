"""What two states of one identity both permit: a unit while its gains have to wait.

Pure. The result permits a request only if both do. It may permit less where two patterns overlap and neither contains the
other, for no pattern says their intersection; then neither is granted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache

from msgspec import Struct
from msgspec.structs import replace

from hub.memory.opened import without_gains
from hub.memory.permits import EVERYWHERE, Labels, Standing, carried, counterparts, selectors
from hub.model import Access, Declared, Grant, HttpMatch, InboundPort
from hub.regex import HEADER, TARGET, RegexRefusedError, Universe, excess, language

Ports = tuple[int, ...] | None
_Where = tuple[Ports, Labels | None, Ports]
"""Ports, labels, and which ports are left out of all of them (None: none is)."""


def meet(states: Iterable[Standing], after: Access) -> Access:
    """The unit `after`, its grants and declared ports cut down to what each of these states permits as well."""
    # Each state that may stand: what is left is permitted under all of them, so nobody gains whichever it was.
    states, wanted = tuple(states), after
    for state in states:
        after = _meet(state, after)
    after = without_gains(states, after, wanted)
    for state in states:
        after = replace(after, ports=_barred(state, after))
    return after


def _meet(before: Standing, after: Access) -> Access:
    return replace(
        after,
        grants=tuple(one for grant in after.grants for one in _kept(before, after, grant)),
        ports=_ports(before, after),
        sliced=tuple(sorted({*before.sliced, *after.sliced})),
        beyond=tuple(sorted({*before.beyond, *after.beyond})),
    )


# --------------------------------------------------------------------------- grants


def _kept(before: Standing, after: Access, grant: Grant) -> Iterator[Grant]:
    """What is left of a grant, as few grants of the same origin."""
    pieces: dict[tuple[str, _Where], set[HttpMatch | None]] = {}
    earlier = [_EarlierGrant(one, _where(before, after, grant, one)) for one in before.grants]
    for source in grant.sources:
        near = [former for former in earlier if former.where is not None and source in former.grant.sources]
        for match in grant.http or (None,):
            for where, what in _shared(match, (grant.ports, grant.labels, grant.not_ports or None), near):
                pieces.setdefault((source, where), set()).add(what)
    # Sources with the same rest share one grant again: one grant per source would multiply the native objects.
    merged: dict[tuple[_Where, tuple[HttpMatch | None, ...]], list[str]] = {}
    for (source, where), found in pieces.items():
        merged.setdefault((where, tuple(sorted(found, key=repr))), []).append(source)
    for ((ports, labels, left_out), matches), sources in sorted(merged.items(), key=repr):
        raw, http = None in matches, tuple(match for match in matches if match is not None)
        kept = replace(grant, sources=tuple(sorted(sources)), ports=ports, labels=labels, not_ports=left_out or ())
        yield from (replace(kept, http=each) for each in ((None,) if raw else ()) + ((http,) if http else ()))


class _EarlierGrant(Struct, frozen=True):
    """A grant of before, and where it and the one of now both hold (None: nowhere)."""

    grant: Grant
    where: _Where | None


def _shared(
    match: HttpMatch | None, whole: _Where, earlier: Iterable[_EarlierGrant]
) -> list[tuple[_Where, HttpMatch | None]]:
    """Where, and as what, one match was granted before; the whole of it alone, if one grant had that. Raw bytes may be anything."""
    found: list[tuple[_Where, HttpMatch | None]] = []
    for former in earlier:
        for known in former.grant.http or (None,):
            if match is None or known is None:  # raw bytes may be any request, so the narrower of the two is the match
                both, some = match or known, True
            else:
                both = _both(known, match)
                some = both is not None
            if some and former.where is not None:
                found.append((former.where, both))
    return [(whole, match)] if (whole, match) in found else found


def _where(before: Standing, after: Access, grant: Grant, former: Grant) -> _Where | None:
    """The ports and labels of two grants; None if no workload has both, or no selector says so."""
    if grant.transport != former.transport:
        return None
    ports = grant.ports if former.ports is None else former.ports
    if grant.ports is not None and former.ports is not None:
        ports = tuple(sorted({*grant.ports} & {*former.ports}))
    # One grants raw bytes and the other HTTP: on a port that is known to speak HTTP the raw one never counted.
    if (grant.http is None) != (former.http is None):
        ports = _open_to_raw(ports, after.ports if grant.http is None else before.ports, (*before.ports, *after.ports))
    left_out = tuple(sorted({*grant.not_ports, *former.not_ports})) or None
    if ports is not None:
        ports, left_out = tuple(port for port in ports if port not in (left_out or ())), None
    if ports == ():
        return None
    # Two selectors hold together only where both do, and that is a selector only if one contains the other.
    mine, theirs = grant.labels, former.labels
    if theirs is None or (mine is not None and {*theirs} <= {*mine}):
        return ports, mine, left_out
    if mine is None or {*mine} <= {*theirs}:
        return ports, theirs, left_out
    return None


def _open_to_raw(ports: Ports, facts: Iterable[InboundPort], known: Iterable[InboundPort]) -> Ports:
    """Those of the ports on which a grant of raw bytes counts, by these facts; of all ports those that are known, if need be."""
    barred = {port.port for port in facts if port.declared not in {"tcp", "none"}}
    if ports is None:
        return tuple(sorted({port.port for port in known} - barred)) if barred else None
    return tuple(port for port in ports if port not in barred)


@lru_cache(maxsize=4096)
def _both(one: HttpMatch, other: HttpMatch) -> HttpMatch | None:
    """A match of what both admit; None if there is nothing, or no pattern says it."""
    methods = one.methods if other.methods is None else other.methods
    if one.methods is not None and other.methods is not None:
        methods = tuple(sorted({*one.methods} & {*other.methods}))
    headers = _headers(one, other)
    paths = [path for path in (one.path, other.path) if path is not None]
    path = _smaller(paths[0], paths[-1], TARGET) if paths else None
    # Without a pattern for the intersection nothing is granted: narrower than either is safe, wider is not.
    if methods == () or headers is None or (paths and path is None):
        return None
    return HttpMatch(path, methods, headers)


def _headers(one: HttpMatch, other: HttpMatch) -> tuple[tuple[str, str], ...] | None:
    """Conditions that say what both do."""
    mine, theirs = _by_name(one), _by_name(other)
    found = {**mine, **theirs}
    for name in mine.keys() & theirs.keys():
        both = _both_of_name(mine[name], theirs[name])
        if both is None:
            return None
        found[name] = both
    return tuple(sorted((name, pattern) for name, patterns in found.items() for pattern in patterns))


def _by_name(match: HttpMatch) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for name, pattern in match.headers:
        found[name] = found.get(name, frozenset()) | {pattern}
    return found


def _both_of_name(one: frozenset[str], other: frozenset[str]) -> frozenset[str] | None:
    """The patterns for one header; None if they do not say it. Each of several may be met by another line."""
    if one <= other or other <= one:
        return one | other
    if len(one) == len(other) == 1:
        (mine,), (theirs,) = one, other
        smaller = _smaller(mine, theirs, HEADER)
        return None if smaller is None else frozenset((smaller,))
    return None


def _smaller(one: str, other: str, universe: Universe) -> str | None:
    """The pattern that the other one contains; None if neither does, or it is too much to tell."""
    if one == other:
        return one
    try:
        first, second = language(one, universe), language(other, universe)
        if excess(first, second) is None:
            return one
        return other if excess(second, first) is None else None
    # Too large to compare within the limit: taken as not comparable, so nothing is granted. That is the safe side.
    except RegexRefusedError:
        return None


# --------------------------------------------------------------------------- ports


def _ports(before: Standing, after: Access) -> tuple[InboundPort, ...]:
    """The ports as they are now, declared as far as both agree."""
    old, new = selectors(before.grants), selectors(after.grants)
    then = _complete(before, after)
    return tuple(sorted(_port(then, port, _with_all_selectors(port, old | new, new)) for port in after.ports))


def _barred(before: Standing, after: Access) -> tuple[InboundPort, ...]:
    """The ports with what barred Pods before.

    A mesh that selects Pods itself grants on every port of theirs that no fact bars. So the facts of both states bar, or a
    grant on every port would reach one that was barred, because what barred it cannot be read.
    """
    now = list(after.ports)
    # Only ports of Pods: a Workload receives where it lists a
    # port, so what it no longer lists cannot be reached at all.
    for port in _complete(before, after).ports:
        if EVERYWHERE in port.binds:
            _bar(now, port)
    return tuple(sorted(now))


def _complete(before: Standing, after: Access) -> Standing:
    """The state of before, its ports with the selectors of both."""
    old = selectors(before.grants)
    every = old | selectors(after.grants)
    return replace(before, ports=tuple(_with_all_selectors(port, every, old) for port in before.ports))


def _with_all_selectors(port: InboundPort, every: Collection[Labels], known: Collection[Labels]) -> InboundPort:
    """The port with all selectors that its workloads satisfy, where it tells of the `known` ones alone.

    Grants by the others were not there: whoever satisfied what they ask beside had all of what was granted.
    """
    surely = {each for each in every if all(part in port.labels for part in known if {*part} <= {*each})}
    return replace(port, labels=tuple(sorted(surely)), maybe_labels=tuple(sorted({*port.maybe_labels} - surely)))


def _port(then: Standing, port: InboundPort, complete: InboundPort) -> InboundPort:
    """The port of now, cut down for each place where it is received on to what both states say there."""
    narrow, labels = complete, {*complete.labels}
    for bind in port.binds:
        found = _known(then, complete, bind)
        surely = {*port.labels} | _satisfied_by_all(then, port, bind)
        labels = labels.intersection(surely, *(one.labels for one in found or ()))
        narrow = narrow if found is None else _narrower(narrow, found)
    return replace(narrow, labels=tuple(sorted(labels)), maybe_labels=_others(complete, labels))


def _known(then: Standing, port: InboundPort, bind: str) -> tuple[InboundPort, ...] | None:
    """The facts of before about a place; where no fact named it, and what it speaks was unknown, one that says so."""
    found = counterparts(then, port, bind)
    return (replace(port, declared="unknown"),) if found is None and "unknown" in then.beyond else found


def _satisfied_by_all(then: Standing, port: InboundPort, bind: str) -> frozenset[Labels]:
    """The selectors that everybody satisfied who may be a receiver of this place now: of those at one address none is told apart."""
    here = [one for one in then.ports if (one.port, one.transport) == (port.port, port.transport) and bind in one.binds]
    if not here or (bind == EVERYWHERE and not any(one.everywhere for one in here)):
        return frozenset()
    return frozenset(here[0].labels).intersection(*(one.labels for one in here))


def _narrower(port: InboundPort, found: Sequence[InboundPort]) -> InboundPort:
    declared: Declared = port.declared if found else "unknown"
    for one in found:
        declared = _agreed(declared, one.declared)
    return replace(
        port,
        declared=declared,
        everywhere=port.everywhere and all(one.everywhere for one in found),
        services=tuple(sorted({*port.services, *(service for one in found for service in one.services)})),
    )


def _others(port: InboundPort, labels: Collection[Labels]) -> tuple[Labels, ...]:
    return tuple(sorted({*carried(port)} - {*labels}))


def _bar(now: list[InboundPort], port: InboundPort) -> None:
    """Add what a port of Pods barred before: to the one that declares the same now, or as one that no workload has any more."""
    place = _place(now, port)
    if place is None:
        now.append(replace(port, binds=(EVERYWHERE,), labels=(), maybe_labels=_others(port, ()), everywhere=False))
        return
    one = now[place]
    now[place] = replace(
        one,
        declared=one.declared if port.declared == "none" else _agreed(one.declared, port.declared),
        binds=tuple(sorted({*one.binds, EVERYWHERE})),
        maybe_labels=tuple(sorted({*carried(port), *one.maybe_labels} - {*one.labels})),
        services=tuple(sorted({*one.services, *port.services})),
    )


def _place(now: Sequence[InboundPort], port: InboundPort) -> int | None:
    """Which port of now bars what this one does, or has its name (no two may share one)."""
    here = {place: one for place, one in enumerate(now) if (one.port, one.transport) == (port.port, port.transport)}
    named = [place for place, one in here.items() if one.variant == port.variant]
    alike = [place for place, one in here.items() if EVERYWHERE in one.binds and one.declared == port.declared]
    nothing = [place for place, one in here.items() if EVERYWHERE in one.binds and port.declared == "none"]
    return next(iter((*alike, *named, *nothing)), None)


def _agreed(one: Declared, other: Declared) -> Declared:
    """What is granted on a port under both declarations: nothing is granted where they contradict each other."""
    if other in (one, "none"):
        return one
    return other if one == "none" else "unknown"
