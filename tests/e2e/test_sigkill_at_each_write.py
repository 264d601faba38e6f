"""`smihub apply`, killed after each statement that it sends to the state file: old or new, nothing in between, nothing lost.

The command runs in a forked process whose SQLite connection counts statements and ends the process by SIGKILL.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.vm import names
from adapters.vm.identity.ca import make_root
from adapters.vm.serve.sink import utc_now
from adapters.vm.state.revisions import State
from hub.model import Observation
from tests.servers.hubs import hub_of
from tests.servers.live_mesh import CONFIG
from tests.servers.shop import folder

_KILLER = """
import os, shutil, signal, sqlite3, sys
sys.path.insert(0, sys.argv[3])
from hub.cli.main import main

class Counting(sqlite3.Connection):
    sent = 0
    limit = 0
    def _count(self, result):
        Counting.sent += 1
        if Counting.sent == Counting.limit:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    def execute(self, *args):
        return self._count(super().execute(*args))
    def executemany(self, *args):
        return self._count(super().executemany(*args))

real = sqlite3.connect
sqlite3.connect = lambda *args, **more: real(*args, factory=Counting, **more)
base, trials, stride = sys.argv[1], sys.argv[2], int(sys.argv[4])

def start(number):
    trial = os.path.join(trials, str(number))
    shutil.copytree(base, trial)
    child = os.fork()
    if child:
        return child
    Counting.limit = number
    os.chdir(trial)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(1, 2)
    sys.argv = ["smihub", "apply", "--yes"]
    try:
        main()
    except SystemExit as end:
        open("count", "w").write(str(Counting.sent))
        os._exit(end.code or 0)

def finish(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

assert finish(start(0)) == 0
total = int(open(os.path.join(trials, "0", "count")).read())
numbers = sorted({*range(1, total + 1, stride), *range(max(1, total - 4), total + 1)})
for first in range(0, len(numbers), 8):
    ends = [finish(child) for child in [start(number) for number in numbers[first:first + 8]]]
    assert all(end == -signal.SIGKILL for end in ends), ends
"""


def prepare(base: Path, *, revoked: bool) -> None:
    """The folder of the shop, before or after its revocation."""
    base.mkdir(exist_ok=True)
    (base / "smihub.yaml").write_text(CONFIG)
    (base / "folder").mkdir(exist_ok=True)
    for name, text in folder(99).items():
        (base / "folder" / name).write_text(text)
    if revoked:
        (base / "folder" / "revoked.yaml").unlink()


async def apply(base: Path) -> None:
    """What the command does, here."""
    hub = hub_of(base / "smihub.yaml")
    hub.read()
    await hub.apply(hub.meshes[0], (await hub.plan(hub.meshes[0])).plan)
    await hub.close()


def seen(base: Path) -> Observation:
    """What the state file holds."""
    state = State(base / ".smihub" / "hub.sqlite", "vms")
    try:
        return state.observe()
    finally:
        state.close()


def authority(base: Path) -> bytes:
    """The certificate of the authority in the state file; made if there is none."""
    state = State(base / ".smihub" / "hub.sqlite", "vms")
    try:
        return state.authority(make_root("cluster.local", utc_now())).certificate
    finally:
        state.close()


def kill_everywhere(base: Path, trials: Path, stride: int) -> list[Path]:
    """Run the command on copies of a folder, killed `stride` statements later each time; the first copy is left alone."""
    trials.mkdir()
    root = str(Path(names.__file__).parents[2])
    subprocess.run([sys.executable, "-c", _KILLER, str(base), str(trials), root, str(stride)], check=True, timeout=300)
    return sorted(trials.iterdir(), key=lambda path: int(path.name))


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("first", "stride"),
    [
        pytest.param(True, 1, marks=pytest.mark.slow, id="first apply"),
        pytest.param(False, 1, marks=pytest.mark.slow, id="revocation"),
        pytest.param(False, 5, id="revocation, every fifth write"),
    ],
)
def test_apply_killed_at_each_write_is_old_or_new(tmp_path: Path, stride: int, *, first: bool) -> None:
    """Objects, memory and token are those before or those after; the authority stays; the next apply converges."""
    base = tmp_path / "base"
    prepare(base, revoked=False)
    if not first:
        asyncio.run(apply(base))
        (base / "folder" / "revoked.yaml").unlink()
    old, root = (Observation(owner=""), b"") if first else (seen(base), authority(base))
    finished, *killed = kill_everywhere(base, tmp_path / "trials", stride)
    new = seen(finished)
    assert new.objects.keys()
    assert new != old
    outcomes = [seen(trial) for trial in killed]
    assert len(killed) > 10
    assert all(one in (old, new) for one in outcomes)
    assert outcomes[0] == old
    assert outcomes[-1] == new
    turn = outcomes.index(new)
    assert outcomes == [old] * turn + [new] * (len(killed) - turn)
    for trial in (*killed[:: max(1, len(killed) // 4)], *killed[turn - 1 : turn + 1]):
        before = authority(trial)
        assert root in (b"", before)
        asyncio.run(apply(trial))
        assert (seen(trial), authority(trial)) == (new, before)
    shutil.rmtree(tmp_path / "trials")
