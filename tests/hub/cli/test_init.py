"""`smihub init`: a configuration to start from."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace

from hub.cli import init as hub_init
from hub.plugins import installed_plugins
from tests.servers.folder import ROUTES, WORKLOADS, Folder, target
from tests.servers.hubs import config_of


def test_init_writes_a_configuration_that_plans(folder: Folder) -> None:
    """What it writes is read by the next verb as it is."""
    (folder.root / "smihub.yaml").unlink()
    result = folder.run("init", "--source", "manifests")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "smihub plan" in result.stderr
    assert [source.name for source in config_of(folder.root / "smihub.yaml").sources] == ["manifests"]
    assert folder.run("plan").exit_code == 2


def test_init_never_overwrites(folder: Folder) -> None:
    """A second one fails and leaves the file as it is; another name is possible."""
    before = (folder.root / "smihub.yaml").read_bytes()
    result = folder.run("init")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert (folder.root / "smihub.yaml").read_bytes() == before
    assert folder.run("init", "-c", "other.yaml").exit_code == 0


def test_init_does_not_follow_a_link_that_leads_nowhere(folder: Folder, tmp_path: Path) -> None:
    """A dangling link counts as a file that is there."""
    (folder.root / "link.yaml").symlink_to(tmp_path / "nowhere.yaml")
    assert folder.run("init", "-c", "link.yaml").exit_code == 1
    assert not (tmp_path / "nowhere.yaml").exists()


def test_init_where_nothing_can_be_written_is_one_line(folder: Folder) -> None:
    """A folder that is not there."""
    result = folder.run("init", "-c", "none/smihub.yaml")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)


ROOT = Path(__file__).parents[3]
BOOKSHOP = ROOT / "deploy" / "examples" / "bookshop"
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: shop}
spec:
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api, smihub.io/sa: api}}
    spec: {serviceAccountName: api, containers: [{name: main, image: x, ports: [{containerPort: 8080}]}]}
"""
POD = """\
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web, smihub.io/sa: web}}
spec: {serviceAccountName: web, containers: [{name: main, image: x}]}
"""
SERVICE = WORKLOADS.split("---\n")[2]


def begun(folder: Folder, *documents: str) -> None:
    """A folder that holds these documents alone, and no smihub.yaml."""
    (folder.root / "smihub.yaml").unlink()
    shutil.rmtree(folder.manifests)
    folder.manifests.mkdir()
    if documents:
        folder.write("all.yaml", *documents)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("documents", "adapters", "code"),
    [
        ((WORKLOADS, ROUTES, target("t")), ["vm"], 0),
        ((DEPLOYMENT, POD, SERVICE, ROUTES, target("t")), ["istio"], 0),
        ((SERVICE,), ["istio"], 0),
        (
            (DEPLOYMENT.replace("api,", "pay,").replace("api}", "pay}"), WORKLOADS, ROUTES, target("t")),
            ["vm", "istio"],
            0,
        ),
        ((ROUTES,), ["vm"], 0),
        ((), ["vm"], 0),
    ],
)
@pytest.mark.parametrize("inside", ["", "inside"])
def test_init_writes_the_meshes_of_what_runs_in_the_folder(
    folder: Folder, documents: tuple[str, ...], adapters: list[str], code: int, inside: str
) -> None:
    """Workloads are for VMs, Deployments and Pods for Istio; check passes as it is, and so it does after an apply."""
    begun(folder, *documents)
    asked = ["-c", "manifests/smihub.yaml"] if inside else ["--source", "manifests"]
    result = folder.run("init", *asked)
    assert (result.exit_code, result.stdout) == (0, "")
    where = asked[1] if inside else "smihub.yaml"
    assert [mesh.adapter for mesh in config_of(folder.root / where).meshes] == adapters
    result = folder.run("check", "-c", where)
    assert result.exit_code == code, result.stdout
    if documents:
        assert result.stdout.startswith("0 errors, 0 warnings") or "warning" in result.stdout
        assert folder.run("apply", "--yes", "-c", where).exit_code == 0
        assert folder.run("plan", "-c", where).exit_code == 0


def test_init_on_the_example_passes_check(folder: Folder) -> None:
    """And plans what the demo writes."""
    begun(folder)
    for path in BOOKSHOP.iterdir():
        folder.write(path.name, path.read_bytes())
    folder.run("init", "--source", "manifests")
    assert folder.run("check").stdout.startswith("0 errors, 0 warnings")
    assert folder.run("plan").exit_code == 2


@pytest.mark.parametrize(
    ("documents", "said"),
    [
        ((), "add SMI objects there first"),
        ((ROUTES,), "nothing in the folder shows which mesh it is for; --adapter NAME"),
        ((WORKLOADS,), "there is no SMI in"),
    ],
)
def test_init_says_what_is_missing(folder: Folder, documents: tuple[str, ...], said: str) -> None:
    """And what comes next."""
    begun(folder, *documents)
    result = folder.run("init", "--source", "manifests")
    assert said in result.stderr
    assert result.stderr.endswith("next: smihub check, then smihub plan\n")


def test_init_of_a_folder_that_is_not_there_says_so(folder: Folder) -> None:
    """It may come later."""
    (folder.root / "smihub.yaml").unlink()
    result = folder.run("init", "--source", "none")
    assert (result.exit_code, "none" in result.stderr) == (0, True)


def test_init_with_adapters_asks_the_folder_nothing(folder: Folder) -> None:
    """The meshes are those that are named, in this order."""
    (folder.root / "smihub.yaml").unlink()
    folder.run("init", "--source", "manifests", "--adapter", "istio", "--adapter", "vm", "--adapter", "istio")
    assert [mesh.adapter for mesh in config_of(folder.root / "smihub.yaml").meshes] == ["istio", "vm"]


def test_init_where_only_another_mesh_is_installed_takes_that(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a folder that tells nothing."""
    begun(folder, ROUTES)
    installed = installed_plugins()
    alone = replace(installed, adapters={"istio": installed.adapters["istio"]})
    monkeypatch.setattr(hub_init, "installed_plugins", lambda: alone)
    folder.run("init", "--source", "manifests")
    assert [mesh.adapter for mesh in config_of(folder.root / "smihub.yaml").meshes] == ["istio"]


def test_init_with_an_unknown_adapter_writes_nothing(folder: Folder) -> None:
    """The nearest one is named."""
    (folder.root / "smihub.yaml").unlink()
    result = folder.run("init", "--adapter", "istoi")
    assert (result.exit_code, result.stderr) == (
        1,
        'error: --adapter "istoi": unknown adapter; did you mean "istio"?\n',
    )
    assert not (folder.root / "smihub.yaml").exists()


def test_init_writes_the_schema_for_editors_beside_it(folder: Folder) -> None:
    """The first line of the file names it; one that is there stays."""
    (folder.root / "smihub.yaml").unlink()
    folder.run("init")
    first = (folder.root / "smihub.yaml").read_text().partition("\n")[0]
    assert first == "# yaml-language-server: $schema=.smihub.schema.json"
    schema = folder.root / ".smihub.schema.json"
    assert schema.read_text() == folder.run("schema", "config").stdout
    schema.write_text("{}")
    folder.run("init", "-c", "other.yaml")
    assert schema.read_text() == "{}"


def test_init_for_a_mesh_that_is_not_installed_says_how_to_get_it(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is written all the same, for what the folder holds; the exit code is 1, as that of the next verb would be."""
    begun(folder, WORKLOADS)
    installed = installed_plugins()
    alone = replace(installed, adapters={"istio": installed.adapters["istio"]})
    monkeypatch.setattr(hub_init, "installed_plugins", lambda: alone)
    result = folder.run("init", "--source", "manifests")
    assert result.exit_code == 1
    assert "wrote smihub.yaml" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("error: ")
    assert (folder.root / "smihub.yaml").exists()
