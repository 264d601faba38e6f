"""The kit rejects every bad adapter, and names what is wrong; it accepts the good one (test_gate.py)."""

from __future__ import annotations

from random import SystemRandom

import pytest

from hub.testing.conformance.certificate import certify, header_of, row_of, to_text
from hub.testing.conformance.subject import AdapterUnderTest, Sizes
from hub.testing.conformance.suite import CHECKS, run
from tests.hub.testing.conformance.bad_adapters import BAD
from tests.hub.testing.conformance.gate_mesh import SPEC
from tests.hub.testing.conformance.gate_requests import REQUESTS


@pytest.mark.thorough
@pytest.mark.parametrize("what", BAD)
def test_a_bad_adapter_is_rejected_by_the_right_property(what: str) -> None:
    """By each property that is about its fault, with all that shows it."""
    spec, wanted = BAD[what]
    checks = [check for check in CHECKS if wanted & check.properties.keys()]
    subject = AdapterUnderTest(spec, judged=REQUESTS, sizes=Sizes(worlds=400, few=40))
    outcomes = run(subject, checks)
    found = {failure.property: failure for outcome in outcomes for failure in outcome.failures}
    assert wanted <= found.keys(), {name: failure.why for name, failure in found.items()}
    certificate = certify(header_of(subject), [row_of(outcome) for outcome in outcomes], "2026-01-01T00:00:00+00:00")
    assert not certificate.passed
    text = to_text(certificate)
    assert all(f"FAIL {name}:" in text and found[name].why in text for name in wanted)


@pytest.mark.slow
def test_the_good_adapter_passes_on_a_hundred_thousand_pairs() -> None:
    """Of a world and a request, with a new seed each time."""
    sizes = Sizes(worlds=2500, few=500, seed=str(SystemRandom().randrange(2**48)))
    assert sizes.worlds * (sizes.wild + sizes.close) == 100_000
    outcomes = run(AdapterUnderTest(SPEC, judged=REQUESTS, sizes=sizes))
    assert [failure for outcome in outcomes for failure in outcome.failures] == [], sizes.seed
