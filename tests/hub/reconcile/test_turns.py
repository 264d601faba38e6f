"""The running hub over two meshes that are slow, stubborn, shared or away, one case each; test_schedules searches for more."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from hub.model import NativeObject, Op, Request, Role
from tests.servers.small_town import served
from tests.servers.turning import Turns


@pytest.fixture(name="turns")
def make_turns() -> Iterator[Turns]:
    """A hub that is to begin."""
    with Turns() as made:
        yield made


def lets(turns: Turns, mesh: str, grant: str) -> bool:
    """Whether a mesh lets a caller through to a receiver (`receiver.caller`)."""
    receiver, caller = grant.split(".")
    return any(_is(one, receiver, caller) for one in served(turns.sides[mesh].mesh))


def assert_web_leaves_before_other_comes(turns: Turns) -> None:
    """What is in trouble in the first mesh holds up who gains, and not who loses."""
    turns.turn()
    assert not lets(turns, "one", "api.web")
    assert not lets(turns, "one", "api.other")
    turns.sides["one"].mesh.recover()
    turns.turn()
    assert lets(turns, "one", "api.other")


def _is(request: Request, receiver: str, caller: str) -> bool:
    asked = (request.src.identity, request.dst.pod, request.path)
    return asked == (f"shop/{caller}", f"shop/{receiver}", "/books")


@pytest.mark.thorough
@pytest.mark.parametrize("knob", ["slow", "failing", "refused", "unanswered", "unaccepted", "late"])
def test_trouble_with_one_object_holds_up_no_other_unit(turns: Turns, knob: str) -> None:
    """Neither in the plan that meets it, nor in one that is made while it lasts; it is written when that is over."""
    turns.begun(("memory-accepting", "memory-at-once"), ["api.web", "db.web", "pay.web"])
    mesh, ref = turns.sides["one"].mesh, turns.policy("api")
    held = getattr(mesh, knob)
    held.setdefault(ref, asyncio.Event()) if isinstance(held, dict) else held.add(ref)
    turns.change(["api.other"], ["db.web"])
    turns.turn()
    assert not lets(turns, "one", "db.web")
    turns.change(["db.other", "api.evil"], ["pay.web", "api.other"])
    turns.turn()
    assert not lets(turns, "one", "pay.web")
    assert lets(turns, "one", "db.other")
    mesh.recover()
    turns.turn()
    assert lets(turns, "one", "api.evil")
    assert not lets(turns, "one", "api.other")


def test_gain_that_was_revoked_on_its_way_is_taken_back(turns: Turns) -> None:
    """Its write was slow; what was planned since follows as soon as it ends."""
    turns.begun(("memory-apart", "memory"), ["api.web"])
    mesh = turns.sides["one"].mesh
    mesh.slow[turns.policy("api")] = asyncio.Event()
    turns.change(["api.evil"])
    turns.turn()
    turns.change([], ["api.evil"])
    turns.turn()
    assert mesh.waiting == {turns.policy("api")}
    mesh.recover()
    turns.turn()
    assert mesh.written[-2:] == [(Op.REPLACE, turns.policy("api"))] * 2
    assert not lets(turns, "one", "api.evil")


def test_gain_that_was_revoked_while_it_waited_for_the_mesh_is_never_written(turns: Turns) -> None:
    """What it builds on comes into force later than the hub hears that nobody is to gain any more."""
    turns.begun(("memory-accepting", "memory"), ["api.web"])
    mesh = turns.sides["one"].mesh
    mesh.late[turns.policy("api", "PeerAuthentication")] = asyncio.Event()
    before = list(mesh.written)
    turns.change(["api.evil"])
    turns.turn()
    turns.change([], ["api.evil"])
    turns.turn()
    mesh.recover()
    turns.turn()
    assert mesh.written == before


def test_gain_that_was_revoked_while_another_object_was_written_is_never_written(turns: Turns) -> None:
    """Its guard is slow to be written, and the hub hears meanwhile that nobody is to gain any more."""
    turns.begun(("memory-apart", "memory"), ["api.web"])
    mesh, guard = turns.sides["one"].mesh, turns.policy("api", "PeerAuthentication")
    mesh.vanish(guard)
    turns.restart()
    mesh.slow[guard] = asyncio.Event()
    turns.change(["api.evil"])
    turns.turn()
    turns.change([], ["api.evil"])
    turns.turn()
    before = len(mesh.written)
    mesh.recover()
    turns.turn()
    assert mesh.written[before:] == [(Op.CREATE, guard)]


def test_revocation_does_not_wait_for_the_mesh_behind_a_gain_of_the_same_unit(turns: Turns) -> None:
    """What the gain builds on is not in force yet; the gain is written when it is."""
    turns.begun(("memory-accepting", "memory"), ["api.web"])
    mesh = turns.sides["one"].mesh
    mesh.late[turns.policy("api", "PeerAuthentication")] = asyncio.Event()
    turns.change(["api.other"])
    turns.turn()
    turns.change([], ["api.web"])
    assert_web_leaves_before_other_comes(turns)


def test_loss_does_not_need_what_the_gain_beside_it_needs(turns: Turns) -> None:
    """The new guard of a unit does not come into force in time: who loses there does so, who gains waits for it."""
    turns.begun(("memory-accepting", "memory"), ["api.web"])
    mesh, guard = turns.sides["one"].mesh, turns.policy("api", "PeerAuthentication")
    mesh.vanish(guard)
    turns.restart()
    mesh.unaccepted.add(guard)
    turns.change(["api.other"], ["api.web"])
    assert_web_leaves_before_other_comes(turns)


def test_revocation_that_a_mesh_missed_is_not_forgotten_when_its_file_goes_out_of_sight(turns: Turns) -> None:
    """The hub was told of it while the mesh was away; what cannot be read since brings nothing back."""
    turns.begun(("memory-apart", "memory"), ["api.web", "db.web"])
    mesh = turns.sides["one"].mesh
    mesh.down = True
    turns.change([], ["api.web"])
    turns.turn()
    turns.fail("TrafficTarget/")
    turns.turn()
    mesh.recover()
    turns.turn()
    assert not lets(turns, "one", "api.web")
    assert lets(turns, "one", "db.web")


def test_object_that_was_left_alone_is_written_when_nobody_asks_for_that_any_more(turns: Turns) -> None:
    """The hub that runs notices, without news of its sources."""
    turns.begun(("memory-apart", "memory"), ["api.web", "db.web"])
    mesh, ref = turns.sides["one"].mesh, turns.policy("api")
    mesh.pause(ref)
    turns.restart()
    turns.change([], ["api.web"])
    turns.turn()
    assert lets(turns, "one", "api.web")
    mesh.pause(ref, on=False)
    turns.turn()
    assert not lets(turns, "one", "api.web")


def test_object_that_was_left_alone_is_written_at_once_though_somebody_kept_changing_it(turns: Turns) -> None:
    """What is put back later each time is not what was asked to be left alone, and is not any more."""
    turns.begun(("memory-apart", "memory"), ["api.web", "db.web"])
    side, ref = turns.sides["one"], turns.policy("api")
    mesh = side.mesh
    other = NativeObject(ref, Role.GRANT, mesh.objects[ref].owned.replace(b"sa/web", b"sa/evil"))
    side.touch(ref, lambda: mesh.foreign(other))
    turns.turn()
    turns.somebody("one", "pause", "api")
    turns.turn()
    turns.change([], ["api.web"])
    turns.turn()
    assert lets(turns, "one", "api.web")
    turns.somebody("one", "resume", "api")
    turns.turn()
    assert not lets(turns, "one", "api.web")


@pytest.mark.parametrize("form", ["memory", "memory-apart", "memory-accepting", "memory-at-once"])
def test_object_that_somebody_deleted_or_edited_is_put_back(turns: Turns, form: str) -> None:
    """The hub that runs does it without news of its sources, also where it could not read the mesh at first."""
    turns.begun((form, "memory"), ["api.web", "db.web"])
    side, other, db = turns.sides["one"], turns.sides["two"].mesh, turns.policy("db")
    mesh = side.mesh
    before, written = dict(mesh.objects), list(other.written)
    turns.somebody("one", "vanish", "api")
    edited = NativeObject(db, Role.GRANT, before[db].owned.replace(b"sa/web", b"sa/evil"))
    side.touch(db, lambda: mesh.foreign(edited))
    assert lets(turns, "one", "db.evil")
    mesh.down = True
    turns.turn()
    mesh.recover()
    turns.turn()
    assert {ref: one.owned for ref, one in mesh.objects.items()} == {ref: one.owned for ref, one in before.items()}
    assert other.written == written


def test_nothing_is_revoked_before_the_sources_were_read_though_somebody_changes_the_mesh(turns: Turns) -> None:
    """A new hub puts back what somebody edits once it knows what is wanted, and not as if nothing were."""
    turns.begun(("memory-apart", "memory"), ["api.web", "db.web"])
    mesh = turns.sides["one"].mesh
    turns.restart()
    turns.slow_source(on=True)
    turns.turn()
    before = list(mesh.written)
    turns.somebody("one", "edit", "api")
    turns.turn()
    assert mesh.written == before
    assert lets(turns, "one", "db.web")
    turns.slow_source(on=False)
    turns.turn()
    assert lets(turns, "one", "api.web")
    assert mesh.written[len(before) :] == [(Op.REPLACE, turns.policy("api"))]


def test_refused_plan_is_not_written_in_parts_because_a_unit_of_it_was_recalled(turns: Turns) -> None:
    """The loss of one unit passed by itself, the other one was left behind, and status told of no refusal any more."""
    turns.begun(("memory-apart", "memory"), ["api.web", "api.evil", "db.web"])
    turns.fail("HTTPRouteGroup/")
    turns.accept("")
    turns.change([], ["api.evil", "db.web"])
    turns.turn()
    for name in ("one", "two"):
        assert turns.process.refused(name)
        assert lets(turns, name, "api.evil")
        assert turns.approve(name)
    turns.turn()
    for name in ("one", "two"):
        assert not lets(turns, name, "api.evil")
        assert not lets(turns, name, "db.web")


def test_refused_plan_stays_refused_while_somebody_keeps_changing_what_it_is_not_about(turns: Turns) -> None:
    """What is put back later is planned for status alone, and passes: that must not end the refusal, nor its ten minutes."""
    turns.begun(("memory-apart", "memory"), ["api.web", "db.web"], accept="")
    turns.change([], ["api.web", "db.web"])
    turns.turn()
    since = turns.process.refused_since("one")
    for how in ("copy", "edit", "edit"):
        turns.somebody("one", how, "pay")
        turns.wait(0.05)
        assert turns.process.refused("one")
        assert turns.process.refused_since("one") == since
        assert turns.process.hub is not None
        assert turns.process.hub.window.begins("one", 2e9) < 1.8e9


def test_new_hub_begins_while_a_mesh_holds_what_another_one_left_half_done(turns: Turns) -> None:
    """It ends it, and rests then."""
    turns.begun(("memory-apart", "memory"), ["api.web", "db.web"])
    mesh = turns.sides["two"].mesh
    turns.cut("two", 2, dies=True)
    turns.change(["api.other", "db.other"], ["api.web"])
    turns.turn()
    assert turns.tally["died"] == 1
    turns.turn()
    assert not lets(turns, "two", "api.web")
    assert lets(turns, "two", "db.other")
    before = list(mesh.written)
    turns.turn()
    assert mesh.written == before


def test_loss_does_not_wait_until_what_the_gain_beside_it_builds_on_is_in_force(turns: Turns) -> None:
    """The guard stands, but the mesh has not taken it yet; also a later plan that only gains waits for it."""
    turns.begun(("memory-accepting", "memory"), ["api.web"])
    mesh, guard = turns.sides["one"].mesh, turns.policy("api", "PeerAuthentication")
    mesh.unaccepted.add(guard)
    turns.change(["api.other"], ["api.web"])
    for _ in range(2):
        turns.turn()
        assert not lets(turns, "one", "api.web")
        assert not lets(turns, "one", "api.other")
    mesh.recover()
    mesh.late[guard] = asyncio.Event()
    turns.change(["api.web"], [])
    turns.turn()
    assert not lets(turns, "one", "api.other")
    mesh.recover()
    turns.turn()
    assert lets(turns, "one", "api.other")


def test_loss_is_written_while_the_guard_of_the_gain_beside_it_is_late(turns: Turns) -> None:
    """At once, and not when the deadline of the guard has passed."""
    turns.begun(("memory-accepting", "memory"), ["api.web"])
    mesh = turns.sides["one"].mesh
    mesh.late[turns.policy("api", "PeerAuthentication")] = asyncio.Event()
    turns.change(["api.other"], ["api.web"])
    turns.turn()
    assert not lets(turns, "one", "api.web")
    assert not lets(turns, "one", "api.other")
    mesh.recover()
    turns.turn()
    assert lets(turns, "one", "api.other")


@pytest.mark.parametrize("form", ["memory", "memory-apart"])
def test_loss_is_written_where_the_gain_beside_it_cannot_be(turns: Turns, form: str) -> None:
    """A guard that the mesh refuses keeps what its unit would gain, and nothing of what it loses."""
    turns.begun((form, "memory"), ["api.web"])
    mesh, guard = turns.sides["one"].mesh, turns.policy("api", "PeerAuthentication")
    mesh.vanish(guard)
    turns.restart()
    mesh.refused.add(guard)
    turns.change(["api.other"], ["api.web"])
    turns.turn()
    assert not lets(turns, "one", "api.web")
    assert not lets(turns, "one", "api.other")


def test_gain_that_waits_for_a_part_of_the_source_is_not_lost(turns: Turns) -> None:
    """When that can be read the running hub grants it, without any other news."""
    turns.begun(("memory-apart", "memory"), ["api.web"])
    turns.fail("Pod/shop/web")
    turns.change(["db.other"])
    turns.turn()
    assert not lets(turns, "one", "db.other")
    turns.fail()
    turns.turn()
    assert lets(turns, "one", "db.other")
    assert lets(turns, "two", "db.other")


@pytest.mark.thorough
@pytest.mark.parametrize("knob", ["unanswered", "loses_answer"])
@pytest.mark.parametrize("form", ["memory", "memory-apart", "memory-at-once"])
def test_gain_of_which_the_answer_was_lost_is_revoked(turns: Turns, form: str, knob: str) -> None:
    """It was written after all, so what stands is not what the hub planned on: the revocation has something to write."""
    turns.begun((form, "memory"), ["api.web"])
    mesh = turns.sides["one"].mesh
    mesh.unanswered = {turns.policy("api")} if knob == "unanswered" else set()
    mesh.loses_answer = knob == "loses_answer"
    turns.change(["api.evil"])
    turns.turn()
    assert lets(turns, "one", "api.evil")
    mesh.recover()
    turns.change([], ["api.evil"])
    turns.turn()
    assert not lets(turns, "one", "api.evil")


def test_hub_that_ends_right_before_it_writes_leaves_no_coroutine_behind(turns: Turns) -> None:
    """Whoever ends a hub is not told of coroutines that were never awaited; here that is an error."""
    turns.begun(("memory", "memory-apart"), [])
    turns.cut("one", 0, dies=True)
    turns.change(["api.web", "db.web", "pay.web"])
    turns.turn()
    assert turns.tally["died"]
