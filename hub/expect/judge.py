"""Holds expectations against the answers of SMI and of every mesh. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from hub.expect.read import Expectation, Expected
from hub.explain import Explainer
from hub.model import Answer, NearMiss

SMI = "SMI"


class Failure(Struct, frozen=True):
    """Who answers otherwise than expected (SMI, or a mesh, of a cluster), what, and why.

    `near` is what nearly grants a request that SMI denies, `reasons` why a mesh does something else than SMI.
    """

    who: str
    cluster: str
    expected: Expected
    answer: Answer
    near: tuple[NearMiss, ...] = ()
    reasons: tuple[str, ...] = ()


class Tested(Struct, frozen=True):
    """An expectation, and who does not answer as it says; nobody: it holds."""

    expectation: Expectation
    failures: tuple[Failure, ...]


def judge(expectation: Expectation, explainers: Mapping[str, Explainer]) -> Tested:
    """Hold one expectation against every cluster that is meant; of several those that have the Service, if any has."""
    clusters = {expectation.cluster: explainers[expectation.cluster]} if expectation.cluster else explainers
    answers = {name: explainer.explain(expectation.request) for name, explainer in clusters.items()}
    having = {name: answer for name, answer in answers.items() if answer[0].route != "no-service"} or answers
    failures = (
        failure for name, (smi, meshes) in having.items() for failure in _failures(expectation, name, smi, meshes)
    )
    return Tested(expectation, tuple(_explained(expectation, each, explainers[each.cluster]) for each in failures))


def _failures(expectation: Expectation, cluster: str, smi: Answer, meshes: Mapping[str, Answer]) -> Iterator[Failure]:
    if not _holds(expectation.expected, smi):
        yield Failure(SMI, cluster, expectation.expected, smi)
    governing = {name for name, answer in meshes.items() if answer.verdict != "ungoverned"}
    for name, answer in meshes.items():
        own = expectation.meshes.get(name)
        if own is None and name not in governing and (governing or expectation.expected.verdict == "allow"):
            continue  # another mesh has the say, or none, and whoever reaches it gets in
        if not _holds(expected := own or expectation.expected, answer):
            yield Failure(name, cluster, expected, answer)


def _holds(expected: Expected, answer: Answer) -> bool:
    if expected.verdict != answer.verdict:
        return False
    return expected.shares is None or expected.shares == _shares(answer)


def _shares(answer: Answer) -> dict[str, str]:
    return {name: share for name, share in (answer.weights or {}).items() if share != "0"}


def _explained(expectation: Expectation, failure: Failure, explainer: Explainer) -> Failure:
    """The same failure with its reasons, which cost more than an answer."""
    request, answer = expectation.request, failure.answer
    if failure.who == SMI:
        near = explainer.near(request) if answer.verdict in {"deny", "mixed"} else ()
        return Failure(SMI, failure.cluster, failure.expected, answer, near)
    reasons = tuple(explainer.reasons(failure.who, request, answer)) if answer.losses else ()
    return Failure(failure.who, failure.cluster, failure.expected, answer, (), reasons)
