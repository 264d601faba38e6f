"""A write, killed at each call that changes the file system: what stands may be applied, and the next write ends it.

The write runs in a forked process that counts these calls and ends itself by SIGKILL, in every `fsync` of a file with half
of the file on disk.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import hub
from hub.plan.plan import Plan
from tests.hub.sinks.small_mesh import Wanted, access, apply, content, planned, seen, settled, wanted, whole
from tests.hub.sinks.snapshots import must_be_sound

_KILLER = """
import os, shutil, signal, stat, sys
sys.path.insert(0, sys.argv[1])
base, trials = sys.argv[2:4]
from pathlib import Path
from tests.hub.sinks.small_mesh import apply
from tests.hub.sinks.snapshots import WRITES
from tests.hub.sinks.test_directory_sigkill import SCENARIOS
after = SCENARIOS[sys.argv[4]][1]
os.fsync = lambda handle: None  # see conftest.py
real = {name: getattr(os, name) for name in WRITES}
sent, limit = 0, 0

def counting(name):
    def call(*args, **more):
        global sent
        if name == "open" and not args[1] & os.O_CREAT:
            return real[name](*args, **more)
        sent += 1
        try:
            if sent == limit and name == "fsync" and stat.S_ISREG(os.fstat(args[0]).st_mode):
                os.ftruncate(args[0], os.fstat(args[0]).st_size // 2)
            return real[name](*args, **more)
        finally:
            if sent == limit:
                os.kill(os.getpid(), signal.SIGKILL)
    return call

def start(number):
    global limit
    trial = os.path.join(trials, str(number))
    shutil.copytree(base, trial)
    child = os.fork()
    if child:
        return child
    limit = number
    for name in WRITES:
        setattr(os, name, counting(name))
    apply(Path(trial), after)
    for name in WRITES:
        setattr(os, name, real[name])
    open(os.path.join(trials, "count"), "w").write(str(sent))
    os._exit(0)

def finish(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

assert finish(start(0)) == 0
total = int(open(os.path.join(trials, "count")).read())
os.unlink(os.path.join(trials, "count"))
for first in range(1, total + 1, 8):
    ends = [finish(child) for child in [start(number) for number in range(first, min(first + 8, total + 1))]]
    assert all(end == -signal.SIGKILL for end in ends), ends
"""

SCENARIOS: dict[str, tuple[Wanted, Wanted]] = {
    "first": ({}, wanted({"api": ["web"], "db": ["api"]})),
    "revoked": (
        wanted({"api": ["web", "old"], "db": ["api"]}),
        {**wanted({"api": ["web"]}), access("db"): whole("db")},
    ),
    "changed": (wanted({"api": ["web", "old"], "gone": ["x"]}), wanted({"api": ["web", "new"], "db": ["api"]})),
}


@pytest.mark.thorough
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_write_killed_anywhere_is_ended_by_the_next(tmp_path: Path, name: str) -> None:
    """Each file is whole, both ways to apply the folder see a prefix of the plan, and no kill leaves a trace."""
    before, after = SCENARIOS[name]
    base, trials = tmp_path / "base", tmp_path / "trials"
    for path in (base, trials):
        path.mkdir()
    apply(base, before)
    made: Plan = planned(after, seen(base))
    root = str(Path(hub.__file__).parents[1])
    subprocess.run([sys.executable, "-c", _KILLER, root, str(base), str(trials), name], check=True, timeout=120)
    finished, *killed = sorted(trials.iterdir(), key=lambda path: int(path.name))
    old, new = content(base), content(finished)
    assert len(killed) > 20
    for trial in killed:
        must_be_sound(content(trial), old, new, made.changes)
        written = apply(trial, after)
        left = {} if written.changes or written.memory else {".smihub.tmp": new[".smihub.json"]}
        assert content(trial) in ({**new, **left}, new)
        assert settled(trial, after)
