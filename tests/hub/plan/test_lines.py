"""Splits in lines for people: shares in percent, the root by its name, patterns as they are written."""

from __future__ import annotations

from fractions import Fraction

import pytest

from hub.plan.lines import OWN_ENDPOINTS, in_percent, percent


@pytest.mark.parametrize(
    ("routed", "expected"),
    [
        (OWN_ENDPOINTS, "100 % api"),
        ("api-v1 9/10, api-v2 1/10", "90 % api-v1, 10 % api-v2"),
        ("api-v1 1", "100 % api-v1"),
        ("unavailable", "unavailable"),
        ("if GET /x: api-v2 1; api-v1 1", "if GET /x: 100 % api-v2; 100 % api-v1"),
        ("if GET /x: api-v2 1", "if GET /x: 100 % api-v2; else 100 % api"),
        ('if GET "/a 1/2, b": v 1/4, w 3/4', 'if GET "/a 1/2, b": 25 % v, 75 % w; else 100 % api'),
        ('if GET "x; if \\" 1": v 1; w 1', 'if GET "x; if \\" 1": 100 % v; 100 % w'),
    ],
)
def test_a_port_is_told_in_percent(routed: str, expected: str) -> None:
    """Only shares change their form; what stands in quotes is the user's."""
    assert in_percent(routed, "api") == expected


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (Fraction(1, 3), "~33.33 %"),
        (Fraction(1, 8), "12.5 %"),
        (Fraction(333, 1000), "33.3 %"),
        (Fraction(1, 10**9), "<0.01 %"),
        (1 - Fraction(1, 10**9), ">99.99 %"),
        (Fraction(1), "100 %"),
    ],
)
def test_a_share_that_is_rounded_says_so(share: Fraction, expected: str) -> None:
    """Nobody with a share is told as having none, and nobody as having all."""
    assert percent(share) == expected
