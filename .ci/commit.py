"""Build hook: the wheel says from which commit it was made (its metadata), and so does the sdist that a wheel may come from."""

from __future__ import annotations

import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_GIT = ("git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")


class CommitHook(BuildHookInterface):  # type: ignore[type-arg]  # which build it is for is no matter here
    """Adds a file COMMIT; leaves it out where nobody knows the commit."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Hatchling calls this before it collects files."""
        commit = "" if version == "editable" else self._commit()
        if not commit:
            return
        self._folder = TemporaryDirectory()
        file = Path(self._folder.name) / "COMMIT"
        file.write_text(f"{commit}\n", encoding="utf-8")
        where = "extra_metadata" if self.target_name == "wheel" else "force_include"
        build_data.setdefault(where, {})[str(file)] = "COMMIT"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Hatchling calls this when the archive is written."""
        if hasattr(self, "_folder"):
            self._folder.cleanup()

    def _commit(self) -> str:
        root = Path(self.root)
        if (root / "COMMIT").is_file():
            return (root / "COMMIT").read_text(encoding="utf-8").strip()
        if not (root / ".git").exists():
            return ""
        try:
            return subprocess.run(_GIT, cwd=root, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603 - a fixed command
        except OSError:
            return ""
