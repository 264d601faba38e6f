"""What of an HTTP match Envoy can say, and the guards that keep bytes and joined lines from widening it."""

from __future__ import annotations

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from adapters.vm import wire
from adapters.vm.translate.match import objections, permission, program_size
from adapters.vm.vocabulary import MAX_PROGRAM_SIZE
from hub.api import JOIN_GUARD, NON_ASCII, NOT_UTF8, OUTER_BLANK, HttpMatch
from hub.rbac import is_byte_exact

_TOKENS = ["a", "b", ".", ".*", ".+", "[ab]", "[^a]", "[^a]*", "(a|b)", "é", "é+", "[é]", "\\.", "\\d", "\\w+", "x?",
           "(?:.+){2}", "$", "^", "|", "{2}", "(?i)", "[^k]*", ",", "; ", " ", "\\x{e9}", "\\pL", "\\C"]  # fmt: skip
_PATTERNS = st.lists(st.sampled_from(_TOKENS), max_size=5).map("".join)
_VALUES = st.text(alphabet="ab.xé€,; 1K\u212a\u017f", max_size=5).map(str.strip)


def _regex(pattern: str, encoding: object) -> re2._Regexp[bytes] | None:  # type: ignore[name-defined,unused-ignore]
    options = re2.Options()
    options.encoding = encoding
    options.log_errors = False
    try:
        return re2.compile(pattern.encode(), options)
    except re2.error:
        return None


@given(_PATTERNS, _VALUES)
def test_pattern_when_it_is_called_byte_exact(pattern: str, value: str) -> None:
    """Such a pattern never matches by bytes what it does not match by characters."""
    characters = _regex(pattern, re2.Options.Encoding.UTF8)
    single_bytes = _regex(pattern, re2.Options.Encoding.LATIN1)
    if characters is None or single_bytes is None or not is_byte_exact(pattern):
        return
    if single_bytes.fullmatch(value.encode()):
        assert characters.fullmatch(value.encode())


@pytest.mark.parametrize(
    "pattern", ["", "gold", "gold.*", ".*", ".+", "v[0-9]+", ".*é.*", "a|b", "(x|y).*", "[a-z]{3}", "\\d+", "(?i)gold"]
)
def test_pattern_when_it_is_ordinary(pattern: str) -> None:
    """Ordinary patterns need no guard against bytes."""
    assert is_byte_exact(pattern)


@pytest.mark.parametrize(
    "pattern", [".", "..", ".+.+", "[^a]", "\\W", "\\pL", "[é]", "é+", "(.+)+", "\\x{e9}", "(?i)é"]
)
def test_pattern_when_it_counts_characters(pattern: str) -> None:
    """Patterns that count characters do not pass for byte-exact."""
    assert not is_byte_exact(pattern)


def conditions(*headers: tuple[str, str]) -> list[object]:
    """The conditions of a permission with these headers, without the guards of paths and against broken UTF-8."""
    shown = view_of(permission(HttpMatch(headers=headers)))
    broken = [{"not_rule": value(name, NOT_UTF8)} for name, _ in headers]
    return [one for one in shown["and_rules"]["rules"][:-1] if one not in broken]


def view_of(message: wire.Message) -> dict[str, dict[str, list[object]]]:
    """A message as JSON-like data."""
    shown: dict[str, dict[str, list[object]]] = wire.to_json(message)
    return shown


def value(name: str, pattern: str) -> dict[str, object]:
    """A header condition as JSON-like data."""
    return {"header": {"name": name, "string_match": {"safe_regex": {"regex": pattern}}}}


@pytest.mark.parametrize("pattern", ["a", ".*a.*", "a.*", ".*a", ".*", "^a.*$", "(?i).*a\\.b.*"])
def test_joined_header_when_its_pattern_survives_joining(pattern: str) -> None:
    """Text that occurs, begins or ends needs no guard: it is in one of the joined lines."""
    assert conditions(("user-agent", pattern)) == [value("user-agent", pattern)]


@pytest.mark.parametrize("pattern", ["a.*b", "a|b", ".*a,b.*", "[ab]+,?", "a?b"])
def test_joined_header_when_its_pattern_may_match_across_lines(pattern: str) -> None:
    """Other patterns hold only for values that are certainly one line."""
    assert conditions(("user-agent", pattern)) == [value("user-agent", pattern), value("user-agent", JOIN_GUARD)]
    assert conditions(("x-plain", pattern)) == [value("x-plain", pattern)]


@pytest.mark.parametrize("pattern", [" ", ".* b", ".* b.*", "a .*", r".*\ b"])
def test_joined_header_when_its_pattern_has_an_outer_blank(pattern: str) -> None:
    """A blank at the edge of a text may be the outer blank of a line, which is no part of the line's value."""
    assert value("accept", JOIN_GUARD) in conditions(("accept", pattern))


@pytest.mark.parametrize(
    ("pattern", "guard"),
    [
        ("gold.*", NOT_UTF8),
        (".+", NOT_UTF8),
        ("[^x]*", NOT_UTF8),
        ("(?i)gold.*", NOT_UTF8),
        ("é.*", NOT_UTF8),
        ("(?i)[^k]*", NON_ASCII),
        ("(?i:[^s]*)", NON_ASCII),
        ("(?Ui)[^k]*", NON_ASCII),
        (r"(?is)[^\w]*", NON_ASCII),
        (r"\W", NON_ASCII),
        (r"\P{Lu}", NON_ASCII),
        ("gold", None),
        ("(?i)gold", None),
        ("goldé|b", None),
        (r"[a-z]+\d", None),
    ],
)
def test_header_when_its_pattern_matches_bytes(pattern: str, guard: str | None) -> None:
    """Broken UTF-8 matches nothing; where bytes give another answer than characters, neither does a character."""
    shown = list(view_of(permission(HttpMatch(headers=(("x-a", pattern),))))["and_rules"]["rules"])
    guards = [{"not_rule": value("x-a", one)} for one in (NOT_UTF8, NON_ASCII)]
    assert [one for one in shown if one in guards] == ([{"not_rule": value("x-a", guard)}] if guard else [])


def test_header_when_its_pattern_counts_characters() -> None:
    """A negative guard, so that no second line of ASCII can stand in for the first."""
    guards = [{"not_rule": value("x-a", NON_ASCII)}, {"not_rule": value("x-a", OUTER_BLANK)}]
    assert conditions(("x-a", "..")) == [value("x-a", ".."), *guards]


def test_header_when_its_pattern_is_empty() -> None:
    """Envoy refuses an empty regex: the same in another spelling."""
    assert conditions(("x-a", "")) == [value("x-a", "(?:)")]


@pytest.mark.parametrize(
    ("match", "codes"),
    [
        (HttpMatch(headers=(("x_a", "b"),)), ["header.underscored"]),
        *[(HttpMatch(headers=((name, "b"),)), ["header.managed"]) for name in (
            "host", ":path", ":authority", "x-request-id", "x-forwarded-proto", "x-forwarded-for", "te", "connection",
            "content-length", "transfer-encoding", "expect", "upgrade", "x-forwarded-client-cert", "x-envoy-anything",
            "", "a b", "x-é", "a:b")],
        (HttpMatch(headers=(("cookie", "a.*b"),)), ["header.managed"]),
        (HttpMatch(headers=(("cookie", ".*; b.*"),)), ["header.managed"]),
        (HttpMatch(headers=(("cookie", ".*id=1.*"),)), []),
        (HttpMatch(headers=(("user-agent", "a.*b"), ("x-a", ".."))), []),
        (HttpMatch(path="/(?:[a-z]{40}x?){900}"), ["regex.too-large"]),
        (HttpMatch(headers=(("x-a", "(?:[a-z]{40}x?){900}"),)), ["regex.too-large"]),
        (HttpMatch(path="/("), ["regex.too-large"]),
        (HttpMatch(path="(?i)/\u017f"), ["regex.not-ascii"]),
        (HttpMatch(path="/a(?si:\\x{17f})"), ["regex.not-ascii"]),
        (HttpMatch(headers=(("x-a", "(?i)\u00e9"),)), ["regex.not-ascii"]),
        (HttpMatch(path="(?i)/abc"), []),
        (HttpMatch(path="/\u00e9"), []),
        (HttpMatch(path="/\ud800"), ["regex.too-large"]),
        (HttpMatch(path="/[a-z]{500}"), []),
        (HttpMatch(path="/a", headers=(("host", "x"), ("x_y", "a"))), ["header.managed", "header.underscored"]),
    ],
)  # fmt: skip
def test_objections_when_a_match_cannot_be_said(match: HttpMatch, codes: list[str]) -> None:
    """Each thing that Envoy cannot say has its code; what it can say has none."""
    assert [objection.code for objection in objections(match)] == codes


def test_objection_when_its_pattern_is_long() -> None:
    """A hostile pattern does not fill the screen."""
    (objection,) = objections(HttpMatch(path="/(?:[a-z]{40}x?){900}" + "x" * 100_000))
    assert len(objection.message) < 200


def test_program_size_when_bytes_are_counted() -> None:
    """Sizes are those of Envoys' compilers, over bytes and over characters: whichever is more."""
    assert program_size("[a-z]{95}") == 99
    assert program_size(".{200}") == 1604
    assert (program_size(r"/\pL{1,100}") or 0) > MAX_PROGRAM_SIZE  # 806 over bytes


@pytest.mark.parametrize("pattern", [".+", ".b", "[^a].*", " b", "[ab ]", r"\sb", r"\Wb"])
def test_header_when_its_pattern_may_take_an_outer_blank(pattern: str) -> None:
    """Over HTTP/2 Envoy keeps blanks outside of a value; what may need one to match is guarded."""
    assert {"not_rule": value("x-a", OUTER_BLANK)} in conditions(("x-a", pattern))


@pytest.mark.parametrize("pattern", ["gold", "gold.*", ".*b", "[^a]*b", "[a-c]+|x?", r"a\.b", "(?i)ab"])
def test_header_when_its_pattern_passes_over_outer_blanks(pattern: str) -> None:
    """Whatever matches with outer blanks matches without them: no guard is needed."""
    assert conditions(("x-a", pattern)) == [value("x-a", pattern)]
