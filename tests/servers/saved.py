"""Saving the plan of a folder and looking at it, as several tests do."""

from __future__ import annotations

from typer.testing import Result

from hub.plan.saved import Saved, decode
from tests.servers.folder import Folder


def save(folder: Folder, *options: str) -> Result:
    """Save the plan as review.plan."""
    return folder.run("plan", "--save", "review.plan", *options)


def saved(folder: Folder) -> Saved:
    """What review.plan holds."""
    return decode((folder.root / "review.plan").read_bytes())
