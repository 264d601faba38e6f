"""Guards and accepted codes of a plan that was saved."""

from __future__ import annotations

import pytest

from tests.hub.cli.test_apply import STRICT, UDP, revisions
from tests.hub.cli.test_apply_saved import refused
from tests.servers.folder import CONFIG, Folder, target, workload
from tests.servers.saved import save, saved


def test_apply_file_when_a_guard_refused_it_is_refused(folder: Folder) -> None:
    """It can be saved, to be looked at; it is applied only if the code was accepted when it was saved."""
    folder.run("apply", "--yes")
    folder.config(CONFIG + STRICT)
    folder.remove("access.yaml")
    result = save(folder)
    assert result.exit_code == 3
    assert "smihub apply will refuse" in result.stderr
    assert [each.code for each in saved(folder).meshes[0].refusals] == ["guard.blast-radius"]
    assert "was refused when this plan was saved (guard.blast-radius)" in refused(folder)
    folder.config(CONFIG + STRICT + "accept: [guard.blast-radius]\n")
    assert "was refused when this plan was saved" in refused(folder)


def test_apply_file_with_a_loss_that_nobody_accepted_writes_the_rest(folder: Folder) -> None:
    """What the unit would gain is not in the plan; exit code 3 says that something is refused."""
    folder.write("udp.yaml", UDP)
    assert save(folder).exit_code == 3
    result = folder.run("apply", "review.plan", "--yes")
    assert (result.exit_code, revisions(folder)) == (3, {"vms": 1})


@pytest.mark.thorough
@pytest.mark.parametrize("how", ["file", "option"])
def test_apply_file_shows_what_was_accepted(folder: Folder, how: str) -> None:
    """Codes that lifted a refusal, from smihub.yaml or --accept, are in the file; others are not."""
    folder.write("udp.yaml", UDP)
    codes = "accept: [proto.udp-not-captured, port.undeclared-mixed]\n"
    options = ["--accept", "proto.udp-not-captured"] if how == "option" else []
    folder.config(CONFIG + (codes if how == "file" else ""))
    assert save(folder, *options).exit_code == 2
    assert saved(folder).meshes[0].accepted == ("proto.udp-not-captured",)
    folder.config()
    result = folder.run("apply", "review.plan", "--yes")
    assert (result.exit_code, revisions(folder)) == (0, {"vms": 1})
    assert "mesh vms: accepted when it was saved: proto.udp-not-captured" in result.stderr


def test_apply_file_with_accept_is_wrong_usage(folder: Folder) -> None:
    """What was reviewed is what is applied: a code is accepted when the plan is saved."""
    folder.write("udp.yaml", UDP)
    save(folder)
    result = folder.run("apply", "review.plan", "--yes", "--accept", "proto.udp-not-captured")
    assert (result.exit_code, revisions(folder)) == (1, {"vms": 0})
    assert "plan --save" in result.stderr


@pytest.mark.thorough
def test_apply_file_when_guards_were_tightened_is_refused(folder: Folder) -> None:
    """Limits that became stricter since hold for plans that were saved before."""
    folder.write("many.yaml", *(workload(f"w{number}", number) for number in range(6)))
    folder.write("grants.yaml", *(target(f"t{number}", f"w{number}") for number in range(6)))
    folder.config(CONFIG + "guards: {blastRadiusPercent: 100}\n")
    folder.run("apply", "--yes")
    folder.remove("grants.yaml")
    assert save(folder).exit_code == 2
    folder.config()
    assert "now refused by the guards in smihub.yaml (guard.blast-radius)" in refused(folder)
    save(folder, "--accept", "guard.blast-radius")
    assert folder.run("apply", "review.plan", "--yes").exit_code == 0


def test_apply_file_with_a_file_unread_since_before_ends_with_1(folder: Folder) -> None:
    """The rest is written, as apply does; the exit code says that it was not all."""
    folder.write("broken.yaml", "kind: Pod\na: [")
    assert save(folder).exit_code == 1
    result = folder.run("apply", "review.plan", "--yes")
    assert (result.exit_code, revisions(folder)) == (1, {"vms": 1})
    folder.remove("broken.yaml")
