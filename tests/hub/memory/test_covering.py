"""Which HTTP matches let through nothing that another does not, and what of a change of patterns is a gain or a loss."""

from __future__ import annotations

import random
from collections import Counter

import pytest
import re2

from hub.memory.covering import covers
from hub.memory.permits import Standing, gained, line_of, standing
from hub.model import Access, Grant, HttpMatch, Identity, ObjectRef
from tests.hub.regex.patterns import soup

API = Identity("td", "shop", "api")
TARGET = ObjectRef("access.smi-spec.io", "TrafficTarget", "shop", "t")
GET_BOOKS = HttpMatch("/books", ("GET",))


@pytest.mark.parametrize(
    ("outer", "inner", "expected"),
    [
        (HttpMatch("/books|/prices"), HttpMatch("/books"), True),
        (HttpMatch("/books"), HttpMatch("/books|/prices"), False),
        (HttpMatch("/[^/]+"), HttpMatch("/[a-z]+"), True),
        (HttpMatch("/.*"), HttpMatch("/a\nb"), False),  # a dot is no line break
        (HttpMatch(), HttpMatch("/x", ("GET",), (("h", "a"),)), True),
        (HttpMatch("/x"), HttpMatch(), False),
        (HttpMatch(methods=("GET", "POST")), HttpMatch(methods=("GET",)), True),
        (HttpMatch(methods=("GET",)), HttpMatch(), False),
        (HttpMatch(methods=("GET", "PUT")), HttpMatch(methods=("GET", "POST")), False),
        (HttpMatch(headers=(("a", "1"),)), HttpMatch(headers=(("a", "1"), ("b", "2"))), True),
        (HttpMatch(headers=(("a", "1|2"),)), HttpMatch(headers=(("a", "1"),)), False),  # not claimed
        (HttpMatch("(a*b*)*(?:x{1,40}y?){20}"), HttpMatch("(b*a*)*(?:x{1,40}z?){20}"), False),  # too complex
    ],
)
def test_what_covers_what(outer: HttpMatch, inner: HttpMatch, expected: bool) -> None:  # noqa: FBT001 - a table
    """Paths as languages, methods as sets, headers as they are written."""
    assert covers(outer, inner) is expected


@pytest.mark.thorough
def test_what_is_covered_is_matched_by_the_other_too() -> None:
    """Random patterns, held against RE2; among them are many of both kinds."""
    rng, counts = random.Random(5), Counter[str]()
    for _ in range(400):
        one, other = soup(rng), soup(rng)
        for outer, inner in ((one, f"{one}|{other}"), (f"{one}|{other}", one), (one, other)):
            try:
                texts = [text for text in _texts(rng) if re2.fullmatch(inner, text)]
                claimed = covers(HttpMatch(outer), HttpMatch(inner))
                assert not claimed or all(re2.fullmatch(outer, text) for text in texts), (outer, inner)
            except re2.error:
                continue
            counts[f"{claimed} with texts" if texts else str(claimed)] += 1
    assert min(counts["True with texts"], counts["False with texts"]) > 50, counts


def _texts(rng: random.Random) -> list[str]:
    return ["".join(rng.choices("ab/A0-\né", k=rng.randrange(6))) for _ in range(40)]


def state(*matches: HttpMatch) -> Standing:
    """What stands where `web` may send requests that match one of these."""
    return standing(Access(API, grants=(Grant(TARGET, ("spiffe://td/ns/shop/sa/web",), "TCP", None, matches),)))


def gains(before: Standing, after: Standing) -> list[str]:
    """What is permitted only after, without who may."""
    return [line_of(permit).partition(":* ")[2] for permit in gained(API, [before], after)]


def test_a_pattern_that_becomes_wider_takes_nothing_away() -> None:
    """And one that becomes narrower gives nothing; what was there before, or stays, is excepted."""
    narrow, wide = state(GET_BOOKS), state(HttpMatch("/books|/prices", ("GET", "POST")))
    line = "GET,POST /books|/prices except GET /books"
    assert (gains(narrow, wide), gains(wide, narrow)) == ([line], [])


def test_what_stands_beside_and_does_not_change_is_excepted_too() -> None:
    """Removing the wide one of two takes only what the narrow one does not grant."""
    both, narrow = (
        state(HttpMatch("/a.*"), HttpMatch("/a/b"), HttpMatch("/c")),
        state(HttpMatch("/a/b"), HttpMatch("/c")),
    )
    assert gains(narrow, both) == ["any method /a.* except any method /a/b"]
    assert gains(both, narrow) == []


def test_a_redundant_match_is_neither_gained_nor_lost() -> None:
    """What another match grants as well."""
    one, two = state(HttpMatch("/a.*")), state(HttpMatch("/a.*"), HttpMatch("/a/b"))
    assert (gains(one, two), gains(two, one)) == ([], [])


def test_what_only_one_of_the_states_had_is_not_excepted() -> None:
    """Whether it was permitted before, nobody knows."""
    one, other = state(GET_BOOKS), state(HttpMatch("/else"))
    (permit,) = gained(API, [one, other], state(HttpMatch("/books|/prices")))
    assert permit.excepted == ()


def test_what_stands_in_another_state_that_may_be_there_is_a_gain() -> None:
    """Each of the states before must have permitted it."""
    wide, other = state(HttpMatch("/books|/prices", ("GET",))), state(HttpMatch("/else"))
    assert gained(API, [wide, other], state(GET_BOOKS))
    assert not gained(API, [wide, wide], state(GET_BOOKS))


def test_a_pattern_that_is_written_otherwise_is_no_change() -> None:
    """Nobody gains or loses by the order of alternatives."""
    one, other = state(HttpMatch("/a|/b")), state(HttpMatch("/b|/a"))
    assert (gains(one, other), gains(other, one)) == ([], [])


def test_another_caller_does_not_cover() -> None:
    """What one source may send is nothing to another."""
    grant = Grant(TARGET, ("spiffe://td/ns/shop/sa/other",), "TCP", None, (HttpMatch("/books|/prices"),))
    assert gains(standing(Access(API, grants=(grant,))), state(GET_BOOKS)) == ["GET /books"]


def test_of_very_many_changes_none_is_compared() -> None:
    """Each is a gain and a loss, as it is written."""
    before = state(*(HttpMatch(f"/{number}") for number in range(40)))
    after = state(*(HttpMatch(f"/{number}|/x") for number in range(40)))
    assert (len(gains(before, after)), len(gains(after, before))) == (40, 40)
