"""What two states both permit, and what one gains over the other, asked of single requests by another way of reading them."""

from __future__ import annotations

from random import Random

import pytest
import re2
from msgspec import Struct
from msgspec.structs import replace

from hub.memory.meet import meet
from hub.memory.permits import EVERYWHERE, Permit, Standing, gained, standing
from hub.model import Access, Declared, Grant, HttpMatch, Identity, InboundPort, ObjectRef, Placement

API = Identity("td", "d", "api")
SOURCES = tuple(f"spiffe://td/ns/d/sa/{name}" for name in ("web", "peer"))
PATHS = (None, "/a", "/a.*", "/[ab]", "/.*", "/b")
GOLD, SILVER = (("tier", "gold"),), (("tier", "silver"),)
WORLDS = 400


class Call(Struct, frozen=True):
    """One request to a port of whoever binds an address; `path` None = raw bytes."""

    source: str
    bind: str
    port: int
    method: str = "GET"
    path: str | None = None
    header: str | None = None


def a_match(rng: Random) -> HttpMatch:
    """One of few matches, so that many overlap."""
    methods = rng.choice((None, ("GET",), ("GET", "POST")))
    headers = rng.choice(((), (), (("x", "1"),), (("x", "[12]"),)))
    return HttpMatch(rng.choice(PATHS), methods, headers)


def a_grant(rng: Random, name: str) -> Grant:
    """HTTP or raw, on some ports or all, for all workloads or those of a label."""
    http = tuple({a_match(rng) for _ in range(rng.randint(1, 2))}) if rng.random() < 0.6 else None
    return Grant(
        ObjectRef("access.smi-spec.io", "TrafficTarget", "d", name),
        tuple(rng.sample(SOURCES, rng.randint(1, 2))),
        "TCP",
        rng.choice((None, (80,), (80, 81))),
        http,
        rng.choice((None, None, GOLD)),
    )


def a_unit(rng: Random, closed: bool) -> Access:  # noqa: FBT001 - the kind of receivers
    """A unit of Pods, or (closed) of Workloads that bind two addresses."""
    words: tuple[Declared, ...] = ("http", "tcp", "none")
    grants = tuple(a_grant(rng, f"t{number}") for number in range(rng.randint(0, 3)))
    binds = ("127.0.0.2", "127.0.0.3") if closed else (EVERYWHERE,)
    ports = []
    for number in rng.sample((80, 81), rng.randint(0 if not closed else 1, 2)):
        for bind in binds:
            labels = rng.choice(((), (GOLD,)))
            word = rng.choice(words)
            ports.append(InboundPort(number, "TCP", word, f"{word}+{bind}", number, labels=labels, binds=(bind,)))
    places = (Placement(ObjectRef("smihub.io", "Workload", "d", "w"), API),) if closed else ()
    return Access(API, grants, tuple(sorted(ports)), places)


def allows(state: Standing, call: Call) -> bool:
    """Whether some grant lets a call pass, read from the values alone."""
    here = [port for port in state.ports if port.port == call.port and call.bind in port.binds]
    if not here:
        if state.closed:
            return False
        return any(_grants(grant, call, "none", None) for grant in state.grants)
    return any(_grants(grant, call, port.declared, port.labels) for port in here for grant in state.grants)


def _grants(
    grant: Grant, call: Call, declared: Declared, labels: tuple[tuple[tuple[str, str], ...], ...] | None
) -> bool:
    if call.source not in grant.sources or (grant.ports is not None and call.port not in grant.ports):
        return False
    if grant.labels is not None and labels is not None and grant.labels not in labels:
        return False
    if grant.http is None:
        return declared in {"tcp", "none"}
    return declared in {"http", "none"} and any(_matches(match, call) for match in grant.http)


def _matches(match: HttpMatch, call: Call) -> bool:
    if call.path is None or (match.methods is not None and call.method not in match.methods):
        return False
    if match.path is not None and not re2.fullmatch(match.path, call.path):
        return False
    return all(call.header is not None and re2.fullmatch(pattern, call.header) for _, pattern in match.headers)


def calls(closed: bool) -> list[Call]:  # noqa: FBT001 - the kind of receivers
    """Every request of a small world."""
    binds = ("127.0.0.2", "127.0.0.3") if closed else (EVERYWHERE,)
    return [
        Call(source, bind, port, method, path, header)
        for source in SOURCES
        for bind in binds
        for port in (80, 81, 82)
        for path in (None, "/a", "/ab", "/b", "/c")
        for method in (("GET", "POST") if path else ("GET",))
        for header in ((None, "1", "2") if path else (None,))
    ]


@pytest.mark.thorough
@pytest.mark.parametrize("closed", [False, True])
def test_what_both_permit_is_permitted_by_each(closed: bool) -> None:  # noqa: FBT001 - the kind of receivers
    """Never more than either, and not much less: where two patterns overlap, or a protocol turns around, nothing is left."""
    asked, allowed, wider, narrower = calls(closed), 0, [], 0
    for seed in range(WORLDS):
        rng = Random(seed)
        before, after = a_unit(rng, closed), a_unit(rng, closed)
        states = standing(before), standing(after)
        both = standing(meet(states[:1], after))
        for call in asked:
            each = all(allows(state, call) for state in states)
            found = allows(both, call)
            allowed += found
            narrower += each and not found
            if found and not each:
                wider.append((seed, call))
    assert wider == []
    assert allowed > WORLDS
    assert narrower < allowed


@pytest.mark.thorough
@pytest.mark.parametrize("closed", [False, True])
def test_what_is_after_is_what_was_before_with_gains_and_without_losses(closed: bool) -> None:  # noqa: FBT001
    """On every request: allowed after exactly if a gain says so, or if it was before and no loss says otherwise."""
    asked, changed = calls(closed), 0
    for seed in range(WORLDS):
        rng = Random(seed)
        before, after = standing(a_unit(rng, closed)), standing(a_unit(rng, closed))
        gains, losses = gained(API, (before,), after), gained(API, (after,), before)
        for call in asked:
            was, now = allows(before, call), allows(after, call)
            changed += was != now
            if now and not was:
                assert any(covers(permit, call) for permit in gains), (seed, call)
            if was and not now:
                assert any(covers(permit, call) for permit in losses), (seed, call)
    assert changed > WORLDS


def covers(permit: Permit, call: Call) -> bool:
    """Whether a permit is about a call."""
    if permit.source != call.source or (permit.ports is not None and call.port not in permit.ports):
        return False
    return permit.match is None or _matches(permit.match, call)


@pytest.mark.thorough
@pytest.mark.parametrize("closed", [False, True])
def test_where_facts_are_alike_little_is_lost(closed: bool) -> None:  # noqa: FBT001 - the kind of receivers
    """Grants change, ports do not: only what lies in two overlapping patterns is left out."""
    asked, allowed, narrower = calls(closed), 0, 0
    for seed in range(WORLDS):
        rng = Random(seed)
        before = a_unit(rng, closed)
        after = replace(a_unit(rng, closed), ports=before.ports)
        states = standing(before), standing(after)
        both = standing(meet(states[:1], after))
        for call in asked:
            each, found = all(allows(state, call) for state in states), allows(both, call)
            assert each or not found
            allowed += each
            narrower += each and not found
    assert narrower < allowed / 10


def test_equal_states_gain_nothing() -> None:
    """Whatever they are, and whatever their order."""
    for seed in range(WORLDS):
        unit = a_unit(Random(seed), closed=bool(seed % 2))
        state = standing(unit)
        assert gained(API, (state,), replace(state)) == ()
        both = standing(meet([state], unit))
        assert (gained(API, (state,), both), gained(API, (both,), state)) == ((), ())
