"""What an adapter that governs routes alone is judged by: where calls to Services go, and nothing about who may call."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial

from msgspec.structs import replace

from hub.explain import ExplainedMesh
from hub.model import Answer, Document, ObjectRef, Reading, Request
from hub.testing.compare import NEAREST
from hub.testing.conditions import Without, answers_without
from hub.testing.conformance.subject import NOBODY
from hub.testing.search import Excusing, Explain


def judging(mesh: ExplainedMesh, explain: Explain) -> Explain:
    """The two readings of a request as this mesh is judged by them."""
    if not mesh.spec.routes_only:
        return explain

    def routed(request: Request) -> tuple[Answer, Mapping[str, Answer]]:
        smi, meshes = explain(request)
        if request.dst.service is None:
            return smi, dict.fromkeys(meshes, smi)
        return _of_smi(smi), {name: _of_mesh(answer) for name, answer in meshes.items()}

    return routed


def excusing(mesh: ExplainedMesh) -> Excusing:
    """What excuses a mesh that reports losses: SMI without those splits, or without all conditions of some."""
    lost = {loss for each in mesh.translations.values() for loss in each.losses if not loss.access}
    whole = [
        loss for loss in lost if loss.field != "spec.matches" and loss.code != NEAREST
    ]  # of the nearest shares no split is gone
    codes, splits = {loss.code for loss in whole}, {loss.origin for loss in whole}
    if not mesh.spec.routes_only:
        return partial(answers_without, of_whole_splits=codes, lost=splits)
    return partial(_routed_without, codes, splits)


def _routed_without(
    codes: Collection[str], splits: Collection[ObjectRef], documents: Sequence[Document], reading: Reading
) -> Without:
    without = answers_without(documents, reading, NOBODY, codes, splits)

    def answers(request: Request, losses: Collection[str]) -> Iterator[Answer]:
        return map(_of_smi, without(request, losses))

    return answers


def _of_smi(answer: Answer) -> Answer:
    """Nobody is governed, so whoever is reached receives."""
    return replace(answer, verdict="ungoverned", backends={}, by=())


def _of_mesh(answer: Answer) -> Answer:
    """It denies where nobody is behind any share; to allow is more than such a mesh can say."""
    served = set((answer.backends or {}).values()) - {"no-endpoint"}
    verdict = "ungoverned" if answer.verdict == "deny" and not served and not answer.losses else answer.verdict
    return replace(answer, verdict=verdict, backends={})
