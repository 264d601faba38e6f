"""A folder of SMI YAML for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hub.cli.two_domains import Two
from tests.servers.folder import Folder, shop


@pytest.fixture(name="folder")
def make_folder(tmp_path: Path) -> Folder:
    """A folder in which `web` may GET /books from `api`; nothing is applied yet."""
    return shop(tmp_path)


@pytest.fixture(name="two")
def make_two(tmp_path: Path) -> Two:
    """Two domains that use the same names; nothing is applied yet."""
    return Two(tmp_path)
