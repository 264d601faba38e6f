"""Random patterns: what a filter lets pass, SMI's pattern matches, on sidecars of any age.

Old ones (before the fixes of CVE-2026-26308 and CVE-2026-73552) join the lines of every header, and run RE2 over characters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from random import Random, SystemRandom
from typing import Any

import msgspec
import pytest
import re2
from msgspec import Struct

from adapters.istio.config import IstioConfig
from adapters.istio.translate.patterns import expressed
from hub.api import HttpMatch
from tests.adapters.vm.test_pattern_guards import any_pattern, any_value, compiled

_CONFIG = IstioConfig(patterns="envoyfilter")
_BYTES, _CHARACTERS = re2.Options.Encoding.LATIN1, re2.Options.Encoding.UTF8
_SEGMENTS = (
    b"a",
    b"k",
    b"K",
    b"s",
    b"b",
    b"7",
    b"-",
    b".",
    b"x",
    b"%C3%A9",
    b"/",
    b"~",
    "é".encode(),
    b"\xff",
    b"\xc3",
)
_NO_CHARACTERS = (b"\xf4\x90\x80\x80", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xed\xa0\x80")
"""Bytes that RE2 over characters takes for one, and UTF-8 does not."""
_PAIRS_EACH = 12


class Sidecar(Struct, frozen=True):
    """How a generation of sidecars reads headers: its RE2, and whether it joins lines."""

    encoding: Any
    joins: bool


SIDECARS = (Sidecar(_BYTES, False), Sidecar(_BYTES, True), Sidecar(_CHARACTERS, True), Sidecar(_CHARACTERS, False))


@lru_cache(maxsize=4096)
def rules_of(match: HttpMatch) -> Sequence[dict[str, Any]]:
    """The rules of the permission by which a filter says a match; none where it does not."""
    permission = expressed(match, frozenset(), _CONFIG).permission
    found: Sequence[dict[str, Any]] = msgspec.json.decode(permission)["and_rules"]["rules"] if permission else ()
    return found


def passes(match: HttpMatch, values: Sequence[bytes], path: bytes, sidecar: Sidecar) -> bool:
    """Whether the filter of a sidecar allows these header values and this path."""
    seen = [b",".join(values)] if sidecar.joins and values else values
    return all(_holds(rule, seen, path, sidecar.encoding) for rule in rules_of(match))


def _holds(rule: dict[str, Any], values: Sequence[bytes], path: bytes, encoding: Any) -> bool:
    ((kind, inner),) = rule.items()
    if kind == "not_rule":
        return not _holds(inner, values, path, encoding)
    text = inner["path"] if kind == "url_path" else inner["string_match"]
    pattern = compiled(text["safe_regex"]["regex"], encoding)
    return any(pattern.fullmatch(value) for value in ([path] if kind == "url_path" else values))


def smis(pattern: str, value: bytes) -> bool:
    """Whether SMI's pattern matches a value as text, without outer blanks."""
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return bool(compiled(pattern, _CHARACTERS).fullmatch(value.strip(b" \t")))


def patterns(rng: Random, count: int) -> Iterator[str]:
    """Patterns that RE2 takes, several times each."""
    made = 0
    while made < count:
        pattern = any_pattern(rng)
        if compiled(pattern, _CHARACTERS) is not None:
            made += _PAIRS_EACH
            yield from [pattern] * _PAIRS_EACH


def _value(rng: Random) -> bytes:
    return (
        any_value(rng) + (rng.choice(_NO_CHARACTERS) if rng.randrange(4) == 0 else b"") + rng.choice((b"", b"", b"b"))
    )


def search_headers(rng: Random, count: int) -> Counter[str]:
    """Hold each generation of sidecars against SMI; fails on the first value that only a sidecar admits."""
    tally: Counter[str] = Counter()
    for pattern in patterns(rng, count):
        match = HttpMatch(headers=(("x-a", pattern),))
        if not rules_of(match):
            continue
        values = [_value(rng) for _ in range(rng.choice((1, 1, 2, 3)))]
        meant = any(smis(pattern, value) for value in values)
        for sidecar in SIDECARS:
            passed = passes(match, values, b"/", sidecar)
            assert meant or not passed, (pattern, values, sidecar)
            tally[f"{'meant' if meant else 'denied'}, {'passed' if passed else 'refused'}"] += 1
    return tally


def search_paths(rng: Random, count: int) -> Counter[str]:
    """Paths that only a sidecar admits fail; of those in ASCII, what SMI means passes every sidecar, too."""
    tally: Counter[str] = Counter()
    for end in patterns(rng, count):
        match = HttpMatch(path=f"/(?:{end})")
        if compiled(match.path or "", _CHARACTERS) is None or not rules_of(match):
            continue
        path = b"/" + b"".join(rng.choice(_SEGMENTS) for _ in range(rng.randrange(4)))
        meant = smis(match.path or "", path)
        for sidecar in SIDECARS:
            passed = passes(match, (), path, sidecar)
            assert meant or not passed, (match.path, path, sidecar)
            assert passed or not meant or not path.isascii(), (match.path, path, sidecar)
            tally[f"{'meant' if meant else 'denied'}, {'passed' if passed else 'refused'}"] += 1
    return tally


@pytest.mark.thorough
def test_no_header_value_passes_that_is_not_meant() -> None:
    """Fixed seed: flags, negated classes, folding letters, broken UTF-8, blanks, commas, several lines."""
    tally = search_headers(Random("istio guards"), 20_000)
    assert tally["meant, passed"] > 1_500
    assert tally["denied, refused"] > 10_000


@pytest.mark.thorough
def test_paths_pass_exactly_as_they_are_meant() -> None:
    """Fixed seed: also where a pattern had to be written in another way."""
    tally = search_paths(Random("istio paths"), 20_000)
    assert tally["meant, passed"] > 2_000
    assert tally["denied, refused"] > 10_000


@pytest.mark.slow
def test_nothing_passes_that_is_not_meant_in_a_million() -> None:
    """A new seed each time."""
    seed = SystemRandom().randrange(2**48)
    print(f"seed {seed}: {search_headers(Random(seed), 500_000)} {search_paths(Random(seed), 500_000)}")  # noqa: T201
