"""Languages: what belongs to them, when they are equal, what is refused."""

from __future__ import annotations

from itertools import product

import pytest
import re2

from hub.regex import (
    HEADER,
    MAX_PATTERN,
    PATH,
    TEXT,
    URI_PATH,
    RegexRefusedError,
    Universe,
    complement,
    difference,
    everything,
    excess,
    intersection,
    language,
    nothing,
    overlap,
    restricted,
    union,
)
from hub.regex.bounds import MAX_STATES
from hub.regex.chars import SCALARS, contains
from hub.regex.named import PERL, POSIX, ask_re2

_SHORT = ["".join(letters) for length in range(6) for letters in product("ab/", repeat=length)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a|b", "[ab]"),
        ("(?:a|b)*", "(?:a*b*)*"),
        ("(ab)*a", "a(ba)*"),
        ("a{2,4}", "aa(?:a(?:a)?)?"),
        ("(?i)k", "[kK\\x{212a}]"),
        (".", "[^\\n]"),
        ("(?s).", "[\\x00-\\x{10ffff}]"),
        ("\\Qa.b\\E", "a\\.b"),
        ("^a$", "a"),
        ("a\\bb", "[^\\x00-\\x{10ffff}]"),
        ("(?m)^a$\\n^b$", "a\\nb"),
        ("\\pL|\\PL", "(?s:.)"),
        ("\\w\\b ", "\\w "),
        ("(?U)a*?", "a*"),
    ],
)
def test_languages_are_equal_when_the_texts_are(one: str, other: str) -> None:
    """Two spellings of one language are one value, and neither has a text more."""
    assert language(one) == language(other)
    assert excess(language(one), language(other)) is None


@pytest.mark.parametrize(
    "pattern", ["a.*", "(a|b)*/", "/a?", ".*ab.*", "[^a]*", "\\ba.*\\Bb", "(a/|b)*", "^/|a$", "(aa)*"]
)
def test_language_holds_what_re2_matches_among_all_short_texts(pattern: str) -> None:
    """Every text of up to five letters of a, b and "/"; the complement has the others."""
    found, inverse = language(pattern), complement(language(pattern))
    for text in _SHORT:
        expected = re2.fullmatch(pattern, text) is not None
        assert found.holds(text) == expected
        assert inverse.holds(text) != expected


@pytest.mark.parametrize(("one", "other"), [("a.*", ".*b"), ("(a|b)*", "(ab)*"), ("/.*", "//?a*"), ("a", "b")])
def test_products_have_the_texts_that_logic_says(one: str, other: str) -> None:
    """Union, intersection and difference, on every short text; representatives are shortest."""
    left, right = language(one), language(other)
    combined = union(left, right), intersection(left, right), difference(left, right)
    more, common = excess(left, right), overlap(left, right)
    for text in _SHORT:
        in_left, in_right = left.holds(text), right.holds(text)
        truth = (in_left or in_right, in_left and in_right, in_left and not in_right)
        assert tuple(each.holds(text) for each in combined) == truth
        assert not truth[1] or (common is not None and len(common) <= len(text))
        assert not truth[2] or (more is not None and len(more) <= len(text))
    assert more is None or (left.holds(more) and not right.holds(more))
    assert common is None or (left.holds(common) and right.holds(common))


def test_containment_names_the_shortest_text_outside() -> None:
    """The neighbour pattern admits one path that the narrower does not."""
    wide, narrow = language("/api/.*", PATH), language("/api/v1/.*", PATH)
    assert excess(narrow, wide) is None
    assert excess(wide, narrow) == "/api/"
    assert overlap(language("/a/[0-9]+", PATH), language("/a/[a-z]+", PATH)) is None


def test_path_universe_has_no_query_control_or_relative_text() -> None:
    """Patterns are cut down to what can be a path."""
    assert language(".*", PATH) == everything(PATH)
    assert language("[^/].*|", PATH) == nothing(PATH)
    assert language(r"/a\?b|/a#|/a b|/a\x00|", PATH).is_empty()
    assert language("/a|b", PATH).shortest() == "/a"
    assert complement(language("/.+", PATH)).shortest() == "/"
    assert not language("/.*", PATH).holds("/a?b")


def test_universes_do_not_mix() -> None:
    """A language of paths is not compared with one of headers; it can be cut down to fewer letters."""
    with pytest.raises(ValueError, match='"path" and "header"'):
        excess(language("a", PATH), language("a", HEADER))
    with pytest.raises(ValueError, match="begin differently"):
        restricted(language("a", PATH), TEXT)
    assert restricted(language("/[^/]+", PATH), URI_PATH) == language("/[^/]+", URI_PATH)


def test_place_conditions_look_at_the_start_of_the_universe() -> None:
    """The fixed start of a path is a neighbour too."""
    assert language("/\\ba", PATH).shortest() == "/a"
    assert language("/\\Ba", PATH).is_empty()
    tail = Universe("tail", "a", SCALARS)
    assert language("a\\bb", tail).is_empty()
    assert language("(?m)a\\n^b", tail).shortest() == "a\nb"


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("pattern", "code", "words"),
    [
        ("(", "regex.invalid", "missing ): ("),
        ("(?=a)", "regex.invalid", "invalid perl operator: (?="),
        ("a" * (MAX_PATTERN + 1), "regex.too-large", "longer than 4096"),
        ("\\C", "regex.too-complex", "a single byte"),
        ("(" * 150 + "a" + ")" * 150, "regex.too-complex", "nests groups"),
        ("(a|b)*a(a|b){12}", "regex.too-complex", "2000 states"),
        ("(?:a?){1000}", "regex.too-complex", "steps"),
        ("(?:(?:abcdefgh){10}){100}[a-z]{500}" * 2, "regex.too-complex", "characters when"),
        ("(?i)" + "".join(f"\\x{{{code:x}}}" for code in range(0x400, 0x420)), "regex.too-complex", "Unicode classes"),
    ],
)
def test_pattern_is_refused_with_a_code_beyond_a_bound(pattern: str, code: str, words: str) -> None:
    """Nothing hangs and nothing is guessed."""
    with pytest.raises(RegexRefusedError, match=code) as refused:
        language(pattern)
    assert refused.value.code == code
    assert words in refused.value.reason


def test_product_is_bounded_like_a_pattern() -> None:
    """Two languages that are small alone may be too much together."""
    one, other = language("(?:.{43})*"), language("(?:.{47})*")
    assert len(one.rows) * len(other.rows) > MAX_STATES
    with pytest.raises(RegexRefusedError, match="states"):
        intersection(one, other)


@pytest.mark.thorough
@pytest.mark.parametrize("name", [*PERL, *POSIX])
def test_ascii_class_is_re2s(name: str) -> None:
    """The classes that are written out are those of RE2, with and without case."""
    spelled = f"\\{name}" if name in PERL else f"[[:{name}:]]"
    assert language(spelled) == language(
        "[" + "".join(_escaped(code) for code in range(128) if _re2(spelled, code)) + "]"
    )
    assert ask_re2(spelled) == (PERL | POSIX)[name]
    for code in (*range(128), 0x17F, 0x212A, 0x130, 0xE9):
        assert language(f"(?i){spelled}").holds(chr(code)) == _re2(f"(?i){spelled}", code)


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["L", "Lu", "N", "Greek", "Han", "Co", "Cf", "M", "^L", "Any", "Zs", "So"])
def test_unicode_class_is_re2s_when_only_landmarks_are_asked(name: str) -> None:
    """Every 97th code point, and both sides of each end of a range."""
    found = ask_re2(f"\\p{{{name}}}")
    edges = {edge + step for pair in found for edge in pair for step in (-1, 0, 1)}
    codes = [code for code in (*range(0, 0x110000, 97), *edges) if contains(SCALARS, code)]
    compiled = re2.compile(f"\\p{{{name}}}")
    assert all((compiled.fullmatch(chr(code)) is not None) == contains(found, code) for code in codes)


def _escaped(code: int) -> str:
    return f"\\x{{{code:x}}}"


def _re2(pattern: str, code: int) -> bool:
    return re2.fullmatch(pattern, chr(code)) is not None
