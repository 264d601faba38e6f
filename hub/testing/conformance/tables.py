"""What the author says: the feature table, requests judged by hand from the vendor's documents, a run on a real data plane."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import groupby, islice
from random import Random

from msgspec.structs import replace

from hub.errors import SmihubError
from hub.model import Answer
from hub.semantics import Semantics
from hub.testing.close import row
from hub.testing.conformance.smallest import Trial, first_failures, smallest
from hub.testing.conformance.subject import (
    AdapterUnderTest,
    JudgedRequest,
    PropertyCheck,
    PropertyFailure,
    bodies_of,
    misjudged,
)
from hub.testing.counterexamples import Budget
from hub.testing.documents import Scope, compile_documents, translate_units
from hub.testing.kit import read_documents
from hub.testing.probes import FalseClaim, faults, try_probe
from hub.testing.random_requests import Hints
from hub.testing.worlds import documents_of, make_values

DECLARED, JUDGED, REAL_RUN = "features-are-declared", "judged-by-hand", "data-plane"
_LEAST_ROWS = 4
_RUNS = 20
"""Runs of a real data plane that are spent on making a world small."""
_HELP = "define a fixture smihub_requests that gives JudgedRequests"


def features(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    """Full, partial and never mean what they say: one probe for each feature."""
    budget = Budget()
    for fault in faults(subject.spec, subject.settings):
        trial = Trial(fault.world, requests=(fault.probe.request,), about=fault)
        failure = next(_undeclared(subject, trial), PropertyFailure(DECLARED, fault.why))
        yield smallest(subject, trial, failure, _undeclared, budget) if failure.request else failure


def _undeclared(subject: AdapterUnderTest, trial: Trial) -> Iterator[PropertyFailure]:
    """The same fault in this world, if its feature is asked for there."""
    fault: FalseClaim = trial.about
    for request in trial.requests if fault.world else ():
        probe = replace(fault.probe, request=request)
        first, tried = (try_probe(subject.mesh, probe, values) for values in (fault.world, trial.world))
        if fault.wrong(tried) and first.features & {probe.feature} <= tried.features:
            answers = {"smi": tried.smi, "mesh": tried.mesh}
            yield replace(misjudged(DECLARED, fault.why, request, answers), world=trial.world)


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
    """What is wrong with a row, with its objects as they are written and the other way round: a mesh has no order of them.

    Its world stays as a person judged it.
    """
    values = tuple(each.value for each in (read_documents(one.world) if one.world else ()))
    facts, answers = compile_documents(documents_of(values), Scope()).facts, {"the row": _row_answer(one)}
    refs = [native.ref for native in one.objects]
    if not one.source:
        why = "a row does not name the vendor's document (source)"
        return replace(misjudged(JUDGED, why, one.request, answers, refs), world=values)
    for objects, order in ((one.objects, ""), (one.objects[::-1], " with the objects in another order")):
        try:
            answer = subject.spec.evaluator(objects, facts).judge(one.request)
        except SmihubError as error:
            why = f"evaluate raised {error!r}{order}; {one.source} says {one.verdict}"
            return replace(misjudged(JUDGED, why, one.request, answers, refs), world=values)
        if answer.verdict != one.verdict or one.weights not in (None, answer.weights):
            shares = (None, None) if one.weights is None else (answer.weights, one.weights)
            why = f"evaluate says {_told(answer.verdict, shares[0])}{order}; {one.source} says {_told(one.verdict, shares[1])}"
            return replace(misjudged(JUDGED, why, one.request, {**answers, "mesh": answer}, refs), world=values)
    return None


def _row_answer(one: JudgedRequest) -> Answer:
    return Answer(one.verdict, weights=one.weights)  # type: ignore[arg-type] # as the author wrote


def _told(verdict: str, weights: Mapping[str, str] | None) -> str:
    return verdict if weights is None else f"{verdict} with weights {dict(weights)}"


def data_plane(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    """A real data plane, where the author has one to run, answers as the judged rows say, and as evaluate says of random worlds."""
    if subject.data_plane:
        words: Counter[str] = Counter()
        look = partial(_run_differs, words=words)
        failures = list(islice(first_failures(subject, _runs(subject), look, _again, Budget(attempts=_RUNS)), 1))
        yield from failures
        told = set(words) - {""}
        if not failures and not (told if subject.spec.routes_only else {"allow", "deny"} <= told):
            why = f"the real data plane allowed {words['allow']} and denied {words['deny']} requests"
            yield PropertyFailure(REAL_RUN, why)


def _runs(subject: AdapterUnderTest) -> Iterator[Trial]:
    """Worlds: those judged by hand first, then random ones."""
    for (objects, world), rows in groupby(subject.judged, lambda row: (row.objects, row.world)):
        values = tuple(one.value for one in (read_documents(world) if world else ()))
        judged = list(rows)
        answers = [Answer(row.verdict) for row in judged]  # type: ignore[arg-type] # as the author wrote
        yield Trial(values, requests=tuple(row.request for row in judged), about=(objects, answers))
    for number in range(max(subject.sizes.few // 10, 1)):
        dice = Random(f"{subject.sizes.seed}/real/{number}")
        yield Trial(tuple(make_values(dice)), dice=dice)


def _again(subject: AdapterUnderTest, trial: Trial) -> Iterator[PropertyFailure]:
    """The same in a smaller world; what a person judged stays as it is."""
    if trial.about is None:
        yield from _run_differs(subject, trial)


def _run_differs(
    subject: AdapterUnderTest, trial: Trial, words: Counter[str] | None = None
) -> Iterator[PropertyFailure]:
    """The requests that a real data plane answers otherwise than it should."""
    assert subject.data_plane is not None
    documents = documents_of(trial.world)
    made = compile_documents(documents, Scope())
    objects, answers = trial.about or (bodies_of(translate_units(made.units, subject.mesh)), None)
    dice = row(trial.dice, Hints.of(trial.world), Semantics(documents).judge, 40, 40)
    requests = trial.requests or tuple(one.request for one in dice)
    if answers is None:
        judge = subject.spec.evaluator(objects, made.facts).judge
        answers = [judge(request) for request in requests]
    said = list(subject.data_plane(objects, made.facts, requests))
    for request, answer, word in zip(requests, answers, said, strict=True):
        if words is not None:
            words[word] += 1
        if word not in {"", answer.verdict}:
            why = f"expected {answer.verdict}, and the real data plane says {word}"
            told = {"the row" if trial.about else "mesh": answer, "real data plane": Answer(word)}  # type: ignore[arg-type] # its word
            yield misjudged(REAL_RUN, why, request, told, [native.ref for native in objects])


CHECKS = (
    PropertyCheck("features", {DECLARED: "the feature table says what the mesh does"}, features),
    PropertyCheck("judged", {JUDGED: "evaluate answers as the vendor's documents say"}, judged),
    PropertyCheck(
        "data-plane",
        {REAL_RUN: "a real data plane, if there is one, answers as the judged rows and evaluate do"},
        data_plane,
    ),
)
