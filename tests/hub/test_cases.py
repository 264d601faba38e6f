"""The case files against the reference reading, and against the whole way to each mesh's native objects and back."""

from __future__ import annotations

import pytest

from hub.semantics import Semantics
from hub.testing.conditions import answers_without
from hub.testing.documents import Scope, SinklessMesh, explainer_of
from hub.testing.kit import FOUND, Case, load_cases, missing_problems, wrong_answers, wrong_mesh_answers
from hub.testing.search import find_in
from tests.servers.readings import MESHES, compiling

CASES = load_cases()
FOUND_CASES = load_cases(FOUND)
ASKED = [
    pytest.param(mesh, id=mesh.name, marks=() if mesh is MESHES[0] else pytest.mark.thorough) for mesh in MESHES[:2]
]
"""Those that carry out every case; of those that say of some that they do not, the conformance kit asks whatever they do not say."""


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_semantics_answers_every_case(case: Case) -> None:
    """The reference reading gives the verdicts, shares and deciding objects of the case."""
    wrong = [
        f"{stage.title}: {line}"
        for stage in case.stages
        for line in wrong_answers(stage, Semantics(stage.documents, reading=case.reading).judge)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("mesh", ASKED)
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_every_mesh_answers_every_case(case: Case, mesh: SinklessMesh) -> None:
    """Intent, translation and the meaning of the native objects give the same."""
    wrong: list[str] = []
    for stage in case.stages:
        explainer = explainer_of(stage.documents, (mesh,), Scope(reading=case.reading))
        said = wrong_mesh_answers(
            stage,
            lambda request, by=explainer: by.explain(request)[1][mesh.name],  # type: ignore[misc]
            lambda request, by=explainer: by.explain(request)[0],  # type: ignore[misc]
        )
        wrong.extend(f"{stage.title}: {line}" for line in said)
        wrong.extend(f"{stage.title}: {line}" for line in missing_problems(stage, explainer.compiled.problems))
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("case", FOUND_CASES, ids=[case.name for case in FOUND_CASES])
def test_readings_agree_on_what_was_found_before(case: Case) -> None:
    """Every disagreement that random search ever found stays settled."""
    wrong: list[object] = []
    for stage in case.stages:
        explain = compiling(stage.documents, case.reading)
        without = answers_without(stage.documents, case.reading)
        wrong.extend(find_in(explain, [check.request for check in stage.checks], without))
        wrong.extend(wrong_answers(stage, lambda request, by=explain: by(request)[0]))  # type: ignore[misc]
    assert not wrong, "\n".join(str(line) for line in wrong)
