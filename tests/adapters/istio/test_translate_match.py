"""HTTP matches in Istio's words: never a request more than the patterns, and a reason for every request less."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from adapters.istio.translate.match import Expressed, MatchAlternative, express
from adapters.istio.translate.values import is_byte_exact, survives_joining, survives_trimming
from hub.api import HEADER, Objection, language
from hub.model import HttpMatch

LETTERS = r"[A-Za-z0-9\-._~%!$&'()*+,;:@=]"


def express_text(match: HttpMatch) -> Expressed:
    """A match where header values are declared to be text."""
    return express(match, text=True)


def means(value: str, text: str) -> bool:
    """What one value of a policy matches: observed on Istio 1.31."""
    if "{" in value:
        words = {"{*}": f"{LETTERS}+", "{**}": f"(?:{LETTERS}|/)*"}
        parts = re.split(r"(\{\*\*?\})", value)
        return re.fullmatch("".join(words.get(part) or re.escape(part) for part in parts), text) is not None
    if value.startswith("*") and value != "*":
        return text.endswith(value[1:])
    return text.startswith(value[:-1]) if value.endswith("*") else text == value


def admits(alternatives: Iterable[MatchAlternative], path: str, lines: tuple[str, ...] = (), query: str = "") -> bool:
    """Whether a request by path, query and lines of the header `x` is in one of the alternatives."""
    return any(_admits(alternative, path, lines, query) for alternative in alternatives)


def _admits(alternative: MatchAlternative, path: str, lines: tuple[str, ...], query: str) -> bool:
    asked = {"request.headers[:path]": (path + query,), "request.headers[x]": lines}
    return (
        (not alternative.paths or any(means(value, path) for value in alternative.paths))
        and not any(means(value, path) for value in alternative.not_paths)
        and all(
            any(means(value, line) for value in one.values for line in asked[one.key]) for one in alternative.conditions
        )
    )


def codes(match: HttpMatch) -> list[str]:
    """Why a match is refused; nothing of it is left then."""
    found = express_text(match)
    assert found.alternatives == ()
    return [objection.code for objection in found.objections]


EXACT = [
    "/a/.*", "/a(/.*)?", r".*\.json", r"/v1/.*\.json", "/a/.+", "/a/.*/b", "(?i)/ab", "/x|/y/.*", "/(a|b)/.*[.]p",
    ".*a", "/a.*a", "/aa.*aa|/b", "(/a)?/b.*", "/.+/", r"/\*.*", r"/.*\*", r"/a\*b.*", ".*", "", "a", r"/a\?b", "/é.*",
]  # fmt: skip
NARROWED = ["/u/[^/]+/o", "/u/[^/]*", "/[^/]+", "/u/[^/]+/.*", "/[^/]+/b"]
TEXTS = st.text(st.sampled_from("ab/.jsonpuxyv1*é"), max_size=8).map(lambda text: f"/{text}")


@pytest.mark.parametrize("pattern", EXACT)
@given(path=TEXTS)
def test_path_when_it_can_be_said(pattern: str, path: str) -> None:
    """The same paths as RE2, whatever the query."""
    found = express_text(HttpMatch(path=pattern))
    assert found.objections == ()
    for query in ("", "?a", "?/v1/x.json"):
        assert admits(found.alternatives, path, query=query) == (re2.fullmatch(pattern, path) is not None)


@pytest.mark.parametrize("pattern", NARROWED)
@given(path=TEXTS)
def test_path_when_a_template_says_it(pattern: str, path: str) -> None:
    """The same paths among those of a URI, no other ones, and the difference is told."""
    found = express_text(HttpMatch(path=pattern))
    assert [objection.code for objection in found.objections] == ["istio.path-narrowed"]
    expected = re2.fullmatch(pattern, path) is not None
    assert admits(found.alternatives, path) == (expected and path.isascii())


@pytest.mark.parametrize(
    "pattern", ["/u/[0-9]+", "/a.b/.*", "/.*a.*b.*", r"/a\*", r"/\{id\}", "/.*[^a]", "/u/[a-z]+/o"]
)
def test_path_when_it_cannot_be_said(pattern: str) -> None:
    """Refused, with a path that is lost for it."""
    (objection,) = express_text(HttpMatch(path=pattern)).objections
    assert codes(HttpMatch(path=pattern)) == ["istio.path-not-expressible"]
    example = objection.example.split('"')[1]
    assert re2.fullmatch(pattern, example)


@pytest.mark.parametrize("pattern", ["gold", "gold.*", ".*gold", ".*", "a|b", "a.*|.*b", "(?i)ab", r".*\*", "é.*"])
@given(lines=st.lists(st.text(st.sampled_from("goldabB*é,"), max_size=5), max_size=3))
def test_header_when_it_can_be_said(pattern: str, lines: list[str]) -> None:
    """One line of any is enough; an absent header never matches."""
    found = express_text(HttpMatch(headers=(("x", pattern),)))
    assert found.objections == ()
    assert admits(found.alternatives, "/", tuple(lines)) == any(re2.fullmatch(pattern, line) for line in lines)


@pytest.mark.parametrize(
    ("pattern", "codes_"),
    [("gold", []), ("a|é", []), ("gold.*", 1), (".*gold", 1), (".*", 1), ("a|b.*", 1), ("[^x]*", 1)],
)
def test_header_when_its_values_may_be_bytes(pattern: str, codes_: int | list[str]) -> None:
    """Beginnings and ends match bytes that are no text, which no policy can rule out: so they grant nothing."""
    found = express(HttpMatch(headers=(("x", pattern),)), text=False)
    assert bool(found.alternatives) == (codes_ == [])
    wanted = {"[^x]*": "istio.header-not-expressible"}.get(pattern, "istio.header-not-text")
    assert [one.code for one in found.objections] == ([wanted] if codes_ else [])


@pytest.mark.parametrize("name", ["x", "accept", "x-tier"])
@pytest.mark.parametrize("pattern", ["a,b", "a,.*", ".*,b"])
def test_header_when_old_sidecars_join_its_lines(name: str, pattern: str) -> None:
    """Sidecars without the fix of CVE-2026-26308 join the lines of every header: the lines a and b are no "a,b"."""
    assert codes(HttpMatch(headers=((name, pattern),))) == ["header.managed"]


def test_header_when_it_is_named_twice() -> None:
    """Two conditions, each of which any line may meet."""
    (alternative,) = express_text(HttpMatch(headers=(("x", "a.*"), ("x", ".*b")))).alternatives
    assert [one.values for one in alternative.conditions] == [("*b",), ("a*",)]
    assert admits([alternative], "/", ("a", "b"))
    assert not admits([alternative], "/", ("a",))


@pytest.mark.parametrize(
    ("name", "pattern", "code"),
    [
        ("x", ".*gold.*", "istio.header-not-expressible"),
        ("x", "", "istio.header-not-expressible"),
        ("x", r"\*/\*", "istio.header-not-expressible"),
        ("x", r"\*.*", "istio.header-not-expressible"),
        ("x", "gold ", "istio.header-not-expressible"),
        ("x", "\tgold", "istio.header-not-expressible"),
        ("x", r"\C*", "regex.too-complex"),
        ("host", "a", "header.managed"),
        (":path", "/a", "header.managed"),
        ("x-envoy-original-path", "/a", "header.managed"),
        ("x-b3-traceid", "1", "header.managed"),
        ("a b", "1", "header.managed"),
        ("accept", "text/html,.*", "header.managed"),
        ("user-agent", ".*, b", "header.managed"),
        ("cookie", "a=1; b=2", "header.managed"),
        ("cookie", ".*; b=2", "header.managed"),
    ],
)
def test_header_when_it_cannot_be_said(name: str, pattern: str, code: str) -> None:
    """Refused: nothing is granted by the match."""
    assert codes(HttpMatch(path="/a", headers=((name, pattern),))) == [code]


@pytest.mark.parametrize(("name", "pattern"), [("accept", "text/html"), ("cookie", "a=1"), ("x_y", "1")])
def test_header_when_it_may_be_said(name: str, pattern: str) -> None:
    """Joined headers by texts that no separator is in; underscores reach the application in Istio."""
    (alternative,) = express_text(HttpMatch(headers=((name, pattern),))).alternatives
    assert [(one.key, one.values) for one in alternative.conditions] == [(f"request.headers[{name}]", (pattern,))]


def test_pieces_when_a_match_has_no_condition() -> None:
    """Any HTTP request, and HTTP only."""
    assert express_text(HttpMatch()).alternatives == (MatchAlternative(("*",)),)


@pytest.mark.parametrize("match", [HttpMatch(methods=()), HttpMatch(path="a"), HttpMatch(headers=(("x", r"\n"),))])
def test_pieces_when_nothing_can_match(match: HttpMatch) -> None:
    """Nothing is said, and nothing is lost."""
    assert express_text(match) == type(express_text(match))()


def test_methods_when_given() -> None:
    """Sorted, once each; a star in one would be read as a pattern."""
    assert express_text(HttpMatch(methods=("POST", "GET", "POST"))).alternatives == (MatchAlternative(("GET", "POST")),)
    assert codes(HttpMatch(methods=("GET", "P*"))) == ["method.nonstandard"]


@given(st.lists(st.text(st.sampled_from("ab, ;"), max_size=3), min_size=1, max_size=3))
def test_values_when_lines_are_joined(lines: list[str]) -> None:
    """Where joining is said to do no harm, a joined value matches only if a line does."""
    for pattern in ("a.*", ".*b", ".*ab.*", "[^,]*", "a|b", "a.*|.*b", "(a|,)*b", "a.*b", ",a.*"):
        for separator in (",", "; "):
            if survives_joining(language(pattern, HEADER), separator) and re2.fullmatch(pattern, separator.join(lines)):
                assert any(re2.fullmatch(pattern, line) for line in lines)


@given(st.text(st.sampled_from("ab \t"), max_size=5))
def test_values_when_outer_blanks_are_cut(value: str) -> None:
    """Where trimming is said to do no harm, what matches does without its blanks."""
    for pattern in ("a.*", ".*b", ".*ab.*", ".*", ".+", "a | a", "[^a]*", "(a b)*", " *a *"):
        if survives_trimming(language(pattern, HEADER)) and re2.fullmatch(pattern, value):
            assert re2.fullmatch(pattern, value.strip(" \t"))


@given(st.text(st.sampled_from("agéſ日K😀"), max_size=5))
def test_values_when_bytes_are_counted(value: str) -> None:
    """Where bytes are said to do no harm, RE2 over bytes gives the same answer."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    for pattern in ("a.*", ".*a", ".*", ".", "..", "[^a]", "[^a]*", "(?i)g+", "(?i)k", ".+", "a.g", r"\w*", "(?:..)*"):
        if is_byte_exact(language(pattern, HEADER)):
            by_bytes = re2.compile(pattern.encode(), options).fullmatch(value.encode())
            assert (by_bytes is not None) == (re2.fullmatch(pattern, value) is not None)


@pytest.mark.thorough
def test_pieces_when_they_would_take_too_much() -> None:
    """One match cannot crowd out the others of its account."""
    words = f"[a-p][a-p]{'z' * 60}"
    assert len(express_text(HttpMatch(headers=(("x", words),))).alternatives) == 1
    assert codes(HttpMatch(headers=tuple((f"x-{n}", words) for n in range(4)))) == ["limit.exceeded"]


def test_objections_when_printed() -> None:
    """Long patterns are cut."""
    (objection,) = express_text(HttpMatch(path="/[0-9]+" + "x" * 500)).objections
    assert isinstance(objection, Objection)
    assert len(objection.message) < 400
