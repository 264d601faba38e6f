"""Folders that other users of the machine could change, seen from the user who owns them; tests/adversary acts as another."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hub import private
from hub.errors import ConfigError
from hub.private import check_way, claim, make_folder


@pytest.mark.parametrize(("mode", "good"), [(0o755, True), (0o1777, True), (0o777, False), (0o757, False)])
def test_folder_on_the_way_that_all_may_write_is_refused_unless_sticky(tmp_path: Path, mode: int, good: bool) -> None:  # noqa: FBT001 - a table
    """In a sticky one nobody can rename what is ours."""
    above = tmp_path / "above"
    above.mkdir()
    above.chmod(mode)
    if good:
        assert make_folder(above / "folder", "a test")
        assert not make_folder(above / "folder", "a test")
    else:
        with pytest.raises(ConfigError, match=f"chmod go-w {above}"):
            make_folder(above / "folder", "a test")
        assert list(above.iterdir()) == []


@pytest.mark.parametrize("own", [True, False])
def test_group_on_the_way_may_be_our_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: bool) -> None:  # noqa: FBT001 - a table
    """With umask 002 a user's folders are writable by the group that only he is in."""
    monkeypatch.setattr(private, "_is_own_group", lambda _: own)
    above = tmp_path / "above"
    above.mkdir()
    above.chmod(0o775)
    if own:
        check_way(above / "folder", "a test")
    else:
        with pytest.raises(ConfigError, match="writable by others"):
            check_way(above / "folder", "a test")


def test_links_are_followed_to_where_they_lead(tmp_path: Path) -> None:
    """A folder that all may write is on the way also where only a link goes through it."""
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "open" / "there").symlink_to(tmp_path)
    (tmp_path / "here").symlink_to("open/there")
    with pytest.raises(ConfigError, match="open"):
        check_way(tmp_path / "here" / "folder", "a test")


def test_links_without_end_are_refused(tmp_path: Path) -> None:
    """As the kernel does."""
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(ConfigError, match="too many symbolic links"):
        check_way(tmp_path / "loop" / "folder", "a test")


def test_lock_is_held_by_one(tmp_path: Path) -> None:
    """And is free again once it is closed."""
    held = claim(tmp_path / "lock", "a test runs")
    with pytest.raises(ConfigError, match=f"a test runs by process {os.getpid()} already"):
        claim(tmp_path / "lock", "a test runs")
    os.close(held)
    os.close(claim(tmp_path / "lock", "a test runs"))
