"""The adapter against SMI: every case, and random worlds with requests close to their boundaries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain, islice
from random import Random
from typing import Any

from msgspec.structs import replace

from hub.api import Narrowing
from hub.explain import ExplainedMesh, Explainer
from hub.model import Answer, Document, Facts, Reading, Request
from hub.semantics import Semantics
from hub.testing.close import row
from hub.testing.compare import disagreement
from hub.testing.conditions import Without
from hub.testing.conformance.many import MANY, many_worlds
from hub.testing.conformance.patterned import pattern_worlds
from hub.testing.conformance.routed import excusing, judging
from hub.testing.conformance.split_worlds import make_split_values
from hub.testing.conformance.subject import AdapterUnderTest, PropertyCheck, PropertyFailure, bodies_of
from hub.testing.counterexamples import shrink
from hub.testing.documents import Scope
from hub.testing.kit import CASES, FOUND, Case, Stage, load_cases, wrong_mesh_answers
from hub.testing.random_requests import Hints
from hub.testing.search import Excusing, Explain, find, find_in
from hub.testing.worlds import documents_of, make_values

WIDER, SHARES, EXACT, RAISES = "never-wider", "exact-shares", "exact", "raises-nothing"
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
    for case in (*load_cases(CASES), *load_cases(FOUND)):
        wrong = next(_wrong_in(case, subject), None)
        if wrong is not None:
            yield wrong


def _wrong_in(case: Case, subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    wrong = _misrouted_in_stage if subject.spec.routes_only else _wrong_in_stage
    for stage in case.stages:
        explainer, mesh = subject.explained(stage.documents, Scope(reading=case.reading))
        for request, said in wrong(stage, case, explainer, mesh):
            values = tuple(one.value for one in stage.documents)
            ours, theirs = explainer.explain(request)[0], explainer.explain(request)[1][mesh.name]
            why = f"case {case.name}, {stage.title}: {said}"
            yield PropertyFailure("cases", why, values, request, ours, theirs, theirs.by)


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
    found: set[str] = set()
    losses = _LossCount(subject.spec.narrowings)
    first = subject.sizes.worlds
    for number in range(subject.sizes.worlds):
        if number > first + _AFTER_FIRST:
            break
        for failure in _world(subject, number, losses, found):
            first = min(first, number)
            found.add(failure.property)
            yield failure
    yield from losses.failures()


def _world(subject: AdapterUnderTest, number: int, losses: _LossCount, found: set[str]) -> Iterator[PropertyFailure]:
    rng = Random(f"{subject.sizes.seed}/{number}")
    values, scope = _dice(rng, number)
    documents = documents_of(values)
    try:
        explainer, mesh = subject.explained(documents, scope)
    except Exception as error:  # noqa: BLE001 - the property is that nothing raises
        if RAISES not in found:
            yield _raised(subject, values, scope, error)
        return
    sizes = subject.sizes
    explain = cache(judging(mesh, explainer.explain))
    smi = explainer.smi
    if subject.spec.routes_only:  # it governs nobody, and nothing is close to what nobody is denied
        smi = Semantics(documents, trust_domain=scope.trust_domain, reading=scope.reading).judge
    asked = [one.request for one in row(rng, Hints.of(values), smi, sizes.wild, sizes.close)]
    losses.see(explain, mesh, explainer.compiled.facts, asked)
    for request, why in find_in(explain, asked, excusing(mesh)(documents, scope.reading)):
        name = _WORDS.get(why.partition(":")[0], RAISES)
        if name not in found:
            found.add(name)
            yield _shown(subject, name, (values, request, why, scope), excusing(mesh))


def many(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    """The same where there are many of a thing, one is long, or parts are crossed: the first failure of each property."""
    found: set[str] = set()
    for world in chain(many_worlds(), pattern_worlds()):
        documents = documents_of(world.values)
        explainer, mesh = subject.explained(documents)
        without = _few(excusing(mesh))
        for request, why in find_in(
            cache(judging(mesh, explainer.explain)), world.requests, without(documents, Reading())
        ):
            name = _WORDS.get(why.partition(":")[0], RAISES)
            if name not in found:
                found.add(name)
                told = (world.values, request, f"{world.name}: {why}", Scope())
                yield _shown(subject, name, told, without)


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


def _raised(subject: AdapterUnderTest, values: Sequence[Any], scope: Scope, error: Exception) -> PropertyFailure:
    def fails(kept: Sequence[Any], request: Request) -> bool:
        try:
            subject.explained(documents_of(kept), scope)
        except Exception as other:  # noqa: BLE001 - the same again
            return type(other) is type(error)
        return False

    small = shrink(values, None, fails)  # type: ignore[arg-type] # no request is asked
    return PropertyFailure(RAISES, f"raised while translating: {error!r}", small)


def _shown(
    subject: AdapterUnderTest, name: str, wrong: tuple[Sequence[Any], Request, str, Scope], without: Excusing
) -> PropertyFailure:
    """The failure with its world made small."""
    values, request, why, scope = wrong

    def compiling(documents: tuple[Document, ...], reading: Reading) -> Any:
        explainer, mesh = subject.explained(documents, scope)
        return judging(mesh, explainer.explain)

    small = find(values, (request,), scope.reading, compiling, without)
    if small is None:
        return PropertyFailure(name, why, tuple(values), request)
    try:
        explainer, _ = subject.explained(documents_of(small.values), scope)
        smi, meshes = explainer.explain(request)
    except Exception:  # noqa: BLE001 - that is what was found
        return PropertyFailure(name, small.why, small.values, request)
    mesh = meshes[subject.spec.name]
    return PropertyFailure(name, small.why, small.values, request, smi, mesh, mesh.by)


class _LossCount:
    """In how many worlds a code was reported, and which codes explained that something was denied that SMI allows."""

    def __init__(self, narrowings: Iterable[Narrowing]) -> None:
        self._narrowings = {one.code for one in narrowings}
        self._reported: Counter[str] = Counter()
        self._denied: set[str] = set()
        self._given: set[str] = set()

    def see(self, explain: Explain, mesh: ExplainedMesh, facts: Facts, asked: Sequence[Request]) -> None:
        """Count a world. What `explain` adds to the codes of an answer is the hub's to know."""
        objects = bodies_of(mesh.translations)
        told = [loss for each in mesh.translations.values() for loss in each.losses]
        declared = {loss.code for loss in told} | self._narrowings
        self._reported.update({loss.code for loss in told if not loss.is_unenforced})
        for request in asked:
            try:
                smi, meshes = explain(request)
            except Exception:  # noqa: BLE001, S112 - told by the search itself
                continue
            answer = meshes[mesh.name]
            if (answer.verdict, answer.weights) != (smi.verdict, smi.weights):
                self._denied.update(answer.losses)
                refused = smi.verdict in {"allow", "ungoverned"} and answer.verdict == "deny"
                if refused and {*answer.losses} - declared:
                    self._given.update({*mesh.spec.evaluator(objects, facts).judge(request).losses} - declared)

    def failures(self) -> Iterator[PropertyFailure]:
        """Codes that stand for nothing, and those of answers that nobody declared."""
        for code, worlds in sorted(self._reported.items()):
            if worlds >= _OFTEN and code not in self._denied:
                yield PropertyFailure(
                    REAL, f'"{code}" is reported as lost in {worlds} worlds, and no request is refused for it'
                )
        for code in sorted(self._given):
            why = f'a request is refused for "{code}", which is no Loss of that world and no Narrowing of the adapter'
            yield PropertyFailure(NAMED, why)


# -------------------------------------------------------------------------------------------------------- last delete


def default_deny(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    """Without a TrafficTarget nobody is allowed anything, and the mesh says deny by itself."""
    for number in range(subject.sizes.few):
        rng = Random(f"{subject.sizes.seed}/deny/{number}")
        values = [one for one in make_values(rng) if not (isinstance(one, dict) and one.get("kind") == "TrafficTarget")]
        explainer, _ = subject.explained(documents_of(values))
        hints = Hints.of(values)
        asked = [
            one.request for one in row(rng, hints, Semantics(documents_of(values)).judge, subject.sizes.wild * 2, 0)
        ]
        for request in asked:
            mesh = explainer.explain(request)[1][subject.spec.name]
            if mesh.verdict != "deny":
                why = f"no TrafficTarget is left, and the mesh says {mesh.verdict}"
                yield _small_open(subject, values, request, why)
                return


def _small_open(subject: AdapterUnderTest, values: Sequence[Any], request: Request, why: str) -> PropertyFailure:
    def answers(kept: Sequence[Any]) -> tuple[Answer, Mapping[str, Answer]]:
        return subject.explained(documents_of(kept))[0].explain(request)

    def fails(kept: Sequence[Any], asked: Request) -> bool:
        return answers(kept)[1][subject.spec.name].verdict != "deny"

    small = shrink(values, request, fails)
    smi, meshes = answers(small)
    mesh = meshes[subject.spec.name]
    return PropertyFailure(DENIES, why, small, request, smi, mesh, mesh.by)


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
