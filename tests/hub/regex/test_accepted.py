"""The door to RE2."""

from __future__ import annotations

import pytest

from hub.regex import MAX_PATTERN, error, program_size


@pytest.mark.parametrize(
    "pattern",
    ["", ".*", "/api", r"\b", "^a$", "(?i)a", r"\pL", "a{1000}", "\x00", "é", r"\z", "[[:alpha:]]", r"\Qa.b\E"],
)
def test_pattern_is_accepted_when_re2_takes_it(pattern: str) -> None:
    """What RE2 accepts is accepted."""
    assert error(pattern) is None
    assert program_size(pattern) > 0


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(", "missing ): ("),
        (r"(a)\1", r"invalid escape sequence: \1"),
        ("(?=a)", "invalid perl operator: (?="),
        ("(?<!a)b", "invalid perl operator: (?<!"),
        ("a**", "bad repetition operator: **"),
        ("[z-a]", "invalid character class range: z-a"),
        ("a{1001}", "invalid repetition size: {1001}"),
        (r"(\pL{500}){2}", "pattern too large - compile failed"),
        ("\ud800", "text that is not valid Unicode"),
    ],
)
def test_refusal_is_in_re2s_own_words(pattern: str, words: str) -> None:
    """The reason is RE2's, so that it can be looked up."""
    assert error(pattern) == words
    with pytest.raises(ValueError, match="not a valid RE2 pattern"):
        program_size(pattern)


def test_pattern_is_bounded_before_it_is_compiled() -> None:
    """4096 characters are read, one more is not."""
    assert error("a" * MAX_PATTERN) is None
    assert error("a" * (MAX_PATTERN + 1)) == "longer than 4096 characters"


def test_program_size_grows_with_the_pattern() -> None:
    """It is RE2's instruction count, so a repetition counts as often as it repeats."""
    assert program_size("(?:abcd){100}") - program_size("(?:abcd){50}") >= 200


def test_refusal_says_nothing_on_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    """RE2's own logging stays off."""
    error("(((never-seen-before")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("pattern", [r"\PL{300}", r"\pL{1000}", r"[^\pL]{200}"])
def test_a_short_pattern_that_takes_long_to_compile_is_refused(pattern: str) -> None:
    """Eight characters took RE2 up to half a second; what it may take is an amount of memory, equal everywhere."""
    assert error(pattern) == "pattern too large - compile failed"


@pytest.mark.parametrize(
    "pattern", ["a{1000}", "[a-z0-9-]{1,63}(?:[.][a-z0-9-]{1,63}){1,8}", r"\pL{1,30}", r"[\pL\pN_-]+/.{200}"]
)
def test_what_people_write_still_compiles(pattern: str) -> None:
    """Long repetitions of ASCII, and some letters of any script."""
    assert error(pattern) is None
