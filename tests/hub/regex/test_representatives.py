"""One text for each way in which languages tell texts apart: none too many, none missing."""

from __future__ import annotations

from random import Random

import pytest

from hub.regex import PATH, TEXT, Language, RegexRefusedError, everything, language, representatives

PATTERNS = [
    "/",
    "/.*",
    "/a",
    "/a/.*",
    "/[ab]+",
    ".*b",
    "/v[0-9]+/.*",
    "/(?:a|bc)*",
    "/[^/]+",
    "/[^/]+/x",
    ".*\\.html",
    "/a?b?c?",
    "/.{2,4}",
]


def _signature(text: str, languages: list[Language]) -> frozenset[int]:
    return frozenset(place for place, each in enumerate(languages) if each.holds(text))


def test_each_way_to_be_in_languages_has_a_shortest_text() -> None:
    """All four of two languages that overlap."""
    found = representatives(everything(PATH), [language("/a.*", PATH), language(".*/b", PATH)])
    assert found == {
        frozenset(): "/",
        frozenset({0}): "/a",
        frozenset({1}): "/b",
        frozenset({0, 1}): "/a/b",
    }


def test_what_no_text_is_in_is_left_out() -> None:
    """One language inside another, and one of no text."""
    found = representatives(everything(PATH), [language("/a.*", PATH), language("/ab", PATH), language("b", PATH)])
    assert found == {frozenset(): "/", frozenset({0}): "/a", frozenset({0, 1}): "/ab"}


def test_only_texts_of_the_first_language_are_given() -> None:
    """A class whose texts are all outside is none."""
    within = language("/[a-z]*", PATH)
    assert representatives(within, [language("/[0-9]+", PATH)]) == {frozenset(): "/"}


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(30))
def test_random_texts_find_no_other_class(seed: int) -> None:
    """Whatever texts are tried, each is in a class that was given, and each given text is in its class."""
    rng = Random(seed)
    languages = [language(pattern, PATH) for pattern in rng.sample(PATTERNS, 4)]
    found = representatives(everything(PATH), languages)
    assert all(_signature(text, languages) == holding for holding, text in found.items())
    for each in [*languages, everything(PATH)]:
        texts = each.samples(rng.randrange, 12)
        for text in [next(texts, "/") for _ in range(40)]:
            assert _signature(text, languages) in found, text


def test_languages_of_two_universes_are_refused() -> None:
    """They have no texts in common to speak of."""
    with pytest.raises(ValueError, match="universes"):
        representatives(everything(PATH), [language("a", TEXT)])


@pytest.mark.thorough
def test_too_many_states_are_refused() -> None:
    """Patterns that count letters apart from each other tell ever more texts apart."""
    with pytest.raises(RegexRefusedError, match="too-complex"):
        representatives(everything(PATH), [language(f"/(?:.{{{prime}}})*", PATH) for prime in (13, 17, 19, 23, 29, 31)])
