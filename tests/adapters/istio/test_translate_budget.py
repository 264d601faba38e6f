"""What deciding patterns may take: bounded per unit, equal for equal units, and independent of all other units."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.istio.config import IstioConfig
from adapters.istio.translate import conditions as translate_conditions
from adapters.istio.translate import match as translate_match
from adapters.istio.translate.budget import (
    CHEAP_STEPS,
    MAX_STEPS,
    STEPS_PER_PATTERN,
    UNIT_STEPS,
    ConditionPattern,
    expensive_patterns,
)
from adapters.istio.translate.conditions import matches_of
from adapters.istio.translate.unit import translate
from hub.api import bounded
from hub.model import Access, Grant, HttpMatch, Identity, ObjectRef, RoutePort, Translation, Unit
from hub.regex import HEADER, PATH, RegexRefusedError, header_forms, language, path_forms
from tests.servers.units import route, split

HARD = [f"/{one}?.*{other}.{{9}}" for one, other in product("abcdefghij", "klmnopqrstuvwxyzABCDEFGHIJKLMN")]
"""300 patterns, each of which takes 80 000 steps and some 70 ms."""
EASY = [f"/items{number}/.*" for number in range(40)]
CACHES = (
    translate_match._express,
    translate_match._express_path,
    translate_match._express_header,
    translate_conditions._path,
    translate_conditions._header,
)
LIMIT_S = 8.0
"""CPU time of a unit of 12 KB, on a busy machine; it was 29 s where it takes 2 now."""


def forget() -> None:
    """As in a process that has just started."""
    for cache in CACHES:
        cache.cache_clear()


def access(patterns: Sequence[str], account: str = "api") -> Access:
    """An account with a grant of a match for each pattern."""
    origin = ObjectRef("access.smi-spec.io", "TrafficTarget", "shop", account)
    source = "spiffe://cluster.local/ns/shop/sa/web"
    matches = tuple(HttpMatch(path=pattern) for pattern in patterns)
    grant = Grant(origin, (source,), "TCP", None, http=matches)
    return Access(Identity("cluster.local", "shop", account), (grant,), origins=(origin,))


def conditions(patterns: Sequence[str]) -> Unit:
    """A Service that is split for requests with headers of these patterns."""
    matches = tuple(HttpMatch(headers=((f"x-{number}", pattern),)) for number, pattern in enumerate(patterns))
    return route("api", RoutePort(80, "TCP", "http", (split("s", matches, v1=1),)))


def translated(unit: Unit) -> Translation:
    """What Istio is given."""
    return translate(unit, IstioConfig())


@pytest.mark.thorough
@pytest.mark.parametrize("unit", [access(HARD), conditions(HARD)], ids=["access", "route"])
def test_a_unit_of_hard_patterns_ends_in_time(unit: Unit) -> None:
    """What is beyond the budget grants nothing, and is told with its object."""
    forget()
    started = time.thread_time()
    made = translated(unit)
    assert time.thread_time() - started < LIMIT_S
    refused = [loss for loss in made.losses if loss.code == "regex.too-complex"]
    assert len(refused) > len(HARD) / 2
    assert all("steps" in loss.message and loss.origin.name for loss in refused)
    assert all(loss.access == isinstance(unit, Access) for loss in refused)


@pytest.mark.thorough
def test_easy_patterns_are_granted_beside_hard_ones() -> None:
    """Whatever the hard ones take, and however many there are."""
    (alone, _) = translated(access(EASY)).objects
    (beside, _) = translated(access([*HARD, *EASY])).objects
    assert alone == beside
    assert all(pattern.removesuffix(".*").encode() in beside.body for pattern in EASY)


@pytest.mark.thorough
def test_a_pattern_that_takes_long_is_decided_where_it_is_alone() -> None:
    """The budget narrows crowds only."""
    made = translated(access(HARD[:2]))
    assert {loss.code for loss in made.losses} == {"istio.path-not-expressible"}


@pytest.mark.thorough
def test_units_do_not_depend_on_each_other_or_on_what_was_asked_before() -> None:
    """One by one in a new process, or together in any order: equal objects and losses."""
    units = [access(HARD[:7], "a"), access([*EASY, *HARD[3:9]], "b"), access(HARD[9:1:-1], "c"), conditions(HARD[:7])]
    together = [translated(unit) for unit in units]
    backwards = [translated(unit) for unit in reversed(units)][::-1]
    alone = []
    for unit in units:
        forget()
        alone.append(translated(unit))
    assert together == backwards == alone


@pytest.mark.thorough
def test_the_order_of_matches_says_nothing() -> None:
    """Nor do doubles: it is the set of patterns that has a budget."""
    assert translated(access(HARD[:8])).losses == translated(access([*HARD[7::-1], *HARD[:8]])).losses


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, MAX_STEPS + 20_000)), unique_by=lambda pair: pair[0]))
def test_what_a_unit_takes_is_bounded(costs: list[tuple[int, int]]) -> None:
    """By its number of patterns, whatever they cost."""
    taken = {ConditionPattern("", f"/{number}"): steps for number, steps in costs}
    spent: list[int] = []

    def cost(one: ConditionPattern, limit: int) -> int:
        spent.append(min(taken[one], limit + 1))
        return spent[-1]

    expensive = expensive_patterns((HttpMatch(path=one.pattern) for one in taken), cost)
    assert expensive <= {one for one, steps in taken.items() if steps > CHEAP_STEPS}
    assert sum(spent) <= len(taken) * (CHEAP_STEPS + 1 + STEPS_PER_PATTERN) + UNIT_STEPS + MAX_STEPS + 1
    if sum(steps for steps in taken.values() if steps > CHEAP_STEPS) <= UNIT_STEPS:
        assert expensive == {one for one, steps in taken.items() if steps > CHEAP_STEPS}


@pytest.mark.thorough
@pytest.mark.parametrize("pattern", [HARD[0], EASY[0], r"/[\pL\pN]+/.*", "(?i).*safari.*", r"/(a|b){30}x"])
def test_steps_are_those_of_the_pattern_alone(pattern: str) -> None:
    """However often it was asked about: nothing is remembered within a block."""
    language(pattern, PATH)
    taken = {_steps(pattern, 10**9) for _ in range(3)}
    assert len(taken) == 1
    with pytest.raises(RegexRefusedError, match="steps"):
        _steps(pattern, taken.pop() // 2)


def _steps(pattern: str, limit: int) -> int:
    with bounded(limit) as account:
        path_forms(language(pattern, PATH))
        header_forms(language(pattern, HEADER))
    return account.spent


@pytest.mark.parametrize("headers", [4, 30])
def test_ways_to_say_a_condition_are_counted_before_they_are_made(headers: int) -> None:
    """Sixteen values for each header: of thirty, 10^36 matches."""
    values = r"\x61|" + "|".join("bcdefghijklmnop")
    match = HttpMatch(headers=tuple((f"x-{number}", values) for number in range(headers)))
    found, (objection,) = matches_of(match, 80, text=True)
    assert (found, objection.code) == ([], "limit.exceeded")


@pytest.mark.thorough
def test_very_many_conditions_are_not_compared_with_each_other() -> None:
    """Their number counts once, not squared."""
    started = time.thread_time()
    unit = conditions([f"v{number}" for number in range(6000)])
    assert translated(unit).objects
    assert time.thread_time() - started < LIMIT_S
