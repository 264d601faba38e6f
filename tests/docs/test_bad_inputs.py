"""docs/bad-inputs.md: each bad input really happens, and is answered as the page says. `make goldens` writes it anew."""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path

import pytest

from tests.docs.bad_inputs import (
    LAST,
    Elsewhere,
    elsewhere,
    joined,
    last_section,
    prepare,
    said,
    section,
    sections,
    topics,
)

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "bad-inputs.md"
TOPICS = topics()
ORDER = ["", *(topic.title for topic in TOPICS.values()), LAST]
CODES = re.findall(r"(?m)^\| `([a-z-]+\.[a-z-]+)` \|", (ROOT / "docs" / "problems.md").read_text())


def hold(title: str, text: str) -> None:
    """Fail where a section of the page says something else; with SMIHUB_UPDATE_GOLDENS set it is written anew."""
    found = sections(PAGE.read_text())
    if os.environ.get("SMIHUB_UPDATE_GOLDENS"):
        found[title] = text
        PAGE.write_text(joined(found, ORDER))
    assert found[title] == text


@pytest.mark.thorough
@pytest.mark.parametrize("name", TOPICS)
def test_every_bad_input_is_answered_as_the_page_says(name: str, tmp_path: Path) -> None:
    """Code and message, word for word."""
    topic = TOPICS[name]
    folders = [prepare(case, tmp_path / str(number)) for number, case in enumerate(topic.cases)]
    hold(topic.title, section(topic, list(map(said, topic.cases, folders))))


def test_the_other_codes_are_listed() -> None:
    """With the reason, and the test that causes them."""
    hold(LAST, last_section(elsewhere()))


def test_the_page_has_no_other_section() -> None:
    """None is left of a topic that is gone."""
    assert list(sections(PAGE.read_text())) == ORDER


def test_every_code_is_in_one_of_both_lists() -> None:
    """Caused by an input, or by the test that is named."""
    caused = {case.code for topic in TOPICS.values() for case in topic.cases} - {""}
    others = [one.code for one in elsewhere()]
    assert sorted([*caused, *others]) == sorted(set(CODES))
    assert sum(len(topic.cases) for topic in TOPICS.values()) >= 100


@pytest.mark.thorough
@pytest.mark.parametrize("one", elsewhere(), ids=lambda one: one.code)
def test_the_test_that_is_named_is_there_and_asks_for_the_code(one: Elsewhere) -> None:
    """By the code itself, or by a constant of its module."""
    file, _, name = one.test.partition("::")
    code = one.code
    text = (ROOT / file).read_text()
    tree = ast.parse(text)
    constants = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and node.value.value == code
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    (found,) = (
        node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name
    )
    words = {inner.id for inner in ast.walk(found) if isinstance(inner, ast.Name)}
    assert constants & words or any(code in said for said in _strings(found))


def _strings(tree: ast.AST) -> list[str]:
    return [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
