"""Baselines that fail, or are lost on the way: nobody is let through, gains wait, and losses do not."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from msgspec.structs import replace

from hub.api import Baseline, NativeObject, ObjectRef, Role, Translation, Unit
from hub.spec import no_narrowest
from hub.testing.memory import FORMS
from tests.servers.skeletons import (
    MESH,
    OF_MESH,
    OF_SHOP,
    SERVICE,
    SHOP,
    SKELETONS,
    SPEC,
    SkeletalConfig,
    Trial,
    access,
    policy,
    served,
    translate,
)
from tests.servers.small_town import CALLERS

pytestmark = pytest.mark.thorough

# ------------------------------------------------------------------------------- where it ends at any write


CHANGES: tuple[tuple[Iterable[str], Iterable[str]], ...] = (
    ((), ("api.web", "db.evil")),
    (("api.web", "db.evil"), ("api.web", "api.evil")),
    (("api.web", "db.evil"), ()),
    (("api.web",), ("api.other", "pay.web")),
)


@pytest.mark.thorough
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("before", "after"), CHANGES)
async def test_killed_at_any_write_it_lets_nobody_through_and_a_new_process_ends_it(
    tmp_path: Path, form: str, before: Iterable[str], after: Iterable[str]
) -> None:
    """SIGKILL between any two writes, of objects and of what is remembered."""
    number, killed = 0, True
    while killed:
        root = tmp_path / str(number)
        root.mkdir()
        trial = Trial(root, form)
        trial.change(before)
        await trial.settled() if before else None
        trial.change(after)
        killed = await trial.killed_at(number)
        await trial.settled()
        number += 1
    assert number > (1 if form == "memory-at-once" else 3)


@pytest.mark.thorough
@pytest.mark.parametrize("knob", ["refused", "failing", "unanswered", "unaccepted"])
@pytest.mark.parametrize("broken", [MESH, SHOP, policy("api"), policy("db")], ids=lambda ref: f"{ref.kind}-{ref.name}")
@pytest.mark.parametrize(("before", "after"), CHANGES)
async def test_whatever_object_fails_nobody_is_let_through_and_all_is_written_in_the_end(
    stepwise: Trial, knob: str, broken: ObjectRef, before: Iterable[str], after: Iterable[str]
) -> None:
    """Also where the skeleton that stood was deleted by somebody else before."""
    stepwise.change(before)
    if before:
        await stepwise.settled()
        stepwise.mesh.vanish(MESH)
        stepwise.mesh.vanish(SHOP)
    getattr(stepwise.mesh, knob).add(broken)
    stepwise.look()
    stepwise.change(after)
    for _ in range(2):
        await stepwise.apply()
    assert stepwise.wider == []
    stepwise.mesh.recover()
    await stepwise.settled()


# ------------------------------------------------------------------------------- what a failed one holds up


FAILING = [
    *(("refused", form) for form in FORMS),
    *(("failing", form) for form in FORMS if form != "memory-at-once"),  # nothing at all is written there
    ("unaccepted", "memory-accepting"),  # no other kind of sink can tell
]


@pytest.mark.parametrize(("knob", "form"), FAILING)
async def test_failed_skeleton_stops_gains_and_no_loss(tmp_path: Path, knob: str, form: str) -> None:
    """It is amiss, and cannot be put right: who loses does so, who gains waits; afterwards that is written too."""
    trial = Trial(tmp_path, form)
    trial.change(["api.web", "api.evil", "db.web"])
    await trial.settled()
    trial.mesh.foreign(NativeObject(MESH, Role.GUARD, b'{"is":"odd"}'))
    getattr(trial.mesh, knob).add(MESH)
    trial.look()
    trial.change(["api.web", "db.web", "db.other"])
    results = await trial.apply()
    assert served(trial.mesh) == {"api.web", "db.web"}
    assert results[access("db")].state != "written"
    trial.mesh.recover()
    await trial.settled()


async def test_unit_that_gains_and_loses_loses_while_a_skeleton_fails(trial: Trial) -> None:
    """The gain is left out, and the loss is written in its place."""
    trial.change(["api.web", "api.evil"])
    await trial.settled()
    trial.mesh.vanish(SHOP)
    trial.mesh.refused.add(SHOP)
    trial.look()
    trial.change(["api.web", "api.other"])
    await trial.apply()
    assert served(trial.mesh) == {"api.web"}
    trial.mesh.recover()
    await trial.settled()


@pytest.mark.parametrize("narrow", [True, False])
async def test_last_grant_is_not_deleted_while_the_skeleton_is_missing(trial: Trial, narrow: bool) -> None:  # noqa: FBT001 - drawn
    """Nothing would be left that refuses anybody anything: it grants nothing any more, if the adapter can say that, or stays."""
    trial.spec = SPEC if narrow else replace(SPEC, narrowest=no_narrowest)
    trial.change(["api.web", "db.web"])
    await trial.settled()
    for ref in SKELETONS:
        trial.mesh.vanish(ref)
    trial.mesh.refused |= SKELETONS
    trial.look()
    trial.change(["db.web"])
    for _ in range(2):
        await trial.apply()
        kept = set() if narrow else {"api.web"}
        assert served(trial.mesh) - {f"pay.{caller}" for caller in CALLERS} == {"db.web"} | kept
    trial.mesh.recover()
    await trial.settled()
    assert policy("api") not in trial.mesh.objects


async def test_narrowest_form_is_remembered_as_what_stands(trial: Trial) -> None:
    """Nobody is told twice what is lost, and what would be granted there again is new."""
    trial.change(["api.web"])
    await trial.settled()
    trial.mesh.vanish(MESH)
    trial.mesh.refused.add(MESH)
    trial.look()
    trial.change([])
    first = (await trial.plan()).plan
    assert (len(first.denied), first.losing) == (1, (access("api"),))
    await trial.apply()
    assert trial.mesh.objects[policy("api")].owned == b'{"is":[]}'
    again = (await trial.plan()).plan
    assert (again.denied, again.losing) == ((), ())
    written = len(trial.mesh.written)
    await trial.apply()
    assert len(trial.mesh.written) == written
    trial.change(["api.web"])
    assert len((await trial.plan()).plan.allowed) == 1


async def test_grant_that_stays_as_it_is_is_told_as_denied_until_it_is(trial: Trial) -> None:
    """The adapter has no narrower form: what was to be deleted stands, and nobody may take it for gone."""
    trial.spec = replace(SPEC, narrowest=no_narrowest)
    trial.change(["api.web"])
    await trial.settled()
    trial.mesh.vanish(MESH)
    trial.mesh.refused.add(MESH)
    trial.look()
    trial.change([])
    for _ in range(3):
        await trial.apply()
        assert len((await trial.plan()).plan.denied) == 1
    trial.mesh.recover()
    await trial.settled()


async def test_last_grant_does_not_go_while_its_skeleton_is_not_in_force(tmp_path: Path) -> None:
    """It stands, but the mesh has not taken it: the grant is emptied at once, and deleted when that is so."""
    trial = Trial(tmp_path, "memory-accepting")
    trial.change(["api.web"])
    await trial.settled()
    trial.mesh.unaccepted.add(MESH)
    trial.change([])
    await trial.apply()
    assert trial.mesh.objects[policy("api")].owned == b'{"is":[]}'
    trial.mesh.recover()
    await trial.settled()
    assert policy("api") not in trial.mesh.objects


async def test_adapter_that_raises_on_a_narrowest_form_leaves_the_grant_as_it_is(tmp_path: Path) -> None:
    """It is named."""

    def fails(body: bytes, kind: str) -> bytes | None:
        raise KeyError("nobody thought of this")

    trial = Trial(tmp_path, "memory", replace(SPEC, narrowest=fails))
    trial.change(["api.web"])
    await trial.settled()
    trial.mesh.unmark(MESH)
    trial.change([])
    reviewed = await trial.plan()
    assert ("bug.adapter", access("api")) in {(each.code, each.unit) for each in reviewed.refusals}
    assert not [change for change in reviewed.plan.changes if change.ref == policy("api")]


async def test_skeleton_in_the_place_of_which_somebody_elses_object_stands(trial: Trial) -> None:
    """It is a conflict of that unit alone; what needs it gains nothing and loses all the same."""
    trial.change(["api.web", "api.evil"])
    await trial.settled()
    trial.mesh.unmark(SHOP)
    trial.look()
    trial.change(["api.web", "db.web"])
    reviewed = await trial.plan()
    assert [(each.code, each.unit) for each in reviewed.refusals] == [("guard.foreign-owner", OF_SHOP)]
    await trial.apply()
    assert served(trial.mesh) == {"api.web"}
    trial.change([])
    await trial.apply()
    assert trial.mesh.objects[policy("api")].owned == b'{"is":[]}'
    assert served(trial.mesh) == set()


async def test_adapter_that_raises_on_a_skeleton_stops_gains_and_no_loss(tmp_path: Path) -> None:
    """It stays as it stands, and is named; so too where somebody deleted it before."""

    def fails(unit: Unit, config: SkeletalConfig) -> Translation:
        if isinstance(unit, Baseline):
            raise KeyError("nobody thought of this")
        return translate(unit, config)

    trial = Trial(tmp_path, "memory")
    trial.change(["api.web", "api.evil"])
    await trial.settled()
    trial.spec = replace(SPEC, translate=fails)
    trial.change(["api.web", "db.web"])
    reviewed = await trial.plan()
    assert {each.unit for each in reviewed.refusals} == {OF_MESH, OF_SHOP}
    await trial.apply()
    assert served(trial.mesh) == {"api.web"}
    assert trial.mesh.objects.keys() >= SKELETONS
    for ref in SKELETONS:
        trial.mesh.vanish(ref)
    trial.look()
    trial.change([])
    await trial.apply()
    assert not [name for name in served(trial.mesh) if name.startswith("api.")]


@pytest.mark.parametrize("scope", ["", "TrafficTarget/", "Pod/", "Service/"])
async def test_nothing_of_a_skeleton_goes_while_something_is_unread(trial: Trial, scope: str) -> None:
    """Not by a new process either, which never saw what it cannot read."""
    trial.put(SERVICE.format("api"))
    trial.change(["api.web"])
    await trial.settled()
    trial.fail(scope or "TrafficTarget/", *(() if scope else ("Pod/", "Service/")))
    await trial.apply()
    assert trial.mesh.objects.keys() >= SKELETONS
    trial.remove("Service/shop/api")
    await trial.apply()
    assert trial.mesh.objects.keys() >= SKELETONS


async def test_last_service_of_a_scope_takes_no_skeleton_away_while_something_is_unread(trial: Trial) -> None:
    """Nobody can tell what else is governed there; once it can be read, the skeleton goes."""
    trial.remove_accounts()
    trial.put(SERVICE.format("api"))
    await trial.apply()
    trial.fail("Pod/")
    trial.remove("Service/shop/api")
    await trial.apply()
    assert trial.mesh.objects.keys() == SKELETONS
    trial.fail()
    await trial.apply()
    assert not trial.mesh.objects


async def test_gain_waits_for_a_skeleton_that_stands_and_is_not_in_force(tmp_path: Path) -> None:
    """The mesh has not taken it yet, or has dropped it; who loses does so."""
    trial = Trial(tmp_path, "memory-accepting")
    trial.change(["api.web", "api.evil"])
    await trial.settled()
    trial.mesh.unaccepted.add(MESH)
    trial.change(["api.web", "db.web"])
    await trial.apply()
    assert served(trial.mesh) == {"api.web"}
    trial.mesh.recover()
    await trial.settled()
