"""Translation by itself: the order of inputs, units apart from each other, the same twice, inputs left as they are."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any

from hub.api import Evaluator
from hub.explain import ExplainedMesh
from hub.model import Facts, NativeObject, Request, Translation, Unit, UnitKey
from hub.plan.plan import plan
from hub.semantics import Semantics
from hub.testing.close import row
from hub.testing.conformance.subject import AdapterUnderTest, PropertyCheck, PropertyFailure, bodies_of
from hub.testing.counterexamples import shrink
from hub.testing.documents import Scope, compile_documents, translate_units
from hub.testing.random_requests import Hints, any_request
from hub.testing.stepping import desired, observed
from hub.testing.worlds import documents_of, make_values

ORDER, APART, OWN = "order-independence", "unit-independence", "one-unit-per-object"
NEEDS = "needs-exist"
TWICE, STANDS, UNTOUCHED = "idempotence", "nothing-to-do-where-all-stands", "inputs-not-mutated"
_ASKED = 6
"""Requests of a world for which it is looked whether to judge them changes anything."""


def _worlds(subject: AdapterUnderTest, about: str) -> Iterator[tuple[Random, list[Any]]]:
    for number in range(subject.sizes.few):
        rng = Random(f"{subject.sizes.seed}/{about}/{number}")
        yield rng, make_values(rng)


def _translations(
    subject: AdapterUnderTest, values: Sequence[Any]
) -> tuple[Mapping[UnitKey, Unit], dict[UnitKey, Translation]]:
    units = compile_documents(documents_of(values), Scope()).units
    return units, translate_units(units, subject.mesh)


def _smallest(values: Sequence[Any], wrong: Any) -> tuple[Any, ...]:
    """The smallest world of which `wrong(values)` is still true; errors count as true no more."""

    def fails(kept: Sequence[Any], request: Any) -> bool:
        try:
            return bool(wrong(kept))
        except Exception:  # noqa: BLE001 - another fault than the one that is made small
            return False

    return shrink(values, None, fails)  # type: ignore[arg-type] # no request is asked


# -------------------------------------------------------------------------------------------------------------- order


def order(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    """The same documents in another order, and the same requests: the same objects, the same answers."""
    for rng, values in _worlds(subject, "order"):
        turned = rng.sample(values, len(values))
        (one, mine), (other, theirs) = (subject.explained(documents_of(some)) for some in (values, turned))
        if mine.translations != theirs.translations:
            why = "the same documents in another order give other native objects"
            yield PropertyFailure(ORDER, why, _smallest(values, lambda kept: _differs_turned(subject, kept)))
            return
        judge, facts = Semantics(documents_of(values)).judge, one.compiled.facts
        straight = subject.spec.evaluator(bodies_of(mine.translations), facts)
        turned_facts = _turned_facts(subject, rng, mine, facts)
        for request in (each.request for each in row(rng, Hints.of(values), judge, 16, 24)):
            answers = [each.explain(request)[1][subject.spec.name] for each in (one, other)]
            same = straight.judge(request) == turned_facts.judge(request)
            if answers[0] != answers[1] or not same:
                why = "the same documents, or the same objects and facts, in another order give another answer"
                yield PropertyFailure(ORDER, why, tuple(values), request, None, answers[1], answers[1].by)
                return


def _turned_facts(subject: AdapterUnderTest, rng: Random, mesh: ExplainedMesh, facts: Facts) -> Evaluator:
    """The adapter's evaluator on the same objects and facts in another order."""
    objects = bodies_of(mesh.translations)
    return subject.spec.evaluator(
        rng.sample(objects, len(objects)),
        Facts(
            facts.trust_domain,
            dict(reversed(list(facts.placements.items()))),
            dict(reversed(list(facts.endpoints.items()))),
            dict(reversed(list(facts.exposed.items()))),
        ),
    )


def _differs_turned(subject: AdapterUnderTest, values: Sequence[Any]) -> bool:
    turned = list(reversed(values))
    return _translations(subject, values)[1] != _translations(subject, turned)[1]


# ---------------------------------------------------------------------------------------------------------- each alone


def apart(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    """Each unit alone, in any order, gives what all together give; no two units share an object."""
    found: set[str] = set()
    for rng, values in _worlds(subject, "apart"):
        units, together = _translations(subject, values)
        for failure in _apart(subject, rng, (values, units, together)):
            if failure.property not in found:
                found.add(failure.property)
                yield failure


def _apart(subject: AdapterUnderTest, rng: Random, world: tuple[Sequence[Any], Any, Any]) -> Iterator[PropertyFailure]:
    values, units, together = world
    keys = rng.sample(list(units), len(units))
    alone = {key: translate_units({key: units[key]}, subject.mesh)[key] for key in keys}
    for key in keys:
        if alone[key] != together[key]:
            why = f"{key} gives other objects alone than among others: something is remembered between calls"
            yield PropertyFailure(APART, why, tuple(values))
        named = {origin for native in together[key].objects for origin in native.origins}
        if not named <= set(units[key].origins):
            yield PropertyFailure(APART, f"an object of {key} names origins that the unit does not have", tuple(values))
    known = {native.ref for native in bodies_of(together)}
    lacking = [ref for native in bodies_of(together) for ref in native.needs if ref not in known]
    if lacking:
        why = f"{lacking[0]} is needed, and no unit has such an object"
        yield PropertyFailure(NEEDS, why, tuple(values), by=(str(lacking[0]),))
    if twice := _shared(together):
        small = _smallest(values, lambda kept: _shared(_translations(subject, kept)[1]))
        yield PropertyFailure(OWN, f"{twice}: two units have an object of this name", small, by=(twice,))


def _shared(translations: Mapping[UnitKey, Translation]) -> str:
    """An object that two units have; "" if there is none."""
    seen: set[Any] = set()
    for native in bodies_of(translations):
        if native.ref in seen:
            return str(native.ref)
        seen.add(native.ref)
    return ""


# ------------------------------------------------------------------------------------------------- twice, and standing


def again(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    """A unit that is translated twice gives the same; what stands as it should is left as it is."""
    found: set[str] = set()
    for _, values in _worlds(subject, "again"):
        units, first = _translations(subject, values)
        second = translate_units(units, subject.mesh)
        if first != second and TWICE not in found:
            found.add(TWICE)
            yield PropertyFailure(TWICE, "the same unit, translated twice, gives other objects", tuple(values))
        left = _left_to_do(subject, values)
        if left and STANDS not in found:
            found.add(STANDS)
            small = _smallest(values, lambda kept: _left_to_do(subject, kept))
            yield PropertyFailure(
                STANDS, f"all that was planned stands, and the next plan still writes {left}", small, by=(left,)
            )


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
    for _, values in _worlds(subject, "untouched"):
        wrong = _touched(subject, values)
        if wrong:
            small = _smallest(values, lambda kept: _touched(subject, kept))
            yield PropertyFailure(UNTOUCHED, wrong, small)
            return


def _touched(subject: AdapterUnderTest, values: Sequence[Any]) -> str:
    spec, settings = subject.spec, subject.settings
    compiled = compile_documents(documents_of(values), Scope())
    for key, unit in compiled.units.items():
        before = pickle.dumps((unit, settings))
        made = spec.translate(unit, settings)
        if pickle.dumps((unit, settings)) != before:
            return f"translate changed the unit {key} that it was given"
        standing = dict(observed((key, native) for native in made.objects).objects)
        copy = dict(standing)
        spec.carry_over(made.objects, standing)
        if copy != standing:
            return f"carry_over changed what stands of {key}"
    objects = bodies_of(translate_units(compiled.units, subject.mesh))
    asked = [any_request(Random(number), Hints.of(values)) for number in range(_ASKED)]
    return _touched_by_evaluate(subject, compiled.facts, objects, asked)


def _touched_by_evaluate(
    subject: AdapterUnderTest, facts: Facts, objects: list[NativeObject], asked: Sequence[Request]
) -> str:
    mine = Facts(facts.trust_domain, dict(facts.placements), dict(facts.endpoints), dict(facts.exposed))
    given = list(objects)
    judge = subject.spec.evaluator(given, mine).judge
    for request in asked:
        judge(request)
    return (
        ""
        if (given, mine) == (objects, facts)
        else "evaluator, or judge, changed the objects or facts that it was given"
    )


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
