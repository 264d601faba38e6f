"""What every code means, as docs/problems.md says it: for code scanning, and for the table of what is supported."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import hub

_ROW = re.compile(r"\| `(?P<code>[a-z][a-z-]*(?:\.[a-z-]+)?)` \| (?P<meaning>.*) \| (?P<remedy>.*) \|")
_EMPHASIS = re.compile(r"(?<![\w*`])\*{1,2}(\w[\w ]*)\*{1,2}(?![\w*`])")


@cache
def documented() -> Mapping[str, tuple[str, str]]:
    """Meaning and remedy of every code, from docs/problems.md; nothing where that was not installed."""
    package = Path(hub.__file__).parent
    for path in (package / "problems.md", package.parent / "docs" / "problems.md"):
        if path.is_file():
            rows = map(_ROW.fullmatch, path.read_text(encoding="utf-8").splitlines())
            return {
                row["code"]: (_unmarked(row["meaning"]), _unmarked(row["remedy"])) for row in rows if row is not None
            }
    return {}


def _unmarked(text: str) -> str:
    """Without emphasis: what shows a rule shows its text as it is (SARIF 2.1.0, 3.12.3)."""
    return _EMPHASIS.sub(r"\1", text)
