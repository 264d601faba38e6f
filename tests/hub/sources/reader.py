"""A folder as a source, read as often as a test likes."""

from __future__ import annotations

from pathlib import Path

from hub.events import Snapshot
from hub.sources.directory import DirectorySource
from hub.sources.limits import ParseLimits


def write(path: Path, text: str) -> Path:
    """Write a file, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def source(root: Path, limits: ParseLimits = ParseLimits()) -> Reader:
    """A source over `root`, named git."""
    return Reader("git", root, limits, poll_s=0.5)


class Reader(DirectorySource):
    """A source with the snapshot that its events add up to."""

    snapshot = Snapshot()

    def look(self) -> Snapshot:
        """Read again; the source as it stands now."""
        self.snapshot = self.snapshot.after(self.read())
        return self.snapshot


def held(reader: Reader) -> dict[str, list[object]]:
    """The values per file that a reading gives."""
    return {part: [d.value for d in documents] for part, documents in reader.look().parts.items()}
