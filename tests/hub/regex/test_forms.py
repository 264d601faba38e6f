"""Languages as exact texts, prefixes, suffixes, pairs and templates: exactly, or not at all."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random

import pytest

from hub.regex import (
    HEADER,
    PATH,
    URI_PATH,
    Between,
    Forms,
    Inexpressible,
    RegexRefusedError,
    complement,
    excess,
    header_forms,
    language,
    language_of_forms,
    path_forms,
)
from hub.regex.templates import is_safe

_CORPUS = Path(__file__).parents[3] / "bench" / "patterns.txt"
_SEGMENT = r"[A-Za-z0-9\-._~%!$&'()*+,;:@=]"


def _reads(forms: Forms, text: str) -> bool:
    """What the forms say of a text, read by hand: no automata."""
    if text in forms.exact or any(_matches(template, text) for template in forms.templates):
        return True
    alone = text.startswith(forms.prefixes) or text.endswith(forms.suffixes)
    both = any(text.startswith(one.prefixes) and text.endswith(one.suffixes) for one in forms.between)
    return text not in forms.excepted and (alone or both)


def _matches(template: str, text: str) -> bool:
    quoted = re.escape(template).replace(r"\{\*\*\}", f"(?:{_SEGMENT}|/)*").replace(r"\{\*\}", f"{_SEGMENT}+")
    return re.fullmatch(quoted, text) is not None


@pytest.mark.parametrize(
    ("pattern", "forms"),
    [
        ("/x", Forms(exact=("/x",))),
        ("/(a|b)/c?", Forms(exact=("/a/", "/a/c", "/b/", "/b/c"))),
        (".*", Forms(prefixes=("/",))),
        ("/a.*", Forms(prefixes=("/a",))),
        ("/a(/.*)?", Forms(exact=("/a",), prefixes=("/a/",))),
        ("/v[12]/.*", Forms(prefixes=("/v1/", "/v2/"))),
        ("/files/\\*.*", Forms(prefixes=("/files/*",))),
        (".*/p", Forms(suffixes=("/p",))),
        ("/.*\\.(css|js)", Forms(suffixes=(".css", ".js"))),
        ("/a/.*|.*[.]p", Forms(prefixes=("/a/",), suffixes=(".p",))),
        ("/a.*/p", Forms(between=(Between(("/a",), ("/p",)),))),
        ("/(a|b)/.*[.]p", Forms(between=(Between(("/a/", "/b/"), (".p",)),))),
        ("/users/.+", Forms(prefixes=("/users/",), excepted=("/users/",))),
        ("/a/.*/b", Forms(between=(Between(("/a/",), ("/b",)),), excepted=("/a/b",))),
        ("/aa.*aa", Forms(between=(Between(("/aa",), ("aa",)),), excepted=("/aa", "/aaa"))),
        ("[a-z]", Forms()),
    ],
)
def test_path_language_is_said_exactly(pattern: str, forms: Forms) -> None:
    """Definite languages have forms; the forms mean the language, and a reading by hand agrees."""
    found = language(pattern, PATH)
    assert path_forms(found) == forms
    assert language_of_forms(forms, PATH) == found


@pytest.mark.parametrize(
    ("pattern", "exact", "templates"),
    [
        ("/users/[^/]+/orders", (), ("/users/{*}/orders",)),
        ("/users(/[^/]+)?", ("/users",), ("/users/{*}",)),
        ("/users/[^/]*", ("/users/",), ("/users/{*}",)),
        ("/v1/[^/]+/.*", (), ("/v1/{*}/{**}",)),
        ("/[^/]+/[^/]+/", (), ("/{*}/{*}/",)),
        ("/(en|de)/[^/]+/a", (), ("/de/{*}/a", "/en/{*}/a")),
        ("/u/[^/]+|/v1/.*", (), ("/u/{*}", "/v1/{**}")),
    ],
)
def test_template_is_used_when_it_is_equal_among_declared_letters(
    pattern: str, exact: tuple[str, ...], templates: tuple[str, ...]
) -> None:
    """It never matches more, and it tells which path it misses: one with a letter that no URI path has."""
    found = language(pattern, PATH)
    forms = path_forms(found)
    assert isinstance(forms, Forms)
    assert (forms.exact, forms.templates) == (exact, templates)
    assert excess(language_of_forms(forms, PATH), found) is None
    assert language_of_forms(forms, URI_PATH) == language(pattern, URI_PATH)
    assert forms.narrowed is not None
    assert found.holds(forms.narrowed)
    assert not _reads(forms, forms.narrowed)
    assert isinstance(path_forms(found, PATH), Inexpressible)


@pytest.mark.parametrize(
    "pattern",
    [
        *(
            "/[01]+",
            "/a/[01]+/b",
            ".*ab.*",
            "/a[^/]*",
            "/users/[0-9]+",
            "/users/\\w+",
            "/users/[0-9]+/orders",
            "/(/[^/]+)+",
        ),
        *("/users/[^/.]+", "/users/[a-z0-9-]+/orders", "/a/(bc)*", "/(aa)*", "/users/[A-Za-z0-9._~%!$&'()+,;:@=-]+/o"),
    ],
)
def test_path_language_is_refused_with_two_paths_that_differ_in_the_middle(pattern: str) -> None:
    """One belongs to the language, the other does not; what is common to their ends is on both sides."""
    found = language(pattern, PATH)
    refused = path_forms(found)
    assert isinstance(refused, Inexpressible)
    assert refused.matched is not None
    assert refused.unmatched is not None
    assert found.holds(refused.matched)
    assert not found.holds(refused.unmatched)
    assert refused.unmatched.startswith("/")
    assert refused.matched[-2:] == refused.unmatched[-2:]


@pytest.mark.parametrize("pattern", ["/x/[0-9]{3}", "/.", "/a.?", "/(?:a|b).{3}c.*"])
def test_path_language_is_refused_when_it_takes_too_many_values(pattern: str) -> None:
    """1000 texts are finite, and yet too many."""
    refused = path_forms(language(pattern, PATH))
    assert isinstance(refused, Inexpressible)
    assert "256 values" in refused.reason


@pytest.mark.parametrize("pattern", ["/files/\\*", "/a\\{b", "/\\{.*", "/.*\\}", "/a/.*/\\{b", "/(a|b\\*)"])
def test_path_is_refused_when_a_value_would_mean_something_else(pattern: str) -> None:
    """A star at the edge of an exact text makes it a prefix, a brace begins a template."""
    assert isinstance(path_forms(language(pattern, PATH)), Inexpressible)


@pytest.mark.parametrize(
    ("pattern", "forms"),
    [
        ("gold", Forms(exact=("gold",))),
        (".*", Forms(prefixes=("",))),
        ("gold.*", Forms(prefixes=("gold",))),
        (".*gold", Forms(suffixes=("gold",))),
        ("gold.*|.*silver", Forms(prefixes=("gold",), suffixes=("silver",))),
        ("gold(;.*)?", Forms(exact=("gold",), prefixes=("gold;",))),
    ],
)
def test_header_language_is_said_exactly(pattern: str, forms: Forms) -> None:
    """Exact values, prefixes, suffixes, and presence as the empty prefix."""
    assert header_forms(language(pattern, HEADER)) == forms
    assert language_of_forms(forms, HEADER) == language(pattern, HEADER)


@pytest.mark.parametrize("pattern", [".+", "gold.*silver", "", "a?", "\\*/\\*", "\\*.*", ".*gold.*", "[^,]*"])
def test_header_language_is_refused_without_pairs_and_exceptions(pattern: str) -> None:
    """Two conditions could be met by two lines of one name, an empty value matches nothing, a star is read as a star."""
    assert isinstance(header_forms(language(pattern, HEADER)), Inexpressible)


@pytest.mark.parametrize("text", ["/a/{*}", "/{**}", "/{*}/{**}", "/a/{*}/", "/a/{*}/b-c.d", "/a"])
def test_template_is_safe(text: str) -> None:
    """Shapes that Envoy was seen to read as meant."""
    assert is_safe(text)


@pytest.mark.parametrize(
    "text",
    ["{*}", "{**}", "a/{*}", "{*}/a", "//a/{*}", "/a/{*}//", "/a/{**}/{*}", "/a/{*}*", "/a/x{*}", "/a/{x}", "/a{*}", "/a/*/{*}", "/{**}/z", ""],
)  # fmt: skip
def test_template_is_unsafe(text: str) -> None:
    """Shapes that ended Envoy, or that it read as something else."""
    assert not is_safe(text)


def _corpus() -> list[str]:
    return [line for line in _CORPUS.read_text("utf-8").splitlines() if line and not line.startswith("#")]


def _drawn(random: Random) -> str:
    """A random path pattern of the pieces that matter here."""
    pieces = [
        "/a",
        "/b/",
        "/",
        ".*",
        "[^/]+",
        "[^/]*",
        "[01]",
        "(/.*)?",
        "(a|b)",
        ".",
        "ab",
        "[.]p",
        "/\\*",
        ".+",
        "a?",
        "(/a)*",
    ]
    one = "/" + "".join(random.choice(pieces) for _ in range(random.randint(0, 4)))
    return one if random.random() < 0.7 else f"{one}|{_drawn(random)}"


@pytest.mark.thorough
def test_forms_say_the_language_on_realistic_and_random_patterns() -> None:
    """Texts of the language, of its complement and of the forms: read by hand, forms are never wider, and exact if so told."""
    random = Random(11)
    patterns = [*_corpus(), *(_drawn(random) for _ in range(600))]
    said = 0
    for line in patterns:
        try:
            said += _forms_are_right(line, random)
        except RegexRefusedError as refused:
            assert refused.code == "regex.too-complex"  # noqa: PT017 - most patterns are not refused
    assert said > 300


def _forms_are_right(line: str, random: Random) -> bool:
    universe, pattern = (HEADER, line[8:]) if line.startswith("header: ") else (PATH, line)
    found = language(pattern, universe)
    forms = path_forms(found) if universe == PATH else header_forms(found)
    if isinstance(forms, Inexpressible):
        return False
    meant = language_of_forms(forms, universe)
    assert excess(meant, found) is None
    assert (meant == found) == (forms.narrowed is None)
    for side in (found, meant, complement(found), complement(meant)):
        for text, _ in zip(side.samples(random.randrange, 12), range(8), strict=False):
            assert _reads(forms, text) == meant.holds(text), (pattern, text)
    return True
