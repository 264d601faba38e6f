"""Translation by itself: the order of inputs, units apart from each other, the same twice, inputs left as they are."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from random import Random
from typing import Any, TypeVar

from msgspec.structs import astuple, replace

from hub.api import Evaluator
from hub.explain import ExplainedMesh
from hub.model import Facts, NativeObject, Request, Translation, Unit, UnitKey
from hub.plan.plan import plan
from hub.semantics import Semantics
from hub.testing.close import row
from hub.testing.conformance.smallest import Trial, first_failure, first_failures
from hub.testing.conformance.subject import (
    AdapterUnderTest,
    PropertyCheck,
    PropertyFailure,
    bodies_of,
    misjudged,
)
from hub.testing.documents import Scope, compile_documents, translate_units
from hub.testing.random_requests import Hints, any_request
from hub.testing.stepping import desired, observed
from hub.testing.worlds import documents_of, make_values

ORDER, APART, OWN = "order-independence", "unit-independence", "one-unit-per-object"
NEEDS = "needs-exist"
TWICE, STANDS, UNTOUCHED = "idempotence", "nothing-to-do-where-all-stands", "inputs-not-mutated"
_T = TypeVar("_T")
_ASKED = 6
"""Requests of a world for which it is looked whether to judge them changes anything."""


def _trials(subject: AdapterUnderTest, about: str) -> Iterator[Trial]:
    for number in range(subject.sizes.few):
        dice = Random(f"{subject.sizes.seed}/{about}/{number}")
        yield Trial(tuple(make_values(dice)), dice=dice)


def _translations(
    subject: AdapterUnderTest, values: Sequence[Any]
) -> tuple[Mapping[UnitKey, Unit], dict[UnitKey, Translation]]:
    units = compile_documents(documents_of(values), Scope()).units
    return units, translate_units(units, subject.mesh)


def _unlike(one: Mapping[UnitKey, Translation], other: Mapping[UnitKey, Translation]) -> tuple[str, ...]:
    """The first unit that has two translations, and its native objects that are not in both."""
    for key in one:
        if key not in other or one[key] != other[key]:
            objects = [set(each[key].objects) if key in each else set() for each in (one, other)]
            return (str(key), *sorted({str(native.ref) for native in objects[0] ^ objects[1]}))
    return ()


def _shuffled(things: Sequence[_T], name: Callable[[_T], object]) -> list[_T]:
    """The things in another order, which is the same one for those that are left when some are taken away."""
    other = sorted(things, key=lambda thing: sha256(repr(name(thing)).encode()).digest())
    return other if other != list(things) else other[::-1]


# -------------------------------------------------------------------------------------------------------------- order


def order(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    """The same documents in another order, and the same requests: the same objects, the same answers."""
    yield from first_failure(subject, _trials(subject, "order"), _order)


def _order(subject: AdapterUnderTest, trial: Trial) -> Iterator[PropertyFailure]:
    values = trial.world
    turned = _shuffled(values, _kind_and_name)
    (one, mine), (other, theirs) = (subject.explained(documents_of(some)) for some in (values, turned))
    if by := _unlike(mine.translations, theirs.translations):
        yield PropertyFailure(ORDER, "the same documents in another order give other native objects", by=by)
        return
    facts = one.compiled.facts
    judges = (
        subject.spec.evaluator(bodies_of(mine.translations), facts),
        _turned_evaluator(subject, mine, facts),
    )
    judge = Semantics(documents_of(values)).judge
    dice = (each.request for each in row(trial.dice, Hints.of(values), judge, 16, 24))
    for request in trial.requests or dice:
        pairs = (
            ("documents", [each.explain(request)[1][subject.spec.name] for each in (one, other)]),
            ("objects and facts", [each.judge(request) for each in judges]),
        )
        for what, (first, second) in pairs:
            if first != second:
                why = f"the same {what} in another order give another answer"
                others = [*(native.ref for native in bodies_of(mine.translations)), *facts.placements]
                yield misjudged(ORDER, why, request, {"mesh": first, "in another order": second}, others)
                return


def _kind_and_name(value: Any) -> object:
    return (value.get("kind"), value.get("metadata")) if isinstance(value, dict) else value


def _turned_evaluator(subject: AdapterUnderTest, mesh: ExplainedMesh, facts: Facts) -> Evaluator:
    """The adapter's evaluator on the same objects and facts in another order."""
    return subject.spec.evaluator(
        _shuffled(bodies_of(mesh.translations), lambda native: str(native.ref)),
        Facts(
            facts.trust_domain,
            dict(reversed(list(facts.placements.items()))),
            dict(reversed(list(facts.endpoints.items()))),
            dict(reversed(list(facts.exposed.items()))),
        ),
    )


# ---------------------------------------------------------------------------------------------------------- each alone


def apart(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    """Each unit alone, in any order, gives what all together give; no two units share an object."""
    yield from first_failures(subject, _trials(subject, "apart"), _apart)


def _apart(subject: AdapterUnderTest, trial: Trial) -> Iterator[PropertyFailure]:
    units, together = _translations(subject, trial.world)
    keys = _shuffled(list(units), str)
    alone = {key: translate_units({key: units[key]}, subject.mesh)[key] for key in keys}
    if by := _unlike(alone, {key: together[key] for key in keys}):
        why = f"{by[0]} gives other objects alone than among others: something is remembered between calls"
        yield PropertyFailure(APART, why, by=by)
    for key in keys:
        for native in together[key].objects:
            if not {*native.origins} <= {*units[key].origins}:
                why = f"{native.ref} names origins that its unit {key} does not have"
                yield PropertyFailure(APART, why, by=(str(native.ref), *map(str, native.origins)))
    yield from _lacking(bodies_of(together))
    if twice := _shared(together):
        yield PropertyFailure(OWN, f"{twice[0]}: {twice[1]} and {twice[2]} both have an object of this name", by=twice)


def _lacking(objects: Sequence[NativeObject]) -> Iterator[PropertyFailure]:
    known = {native.ref for native in objects}
    for native in objects:
        for ref in native.needs:
            if ref not in known:
                why = f"{native.ref} needs {ref}, and no unit has such an object"
                yield PropertyFailure(NEEDS, why, by=(str(native.ref), str(ref)))


def _shared(translations: Mapping[UnitKey, Translation]) -> tuple[str, ...]:
    """An object that two units have, and the units; nothing if there is none."""
    seen: dict[Any, UnitKey] = {}
    for key, each in translations.items():
        for native in each.objects:
            if native.ref in seen:
                return str(native.ref), str(seen[native.ref]), str(key)
            seen[native.ref] = key
    return ()


# ------------------------------------------------------------------------------------------------- twice, and standing


def again(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    """A unit that is translated twice gives the same; what stands as it should is left as it is."""
    yield from first_failures(subject, _trials(subject, "again"), _again)


def _again(subject: AdapterUnderTest, trial: Trial) -> Iterator[PropertyFailure]:
    units, first = _translations(subject, trial.world)
    if by := _unlike(first, translate_units(units, subject.mesh)):
        yield PropertyFailure(TWICE, f"{by[0]}, translated twice, gives other objects", by=by)
    if left := _left_to_do(subject, trial.world):
        why = f"all that was planned stands, and the next plan still writes {left}"
        yield PropertyFailure(STANDS, why, by=(left,))


def _left_to_do(subject: AdapterUnderTest, values: Sequence[Any]) -> str:
    """What a plan still writes after all that it wrote stands."""
    spec, units = subject.spec, desired(values, subject.mesh)
    standing: dict[Any, tuple[UnitKey, NativeObject]] = {}
    changes = plan(spec.name, units, observed(()), spec.carry_over).changes
    for change in changes:
        if change.after is not None:
            standing[change.ref] = (change.unit, change.after)
    left = plan(spec.name, units, observed(standing.values()), spec.carry_over).changes
    return str(left[0].ref) if left else ""


# ------------------------------------------------------------------------------------------------------------- inputs


def untouched(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    """No function of an adapter changes what it is given: units, settings, what stands, objects, facts."""
    yield from first_failure(subject, _trials(subject, "untouched"), _untouched)


def _untouched(subject: AdapterUnderTest, trial: Trial) -> Iterator[PropertyFailure]:
    spec, settings = subject.spec, subject.settings
    compiled = compile_documents(documents_of(trial.world), Scope())
    for key, unit in compiled.units.items():
        before = pickle.dumps((unit, settings))
        made = spec.translate(unit, settings)
        if pickle.dumps((unit, settings)) != before:
            yield PropertyFailure(UNTOUCHED, f"translate changed the unit {key} that it was given", by=(str(key),))
            return
        standing = dict(observed((key, native) for native in made.objects).objects)
        copy = dict(standing)
        spec.carry_over(made.objects, standing)
        if copy != standing:
            yield PropertyFailure(UNTOUCHED, f"carry_over changed what stands of {key}", by=(str(key),))
            return
    objects = bodies_of(translate_units(compiled.units, subject.mesh))
    dice = (any_request(Random(number), Hints.of(trial.world)) for number in range(_ASKED))
    yield from _untouched_by_evaluate(subject, compiled.facts, objects, trial.requests or tuple(dice))


def _untouched_by_evaluate(
    subject: AdapterUnderTest, facts: Facts, objects: list[NativeObject], asked: Sequence[Request]
) -> Iterator[PropertyFailure]:
    mine = Facts(facts.trust_domain, dict(facts.placements), dict(facts.endpoints), dict(facts.exposed))
    given = list(objects)
    judge = subject.spec.evaluator(given, mine).judge
    if (given, mine) != (objects, facts):
        yield PropertyFailure(UNTOUCHED, "evaluator changed the objects or facts that it was given")
        return
    for request in asked:
        answer = judge(request)
        if (given, mine) != (objects, facts):
            why = "judge changed the objects or facts that the evaluator was given"
            failure = misjudged(UNTOUCHED, why, request, {"mesh": answer})
            yield replace(failure, by=(*failure.by, *_changed_facts(facts, mine)))
            return


def _changed_facts(facts: Facts, changed: Facts) -> Iterator[str]:
    """Whose places, endpoints or exposed ports were changed."""
    for one, other in zip(astuple(facts), astuple(changed), strict=True):
        if isinstance(one, Mapping):
            yield from (str(key) for key in one if key not in other or one[key] != other[key])


CHECKS = (
    PropertyCheck("order", {ORDER: "the order of documents, objects and facts means nothing"}, order),
    PropertyCheck(
        "units",
        {
            APART: "no unit knows another one, and its objects name its own origins",
            OWN: "every object comes from one unit alone",
            NEEDS: "what an object needs is an object of some unit",
        },
        apart,
    ),
    PropertyCheck(
        "again",
        {TWICE: "translating twice gives the same", STANDS: "what stands as it should is not written again"},
        again,
    ),
    PropertyCheck("inputs", {UNTOUCHED: "no function changes what it is given"}, untouched),
)
