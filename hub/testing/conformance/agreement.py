"""The adapter against SMI: every case, and random worlds with requests close to their boundaries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from itertools import chain, islice
from random import Random
from typing import Any

from msgspec.structs import replace

from hub.api import Narrowing
from hub.explain import ExplainedMesh, Explainer
from hub.model import Answer, Document, Facts, Loss, ObjectRef, Reading, Request, Translation, UnitKey
from hub.semantics import Semantics
from hub.testing.close import row
from hub.testing.compare import disagreement
from hub.testing.conditions import Without
from hub.testing.conformance.many import MANY, many_worlds
from hub.testing.conformance.patterned import pattern_worlds
from hub.testing.conformance.routed import excusing, judging
from hub.testing.conformance.smallest import RAISES, Trial, first_failure, first_failures
from hub.testing.conformance.split_worlds import make_split_values
from hub.testing.conformance.subject import AdapterUnderTest, PropertyCheck, PropertyFailure, bodies_of, misjudged
from hub.testing.counterexamples import Budget
from hub.testing.documents import Scope
from hub.testing.kit import CASES, FOUND, Case, Stage, load_cases, wrong_mesh_answers
from hub.testing.random_requests import Hints
from hub.testing.search import Excusing, Explain, find_in
from hub.testing.worlds import documents_of, make_values

WIDER, SHARES, EXACT = "never-wider", "exact-shares", "exact"
REAL, NAMED, DENIES = "loss-is-real", "loss-is-declared", "default-deny"
_WORDS = {"wider": WIDER, "misrouted": SHARES, "unequal without a loss": EXACT}
_LENIENT = Reading(path_regex="prefix", root_backend="endpoints")
_AFTER_FIRST = 200
"""Worlds that are still judged after the first failure, since a worse one may come."""
_OFTEN = 12
"""A loss that was reported in so many worlds, and never denied anything, is none."""


# ------------------------------------------------------------------------------------------------------------- cases


def cases(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    """Every case file, those that searches found too; a mesh may deny where a case names one of its losses."""
    budget = Budget()
    for case in (*load_cases(CASES), *load_cases(FOUND)):
        trials = (
            Trial(tuple(one.value for one in stage.documents), scope=Scope(reading=case.reading), about=(case, stage))
            for stage in case.stages
        )
        yield from islice(first_failures(subject, trials, _wrong_in, _again_in_case, budget), 1)


def _wrong_in(subject: AdapterUnderTest, trial: Trial) -> Iterator[PropertyFailure]:
    wrong = _misrouted_in_stage if subject.spec.routes_only else _wrong_in_stage
    case, stage = trial.about
    explainer, mesh = subject.explained(stage.documents, trial.scope)
    for request, said in wrong(stage, case, explainer, mesh):
        smi, meshes = explainer.explain(request)
        why = f"case {case.name}, {stage.title}: {said}"
        yield misjudged("cases", why, request, {"smi": smi, "mesh": meshes[mesh.name]})


def _again_in_case(subject: AdapterUnderTest, trial: Trial) -> Iterator[PropertyFailure]:
    """Of a smaller world no case says what is right; SMI does."""
    case, stage = trial.about
    for failure in _disagreeing(subject, trial):
        yield replace(failure, property="cases", why=f"case {case.name}, {stage.title}: {failure.why}")


def _wrong_in_stage(
    stage: Stage, case: Case, explainer: Explainer, mesh: ExplainedMesh
) -> Iterator[tuple[Request, str]]:
    def judge(request: Request) -> Answer:
        return explainer.explain(request)[1][mesh.name]

    def smi(request: Request) -> Answer:
        return explainer.explain(request)[0]

    without = excusing(mesh)(stage.documents, case.reading)
    lost = any(not loss.access for each in mesh.translations.values() for loss in each.losses)
    for check in stage.checks:
        found = _denied_for_a_reason(explainer, mesh, check.request) or (
            lost and _split_is_lost(judge, without, check.request)
        )
        if not found and (said := wrong_mesh_answers(replace(stage, checks=(check,)), judge, smi)):
            yield check.request, said[0]


def _misrouted_in_stage(
    stage: Stage, case: Case, explainer: Explainer, mesh: ExplainedMesh
) -> Iterator[tuple[Request, str]]:
    """A mesh of routes alone is held against SMI's routes: the verdicts of a case are of meshes that enforce access."""
    explain, without = judging(mesh, explainer.explain), excusing(mesh)(stage.documents, case.reading)
    return find_in(explain, [check.request for check in stage.checks], without)


def _denied_for_a_reason(explainer: Explainer, mesh: ExplainedMesh, request: Request) -> bool:
    """Whether a mesh that a case does not know denies with a loss of its own (its features say whether it may)."""
    answer = explainer.explain(request)[1][mesh.name]
    return answer.verdict == "deny" and bool(answer.losses)


def _split_is_lost(judge: Callable[[Request], Answer], without: Without, request: Request) -> bool:
    """Whether a mesh answers as SMI would without a TrafficSplit that it reports as lost."""
    answer = judge(request)
    return any(not disagreement(request, other, answer) for other in without(request, answer.losses))


# ------------------------------------------------------------------------------------------------------ random worlds


def agreement(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    """Random worlds: never wider, exact shares, equal where no loss explains it, nothing raises; losses are real."""
    counted = _LossCount(subject.spec.narrowings)
    failures: list[PropertyFailure] = []
    look = partial(_disagreeing, count=counted)
    for failure in first_failures(subject, _random_trials(subject, failures), look, _disagreeing):
        failures.append(failure)
        yield failure
    yield from counted.failures(subject)


def _random_trials(subject: AdapterUnderTest, failures: Sequence[PropertyFailure]) -> Iterator[Trial]:
    """Random worlds, and not many more once something was found."""
    left = _AFTER_FIRST
    for number in range(subject.sizes.worlds):
        dice = Random(f"{subject.sizes.seed}/{number}")
        values, scope = _dice(dice, number)
        yield Trial(tuple(values), dice=dice, scope=scope)
        left -= bool(failures)
        if left < 0:
            break


def _disagreeing(
    subject: AdapterUnderTest,
    trial: Trial,
    count: _LossCount | None = None,
    excuses: Callable[[Excusing], Excusing] | None = None,
) -> Iterator[PropertyFailure]:
    """Every request on which SMI and the mesh must not stand together."""
    documents, reading = documents_of(trial.world), trial.scope.reading
    explainer, mesh = subject.explained(documents, trial.scope)
    explain = cache(judging(mesh, explainer.explain))
    asked = trial.requests or _row(subject, trial, explainer)
    if count is not None:
        count.see(explain, mesh, explainer.compiled.facts, replace(trial, requests=asked))
    without = excusing(mesh) if excuses is None else excuses(excusing(mesh))
    for request, why in find_in(explain, asked, without(documents, reading)):
        name = _WORDS.get(why.partition(":")[0], RAISES)
        told = f"{trial.about}: {why}" if isinstance(trial.about, str) else why
        answers = {} if name == RAISES else _answers(explain, mesh, request)
        yield misjudged(name, told, request, answers, _routes(mesh, request))


def _routes(mesh: ExplainedMesh, request: Request) -> list[ObjectRef]:
    """What says where a call to a Service goes: native objects, and what they are made from."""
    namespace, _, service = (request.dst.service or "").partition("/")
    made = mesh.translations.get(UnitKey("route", namespace, service), Translation())
    return [ref for native in made.objects for ref in (native.ref, *native.origins)]


def _row(subject: AdapterUnderTest, trial: Trial, explainer: Explainer) -> tuple[Request, ...]:
    sizes, scope, smi = subject.sizes, trial.scope, explainer.smi
    if subject.spec.routes_only:  # it governs nobody, and nothing is close to what nobody is denied
        documents = documents_of(trial.world)
        smi = Semantics(documents, trust_domain=scope.trust_domain, reading=scope.reading).judge
    return tuple(one.request for one in row(trial.dice, Hints.of(trial.world), smi, sizes.wild, sizes.close))


def _answers(explain: Explain, mesh: ExplainedMesh, request: Request) -> Mapping[str, Answer]:
    smi, meshes = explain(request)
    return {"smi": smi, "mesh": meshes[mesh.name]}


def many(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    """The same where there are many of a thing, one is long, or parts are crossed: the first failure of each property."""
    trials = (
        Trial(world.values, requests=world.requests, about=world.name)
        for world in chain(many_worlds(), pattern_worlds())
    )
    yield from first_failures(subject, trials, partial(_disagreeing, excuses=_few))


def _few(excuses: Excusing) -> Excusing:
    """The same excuses, as far as they leave out one split, or few: each call is about one."""

    def fewer(documents: tuple[Document, ...], reading: Reading) -> Without:
        every = excuses(documents, reading)
        return lambda request, losses: islice(every(request, losses), 2 * MANY)

    return fewer


def _dice(rng: Random, number: int) -> tuple[list[Any], Scope]:
    """A world and how it is read: some with headless Services, some by the lenient reading, some in another trust domain."""
    values, scope = _worlds(rng, number)
    return ([_maybe_headless(rng, value) for value in values] if number % 4 == 1 else values), scope


def _maybe_headless(rng: Random, value: Any) -> Any:
    """A Service without an address of its own, one in three; anything else as it is."""
    spec = value.get("spec") if isinstance(value, dict) and value.get("kind") == "Service" else None
    if not isinstance(spec, dict) or rng.randrange(3):
        return value
    return {**value, "spec": {**spec, "clusterIP": "None"}}


def _worlds(rng: Random, number: int) -> tuple[list[Any], Scope]:
    reading = _LENIENT if number % 4 == 3 else Reading()
    if number % 8 == 5:
        return make_split_values(rng), Scope(reading=reading)
    values = make_values(rng)
    if number % 16 == 6:
        unsplit = [one for one in values if not (isinstance(one, dict) and one.get("kind") == "TrafficSplit")]
        return unsplit, Scope("another-domain", reading)
    return values, Scope(reading=reading)


class _LossCount:
    """In how many worlds a code was reported, and which codes explained that something was denied that SMI allows."""

    def __init__(self, narrowings: Iterable[Narrowing]) -> None:
        self._narrowings = {one.code for one in narrowings}
        self._reported: Counter[str] = Counter()
        self._denied: set[str] = set()
        self._shown: dict[str, Trial] = {}
        self._given: dict[str, Trial] = {}

    def see(self, explain: Explain, mesh: ExplainedMesh, facts: Facts, trial: Trial) -> None:
        """Count a world."""
        codes = {loss.code for loss in _losses(mesh) if not loss.is_unenforced}
        self._reported.update(codes)
        for code in codes:
            self._shown.setdefault(code, replace(trial, requests=()))
        for request in trial.requests:
            try:
                smi, meshes = explain(request)
            except Exception:  # noqa: BLE001, S112 - told by the search itself
                continue
            answer = meshes[mesh.name]
            if (answer.verdict, answer.weights) != (smi.verdict, smi.weights):
                self._denied.update(answer.losses)
                for code in self._undeclared(mesh, facts, request, (smi, answer)):
                    self._given.setdefault(code, replace(trial, requests=(request,)))

    def _undeclared(
        self, mesh: ExplainedMesh, facts: Facts, request: Request, answers: tuple[Answer, Answer]
    ) -> set[str]:
        """The codes of a refusal that are no Loss of the world and no Narrowing. What `explain` adds to them is the hub's to know."""
        declared, (smi, answer) = {loss.code for loss in _losses(mesh)} | self._narrowings, answers
        refused = smi.verdict in {"allow", "ungoverned"} and answer.verdict == "deny"
        if not refused or not {*answer.losses} - declared:
            return set()
        return {*mesh.spec.evaluator(bodies_of(mesh.translations), facts).judge(request).losses} - declared

    def failures(self, subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
        """Codes that stand for nothing, and those of answers that nobody declared."""
        for code, worlds in sorted(self._reported.items()):
            if worlds >= _OFTEN and code not in self._denied:
                look = partial(_reported, code, worlds)
                yield from first_failure(subject, (self._shown[code],), look)
        for code, trial in sorted(self._given.items()):
            yield from first_failure(subject, (trial,), partial(self._refused, code))

    def _refused(self, code: str, subject: AdapterUnderTest, trial: Trial) -> Iterator[PropertyFailure]:
        explainer, mesh = subject.explained(documents_of(trial.world), trial.scope)
        for request in trial.requests:
            answers = _answers(judging(mesh, explainer.explain), mesh, request)
            pair = (answers["smi"], answers["mesh"])
            if code in self._undeclared(mesh, explainer.compiled.facts, request, pair):
                why = (
                    f'a request is refused for "{code}", which is no Loss of that world and no Narrowing of the adapter'
                )
                yield misjudged(NAMED, why, request, answers)


def _losses(mesh: ExplainedMesh) -> Iterator[Loss]:
    return (loss for each in mesh.translations.values() for loss in each.losses)


def _reported(code: str, worlds: int, subject: AdapterUnderTest, trial: Trial) -> Iterator[PropertyFailure]:
    _, mesh = subject.explained(documents_of(trial.world), trial.scope)
    for loss in _losses(mesh):
        if loss.code == code:
            why = f'"{code}" is reported as lost in {worlds} worlds, of {loss.origin} in this one, and no request is refused for it'
            yield PropertyFailure(REAL, why, by=(str(loss.origin),))


# -------------------------------------------------------------------------------------------------------- last delete


def default_deny(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    """Without a TrafficTarget nobody is allowed anything, and the mesh says deny by itself."""
    yield from first_failure(subject, _without_targets(subject), _open)


def _without_targets(subject: AdapterUnderTest) -> Iterator[Trial]:
    for number in range(subject.sizes.few):
        dice = Random(f"{subject.sizes.seed}/deny/{number}")
        yield Trial(tuple(one for one in make_values(dice) if not _is_target(one)), dice=dice)


def _is_target(value: Any) -> bool:
    return isinstance(value, dict) and value.get("kind") == "TrafficTarget"


def _open(subject: AdapterUnderTest, trial: Trial) -> Iterator[PropertyFailure]:
    documents = documents_of(trial.world)
    explainer, mesh = subject.explained(documents)
    dice = row(trial.dice, Hints.of(trial.world), Semantics(documents).judge, subject.sizes.wild * 2, 0)
    for request in trial.requests or (one.request for one in dice):
        answers = _answers(explainer.explain, mesh, request)
        if answers["mesh"].verdict != "deny":
            why = f"no TrafficTarget is left, and the mesh says {answers['mesh'].verdict}"
            yield misjudged(DENIES, why, request, answers)


CHECKS = (
    PropertyCheck("cases", {"cases": "every conformance case is answered as SMI does, or denied with a loss"}, cases),
    PropertyCheck(
        "agreement",
        {
            WIDER: "nothing that SMI denies is allowed",
            SHARES: "splits share out exactly as SMI says",
            EXACT: "what SMI allows is allowed, where no loss explains that it is not",
            RAISES: "no input makes the adapter raise",
            REAL: "what is reported as lost is refused",
            NAMED: "every code of an answer is a Loss or a Narrowing",
        },
        agreement,
    ),
    PropertyCheck(
        "many",
        {
            WIDER: "nothing that SMI denies is allowed",
            SHARES: "splits share out exactly as SMI says",
            EXACT: "what SMI allows is allowed, where no loss explains that it is not",
            RAISES: "no input makes the adapter raise",
        },
        many,
    ),
    PropertyCheck(
        "default-deny", {DENIES: "when the last TrafficTarget is deleted, everything is denied"}, default_deny
    ),
)
