"""Every mutant is caught: the cases and the random worlds notice each dangerous change of mutants.yaml."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

_SPEC = importlib.util.spec_from_file_location("mutants_run", Path(__file__).with_name("run.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
run = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(run)


def test_every_mutant_fits_the_source() -> None:
    """At least 20, each with a name of its own, and each still finds its place exactly once."""
    mutants = run.load_mutants()
    assert len({mutant.name for mutant in mutants}) == len(mutants) >= 20
    for mutant in mutants:
        compile(run.mutated(mutant), mutant.file, "exec")


@pytest.mark.slow
def test_every_mutant_is_caught() -> None:
    """The runner finds the tree itself sound, and no mutant survives."""
    assert run.main([]) == 0
