"""What every sink must do (hub.testing.sinks): files, a database, and meshes in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub.testing.memory import FORMS
from hub.testing.sinks.bench import SinkBench
from hub.testing.sinks.suite import SinkSuite, requests_tell_changes_apart
from tests.servers.benches import FolderBench, MemoryBench, OtherFamilyBench, StateBench


class Ours(SinkSuite):
    """The suite, whose longest test is left out by `make check`."""

    @pytest.mark.thorough
    def test_process_may_end_at_any_write(self, tmp_path: Path) -> None:
        """See SinkSuite."""
        super().test_process_may_end_at_any_write(tmp_path)


class TestFolder(Ours):
    """Manifests."""

    def bench(self, root: Path) -> SinkBench:
        """See SinkSuite."""
        return FolderBench(root)


class TestFolderOfAnotherFamily(Ours):
    """Files of another form."""

    def bench(self, root: Path) -> SinkBench:
        """See SinkSuite."""
        return OtherFamilyBench(root)


class TestState(Ours):
    """Revisions in SQLite."""

    def bench(self, root: Path) -> SinkBench:
        """See SinkSuite."""
        return StateBench(root)


class TestMemory(Ours):
    """Meshes in memory, with one token for all or for each object, and those that take all at once or tell what they accepted."""

    @pytest.fixture(autouse=True, params=FORMS)
    def of_form(self, request: pytest.FixtureRequest) -> None:
        """One of the four."""
        self._form = str(request.param)

    def bench(self, root: Path) -> SinkBench:
        """See SinkSuite."""
        return MemoryBench(root, self._form)


def test_requests_tell_the_changes_apart(tmp_path: Path) -> None:
    """Else the tests above would see nothing."""
    assert requests_tell_changes_apart(FolderBench(tmp_path))
    (tmp_path / "vm").mkdir()
    assert requests_tell_changes_apart(StateBench(tmp_path / "vm"))
