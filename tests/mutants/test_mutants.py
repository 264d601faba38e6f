"""Every mutant is caught: the cases and the conformance kit notice each dangerous change of the lists."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

_SPEC = importlib.util.spec_from_file_location("mutants_run", Path(__file__).with_name("run.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
run = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(run)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "least"),
    [
        *[("mutants.yaml", 20), ("istio.yaml", 20), ("regex.yaml", 10), ("reconciler.yaml", 25), ("elsewhere.yaml", 3)],
        *[("sources.yaml", 5), ("schedules.yaml", 12), ("linkerd.yaml", 20), ("consul.yaml", 20)],
    ],
)
def test_every_mutant_fits_the_source(name: str, least: int) -> None:
    """Enough of them, each with a name of its own, and each still finds its place exactly once."""
    mutants = run.load_mutants(Path(__file__).with_name(name))
    assert len({mutant.name for mutant in mutants}) == len(mutants) >= least
    for mutant in mutants:
        text = run.mutated(mutant)
        if mutant.file.endswith(".py"):
            compile(text, mutant.file, "exec")
        assert all((run.ROOT / test.partition("::")[0]).exists() for test in mutant.tests)


@pytest.mark.slow
def test_every_mutant_is_caught() -> None:
    """The runner finds the tree itself sound, and no mutant survives."""
    assert run.main([]) == 0


@pytest.mark.slow
def test_every_mutant_of_the_istio_translation_is_caught() -> None:
    """The same cases and the kit notice each of them."""
    assert run.main(["--list", "istio.yaml"]) == 0


@pytest.mark.slow
def test_every_mutant_of_the_regex_engine_is_caught() -> None:
    """The engine's own tests notice each of them."""
    assert run.main(["--list", "regex.yaml", "--suite", "regex"]) == 0


@pytest.mark.slow
def test_every_mutant_of_the_consul_adapter_is_caught() -> None:
    """Those tests that each one names notice it."""
    assert run.main(["--list", "consul.yaml"]) == 0


@pytest.mark.slow
def test_every_mutant_of_anything_else_is_caught() -> None:
    """Those tests that each one names notice it."""
    assert run.main(["--list", "elsewhere.yaml"]) == 0


@pytest.mark.slow
def test_every_mutant_of_the_reconciler_is_caught() -> None:
    """Those tests that each one names notice it."""
    assert run.main(["--list", "reconciler.yaml"]) == 0


@pytest.mark.slow
def test_every_mutant_of_the_schedules_is_caught() -> None:
    """Schedules of what happens to meshes and source notice each of them."""
    assert run.main(["--list", "schedules.yaml"]) == 0


@pytest.mark.slow
def test_every_mutant_of_the_sources_is_caught() -> None:
    """Those tests that each one names notice it."""
    assert run.main(["--list", "sources.yaml"]) == 0


@pytest.mark.slow
def test_every_mutant_of_the_linkerd_adapter_is_caught() -> None:
    """Those tests that each one names notice it."""
    assert run.main(["--list", "linkerd.yaml"]) == 0
