"""For tests that act as another local user."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.folder import Folder, shop


@pytest.fixture
def plain() -> Iterator[Path]:
    """A folder that every user may enter and read, as most folders of a machine are; pytest's own are closed."""
    with tempfile.TemporaryDirectory(prefix="smihub-adversary-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture
def folder(plain: Path) -> Folder:
    """`web` may GET /books from `api`; everything lies where every user can look."""
    return shop(plain)
