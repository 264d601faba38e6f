"""Codes that people meet: docs/problems.md has all of them, and nothing else."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.features import Feature

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FORM = r"[a-z][a-z0-9-]*\.[a-z][a-z0-9-]*"
FIELDS = ("spec.", "metadata.")
NOT_CODES = {
    "problems.md",
    *("os.listdir", "os.scandir", "os.system"),  # audit events of Python
    "pytest.ini",
    *(
        "destination.port",
        "domain.name",
        "http.address",
        "sink.address",
        "sink.kind",
        "sink.path",
        "src.outside",
        "src.spiffe",
    ),  # fields
    *(
        "admin.sock",
        "argoproj.io",
        "chart.yaml",
        "credential.json",
        "denials.jsonl",
        "envoy.json",
        "hub.sqlite",
        "kustomization.yaml",
        "list.yaml",
        "kustomization.yml",
        "package.json",
        "record.sqlite",
        "smihub.yaml",
        "text.yaml",
        "world.yaml",
    ),  # files
    *("cluster.local", "d.web", "linkerd.io", "s.vc", "smi-spec.io", "smihub.io"),  # names
    *("smihub.http", "smihub.run"),  # loggers
    "smihub.denials",  # a key of Envoy's runtime
    "proto.udp",  # the beginning of a code
}
PATTERNS = {"name.ns"}  # how a name is built, in a page


def strings(tree: ast.AST) -> Iterator[str]:
    """Every string constant of a module, docstrings too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def literals(tree: ast.AST) -> set[str]:
    """The constants that have the form of a code and are no field of an object and no feature."""
    features = {feature.value for feature in Feature}
    shaped = {text for text in strings(tree) if re.fullmatch(FORM, text)}
    return {text for text in shaped if not text.startswith(FIELDS)} - features


def composed(tree: ast.AST, families: set[str]) -> list[str]:
    """Texts that are put together behind the beginning of a code (`"split." + ...`, `f"split.{...}"`)."""
    left = [node.values[0] for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) and node.values]
    left += [
        node.left for node in ast.walk(tree) if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod)
    ]
    texts = [node.value for node in left if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return [text for text in texts if text.partition(".")[0] in families and re.fullmatch(r"[a-z]+\.[a-z%-]*", text)]


def warned(tree: ast.AST) -> tuple[set[str], set[str]]:
    """The codes that are only a literal argument of a warning call, and those of a call that reports an error."""
    found: dict[bool, set[str]] = {True: set(), False: set()}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or not node.args:
            continue
        name, first = node.func.attr, node.args[0]
        if name in {"warn", "warning", "error", "refuse", "report"} and isinstance(first, ast.Constant):
            found[name.startswith("warn")].add(str(first.value))
    return found[True], found[False]


def rows(text: str) -> list[tuple[str, str, str, str]]:
    """Heading, code, meaning and remedy of each row that begins with a code."""
    found, heading = [], ""
    for line in text.splitlines():
        heading = line if line.startswith("## ") else heading
        row = re.fullmatch(rf"\| `({FORM})` \| (.+) \| (.+) \|", line)
        if row:
            found.append((heading, row[1], row[2], row[3]))
    return found


@pytest.fixture(scope="module")
def trees() -> dict[Path, ast.Module]:
    """Every module of the hub and the adapters, parsed."""
    files = [path for room in ("hub", "adapters") for path in sorted((ROOT / room).rglob("*.py"))]
    assert len(files) > 100
    return {path: ast.parse(path.read_text()) for path in files}


@pytest.fixture(scope="module")
def table() -> list[tuple[str, str, str, str]]:
    """The rows of docs/problems.md."""
    return rows((DOCS / "problems.md").read_text())


Trees = dict[Path, ast.Module]
Table = list[tuple[str, str, str, str]]


@pytest.mark.thorough
def test_every_code_in_the_source_is_documented(trees: Trees, table: Table) -> None:
    """What looks like a code has a row, or is named above as something else."""
    codes = set().union(*map(literals, trees.values())) - NOT_CODES
    assert len(codes) > 120
    assert codes - {code for _, code, _, _ in table} == set()


@pytest.mark.thorough
def test_every_documented_code_is_in_the_source(trees: Trees, table: Table) -> None:
    """No row outlives its code, and no exception what it excepts."""
    found = set().union(*map(literals, trees.values()))
    assert {code for _, code, _, _ in table} - (found - NOT_CODES) == set()
    assert NOT_CODES - found == set()


def test_every_row_of_a_code_is_read(table: Table) -> None:
    """A line that begins as a row of a code does has three cells, and one code stands once under a heading."""
    begun = re.findall(r"^\|\s*`.*", (DOCS / "problems.md").read_text(), re.MULTILINE)
    assert len(begun) == len(table)
    places = [(heading, code) for heading, code, _, _ in table]
    assert len(places) == len(set(places))


@pytest.mark.thorough
def test_no_code_is_put_together_from_parts(trees: Trees, table: Table) -> None:
    """Every code can be searched for: none comes about by adding texts."""
    families = {code.partition(".")[0] for _, code, _, _ in table}
    found = {path.name: parts for path, tree in trees.items() if (parts := composed(tree, families))}
    assert found == {}


@pytest.mark.thorough
def test_warnings_are_marked_in_the_table(trees: Trees, table: Table) -> None:
    """A code that only warnings report says so first, and one that only errors report does not mention it."""
    warnings, errors = (set().union(*found) for found in zip(*map(warned, trees.values()), strict=True))
    assert warnings - errors
    for _, code, meaning, _ in table:
        if code in warnings - errors:
            assert meaning.startswith("*warning*"), code
        if code in errors - warnings:
            assert "*warning*" not in meaning, code


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md")))
def test_codes_in_other_pages_are_in_the_table(page: str, table: Table) -> None:
    """A page that writes a code of one of our families writes one that exists."""
    codes = {code for _, code, _, _ in table}
    families = {code.partition(".")[0] for code in codes}
    written = set(re.findall(rf"`({FORM})`", (DOCS / page).read_text())) - NOT_CODES - PATTERNS - {*Feature}
    assert {text for text in written if text.partition(".")[0] in families} - codes == set()


def test_readers_see_a_code_that_hides() -> None:
    """The search finds codes in calls, tuples, conditions and constants, and codes that are composed."""
    tree = ast.parse('A, B = "split.a", "x"\nf("guard.b" if A else "guard.c")\ng(f"split.{A}")\nh("split." + B)')
    assert literals(tree) == {"split.a", "guard.b", "guard.c"}
    assert composed(tree, {"split"}) == ["split.", "split."]
