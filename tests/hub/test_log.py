"""Logging: readable on a terminal, JSON elsewhere."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from hub.log import set_up_logging


@pytest.fixture(autouse=True)
def defaults() -> Iterator[None]:
    """Leave structlog as it was."""
    yield
    structlog.reset_defaults()


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def test_a_pipe_gets_json_lines() -> None:
    """One JSON object per event, with level, UTC time and the facts; exceptions too."""
    stream = io.StringIO()
    set_up_logging(stream=stream)
    log = structlog.get_logger("smihub.test")
    log.debug("not_shown")
    log.info("change_applied", ref="a/b", odd=object)
    try:
        int("x")
    except ValueError:
        log.exception("it_failed")
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (first["event"], first["level"], first["ref"]) == ("change_applied", "info", "a/b")
    assert first["timestamp"].endswith("Z")
    assert "ValueError: invalid literal" in second["exception"]


def test_a_terminal_gets_readable_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Event and facts as text; colours unless NO_COLOR is set."""
    stream = Terminal()
    set_up_logging(logging.DEBUG, stream)
    structlog.get_logger().debug("change_applied", ref="a/b")
    assert "\x1b[" in stream.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    set_up_logging(logging.DEBUG, stream)
    structlog.get_logger().debug("change_applied", ref="a/b")
    assert "\x1b[" not in stream.getvalue()
    assert "change_applied" in stream.getvalue()
    assert "ref=a/b" in stream.getvalue()


def test_a_stream_that_has_ended_ends_nothing_else() -> None:
    """Nobody reads the log any more: what writes to it goes on."""
    stream = io.StringIO()
    set_up_logging(stream=stream)
    stream.close()
    structlog.get_logger().info("change_applied", ref="a/b")
