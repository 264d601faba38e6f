"""What Pods would gain by what changed about their ports, taken from the grants of a unit whose gains wait.

Pure. A mesh whose Pods judge for themselves, each by what is declared of it alone, sees no bar that others had: neither one that
no Pod has any more, nor that of the class which a Pod was in. Only the ports of the grants say it to such a mesh.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from msgspec.structs import replace

from hub.memory.permits import Body, Labels, Standing, numbers, opened_at_pods, selectors
from hub.memory.permits import standing as standing_of
from hub.model import Access, Grant, HttpMatch

_Ports = frozenset[int | None]


def without_gains(states: Iterable[Standing], unit: Access, wanted: Access) -> Access:
    """The unit, made of the `wanted` one, without what its Pods may not have been permitted in each of these states."""
    after = standing_of(wanted)
    for state in states:
        now = standing_of(unit)
        gains = _gains(state, after, now)
        if gains:
            named = frozenset(number for _, number in numbers((state,), now) if number is not None)
            unit = replace(unit, grants=tuple(one for grant in unit.grants for one in _left(grant, gains, named)))
    return unit


def _gains(before: Standing, after: Standing, now: Standing) -> Mapping[Body, Collection[int | None]]:
    """What is gained, with the ports where (None: all that nothing names)."""
    found: dict[Body, set[int | None]] = {}
    told = selectors(before.grants) & selectors(now.grants)
    for transport, number in () if now.closed else numbers((before,), now):
        # Where nothing changed about a port, what both states grant is what both permit.
        if _facts(before, number, told) != _facts(after, number, told):
            for body in opened_at_pods(before, now, transport, number):
                found.setdefault(body, set()).add(number)
    return found


def _facts(state: Standing, number: int | None, told: frozenset[Labels]) -> tuple[object, ...]:
    """What is known of a port, by the selectors of which both states tell."""
    ports = frozenset(
        (port.transport, port.declared, port.services, port.everywhere, told.intersection(port.labels))
        for port in state.ports
        if port.port == number
    )
    return ports, state.closed, state.beyond


def _left(grant: Grant, gains: Mapping[Body, Collection[int | None]], named: frozenset[int]) -> Iterator[Grant]:
    """What is left of a grant, as few grants of the same origin."""
    by_ports: dict[_Ports, dict[str, list[HttpMatch | None]]] = {}
    for source in grant.sources:
        for match in grant.http or (None,):
            opened = frozenset(gains.get((source, grant.transport, grant.labels, match), ()))
            by_ports.setdefault(opened, {}).setdefault(source, []).append(match)
    if by_ports.keys() == {frozenset()}:
        yield grant
        return
    for opened, sources in by_ports.items():
        kept = _without(grant, opened, named)
        if kept is None:
            continue
        for matches in dict.fromkeys(map(tuple, sources.values())):
            http = None if grant.http is None else tuple(match for match in matches if match is not None)
            callers = tuple(source for source, known in sources.items() if tuple(known) == matches)
            yield replace(kept, sources=callers, http=http)


def _without(grant: Grant, opened: _Ports, named: frozenset[int]) -> Grant | None:
    """The grant without these ports; None if it has no other one."""
    if grant.ports is None and None not in opened:
        left_out = {*grant.not_ports, *(port for port in opened if port is not None)}
        return replace(grant, not_ports=tuple(sorted(left_out)))
    ports = named - {*grant.not_ports} if grant.ports is None else frozenset(grant.ports)
    left = tuple(sorted(ports - opened))
    return replace(grant, ports=left, not_ports=()) if left else None
