"""One name, one thing: what a reader meets twice under one name is the same thing."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ADAPTERS = sorted(
    path.name for path in (ROOT / "adapters").iterdir() if path.is_dir() and not path.name.startswith("__")
)
NUMBERED = re.compile(r"test_p?[0-9]+(_|$)")


def files(folder: str) -> Iterator[Path]:
    """The modules of a folder."""
    yield from sorted((ROOT / folder).rglob("*.py"))


def taken_twice(modules: Iterable[Path]) -> dict[str, list[str]]:
    """Names of classes that more than one of these modules defines, and where."""
    found = defaultdict(list)
    for path in modules:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                found[node.name].append(f"{path}:{node.lineno}")
    return {name: places for name, places in found.items() if len(places) > 1}


@pytest.mark.thorough
@pytest.mark.parametrize("folder", ["hub", *(f"adapters/{name}" for name in ADAPTERS)])
def test_a_class_has_its_name_for_itself(folder: str) -> None:
    """In the hub, and in each adapter, by which `grep` finds the one that is meant."""
    assert taken_twice(files(folder)) == {}


def test_two_classes_of_one_name_are_found(tmp_path: Path) -> None:
    """The rule can be broken."""
    for name in ("one.py", "other.py"):
        (tmp_path / name).write_text("class Rule:\n    pass\n")
    assert list(taken_twice(tmp_path.iterdir())) == ["Rule"]


def test_a_test_is_named_by_its_rule() -> None:
    """A number of a list that nobody has says nothing when the test fails."""
    functions = (name for path in files("tests") for name in re.findall(r"def (test_\w+)", path.read_text()))
    assert [name for name in functions if NUMBERED.match(name)] == []
