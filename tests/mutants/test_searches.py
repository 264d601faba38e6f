"""Random search finds what attackers found: with its fix taken out each is found again, within the sizes of make proof."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

_SPEC = importlib.util.spec_from_file_location("mutants_run", Path(__file__).with_name("run.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
run = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(run)

EVENTS = "tests/hub/reconcile/test_events.py::test_nobody_is_served_whom_smi_denied_before_and_after"
WORLDS = "tests/hub/test_never_wider.py::test_searches_meet_the_whole_grammar"
WIRE = "tests/e2e/test_events_on_envoys.py::test_nobody_is_served_on_real_envoys_whom_smi_denied_before_and_after"
TIMES = {EVENTS: 20, WORLDS: 58, WIRE: 20}
"""How many times the fixed search is taken: 2 000 steps, about a million requests for each mesh, 200 steps on Envoys."""
SEARCHES = (
    ("plan-gains-do-not-wait-for-what-is-unread", EVENTS),
    ("store-recalled-objects-have-no-copies", EVENTS),
    ("vm-mark-that-comes-back", EVENTS),
    ("vm-one-name-for-every-certificate", EVENTS),
    ("doubt-broken-service-declares-nothing", WORLDS),
    ("vm-folded-negations-pass-for-exact", WORLDS),
    ("vm-paths-beyond-ascii-are-judged", WORLDS),
    ("vm-blanks-of-joined-lines-count", WORLDS),
    ("intent-variant-of-8-bits", WORLDS),
    ("vm-mark-that-comes-back", WIRE),
    ("vm-one-name-for-every-certificate", WIRE),
)
"""A mutant, and the search that must find it."""


@pytest.mark.thorough
def test_every_search_has_its_mutant() -> None:
    """Each is in a list, once."""
    assert {name for name, _ in SEARCHES} <= set(_mutants())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "search"), SEARCHES, ids=[f"{name}-{search.partition('.py')[0]}" for name, search in SEARCHES]
)
def test_search_finds_the_mutant(name: str, search: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search fails on the copy with this change in it."""
    monkeypatch.setenv("SMIHUB_SEARCH", str(TIMES[search]))
    code, said = run.judge(_mutants()[name], [search])
    assert code == 1, said


def _mutants() -> dict[str, Any]:
    lists = (run.load_mutants(path) for path in sorted(Path(__file__).parent.glob("*.yaml")))
    return {mutant.name: mutant for mutants in lists for mutant in mutants}
