"""Packages of examples as somebody else would have them: away from this repository, and installed by pip."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path


def copied(example: Path, base: Path) -> Path:
    """A copy of an example's folder in `base`, so that nothing is found by chance."""
    ignored = shutil.ignore_patterns("build", "__pycache__", ".*")
    return Path(shutil.copytree(example, base / example.name, ignore=ignored))


def installed(package: Path) -> Path:
    """A folder beside a package into which pip has installed it."""
    site = package.parent / "site"
    quiet = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *quiet, "--target", str(site), "."]
    subprocess.run(command, cwd=package, capture_output=True, text=True, check=True)
    return site
