"""The running hub over two meshes that are slow, stubborn, shared or away: see tests/servers/turning.py for what must hold."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from typing import Any

import pytest

from hub.model import NativeObject, Op, Request, Role
from tests.servers.searching import search
from tests.servers.small_town import served
from tests.servers.turning import STEPS, Turns

SEARCH = int(os.environ.get("SMIHUB_SEARCH", "1"))
FEW, MANY = (40 * SEARCH, 25), (600, 40)
KIND: Any = Turns


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
def test_whatever_happens_to_meshes_and_source() -> None:
    """Fixed seeds; and all that can happen does, often."""
    tally = search(KIND, STEPS, *FEW, fixed=True)
    assert tally["revocations stand"] > 500 * SEARCH
    assert tally["quiet"] > 20 * SEARCH
    assert tally["in trouble"] > 20 * SEARCH
    assert tally["died"]


@pytest.mark.slow
def test_whatever_happens_to_meshes_and_source_many_steps() -> None:
    """New seeds."""
    search(KIND, STEPS, *MANY, fixed=False)


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
    turns.restart_without_writing()
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
    turns.restart_without_writing()
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
    turns.restart_without_writing()
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
    mesh.foreign(NativeObject(ref, Role.GRANT, mesh.objects[ref].owned.replace(b"sa/web", b"sa/evil")))
    side.look_again(looked_at=True)
    turns.turn()
    mesh.pause(ref)
    side.look_again(looked_at=True)
    turns.turn()
    turns.change([], ["api.web"])
    turns.turn()
    assert lets(turns, "one", "api.web")
    mesh.pause(ref, on=False)
    side.look_again(looked_at=True)
    turns.turn()
    assert not lets(turns, "one", "api.web")


@pytest.mark.parametrize("form", ["memory", "memory-apart", "memory-accepting", "memory-at-once"])
def test_object_that_somebody_deleted_or_edited_is_put_back(turns: Turns, form: str) -> None:
    """The hub that runs does it without news of its sources, also where it could not read the mesh at first."""
    turns.begun((form, "memory"), ["api.web", "db.web"])
    mesh, other = turns.sides["one"].mesh, turns.sides["two"].mesh
    before, written = dict(mesh.objects), list(other.written)
    mesh.vanish(turns.policy("api"))
    edited = before[turns.policy("db")].owned.replace(b"sa/web", b"sa/evil")
    mesh.foreign(NativeObject(turns.policy("db"), Role.GRANT, edited))
    turns.sides["one"].look_again(looked_at=True)
    assert lets(turns, "one", "db.evil")
    mesh.down = True
    turns.turn()
    mesh.recover()
    turns.turn()
    assert {ref: one.owned for ref, one in mesh.objects.items()} == {ref: one.owned for ref, one in before.items()}
    assert other.written == written


def test_new_hub_begins_while_a_mesh_holds_what_another_one_left_half_done(turns: Turns) -> None:
    """It ends it, and rests then."""
    turns.begun(("memory-apart", "memory"), ["api.web", "db.web"])
    mesh = turns.sides["two"].mesh
    mesh.steps = 2
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
    turns.restart_without_writing()
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
