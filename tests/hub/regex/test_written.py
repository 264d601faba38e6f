"""An automaton written out again means the same, to our engine and to RE2."""

from __future__ import annotations

from random import Random

import pytest
import re2

from hub.regex import (
    HEADER,
    PATH,
    TEXT,
    Language,
    RegexRefusedError,
    difference,
    everything,
    language,
    nothing,
    pattern_of,
    patterns_of,
    union,
)
from tests.hub.regex.patterns import grown

LONG = 4096


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("/a", "/a"),
        ("/(a|b)", "/[ab]"),
        ("/(?:xa|a)", "/x?a"),
        ("/a*", "/a*"),
        (r"/\.", r"/\."),
        ("/[^a]", r"/[^\x{0}- #?a\x{7F}-\x{A0}\x{2028}\x{2029}]"),
        ("/(?i)a", "/[Aa]"),
    ],
)
def test_short_patterns(pattern: str, expected: str) -> None:
    """In explicit classes, without flags."""
    assert pattern_of(language(pattern, PATH), LONG) == expected


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(150))
def test_random_patterns_mean_the_same(seed: int) -> None:
    """Whatever they are made of; RE2 agrees on texts of the language."""
    random = Random(seed)
    meant = _language(random)
    text = None if meant is None else pattern_of(meant, LONG)
    if meant is None or text is None:
        return
    assert language(text, meant.universe) == meant
    for _, one in zip(range(5), meant.samples(random.randrange), strict=False):
        assert re2.fullmatch(text, one)


def _language(random: Random) -> Language | None:
    try:
        return language(grown(random), random.choice((PATH, HEADER, TEXT)))
    except RegexRefusedError:
        return None


@pytest.mark.parametrize(
    ("pattern", "without"),
    [
        ("/v1/(?:[a-y]|z[a-z])+", "/v1/(books|shelves)"),
        ("/(?:x[a-z]*/y[0-9]*/z|w[a-z]*)", "/xyz/y0/z"),
        ("/(?:x[a-z]*[.]b|y)", "/xa[.]b"),
    ],
)
def test_too_long_patterns_come_in_parts(pattern: str, without: str) -> None:
    """Each within the limit, together exactly the language."""
    meant = difference(language(pattern, PATH), language(without, PATH))
    whole = pattern_of(meant, LONG)
    assert whole is not None
    parts = patterns_of(meant, len(whole) - 1)
    assert parts is not None
    assert len(parts) > 1
    assert max(map(len, parts)) < len(whole)
    together = nothing(PATH)
    for part in parts:
        together = union(together, language(part, PATH))
    assert together == meant
    assert patterns_of(meant, len(whole)) == (whole,)


def test_what_cannot_be_written() -> None:
    """Nothing has no pattern, and a limit is one."""
    assert pattern_of(nothing(PATH), LONG) is None
    assert patterns_of(nothing(PATH), LONG) is None
    assert pattern_of(language("/abcdef", PATH), 6) is None
    assert patterns_of(language("/(ab)*c", PATH), 3) is None
    assert pattern_of(everything(TEXT), LONG) is not None
