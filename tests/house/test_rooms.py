"""Import rules of adapters, each of which has the same packages (the others: lint-imports)."""

from __future__ import annotations

import ast
import copy
from pathlib import Path

import grimp
import pytest

import hub.api

ROOT = Path(__file__).parents[2]
IMPURE = {
    "asyncio", "cryptography", "grpc", "h2", "httpx", "kubernetes", "logging", "multiprocessing", "os", "random",
    "secrets", "socket", "sqlite3", "ssl", "structlog", "subprocess", "tempfile", "tenacity", "threading", "time", "urllib",
}  # fmt: skip


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    """Who imports whom, libraries too."""
    return grimp.build_graph("hub", "adapters", include_external_packages=True, cache_dir=None)


def modules(graph: grimp.ImportGraph, package: str) -> list[str]:
    """The modules of every adapter's package of this name."""
    return sorted(m for m in graph.modules if m.startswith("adapters.") and m.split(".")[2:3] == [package])


def reaches(graph: grimp.ImportGraph, module: str, target: str) -> bool:
    """Whether a module imports another, itself or through others."""
    return target in graph.modules and graph.chain_exists(module, target)


@pytest.mark.thorough
def test_evaluation_shares_nothing_with_translation(graph: grimp.ImportGraph) -> None:
    """What native objects mean is not read off the code that wrote them."""
    sources = modules(graph, "evaluate")
    targets = [*modules(graph, "translate"), "hub.intent", "hub.regex", "hub.rbac", "hub.weights", "hub.smi"]
    without_api = copy.deepcopy(graph)
    for imported in graph.find_modules_directly_imported_by("hub.api"):
        without_api.remove_import(importer="hub.api", imported=imported)
    assert sources
    assert [(s, t) for s in sources for t in targets if reaches(without_api, s, t)] == []


@pytest.mark.thorough
def test_evaluation_takes_only_words_and_errors_from_the_api() -> None:
    """`hub.api` also hands out tools of translation (weights); evaluation has its own arithmetic."""
    words = (
        "hub.spec",
        "hub.manifest",
        "hub.judging",
        "hub.envoy",
        "hub.model",
        "hub.errors",
        "hub.features",
        "collections.abc",
        "typing",
        "types",
    )
    found = [
        (path.name, alias.name)
        for path in sorted((ROOT / "adapters").glob("*/evaluate/*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module == "hub.api"
        for alias in node.names
        if not _is_word(getattr(getattr(hub.api, alias.name), "__module__", "typing"), words)
    ]
    assert found == []


def _is_word(module: str, words: tuple[str, ...]) -> bool:
    return any(module == word or module.startswith(f"{word}.") for word in words)


@pytest.mark.thorough
@pytest.mark.parametrize("package", ["translate", "evaluate", "safety"])
def test_pure_packages_of_adapters_stay_pure(graph: grimp.ImportGraph, package: str) -> None:
    """No clock, network, environment or client library, not even through a module of ours (a path is a value)."""
    found = [(s, t) for s in modules(graph, package) for t in sorted(IMPURE) if reaches(graph, s, t)]
    assert found == []
