"""What two states both permit, and what one gains over the other, asked of single requests by another way of reading them."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest
import re2
from msgspec import Struct
from msgspec.structs import replace

from hub.memory.meet import meet
from hub.memory.permits import EVERYWHERE, Labels, Permit, Standing, carried, gained, standing
from hub.model import Access, Declared, Grant, HttpMatch, Identity, InboundPort, ObjectRef, Placement

API = Identity("td", "d", "api")
SOURCES = tuple(f"spiffe://td/ns/d/sa/{name}" for name in ("web", "peer"))
PATHS = (None, "/a", "/a.*", "/[ab]", "/.*", "/b")
GOLD, BOTH = (("tier", "gold"),), (("app", "api"), ("tier", "gold"))
WORLDS = 400


class Call(Struct, frozen=True):
    """One request to a port of one of the receivers; `path` None = raw bytes."""

    source: str
    to: int
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
        rng.choice((None, None, GOLD, BOTH)),
    )


class Receiver(Struct, frozen=True):
    """A Workload at an address of its own, or a Pod: the labels that it carries."""

    bind: str
    labels: frozenset[tuple[str, str]]


def receivers(rng: Random, closed: bool) -> tuple[Receiver, ...]:  # noqa: FBT001 - the kind of receivers
    """Two Workloads (closed) or three Pods."""
    binds = ("127.0.0.2", "127.0.0.3") if closed else (EVERYWHERE,) * 3
    return tuple(Receiver(bind, frozenset(rng.choice(((), GOLD, BOTH)))) for bind in binds)


class World(Struct, frozen=True):
    """A unit, and what each of its receivers declares on which port."""

    unit: Access
    words: tuple[dict[int, Declared], ...]
    closed: bool

    @property
    def state(self) -> Standing:
        """What the unit means."""
        return standing(self.unit)


def a_world(rng: Random, bodies: Sequence[Receiver]) -> World:
    """Grants, and ports that tell of the selectors of these grants alone."""
    choices: tuple[Declared, ...] = ("http", "tcp", "none")
    closed = bodies[0].bind != EVERYWHERE
    words: list[dict[int, Declared]] = []
    for _ in bodies:
        numbers = rng.sample((80, 81), rng.randint(1 if closed else 0, 2))
        words.append({number: rng.choice(choices) for number in numbers})
    grants = tuple(a_grant(rng, f"t{number}") for number in range(rng.randint(0, 3)))
    return World(_unit(bodies, words, grants, closed=closed), tuple(words), closed)


def _unit(
    bodies: Sequence[Receiver], words: Sequence[dict[int, Declared]], grants: tuple[Grant, ...], *, closed: bool
) -> Access:
    asked = {grant.labels for grant in grants if grant.labels}
    found: dict[tuple[int, Declared, tuple[Labels, ...]], set[str]] = {}
    for body, said in zip(bodies, words, strict=True):
        labels = tuple(sorted(each for each in asked if {*each} <= body.labels))
        for number, word in said.items():
            found.setdefault((number, word, labels), set()).add(body.bind)
    ports = tuple(
        InboundPort(
            *(number, "TCP", word, f"{word}+{labels}", number),
            labels=labels,
            binds=tuple(sorted(binds)),
            everywhere=all(number in said for said in words),
        )
        for (number, word, labels), binds in found.items()
    )
    places = (Placement(ObjectRef("smihub.io", "Workload", "d", "w"), API),) if closed else ()
    return Access(API, grants, tuple(sorted(ports)), places)


def truth(world: World, bodies: Sequence[Receiver], call: Call) -> bool:
    """Whether some grant lets a call pass, read from what its receiver is."""
    word = world.words[call.to].get(call.port, None if world.closed else "none")
    return word is not None and any(
        _grants(grant, call) and _fits(grant, word) and {*(grant.labels or ())} <= bodies[call.to].labels
        for grant in world.unit.grants
    )


def carried_out(state: Standing, body: Receiver, call: Call) -> bool:
    """What a mesh makes of a state: it selects Pods by labels itself, and every fact of such Pods bars."""
    here = [port for port in state.ports if port.port == call.port]
    if state.closed:
        return any(
            _grants(grant, call) and _fits(grant, port.declared) and (not grant.labels or grant.labels in port.labels)
            for grant in state.grants
            for port in here
            if body.bind in port.binds
        )
    return any(
        _grants(grant, call)
        and {*(grant.labels or ())} <= body.labels
        and all(_fits(grant, port.declared) for port in here if not grant.labels or grant.labels in carried(port))
        for grant in state.grants
    )


def _fits(grant: Grant, declared: Declared) -> bool:
    return declared in ({"tcp", "none"} if grant.http is None else {"http", "none"})


def _grants(grant: Grant, call: Call) -> bool:
    if call.source not in grant.sources or (grant.ports is not None and call.port not in grant.ports):
        return False
    if call.port in grant.not_ports:
        return False
    return grant.http is None or any(_matches(match, call) for match in grant.http)


def _matches(match: HttpMatch, call: Call) -> bool:
    if call.path is None or (match.methods is not None and call.method not in match.methods):
        return False
    if match.path is not None and not re2.fullmatch(match.path, call.path):
        return False
    return all(call.header is not None and re2.fullmatch(pattern, call.header) for _, pattern in match.headers)


def calls(closed: bool) -> list[Call]:  # noqa: FBT001 - the kind of receivers
    """Every request of a small world."""
    return [
        Call(source, to, port, method, path, header)
        for source in SOURCES
        for to in range(2 if closed else 3)
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
        bodies = receivers(rng, closed)
        worlds = [a_world(rng, bodies) for _ in range(3)]
        both = meet([world.state for world in worlds[: 1 + seed % 2]], worlds[2].unit)
        states = (*worlds[: 1 + seed % 2], worlds[2])
        for call in asked:
            found = carried_out(standing(both), bodies[call.to], call)
            each = all(carried_out(world.state, bodies[call.to], call) for world in states)
            allowed += found
            narrower += each and not found
            if found and not all(truth(world, bodies, call) for world in states):
                wider.append((seed, call))
    assert wider == []
    assert allowed > WORLDS
    assert narrower < allowed


def by_labels(world: World) -> Standing:
    """What a mesh that selects Pods by labels carries: for one that is barred it leaves the port out for all, and says so."""
    return standing(world.unit, tuple(_left_out(grant, world.unit.ports) for grant in world.unit.grants))


def _left_out(grant: Grant, ports: Sequence[InboundPort]) -> Grant:
    facts = [port for port in ports if not grant.labels or grant.labels in carried(port)]
    barred = {port.port for port in facts if not _fits(grant, port.declared)}
    if grant.ports is None:
        return replace(grant, not_ports=tuple(sorted(barred)))
    return replace(grant, ports=tuple(sorted({*grant.ports} - barred)))


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["workloads", "pods", "pods by labels"])
def test_what_is_after_is_what_was_before_with_gains_and_without_losses(kind: str) -> None:
    """On every request: allowed after exactly if a gain says so, or if it was before and no loss says otherwise."""
    closed, changed = kind == "workloads", 0
    for seed in range(WORLDS):
        rng = Random(seed)
        bodies = receivers(rng, closed)
        worlds = [a_world(rng, bodies) for _ in range(2)]
        before, after = (by_labels(world) if kind == "pods by labels" else world.state for world in worlds)
        gains, losses = gained(API, (before,), after), gained(API, (after,), before)
        for call in calls(closed):
            if kind == "pods":
                if is_replica(worlds, bodies, call):
                    continue
                was, now = (truth(world, bodies, call) for world in worlds)
            else:
                was, now = (carried_out(state, bodies[call.to], call) for state in (before, after))
            changed += was != now
            if now and not was:
                assert any(covers(permit, bodies, call) for permit in gains), (seed, call)
            if was and not now:
                assert any(covers(permit, bodies, call) for permit in losses), (seed, call)
    assert changed > WORLDS


def is_replica(worlds: Sequence[World], bodies: Sequence[Receiver], call: Call) -> bool:
    """Whether a Pod became like others that were there before, and others are still as it was: Pods are not told apart."""
    asked = [{grant.labels for grant in world.unit.grants if grant.labels} for world in worlds]
    told = asked[0] & asked[1]

    def classes(world: World) -> list[object]:
        named = [words.get(call.port) for words in world.words]
        own = [frozenset(each for each in told if {*each} <= body.labels) for body in bodies]
        return [(word, labels) if word else ("none", told) for word, labels in zip(named, own, strict=True)]

    before, after = map(classes, worlds)
    return before[call.to] != after[call.to] and after[call.to] in before and before[call.to] in after


def covers(permit: Permit, bodies: Sequence[Receiver], call: Call) -> bool:
    """Whether a permit is about a call."""
    if permit.source != call.source or (permit.ports is not None and call.port not in permit.ports):
        return False
    if not {*(permit.labels or ())} <= bodies[call.to].labels:
        return False
    return permit.match is None or _matches(permit.match, call)


@pytest.mark.thorough
@pytest.mark.parametrize("closed", [False, True])
def test_where_facts_are_alike_little_is_lost(closed: bool) -> None:  # noqa: FBT001 - the kind of receivers
    """Grants change, ports do not: only what lies in two overlapping patterns is left out."""
    asked, allowed, narrower = calls(closed), 0, 0
    for seed in range(WORLDS):
        rng = Random(seed)
        bodies = receivers(rng, closed)
        before, other = a_world(rng, bodies), a_world(rng, bodies)
        after = replace(before, unit=_unit(bodies, before.words, other.unit.grants, closed=closed))
        both = standing(meet([before.state], after.unit))
        for call in asked:
            each = all(carried_out(world.state, bodies[call.to], call) for world in (before, after))
            found = carried_out(both, bodies[call.to], call)
            assert all(truth(world, bodies, call) for world in (before, after)) or not found
            allowed += each
            narrower += each and not found
    assert narrower < allowed / 10


@pytest.mark.thorough
def test_equal_states_gain_nothing() -> None:
    """Whatever they are, and whatever their order."""
    for seed in range(WORLDS):
        rng = Random(seed)
        world = a_world(rng, receivers(rng, closed=bool(seed % 2)))
        assert gained(API, (world.state,), replace(world.state)) == ()
        both = standing(meet([world.state], world.unit))
        assert (gained(API, (world.state,), both), gained(API, (both,), world.state)) == ((), ())


@pytest.mark.parametrize("path", ["*", "api:8080", "http://api/a", "/a b"])
def test_what_is_no_path_is_not_permitted_by_the_way(path: str) -> None:
    """A pattern that adds a target without a leading slash is a gain, though of paths it has fewer than the one before."""
    said = re2.escape(path)
    units = [
        Access(API, (Grant(ObjectRef("", "TrafficTarget", "d", "t"), SOURCES, "TCP", None, (HttpMatch(each),)),))
        for each in ("/a.*" if path[0] != "/" else "/[^ ]*", f"/a|{said}")
    ]
    both = meet((standing(units[0]),), units[1])
    assert not any(re2.fullmatch(match.path or "", path) for one in both.grants for match in one.http or ())
    assert gained(API, (standing(units[0]),), standing(units[1]))


@pytest.mark.parametrize("other", [(("x", "a"), ("x", "b")), (("x", "b"),), (("y", "c"),), (("x", "[ab]"), ("x", "c"))])
def test_every_condition_on_one_header_stays(other: tuple[tuple[str, str], ...]) -> None:
    """A match may ask for two lines of one name; what both states permit asks for all that each of them does."""
    two = (("x", "a"), ("x", "b"))
    before, after = (
        Access(
            API,
            (Grant(ObjectRef("", "TrafficTarget", "d", "t"), SOURCES, "TCP", None, (HttpMatch("/a", None, each),)),),
        )
        for each in (two, other)
    )
    for first, second in ((before, after), (after, before)):
        for grant in meet((standing(first),), second).grants:
            assert all({*two, *other} == {*match.headers} for match in grant.http or ())


def test_a_port_that_a_mesh_left_out_is_none_that_stood() -> None:
    """Every port but that one stays, and that one is a gain that waits."""
    rng = Random(1)
    world = a_world(rng, receivers(rng, closed=False))
    ports = tuple(InboundPort(number, "TCP", "http", "http", number, binds=(EVERYWHERE,)) for number in (80, 81))
    grant = Grant(ObjectRef("", "TrafficTarget", "d", "t"), SOURCES[:1], "TCP", None, (HttpMatch("/a"),))
    unit = replace(world.unit, grants=(grant,), ports=ports)
    before = standing(unit, (replace(grant, not_ports=(81,)),))
    assert [permit.ports for permit in gained(API, (before,), standing(unit))] == [(81,)]
    assert [(one.ports, one.not_ports) for one in meet([before], unit).grants] == [(None, (81,))]
    some = replace(unit, grants=(replace(grant, ports=(80, 81)),))
    assert [(one.ports, one.not_ports) for one in meet([before], some).grants] == [((80,), ())]


def test_what_barred_pods_under_the_name_of_a_workloads_port_still_does() -> None:
    """A Pod that shared the port's name with a Workload names it no more, and may be among those that never did: that has to wait."""
    grant = Grant(ObjectRef("", "TrafficTarget", "d", "t"), SOURCES[:1], "TCP", (80,), None)
    beside = InboundPort(81, "TCP", "none", "none", 81, binds=(EVERYWHERE,), everywhere=False)
    shared = InboundPort(80, "TCP", "http", "http", 80, binds=("127.0.0.2", EVERYWHERE), everywhere=False)
    place = Placement(ObjectRef("smihub.io", "Workload", "d", "w"), API)
    before = standing(Access(API, (grant,), (shared, beside), (place,)))
    after = Access(API, (grant,), (replace(shared, binds=("127.0.0.2",)), beside), (place,))
    assert [permit.ports for permit in gained(API, (before,), standing(after))] == [(80,)]
    assert gained(API, (before,), standing(meet([before], after))) == ()
