"""The case files against the reference reading, and against the whole way to each mesh's native objects and back."""

from __future__ import annotations

import pytest

from hub.semantics import Semantics
from hub.testing.conditions import answers_without
from hub.testing.documents import Scope, SinklessMesh, explainer_of
from hub.testing.kit import FOUND, Case, load_cases, missing_problems, wrong_answers, wrong_mesh_answers
from hub.testing.search import find_in
from tests.servers.readings import CONSUL, MESHES, compiling

CASES = load_cases()
FOUND_CASES = load_cases(FOUND)
LOST = {
    "linkerd": ("port.unexposed", "linkerd.raw-not-split"),
    "consul": (
        "consul.account",
        "consul.labelled-destination",
        "consul.no-service",
        "consul.several-ports",
        "consul.split-not-http",
    ),
}
"""What a mesh says where it answers otherwise than a case: Linkerd has no proxies for Workloads outside of Pods, and shares out no
bytes of a port whose requests a split shares out under conditions; to Consul an account is a service with one port, and the Service
of its name, and it shares out HTTP alone."""
ASKED = [
    pytest.param(mesh, id=mesh.name, marks=() if mesh is MESHES[0] else pytest.mark.thorough)
    for mesh in (*MESHES, CONSUL)
]


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
    """Intent, translation and the meaning of the native objects give the same, but for the losses that a case names."""
    wrong: list[str] = []
    for stage in case.stages:
        explainer = explainer_of(stage.documents, (mesh,), Scope(reading=case.reading))
        said = wrong_mesh_answers(
            stage,
            lambda request, by=explainer: by.explain(request)[1][mesh.name],  # type: ignore[misc]
            lambda request, by=explainer: by.explain(request)[0],  # type: ignore[misc]
        )
        said = tuple(line for line in said if not _is_lost(line, LOST.get(mesh.name, ())))
        wrong.extend(f"{stage.title}: {line}" for line in said)
        wrong.extend(f"{stage.title}: {line}" for line in missing_problems(stage, explainer.problems))
    assert not wrong, "\n".join(wrong)


def _is_lost(line: str, codes: tuple[str, ...]) -> bool:
    """Whether one of these losses is given for a difference; of whom a call is let in to, only where a split is lost."""
    if "verdict is 'allow'" in line and "'dst': {'service'" not in line:
        return False
    return any(repr(code) in line.rpartition("; losses ")[2] for code in codes)


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
