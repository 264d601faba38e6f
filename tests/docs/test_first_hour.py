"""The first hours work as they stand: the blocks of a page are pasted into one shell, on VMs with a real Envoy for each workload.

Blocks of `console` need a cluster and are not pasted. What they apply, real API servers and a real istiod obey in
tests/deploy/test_admission.py and tests/e2e/test_istio_obeys.py.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from tests.servers.ports import free_ports

ROOT = Path(__file__).parents[2]
ON_VMS, ON_ISTIO = ROOT / "docs" / "first-hour-vm.md", ROOT / "docs" / "first-hour-istio.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
AUTHOR = {f"GIT_{who}_{what}": "somebody@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
BORDER = "@@ next block @@"
SECONDS = 120
NOT_PASTED = ("console", "yaml")


def blocks(text: str) -> list[tuple[str, str]]:
    """What is pasted, each with what the page says that it prints: nothing, if no block of text follows."""
    found: list[tuple[str, str]] = []
    for kind, body in BLOCK.findall(text):
        if kind == "text":
            found[-1] = (found[-1][0], body)
        elif kind not in NOT_PASTED:
            assert kind == "sh", f"a block of {kind} is neither pasted nor left out"
            found.append((body, ""))
    return found


def looks_like(said: str, printed: str) -> bool:
    """Whether a block printed what the page says; a line `...` stands for any number of lines."""
    parts = [re.escape(part) for part in re.split(r"^\.\.\.\n", said, flags=re.MULTILINE)]
    return re.fullmatch(r"(?:.*\n)*?".join(parts), printed) is not None


def pasted(text: str, folder: Path) -> list[str]:
    """What each block printed; last, a line for each process that is still there. They end then."""
    script = folder / "page.sh"
    script.write_text(f"echo '{BORDER}'\n".join(command for command, _ in blocks(text)), encoding="utf-8")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    shell = subprocess.Popen(
        ["bash", "--norc", str(script)],
        cwd=folder,
        env={**os.environ, **AUTHOR, "PATH": path, "COLUMNS": "200"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        printed = shell.communicate(timeout=SECONDS)[0].split(f"{BORDER}\n")
        printed[-1] += "".join(f"{command} is still running\n" for command in left_over(shell.pid))
        return printed
    finally:
        for each in (signal.SIGTERM, signal.SIGKILL):
            with_group(shell.pid, each)


def differences(text: str, folder: Path) -> list[str]:
    """Each block of a page that printed something else than the page says, with what it printed."""
    expected, printed = blocks(text), pasted(text, folder)
    assert len(printed) == len(expected), "\n".join(printed)
    pairs = zip(expected, printed, strict=True)
    return [f"{command}printed:\n{out}" for (command, said), out in pairs if not looks_like(said, out)]


def left_over(group: int) -> list[str]:
    """The commands of a process group, after up to 5 seconds in which they may end."""
    end = time.monotonic() + 5
    while (found := list(commands(group))) and time.monotonic() < end:
        time.sleep(0.1)
    return found


def commands(group: int) -> Iterator[str]:
    """The command line of every process of a group, from the proc file system."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if int((process / "stat").read_text().rpartition(")")[2].split()[2]) == group:
                yield (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")


def with_group(group: int, sign: signal.Signals) -> None:
    """Signal what is left of a process group, if anything is."""
    try:
        os.killpg(group, sign)
    except ProcessLookupError:
        return


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose sockets have names that are short enough."""
    with tempfile.TemporaryDirectory(prefix="hour") as name:
        yield Path(name)


@pytest.mark.envoy
@pytest.mark.thorough
def test_every_block_prints_what_the_page_says(short_folder: Path) -> None:
    """From an empty folder to an Envoy that obeys an edit, and to nothing left; the ports are the test's own."""
    envoy, program = free_ports(2)
    text = ON_VMS.read_text(encoding="utf-8").replace("8080", str(envoy)).replace("9080", str(program))
    assert differences(text, short_folder) == []
    assert not (short_folder / "first-hour").exists()


@pytest.mark.thorough
def test_every_block_for_istio_prints_what_the_page_says(tmp_path: Path) -> None:
    """From an empty folder to a revocation in Git, and to nothing left."""
    assert differences(ON_ISTIO.read_text(encoding="utf-8"), tmp_path) == []
    assert not (tmp_path / "first-hour").exists()


def test_gitops_tools_are_given_the_folder_that_is_pruned() -> None:
    """Of Argo CD and of Flux: what `smihub init` writes to, and with pruning."""
    application, kustomization = (
        yaml.load(body, yaml.CSafeLoader)["spec"]
        for kind, body in BLOCK.findall(ON_ISTIO.read_text(encoding="utf-8"))
        if kind == "yaml"
    )
    assert (application["source"]["path"], application["syncPolicy"]["automated"]["prune"]) == ("rendered/istio", True)
    assert (kustomization["path"], kustomization["prune"]) == ("./rendered/istio", True)


@pytest.mark.parametrize(
    ("said", "same"), [("a\n...\nd\n", True), ("a\nd\n", False), ("...\nc\n", False), ("a\n...\n", True)]
)
def test_what_is_left_out_is_any_number_of_lines(said: str, same: bool) -> None:  # noqa: FBT001 - a column
    """And nothing else may differ."""
    assert looks_like(said, "a\nb\nc\nd\n") == same
