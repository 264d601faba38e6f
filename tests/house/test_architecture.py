"""docs/internals/architecture.md names functions that are where it says."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\[`([\w.]+)`\]\(\.\./\.\./([\w/]+\.py)\)")


def names_in(file: Path) -> set[str]:
    """Functions and classes of a module, and methods as `Class.method`."""
    found: set[str] = set()
    for node in ast.parse(file.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {
                f"{node.name}.{each.name}"
                for each in node.body
                if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
            }
    return found


def test_functions_are_where_the_docs_say() -> None:
    """The way of one TrafficTarget, step by step."""
    links = LINK.findall((ROOT / "docs" / "internals" / "architecture.md").read_text("utf-8"))
    assert len(links) >= 15
    assert [(name, file) for name, file in links if name not in names_in(ROOT / file)] == []
