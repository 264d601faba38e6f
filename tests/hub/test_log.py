"""Logging: readable on a terminal, JSON elsewhere."""

from __future__ import annotations

import io
import json
import logging
import os
import time
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
import structlog

from hub.log import set_up_logging

LIMIT_S = 10.0


@pytest.fixture(autouse=True)
def defaults() -> Iterator[None]:
    """Leave structlog, and logging, as they were."""
    before = logging.lastResort
    yield
    structlog.reset_defaults()
    logging.lastResort = before


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def test_a_pipe_gets_json_lines() -> None:
    """One JSON object per event, with level, UTC time and the facts; exceptions too."""
    stream = io.StringIO()
    lines = set_up_logging(stream=stream)
    log = structlog.get_logger("smihub.test")
    log.debug("not_shown")
    log.info("change_applied", ref="a/b", odd=object)
    try:
        int("x")
    except ValueError:
        log.exception("it_failed")
    lines.flush(LIMIT_S)
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (first["event"], first["level"], first["ref"]) == ("change_applied", "info", "a/b")
    assert first["timestamp"].endswith("Z")
    assert list(first)[:3] == ["event", "level", "timestamp"]
    assert "ValueError: invalid literal" in second["exception"]


def test_a_terminal_gets_readable_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Event and facts as text; colours unless NO_COLOR is set."""
    stream = Terminal()
    lines = set_up_logging(logging.DEBUG, stream)
    structlog.get_logger().debug("change_applied", ref="a/b")
    lines.flush(LIMIT_S)
    assert "\x1b[" in stream.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    lines = set_up_logging(logging.DEBUG, stream)
    structlog.get_logger().debug("change_applied", ref="a/b")
    lines.flush(LIMIT_S)
    assert "\x1b[" not in stream.getvalue()
    assert "change_applied" in stream.getvalue()
    assert "ref=a/b" in stream.getvalue()


def test_a_stream_that_has_ended_ends_nothing_else() -> None:
    """Nobody reads the log any more: what writes to it goes on."""
    stream = io.StringIO()
    lines = set_up_logging(stream=stream)
    stream.close()
    structlog.get_logger().info("change_applied", ref="a/b")
    lines.flush(LIMIT_S)


@pytest.mark.thorough
def test_whoever_logs_does_not_wait_for_a_reader_that_is_slow() -> None:
    """Nobody reads the pipe: a thousand lines are said at once; of what is read later, each gap says how long it is."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        lines = set_up_logging(stream=stream, most=100_000)
        started = time.monotonic()
        for number in range(10_000):
            structlog.get_logger().info("change_applied", number=number)
        lines.flush(0.1)
        assert time.monotonic() - started < LIMIT_S
        with os.fdopen(reading) as text:
            rows: list[dict[str, Any]] = []
            while said(rows) < 10_000:  # the pipe itself takes some, so that there may be more gaps than one
                rows.append(json.loads(next(text)))
            structlog.get_logger().info("change_applied", number=10_000)
            rows.append(json.loads(next(text)))
    numbers = [row["number"] for row in rows if row["event"] == "change_applied"]
    assert numbers == sorted({*numbers})
    assert (numbers[0], numbers[-1], said(rows)) == (0, 10_000, 10_001)
    assert {row["level"] for row in rows if row["event"] == "lines_dropped"} == {"warning"}


def said(rows: Iterable[dict[str, Any]]) -> int:
    """How many lines were written, or told as dropped."""
    return sum(row.get("lines", 1) for row in rows)


def test_what_libraries_log_is_a_line_like_all_others() -> None:
    """Python's own logging too, with its trace."""
    stream = io.StringIO()
    lines = set_up_logging(stream=stream)
    assert logging.lastResort is not None
    record = logging.LogRecord("asyncio", logging.ERROR, "", 0, "no %s", ("luck",), None)
    logging.lastResort.handle(record)
    lines.flush(LIMIT_S)
    (row,) = map(json.loads, stream.getvalue().splitlines())
    assert (row["event"], row["level"], row["logger"], row["reason"]) == (
        "library_warned",
        "error",
        "asyncio",
        "no luck",
    )
