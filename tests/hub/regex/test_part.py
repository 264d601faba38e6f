"""The part of a pattern that can be said without patterns: what repeats is left out, and nothing is added."""

from __future__ import annotations

from random import Random

import pytest

from hub.regex import (
    PATH,
    Inexpressible,
    RegexRefusedError,
    excess,
    language,
    language_of_forms,
    path_forms,
    path_part,
)
from hub.testing.patterns import any_path


@pytest.mark.parametrize(
    ("pattern", "said", "rest"),
    [
        ("/v1/books(/[0-9]+)?", "/v1/books", "/v1/books/0"),
        ("/v1/books|/v1/shelves/[0-9]+", "/v1/books", "/v1/shelves/0"),
        ("/a|/b|/u/[0-9]+", "/a /b", "/u/0"),
        ("/static/.*|/u/[0-9]+", "/static/(?s:.*)", "/u/0"),
        (r"/a\.b(/[0-9]+x)?", r"/a\.b", "/a.b/0x"),
    ],
)
def test_what_does_not_repeat_is_said(pattern: str, said: str, rest: str) -> None:
    """As a pattern of exactly that, with a shortest text of what is left out."""
    found = path_part(language(pattern, PATH))
    assert found is not None
    assert (" ".join(found.patterns), found.rest) == (said, rest)


@pytest.mark.parametrize(
    "pattern", ["/users/[0-9]+", "/[a-z]{3}(/[0-9]+)?", "/a(/b)*", "/{(x|[0-9]+y)", "/a.b/.*", "/.*a.*b.*"]
)
def test_nothing_is_said_where_all_repeats_or_there_is_too_much(pattern: str) -> None:
    """A repetition is in each text, or there are too many of them, or they cannot be written."""
    assert path_part(language(pattern, PATH)) is None


@pytest.mark.thorough
def test_a_part_is_never_wider_and_its_pattern_means_what_its_forms_mean() -> None:
    """Random patterns, beside an optional number: the forms, and the pattern, lie within the pattern that was asked for."""
    met = 0
    for seed in range(400):
        rng = Random(seed)
        asked = f"{any_path(rng)}" if seed % 2 else f"/k(/[0-9]+)?|{any_path(rng)}"
        try:
            whole = language(asked, PATH)
            forms, part = path_forms(whole), path_part(whole)
        except RegexRefusedError:
            continue
        if part is None:
            continue
        met += isinstance(forms, Inexpressible)
        said = language_of_forms(part.forms, PATH)
        assert excess(said, whole) is None, asked
        assert said == language("|".join(part.patterns), PATH), (asked, part.patterns)
    assert met > 20
