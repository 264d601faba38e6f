"""The blast radius over ten minutes: many small changes count as one large one, whoever makes them, and waiting helps nobody."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from hub.plan.guards import BLAST_RADIUS
from hub.plan.saved import digest_of
from hub.reconcile.hub import Hub, Reviewed
from hub.status.journal import Journal
from hub.status.record import APPROVED_S, Actor, Entry, Record, approve
from tests.hub.cli.test_apply import UDP
from tests.hub.cli.test_run import running
from tests.servers.folder import CONFIG, Folder, shop, target, workload
from tests.servers.hubs import hub_of

pytestmark = pytest.mark.thorough

COUNT = 12
ISTIO = CONFIG.replace(
    "{name: vms, adapter: vm}", "{name: vms, adapter: istio, sink: {kind: directory, path: rendered}}"
)


class World:
    """Twelve callees with a grant each, in files of their own, applied; time passes when it is told to."""

    def __init__(self, root: Path, config: str) -> None:
        self.folder = shop(root)
        self.folder.config(config)
        self.folder.write("many.yaml", *(workload(f"w{number}", number) for number in range(COUNT)))
        for number in range(COUNT):
            self.folder.write(f"grant-{number}.yaml", target(f"t{number}", f"w{number}"))
        self.now = 1_000_000.0

    async def reviewed(self, *accept: str) -> Reviewed:
        """Plan as a process of its own does, and close everything."""
        hub = self._hub()
        try:
            return await hub.plan(hub.meshes[0], accept)
        finally:
            await hub.close()

    async def applied(self, *accept: str) -> Sequence[str]:
        """Plan and write as `smihub apply` does; gives the codes that refuse the plan."""
        hub = self._hub()
        journal = Journal(Record(hub.config.state, print), Actor.here("test"), clock=lambda: self.now)
        try:
            reviewed = await hub.plan(hub.meshes[0], accept)
            if reviewed.whole:
                journal.refused(reviewed)
            else:
                journal.planned(reviewed)
                await hub.apply(reviewed.mesh, reviewed.plan, (*accept, *reviewed.lifted))
                journal.wrote(reviewed)
            return [each.code for each in reviewed.whole]
        finally:
            await hub.close()
            journal.close()

    def _hub(self) -> Hub:
        hub = hub_of(self.folder.root / "smihub.yaml")
        hub.clock = lambda: self.now
        hub.read()
        return hub

    def revoke(self, *numbers: int) -> None:
        """Delete grants."""
        for number in numbers:
            self.folder.remove(f"grant-{number}.yaml")

    def grant(self, *numbers: int) -> None:
        """Put them back."""
        for number in numbers:
            self.folder.write(f"grant-{number}.yaml", target(f"t{number}", f"w{number}"))


@pytest.fixture(params=["vm", "folder"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """In a mesh with a state file, and in a folder."""
    made = World(tmp_path, CONFIG if request.param == "vm" else ISTIO)
    assert await made.applied() == []
    return made


async def test_many_small_changes_are_one_large_one(world: World) -> None:
    """Two, two and two of fourteen: each passes alone, the third makes six within ten minutes."""
    for numbers in ((0, 1), (2, 3)):
        world.revoke(*numbers)
        assert await world.applied() == []
        world.now += 60
    world.revoke(4, 5)
    assert await world.applied() == [BLAST_RADIUS]
    (refusal,) = (await world.reviewed()).whole
    assert "6 of 14 governed identities lose access within 10 minutes" in refusal.message


async def test_losses_of_long_ago_do_not_count(world: World) -> None:
    """Nobody was refused in between."""
    world.revoke(0, 1, 2, 3)
    assert await world.applied(BLAST_RADIUS) == []
    world.revoke(4, 5)
    assert await world.applied() == []
    world.now += 601
    world.revoke(6, 7)
    assert await world.applied() == []


async def test_one_identity_counts_once_however_often_it_loses(world: World) -> None:
    """It is identities that are counted."""
    for _ in range(4):
        world.revoke(0, 1)
        assert await world.applied() == []
        world.grant(0, 1)
        assert await world.applied() == []
        world.now += 1


async def test_loss_counts_on_when_its_unit_changes_again(world: World) -> None:
    """What is granted again was lost all the same; with three more it is five of fourteen."""
    world.revoke(0, 1)
    assert await world.applied() == []
    world.grant(0, 1)
    assert await world.applied() == []
    world.revoke(2, 3, 4)
    assert await world.applied() == [BLAST_RADIUS]


async def test_what_was_accepted_is_not_counted_again(world: World) -> None:
    """Or every small loss after it would wait."""
    world.revoke(*range(8))
    assert await world.applied() == [BLAST_RADIUS]
    assert await world.applied(BLAST_RADIUS) == []
    world.revoke(8)
    assert await world.applied() == []


async def test_refused_plan_does_not_pass_by_waiting(world: World) -> None:
    """The window stands still while it is refused, in every process; less than that passes, and then it moves again."""
    world.revoke(0, 1)
    await world.applied()
    world.now += 1
    world.revoke(2, 3)
    await world.applied()
    world.revoke(4, 5)
    for _ in range(3):
        assert await world.applied() == [BLAST_RADIUS]
        world.now += 700
    world.grant(4, 5)
    assert await world.applied() == []
    world.revoke(4, 5)
    assert await world.applied() == []


async def test_folder_from_a_fresh_clone_counts_too(tmp_path: Path) -> None:
    """The state folder is not in Git; what was lost lies with what stands."""
    world = World(tmp_path, ISTIO)
    await world.applied()
    for numbers in ((0, 1), (2, 3)):
        world.revoke(*numbers)
        assert await world.applied() == []
        shutil.rmtree(world.folder.root / ".smihub")
    world.revoke(4, 5)
    assert await world.applied() == [BLAST_RADIUS]


async def test_losses_are_counted_by_a_hub_that_goes_on(tmp_path: Path) -> None:
    """The mirror follows its own writes."""
    world = World(tmp_path, CONFIG)
    await world.applied()
    hub = world._hub()
    mesh = hub.meshes[0]
    for numbers, refused in (((0, 1), False), ((2, 3), False), ((4, 5), True)):
        world.revoke(*numbers)
        hub.read()
        reviewed = await hub.plan(mesh)
        assert bool(reviewed.whole) is refused
        if not refused:
            await hub.apply(mesh, reviewed.plan)
    await hub.close()


def approved(world: World, reviewed: Reviewed, at: float) -> None:
    """Somebody approves a plan."""
    entry = Entry(at, "approve", "vms", Actor.here("test"), digest_of(reviewed.plan))
    approve(world.folder.root / ".smihub", entry)


async def test_approval_lets_exactly_that_plan_pass(world: World) -> None:
    """On that revision; another is refused, however like it is."""
    world.revoke(*range(8))
    approved(world, await world.reviewed(), world.now)
    world.revoke(8)
    assert await world.applied() == [BLAST_RADIUS]
    world.grant(8)
    assert await world.applied() == []
    world.grant(*range(8))
    assert await world.applied() == []
    world.revoke(*range(8))
    assert await world.applied() == [BLAST_RADIUS]


async def test_approval_of_another_revision_is_none(world: World) -> None:
    """Something else was written since: what is gained and lost is the same, but not on what stands there."""
    world.revoke(*range(8))
    approved(world, await world.reviewed(), world.now)
    world.grant(*range(8))
    world.folder.write("more.yaml", target("more", "w9", matches="orders"))
    assert await world.applied() == []
    world.revoke(*range(8))
    assert await world.applied() == [BLAST_RADIUS]


@pytest.mark.parametrize(("age", "passes"), [(APPROVED_S - 1, True), (APPROVED_S + 1, False), (-10, False)])
async def test_approval_ends_after_an_hour(world: World, age: float, passes: bool) -> None:  # noqa: FBT001 - a table
    """And does not hold before it was given."""
    world.revoke(*range(8))
    approved(world, await world.reviewed(), world.now - age)
    assert (await world.applied() == []) is passes


def test_approve_takes_the_codes_that_go_with_the_plan(tmp_path: Path) -> None:
    """What they let pass is part of it."""
    world = World(tmp_path, CONFIG)
    folder = world.folder
    folder.run("apply", "--yes")
    world.revoke(*range(8))
    folder.write("udp.yaml", UDP)
    code = ("--accept", "proto.udp-not-captured")
    last = folder.run("plan", *code).stdout.splitlines()[-1]
    digest = last.partition("smihub approve ")[2].split()[0]
    assert folder.run("approve", digest, "--yes", *code).exit_code == 0
    assert folder.run("apply", "--yes", *code).exit_code == 0


def test_approve_as_people_do_it(tmp_path: Path) -> None:
    """Plan shows the digest; approve asks, and says who, when and why; apply then passes."""
    world = World(tmp_path, CONFIG)
    folder: Folder = world.folder
    folder.run("apply", "--yes")
    world.revoke(*range(8))
    last = folder.run("plan").stdout.splitlines()[-1]
    digest = last.partition("smihub approve ")[2].split()[0]
    assert len(digest) == 12
    short = folder.run("approve", digest[:7], "--yes")
    assert (short.exit_code, "at least 8 digits" in short.stderr) == (1, True)
    wrong = folder.run("approve", "0" * 12, "--yes")
    assert (wrong.exit_code, wrong.stdout) == (1, "")
    assert f"refused now: vms: {digest}" in wrong.stderr
    unasked = folder.run("approve", digest)
    assert unasked.exit_code == 1
    assert "stdin is not a terminal" in unasked.stderr
    assert folder.run("apply", "--yes").exit_code == 3
    done = folder.run("approve", digest, "--yes", "--why", "shop moves")
    assert (done.exit_code, "approved for 60 minutes" in done.stderr) == (0, True)
    assert folder.run("apply", "--yes").exit_code == 0
    *_, entry, applied = folder.run("history").stdout.splitlines()
    assert "approve  vms" in entry
    assert folder.run("history", "--mesh", "other").stderr == 'error: unknown mesh "other"; expected one of vms\n'
    assert entry.endswith("shop moves")
    assert "accepted guard.blast-radius" in applied


@pytest.mark.thorough
@pytest.mark.parametrize("config", [CONFIG, ISTIO], ids=["vm", "folder"])
def test_running_hub_writes_what_somebody_approved(tmp_path: Path, config: str) -> None:
    """It planned less than `plan` does, but the same; nobody has to tell it."""
    world = World(tmp_path, config)
    folder = world.folder
    world.revoke(*range(8))
    folder.write("eight.yaml", *(target(f"t{number}", f"w{number}") for number in range(8)))
    with running(folder) as hub:
        hub.until("plan_applied")
        folder.remove("eight.yaml")
        hub.until("plan_refused")
        digest = folder.run("plan").stdout.splitlines()[-1].partition("smihub approve ")[2].split()[0]
        assert folder.run("approve", digest, "--yes").exit_code == 0
        assert len(hub.until("plan_applied")["denied"]) == 8
        hub.end()
    assert folder.run("plan").exit_code == 0


@pytest.mark.thorough
@pytest.mark.parametrize("config", [CONFIG, ISTIO], ids=["vm", "folder"])
def test_running_hub_remembers_what_is_refused_of_callees_that_are_gone(tmp_path: Path, config: str) -> None:
    """It starts when they have left the sources: what it writes next, after an approval, revokes them too."""
    world = World(tmp_path, config)
    folder = world.folder
    assert folder.run("apply", "--yes").exit_code == 0
    world.revoke(*range(8))
    folder.write("many.yaml", *(workload(f"w{number}", number) for number in range(8, COUNT)))
    with running(folder) as hub:
        hub.until("plan_refused")
        folder.write("more.yaml", target("more", "w9", matches="orders"))
        digest = folder.run("plan").stdout.splitlines()[-1].partition("smihub approve ")[2].split()[0]
        assert folder.run("approve", digest, "--yes").exit_code == 0
        assert len(hub.until("plan_applied")["denied"]) >= 8
        hub.end()
    assert folder.run("plan").exit_code == 0
