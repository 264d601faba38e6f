"""A folder of SMI YAML for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.servers.folder import Folder, shop


@pytest.fixture(name="folder")
def make_folder(tmp_path: Path) -> Folder:
    """A folder in which `web` may GET /books from `api`; nothing is applied yet."""
    return shop(tmp_path)
