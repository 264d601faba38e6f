"""What the author says: the feature table, requests judged by hand from the vendor's documents, a run on a real data plane."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from random import Random
from typing import Any

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
    for fault in faults(subject.spec, subject.settings):
        yield PropertyFailure(DECLARED, fault)


def judged(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    """Evaluate answers the author's own rows as the vendor's documents say."""
    if len(subject.judged) < _LEAST_ROWS or not _tell_apart(subject):
        what = "with different weights" if subject.spec.routes_only else "some allowed and some denied"
        why = f"at least {_LEAST_ROWS} requests must be judged by hand, {what}"
        yield PropertyFailure(JUDGED, f"{why}; there are {len(subject.judged)}: {_HELP}")
    for one in subject.judged:
        wrong = _wrong(subject, one)
        if wrong is not None:
            yield wrong


def _tell_apart(subject: AdapterUnderTest) -> bool:
    """Whether an evaluator that answers all rows alike is found out."""
    if subject.spec.routes_only:
        shares = [row.weights for row in subject.judged if row.weights is not None]
        return len(shares) >= _LEAST_ROWS and any(one != shares[0] for one in shares)
    return {"allow", "deny"} <= {row.verdict for row in subject.judged}


def _wrong(subject: AdapterUnderTest, one: JudgedRequest) -> PropertyFailure | None:
    """What is wrong with a row, with its objects as they are written and the other way round: a mesh has no order of them."""
    if not one.source:
        return PropertyFailure(JUDGED, "a row does not name the vendor's document (source)", (), one.request)
    documents = read_documents(one.world) if one.world else ()
    facts = compile_documents(documents, Scope()).facts
    for objects, order in ((one.objects, ""), (one.objects[::-1], " with the objects in another order")):
        try:
            answer = subject.spec.evaluator(objects, facts).judge(one.request)
        except SmihubError as error:
            why = f"evaluate raised {error!r}{order}; {one.source} says {one.verdict}"
            return PropertyFailure(JUDGED, why, (), one.request)
        if answer.verdict != one.verdict or one.weights not in (None, answer.weights):
            shares = (None, None) if one.weights is None else (answer.weights, one.weights)
            why = f"evaluate says {_told(answer.verdict, shares[0])}{order}; {one.source} says {_told(one.verdict, shares[1])}"
            values = tuple(each.value for each in documents)
            return PropertyFailure(JUDGED, why, values, one.request, Answer(one.verdict), answer, answer.by)  # type: ignore[arg-type] # as the author wrote
    return None


def _told(verdict: str, weights: Mapping[str, str] | None) -> str:
    return verdict if weights is None else f"{verdict} with weights {dict(weights)}"


def data_plane(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    """A real data plane, where the author has one to run, answers as the judged rows say, and as evaluate says of random worlds."""
    asked: Counter[str] = Counter()
    for values, objects, facts, expected in _expected(subject) if subject.data_plane else ():
        requests = [request for request, _ in expected]
        for (request, answer), word in zip(expected, _real(subject, objects, facts, requests), strict=True):
            asked[word] += 1
            if word not in {"", answer.verdict}:
                why = f"expected {answer.verdict}, and the real data plane says {word}"
                yield PropertyFailure(REAL_RUN, why, tuple(values), request, None, answer, answer.by)
                return
    told = set(asked) - {""}
    if subject.data_plane and not (told if subject.spec.routes_only else {"allow", "deny"} <= told):
        yield PropertyFailure(
            REAL_RUN, f"the real data plane allowed {asked['allow']} and denied {asked['deny']} requests"
        )


_Expected = tuple[Sequence[Any], Sequence[NativeObject], Facts, list[tuple[Request, Answer]]]


def _expected(subject: AdapterUnderTest) -> Iterator[_Expected]:
    """Worlds, objects, facts, and requests with the answer that is right: those judged by hand first, then random ones."""
    for (objects, world), rows in groupby(subject.judged, lambda row: (row.objects, row.world)):
        documents = read_documents(world) if world else ()
        values = [one.value for one in documents]
        judged = [(row.request, Answer(row.verdict)) for row in rows]  # type: ignore[arg-type] # as the author wrote
        yield values, objects, compile_documents(documents, Scope()).facts, judged
    for number in range(max(subject.sizes.few // 10, 1)):
        rng = Random(f"{subject.sizes.seed}/real/{number}")
        values = make_values(rng)
        documents = documents_of(values)
        made = compile_documents(documents, Scope())
        natives = bodies_of(translate_units(made.units, subject.mesh))
        judge = subject.spec.evaluator(natives, made.facts).judge
        asked = [one.request for one in row(rng, Hints.of(values), Semantics(documents).judge, 40, 40)]
        yield values, natives, made.facts, [(request, judge(request)) for request in asked]


def _real(
    subject: AdapterUnderTest, objects: Sequence[NativeObject], facts: Facts, requests: Sequence[Request]
) -> list[str]:
    assert subject.data_plane is not None
    return list(subject.data_plane(objects, facts, requests))


CHECKS = (
    PropertyCheck("features", {DECLARED: "the feature table says what the mesh does"}, features),
    PropertyCheck("judged", {JUDGED: "evaluate answers as the vendor's documents say"}, judged),
    PropertyCheck(
        "data-plane",
        {REAL_RUN: "a real data plane, if there is one, answers as the judged rows and evaluate do"},
        data_plane,
    ),
)
