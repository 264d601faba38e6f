"""The case files themselves: complete, numbered, readable, and each with something that it denies."""

from __future__ import annotations

from pathlib import Path
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from hub.model import Answer, Document, Request
from hub.testing.counterexamples import Disagreement, shrink, to_yaml, write_found
from hub.testing.kit import load_case, load_cases, read_documents, wrong_answers, wrong_mesh_answers
from hub.testing.random_requests import Hints, any_request
from hub.testing.worlds import documents_of, make_values

CASES = load_cases()


def test_cases_are_numbered_without_a_gap() -> None:
    """Numbered from 1, one file each, the number first in the file's name; 60 is kept for the metrics API."""
    assert [case.number for case in CASES] == [number for number in range(1, len(CASES) + 2) if number != 60]
    assert all(case.name.startswith(f"{case.number:02d}-") for case in CASES)


def test_cases_hold_enough_requests_of_both_kinds() -> None:
    """Every access case denies something, and no case is without a request."""
    for case in CASES:
        words = [check.expect["verdict"] for stage in case.stages for check in stage.checks]
        assert len(words) >= 3, case.name
        assert "deny" in words or case.number in {46, 47, 50, 51, 52, 53, 54, 55, 58, 77}, case.name


def test_cases_use_every_version_of_every_group() -> None:
    """Mixed versions are normal, so the cases hold all of them."""
    seen = {
        value["apiVersion"]
        for case in CASES
        for stage in case.stages
        for document in stage.documents
        if isinstance(value := document.value, dict)
    }
    wanted = {f"{group}.smi-spec.io/v1alpha{n}" for group in ("access", "specs", "split") for n in (1, 2, 3, 4)}
    assert wanted <= seen


def test_checks_notice_a_wrong_answer_when_there_is_one() -> None:
    """A judge that denies everything, or allows everything, fails nearly every case."""
    for verdict in ("allow", "deny"):

        def judge(request: Request, verdict: str = verdict) -> Answer:
            return Answer(verdict)  # type: ignore[arg-type] # a loop over two literals

        failing = [case for case in CASES if any(wrong_answers(stage, judge) for stage in case.stages)]
        on_meshes = [case for case in CASES if any(wrong_mesh_answers(stage, judge, judge) for stage in case.stages)]
        assert len(failing) >= 45
        assert len(on_meshes) >= 45


@given(st.integers(min_value=0, max_value=2**32))
def test_to_yaml_is_read_back_equal_when_values_are_hostile(seed: int) -> None:
    """Whatever world was found, its case file holds the same world."""
    values = [value for value in make_values(Random(seed)) if value is not None]
    read = read_documents(to_yaml(values))
    assert [one.value for one in read] == [one.value for one in documents_of(values)]


def test_shrink_keeps_only_what_the_failure_needs(tmp_path: Path) -> None:
    """The case file that is written is small and can be loaded."""
    rng = Random(7)
    values = [*make_values(rng), {"kind": "Marker", "spec": {"a": [1, {"deep": "x"}], "b": 2}}]
    request = any_request(rng, Hints.of(values))

    small = shrink(values, lambda kept: "'deep'" in str(kept))
    assert small == [{"kind": "Marker", "spec": {"a": [{"deep": "x"}]}}]
    case = load_case(write_found(Disagreement(tuple(small), request, "it fails"), tmp_path))
    assert [one.value for one in case.stages[0].documents] == small
    assert isinstance(case.stages[0].documents[0], Document)
