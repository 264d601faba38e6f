"""The fresh process in which adapters are asked again, and how it is talked to.

It has another folder, other environment variables and another hash seed, and watches whether anything asks for the time, or for files
and sockets of the machine. What is run is this module: it reads errands from stdin and writes what comes of them to stdout, both between
two processes of one user.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory, TemporaryFile
from threading import Timer
from types import FrameType
from typing import Any, Self

from msgspec import Struct

from hub.model import Facts, NativeObject, Request

_DEADLINE_S = 300
_KEPT = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT")
"""The environment variables without which a process may not start."""
_CLOCKS = (
    *(time.time, time.time_ns, time.localtime, time.gmtime, time.strftime, time.ctime, time.asctime),
    *(time.monotonic, time.perf_counter, time.process_time, os.getcwd, os.getpid, os.uname, os.urandom),
)
"""What has another answer at another time, in another process or on another machine."""
_ENVIRONMENT = frozenset(getattr(type(os.environ), name).__code__ for name in ("__getitem__", "__iter__", "__len__"))
_MACHINE = ("open", "os.listdir", "os.scandir", "os.system", "socket.", "subprocess.", "urllib.")
"""How the audit events of files, sockets and processes begin (https://docs.python.org/3/library/audit_events.html)."""


class Errand(Struct, frozen=True):
    """One world for a fresh process: objects and facts to judge requests by, and units to translate."""

    objects: tuple[NativeObject, ...]
    facts: Facts
    requests: tuple[Request, ...]
    units: tuple[Any, ...]


class NoProcessError(Exception):
    """The process does not run."""


class FreshProcess:
    """A fresh process that does errands, one after the other, within a `with`. Raises NoProcessError when it ends before."""

    def __init__(self, functions: tuple[Any, Any, Any]) -> None:
        """For these evaluator, translate and settings."""
        self._searched = [str(Path(each).absolute()) for each in sys.path]
        self._functions = functions
        self._begun = False

    def __enter__(self) -> Self:
        self._folder = TemporaryDirectory(prefix="smihub-")
        self._errors = TemporaryFile()
        own = {"PYTHONHASHSEED": "4711", "PYTHONPATH": os.pathsep.join(self._searched), "TZ": "Asia/Kathmandu"}
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        self._child = subprocess.Popen(
            [sys.executable, "-m", "hub.testing.conformance.fresh_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=self._folder.name,
            env=kept | own,
        )
        self._limit = Timer(_DEADLINE_S, self._child.kill)
        self._limit.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._limit.cancel()
        self._child.kill()
        self._child.communicate()
        self._errors.close()
        self._folder.cleanup()

    def run(self, what: str, errand: Errand) -> Sequence[Any]:
        """What comes of an errand: `judge` an answer for each request, `translate` a translation of each unit, `watch` what is asked for."""
        assert self._child.stdin
        assert self._child.stdout
        try:
            if not self._begun:
                self._send((self._searched, pickle.dumps(self._functions)))
                self._begun = True
            self._send((what, pickle.dumps(errand)))
            answer: Sequence[Any] = pickle.load(self._child.stdout)  # noqa: S301 - from the process that was started here
        except (pickle.PickleError, AttributeError, TypeError, ValueError, EOFError, OSError) as error:
            raise NoProcessError(self._last_words() or str(error)) from None
        return answer

    def _send(self, value: Any) -> None:
        assert self._child.stdin
        pickle.dump(value, self._child.stdin)
        self._child.stdin.flush()

    def _last_words(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(1)
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace").strip().rpartition("\n")[2]


def _tried(function: Callable[..., Any], *given: Any) -> Any:
    """What a function gives, or what it raises, as text."""
    try:
        return function(*given)
    except Exception as error:  # noqa: BLE001 - told to the author
        return repr(error)


class _Watch:
    """Notes who asks for the time or the machine within a `with`."""

    def __init__(self) -> None:
        self.asked = ""
        self._watching = False
        sys.addaudithook(self._hear)

    def __enter__(self) -> Self:
        self.asked, self._watching = "", True
        sys.setprofile(self._see)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        self._watching = False

    def _see(self, frame: FrameType, event: str, called: Any) -> None:
        asks = called.__name__ if event == "c_call" and _is_clock(called) else ""
        if event == "call" and frame.f_code in _ENVIRONMENT:
            asks = "the environment"
        if asks:
            self.asked = f"{asks} in {frame.f_code.co_qualname}, {Path(frame.f_code.co_filename).name}:{frame.f_lineno}"

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if self._watching and event.startswith(_MACHINE):
            self.asked = f"{event}({', '.join(map(repr, args[:1]))})"


def _is_clock(called: Any) -> bool:
    of = getattr(called, "__self__", None)
    whole = isinstance(of, type) and issubclass(of, date) and called.__name__ in {"now", "utcnow", "today"}
    return whole or isinstance(of, Random) or any(called is one for one in _CLOCKS)


def main() -> None:
    """Read errands until there are no more, and write what comes of each."""
    told, heard = sys.stdout.buffer, sys.stdin.buffer
    sys.stdout = sys.stderr  # what an adapter prints is no answer
    sys.path[:], functions = pickle.load(heard)  # noqa: S301 - from the process that started this one
    evaluator, translate, settings = pickle.loads(functions)  # noqa: S301 - the same
    watch: _Watch | None = None

    def judge(errand: Errand) -> list[Any]:
        made = _tried(evaluator, errand.objects, errand.facts)
        return [made if isinstance(made, str) else _tried(made.judge, request) for request in errand.requests]

    def translated(errand: Errand) -> list[Any]:
        return [_tried(translate, unit, settings) for unit in errand.units]

    while True:
        try:
            what, raw = pickle.load(heard)  # noqa: S301 - the same
        except EOFError:
            return
        errand: Errand = pickle.loads(raw)  # noqa: S301 - the same
        if what == "watch":
            watch = watch or _Watch()
            judge(errand), translated(errand)  # what is imported late is there then
            with watch:
                judge(errand)
                translated(errand)
            answer: list[Any] = [watch.asked] if watch.asked else []
        else:
            answer = judge(errand) if what == "judge" else translated(errand)
        pickle.dump(answer, told)
        told.flush()


if __name__ == "__main__":
    # Under its own name, by which the values that it is sent are pickled.
    from hub.testing.conformance.fresh_process import main as run

    run()
