"""Logging: one line per event on stderr, for people on a terminal, JSON elsewhere.

`structlog.get_logger("smihub.<area>").info("change_applied", ref=..., op=...)`: the event is a past-tense constant,
facts are keys. Secrets do not belong in a log.
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from typing import TextIO, cast

import structlog
from structlog.typing import Processor


def set_up_logging(level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """Send every event of at least `level` to `stream` (default: stderr); call it once, from the command.

    A terminal gets readable lines (coloured unless NO_COLOR is set), everything else JSON lines.
    """
    target = sys.stderr if stream is None else stream
    structlog.configure(
        processors=[*_shared(), *_final(target)],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _Lasting(target))),
        cache_logger_on_first_use=False,
    )


class _Lasting:
    """A stream whose end ends nothing else: a hub whose log nobody reads any more still has revocations to carry out."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write it, or drop it where the other side has gone, or the disk is full."""
        with suppress(OSError, ValueError):
            self._stream.write(text)

    def flush(self) -> None:
        """As `write`."""
        with suppress(OSError, ValueError):
            self._stream.flush()


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.StackInfoRenderer(),
    ]


def _final(target: TextIO) -> list[Processor]:
    if not target.isatty():
        stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
        return [stamp, structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    stamp = structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False)
    colours = not os.environ.get("NO_COLOR")  # https://no-color.org
    # The plain formatter: the rich one prints local variables, and some hold keys and tokens.
    return [stamp, structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=structlog.dev.plain_traceback)]
