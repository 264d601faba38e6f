"""Adapters that route calls and enforce no access: what the kit asks of them, what it does not, and whom it rejects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from hub.api import (
    Access,
    AdapterSpec,
    Answer,
    Destination,
    Endpoint,
    Facts,
    Feature,
    Loss,
    Narrowing,
    NativeObject,
    ObjectRef,
    Request,
    Role,
    Source,
    Support,
    Translation,
    Unit,
)
from hub.testing.conformance.certificate import certify, header_of, row_of, to_text
from hub.testing.conformance.subject import AdapterUnderTest, JudgedRequest, Sizes
from hub.testing.conformance.suite import ABOUT_ACCESS, CHECKS, run
from tests.hub.testing.conformance import gate_mesh
from tests.hub.testing.conformance.bad_adapters import orders_by_name, zero_is_one
from tests.hub.testing.conformance.gate_evaluate import Gates, Http
from tests.hub.testing.conformance.gate_mesh import GROUP, UDP, GateConfig, encode

pytestmark = pytest.mark.thorough
_WORLD = """\
apiVersion: v1
kind: Service
metadata: {name: api, namespace: d}
spec: {selector: {app: api}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: api, namespace: d, labels: {app: api}}
spec: {serviceAccountName: api, containers: [{name: a, ports: [{containerPort: 8080}]}]}
"""


def unenforced(unit: Access) -> Translation:
    """No object, and a Loss for each grant that says that it is not enforced."""
    lost = (
        Loss("gate.open", one.origin, "spec.sources", "it has no locks", "a call", "add one", access=False)
        for one in unit.grants
    )
    return Translation(losses=tuple(lost), carried=())


def translate(unit: Unit, config: GateConfig) -> Translation:
    """The Ways of the gate mesh alone."""
    return unenforced(unit) if isinstance(unit, Access) else gate_mesh.translate(unit, config)


def with_a_lock(unit: Unit, config: GateConfig) -> Translation:
    """It closes an identity although it says that it enforces no access."""
    return gate_mesh.translate(unit, config)


def silent(unit: Unit, config: GateConfig) -> Translation:
    """Of access it says nothing at all."""
    return Translation(carried=()) if isinstance(unit, Access) else gate_mesh.translate(unit, config)


def without_zeros(unit: Unit, config: GateConfig) -> Translation:
    """A weight of zero becomes a share."""
    return unenforced(unit) if isinstance(unit, Access) else zero_is_one(unit, config)


def by_name(unit: Unit, config: GateConfig) -> Translation:
    """Splits are tried by their names."""
    return unenforced(unit) if isinstance(unit, Access) else orders_by_name(unit, config)


class Ways(Gates):
    """Ways alone: whoever stands behind a Service receives."""

    def _endpoint(self, endpoint: Endpoint, caller: str, http: Http | None) -> Answer:
        return Answer("ungoverned")


def ways(objects: Sequence[NativeObject], facts: Facts) -> Ways:
    """The evaluator."""
    return Ways(objects, facts)


class Allowing(Ways):
    """It says that a call is allowed, as if somebody had looked."""

    def judge(self, request: Request) -> Answer:
        """Allow, wherever anybody is reached."""
        answer = super().judge(request)
        return replace(answer, verdict="allow") if answer.verdict == "ungoverned" else answer


def allows(objects: Sequence[NativeObject], facts: Facts) -> Allowing:
    """Its evaluator."""
    return Allowing(objects, facts)


def row(weights: Mapping[str, str] | None, *shares: tuple[str, int]) -> JudgedRequest:
    """A call of a Service with a Way of these shares."""
    body = {"ports": [{"port": 80, "layers": [{"shares": [{"to": to, "weight": str(part)} for to, part in shares]}]}]}
    way = NativeObject(ObjectRef(GROUP, "Way", "d", "api"), Role.ROUTE, encode(body))
    request = Request(Source(identity="d/web"), Destination(service="d/api"), 80)
    verdict = "deny" if weights == {} else "ungoverned"
    return JudgedRequest((way,), request, verdict, "https://gate.example/docs/ways", _WORLD, weights)


ROWS = (
    row({"api": "1"}, ("api", 1)),
    row({"api": "9/10", "b": "1/10"}, ("api", 9), ("b", 1)),
    row({"api": "1/2", "b": "1/2"}, ("api", 2), ("b", 2)),
    row({}),
)
FEATURES = {
    feature: Support.NEVER if feature.startswith("access.") else support
    for feature, support in gate_mesh.FEATURES.items()
}
SPEC: AdapterSpec[GateConfig] = replace(
    gate_mesh.SPEC,
    translate=translate,
    evaluator=ways,
    features=FEATURES,
    narrowings=(Narrowing(UDP, "datagrams have no certificate"),),
    governs=("routes",),
)
BAD: Mapping[str, tuple[AdapterSpec[Any], str]] = {
    "turns a zero weight into a share": (replace(SPEC, translate=without_zeros), "exact-shares"),
    "tries splits by name": (replace(SPEC, translate=by_name), "exact-shares"),
    "says that calls are allowed": (replace(SPEC, evaluator=allows), "exact"),
    "has objects of an identity": (replace(SPEC, translate=with_a_lock), "raises-nothing"),
    "says nothing of access": (replace(SPEC, translate=silent), "features-are-declared"),
    "claims access": (replace(SPEC, features={**FEATURES, Feature.ACCESS_TCP: Support.FULL}), "features-are-declared"),
    "enforces nothing and governs all": (replace(SPEC, governs=("all",)), "losses-say-what"),
}


def subject(spec: AdapterSpec[Any], rows: Sequence[JudgedRequest] = ROWS) -> AdapterUnderTest:
    """The adapter, on fewer worlds."""
    return AdapterUnderTest(spec, judged=tuple(rows), sizes=Sizes(worlds=300, few=30))


def test_an_adapter_of_routes_alone_passes_and_is_not_asked_about_access() -> None:
    """The certificate says what it is no certificate for."""
    judged = subject(SPEC)
    outcomes = run(judged)
    assert {one.why for outcome in outcomes for one in outcome.failures} == set()
    made = certify(header_of(judged), [row_of(outcome) for outcome in outcomes], "2026-01-01T00:00:00+00:00")
    assert (made.passed, made.governs) == (True, ("routes",))
    assert ABOUT_ACCESS.isdisjoint(made.properties)
    assert "(model only; routes alone: it enforces no access)" in to_text(made)
    assert {"never-wider", "default-deny"} <= ABOUT_ACCESS


@pytest.mark.parametrize("what", BAD)
def test_a_bad_one_is_rejected_by_the_right_property(what: str) -> None:
    """Whatever it does with access, which nobody asks about."""
    spec, wanted = BAD[what]
    outcomes = run(subject(spec), [check for check in CHECKS if wanted in check.properties])
    assert wanted in {one.property for outcome in outcomes for one in outcome.failures}


@pytest.mark.parametrize("rows", [(), ROWS[:1] * 4, (*ROWS, row({"b": "1"}, ("api", 1)))])
def test_its_rows_are_about_weights(rows: Sequence[JudgedRequest]) -> None:
    """At least four, not all alike, and as evaluate says."""
    (outcome,) = run(subject(SPEC, rows), [one for one in CHECKS if one.name == "judged"])
    assert [one.property for one in outcome.failures] == ["judged-by-hand"]
