"""Governed scopes of an Istio mesh: who is protected, that it lasts, and that explain says who is not."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import msgspec
import pytest
import yaml

from hub.errors import StaleError
from hub.model import UnitKey
from hub.plan.plan import Plan
from hub.sinks.writing import Writer
from tests.hub.sinks.istio_shop import POLICY_FILE, RENDERED, UNIT, bound, config, istio_shop
from tests.hub.sinks.small_mesh import content
from tests.servers.folder import Folder, target
from tests.servers.hubs import hub_of, mesh_of

pytestmark = pytest.mark.thorough

API, WEB, DB, PAY = (
    UnitKey("access", namespace, name)
    for namespace, name in (("shop", "api"), ("shop", "web"), ("shop", "db"), ("pay", "pay"))
)


@pytest.fixture(name="folder")
def make_folder(tmp_path: Path) -> Folder:
    """Three identities in `shop`, one in `pay`, and one TrafficTarget, to `shop/api`."""
    folder = istio_shop(tmp_path)
    folder.write("pay.yaml", bound("pay", "pay"))
    return folder


def apply(folder: Folder) -> Plan:
    """Plan and write, as a process that knows nothing from before."""
    return asyncio.run(_apply(folder))


async def _apply(folder: Folder) -> Plan:
    hub = hub_of(folder.root / "smihub.yaml")
    hub.read()
    reviewed = await hub.plan(mesh_of(hub, "istio"))
    assert not reviewed.refusals
    await hub.apply(reviewed.mesh, reviewed.plan)
    await hub.close()
    return reviewed.plan


def protected(folder: Folder) -> set[str]:
    """The identities of which anything is in the folder: an object, or a word in the memory."""
    files = content(folder.root / RENDERED)
    objects = (yaml.load(data, yaml.CSafeLoader) for name, data in files.items() if name.startswith("objects/"))
    units = {one["metadata"]["annotations"]["smihub.io/unit"] for one in objects}
    memory = msgspec.json.decode(files.get(".smihub.json", b'{"units": []}'))
    remembered = {one["unit"] for one in memory["units"]}
    return {unit for unit in units | remembered if unit.startswith("access/")}


def explained(folder: Folder, key: UnitKey) -> tuple[str, str]:
    """What SMI and the mesh say to an unknown workload who calls an identity."""
    batch = f'{{"src": {{"outside": true}}, "dst": {{"identity": "{key.namespace}/{key.name}"}}, "port": 8080}}\n'
    answer = msgspec.json.decode(folder.run("explain", "--batch", "-", text=batch).stdout)
    return answer["smi"]["verdict"], answer["meshes"]["istio"]["verdict"]


@pytest.mark.parametrize(
    ("governed", "identities"),
    [
        ("all", {API, WEB, DB, PAY}),
        ("{namespaces: [pay]}", {PAY}),
        ("{namespaces: [pay, shop]}", {API, WEB, DB, PAY}),
        ("{namespaces: [nowhere]}", set()),
        ("targets", {API}),
    ],
)
def test_a_scope_takes_in_these_and_no_others(folder: Folder, governed: str, identities: set[UnitKey]) -> None:
    """No object, no memory; a second apply has nothing to do; explain says who is not governed."""
    folder.config(config(governed))
    assert apply(folder).first
    assert protected(folder) == {str(key) for key in identities}
    again = apply(folder)
    assert (again.changes, again.memory, again.first) == ((), {}, not (folder.root / RENDERED).exists())
    for key in (API, WEB, DB, PAY):
        assert explained(folder, key) == ("deny", "deny" if key in identities else "ungoverned")


@pytest.mark.parametrize("lost", ["nothing", ".smihub.json"])
def test_the_last_target_leaves_an_explicit_deny(folder: Folder, lost: str) -> None:
    """From a fresh process, also without the memory; and it stays, whatever is planned next."""
    apply(folder)
    folder.remove("access.yaml")
    if lost != "nothing":
        (folder.root / RENDERED / lost).unlink()
    made = apply(folder)
    assert len(made.denied) == (lost == "nothing")
    spec = yaml.load((folder.root / RENDERED / POLICY_FILE).read_text(), yaml.CSafeLoader)["spec"]
    assert spec == {"action": "ALLOW", "selector": {"matchLabels": {"smihub.io/sa": "api"}}}
    assert explained(folder, API) == ("deny", "deny")
    folder.write("workloads.yaml", bound("web"))  # even the workload is gone now
    before = content(folder.root / RENDERED)
    again = apply(folder)
    assert not any("AuthorizationPolicy" in str(change.ref) for change in again.changes if change.after is None)
    assert (
        content(folder.root / RENDERED)[POLICY_FILE].partition(b"spec:")[2]
        == before[POLICY_FILE].partition(b"spec:")[2]
    )


def test_a_narrower_scope_lets_go_of_nobody(folder: Folder) -> None:
    """Who was governed once is, until it is released; then no plan takes it up again."""
    folder.config(config("all"))
    apply(folder)
    folder.config(config("{namespaces: [pay]}"))
    before = content(folder.root / RENDERED)
    apply(folder)
    assert content(folder.root / RENDERED) == before
    assert explained(folder, WEB) == ("deny", "deny")
    for name in ("api", "web", "db"):
        assert folder.run("release", "istio", f"access/shop/{name}", "--delete", "--yes").exit_code == 0
    assert apply(folder).changes == ()
    assert protected(folder) == {str(PAY)}
    assert explained(folder, WEB) == ("deny", "ungoverned")


def test_only_release_ends_a_deny(folder: Folder) -> None:
    """And it is refused while a TrafficTarget names the account."""
    apply(folder)
    assert folder.run("release", "istio", UNIT, "--yes").exit_code == 3
    folder.remove("access.yaml")
    apply(folder)
    assert folder.run("release", "istio", UNIT, "--delete", "--yes").exit_code == 0
    assert apply(folder).changes == ()
    assert protected(folder) == set()
    folder.write("access.yaml", target("api-from-web"))
    apply(folder)
    assert protected(folder) == {str(API)}


def test_foreign_objects_are_nothing_of_ours(folder: Folder) -> None:
    """A folder in which only others' objects stand sees a first apply."""
    made = folder.root / RENDERED / "objects" / "mine.yaml"
    made.parent.mkdir(parents=True)
    made.write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: shop}\n")
    assert "first apply" in folder.run("plan").stdout
    assert apply(folder).first
    assert not apply(folder).first


# --------------------------------------------------------------------------- where the folder lies


@pytest.mark.parametrize("path", ["manifests", "manifests/rendered", "."])
def test_a_folder_inside_its_source_is_no_source_of_anything(folder: Folder, path: str) -> None:
    """What is rendered there is of kinds that nobody asks about: the next plan is empty, and nothing is a Problem."""
    folder.config(f'owner: "{"1" * 32}"\n{config("all", path)}')
    assert folder.run("apply", "--yes").exit_code == 0
    planned = folder.run("plan")
    assert (planned.exit_code, planned.stderr) == (0, "")
    assert (folder.root / path / "kustomization.yaml").exists()


def test_a_source_inside_the_folder(folder: Folder) -> None:
    """Is left alone: it is not in `objects`."""
    before = content(folder.manifests)
    shutil.move(folder.manifests, folder.root / "all" / "manifests")
    folder.config(config("all", "all", "all/manifests"))
    assert folder.run("apply", "--yes").exit_code == 0
    assert folder.run("plan").exit_code == 0
    assert content(folder.root / "all" / "manifests") == before


@pytest.mark.parametrize("other", [RENDERED, f"./x/../{RENDERED}", f"{RENDERED}/"])
def test_two_meshes_in_one_folder_are_refused_when_it_is_opened(folder: Folder, other: str) -> None:
    """The error names the second, and nothing is written."""
    more = f"- {{name: second, adapter: istio, sink: {{kind: directory, path: {other}}}}}\n"
    folder.config(config() + more)
    result = folder.run("apply", "--yes")
    assert result.exit_code == 1
    assert "smihub.yaml:5: meshes[1].sink: " in result.stderr
    assert not (folder.root / RENDERED).exists()
    folder.config(config() + more.replace(other, "elsewhere"))
    assert folder.run("apply", "--yes").exit_code == 0


def test_a_failed_write_of_a_folder_is_not_told_as_if_nothing_had_happened(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part of the plan may stand there, and is sound; of the other mesh nothing does."""
    folder.config(config() + "- {name: vms, adapter: vm}\n")

    async def fail(*_: object) -> str:
        raise StaleError("somebody was faster; plan again")

    monkeypatch.setattr(Writer, "write", fail)
    monkeypatch.setattr("adapters.vm.serve.sink.XdsSink.write_all", fail)
    result = folder.run("apply", "--yes")
    assert result.exit_code == 1
    said = {line.split(":")[1].strip(): line for line in result.stderr.splitlines() if line.startswith("error")}
    assert "smihub plan shows what is left" in said["mesh istio"]
    assert "nothing of its plan was written" in said["mesh vms"]


def test_a_running_hub_reads_nothing_out_of_a_folder_inside_its_source(folder: Folder) -> None:
    """So its own write wakes it once, and dirties no unit."""
    folder.config(config("all", "manifests"))
    asyncio.run(_applies_and_looks_again(folder))


async def _applies_and_looks_again(folder: Folder) -> None:
    hub = hub_of(folder.root / "smihub.yaml")
    hub.read()
    hub.clusters[""].store.dirty()
    reviewed = await hub.plan(mesh_of(hub, "istio"))
    await hub.apply(reviewed.mesh, reviewed.plan)
    hub.read()
    assert not hub.clusters[""].store.dirty()
    assert not hub.intake.problems()
    await hub.close()
