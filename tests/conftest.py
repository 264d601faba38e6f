"""For all tests: hypothesis uses fixed seeds and no clock; searches with new seeds are the slow tests' own business.

The longest files come first (floods that wait for time limits, then whole meshes): a process that got one last would end
long after the others.
"""

from __future__ import annotations

import gc

import pytest
from hypothesis import settings

settings.register_profile("fixed", derandomize=True, deadline=None)
settings.load_profile("fixed")


def pytest_sessionstart() -> None:
    """Collect without the garbage collector: what is collected stays until the end, and to walk it costs a tenth of a run."""
    gc.disable()


def pytest_collection_finish() -> None:
    """From here on it looks at what the tests make."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests; those of one file stay together."""
    items.sort(key=lambda item: (item.path.name != "test_floods.py", "e2e" not in item.path.parts))
