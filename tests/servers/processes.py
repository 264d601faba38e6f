"""Programs started by tests: each with a log of its own, each dead as soon as the thread that started it is."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Timer

from tests.servers.go_servers import MissingToolError

LIMIT_S = 60.0
"""So long a test waits for a process that it reads from, on a machine with much else to do."""
SETPRIV = {"setpriv": "util-linux"}
"""What `start` needs, and the package that has it."""


def check_tools(tools: Mapping[str, str]) -> None:
    """Raise MissingToolError unless every system tool is there; to each its package."""
    missing = [name for name in tools if shutil.which(name) is None]
    if missing:
        packages = " ".join(sorted({tools[name] for name in missing}))
        raise MissingToolError(f"{', '.join(missing)} missing: sudo apt install {packages}")


class Program:
    """A running program. `fate` is how it ended, and why: the tail of its log."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.log = log
        self._process = process

    def check(self) -> None:
        """Raise RuntimeError if it has ended."""
        code = self._process.poll()
        if code is not None:
            raise RuntimeError(f"{self.name} ended with {code}:\n{self.tail()}")

    def tail(self, lines: int = 25) -> str:
        """The end of its log."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return "\n".join(line[:400] for line in text.splitlines()[-lines:])

    def kill(self) -> None:
        """End it, at once, and wait for its end."""
        with suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()


def start(
    line: Sequence[str | Path], log: Path, *, environment: Mapping[str, str] | None = None, group: int | None = None
) -> Program:
    """Start a program; the kernel kills it when the calling thread ends, however that happens."""
    who = [] if group is None else [f"--regid={group}", "--clear-groups"]
    command = ["setpriv", *who, "--pdeathsig", "KILL", "--", *map(str, line)]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, start_new_session=True
        )
    return Program(log.stem, process, log)


def wait_until(what: str, done: Callable[[], bool], seconds: float, *programs: Program, pause: float = 0.05) -> None:
    """Wait for something. Raises RuntimeError with the programs' logs when it takes too long, or one of them ended."""
    deadline = time.monotonic() + seconds
    while not done():
        for program in programs:
            program.check()
        if time.monotonic() > deadline:
            tails = "".join(f"\n--- {program.name}\n{program.tail()}" for program in programs)
            raise RuntimeError(f"not within {seconds:.0f} s: {what}{tails}")
        time.sleep(pause)


@contextmanager
def within(seconds: float, what: str, child: subprocess.Popen[str], log: Callable[[], object] = str) -> Iterator[None]:
    """Around whatever reads from a child, or waits for its end: it is killed after so long, so that nobody waits for ever.

    Raises RuntimeError then, with `what` was waited for and what `log` gives.
    """
    late = Event()

    def end() -> None:
        late.set()
        child.kill()

    timer = Timer(seconds, end)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        if late.is_set():
            raise RuntimeError(f"not within {seconds:.0f} s: {what}; the log: {log()}")
