"""For all tests of the VM mesh: a state file that a test opened itself is closed when it ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from adapters.vm.state.revisions import State


@pytest.fixture(autouse=True)
def close_states(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Python 3.13 warns of connections that nobody closed. That the hub closes its own is for the tests of its verbs to see."""
    opened = State.__init__
    with ExitStack() as stack:

        def opening(self: State, *args: Any) -> None:
            opened(self, *args)
            stack.callback(self.close)

        monkeypatch.setattr(State, "__init__", opening)
        yield
