"""Permits: who may send what to an identity, as values. Plans compare these; lines of text are only what people read.

Pure. A grant comes to a permit on every port of the identity where its protocol counts (docs/smi.md, 5.3): HTTP where HTTP
or nothing is declared, raw bytes where TCP or nothing is. So a change of what a port declares is a gain or a loss like any
other, and two permits are one only if all their fields are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from hub.memory.covering import covers
from hub.model import Access, Declared, Grant, HttpMatch, Identity, InboundPort, ObjectRef, Transport, identity_of

Labels = tuple[tuple[str, str], ...]
_MOST_COMPARED = 16
"""Where more matches than this changed, or stand beside, patterns are not compared: each that changed is a gain or a loss."""
_MOST_EXCEPTED = 3
"""Of what a permit excepts, so many are in its line."""
EVERYWHERE = "0.0.0.0"  # noqa: S104 - what an inbound port of Pods binds; the address is the Pod's own
_Atom = tuple[str, Transport, int | None, Labels | None, HttpMatch | None]
"""Source, transport, port (None: each that no fact names), labels, match (None: raw bytes)."""
_Place = tuple[str, Transport, int | None, Labels | None]
Body = tuple[str, Transport, Labels | None, HttpMatch | None]


class Permit(Struct, frozen=True, gc=False):
    """One source may send one thing to workloads of `receiver`.

    `ports` None = every port. `labels` None = every workload. `match` None = raw bytes. `origins` are the TrafficTargets
    that say so. `excepted` are narrower matches: in a gain what of it was permitted before, in a loss what of it stays.
    """

    receiver: Identity
    source: str
    transport: Transport
    ports: tuple[int, ...] | None
    labels: Labels | None
    match: HttpMatch | None
    origins: tuple[ObjectRef, ...] = ()
    excepted: tuple[HttpMatch, ...] = ()


class Standing(Struct, frozen=True, gc=False, omit_defaults=True):
    """What an Access unit means to a mesh: the grants that it carries out, and the facts that decide what they mean.

    `closed`: the identity has Workloads alone, which receive on the ports that they list, and on no other. `beyond` is what ports
    that no fact names declare (see Access; () is nothing).
    """

    grants: tuple[Grant, ...] = ()
    ports: tuple[InboundPort, ...] = ()
    sliced: tuple[tuple[int, int, Declared], ...] = ()
    closed: bool = False
    beyond: tuple[Declared, ...] = ()


NOTHING = Standing()


def standing(access: Access, grants: tuple[Grant, ...] | None = None) -> Standing:
    """What a unit means; `grants` are those that a mesh carries out (None: all of them)."""
    binds = {bind for port in access.ports for bind in port.binds}
    closed = bool(access.workloads) and bool(binds) and EVERYWHERE not in binds and not access.pods
    beyond = access.beyond if "unknown" in access.beyond else ()
    return Standing(access.grants if grants is None else grants, access.ports, access.sliced, closed, beyond)


def gained(receiver: Identity, before: Sequence[Standing], after: Standing) -> tuple[Permit, ...]:
    """The permits of `after` that not all of `before` have: each of those may be what stands. Sorted; none if alike.

    The losses are the same with the roles changed. A new replica gains nothing where its identity was permitted before;
    a Workload that was there before is compared with itself, Pods as `_at_pods` says.
    """
    before = before or (NOTHING,)
    # The usual case of a replan; spreading grants over ports costs far more than comparing.
    if all(each == after for each in before):
        return ()
    found: dict[Body, set[int | None]] = {}
    excepted: dict[Body, frozenset[HttpMatch]] = {}
    for atoms, known in _compared(before, after):
        for atom, narrower in _missing(atoms, known):
            body = (atom[0], atom[1], atom[3], atom[4])
            found.setdefault(body, set()).add(atom[2])
            excepted[body] = narrower & excepted.get(body, narrower)  # only what holds on each of the ports
    shared: dict[object, Any] = {}  # most permits of an identity name the same ports and objects
    permits = (
        _excepting(_permit(receiver, body, ports, after, shared), excepted[body]) for body, ports in found.items()
    )
    return tuple(sorted(permits, key=msgspec.json.encode))


def _compared(
    before: Sequence[Standing], after: Standing
) -> Iterator[tuple[Collection[_Atom], list[Collection[_Atom]]]]:
    """Each place of `after`: what is permitted there, and what each state before permitted there.

    A place is where a Workload receives on a port; and on each port, each class of Pods (see `_pods`).
    """
    for port in after.ports:
        for bind in port.binds:
            if bind != EVERYWHERE and (now := _atoms(after.grants, port)):
                yield now, [_at(each, port, bind) for each in before]
    for transport, number in () if after.closed else numbers(before, after):
        classes = _pods(after, transport, number)
        for pods in classes:
            if found := _atoms(after.grants, pods):
                yield found, [_at_pods(each, after, pods, classes) for each in before]


def _at(state: Standing, port: InboundPort, bind: str) -> Collection[_Atom]:
    """What a state permits at the place of this port: what all its counterparts do."""
    if not state.grants:
        return ()
    found = counterparts(state, port, bind)
    return _by_all(state, _pods(state, port.transport, port.port) if found is None else found)


def _by_all(state: Standing, places: Iterable[InboundPort | _PodClass]) -> Collection[_Atom]:
    each = [_atoms(state.grants, place) for place in places]
    return set(each[0]).intersection(*each[1:]) if each else ()


def counterparts(state: Standing, port: InboundPort, bind: str) -> tuple[InboundPort, ...] | None:
    """The facts that a receiver with this bind address had on a port: none, if it did not receive; None, if no fact named it."""
    same = [one for one in state.ports if (one.port, one.transport) == (port.port, port.transport)]
    here = [one for one in same if bind in one.binds]
    # Of several variants at this very address, the one with the same protocol and labels is the same workload.
    if here:
        alike = [one for one in here if (one.declared, one.labels) == (port.declared, port.labels)]
        return tuple(alike or here)
    # It received at this address, but not on this port.
    if bind != EVERYWHERE and any(bind in one.binds for one in state.ports):
        return ()
    return tuple(same) if same or state.closed else None


def carried(port: InboundPort) -> tuple[Labels, ...]:
    """The selectors that workloads of a port satisfy, or may."""
    return (*port.labels, *port.maybe_labels)


def selectors(grants: Iterable[Grant]) -> frozenset[Labels]:
    """The selectors of grants: of these alone a state's ports tell whether their workloads satisfy them."""
    return frozenset(grant.labels for grant in grants if grant.labels)


def numbers(before: Sequence[Standing], after: Standing) -> list[tuple[Transport, int | None]]:
    """The ports of which grants of `after` speak, or facts of either; and (None) all others."""
    named = {(grant.transport, number) for grant in after.grants for number in grant.ports or ()}
    named |= {(one.transport, number) for each in (*before, after) for one in each.grants for number in one.not_ports}
    named |= {(port.transport, port.port) for each in (*before, after) for port in each.ports}
    every: set[tuple[Transport, int | None]] = {
        (grant.transport, None) for grant in after.grants if grant.ports is None
    }
    return [*sorted(named), *sorted(every, key=str)]


def counts(grant: Grant, declared: Declared) -> bool:
    """Whether a grant means anything on a port that declares this."""
    return declared in ({"tcp", "none"} if grant.http is None else {"http", "none"})


def _atoms(grants: Iterable[Grant], place: InboundPort | _PodClass) -> set[_Atom]:
    """What grants permit at a place whose facts are known."""
    return {atom for grant in grants if _permits(grant, place) for atom in _spread(grant, place.port)}


def _permits(grant: Grant, place: InboundPort | _PodClass) -> bool:
    named = _names(grant, place.transport, place.port) and (grant.labels is None or grant.labels in place.labels)
    return named and (place.transport == "UDP" or counts(grant, place.declared))


# --------------------------------------------------------------------------- Pods


class _PodClass(Struct, frozen=True, gc=False):
    """Pods of which the same is known on one port: what it declares there, and the selectors that they satisfy, or may."""

    transport: Transport
    port: int | None
    declared: Declared
    labels: Collection[Labels]
    maybe: Collection[Labels] = ()

    def is_like(self, other: _PodClass, told: frozenset[Labels]) -> bool:
        """Whether the same grants count at both, by the selectors of which both tell."""
        return self.declared == other.declared and told.intersection(self.labels) == told.intersection(other.labels)


def _pods(state: Standing, transport: Transport, number: int | None) -> list[_PodClass]:
    """The Pods of an identity on a port, by what bars them: the one place that says so.

    A Pod is barred by what its own Services declare, and by nothing of another workload (docs/smi.md, 6.2). A mesh that bars all
    Pods for one says so in the grants that it carries (Translation.carried). The last classes are Pods of which no fact names the
    port, with any labels. Where there are Workloads alone, these stand for Pods that may come.
    """
    here = [port for port in state.ports if (port.transport, port.port) == (transport, number)]
    facts = here if state.closed else [port for port in here if EVERYWHERE in port.binds]
    classes = [_PodClass(transport, number, port.declared, port.labels, port.maybe_labels) for port in facts]
    if state.closed or any(port.everywhere for port in here):
        return classes
    every = selectors(state.grants)
    return classes + [_PodClass(transport, number, word, every) for word in state.beyond or ("none",)]


def _at_pods(state: Standing, after: Standing, pods: _PodClass, classes: Collection[_PodClass]) -> Collection[_Atom]:
    """What a state permitted to Pods that are one of these classes now.

    Units do not list Pods. These were of a class like theirs, or of one that nobody is of any more: all of those have to permit
    it. Where none was like theirs, all that there were. A Pod that moves from one class to another that was there before, while
    others stay in both, is like a new replica.
    """
    if not state.grants:
        return ()
    former = _pods(state, pods.transport, pods.port)
    told = selectors(state.grants) & selectors(after.grants)
    alike = [one for one in former if one.is_like(pods, told)]
    if not alike:
        return _by_all(state, former)
    gone = [one for one in former if not any(one.is_like(each, told) for each in classes)]
    return {
        atom
        for grant in state.grants
        if all(_permits(grant, one) for one in alike) and not any(_bars(one, grant) for one in gone)
        for atom in _spread(grant, pods.port)
    }


def _bars(pods: _PodClass, grant: Grant) -> bool:
    """Whether a grant does not count at Pods that it selects."""
    selected = grant.labels is None or grant.labels in (*pods.labels, *pods.maybe)
    return selected and not _permits(grant, pods)


def opened_at_pods(before: Standing, now: Standing, transport: Transport, number: int | None) -> set[Body]:
    """What is permitted to Pods on a port of which the facts changed, and was not to all whom it may have been about before.

    Units do not list Pods, so any of them may have been of any class.
    """
    former = _pods(before, transport, number)
    known = {
        atom
        for grant in before.grants
        if any(_permits(grant, one) for one in former) and not any(_bars(one, grant) for one in former)
        for atom in _spread(grant, number)
    }
    atoms = {atom for pods in _pods(now, transport, number) for atom in _atoms(now.grants, pods)}
    return {(source, way, labels, match) for (source, way, _, labels, match), _ in _missing(atoms, [known])}


# --------------------------------------------------------------------------- grants as atoms


def _names(grant: Grant, transport: Transport, number: int | None) -> bool:
    """Whether a grant is about a port (None: each that nobody names)."""
    named = grant.ports is None if number is None else grant.names(number)
    return grant.transport == transport and named


def _spread(grant: Grant, port: int | None) -> Iterator[_Atom]:
    matches: Sequence[HttpMatch | None] = (None,) if grant.http is None else grant.http
    return ((source, grant.transport, port, grant.labels, match) for source in grant.sources for match in matches)


def _missing(
    atoms: Collection[_Atom], known: Sequence[Collection[_Atom]]
) -> Iterator[tuple[_Atom, frozenset[HttpMatch]]]:
    """What not each of the states before permitted, and the narrower matches of the same that each of them did permit."""
    nothing = not all(known)
    missing = [atom for atom in atoms if nothing or not all(_has(each, atom) for each in known)]
    if nothing or len({atom[4] for atom in missing}) > _MOST_COMPARED:
        yield from ((atom, frozenset()) for atom in missing)
        return
    places = {(*atom[:3], labels) for atom in missing for labels in (atom[3], None)}
    states = [(each, _matches_at(places, each)) for each in known] if missing else []
    for atom in missing:
        if not all(_has(each, atom) or any(covers(one, atom[4]) for one in _beside(atom, at)) for each, at in states):
            narrower = ({one for one in _beside(atom, at) if covers(atom[4], one)} for _, at in states)
            yield atom, frozenset.intersection(*map(frozenset, narrower))


def _matches_at(places: Collection[_Place], atoms: Collection[_Atom]) -> dict[_Place, list[HttpMatch]]:
    """The HTTP matches at these places; none where there are too many to compare."""
    found: dict[_Place, list[HttpMatch]] = {}
    for source, transport, port, labels, match in atoms:
        if match is not None and (source, transport, port, labels) in places:
            found.setdefault((source, transport, port, labels), []).append(match)
    return {place: matches for place, matches in found.items() if len(matches) <= _MOST_COMPARED}


def _beside(atom: _Atom, there: Mapping[_Place, Sequence[HttpMatch]]) -> Iterator[HttpMatch]:
    """The HTTP matches of the same source on the same port, for the same workloads or for all."""
    return (one for labels in {atom[3], None} for one in there.get((*atom[:3], labels), ()))


def _has(atoms: Collection[_Atom], atom: _Atom) -> bool:
    """Whether an atom is among these: as it is, for every workload, or as raw bytes, which may be any request."""
    source, transport, port, labels, match = atom
    # What every workload was granted, or as raw bytes, covers this one as well.
    wider = {labels, None}
    return any((source, transport, port, each, what) in atoms for each in wider for what in {match, None})


def _permit(
    receiver: Identity, body: Body, numbers: set[int | None], state: Standing, shared: dict[object, Any]
) -> Permit:
    source, transport, labels, match = body
    granting = [
        grant
        for grant in state.grants
        if grant.transport == transport
        and grant.labels == labels
        and source in grant.sources
        and (match is None if grant.http is None else match in grant.http)
    ]
    origins = tuple(sorted({grant.origin for grant in granting}))
    every = any(grant.ports is None for grant in granting) and (None in numbers or _everywhere(numbers, state))
    ports = None if every else tuple(sorted(number for number in numbers if number is not None))
    ports, origins = shared.setdefault(ports, ports), shared.setdefault(origins, origins)
    return Permit(receiver, source, transport, ports, labels, match, origins)


def _excepting(permit: Permit, matches: Collection[HttpMatch]) -> Permit:
    return replace(permit, excepted=tuple(sorted(matches, key=msgspec.json.encode))) if matches else permit


def _everywhere(numbers: set[int | None], state: Standing) -> bool:
    """Whether these are all the ports on which Workloads receive."""
    return state.closed and {port.port for port in state.ports} <= numbers


# --------------------------------------------------------------------------- lines for people


def line_of(permit: Permit) -> str:
    """One permit in one line, such as `shop/web -> shop/api:8080 GET /v1/.*`."""
    where = f"{permit.receiver}{_ports(permit.ports, permit.transport)}{_labels(permit.labels)}"
    what = "any bytes" if permit.match is None else describe(permit.match)
    return f"{_name(permit.source, permit.receiver.trust_domain)} -> {where} {what}{_excepted(permit.excepted)}"


def _excepted(matches: Sequence[HttpMatch]) -> str:
    more = f" and {len(matches) - _MOST_EXCEPTED} more" if len(matches) > _MOST_EXCEPTED else ""
    return f" except {' and '.join(map(describe, matches[:_MOST_EXCEPTED]))}{more}" if matches else ""


def describe(match: HttpMatch) -> str:
    """An HTTP match in one phrase: methods, path pattern, header conditions; a text that could be misread is quoted."""
    methods = ",".join(match.methods) if match.methods else "any method"
    path = _quoted(match.path) if match.path is not None else "any path"
    headers = "".join(f" {name}={_quoted(pattern)}" for name, pattern in match.headers)
    return f"{methods} {path}{headers}"


def _quoted(text: str) -> str:
    plain = text and not any(char.isspace() or char in '"=' for char in text)
    return text if plain else msgspec.json.encode(text).decode()


def _name(spiffe: str, trust_domain: str) -> str:
    identity = identity_of(spiffe)
    return str(identity) if identity and identity.trust_domain == trust_domain else spiffe


def _ports(ports: tuple[int, ...] | None, transport: Transport) -> str:
    suffix = "/udp" if transport == "UDP" else ""
    return f":{'*' if ports is None else ','.join(map(str, ports))}{suffix}"


def _labels(labels: Labels | None) -> str:
    if labels is None:
        return ""
    return "[" + ",".join(f"{key}={_word(value)}" for key, value in labels) + "]"


def _word(value: str) -> str:
    return msgspec.json.encode(value).decode() if set(value) & set(',="[] ') else value


def lines_of(receiver: Identity, state: Standing) -> tuple[str, ...]:
    """Everything that a state permits, one sorted line each."""
    return tuple(sorted(line_of(permit) for permit in gained(receiver, (), state)))
