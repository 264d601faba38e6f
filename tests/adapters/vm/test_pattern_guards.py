"""Random patterns and bytes: what Envoy's matchers with their guards let pass, RE2 matches as UTF-8 text.

Envoy's side is RE2 over bytes and its joining of lines, on HTTP/1.1 and HTTP/2; tests/adapters/vm/test_bytes_on_envoy.py
holds both against a real Envoy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from random import Random, SystemRandom
from typing import Any

import pytest
import re2
from msgspec import Struct

from adapters.vm import wire
from adapters.vm.translate.match import objections, permission, route_match
from hub.api import NOT_UTF8, HttpMatch

_ATOMS = (
    "a", "k", "s", "K", "S", "b", " ", "\\ ", ".", ".*", ".*", ".+", "[^a]", "[^k]*", "[^s]*", "[^a]*", "[ks]", "[a-z]*", "\\w",
    "\\W", "\\W*", "\\D", "\\D*", "\\S+", "\\s", "\\P{Lu}", "\\pL", "[^\\w]*", "[^\\pL]", "é", "[é]", "€", "(a|b)", "?", "*", "{2}",
    "(?:", "|", ")", "\\.", ",", ";", "\\x{212a}", "\\B", "\\b", "x", ".* ",
    ".* b",
)  # fmt: skip
_FLAGS = ("", "", "", "", "(?i)", "(?i)", "(?s)", "(?U)", "(?is)", "(?i:", "(?Ui)", "(?s-i)")
_PIECES = (
    b" b", b"a", b"k", b"s", b"K", b"b", b" ", b"\t", b"x", b".", b",", b";", b"\xff", b"\xc3", "é".encode(), "€".encode(), "\u212a".encode(),
    "\u017f".encode(), b"\xed\xa0\x80", b"\xf8\x80\x80\x80\xaf",
)  # fmt: skip
_NAMES = ("x-a", "accept", "accept", "cookie")
_JOINED = {"accept": b","}
_PAIRS_EACH = 12


class Trial(Struct, frozen=True):
    """One pattern with the lines (or the path, as the only one) of one request."""

    name: str
    pattern: str
    lines: tuple[bytes, ...]
    http2: bool


def any_pattern(rng: Random) -> str:
    """A few atoms under some flags, whether RE2 takes them or not."""
    flags = rng.choice(_FLAGS)
    body = "".join(rng.choice(_ATOMS) for _ in range(rng.randrange(1, 5)))
    return flags + body + (")" if flags.endswith(":") else "")


def any_value(rng: Random) -> bytes:
    """Some pieces."""
    return b"".join(rng.choice(_PIECES) for _ in range(rng.randrange(4)))


@lru_cache(maxsize=50_000)
def compiled(pattern: str, encoding: Any) -> Any:
    """The pattern over bytes or over characters; None where RE2 refuses it."""
    options = re2.Options()
    options.encoding, options.log_errors = encoding, False
    try:
        return re2.compile(pattern.encode(), options)
    except re2.error:
        return None


def envoys(pattern: str, value: bytes) -> bool:
    """Whether Envoy's RE2 matches the whole value."""
    return bool(compiled(pattern, re2.Options.Encoding.LATIN1).fullmatch(value))


def smis(pattern: str, value: bytes) -> bool:
    """Whether SMI's reading matches the value: as text, without outer blanks."""
    stripped = value.strip(b" \t")
    try:
        stripped.decode()
    except UnicodeDecodeError:
        return False
    return bool(compiled(pattern, re2.Options.Encoding.UTF8).fullmatch(stripped))


def seen_by_envoy(trial: Trial) -> tuple[bytes, ...]:
    """The values of a header as filters see them."""
    lines = trial.lines if trial.http2 else tuple(line.strip(b" \t") for line in trial.lines)
    if trial.name in _JOINED:
        return (_JOINED[trial.name].join(filter(None, lines)),)
    return (b"; ".join(lines),) if trial.name == "cookie" and trial.http2 else lines


def trials(rng: Random, count: int) -> Iterator[tuple[Trial, HttpMatch]]:
    """Header patterns that are translated, with lines on both versions."""
    made = 0
    while made < count:
        name, pattern = rng.choice(_NAMES), any_pattern(rng)
        match = HttpMatch(headers=((name, pattern),))
        if compiled(pattern, re2.Options.Encoding.UTF8) is None or objections(match):
            continue
        for _ in range(_PAIRS_EACH):
            lines = tuple(any_value(rng) for _ in range(rng.choice((1, 1, 1, 2, 3))))
            yield Trial(name, pattern, lines, http2=made % 2 == 1), match
            made += 1


@lru_cache(maxsize=1024)
def conditions(match: HttpMatch) -> Sequence[tuple[str, bool]]:
    """(regex, wanted) of everything that a permission asks of the header, which must say the same as a route's match."""
    found = []
    for rule in permission(match).and_rules.rules[:-1]:
        inner = rule.not_rule.header if rule.HasField("not_rule") else rule.header
        found.append((inner.string_match.safe_regex.regex, not rule.HasField("not_rule")))
    routed = [(one.string_match.safe_regex.regex, not one.invert_match) for one in route_match(match, None).headers]
    assert routed == found
    return found


def passes(match: HttpMatch, values: Sequence[bytes]) -> bool:
    """Whether Envoy lets these values pass: a test holds if any value meets it."""
    return all(any(envoys(regex, value) for value in values) == wanted for regex, wanted in conditions(match))


def search(rng: Random, count: int) -> Counter[str]:
    """Hold Envoy against SMI; fails on the first value that only Envoy admits."""
    tally: Counter[str] = Counter()
    for trial, match in trials(rng, count):
        admitted = any(smis(trial.pattern, line) for line in trial.lines)
        passed = passes(match, seen_by_envoy(trial))
        assert admitted or not passed, trial
        tally[f"{'admitted' if admitted else 'denied'}, {'passed' if passed else 'refused'}"] += 1
    return tally


@pytest.mark.thorough
def test_no_header_value_is_admitted_by_its_bytes_alone() -> None:
    """Fixed seed: flags, folding letters, negated classes, broken UTF-8, blanks and joined lines, on both versions."""
    tally = search(Random("guards"), 40_000)
    assert tally["admitted, passed"] > 3_000
    assert tally["denied, refused"] > 20_000


@pytest.mark.slow
def test_no_header_value_is_admitted_by_its_bytes_alone_in_a_million() -> None:
    """A new seed each time."""
    seed = SystemRandom().randrange(2**48)
    print(f"seed {seed}: {dict(search(Random(seed), 1_000_000))}")  # noqa: T201 - what was measured


def test_path_guard_when_a_byte_is_beyond_ascii() -> None:
    """Whatever the pattern: the guard of access refuses such paths, that of a route looks at the path and not at the query."""
    (guard,) = permission(HttpMatch(path="/.*")).and_rules.rules[1:]
    refused = guard.not_rule.url_path.path.safe_regex.regex
    (header,) = route_match(HttpMatch(path="/.*"), None).headers
    routed = header.string_match.safe_regex.regex
    assert (header.name, header.invert_match) == (":path", True)
    for byte in range(0x80, 0x100):
        assert envoys(refused, b"/a" + bytes([byte]) + b"\n")
        assert envoys(routed, b"/a" + bytes([byte]) + b"?x")
        assert not envoys(routed, b"/a?" + bytes([byte]))
    assert route_match(HttpMatch(path="/[a-z]+"), None) == wire.RouteMatch(
        safe_regex=route_match(HttpMatch(path="/[a-z]+"), None).safe_regex
    )


@pytest.mark.thorough
def test_not_utf8_is_what_cannot_be_decoded() -> None:
    """The guard against broken UTF-8 is exact: it refuses no character."""
    rng, edges = Random("utf8"), bytes.fromhex("00417f808f909fa0bfc0c1c2dfe0e1ecedeeeff0f1f3f4f5f8ff")
    for _ in range(60_000):
        value = bytes(rng.choice(edges) for _ in range(rng.randrange(8)))
        assert envoys(NOT_UTF8, value) == (value.decode(errors="surrogateescape").encode(errors="replace") != value)
