"""What is written of units that somebody edited, by adapters without a `meet` of their own, and what the plan says of it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from msgspec.structs import replace

from hub.api import stateless
from hub.memory.states import Remembered, State, encode
from hub.model import Access, Identity, NativeObject, ObjectRef, Observation, Observed, Op, Role, Translation, UnitKey
from hub.plan.changes import Constraints, Desired
from hub.plan.meet import as_natives, by_object
from hub.plan.plan import plan

KEY = UnitKey("access", "d", "api")


def native(name: str, role: Role = Role.GRANT, body: str = "web", needs: tuple[str, ...] = ()) -> NativeObject:
    """An object whose body is whom it lets in."""
    return NativeObject(ref(name), role, body.encode(), needs=tuple(map(ref, needs)))


def ref(name: str) -> ObjectRef:
    """An object of the mesh."""
    return ObjectRef("mesh", "Thing", "d", name)


CALLERS, LOCK = native("callers", Role.REFERENCED), native("lock", Role.GUARD, "")
GRANT = native("grant", body="see callers", needs=("callers",))
WANTED = (CALLERS, GRANT, LOCK)


def emptied(body: bytes, kind: str) -> bytes | None:
    """The narrowest form of a grant; none of garbage."""
    return b"nobody" if body != b"garbage" else None


def met(*standing: NativeObject, wanted: tuple[NativeObject, ...] = WANTED) -> Mapping[str, NativeObject]:
    """What is to be written, by name."""
    found = by_object(emptied)(standing, wanted)
    assert {*by_object(emptied)(found, wanted)} == {*found}
    return {one.ref.name: one for one in found}


def test_what_stands_as_it_is_wanted_stays() -> None:
    """All of it."""
    assert {*met(*WANTED).values()} == {*WANTED}


@pytest.mark.parametrize(
    "edited",
    [
        replace(GRANT, body=b"evil"),
        replace(GRANT, body=b"garbage"),
        replace(GRANT, role=Role.GUARD, body=b"evil"),
        replace(GRANT, needs=()),
        replace(CALLERS, body=b"web, evil"),
        replace(CALLERS, needs=(ref("lock"),)),
    ],
)
def test_grant_of_which_anything_was_edited_grants_nothing(edited: NativeObject) -> None:
    """Itself, what it refers to, or the marks on them; whatever else stands stays as it stands."""
    found = met(*(edited if one.ref == edited.ref else one for one in WANTED))
    assert found["grant"].body == b"nobody"
    assert found["grant"].role is Role.GRANT
    assert found["callers"].body == (edited.body if edited.ref == CALLERS.ref else CALLERS.body)


def test_nothing_that_grants_is_made_and_what_refuses_comes_back() -> None:
    """A grant that somebody deleted, or what it refers to, is new to whoever is refused now; it refuses by its presence."""
    assert {*met()} == {"lock"}
    assert {*met(CALLERS)} == {"callers", "grant", "lock"}
    assert met(CALLERS)["grant"].body == b"nobody"
    assert "grant" not in met(CALLERS, wanted=(CALLERS, replace(GRANT, body=b"garbage"), LOCK))
    assert met(GRANT, LOCK)["grant"].body == b"nobody"


def test_grant_that_is_not_wanted_goes_as_far_as_that_opens_nothing() -> None:
    """In its narrowest form, where that can be said."""
    assert met(*WANTED, native("old", body="evil"))["old"].body == b"nobody"
    assert "old" not in met(*WANTED, native("old", body="garbage"))


def test_what_is_remembered_and_does_not_stand_is_not_there() -> None:
    """Its place is known, and nothing else."""
    seen = {
        one.ref: Observed(one.ref, one.body, KEY, "" if one == GRANT else "1", one.role, one.needs) for one in WANTED
    }
    assert {one.ref for one in as_natives(seen)} == {CALLERS.ref, LOCK.ref}


def test_plan_of_such_a_unit_counts_as_a_loss_and_proves_nothing() -> None:
    """It counts for the blast radius although nobody can name who loses, and what is remembered stays as it is."""
    raw = encode(Remembered(2, (State(natives="other"),)))
    seen = {one.ref: Observed(one.ref, one.body, KEY, "1", one.role, one.needs) for one in (*WANTED, native("more"))}
    unit = Desired(Access(Identity("td", "d", "api")), Translation(WANTED))
    made = plan("m", {KEY: unit}, Observation(seen, {KEY: raw}), stateless, Constraints(unproven=frozenset({KEY})))
    assert [change.op for change in made.changes] == [Op.DELETE]
    assert (made.losing, made.gained, made.unproven) == ((KEY,), (), (KEY,))
    assert made.memory == {KEY: raw}
    del seen[ref("more")]
    made = plan("m", {KEY: unit}, Observation(seen, {KEY: raw}), stateless, Constraints(unproven=frozenset({KEY})))
    assert (made.changes, made.losing, dict(made.memory)) == ((), (), {})
