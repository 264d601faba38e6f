"""What a rollout leaves out: of a mesh that takes all or nothing, a refused object's unit and those that rest on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import ClassVar

from msgspec.structs import replace

from hub.api import Written
from hub.memory.permits import Permit
from hub.mirror import Mirror
from hub.model import Change, Identity, NativeObject, ObjectRef, Observation, Observed, Op, Role, UnitKey
from hub.plan.changes import new_grants_first, wave
from hub.plan.plan import Plan
from hub.reconcile.news import News
from hub.reconcile.rollout import roll_out


def key(name: str) -> UnitKey:
    """A unit."""
    return UnitKey("route", "shop", name)


def ref(name: str) -> ObjectRef:
    """An object."""
    return ObjectRef("xds", "Thing", "", name)


def made(unit: str, name: str, *needs: str) -> Change:
    """An object is created."""
    native = NativeObject(ref(name), Role.GRANT, b"{}", needs=tuple(map(ref, needs)))
    return Change(Op.CREATE, native.ref, wave(Role.GRANT, Op.CREATE), None, native, key(unit))


def gone(unit: str, name: str) -> Change:
    """An object that others referred to goes."""
    return Change(Op.DELETE, ref(name), wave(Role.REFERENCED, Op.DELETE), b"{}", None, key(unit))


class AtOnce:
    """Takes everything but some objects."""

    def __init__(self, *never: str) -> None:
        self.never = {ref(name) for name in never}
        self.taken: tuple[Change, ...] = ()

    async def observe(self) -> Observation:
        """Nothing."""
        return Observation()

    def refused(self, changes: Sequence[Change]) -> Sequence[Written]:
        """See hub.api.Transactional."""
        return [Written(each.ref, "refused", detail="no") for each in changes if each.ref in self.never]

    async def write_all(self, changes: Sequence[Change], memory: Mapping[UnitKey, bytes], token: str) -> str:
        """See hub.api.Transactional."""
        self.taken = tuple(changes)
        return "2"

    async def close(self) -> None:
        """Nothing is open."""


class OneByOne:
    """Takes everything but some objects, one after the other."""

    apart: ClassVar[bool] = False

    def __init__(self, *never: str) -> None:
        self.never = {ref(name) for name in never}
        self.taken: list[str] = []
        self.token = "2"

    async def observe(self) -> Observation:
        """Nothing."""
        return Observation()

    @asynccontextmanager
    async def writing(self, token: str) -> AsyncIterator[OneByOne]:
        """It is its own Writing."""
        yield self

    async def write(self, changes: Sequence[Change]) -> Sequence[Written]:
        """See hub.api.Writing."""
        self.taken += [each.ref.name for each in changes if each.ref not in self.never]
        return [Written(each.ref, "failed" if each.ref in self.never else "written", "3") for each in changes]

    async def remember(self, memory: Mapping[UnitKey, bytes]) -> None:
        """Nothing is kept."""

    async def close(self) -> None:
        """Nothing is open."""


async def rolled(sink: AtOnce, changes: Sequence[Change], *standing: Observed) -> dict[str, str]:
    """What became of each unit."""
    mirror = Mirror(Observation({one.ref: one for one in standing}))
    done = await roll_out(sink, Plan("vms", "1", tuple(changes)), mirror)
    assert {change.unit for change in sink.taken}.isdisjoint(done.stopped)
    return {unit.name: each.state for unit, each in done.results.items()}


async def test_units_that_need_what_a_refused_unit_would_have_made_wait_too() -> None:
    """Through any number of steps; nobody else does."""
    changes = [made("bad", "x"), made("bad", "y"), made("near", "n", "y"), made("far", "f", "n"), made("other", "o")]
    found = await rolled(AtOnce("x"), changes)
    assert found == {"bad": "refused", "near": "waiting", "far": "waiting", "other": "written"}


async def test_a_gain_of_which_there_is_news_is_not_taken_nor_what_needs_it() -> None:
    """It was planned, and then revoked; of losses nothing waits."""
    changes = [made("gains", "x"), made("near", "n", "x"), gone("loses", "y"), made("other", "o")]
    web = "spiffe://d/ns/shop/sa/web"
    gained = (Permit(Identity("d", "shop", "gains"), web, "TCP", None, None, None),)
    news, sink = News(), AtOnce()
    news.tell([key("gains"), key("loses")])
    done = await roll_out(sink, Plan("vms", "1", tuple(changes), gained=gained), Mirror(Observation()), news)
    assert {unit.name for unit in done.stopped} == {"gains", "near"}
    assert {change.unit.name for change in sink.taken} == {"loses", "other"}


async def test_what_a_refused_unit_needs_still_is_not_deleted_under_it() -> None:
    """Its object stays as it is, and so does what that refers to."""
    native = NativeObject(ref("x"), Role.GRANT, b"new")
    replaced = Change(Op.REPLACE, ref("x"), wave(Role.GRANT, Op.REPLACE), b"old", native, key("bad"), "1")
    before = Observed(ref("x"), b"old", key("bad"), "1", Role.GRANT, (ref("used"),))
    found = await rolled(AtOnce("x"), [replaced, gone("owner", "used"), gone("other", "unused")], before)
    assert found == {"bad": "refused", "owner": "waiting", "other": "written"}


async def test_a_new_grant_that_comes_before_old_ones_go_is_not_written_after_a_failure() -> None:
    """Its wave is that in which others lose (AdapterSpec.new_first); a unit that stopped gains nothing."""
    unit = UnitKey("access", "shop", "api")
    callers = NativeObject(ref("callers"), Role.REFERENCED, b"{}")
    referenced = Change(Op.CREATE, callers.ref, wave(Role.REFERENCED, Op.CREATE), None, callers, unit)
    (fresh,) = new_grants_first([replace(made("api", "policy"), unit=unit)], {})
    assert fresh.wave == wave(Role.GRANT, Op.DELETE)
    gained = (Permit(Identity("d", "shop", "api"), "spiffe://d/ns/shop/sa/web", "TCP", None, None, None),)
    sink = OneByOne("callers")
    await roll_out(sink, Plan("pods", "1", (referenced, fresh), gained=gained), Mirror(Observation()))
    assert sink.taken == []
