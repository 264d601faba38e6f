"""Runs an Envoy whose denials go into a file: `python -m adapters.vm.bootstrap.denials FILE ENVOY ARGUMENTS...`.

Envoy takes this process's place; a child reads what it writes to its standard output, and ends with it. A file that cannot be
written, a full disk, or this child's death lose lines and nothing else: Envoy goes on. Envoy 1.40 can limit the rate of a log
by itself only with `process_ratelimit`, which ends Envoy when the bucket that it asks for does not come.
The standard library is all that is imported here: one of these runs beside each Envoy.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

SWITCH = json.dumps({"layered_runtime": {"layers": [{"name": "denials", "static_layer": {"smihub.denials": 100}}]}})
"""What turns the log on, as Envoy's `--config-yaml`, which it adds to the file of `-c`."""
FLUSH_MS = 1000
"""How long Envoy keeps lines before it writes them (its default is ten seconds)."""
RATE = 10
"""Most lines a second of one listener."""
BURST = 100
"""Most lines of one listener at once."""
MAX_FILE_BYTES = 8 * 1024 * 1024
"""A file that would be larger is kept as `FILE.1`, in place of the one before."""
_MAX_LINE_BYTES = 16 * 1024
_MAX_LISTENERS = 4096
_CHUNK_BYTES = 256 * 1024
_WAITING = 1000
_KEY = b'"listener":"'


@dataclass
class _Bucket:
    tokens: float
    at: float
    dropped: int = 0


@dataclass
class Limit:
    """Token buckets by listener: of each, so many lines a second get through, and the next one says how many did not."""

    clock: Callable[[], float] = time.monotonic
    _by_listener: dict[bytes, _Bucket] = field(default_factory=dict)

    def passed(self, line: bytes) -> list[bytes]:
        """The lines to write for this one: none, itself, or before it how many of its listener were left out."""
        start = line.find(_KEY) + len(_KEY)
        listener = line[start : line.find(b'"', start)]
        if len(line) > _MAX_LINE_BYTES or start < len(_KEY) or not self._knows(listener):
            return []
        own, now = self._by_listener[listener], self.clock()
        own.tokens, own.at = min(BURST, own.tokens + (now - own.at) * RATE), now
        if own.tokens < 1:
            own.dropped += 1
            return []
        own.tokens -= 1
        left_out = [] if not own.dropped else [b'{"left_out":%d,"listener":"%b"}' % (own.dropped, listener)]
        own.dropped = 0
        return [*left_out, line]

    def _knows(self, listener: bytes) -> bool:
        if listener not in self._by_listener and len(self._by_listener) < _MAX_LISTENERS:
            self._by_listener[listener] = _Bucket(BURST, self.clock())
        return listener in self._by_listener


class BoundedFile:
    """A file that only its owner can read, of which at most `most` bytes and one older one of that size are kept."""

    def __init__(self, file: Path, most: int = MAX_FILE_BYTES) -> None:
        self._file = file
        self._most = most

    def append(self, line: bytes) -> None:
        """Add a line. Raises OSError; then a part of it may stand there, and the next line begins anew."""
        descriptor = self._opened(len(line) + 1)
        try:
            # A short write (a full disk) leaves half a line; the next one must not continue it.
            if os.write(descriptor, line + b"\n") <= len(line):
                os.write(descriptor, b"\n")
        finally:
            os.close(descriptor)

    def _opened(self, more: int) -> int:
        # Opened for each line: whoever moves the file away need not tell anybody.
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(self._file, flags, 0o600)
        if os.fstat(descriptor).st_size + more <= self._most:
            return descriptor
        os.close(descriptor)
        self._file.replace(self._file.with_name(f"{self._file.name}.1"))
        return os.open(self._file, flags, 0o600)


def lines_of(descriptor: int) -> Iterator[bytes]:
    """Yield whole lines until the other end closes; what is longer than any line of ours is passed over in pieces."""
    rest = b""
    while chunk := os.read(descriptor, _CHUNK_BYTES):
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole
        # One byte more than allowed is kept, so that the line still shows as too long, however long it gets.
        rest = rest[: _MAX_LINE_BYTES + 1]


def keep(descriptor: int, file: BoundedFile) -> None:
    """Read to the end, and write what the limit lets through; a disk that hangs holds up nobody."""
    waiting: queue.Queue[bytes | None] = queue.Queue(_WAITING)
    writer = threading.Thread(target=_write, args=(waiting, file), daemon=True)
    writer.start()
    limit = Limit()
    for line in lines_of(descriptor):
        for each in limit.passed(line):
            # Dropped rather than waited for: a full pipe would hold up Envoy.
            with contextlib.suppress(queue.Full):
                waiting.put_nowait(each)
    with contextlib.suppress(queue.Full):
        waiting.put(None, timeout=1)
    writer.join(timeout=1)


def _write(waiting: queue.Queue[bytes | None], file: BoundedFile) -> None:
    reported = False
    while (line := waiting.get()) is not None:
        try:
            file.append(line)
            reported = False
        except OSError as error:
            if not reported:
                sys.stderr.write(f"denials are not logged: {error}\n")
            reported = True


def run(file: Path, command: list[str]) -> None:
    """Become this Envoy, with a child that keeps its denials. Does not come back; raises OSError where there is no Envoy."""
    read, write = os.pipe()
    # The child reads and this process becomes Envoy: signals and the exit code are Envoy's own.
    if os.fork() == 0:
        os.close(write)
        for ends in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(ends, signal.SIG_IGN)  # it ends when Envoy has, and has said all
        keep(read, BoundedFile(file))
        os._exit(0)
    os.close(read)
    os.dup2(write, sys.stdout.fileno())
    os.close(write)
    more = ("--config-yaml", SWITCH, "--file-flush-interval-msec", str(FLUSH_MS))
    os.execv(command[0], [*command, *more])  # noqa: S606 - the command is what bootstrap printed


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2:])
