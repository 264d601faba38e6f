"""The world of these tests."""

from __future__ import annotations

import pytest

from hub.api import Facts
from hub.testing.documents import Scope, compile_documents
from hub.testing.kit import read_documents
from tests.adapters.consul.native import WORLD


@pytest.fixture(scope="session")
def facts() -> Facts:
    """Who stands where."""
    return compile_documents(read_documents(WORLD), Scope()).facts
