"""What the author says: the feature table, requests judged by hand from the vendor's documents, a run on a real data plane."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from hub.errors import SmihubError
from hub.model import Answer, Facts, NativeObject, Request
from hub.semantics import Semantics
from hub.testing.close import row
from hub.testing.conformance.subject import AdapterUnderTest, JudgedRequest, PropertyCheck, PropertyFailure, bodies_of
from hub.testing.documents import Scope, compile_documents, translate_units
from hub.testing.kit import read_documents
from hub.testing.probes import faults
from hub.testing.random_requests import Hints
from hub.testing.worlds import documents_of, make_values

DECLARED, JUDGED, REAL_RUN = "features-are-declared", "judged-by-hand", "data-plane"
_LEAST_ROWS = 4
_HELP = "define a fixture smihub_requests that gives JudgedRequests"


def features(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    """Full, partial and never mean what they say: one probe for each feature."""
    for fault in faults(subject.spec):
        yield PropertyFailure(DECLARED, fault)


def judged(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    """Evaluate answers the author's own rows as the vendor's documents say."""
    words = {row.verdict for row in subject.judged}
    if len(subject.judged) < _LEAST_ROWS or not {"allow", "deny"} <= words:
        why = f"at least {_LEAST_ROWS} requests must be judged by hand, some allowed and some denied"
        yield PropertyFailure(JUDGED, f"{why}; there are {len(subject.judged)}: {_HELP}")
    for one in subject.judged:
        wrong = _wrong(subject, one)
        if wrong is not None:
            yield wrong


def _wrong(subject: AdapterUnderTest, one: JudgedRequest) -> PropertyFailure | None:
    if not one.source:
        return PropertyFailure(JUDGED, "a row does not name the vendor's document (source)", (), one.request)
    documents = read_documents(one.world) if one.world else ()
    facts = compile_documents(documents, Scope()).facts
    try:
        answer = subject.spec.evaluator(one.objects, facts).judge(one.request)
    except SmihubError as error:
        return PropertyFailure(JUDGED, f"evaluate raised {error!r}; {one.source} says {one.verdict}", (), one.request)
    if answer.verdict == one.verdict:
        return None
    why = f"evaluate says {answer.verdict}; {one.source} says {one.verdict}"
    values = tuple(each.value for each in documents)
    return PropertyFailure(JUDGED, why, values, one.request, Answer(one.verdict), answer, answer.by)  # type: ignore[arg-type] # as the author wrote


def data_plane(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    """Evaluate against a real data plane, where the author has one to run."""
    for number in range(subject.sizes.few // 10 if subject.data_plane else 0):
        rng = Random(f"{subject.sizes.seed}/real/{number}")
        values = make_values(rng)
        documents = documents_of(values)
        made = compile_documents(documents, Scope())
        objects = bodies_of(translate_units(made.units, subject.mesh))
        asked = [one.request for one in row(rng, Hints.of(values), Semantics(documents).judge, 20, 20)]
        judge = subject.spec.evaluator(objects, made.facts)
        for request, word in zip(asked, _real(subject, (objects, made.facts, asked)), strict=True):
            answer = judge.judge(request)
            if answer.verdict != word:
                why = f"evaluate says {answer.verdict}, the real data plane {word}"
                yield PropertyFailure(REAL_RUN, why, tuple(values), request, None, answer, answer.by)
                return


def _real(subject: AdapterUnderTest, job: tuple[list[NativeObject], Facts, list[Request]]) -> list[str]:
    assert subject.data_plane is not None
    return list(subject.data_plane(*job))


CHECKS = (
    PropertyCheck("features", {DECLARED: "the feature table says what the mesh does"}, features),
    PropertyCheck("judged", {JUDGED: "evaluate answers as the vendor's documents say"}, judged),
    PropertyCheck("data-plane", {REAL_RUN: "evaluate answers as a real data plane does"}, data_plane),
)
