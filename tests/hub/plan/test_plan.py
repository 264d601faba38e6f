"""The plan: order, ownership, meaning; and the mirror and guards around it."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Iterator
from fractions import Fraction

import pytest
from msgspec.structs import replace

from hub.api import stateless
from hub.errors import UnsafeResourceError
from hub.memory.permits import lines_of
from hub.memory.states import decode
from hub.mirror import Mirror
from hub.model import (
    Access,
    Backend,
    Grant,
    HttpMatch,
    Identity,
    Loss,
    NativeObject,
    ObjectRef,
    Observation,
    Observed,
    Op,
    Role,
    Route,
    RoutePort,
    Split,
    Translation,
    UnitKey,
)
from hub.plan.changes import Constraints, Desired, wave
from hub.plan.diff import FieldChange, diff
from hub.plan.guards import Limits, refusals
from hub.plan.plan import plan

API = Identity("td", "d", "api")
KEY = UnitKey("access", "d", "api")
TARGET = ObjectRef("access.smi-spec.io", "TrafficTarget", "d", "t")
WEB = "spiffe://td/ns/d/sa/web"


def native(name: str, body: bytes = b"x", role: Role = Role.GRANT) -> NativeObject:
    """A native object with nothing but what a plan looks at."""
    return NativeObject(ObjectRef("xds", "Thing", "", name), role, body, (TARGET,))


def access(*paths: str) -> Access:
    """An Access that grants web GET on these paths."""
    matches = tuple(HttpMatch(path, ("GET",)) for path in paths)
    return Access(API, (Grant(TARGET, (WEB,), "TCP", (8080,), matches),) if paths else ())


def standing(*objects: NativeObject, memory: dict[UnitKey, bytes] | None = None, owner: UnitKey = KEY) -> Observation:
    """An observation in which these objects stand."""
    seen = {o.ref: Observed(o.ref, o.body, owner, "1", o.role, o.needs) for o in objects}
    return Observation(seen, memory or {}, "1")


def decide(*objects: NativeObject, unit: Access | None = None) -> dict[UnitKey, Desired]:
    """The desired state in which one unit has these objects."""
    return {KEY: Desired(unit, Translation(objects))}


def test_plan_orders_waves_so_that_grants_shrink_before_they_grow() -> None:
    """Guards, then referenced objects, then grants deleted, replaced, created, routes, and deletions last."""
    before = standing(native("gone"), native("changed", b"1"), native("old-cluster", role=Role.REFERENCED))
    after = decide(
        native("route", role=Role.ROUTE),
        native("new"),
        native("changed", b"2"),
        native("cluster", role=Role.REFERENCED),
        native("door", role=Role.GUARD),
    )
    made = plan("vm", after, before, stateless)
    names = [change.ref.name for change in made.changes]
    assert names == ["door", "cluster", "gone", "changed", "new", "route", "old-cluster"]
    assert [change.wave for change in made.changes] == sorted(change.wave for change in made.changes)


def test_plan_replaces_a_renamed_grant_after_its_successor_stands() -> None:
    """What stood under a former name goes last: kept grants have no gap, and what denies by being there stays there."""
    before = standing(native("gone"), native("old-name"))
    renamed = Translation((native("name"),), former=(native("old-name").ref,))
    made = plan("vm", {KEY: Desired(None, renamed)}, before, stateless)
    assert [change.ref.name for change in made.changes] == ["gone", "name", "old-name"]


def test_plan_keeps_a_former_name_while_its_successor_cannot_be_written() -> None:
    """Somebody else's object stands there, or the mesh did not take it: what denied by being there goes on doing so."""
    former, successor = native("old-name"), native("name")
    renamed = {KEY: Desired(access(), Translation((successor,), former=(former.ref,)))}
    seen = standing(former)
    theirs = Observed(successor.ref, b"theirs", None, "1")
    made = plan("vm", renamed, replace(seen, objects={**seen.objects, successor.ref: theirs}), stateless)
    assert made.changes == ()
    made = plan("vm", renamed, seen, stateless, Constraints(lacking=frozenset({successor.ref})))
    assert [(change.op, change.ref.name) for change in made.changes] == [(Op.CREATE, "name")]


def test_plan_puts_a_policy_back_before_what_was_made_to_rule_in_its_place() -> None:
    """Somebody deleted one, and edited another so that it is about the same Pods; put right first, it would leave them open."""
    other = UnitKey("access", "d", "b")
    mine, theirs = native("z"), native("a", b"right")
    first = plan("istio", decide(mine, unit=access("/a")), Observation(), stateless)
    edited = Observed(theirs.ref, b"edited", other, "1", theirs.role)
    seen = Observation({theirs.ref: edited}, dict(first.memory), "1")
    made = plan(
        "istio", {**decide(mine, unit=access("/a")), other: Desired(access(), Translation((theirs,)))}, seen, stateless
    )
    assert [(change.op, change.ref.name) for change in made.changes] == [(Op.CREATE, "z"), (Op.REPLACE, "a")]


def test_translation_refuses_two_objects_of_one_name() -> None:
    """Neither takes the other's place."""
    with pytest.raises(UnsafeResourceError, match="share a name"):
        Translation((native("a", b"1"), native("b"), native("a", b"2")))


def test_wave_knows_every_role_and_operation() -> None:
    """No role and operation is without its wave, and guards go last."""
    waves = {wave(role, op) for role in Role for op in Op}
    assert waves == set(range(1, 9))
    assert wave(Role.GUARD, Op.DELETE) == 8


def test_plan_tells_no_loss_that_a_conflict_keeps_from_being_written() -> None:
    """Somebody took our mark off the guard, so no grant of the unit is deleted: it stands, and is remembered so."""
    door = native("door", role=Role.GUARD)
    first = plan("vm", decide(door, native("a"), unit=access("/a")), Observation(), stateless)
    seen = standing(door, native("a"), memory=dict(first.memory))
    seen = replace(seen, objects={**seen.objects, door.ref: replace(seen.objects[door.ref], owner=None)})
    made = plan("vm", decide(door, unit=access()), seen, stateless)
    assert made.conflicts
    assert (made.changes, made.memory, made.denied, made.losing) == ((), {}, (), ())


def test_plan_is_empty_when_nothing_differs() -> None:
    """Equal bodies, equal needs and equal memory give no change and nothing to remember."""
    first = plan("vm", decide(native("a"), unit=access("/a")), Observation(), stateless)
    assert first.first
    assert len(first.changes) == 1
    again = plan(
        "vm", decide(native("a"), unit=access("/a")), standing(native("a"), memory=dict(first.memory)), stateless
    )
    assert (again.changes, again.memory, again.allowed, again.denied) == ((), {}, (), ())


def test_plan_says_what_is_newly_allowed_and_denied() -> None:
    """The lines that people read come from the units, not from native objects."""
    first = plan("vm", decide(native("a"), unit=access("/a", "/b")), Observation(), stateless)
    assert first.allowed == ("d/web -> d/api:8080 GET /a", "d/web -> d/api:8080 GET /b")
    seen = standing(native("a"), memory=dict(first.memory))
    second = plan("vm", decide(native("a", b"2"), unit=access("/b", "/c")), seen, stateless)
    assert second.allowed == ("d/web -> d/api:8080 GET /c",)
    assert second.denied == ("d/web -> d/api:8080 GET /a",)
    assert second.losing == (KEY,)


def test_plan_leaves_frozen_units_as_observed() -> None:
    """A unit that depends on an unread file is neither deleted nor changed."""
    made = plan("vm", {KEY: Desired(None)}, standing(native("a")), stateless, Constraints(frozenset({KEY})))
    assert made.changes == ()
    assert made.frozen == (KEY,)


def test_plan_deletes_objects_of_a_unit_that_is_gone() -> None:
    """A unit without a value loses its objects and what was remembered."""
    made = plan("vm", {KEY: Desired(None)}, standing(native("a"), memory={KEY: b'{"lines":[],"files":[]}'}), stateless)
    assert [change.op for change in made.changes] == [Op.DELETE]
    assert made.memory == {KEY: b""}


def test_plan_stops_when_two_units_want_one_object() -> None:
    """Both units are named and nothing is written."""
    other = UnitKey("access", "d", "web")
    both = {
        KEY: Desired(None, Translation((native("a"),))),
        other: Desired(None, Translation((native("a"),))),
    }
    made = plan("vm", both, Observation(), stateless)
    assert made.changes == ()
    assert [(c.first, c.second) for c in made.conflicts] == [(other, KEY), (KEY, other)]
    assert [r.code for r in refusals(made, Limits(), {"guard.conflict"})] == ["guard.conflict"] * 2


def test_plan_stops_at_a_foreign_object() -> None:
    """What does not carry our mark is never overwritten, and no flag lifts that."""
    foreign = native("a")
    seen = Observation({foreign.ref: Observed(foreign.ref, b"theirs", None, "1")})
    made = plan("vm", decide(native("a", b"ours")), seen, stateless)
    assert made.changes == ()
    assert [r.code for r in refusals(made, Limits(), {"guard.foreign-owner"})] == ["guard.foreign-owner"]


def test_refusals_ask_before_an_access_loss() -> None:
    """A loss on access is refused until its code is accepted; a loss on a split is not."""
    loss = Loss("proto.udp-not-captured", TARGET, "spec.rules[0]", "m", "w", "l", unit=KEY)
    split = Loss("split.weights-too-large", TARGET, "spec", "m", "w", "l", access=False, unit=KEY)
    made = plan("vm", {KEY: Desired(access(), Translation((), (loss, split)))}, Observation(), stateless)
    assert [r.code for r in refusals(made, Limits(), ())] == ["proto.udp-not-captured"]
    assert refusals(made, Limits(), {"proto.udp-not-captured"}) == ()


@pytest.mark.parametrize(
    ("losing", "governed", "refused"),
    [(4, 4, ""), (5, 25, ""), (6, 25, "guard.blast-radius"), (5, 5, "guard.blast-radius")],
)
def test_refusals_bound_the_blast_radius(losing: int, governed: int, refused: str) -> None:
    """More than 20 % and at least 5 of the governed identities may not lose access in one apply."""
    keys = [UnitKey("access", "d", f"s{i}") for i in range(governed)]
    granted = {key: Desired(access("/a")) for key in keys}
    first = plan("vm", granted, Observation(), stateless)
    fewer = {key: Desired(access()) for key in keys[:losing]}
    made = plan("vm", fewer, Observation({}, first.memory, "1"), stateless)
    codes = [r.code for r in refusals(made, Limits(), ())]
    assert codes == [code for code in (refused,) if code]


def test_lines_of_a_route_show_exact_shares() -> None:
    """Shares are reduced fractions, zero weights are left out, conditions come first."""
    halves = (Backend("v1", Fraction(2)), Backend("v2", Fraction(1)), Backend("v3", Fraction(0)))
    layers = (Split(TARGET, (HttpMatch(headers=(("x-beta", "yes"),)),), halves[1:]), Split(TARGET, None, halves))
    route = UnitKey("route", "d", "web")
    unit = Route("d", "web", (RoutePort(80, "TCP", "http", layers),))
    made = plan("vm", {route: Desired(unit)}, Observation(), stateless)
    found = decode(made.memory[route])
    assert found is not None
    assert found.routes == ("d/web:80 -> if any method any path x-beta=yes: v2 1; v1 2/3, v2 1/3",)


def test_mirror_follows_writes() -> None:
    """What was written, what is remembered and what is governed (tests/hub/test_mirror.py holds it against sinks)."""
    made = plan("vm", decide(native("a"), native("b"), unit=access("/a")), Observation(), stateless)
    mirror = Mirror(Observation())
    assert mirror.empty
    mirror.follow([(each, "2") for each in made.changes], made.memory, "2")
    assert mirror.governed == 1
    assert mirror.token == "2"
    gone = plan("vm", decide(native("b"), unit=access()), mirror.restrict([KEY], []), stateless)
    mirror.follow([(each, "3") for each in gone.changes], gone.memory, "3")
    assert [ref.name for ref in mirror.whole().objects] == ["b"]
    found = decode(mirror.memory[KEY])
    assert found is not None
    assert lines_of(API, found.states[0].standing) == ()


def test_mirror_restrict_shows_what_stands_in_the_way() -> None:
    """An object of another unit at a wanted ref is part of the restricted reading."""
    other = UnitKey("access", "d", "web")
    mirror = Mirror(standing(native("a"), owner=other))
    seen = mirror.restrict([KEY], [native("a")])
    assert [observed.owner for observed in seen.objects.values()] == [other]


def test_diff_reports_every_leaf() -> None:
    """Nothing hides behind a parent, types count, and list items go by position."""
    found = diff({"a": {"b": 1, "c": [1, 2]}, "d": True}, {"a": {"b": 2, "c": [1]}, "d": 1, "e": {"f": "x"}})
    assert found == (
        FieldChange("a.b", "1", "2"),
        FieldChange("a.c[1]", "2", None),
        FieldChange("d", "True", "1"),
        FieldChange("e.f", None, "x"),
    )


def test_plan_hands_over_what_two_units_speak_of() -> None:
    """An object that another unit makes from now on is replaced and never deleted; also where its bytes stay the same."""
    other = UnitKey("access", "d", "other")
    for body in (b"1", b"2"):
        moved = native("workload", body, Role.ROUTE)
        before = standing(native("workload", b"1", Role.ROUTE), native("gone"))
        after = {KEY: Desired(access()), other: Desired(None, Translation((moved,)))}
        made = plan("vm", after, before, stateless)
        assert [(change.op, change.ref.name, change.unit) for change in made.changes] == [
            (Op.DELETE, "gone", KEY),
            (Op.REPLACE, "workload", other),
        ]
        frozen = plan("vm", after, before, stateless, Constraints(frozenset({other})))
        assert [change.ref.name for change in frozen.changes] == ["gone"]


class Listed(UserDict[ObjectRef, Observed]):
    """What stands, counting how often somebody looks through all of it."""

    looks = 0

    def __iter__(self) -> Iterator[ObjectRef]:
        """All of it."""
        self.looks += 1
        return super().__iter__()


def test_planning_looks_through_what_stands_equally_often_for_many_units() -> None:
    """Or ten times the units would take a hundred times as long."""

    def looks(units: int) -> int:
        desired, stands = dict[UnitKey, Desired](), Listed()
        for number in range(units):
            key, made = UnitKey("access", "d", f"api-{number}"), native(f"api-{number}")
            desired[key] = Desired(access("/a"), Translation((made,)))
            stands |= standing(made, owner=key).objects
        plan("m", desired, Observation(stands, {}, "1"), stateless)
        return stands.looks

    assert looks(20) == looks(2) > 0
