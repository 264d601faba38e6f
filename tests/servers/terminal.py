"""A command on a pseudo-terminal: what it shows to somebody who sits there, and what that somebody types."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import termios
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

LIMIT_S = 60.0
"""A command that still runs then is killed."""


def converse(
    command: Sequence[str], cwd: Path, prompt: str, typed: Callable[[], bytes], columns: int = 100
) -> tuple[int, str]:
    """Run on a terminal of so many columns; once `prompt` is there, type what `typed` gives. Exit code, whole screen."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color"}
    environment.pop("COLUMNS", None)  # of this terminal, and not of that in which the tests run
    child = subprocess.Popen(
        command,
        cwd=cwd,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        preexec_fn=_take_terminal,  # noqa: PLW1509 - what a shell does, so that Ctrl-C is a signal
    )
    limit = threading.Timer(LIMIT_S, child.kill)
    limit.start()
    os.close(theirs)
    shown, asked = b"", False
    try:
        while piece := _read(ours):
            shown += piece
            if not asked and prompt.encode() in shown:
                asked = True
                os.write(ours, typed())
        return child.wait(30), shown.decode()
    finally:
        limit.cancel()
        child.kill()
        child.wait()
        os.close(ours)


def _take_terminal() -> None:
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux reports the end of the other side as EIO
        return b""
