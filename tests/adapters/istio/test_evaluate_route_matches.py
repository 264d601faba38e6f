"""A match of a route takes the requests that Istio's Envoys take."""

from __future__ import annotations

from typing import Any

import pytest

from tests.adapters.istio.routes import V1, V2, Json, shares, split, to, vs
from tests.adapters.istio.test_evaluate_workloads import (
    call,
    judged,
)

MATCHES: list[tuple[Json, list[Json], list[Json]]] = [
    ({"uri": {"regex": "/u/[0-9]+"}}, ["/u/7", "/u/7?x=a", "/u/%37"], ["/u/a", "/u/7/", "/x/u/7"]),
    ({"uri": {"regex": "/[[:digit:]]+"}}, ["/1"], ["/a"]),
    ({"uri": {"regex": r"/\d+"}}, ["/1"], ["/a"]),
    ({"uri": {"prefix": "/a"}}, ["/a", "/ab", "/a/b"], ["/b"]),
    ({"uri": {"prefix": "/a/"}}, ["/a/"], ["/a"]),
    ({"uri": {"exact": "/a"}}, ["/a", "/a?x"], ["/a/", "/A"]),
    ({"uri": {"prefix": "/"}}, ["/", "/a"], []),
]


TIERS: list[tuple[Json, list[tuple[str, ...]], list[tuple[str, ...]]]] = [
    ({"exact": "gold"}, [("gold",), ("guest", "gold"), ("gold", "guest")], [("guest,gold",), (), ("",), ("Gold",)]),
    ({"prefix": "gold"}, [("gold1",), ("guest", "gold")], [("guest,gold",), ()]),
    ({"regex": "gold"}, [("gold",), ("guest", "gold")], [("gold1",), ("guest,gold",), ()]),
    ({"regex": ".*gold.*"}, [("guest,gold",), ("gold",)], [("",), ()]),
    ({"regex": ".*"}, [("",), ("x",)], [()]),
    ({}, [("",), ("x",)], [()]),
    ({"regex": "*"}, [("",), ("x",)], [()]),
    ({"exact": ""}, [("",)], [("x",), ()]),
]


@pytest.mark.parametrize(("match", "good", "bad"), MATCHES)
def test_uri_is_matched_without_query(match: Json, good: list[str], bad: list[str]) -> None:
    """Regexes match the whole path, after normalisation."""
    objects = [vs(split(to("web-v1"), **match), split(to("web-v2")))]
    assert [shares(objects, call(path)) for path in good] == [V1] * len(good)
    assert [shares(objects, call(path)) for path in bad] == [V2] * len(bad)


@pytest.mark.parametrize(("test", "good", "bad"), TIERS)
def test_header_lines_are_matched_one_by_one(test: Json, good: Any, bad: Any) -> None:
    """One line is enough; `withoutHeaders` is the opposite, an absent header counting as an empty one."""
    asked = [vs(split(to("web-v1"), headers={"X-Tier": test}), split(to("web-v2")))]
    without = [vs(split(to("web-v1"), withoutHeaders={"x-tier": test}), split(to("web-v2")))]
    for values in (*good, *bad):
        request = call(headers=tuple(("x-tier", value) for value in values))
        assert shares(asked, request) == (V1 if values in good else V2)
        if values:
            assert shares(without, request) == (V2 if values in good else V1)


@pytest.mark.parametrize(
    ("test", "wanted"), [({"exact": "gold"}, V1), ({"exact": ""}, V2), ({}, V1), ({"regex": ".*"}, V2)]
)
def test_absent_header_without(test: Json, wanted: Json) -> None:
    """Present tests ask for absence, others see an empty value."""
    assert shares([vs(split(to("web-v1"), withoutHeaders={"x-tier": test}), split(to("web-v2")))]) == wanted


def test_method_and_several_matches() -> None:
    """`method` exact GET is neither HEAD nor POST; one of the matches is enough, each with all it asks."""
    either = [{"port": 8080, "method": {"exact": "GET"}, "uri": {"exact": "/a"}}, {"uri": {"exact": "/b"}}]
    objects = [vs({"match": either, "route": [to("web-v1")]}, split(to("web-v2")))]
    asked = [call("/a"), call("/a", method="HEAD"), call("/a", method="POST"), call("/b", method="POST"), call("/c")]
    assert [shares(objects, request) for request in asked] == [V1, V2, V2, V1, V2]


def test_joined_lines_and_wide_characters_are_told() -> None:
    """Where Envoy's joining, or its reading of bytes, leads another way than single lines would."""
    objects = [vs(split(to("web-v1"), headers={"user-agent": {"exact": "a"}}), split(to("web-v2")))]
    steered = judged(objects, call(headers=(("user-agent", "a"), ("user-agent", "b"))))
    assert (steered.weights, steered.losses) == (V2, ("header.rejected",))
    straight = judged(objects, call(headers=(("user-agent", "c"), ("user-agent", "b"))))
    assert (straight.weights, straight.losses) == (V2, ())
    one = [vs(split(to("web-v1"), headers={"x-tier": {"regex": "."}}), split(to("web-v2")))]
    wide = judged(one, call(headers=(("x-tier", "é"),)))
    assert (wide.weights, wide.losses) == (V2, ("header.rejected",))


def test_a_good_line_beside_one_that_no_route_takes_is_told() -> None:
    """`withoutHeaders` asks all lines, so one of bytes that are no UTF-8 takes the others with it."""
    match = {"headers": {"x-tier": {}}, "withoutHeaders": {"x-tier": {"regex": r"(?s).*[\x80-\xff].*"}}}
    both = judged(
        [vs(split(to("web-v1"), **match), split(to("web-v2")))], call(headers=(("x-tier", ""), ("x-tier", "\udcff")))
    )
    assert (both.weights, both.losses) == (V2, ("header.rejected",))
