"""The hub as a library: sources, freezing and holding, plans, stale plans, endpoints."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from adapters.vm.state.revisions import State
from hub.errors import ConfigError, SourceError, StaleError
from hub.explaining import explain_folder
from hub.model import Op, UnitKey
from hub.plugins import installed_plugins
from hub.reconcile.hub import Hub
from tests.servers.folder import CONFIG, WORKLOADS, Folder, shop, target, workload
from tests.servers.hubs import hub_of

API, WEB, ROUTE = UnitKey("access", "shop", "api"), UnitKey("access", "shop", "web"), UnitKey("route", "shop", "api")
BOOKS = "shop/web -> shop/api:* GET /books"


@pytest.fixture(name="folder")
def make_folder(tmp_path: Path) -> Folder:
    """A folder in which `web` may GET /books from `api`."""
    return shop(tmp_path)


@pytest_asyncio.fixture(name="hub")
async def open_hub(folder: Folder) -> AsyncIterator[Hub]:
    """A hub that has read the folder and applied it."""
    hub = hub_of(folder.root / "smihub.yaml")
    hub.read()
    await hub.apply(hub.meshes[0], (await hub.plan(hub.meshes[0])).plan)
    yield hub
    await hub.close()


async def test_open_and_read_make_no_state(folder: Folder) -> None:
    """Only what plans or serves opens the state file."""
    hub = hub_of(folder.root / "smihub.yaml")
    hub.read()
    assert hub.units() == {API, WEB, ROUTE}
    await hub.close()
    assert not (folder.root / ".smihub").exists()


async def test_state_folder_when_it_cannot_be_made_names_the_setting(folder: Folder) -> None:
    """A file in its place is a ConfigError that says where to look."""
    (folder.root / ".smihub").write_text("")
    hub = hub_of(folder.root / "smihub.yaml")
    with pytest.raises(ConfigError, match=r'check "state" in smihub\.yaml'):
        await hub.plan(hub.meshes[0])
    await hub.close()


async def test_plan_after_apply_is_empty_in_this_and_in_a_fresh_hub(folder: Folder, hub: Hub) -> None:
    """The mirror follows what was written as the state file does."""
    assert (await hub.plan(hub.meshes[0])).plan.changes == ()
    fresh = hub_of(folder.root / "smihub.yaml")
    fresh.read()
    assert (await fresh.plan(fresh.meshes[0])).plan.changes == ()
    await fresh.close()


@pytest.mark.thorough
async def test_plan_of_some_units_is_their_part_of_the_whole(folder: Folder, hub: Hub) -> None:
    """Dirty units alone, or everything: the same changes, so one change costs one change and loses nothing."""
    folder.write("access.yaml", target("api-from-web", matches="orders"))
    hub.clusters[""].store.dirty()
    hub.read()
    dirty = hub.clusters[""].store.dirty()
    assert dirty == {API}
    part = (await hub.plan(hub.meshes[0], keys=dirty)).plan
    whole = (await hub.plan(hub.meshes[0])).plan
    assert part.changes == whole.changes
    assert (part.allowed, part.denied, part.governed) == (whole.allowed, whole.denied, whole.governed)


@pytest.mark.thorough
async def test_apply_of_an_older_plan_is_stale_and_the_next_plan_is_not(folder: Folder, hub: Hub) -> None:
    """Another hub wrote in between: nothing is written, and the hub looks anew."""
    folder.write("access.yaml", target("api-from-web", matches="orders"))
    hub.read()
    mine = (await hub.plan(hub.meshes[0])).plan
    other = hub_of(folder.root / "smihub.yaml")
    other.read()
    await other.apply(other.meshes[0], (await other.plan(other.meshes[0])).plan)
    await other.close()
    with pytest.raises(StaleError):
        await hub.apply(hub.meshes[0], mine)
    assert (await hub.plan(hub.meshes[0])).plan.changes == ()


@pytest.mark.thorough
async def test_broken_file_keeps_what_it_granted_and_holds_gains(folder: Folder, hub: Hub) -> None:
    """What the broken file grants stays; elsewhere nobody gains; a loss elsewhere is planned."""
    folder.write("more.yaml", workload("late", 1), target("late", "late"))
    hub.read()
    await hub.apply(hub.meshes[0], (await hub.plan(hub.meshes[0])).plan)
    folder.write("access.yaml", "kind: [")
    folder.write("more.yaml", workload("late", 1))
    folder.write("gain.yaml", target("gain", "web", "api"))
    hub.read()
    made = (await hub.plan(hub.meshes[0])).plan
    assert made.held == (WEB,)
    assert (made.allowed, made.denied) == ((), ("shop/web -> shop/late:* GET /books",))
    assert not hub.intake.misses_facts("")  # what the file held before is still known


@pytest.mark.thorough
async def test_broken_file_in_a_fresh_hub_keeps_what_it_granted(folder: Folder, hub: Hub) -> None:
    """Its objects count as they were when they were applied; endpoints wait, for some may be in that file."""
    folder.write("access.yaml", "kind: [")
    fresh = hub_of(folder.root / "smihub.yaml")
    fresh.read()
    made = (await fresh.plan(fresh.meshes[0])).plan
    assert (made.changes, made.denied) == ((), ())
    assert "TrafficTarget/shop/api-from-web" in map(str, made.recalled)
    assert fresh.intake.misses_facts("")
    await fresh.close()


@pytest.mark.thorough
async def test_governed_once_is_governed_until_released(folder: Folder, hub: Hub) -> None:
    """Everything about an identity is deleted: a fresh hub plans an empty Access for it, not its deletion."""
    folder.remove("access.yaml")
    text = (folder.manifests / "workloads.yaml").read_text()
    folder.write("workloads.yaml", *[part for part in text.split("---\n") if "name: api" not in part])
    fresh = hub_of(folder.root / "smihub.yaml")
    fresh.read()
    assert API not in fresh.units()
    reviewed = await fresh.plan(fresh.meshes[0])
    assert reviewed.plan.denied == (BOOKS,)
    await fresh.apply(fresh.meshes[0], reviewed.plan)
    assert API in (await fresh.meshes[0].sink.observe()).memory
    await fresh.close()


async def test_accepted_codes_that_mattered_are_told(folder: Folder, hub: Hub) -> None:
    """`lifted` names what would have refused; a code that nothing asked for is not in it."""
    folder.config(CONFIG + "guards: {blastRadiusPercent: 0, minUnits: 1}\n")
    folder.remove("access.yaml")
    strict = hub_of(folder.root / "smihub.yaml")
    strict.read()
    refused = await strict.plan(strict.meshes[0])
    accepted = await strict.plan(strict.meshes[0], ("guard.blast-radius", "guard.other"))
    assert [each.code for each in refused.refusals] == ["guard.blast-radius"]
    assert (accepted.refusals, accepted.lifted) == ((), frozenset({"guard.blast-radius"}))
    await strict.close()


async def test_read_when_the_folder_is_gone_changes_nothing(folder: Folder, hub: Hub) -> None:
    """SourceError, and what was read before is still what is planned."""
    folder.manifests.rename(folder.root / "elsewhere")
    with pytest.raises(SourceError):
        hub.read()
    assert (await hub.plan(hub.meshes[0])).plan.changes == ()


@pytest.mark.thorough
async def test_withdraw_takes_endpoints_that_are_gone_and_gives_none_that_are_new(folder: Folder, hub: Hub) -> None:
    """Before a change is written nobody is sent to what ends with it; what is new waits until it is written."""
    state = State(folder.root / ".smihub" / "hub.sqlite", hub.meshes[0].name)
    await hub.publish()
    place, before = next((place, found) for place, found in state.endpoints().items() if found)
    folder.write("workloads.yaml", WORKLOADS.replace("10.0.0.2", "10.0.0.9"))
    hub.read()
    await hub.withdraw()
    assert state.endpoints()[place] == ()
    await hub.publish()
    after = state.endpoints()[place]
    assert [(each.workload, each.address) for each in after] == [(each.workload, "10.0.0.9") for each in before]
    state.close()


async def test_two_sources_are_one_domain(folder: Folder) -> None:
    """A TrafficTarget in one folder and its routes in another; a mesh does not care where an object lies."""
    (folder.root / "second").mkdir()
    (folder.manifests / "access.yaml").rename(folder.root / "second" / "access.yaml")
    folder.config(CONFIG.replace("- path: manifests", "- path: manifests\n- path: second"))
    hub = hub_of(folder.root / "smihub.yaml")
    hub.read()
    made = (await hub.plan(hub.meshes[0])).plan
    assert made.allowed == (BOOKS,)
    assert {change.op for change in made.changes} == {Op.CREATE}
    await hub.close()


def test_explainer_of_a_folder_leaves_a_configuration_in_it_out(folder: Folder) -> None:
    """`--source .` beside smihub.yaml reads the SMI objects only, and an otherwise empty folder is an error."""
    (folder.root / "alone").mkdir()
    (folder.root / "alone" / "smihub.yaml").write_text(CONFIG)
    with pytest.raises(SourceError):
        explain_folder(folder.root / "alone", installed_plugins())
    assert explain_folder(folder.root, installed_plugins()).whole
