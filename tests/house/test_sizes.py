"""A file is one idea, and short enough to be read at once."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("hub", "adapters", "tests", "bench", "deploy", ".ci")
MOST_LINES = 400


def test_no_file_of_code_is_long() -> None:
    """Whoever makes one longer splits it by what it is about."""
    lines = {path: path.read_text().count("\n") for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")}
    assert len(lines) > 500
    assert {str(path.relative_to(ROOT)): count for path, count in lines.items() if count > MOST_LINES} == {}
