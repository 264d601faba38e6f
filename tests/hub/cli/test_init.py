"""`smihub init`: a configuration to start from."""

from __future__ import annotations

from pathlib import Path

from hub.config.file import load_config
from tests.servers.folder import Folder


def test_init_writes_a_configuration_that_plans(folder: Folder) -> None:
    """What it writes is read by the next verb as it is."""
    (folder.root / "smihub.yaml").unlink()
    result = folder.run("init", "--source", "manifests")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "smihub plan" in result.stderr
    assert [source.name for source in load_config(folder.root / "smihub.yaml").sources] == ["manifests"]
    assert folder.run("plan").exit_code == 2


def test_init_never_overwrites(folder: Folder) -> None:
    """A second one fails and leaves the file as it is; another name is possible."""
    before = (folder.root / "smihub.yaml").read_bytes()
    result = folder.run("init")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert (folder.root / "smihub.yaml").read_bytes() == before
    assert folder.run("init", "-c", "other.yaml").exit_code == 0


def test_init_does_not_follow_a_link_that_leads_nowhere(folder: Folder, tmp_path: Path) -> None:
    """A dangling link counts as a file that is there."""
    (folder.root / "link.yaml").symlink_to(tmp_path / "nowhere.yaml")
    assert folder.run("init", "-c", "link.yaml").exit_code == 1
    assert not (tmp_path / "nowhere.yaml").exists()


def test_init_where_nothing_can_be_written_is_one_line(folder: Folder) -> None:
    """A folder that is not there."""
    result = folder.run("init", "-c", "none/smihub.yaml")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
