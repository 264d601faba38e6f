"""Patterns as Linkerd carries them: the same paths in normal form, and no others; values in visible ASCII."""

from __future__ import annotations

import re
from random import Random

import pytest
import re2

from adapters.linkerd.regex import is_anchored, is_shared
from adapters.linkerd.translate.patterns import MAX_STEPS, Pattern, any_path, granted_path, header_value, routed_path
from adapters.linkerd.vocabulary import NORMAL_PATH
from adapters.vm.vocabulary import PATH_GUARD
from hub.api import REJECT_REQUEST, Objection, PathOptions, normalise

STRICT = PathOptions(normalize=True, merge=True, slashes=REJECT_REQUEST)
PIECES = (
    "/",
    "/",
    "a",
    "b",
    ".",
    "..",
    ";",
    "\\",
    "%2e",
    "%2F",
    "%41",
    "%20",
    "%c3%a9",
    "%C0%AF",
    "%",
    "%25",
    "%E0%80",
    "é",
    "~",
    "[",
    "<",
)


def path(pattern: str) -> Pattern | Objection:
    """A granted path."""
    return granted_path(pattern, MAX_STEPS)[0]


@pytest.mark.thorough
def test_normal_paths_are_those_that_the_vm_mesh_lets_pass() -> None:
    """What has another normal form, or what its guard refuses, is none; of the rest only rare escapes are refused besides."""
    random, seen = Random(7), 0
    for _ in range(20_000):
        text = "/" + "".join(random.choice(PIECES) for _ in range(random.randint(0, 6)))
        normal = re.fullmatch(NORMAL_PATH, text) is not None
        guarded = re2.fullmatch(PATH_GUARD, text.encode()) is not None
        assert normal != guarded, text
        if normal:
            seen += 1
            given = re.sub(
                r'["<>^`{|}]', "a", text
            )  # Envoy escapes these where it normalises; no application reads them otherwise
            assert normalise(given.encode(), STRICT) == given.encode()
    assert seen > 1000


@pytest.mark.parametrize(
    ("pattern", "word"),
    [
        ("/v1/books", "/v1/books"),
        ("/v1/books(/[0-9]+)?", "/v1/books(/[0-9]+)?"),
        (r"/users/\d+", "/users/[0-9][0-9]*"),
        ("(?i)/ab", "/[Aa][Bb]"),
        ("^/a$", "/a"),
    ],
)
def test_patterns_that_match_normal_paths_only(pattern: str, word: str) -> None:
    """As they were written, where Linkerd reads them alike; else in explicit classes."""
    found = path(pattern)
    assert isinstance(found, Pattern)
    assert found.words == (word,)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "pattern",
    [
        "/v1/.*",
        r"/v1/.*\.json",
        "/a/[^/]+/b/.*",
        "/api.*",
        "/a/[^/]*",
        "/.+",
        "/a/.*/b/.*",
        ".*/b",
        "/a.*/b",
        r".*\.(png|jpg)",
    ],
)
def test_wildcards_match_normal_paths(pattern: str) -> None:
    """Exactly those that the pattern matches, whatever else it would."""
    found, random = path(pattern), Random(pattern)
    assert isinstance(found, Pattern)
    for _ in range(1500):
        text = "/" + "".join(
            random.choice((*PIECES, "v1/", "api", ".json", "a/", "b/", ".png")) for _ in range(random.randint(0, 6))
        )
        meant = bool(re2.fullmatch(pattern, text)) and re.fullmatch(NORMAL_PATH, text) is not None
        assert any(re2.fullmatch(word, text) for word in found.words) is meant, text


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("pattern", "code"),
    [
        ("/a/../b", "regex"),
        (r"/a/\.\./b", "linkerd.path-not-normal"),
        ("/(a.*b.*c.*d.*){3}", "regex"),
        ("/a.*b.*c.*", "regex.too-large"),
        ("/" + "a" * 1018, "regex"),
        (r"/\C", "regex"),
    ],
)
def test_paths_that_cannot_be_granted(pattern: str, code: str) -> None:
    """Because no normal path matches, or the pattern is too much."""
    found = path(pattern)
    assert isinstance(found, Objection) or pattern == "/a/../b"
    assert isinstance(found, Pattern) or found.code.startswith(code)


@pytest.mark.thorough
@pytest.mark.parametrize("pattern", [".*", "gold.*", "[^,]*", "a|ab", r"\d+", ".*x.*", "(?i)gold"])
def test_header_values(pattern: str) -> None:
    """Those in visible ASCII; blanks at their ends, which HTTP/2 can carry, are no part of them."""
    found, random = header_value("x-a", pattern, MAX_STEPS)[0], Random(pattern)
    assert isinstance(found, Pattern)
    (word,) = found.words
    for _ in range(1500):
        text = "".join(
            random.choice((" ", "\t", "gold", "GOLD", "a", "b", "x", ",", "7", "é"))
            for _ in range(random.randint(0, 5))
        )
        meant = bool(re2.fullmatch(pattern, text.strip(" \t"))) and text.isascii()
        assert bool(re2.fullmatch(word, text)) is meant, text


def test_every_path_needs_no_normal_form() -> None:
    """No application can take one of them for a path that is not granted."""
    assert path(".*") == path("/.*") == any_path()


def test_the_empty_value() -> None:
    """A header may be there and say nothing."""
    found = header_value("x-a", "", MAX_STEPS)[0]
    assert isinstance(found, Pattern)
    assert found.words == (r"[\x{9} ]*",)


@pytest.mark.parametrize(
    ("pattern", "beyond"),
    [("gold", False), (".*", True), ("gold.*", True), ("[a-z]+", False), ("[^,]", True), (" x", False)],
)
def test_values_beyond_ascii(pattern: str, beyond: bool) -> None:  # noqa: FBT001
    """Linkerd never matches them; what is outside of a value does not count."""
    found = header_value("x-a", pattern, MAX_STEPS)[0]
    assert (
        isinstance(found, Objection) if pattern == " x" else isinstance(found, Pattern) and found.beyond_ascii is beyond
    )


def test_paths_of_splits_are_not_guarded() -> None:
    """Where a request goes opens nothing."""
    found = routed_path("/a/.*", MAX_STEPS)[0]
    assert isinstance(found, Pattern)
    assert found.words == ("/a/.*",)


@pytest.mark.parametrize(
    "pattern",
    [
        r"\d",
        "(?i)a",
        "[[:alpha:]]",
        "a{,2}",
        "[a--b]",
        "[a&&b]",
        "[a~~b]",
        r"\pL",
        "(?P<n>a)",
        "^a",
        "a$",
        r"\ba",
        "a**",
        "é",
        "[é]",
        "(",
        "a{1001}",
    ],
)
def test_patterns_that_the_two_engines_may_read_otherwise(pattern: str) -> None:
    """They are never written as they are."""
    assert not is_shared(pattern)


@pytest.mark.parametrize("written", ["^(?:a)|(?:b)$", "^(?:a", "(?:a)$", "a", "^(?:a)b)$", r"^(?:a\)$"])
def test_patterns_that_are_not_anchored(written: str) -> None:
    """The anchors would hold for a part alone, or the first alternative would hide the second."""
    assert not is_anchored(written)
    assert is_anchored("^(?:a|ab)$")
