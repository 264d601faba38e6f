"""SECURITY.md names the test that holds each of its claims."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_tests_that_the_threat_model_names_exist() -> None:
    """A claim whose test is gone is a claim that nobody holds."""
    named = re.findall(r"`(tests/[^`]+)`", (ROOT / "SECURITY.md").read_text("utf-8"))
    assert len(named) > 10
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_every_suite_of_an_outsider_is_named() -> None:
    """What an outsider tries belongs to the threat model."""
    text = (ROOT / "SECURITY.md").read_text("utf-8")
    suites = [each.relative_to(ROOT).as_posix() for each in (ROOT / "tests" / "adversary").glob("test_*.py")]
    assert suites
    assert [name for name in suites if name not in text] == []
