"""Guards end to end: what is refused, with which code, and how a person accepts it."""

from __future__ import annotations

import json

import pytest

from tests.hub.cli.test_apply import UDP, revisions
from tests.servers.folder import CONFIG, Folder, target, workload

COUNT = 12


def many(folder: Folder) -> None:
    """Twelve more workloads, each called by web."""
    folder.write("many.yaml", *(workload(f"w{number}", number) for number in range(COUNT)))
    folder.write("grants.yaml", *(target(f"t{number}", f"w{number}") for number in range(COUNT)))


@pytest.mark.thorough
def test_blast_radius_when_too_many_lose_refuses_until_accepted(folder: Folder) -> None:
    """12 of 14 identities lose their callers: 3 and nothing written; accepted once: written."""
    many(folder)
    assert folder.run("apply", "--yes").exit_code == 0  # a first apply is not counted
    folder.remove("grants.yaml")
    planned = folder.run("plan")
    assert planned.exit_code == 3
    last = planned.stdout.splitlines()[-1]
    assert last.startswith("refused 12 of 14 governed identities lose access")
    assert "--accept guard.blast-radius" in last
    refused = folder.run("apply", "--yes")
    assert (refused.exit_code, revisions(folder)) == (3, {"vms": 1})
    accepted = folder.run("apply", "--yes", "--accept", "guard.blast-radius")
    assert (accepted.exit_code, revisions(folder)) == (0, {"vms": 2})
    assert "has no effect" not in accepted.stderr


def test_blast_radius_follows_the_configured_limits(folder: Folder) -> None:
    """The same loss passes where the configuration allows it."""
    many(folder)
    folder.run("apply", "--yes")
    folder.remove("grants.yaml")
    folder.config(CONFIG + "guards: {blastRadiusPercent: 100, minUnits: 5}\n")
    assert folder.run("plan").exit_code == 2


@pytest.mark.thorough
def test_first_apply_is_shown_apart_and_the_second_is_not(folder: Folder) -> None:
    """`first` in the data, a remark in the text."""
    assert folder.plan()["meshes"][0]["first"] is True
    folder.run("apply", "--yes")
    folder.write("access.yaml", target("api-from-web", matches="orders"))
    assert folder.plan()["meshes"][0]["first"] is False
    assert "first apply" not in folder.run("plan").stdout


def test_loss_on_access_refuses_and_names_the_code_to_accept(folder: Folder) -> None:
    """The refusal is the last thing on the screen, with the code and a request that would be refused."""
    folder.write("udp.yaml", UDP)
    result = folder.run("plan")
    assert result.exit_code == 3
    last = result.stdout.splitlines()[-1]
    assert last.startswith("    refused manifests/udp.yaml:")
    assert "TrafficTarget/shop/by-udp spec.rules: " in last
    assert 'Or accept: --accept "proto.udp-not-captured@TrafficTarget/shop/by-udp", or in smihub.yaml' in last
    refused = json.loads(folder.run("plan", "-o", "json").stdout)["meshes"][0]["refused"]
    assert [each["code"] for each in refused] == ["proto.udp-not-captured"]


@pytest.mark.thorough
@pytest.mark.parametrize("how", ["file", "option"])
def test_loss_on_access_when_accepted_passes_and_is_still_shown(folder: Folder, how: str) -> None:
    """Accepted in smihub.yaml for ever, or by --accept for once; never hidden."""
    folder.write("udp.yaml", UDP)
    options = ["--accept", "proto.udp-not-captured"] if how == "option" else []
    if how == "file":
        folder.config(CONFIG + "accept: [proto.udp-not-captured]\n")
    result = folder.run("plan", *options)
    assert result.exit_code == 2
    assert "    loss manifests/udp.yaml:" in result.stdout
    assert "Or accept" not in result.stdout
    assert folder.run("apply", "--yes", *options).exit_code == 0


@pytest.mark.thorough
def test_last_traffic_target_deleted_leaves_an_explicit_deny(folder: Folder) -> None:
    """A fresh process that never saw the target keeps the identity governed: it stands there with an empty policy."""
    folder.run("apply", "--yes")
    folder.remove("access.yaml")
    planned = folder.plan()["meshes"][0]
    assert planned["newlyDenied"] == ["shop/web -> shop/api:* GET /books"]
    assert {change["op"] for change in planned["changes"]} == {"replace"}
    assert folder.process("apply", "--yes").returncode == 0
    answer = folder.run("explain", "--from", "shop/web", "--to", "shop/api:80", "--path", "/books", "-o", "json")
    found = json.loads(answer.stdout)
    assert (found["smi"]["verdict"], found["meshes"]["vms"]["verdict"]) == ("deny", "deny")
    assert found["meshes"]["vms"]["by"]


def test_identity_deleted_with_everything_stays_governed(folder: Folder) -> None:
    """When the Workload and the target go, the unit is planned as a deny, not forgotten; planning again is quiet."""
    folder.run("apply", "--yes")
    folder.remove("access.yaml")
    text = (folder.manifests / "workloads.yaml").read_text()
    folder.write("workloads.yaml", *[part for part in text.split("---\n") if "api-1" not in part])
    assert folder.run("apply", "--yes").exit_code == 0
    assert folder.run("plan").exit_code == 0
    folder.write("access.yaml", target("api-from-web"))
    assert folder.plan()["meshes"][0]["newlyAllowed"] == ["shop/web -> shop/api:* GET /books"]
