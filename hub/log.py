"""Logging: one line per event on stderr, for people on a terminal, JSON elsewhere.

`structlog.get_logger("smihub.<area>").info("change_applied", ref=..., op=...)`: the event is a past-tense constant,
facts are keys. Secrets do not belong in a log. Whoever logs never waits for whoever reads.
"""

from __future__ import annotations

import logging
import os
import select
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from time import monotonic
from typing import TextIO, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

_MOST_CHARS = 4_194_304
"""So much text waits at most for a reader that is slow; what comes then is dropped, and counted."""
_FIRST = ("event", "level", "timestamp")


class LogForm(StrEnum):
    """How events are written: lines for people, JSON, or what fits the stream."""

    AUTO = "auto"
    TEXT = "text"
    JSON = "json"


def set_up_logging(
    level: int = logging.INFO,
    stream: TextIO | None = None,
    most: int = _MOST_CHARS,
    form: LogForm = LogForm.AUTO,
) -> Lines:
    """Send every event of at least `level` to `stream` (default: stderr); call it once, from the command.

    By default a terminal gets readable lines (coloured unless NO_COLOR is set), everything else JSON lines. Lines are written by a thread of
    their own, and at most `most` characters wait for it; `flush` what is given back before the process ends. What libraries log
    by Python's own `logging` comes as `library_warned`.
    """
    target = sys.stderr if stream is None else stream
    final = _final(target, form)
    lines = Lines(target, most, lambda dropped: _rendered(final, dropped))
    structlog.configure(
        processors=[*_shared(), *final],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", lines)),
        cache_logger_on_first_use=False,
    )
    logging.lastResort = _Libraries(max(level, logging.WARNING))
    return lines


class Lines:
    """Text on its way to a stream that may be slow, full or gone: a hub whose log nobody reads has revocations to carry out.

    `render_dropped` renders a line that says how many were dropped.
    """

    def __init__(self, stream: TextIO, most: int, render_dropped: Callable[[int], str]) -> None:
        self._put = _by_descriptor(stream)
        self._most = most
        self._render_dropped = render_dropped
        self._texts: deque[str] = deque()
        self._waiting = 0  # characters that are not written yet
        self._dropped = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def write(self, text: str) -> None:
        """Have it written, or drop it where too much waits; after that until half of it is gone, so that gaps are few."""
        with self._changed:
            if self._waiting + len(text) > (self._most // 2 if self._dropped else self._most):
                self._dropped += 1
                return
            self._add_dropped_line()
            self._add(text)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="smihub-log", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def flush(self, seconds: float = 0.0) -> None:
        """Wait until everything is written, at most so long."""
        until = monotonic() + seconds
        with self._changed:
            while (self._waiting or self._dropped) and (left := until - monotonic()) > 0:
                self._changed.wait(left)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._texts:
                    self._changed.wait()
                text = self._texts.popleft()
            self._put(text)
            with self._changed:
                self._waiting -= len(text)
                if not self._texts:
                    self._add_dropped_line()
                self._changed.notify_all()

    def _add(self, text: str) -> None:
        self._texts.append(text)
        self._waiting += len(text)

    def _add_dropped_line(self) -> None:
        if self._dropped:
            self._add(self._render_dropped(self._dropped))
            self._dropped = 0


def _by_descriptor(stream: TextIO) -> Callable[[str], None]:
    """How to write to a stream without its lock, which Python wants at its end, when the thread may hang in a write.

    Where the other side has gone, or the disk is full, what is written is dropped.
    """
    try:
        descriptor = os.dup(stream.fileno())
    except (OSError, ValueError):
        return lambda text: _put(stream, text)
    return lambda text: _put_all(descriptor, text)


def _put(stream: TextIO, text: str) -> None:
    with suppress(OSError, ValueError):
        stream.write(text)
        stream.flush()


def _put_all(descriptor: int, text: str) -> None:
    left = memoryview(text.encode(errors="backslashreplace"))
    with suppress(OSError):
        while left:
            try:
                left = left[os.write(descriptor, left) :]
            except BlockingIOError:  # somebody who shares it made it so
                select.select((), (descriptor,), ())


class _Libraries(logging.Handler):
    """What is logged without structlog, as events like all others."""

    def emit(self, record: logging.LogRecord) -> None:
        """See logging.Handler."""
        log = structlog.get_logger(record.name)
        log.log(
            record.levelno, "library_warned", logger=record.name, reason=record.getMessage(), exc_info=record.exc_info
        )


def _rendered(final: list[Processor], dropped: int) -> str:
    found: object = {
        "event": "lines_dropped",
        "level": "warning",
        "lines": dropped,
        "reason": "the log is read too slowly",
    }
    for process in final:
        found = process(None, "warning", cast("EventDict", found))
    return f"{found}\n"


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.StackInfoRenderer(),
    ]


def _final(target: TextIO, form: LogForm) -> list[Processor]:
    if form is LogForm.JSON or (form is LogForm.AUTO and not target.isatty()):
        stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
        return [
            stamp,
            structlog.processors.format_exc_info,
            _event_first,
            structlog.processors.JSONRenderer(default=str),
        ]
    stamp = structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False)
    colours = target.isatty() and not os.environ.get("NO_COLOR")  # https://no-color.org
    # The plain formatter: the rich one prints local variables, and some hold keys and tokens.
    return [stamp, structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=structlog.dev.plain_traceback)]


def _event_first(_: WrappedLogger, __: str, facts: EventDict) -> EventDict:
    """What happened, how serious it is, and when: the first that whoever reads a line looks for."""
    return {**{key: facts[key] for key in _FIRST if key in facts}, **facts}
