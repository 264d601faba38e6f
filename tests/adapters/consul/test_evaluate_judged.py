"""What a Consul mesh answers, request by request, as its documentation and a real one say."""

from __future__ import annotations

import pytest

from adapters.consul.config import ENTRY_NAMES, RESOURCE_NAMES
from adapters.consul.evaluate.intentions import Default
from adapters.consul.evaluate.mesh import BOTH, mesh_of
from adapters.consul.names import Names
from hub.api import Facts
from tests.adapters.consul.judged import JUDGED, ROWS, Row
from tests.adapters.consul.native import manifest

ENTRIES, RESOURCES = Names(ENTRY_NAMES), Names(RESOURCE_NAMES)
_DEFAULTS: dict[str, tuple[tuple[Default, ...], ...]] = {
    "deny": (("deny",),),
    "allow": (("allow",),),
    "any": (("deny",), ("allow",), BOTH),
}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.request.path!a}-{row.verdict}-{row.default}")
def test_verdict_is_that_of_the_source(row: Row, facts: Facts) -> None:
    """Allowed, denied, or mixed where a call is shared out; as entries, and as manifests, in any order."""
    for defaults in _DEFAULTS[row.default]:
        judged = mesh_of(row.objects, facts, ENTRIES, defaults).judge(row.request)
        assert judged.verdict == row.verdict, (row.source, defaults)
        manifests = [manifest(one) for one in reversed(row.objects)]
        same = mesh_of(manifests, facts, RESOURCES, defaults).judge(row.request)
        assert (same.verdict, same.weights) == (judged.verdict, judged.weights)


def test_the_table_names_its_sources() -> None:
    """At least sixty rows; each is from a page, or from what a real mesh did."""
    assert len(ROWS) >= 150
    assert len(JUDGED) >= 60
    assert all(row.source.startswith(("https://", "observed on Consul 1.22")) for row in ROWS)
    assert {row.verdict for row in ROWS} == {"allow", "deny", "mixed"}
    assert {row.default for row in ROWS} == {"allow", "deny", "any"}


@pytest.mark.parametrize("row", [one for one in ROWS if one.default != "any"], ids=lambda row: str(row.verdict))
def test_what_one_default_lets_pass_gets_in(row: Row, facts: Facts) -> None:
    """No entry tells what agents do by default, so whoever may get in does."""
    known: tuple[Default, ...] = ("deny", "allow")
    each = [mesh_of(row.objects, facts, ENTRIES, (one,)).judge(row.request).verdict for one in known]
    both = mesh_of(row.objects, facts, ENTRIES).judge(row.request).verdict
    assert both == ("allow" if "allow" in each else "deny")
