"""`smihub --version`: which smihub this is, from which commit, and on which Python it runs."""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata
from pathlib import Path

import typer

from hub.cli.context import OUT

_TREE = Path(__file__).parents[2]
_GIT = ("git", "-C", str(_TREE), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
_LONGEST_S = 2.0


def show_version(wanted: bool) -> None:
    """Print one line and end, if that is wanted."""
    if not wanted:
        return
    commit = _commit()
    built = f"commit {commit}, " if commit else ""
    OUT.print(f"smihub {metadata.version('smihub')} ({built}Python {platform.python_version()})")
    raise typer.Exit


def _commit() -> str:
    """The commit that was built, or of the working tree; "" if neither is known."""
    built = metadata.distribution("smihub").read_text("extra_metadata/COMMIT")
    if built:
        return built.strip()
    if not (_TREE / ".git").exists():
        return ""
    try:
        done = subprocess.run(_GIT, capture_output=True, text=True, check=False, timeout=_LONGEST_S)  # noqa: S603 - a fixed command
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
