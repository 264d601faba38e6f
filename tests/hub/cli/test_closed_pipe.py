"""`smihub plan | head -1`: a reader that has gone ends the command as it ends other tools, without a word."""

from __future__ import annotations

import os
import subprocess

import pytest

from hub.cli.streams import READER_GONE
from tests.servers.folder import Folder

pytestmark = pytest.mark.thorough
SHOWN = [
    ("--help",),
    ("--version",),
    ("plan", "--help"),
    ("check",),
    ("plan",),
    ("plan", "-o", "json"),
    ("apply", "--yes"),
    ("render",),
    ("explain", "--from", "shop/web", "--to", "shop/api:80"),
    ("matrix",),
    ("features",),
]


def ended(folder: Folder, *args: str, stderr: bool = False) -> tuple[int, str]:
    """The exit code of a verb whose stdout nobody reads (nor its stderr), and what it says on stderr."""
    read, write = os.pipe()
    os.close(read)
    try:
        to = write if stderr else subprocess.PIPE
        done = subprocess.run(folder.command(*args), cwd=folder.root, stdout=write, stderr=to, text=True, check=False)
    finally:
        os.close(write)
    return done.returncode, done.stderr or ""


@pytest.mark.parametrize("args", SHOWN, ids=" ".join)
def test_reader_that_has_gone_ends_a_verb_quietly(folder: Folder, args: tuple[str, ...]) -> None:
    """141 is what a shell shows of git or kubectl there; 1 would be an error, and a pipeline with pipefail one of ours."""
    code, told = ended(folder, *args)
    assert code == READER_GONE
    assert "Traceback" not in told
    assert "roken pipe" not in told


def test_plan_that_nobody_reads_is_not_applied(folder: Folder) -> None:
    """It is shown before it is written, so who looks at one line of it has written nothing."""
    ended(folder, "apply", "--yes")
    assert folder.run("plan").exit_code == 2


def test_messages_that_nobody_reads_end_it_too(folder: Folder) -> None:
    """`2>&1 | head -1`."""
    (folder.root / "smihub.yaml").write_text("meshes: 3\n")
    assert ended(folder, "check", stderr=True)[0] == READER_GONE


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_stream_is_no_error_and_no_file(folder: Folder, closed: str) -> None:
    """As a daemon may be started: nothing of what is said gets into a file that is opened later, and the verb does its work."""
    command = " ".join((*folder.command("apply", "--yes"), closed))
    done = subprocess.run(["sh", "-c", command], cwd=folder.root, capture_output=True, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert folder.run("plan").exit_code == 0
