"""The kit rejects every bad adapter, and names what is wrong; it accepts the good one (test_gate.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
from msgspec import convert
from msgspec.structs import replace

from hub.api import Evaluator, Facts, NativeObject, Request
from hub.model import Reading
from hub.requests import answer_to_json, decode
from hub.testing.conformance import smallest
from hub.testing.conformance.certificate import certify, header_of, row_of, to_text
from hub.testing.conformance.subject import AdapterUnderTest, CheckOutcome, PropertyCheck, PropertyFailure, Sizes
from hub.testing.conformance.suite import CHECKS, PROPERTIES, run
from hub.testing.counterexamples import Budget, shrink
from hub.testing.documents import Scope
from hub.testing.kit import read_documents
from tests.hub.testing.conformance.bad_adapters import BAD
from tests.hub.testing.conformance.gate_mesh import SPEC
from tests.hub.testing.conformance.gate_requests import REQUESTS
from tests.hub.testing.conformance.more_bad_adapters import MORE
from tests.hub.testing.conformance.near_adapters import FEW_FIT, NEAR
from tests.hub.testing.conformance.rare_adapters import RARE
from tests.hub.testing.conformance.sly_adapters import SLY
from tests.servers.proving import conforms

ALL = {**BAD, **MORE, **SLY, **NEAR, **RARE}
HAND, REAL, VALID = "judged-by-hand", "data-plane", "valid-by-schema"
FAMILY = {"bodies-come-back", "files-come-back"}
"""Properties of what an author brings beside the adapter; tests of their own are below, and in test_families.py."""
WITHOUT_REQUEST = frozenset(
    {
        *("raises-nothing", "hostile-input-raises-nothing", "within-budgets", "determinism", "inputs-not-mutated"),
        *(
            "unit-independence",
            "one-unit-per-object",
            "needs-exist",
            "idempotence",
            "nothing-to-do-where-all-stands",
            "edited-units-settle",
        ),
        *("names-with-enough-bits", "names-apart", "loss-is-real", "full-loses-nothing", "losses-say-what"),
    }
)
"""Properties of what is made, which need no request to show that they do not hold; some find one nevertheless."""
ONE_ANSWER = frozenset({"evaluate-guesses-nothing", "evaluate-reads-bytes-alone"})
"""Where an exception may stand in the place of the other one."""
SMALL, MANY = 10, 30
"""Objects of a smallest world; of one in which there must be many of a thing."""


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is made small is looked at once more by itself, and without each of its objects."""

    def checked_shrink(parts: Any, fails: Callable[[Any], bool], budget: Budget) -> Any:
        small = shrink(parts, fails, budget)
        assert fails(small), "the smallest world does not show the failure by itself"
        assert not [one for one in _without_one(small) if fails(one)], "an object too many"
        return small

    monkeypatch.setattr(smallest, "shrink", checked_shrink)


def _without_one(parts: Mapping[str, list[Any]]) -> Iterator[Mapping[str, list[Any]]]:
    for name in ("stays", "gone", "new"):
        values = parts.get(name, [])
        yield from ({**parts, name: [*values[:at], *values[at + 1 :]]} for at in range(len(values)))


@pytest.mark.thorough
@pytest.mark.parametrize("what", ALL)
def test_a_bad_adapter_is_rejected_by_the_right_property(what: str, request: pytest.FixtureRequest) -> None:
    """By each property that is about its fault, with all that shows it, in a world that is small."""
    spec, wanted = ALL[what]
    if what != "compares all":  # which takes as long as it may once it is small
        request.getfixturevalue("checked")
    subject = AdapterUnderTest(spec, judged=REQUESTS, sizes=Sizes(worlds=400, few=40, patience=0.05))
    # What has no room for many is met in few random worlds, or in none: the search would go on to its end.
    outcomes = rejected(subject, wanted, CHECKS[::-1] if what in FEW_FIT or what in RARE else CHECKS)
    found = {failure.property: failure for outcome in outcomes for failure in outcome.failures}
    assert wanted <= found.keys(), {name: failure.why for name, failure in found.items()}
    certificate = certify(header_of(subject), [row_of(outcome) for outcome in outcomes], "2026-01-01T00:00:00+00:00")
    assert not certificate.passed
    text = to_text(certificate)
    assert all(f"FAIL {name}:" in text and found[name].why in text for name in wanted)
    for told in certificate.failures:
        if told["property"] in wanted:
            shows_what_applies(told, MANY if what in FEW_FIT else SMALL)
            answers_so_by_itself(subject, told)


def shows_what_applies(told: Mapping[str, Any], most: int) -> None:
    """World, request, both answers and the objects, as far as a property is about them."""
    name, answers = told["property"], told.get("answers", {})
    objects = [*read_documents(told["world"]), *read_documents(told.get("before", ""))]
    assert len({str(one.value) for one in objects}) <= most, told["world"]
    assert "request" in told or name in WITHOUT_REQUEST
    assert len(answers) > 1 or name in WITHOUT_REQUEST | ONE_ANSWER
    # Where nothing protects whom a request is for, no object is to blame, nor in an empty world; nor is one for who asks a clock.
    unprotected = "ungoverned" in {answer["verdict"] for answer in answers.values()}
    assert told.get("by") or unprotected or not objects or name == "determinism"


def answers_so_by_itself(subject: AdapterUnderTest, told: Mapping[str, Any]) -> None:
    """Whoever has the certificate alone gets the same answers of its world."""
    answers = told.get("answers", {})
    if answers.keys() == {"smi", "mesh"} and "before" not in told:
        scope = told.get("scope", {})
        domain, reading = scope.get("trustDomain", "cluster.local"), convert(scope.get("reading", {}), Reading)
        explainer, mesh = subject.explained(read_documents(told["world"]), Scope(domain, reading))
        smi, meshes = explainer.explain(decode(told["request"]).request)
        assert answers == {"smi": answer_to_json(smi), "mesh": answer_to_json(meshes[mesh.name])}


def test_an_object_that_a_change_changes_is_shown_as_it_was_too() -> None:
    """What stands between the writes of a plan may be the one or the other."""
    check = [one for one in CHECKS if one.name == "changes"]
    subject = AdapterUnderTest(BAD["forgets a destination port"][0], sizes=Sizes(few=1))
    (failure,) = run(subject, check)[0].failures
    name = next(one for one in failure.bodies if one.endswith(", before"))
    assert failure.bodies[name] != failure.bodies[name.removesuffix(", before")]


def rejected(subject: AdapterUnderTest, wanted: frozenset[str], checks: Sequence[PropertyCheck]) -> list[CheckOutcome]:
    """What these checks find, up to the last of the properties: each is looked for until it is found once."""
    outcomes: list[CheckOutcome] = []
    left = set(wanted)
    for check in checks:
        asked = left & check.properties.keys()
        failures: list[PropertyFailure] = []
        for failure in check.run(subject) if asked else ():
            failures.append(failure)
            if asked <= {one.property for one in failures}:
                break
        left -= {one.property for one in failures}
        outcomes.append(CheckOutcome(check.name, tuple(asked), tuple(failures)))
    return outcomes


def test_every_property_rejects_somebody() -> None:
    """A property that no bad adapter breaks would be one that nobody has seen at work."""
    named = frozenset[str]().union(*(wanted for _, wanted in ALL.values()))
    assert named == PROPERTIES.keys() - {HAND, REAL, VALID} - FAMILY


@pytest.mark.thorough
def test_evaluate_is_held_against_requests_judged_by_hand() -> None:
    """A row that says something else fails, and so do a row without a source and a table without denials."""
    wrong = replace(REQUESTS[0], verdict="deny")
    nowhere = replace(REQUESTS[1], source="")
    for rows, told in (
        ((*REQUESTS, wrong), "evaluate says allow"),
        ((*REQUESTS, nowhere), "vendor's document"),
        ((), "at least 4"),
    ):
        (outcome,) = run(AdapterUnderTest(SPEC, judged=rows), [one for one in CHECKS if one.name == "judged"])
        assert [failure.property for failure in outcome.failures] == [HAND]
        assert told in outcome.failures[0].why


@pytest.mark.thorough
def test_rows_are_judged_in_another_order_too() -> None:
    """An evaluator that goes by which object comes first reads every row right as its author wrote it."""

    def lock_first(objects: Sequence[NativeObject], facts: Facts) -> Evaluator:
        return SPEC.evaluator(objects if objects[0].ref.kind == "Lock" else (), facts)

    subject = AdapterUnderTest(replace(SPEC, evaluator=lock_first), judged=REQUESTS[:6])
    (outcome,) = run(subject, [one for one in CHECKS if one.name == "judged"])
    assert len(outcome.failures) == 5
    assert "evaluate says ungoverned with the objects in another order; " in outcome.failures[0].why


@pytest.mark.thorough
def test_evaluate_is_held_against_a_real_data_plane() -> None:
    """Where the author can run one: on the rows judged by hand too. The certificate then says more than `model only`."""
    check = [one for one in CHECKS if one.name == "data-plane"]

    def obeys(objects: Sequence[NativeObject], facts: Facts, requests: Sequence[Request]) -> list[str]:
        judge = SPEC.evaluator(objects, facts)
        return [judge.judge(request).verdict for request in requests]

    def is_open(objects: Sequence[NativeObject], facts: Facts, requests: Sequence[Request]) -> list[str]:
        return ["allow" for _ in requests]

    def answers_nothing(objects: Sequence[NativeObject], facts: Facts, requests: Sequence[Request]) -> list[str]:
        return ["" for _ in requests]

    good, bad, mute = (AdapterUnderTest(SPEC, data_plane=real) for real in (obeys, is_open, answers_nothing))
    assert [outcome.failures for outcome in run(good, check)] == [()]
    for one in (bad, mute):
        assert [failure.property for outcome in run(one, check) for failure in outcome.failures] == [REAL]
    wrong = replace(good, judged=(*REQUESTS, replace(REQUESTS[0], verdict="deny")))
    assert run(wrong, check)[0].failures[0].why == "expected deny, and the real data plane says allow"
    assert header_of(good).proof == "a real data plane"


@pytest.mark.thorough
def test_objects_are_held_against_the_schema_that_the_author_names() -> None:
    """The smallest world with an object that it does not take; the certificate says whether there was one."""
    check = [one for one in CHECKS if one.name == "schema"]

    def no_lists(native: NativeObject) -> list[str]:
        return ["spec.requests: is missing"] if native.ref.kind == "List" else []

    def whole(native: NativeObject) -> list[str]:
        return ["zqUnknown: there is no such field"] if b"zqUnknown" in native.body else []

    good, bad = AdapterUnderTest(SPEC, schema=whole), AdapterUnderTest(SPEC, schema=no_lists)
    assert [outcome.failures for outcome in run(good, check)] == [()]
    (failure,) = run(bad, check)[0].failures
    assert failure.property == VALID
    assert failure.why.endswith(": spec.requests: is missing")
    assert len([one for one in failure.world or () if one["kind"] == "TrafficTarget"]) == 1
    assert (header_of(good).schema, header_of(AdapterUnderTest(SPEC)).schema) == (True, False)


@pytest.mark.slow
def test_the_good_adapter_passes_on_a_hundred_thousand_pairs() -> None:
    """Of a world and a request, with a new seed each time."""
    conforms(AdapterUnderTest(SPEC, judged=REQUESTS))
