"""The stable codes of decoding are all documented."""

from __future__ import annotations

import re
from pathlib import Path

import hub.smi

SOURCES = sorted(Path(hub.smi.__file__).parent.glob("*.py"))
CODES = Path(hub.smi.__file__).parents[2] / "docs" / "problems.md"
REPORTED = re.compile(
    r"reader\.(?:refuse|report|warn)\(\s*\"([a-z-]+\.[a-z-]+)\"|self\.(?:refuse|_problem)\(\s*\"([a-z-]+\.[a-z-]+)\""
)


def reported() -> set[str]:
    """Every code that the sources report with, and those that are chosen by a condition."""
    found: set[str] = set()
    for source in SOURCES:
        text = source.read_text()
        found.update(first or second for first, second in REPORTED.findall(text))
        found.update(re.findall(r'code = "([a-z.-]+)" if .* else "[a-z.-]+"', text))
        found.update(re.findall(r'code = "[a-z.-]+" if .* else "([a-z.-]+)"', text))
    return found


def test_every_code_of_decoding_is_documented_once() -> None:
    """One row per code in docs/problems.md, and no row too many in the sections of decoding."""
    rows = re.findall(r"^\| `([a-z.-]+)` \|", CODES.read_text(), re.MULTILINE)
    codes = reported()
    assert len(codes) > 40
    assert codes - set(rows) == set()
    assert sorted(rows) == sorted(set(rows))
