"""The exit codes of plan and apply: refused before wrong before changed, and what is not refused is written."""

from __future__ import annotations

import pytest

from tests.hub.cli.test_apply import UDP, revisions
from tests.servers.folder import Folder, target

DANGLING = target("dangling", matches="none")
UNREADABLE = "kind: Service\n\tmetadata: {}\n"


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("files", "plan", "apply"),
    [
        ((), 2, 0),
        ((DANGLING,), 1, 1),
        ((UNREADABLE,), 1, 1),
        ((UDP,), 3, 3),
        ((UDP, DANGLING), 3, 3),
    ],
)
def test_codes_of_a_folder_with_changes(folder: Folder, files: tuple[str, ...], plan: int, apply: int) -> None:
    """Nothing beside them, an object that grants nothing, a file that cannot be read, a Loss, a Loss and such an object."""
    for index, text in enumerate(files):
        folder.write(f"more-{index}.yaml", text)
    assert folder.run("plan").exit_code == plan
    assert folder.run("plan", "--save", "saved.plan").exit_code == plan
    assert (folder.run("apply", "--yes").exit_code, revisions(folder)) == (apply, {"vms": 1})


@pytest.mark.thorough
@pytest.mark.parametrize(("files", "code"), [((), 0), ((DANGLING,), 1), ((UDP,), 3)])
def test_codes_where_nothing_is_left_to_do(folder: Folder, files: tuple[str, ...], code: int) -> None:
    """What is wrong, and what is refused, stays so after an apply; no change is 0."""
    for index, text in enumerate(files):
        folder.write(f"more-{index}.yaml", text)
    folder.run("apply", "--yes")
    assert (folder.run("plan").exit_code, folder.run("apply", "--yes").exit_code) == (code, code)


def test_a_loss_that_is_accepted_is_no_refusal(folder: Folder) -> None:
    """By its code."""
    folder.write("udp.yaml", UDP)
    accept = ("--accept", "proto.udp-not-captured")
    assert (folder.run("plan", *accept).exit_code, folder.run("apply", "--yes", *accept).exit_code) == (2, 0)


def test_a_warning_is_no_error(folder: Folder) -> None:
    """An accept that lifts nothing is told, and changes no code."""
    folder.config((folder.root / "smihub.yaml").read_text() + "accept: [proto.udp-not-captured]\n")
    result = folder.run("plan")
    assert ("config.accept-unused" in result.stderr, result.exit_code) == (True, 2)
