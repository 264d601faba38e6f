"""What became of every unit: conditions, since when, and one change for one change."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace

from hub.model import ObjectRef, UnitKey
from hub.reconcile.hub import Hub, Reviewed
from hub.status.journal import Journal
from hub.status.outcomes import Outcome, Outcomes, Result
from tests.hub.cli.test_apply import UDP
from tests.hub.cli.test_status import ISTIO
from tests.servers.folder import CONFIG, Folder, shop, target, workload
from tests.servers.hubs import hub_of

API, WEB, ROUTE = UnitKey("access", "shop", "api"), UnitKey("access", "shop", "web"), UnitKey("route", "shop", "api")
TARGET = ObjectRef("access.smi-spec.io", "TrafficTarget", "shop", "api-from-web")


class World:
    """A folder, the hub on it, and what is known of its outcomes; time passes when it is told to."""

    def __init__(self, root: Path) -> None:
        self.folder = shop(root)
        self.outcomes = Outcomes()
        self.now = 100.0

    def hub(self) -> Hub:
        """A fresh one that has read the folder."""
        hub = hub_of(self.folder.root / "smihub.yaml")
        hub.read()
        return hub

    async def planned(self, *accept: str) -> Reviewed:
        """Plan the only mesh, and tell."""
        hub = self.hub()
        try:
            reviewed = await hub.plan(hub.meshes[0], accept)
        finally:
            await hub.close()
        self.outcomes.planned(reviewed, self.now)
        return reviewed

    async def applied(self) -> Reviewed:
        """Plan, write, and tell both."""
        hub = self.hub()
        try:
            reviewed = await hub.plan(hub.meshes[0])
            self.outcomes.planned(reviewed, self.now)
            await hub.apply(hub.meshes[0], reviewed.plan)
        finally:
            await hub.close()
        self.outcomes.written("vms", dict.fromkeys(reviewed.decided.units, Result("written")), self.now)
        return reviewed

    def of(self, key: UnitKey = API) -> Outcome:
        """The outcome of a unit."""
        return self.outcomes.of("vms")[key]


@pytest.fixture
def world(tmp_path: Path) -> World:
    """`web` may GET /books from `api`; nothing is applied yet."""
    return World(tmp_path)


def said(outcome: Outcome) -> dict[str, str]:
    """Conditions as `status/reason`."""
    return {kind: f"{each.status}/{each.reason}" for kind, each in outcome.conditions.items()}


GOOD = {
    "Accepted": "True/accepted",
    "ResolvedRefs": "True/resolved",
    "Lowered": "True/lowered",
    "Applied": "True/applied",
    "Drifted": "False/as-written",
}


async def test_unit_is_pending_until_it_is_written(world: World) -> None:
    """Planned is not applied; what waits is no bad condition."""
    await world.planned()
    assert said(world.of()) == {**GOOD, "Applied": "Unknown/pending"}
    assert world.of().bad == ()
    await world.applied()
    assert {key: said(each) for key, each in world.outcomes.of("vms").items()} == dict.fromkeys((API, WEB, ROUTE), GOOD)


async def test_causes_have_file_and_line(world: World) -> None:
    """The objects behind a unit, where they were read."""
    await world.applied()
    (cause,) = (each for each in world.of().causes if each.ref == TARGET)
    assert (cause.origin.source, cause.origin.file, cause.origin.line) == ("manifests", "access.yaml", 1)


@pytest.mark.thorough
async def test_since_and_generation_change_with_the_state_alone(world: World) -> None:
    """Looking again changes nothing; another grant is another generation, and a later time."""
    await world.applied()
    world.outcomes.changed()
    before, world.now = world.of(), 200.0
    await world.applied()
    assert world.of() == before
    assert world.outcomes.changed().units == ()
    world.folder.write("access.yaml", target("api-from-web", matches="orders"))
    await world.applied()
    after = world.of()
    assert (after.generation, after.condition("Applied").since) == (before.generation + 1, 200.0)
    assert after.condition("Accepted").since == 100.0
    assert [change.unit for change in world.outcomes.changed().units] == [API]


@pytest.mark.thorough
async def test_one_change_among_many_units_is_one_change(world: World) -> None:
    """What is handed out does not grow with what stays."""
    world.folder.write("more.yaml", *(workload(f"w{number}", number) for number in range(30)))
    await world.applied()
    assert len(world.outcomes.changed().units) == 33
    world.folder.write("one.yaml", target("one", "w7"))
    await world.applied()
    assert [change.unit.name for change in world.outcomes.changed().units] == ["w7"]


@pytest.mark.thorough
@pytest.mark.parametrize("state", ["stale", "refused", "failed", "waiting", "bug"])
async def test_write_that_did_not_happen_is_told_with_its_object(world: World, state: str) -> None:
    """Since when, at which object, and until it is written."""
    await world.planned()
    world.outcomes.written("vms", {API: Result(state, "no room", TARGET)}, 150.0)  # type: ignore[arg-type] # a table
    applied = world.of().condition("Applied")
    assert (applied.status, applied.reason, applied.since) == ("False", state, 150.0)
    assert applied.message == "TrafficTarget/shop/api-from-web: no room"
    assert world.of().bad == ("Applied",)
    world.outcomes.written("vms", {API: Result("written")}, 160.0)
    assert said(world.of()) == GOOD


@pytest.mark.thorough
async def test_waiting_revocation_is_counted_from_when_it_was_wanted(world: World) -> None:
    """However often it is planned again, and until it is written."""
    await world.applied()
    world.folder.remove("access.yaml")
    world.now = 300.0
    await world.planned()
    world.now = 400.0
    await world.planned()
    world.outcomes.written("vms", {API: Result("failed", "down")}, 410.0)
    assert world.outcomes.summary("vms").failed == 1
    world.outcomes.written("vms", {API: Result("stale", "overtaken")}, 420.0)
    summary = world.outcomes.summary("vms")
    assert (summary.losing, summary.oldest, summary.failed) == (1, 300.0, 1)
    await world.applied()
    assert world.outcomes.summary("vms").losing == 0


@pytest.mark.thorough
async def test_unread_file_makes_gains_wait_and_the_loss_is_written(world: World) -> None:
    """A held unit stays `waiting` after the write of what it lost."""
    world.folder.write("more.yaml", target("more", matches="orders"))
    await world.applied()
    world.folder.remove("more.yaml")
    world.folder.write("access.yaml", target("api-from-web", source="friend"))
    world.folder.write("broken.yaml", "kind: Pod\na: [")
    reviewed = await world.applied()
    assert reviewed.plan.held == (API,)
    assert world.of().condition("Applied").reason == "waiting"
    assert (world.of().losing_since, world.outcomes.summary("vms").waiting) == (None, 1)


@pytest.mark.thorough
async def test_missing_reference_and_broken_object_are_told_apart(world: World) -> None:
    """ResolvedRefs is what is not there, Accepted what is wrong with an object."""
    await world.applied()
    world.folder.write("more.yaml", target("more").replace("name: routes", "name: nothing"))
    await world.applied()
    assert said(world.of())["ResolvedRefs"] == "False/missing"
    assert "TrafficTarget/shop/more" in world.of().condition("ResolvedRefs").message
    world.folder.remove("more.yaml")
    world.folder.write("access.yaml", target("api-from-web").replace("sources:", "source:"))
    await world.planned()
    assert said(world.of())["Accepted"] == "False/broken"
    assert said(world.of())["ResolvedRefs"] == "True/resolved"


async def test_refused_loss_is_told_at_its_unit(world: World) -> None:
    """What the mesh cannot say; once it is accepted it is said as such."""
    world.folder.write("udp.yaml", UDP)
    reviewed = await world.planned()
    (code,) = {each.code for each in reviewed.refusals}
    assert said(world.of())["Lowered"] == "False/loss"
    await world.planned(code)
    assert said(world.of())["Lowered"] == "True/accepted-loss"


@pytest.mark.thorough
async def test_foreign_object_leaves_its_unit_in_conflict_after_the_write(tmp_path: Path) -> None:
    """The rest of the mesh is written; this unit waits for somebody to decide."""
    folder = shop(tmp_path)
    folder.config(ISTIO)
    objects = folder.root / "rendered" / "objects"
    assert folder.process("apply", "--yes").returncode == 0
    file = next(each for each in objects.iterdir() if "AuthorizationPolicy" in each.name)
    unmarked = [line for line in file.read_text().splitlines() if "smihub.io" not in line and "managed-by" not in line]
    shutil.rmtree(folder.root / "rendered")
    objects.mkdir(parents=True)
    file.write_text("\n".join(unmarked))
    hub = hub_of(folder.root / "smihub.yaml")
    hub.read()
    journal, reviewed = Journal(), await hub.plan(hub.meshes[0])
    journal.planned(reviewed)
    journal.wrote(reviewed)
    await hub.close()
    found = journal.outcomes.of("istio")
    assert (found[API].condition("Applied").reason, found[ROUTE].condition("Applied").reason) == ("conflict", "applied")
    assert file.name.partition("smihub-")[2].removesuffix(".yaml") in found[API].condition("Applied").message
    assert journal.outcomes.summary("istio").conflicts == 1


POD = """\
apiVersion: v1
kind: Pod
metadata: {name: api-%s, namespace: shop, labels: {%s}}
spec: {serviceAccountName: api, containers: [{name: main}]}
"""


@pytest.mark.thorough
async def test_open_pod_leaves_its_unit_refused_after_the_write(tmp_path: Path) -> None:
    """Nothing of the unit waits to be written, and yet it is not as it should be."""
    folder = shop(tmp_path)
    folder.config(ISTIO)
    folder.write("pods.yaml", POD % (0, "smihub.io/sa: api"))
    assert folder.process("apply", "--yes").returncode == 0
    folder.write("more.yaml", POD % (1, "app: other"))
    hub = hub_of(folder.root / "smihub.yaml")
    hub.read()
    journal, reviewed = Journal(), await hub.plan(hub.meshes[0])
    journal.planned(reviewed)
    journal.wrote(reviewed)
    await hub.close()
    applied = journal.outcomes.of("istio")[API].condition("Applied")
    assert (applied.status, applied.reason) == ("False", "refused")
    assert "api-1" in applied.message


async def test_mesh_wide_refusal_is_told_at_the_mesh_and_at_what_it_holds(world: World) -> None:
    """Every unit with a change is refused; the mesh itself says why, until the plan passes."""
    world.folder.config(CONFIG + "guards: {blastRadiusPercent: 0, minUnits: 1}\n")
    await world.applied()
    world.folder.remove("access.yaml")
    await world.planned()
    assert (world.outcomes.mesh("vms").status, world.outcomes.mesh("vms").reason) == ("False", "refused")
    assert world.of().condition("Applied").reason == "refused"
    assert world.outcomes.summary("vms").losing == 1
    await world.planned("guard.blast-radius")
    assert world.outcomes.mesh("vms").status == "True"


async def test_object_that_somebody_changed_has_drifted(world: World) -> None:
    """All that is remembered stays, and yet something is to be written: it is not as it was written."""
    await world.applied()
    hub = world.hub()
    mesh = hub.meshes[0]
    mirror = await mesh.observed()
    ref = next(ref for ref, one in mirror.whole().objects.items() if one.owner == API)
    mirror._objects[ref] = replace(mirror._objects[ref], owned=b"{}")
    world.outcomes.planned(await hub.plan(mesh), world.now)
    await hub.close()
    assert world.of().bad == ("Drifted",)
    assert str(ref) in world.of().condition("Drifted").message
    world.outcomes.written("vms", {API: Result("written")}, world.now)
    assert said(world.of()) == GOOD


@pytest.mark.thorough
async def test_unit_that_is_gone_leaves_no_outcome(world: World) -> None:
    """A route goes with its Service, once that is written."""
    await world.applied()
    world.outcomes.changed()
    world.folder.write("workloads.yaml", workload("api", 1), workload("web", 2))
    await world.planned()
    assert ROUTE in world.outcomes.of("vms")
    await world.applied()
    assert ROUTE not in world.outcomes.of("vms")
    assert [each.unit for each in world.outcomes.changed().units if each.after is None] == [ROUTE]


def test_mesh_that_cannot_be_observed_is_told_with_its_units() -> None:
    """Also where no unit is known yet; what lasts keeps its time."""
    outcomes = Outcomes()
    outcomes.problem("vms", [], "unreachable", "connection refused", 10.0)
    outcomes.problem("vms", [API], "unreachable", "connection reset", 20.0)
    assert (outcomes.mesh("vms").since, outcomes.mesh("vms").message) == (10.0, "connection reset")
    assert said(outcomes.of("vms")[API]) == {"Applied": "False/unreachable"}
    changed = outcomes.changed()
    assert ([each.unit for each in changed.units], [each.mesh for each in changed.meshes]) == ([API], ["vms"])
    assert outcomes.changed().units == ()


def test_change_that_is_taken_back_is_none() -> None:
    """Nobody is told of what was not so for a moment."""
    outcomes = Outcomes()
    outcomes.problem("vms", [API], "failed", "down", 10.0)
    outcomes.changed()
    outcomes.problem("vms", [API], "refused", "no", 20.0)
    outcomes.problem("vms", [API], "failed", "down", 10.0)
    assert outcomes.changed().units == ()


async def test_what_lasts_keeps_its_time_over_a_restart(world: World) -> None:
    """An outcome of an earlier process is gone on with."""
    await world.planned()
    world.outcomes.written("vms", {API: Result("failed", "down")}, 110.0)
    later = Outcomes([("vms", key, each) for key, each in world.outcomes.of("vms").items()])
    later.written("vms", {API: Result("failed", "still down")}, 500.0)
    assert later.of("vms")[API].condition("Applied").since == 110.0


async def test_journal_of_a_refused_plan_says_what_waits_for_it(tmp_path: Path) -> None:
    """One unit is refused; the others of the mesh wait, and none is left as if it were written next."""
    folder = Folder(tmp_path)
    folder.config()
    folder.write("all.yaml", *(workload(f"w{number}", number) for number in range(3)))
    hub = hub_of(folder.root / "smihub.yaml")
    hub.read()
    journal = Journal()
    journal.refused(await hub.plan(hub.meshes[0]))
    await hub.close()
    assert {each.condition("Applied").reason for each in journal.outcomes.of("vms").values()} == {"waiting"}
