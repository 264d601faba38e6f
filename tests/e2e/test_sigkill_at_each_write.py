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
from adapters.vm.ca import make_root
from adapters.vm.sink import utc_now
from adapters.vm.state import State
from hub.model import Observation
from hub.reconcile import Hub
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
sys.argv[3:] = []
base, trials = sys.argv[1], sys.argv[2]

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
        os._exit(end.code or 0)

number, ends = 1, []
while not ends or all(end == -signal.SIGKILL for end in ends):
    children = [start(number + index) for index in range(8)]
    number += 8
    ends = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
print(number - 8 + ends.index(0))
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
    hub = Hub.open(base / "smihub.yaml")
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


def kill_everywhere(base: Path, trials: Path) -> list[Path]:
    """Run the command on copies of a folder, killed a statement later each time; the last copy is the first that finished."""
    trials.mkdir()
    root = str(Path(names.__file__).parents[2])
    line = [sys.executable, "-c", _KILLER, str(base), str(trials), root]
    done = subprocess.run(line, check=True, timeout=300, stdout=subprocess.PIPE)
    return [trials / str(number) for number in range(1, int(done.stdout) + 1)]


@pytest.mark.parametrize(
    "first", [pytest.param(True, marks=pytest.mark.slow), False], ids=["first apply", "revocation"]
)
def test_apply_killed_at_each_write_is_old_or_new(tmp_path: Path, *, first: bool) -> None:
    """Objects, memory and token are those before or those after; the authority stays; the next apply converges."""
    base = tmp_path / "base"
    prepare(base, revoked=False)
    if not first:
        asyncio.run(apply(base))
        (base / "folder" / "revoked.yaml").unlink()
    old, root = (Observation(), b"") if first else (seen(base), authority(base))
    *killed, finished = kill_everywhere(base, tmp_path / "trials")
    new = seen(finished)
    assert new.objects.keys()
    assert new != old
    outcomes = [seen(trial) for trial in killed]
    assert len(killed) > 20
    assert all(one in (old, new) for one in outcomes)
    assert outcomes[0] == old
    assert outcomes[-1] == new
    turn = outcomes.index(new)
    assert outcomes == [old] * turn + [new] * (len(killed) - turn)
    for trial in (*killed[:: max(1, len(killed) // 8)], *killed[turn - 2 : turn + 2]):
        before = authority(trial)
        assert root in (b"", before)
        asyncio.run(apply(trial))
        assert (seen(trial), authority(trial)) == (new, before)
    shutil.rmtree(tmp_path / "trials")
