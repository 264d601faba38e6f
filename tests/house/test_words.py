"""Texts that people read are in the words of this field: what smihub says, its help, and the docs."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BETTER = {
    r"will not do": 'invalid value "x"; expected ...',
    r"(?<![Tt]here )\b(?:is|are) no (?!longer\b|more\b|less\b|different\b|.+ than\b|.+ left\b)": "is not a ...; is not valid",
    r"\bthat is none\b|\bname is none\b": "is not a valid ...",
    r"is there (?:twice|already)": "is listed twice; exists already",
    r"is said (?:here|there|twice|more than once)": "must not be set; is defined more than once",
    r"there is no such field": "unknown field",
    r"no copy counts": "all copies are ignored",
    r"\bmend(?:s|ed|ing)?\b": "fix",
    r"\bvoid\b": "ignored; invalid",
    r"for ever\b": "permanently; or drop it",
    r"\b[Ww]hoever\b": "anyone who; every caller that",
    r"\bnobody's\b": "unmanaged",
    r"[Nn]obody (?:is there to ask|can tell|knows)": "stdin is not a terminal; it is unknown",
    r"\bin pieces\b": "not atomic",
    r"\b(?:into|in) force\b": "apply it; in effect",
    r"\banew\b": "again",
    r"\bletters that\b": "characters that",
    r"(?:which is|is still|;) to come\b": "not implemented yet",
    r"\b(?:is|are) told of\b": "is reported; is shown",
    r"\b(?:our|smihub's|its own) mark\b": "ownership label",
    r"\bwitness": "example",
    r"\bhands-o(?:ff|n)\b": "pause; resume",
    r"\bbut for\b": "except for",
    r"\bhardly (?:is |was )?meant\b": "probably a mistake",
    r"\bas which nothing runs\b": "which no workload runs as",
    r"\bwants `?--": "requires --",
    r"\b(?:thereof|whereof|wherewith|whereupon|hereby)\b": "plain words",
    r"[Ii]t belongs into": "commit it; it belongs in",
}
"""What reads as translated, archaic or invented, and what people of this field write."""
_ANY = re.compile("|".join(f"(?:{pattern})" for pattern in BETTER))
ALLOWED = {
    ("hub/family.py", "anew"): "the first line of files that people have in their repositories",
    ("hub/cli/pause.py", "hands-off"): "the former name of the verb, which still works",
    ("hub/cli/main.py", "hands-off"): "the same",
    ("hub/sinks/kubernetes.py", "hands-off"): "the former name of the annotation, which is honoured for good",
    ("hub/status/outcomes.py", "hands-off"): "what an older release has recorded",
    ("docs/gitops.md", "hands-off"): "the former name of the annotation",
    ("hub/intent/splits.py", "void"): "a part of a code, which stays as it is",
    ("hub/intent/targets.py", "void"): "a part of a code, which stays as it is",
}
PROSE = (
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "adapters").glob("*/README.md")),
    *sorted((ROOT / "examples").glob("*/*/README.md")),
    *(ROOT / name for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md")),
)
CODE = [
    path
    for room in ("hub", "adapters", "deploy")
    for path in sorted((ROOT / room).rglob("*.py"))
    if not path.is_relative_to(ROOT / "hub" / "testing")  # what tests alone show
]


def said(path: Path) -> Iterator[str]:
    """The string literals of a module, and the docstrings of commands, which are their help."""
    source = path.read_text()
    tree = ast.parse(source)
    documented = {id(text) for text in _docstrings(tree, commands="typer" in source)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documented:
            yield node.value


def _docstrings(tree: ast.AST, *, commands: bool) -> Iterator[ast.Constant]:
    """Those that no user sees; a module without commands has no others."""
    for node in ast.walk(tree):
        if commands and isinstance(node, ast.FunctionDef) and re.search("Option|Argument", ast.unparse(node.args)):
            continue
        body = node.body if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) else []
        for inner in body:
            if isinstance(inner, ast.Expr) and isinstance(inner.value, ast.Constant):
                yield inner.value


def prose(text: str) -> str:
    """A page without its blocks of code, and of the changelog what is not released yet; codes in backticks are no words."""
    unreleased = re.sub(r"(?ms)(^## \[Unreleased\].*?)^## .*", r"\1", text)
    without = re.sub(r"(?ms)^```.*?^```", "", unreleased)
    return re.sub(r"`[^`\n]*`", "`", without)


def findings(path: Path, texts: Iterable[str]) -> list[str]:
    """Each bad word of a file, with the better one."""
    file = str(path.relative_to(ROOT))
    return [
        f'{file}: "{hit.group().strip()}" in "{" ".join(text[max(0, hit.start() - 40) : hit.end() + 30].split())}": {better}'
        for text in texts
        if _ANY.search(text)
        for pattern, better in BETTER.items()
        for hit in re.finditer(pattern, text)
        if (file, hit.group()) not in ALLOWED
    ]


@pytest.mark.thorough
def test_messages_and_help_are_in_plain_words() -> None:
    """String literals of the hub and of adapters."""
    assert [each for path in CODE for each in findings(path, said(path))] == []


@pytest.mark.parametrize("path", sorted((ROOT / "deploy").rglob("*.yaml")), ids=lambda path: path.name)
def test_examples_are_in_plain_words(path: Path) -> None:
    """Manifests that operators copy, with their comments."""
    assert findings(path, [path.read_text()]) == []


@pytest.mark.thorough
@pytest.mark.parametrize("path", PROSE, ids=lambda path: str(path.relative_to(ROOT)))
def test_docs_are_in_plain_words(path: Path) -> None:
    """Pages that operators and developers read."""
    assert findings(path, [prose(path.read_text())]) == []


@pytest.mark.parametrize(
    "text",
    ['"x" will not do', "it is no list", "the whole split is void", "whoever reaches it", "mend it", "held for ever"],
)
def test_a_bad_word_is_found(text: str) -> None:
    """With the better one."""
    assert len(findings(ROOT / "hub" / "x.py", [text])) == 1


@pytest.mark.parametrize(
    "text", ["there is no adapter", "it is no longer valid", "there are no changes", "amend, avoid it"]
)
def test_a_plain_word_is_not_found(text: str) -> None:
    """What merely looks like one."""
    assert findings(ROOT / "hub" / "x.py", [text]) == []
