"""The standard streams of the command: what they cannot show is escaped, and a reader that has gone ends the command."""

from __future__ import annotations

import os
import sys
from io import BufferedWriter, FileIO, TextIOWrapper
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_STDERR = 2
READER_GONE = 128 + 13
"""What a shell shows of a program that SIGPIPE ended."""


class _Descriptor(FileIO):
    """Ends the command at the first write that nobody can read any more (`smihub plan | head -1`), without a word.

    Python ignores SIGPIPE, and has to: by its default, a peer that closes its end of a hub's socket would end the hub.
    Libraries turn a BrokenPipeError into exit code 1, which is our word for an error; SystemExit passes through them.
    """

    def write(self, data: ReadableBuffer, /) -> int:
        """As FileIO. Raises SystemExit."""
        try:
            return super().write(data)
        except BrokenPipeError:
            _write_nowhere(self.fileno())
            raise SystemExit(READER_GONE) from None


def open_streams() -> None:
    """Replace stdout and stderr, once, before anything is written; one that is closed (`>&-`) is /dev/null from then on."""
    # Else the next file that is opened gets its number, and whatever a library prints goes into that file.
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    os.close(descriptor)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115 - by descriptor, until the end
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout = _opened(sys.stdout)
    if isinstance(sys.stderr, TextIOWrapper):
        sys.stderr = _opened(sys.stderr)


def drop_unwritten() -> None:
    """Give up what could not be written, where that was told: tried once more, it would change the exit code."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            _write_nowhere(stream.fileno())


def _write_nowhere(descriptor: int) -> None:
    # What is still in buffers is written at the end of Python (https://docs.python.org/3/library/signal.html#note-on-sigpipe).
    os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


def _opened(stream: TextIOWrapper) -> TextIOWrapper:
    raw = _Descriptor(stream.fileno(), "w", closefd=False)
    # A terminal that cannot show a letter is no reason to fail. "python -u" writes through, which is a line at a time here.
    by_line = stream.line_buffering or stream.write_through
    return TextIOWrapper(BufferedWriter(raw), stream.encoding, "backslashreplace", line_buffering=by_line)
