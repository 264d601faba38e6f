"""A reading of SMI that changes on a standing installation is refused until somebody accepts it, where it changes anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest

from tests.servers.folder import CONFIG, WORKLOADS, Folder, shop, target
from tests.servers.older import install

CODE = "guard.reading-changed"
SPLIT = """\
apiVersion: split.smi-spec.io/v1alpha2
kind: TrafficSplit
metadata: {name: s, namespace: shop}
spec: {service: api, backends: [{service: api, weight: 1}, {service: %s, weight: 1}]}
"""
OTHER = WORKLOADS.rpartition("---\n")[2].replace("name: api, namespace", "name: other, namespace")


@pytest.fixture(name="folder", params=["vms", "istio"])
def make_folder(tmp_path: Path, request: pytest.FixtureRequest) -> Folder:
    """A split that names its root as a backend."""
    folder = shop(tmp_path)
    folder.write("split.yaml", SPLIT % "other", OTHER)
    configure(folder, request.param)
    return folder


def configure(folder: Folder, mesh: str, reading: str = "") -> None:
    """Write smihub.yaml for one mesh, with these switches."""
    meshes = {"vms": "{name: vms, adapter: vm}", "istio": "{name: istio, adapter: istio, sink: {path: out}}"}
    text = CONFIG.replace("{name: vms, adapter: vm}", meshes[mesh])
    folder.config(text + (f"reading: {{{reading}}}\n" if reading else ""))


def refused(folder: Folder, *arguments: str) -> list[dict[str, Any]]:
    """What refuses the whole plan."""
    return [each for each in folder.plan(*arguments)["meshes"][0]["refused"] if each["code"] == CODE]


def mesh_of(folder: Folder) -> str:
    """The name of its mesh."""
    return str(folder.plan()["meshes"][0]["mesh"])


def found_wrong(reading: str) -> int:
    """The exit code: a root among its backends is an error where that is rejected."""
    return 1 if "reject" in reading else 0


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("before", "after"),
    [("rootBackend: reject", ""), ("", "rootBackend: reject"), ("", "pathRegex: prefix"), ("pathRegex: prefix", "")],
)
def test_another_reading_is_refused_once_and_told(folder: Folder, before: str, after: str) -> None:
    """Nothing is written before it is accepted; afterwards it is what is remembered."""
    mesh = mesh_of(folder)
    configure(folder, mesh, before)
    assert folder.run("apply", "--yes").exit_code == found_wrong(before)
    assert refused(folder) == []
    configure(folder, mesh, after)
    [refusal] = refused(folder)
    assert refusal.get("unit") is None
    assert folder.run("plan").exit_code == 3
    assert folder.run("apply", "--yes").exit_code == 3
    assert len(refused(folder)) == 1
    assert refused(folder, "--accept", CODE) == []
    assert folder.run("apply", "--yes", "--accept", CODE).exit_code == found_wrong(after)
    assert refused(folder) == []
    configure(folder, mesh, before)
    assert len(refused(folder)) == 1


@pytest.mark.thorough
def test_a_reading_that_changes_nothing_is_not_asked_about(folder: Folder) -> None:
    """Without a split of that kind the switch changes no unit, and a split that comes later is read by it."""
    mesh = mesh_of(folder)
    folder.remove("split.yaml")
    configure(folder, mesh, "rootBackend: reject")
    assert folder.run("apply", "--yes").exit_code == 0
    configure(folder, mesh)
    assert refused(folder) == []
    assert folder.run("apply", "--yes").exit_code == 0
    folder.write("split.yaml", SPLIT % "other", OTHER)
    assert refused(folder) == []
    assert folder.plan()["meshes"][0]["rerouted"] != []


@pytest.mark.thorough
def test_a_first_apply_is_read_as_configured(folder: Folder) -> None:
    """Nothing stands that could change."""
    assert refused(folder) == []


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["vm", "istio"])
def test_the_new_default_is_refused_on_what_an_older_hub_wrote(tmp_path: Path, kind: Literal["vm", "istio"]) -> None:
    """f44faaa remembered no reading, and took such a split for void: it goes on being so until somebody accepts more."""
    install(tmp_path, kind)
    folder = Folder.__new__(Folder)
    folder.root, folder.manifests = tmp_path, tmp_path / "folder"
    assert refused(folder) == []
    folder.write("self.yaml", SPLIT % "orders")
    assert len(refused(folder)) == 1
    assert refused(folder, "--accept", CODE) == []
    path = folder.root / "smihub.yaml"
    path.write_text(path.read_text() + "reading: {rootBackend: reject}\n")
    assert refused(folder) == []


@pytest.mark.thorough
def test_a_target_added_meanwhile_is_no_change_of_the_reading(folder: Folder) -> None:
    """What the documents change is a change of theirs."""
    folder.run("apply", "--yes")
    folder.write("more.yaml", target("more", source="peer"))
    assert refused(folder) == []
