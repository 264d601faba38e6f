"""`smihub check` asks every mesh: what plan would refuse, check says, without any state."""

from __future__ import annotations

import json

from tests.hub.cli.test_apply import UDP
from tests.servers.folder import CONFIG, Folder


def test_a_loss_that_nobody_accepts_is_told_by_check(folder: Folder) -> None:
    """The mesh, the object, the code, and 3; nothing is written, and once it is accepted nothing is told."""
    folder.write("udp.yaml", UDP)
    result = folder.run("check")
    assert result.exit_code == 3
    last = result.stdout.splitlines()[-1]
    assert last.startswith("refused manifests/udp.yaml:")
    assert "TrafficTarget/shop/by-udp spec.rules: " in last
    assert "Effect on vms: " in last
    (told,) = json.loads(folder.run("check", "-o", "json").stdout)["refused"]
    assert (told["mesh"], told["code"], told["object"]) == (
        "vms",
        "proto.udp-not-captured",
        "TrafficTarget/shop/by-udp",
    )
    assert not (folder.root / ".smihub").exists()
    folder.config(CONFIG + "accept: [proto.udp-not-captured]\n")
    assert folder.run("check").exit_code == 0


# --------------------------------------------------------------------------- without smihub.yaml

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: shop}
spec: {template: {metadata: {labels: {app: api}}, spec: {serviceAccountName: api}}}
"""


def test_a_folder_alone_is_checked_for_what_runs_there(folder: Folder) -> None:
    """Workloads: VMs; and nothing is written."""
    (folder.root / "smihub.yaml").unlink()
    result = folder.run("check", "--source", "manifests")
    assert (result.exit_code, result.stdout) == (0, "0 errors, 0 warnings in 1 source, 2 identities, 1 service\n")
    assert result.stderr == (
        "note: there is no smihub.yaml here; checked for a mesh for vm, with the defaults of smihub init\n"
    )
    assert [path.name for path in folder.root.iterdir()] == ["manifests"]
    folder.write("bad.yaml", "kind: Pod\na: [\n")
    assert folder.run("check", "--source", "manifests").exit_code == 1


def test_standard_input_alone_is_checked_for_what_runs_there(folder: Folder) -> None:
    """Deployments: Istio, with what it would refuse."""
    (folder.root / "smihub.yaml").unlink()
    access = (folder.manifests / "access.yaml").read_text()
    result = folder.run("check", "--source", "-", text=f"{DEPLOYMENT}---\n{access}")
    assert result.exit_code == 3
    assert "refused mesh istio: Deployment/shop/api runs as" in result.stdout
    assert "checked for a mesh for istio" in result.stderr


def test_a_folder_without_workloads_is_checked_for_no_mesh(folder: Folder) -> None:
    """What is wrong with the files is all that can be said."""
    (folder.root / "smihub.yaml").unlink()
    folder.remove("workloads.yaml")
    result = folder.run("check", "--source", "manifests")
    assert result.exit_code == 0
    assert "no workload shows which mesh to check" in result.stderr


def test_what_needs_the_file_says_so(folder: Folder) -> None:
    """A mesh by name, and a file by name; and without --source there is nothing to read."""
    (folder.root / "smihub.yaml").unlink()
    for options in (("--mesh", "vms"), ("--config", "other.yaml")):
        result = folder.run("check", "--source", "manifests", *options)
        assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert folder.run("check").exit_code == 1
