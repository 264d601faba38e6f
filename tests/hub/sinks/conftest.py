"""For tests of what is written to folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub.sinks.small_mesh import apply, wanted


@pytest.fixture(scope="module", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    """`fsync` does nothing: only after a power cut could a test tell, and these make thousands of calls."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A folder with one unit in it."""
    made = tmp_path / "deep" / "rendered"
    apply(made, wanted({"api": ["web"]}))
    return made
