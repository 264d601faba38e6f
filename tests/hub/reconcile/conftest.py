"""Meshes with skeletons, which keep what they are sent in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub.testing.memory import FORMS
from tests.servers.skeletons import Trial


@pytest.fixture(name="trial", params=FORMS)
def make_trial(request: pytest.FixtureRequest, tmp_path: Path) -> Trial:
    """A mesh to which nothing was applied."""
    return Trial(tmp_path, request.param)


@pytest.fixture(name="stepwise", params=[form for form in FORMS if form != "memory-at-once"])
def make_stepwise(request: pytest.FixtureRequest, tmp_path: Path) -> Trial:
    """The same of meshes that take objects one by one."""
    return Trial(tmp_path, request.param)
