"""The near miss of a failed expectation names what is wrong: flip one field of a request that the example allows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hub.expect.judge import SMI, judge
from hub.expect.read import Expectation, Expected, read
from hub.explain import Explainer
from hub.explaining import explain_folder
from hub.model import Destination, Request, Source
from hub.plugins import installed_plugins

EXAMPLE = Path(__file__).parents[3] / "deploy" / "examples"
WRITTEN = [one for one in read(str(EXAMPLE / "bookshop.test.yaml")) if one.expected.verdict == "allow"]
ORDER = {"method": "POST", "path": "/v1/orders", "headers": (("x-tier", "gold-2"),)}
GOLD = replace(WRITTEN[0], name="only gold", request=replace(WRITTEN[0].request, **ORDER))
"""What a mesh without patterns cannot say, and so is not in the example."""
ALLOWED = [*WRITTEN, GOLD]
NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,12}[a-z0-9]", fullmatch=True)
WORDS: Mapping[str, frozenset[str]] = {
    "method": frozenset({"method"}),
    "path": frozenset({"path"}),
    "headers": frozenset({"header"}),
    "src": frozenset({"caller", "account"}),
    "port": frozenset({"port"}),
    "dst": frozenset({"service"}),
    "protocol": frozenset({"protocol", "port"}),
}
"""By field, the words that name it."""


@pytest.fixture(scope="module", name="explainers")
def both_readings() -> Mapping[str, Explainer]:
    """Of the example."""
    return explain_folder(EXAMPLE / "bookshop", installed_plugins()).explainers


def flips(request: Request) -> st.SearchStrategy[tuple[str, Request]]:
    """The same request with one field changed, and which."""
    web = request.protocol == "http"
    changed: dict[str, st.SearchStrategy[Request]] = {
        "src": NAMES.map(lambda name: replace(request, src=Source(identity=f"shop/{name}"))),
        "port": st.integers(1, 65535).map(lambda port: replace(request, port=port)),
        "dst": NAMES.map(lambda name: replace(request, dst=Destination(service=f"shop/{name}"))),
        "protocol": st.just(replace(request, protocol="tcp" if web else "http")),
    }
    if web:
        changed |= {
            "method": st.sampled_from(["PUT", "DELETE", "PATCH"]).map(lambda name: replace(request, method=name)),
            "path": NAMES.map(lambda name: replace(request, path=f"/{name}")),
        }
    if any(name == "x-tier" for name, _ in request.headers):
        changed["headers"] = NAMES.map(lambda value: replace(request, headers=(("x-tier", value),)))
    return st.one_of(*(st.tuples(st.just(field), strategy) for field, strategy in changed.items()))


def expected(one: Expectation, request: Request) -> Expectation:
    """The same expectation of another request, to be allowed."""
    return replace(one, request=request, expected=Expected("allow"))


@given(data=st.data())
def test_the_near_miss_names_the_field_that_was_flipped(
    explainers: Mapping[str, Explainer], data: st.DataObject
) -> None:
    """Whatever it was changed to, as long as SMI denies it then."""
    one = data.draw(st.sampled_from(ALLOWED))
    field, request = data.draw(flips(one.request))
    failures = [each for each in judge(expected(one, request), explainers).failures if each.who == SMI]
    for failure in failures:
        assert {hurdle.what for miss in failure.near for hurdle in miss.between} & WORDS[field], (field, request)


@pytest.mark.parametrize("field", WORDS)
def test_every_field_can_be_flipped_to_a_deny(explainers: Mapping[str, Explainer], field: str) -> None:
    """So that the property above is about each of them; the nearest one that is told has the word."""
    flipped: dict[str, dict[str, Any]] = {
        "method": {"method": "DELETE"},
        "path": {"path": "/nothing"},
        "headers": {"headers": (("x-tier", "silver"),)},
        "src": {"src": Source(identity="shop/nobody")},
        "port": {"port": 81},
        "dst": {"dst": Destination(service="shop/ledgr")},
        "protocol": {"protocol": "tcp"},
    }
    name = {"headers": "only gold", "dst": "orders writes"}.get(field, "the partner reads")
    one = next(each for each in ALLOWED if each.name.startswith(name))
    (failure,) = [
        each
        for each in judge(expected(one, replace(one.request, **flipped[field])), explainers).failures
        if each.who == SMI
    ]
    assert {hurdle.what for hurdle in failure.near[0].between} & WORDS[field]
