"""What a Linkerd mesh answers, request by request, as its documentation and a real one say."""

from __future__ import annotations

import pytest

from adapters.linkerd.evaluate.mesh import evaluator
from hub.api import Facts
from hub.testing.conformance.subject import JudgedRequest
from tests.adapters.linkerd.judged import JUDGED


@pytest.mark.parametrize("row", JUDGED, ids=lambda row: f"{row.request.path}-{row.verdict}")
def test_verdict_is_that_of_the_source(row: JudgedRequest, facts: Facts) -> None:
    """Allowed, denied, or mixed where a Service has several backends."""
    assert evaluator(row.objects, facts).judge(row.request).verdict == row.verdict, row.source


def test_the_table_names_its_sources() -> None:
    """At least sixty rows; each is from a page, or from what a real mesh did."""
    assert len(JUDGED) >= 60
    assert all(row.source.startswith(("https://", "observed on Linkerd edge-")) for row in JUDGED)
    assert {row.verdict for row in JUDGED} == {"allow", "deny", "mixed"}


@pytest.mark.parametrize("row", JUDGED, ids=lambda row: f"{row.request.path}-{row.verdict}")
def test_order_of_objects_does_not_matter(row: JudgedRequest, facts: Facts) -> None:
    """A mesh has no order of its objects."""
    assert evaluator(row.objects[::-1], facts).judge(row.request) == evaluator(row.objects, facts).judge(row.request)
