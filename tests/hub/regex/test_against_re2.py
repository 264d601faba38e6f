"""The engine agrees with google-re2's full match, on random patterns and on every case that was once found wrong."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from random import Random, SystemRandom

import pytest
import re2
from msgspec import convert, to_builtins

from hub.regex import TEXT, RegexRefusedError, error, language
from tests.hub.regex.patterns import Case, compare, soup

_FOUND = Path(__file__).with_name("found")


def _searched(seed: int, pairs: int) -> tuple[int, list[Case]]:
    """Compare until there are as many pairs; keep what disagrees as a case file."""
    wrong: list[Case] = []
    count = 0
    for case in compare(Random(seed), pairs, 40):
        count += 1
        wrong += [] if case is None else [case]
        if count >= pairs or len(wrong) >= 20:
            break
    if wrong:
        body = json.dumps(to_builtins(wrong), indent=1)
        (_FOUND / f"found-{sha256(body.encode()).hexdigest()[:32]}.json").write_text(body, "utf-8")
    return count, wrong


@pytest.mark.thorough
def test_engine_agrees_with_re2_on_random_pairs() -> None:
    """100 000 pairs of a pattern and a text, half of the texts from the language or near it, half from its complement."""
    count, wrong = _searched(20261121, 100_000)
    assert not wrong
    assert count == 100_000


@pytest.mark.slow
def test_engine_agrees_with_re2_on_a_million_new_pairs() -> None:
    """A seed of its own each time; it is part of the message."""
    seed = SystemRandom().randrange(2**32)
    count, wrong = _searched(seed, 1_000_000)
    assert not wrong, f"seed {seed}"
    assert count == 1_000_000


@pytest.mark.parametrize("file", sorted(_FOUND.iterdir()), ids=lambda file: file.stem)
def test_engine_agrees_on_cases_found_before(file: Path) -> None:
    """Each file is a list of pairs on which the engine was wrong once, or could be."""
    for case in convert(json.loads(file.read_text("utf-8")), list[Case]):
        matched = re2.compile(case.pattern).fullmatch(case.text) is not None
        assert language(case.pattern, TEXT).holds(case.text) == matched, case.pattern


@pytest.mark.thorough
def test_engine_reads_exactly_what_re2_reads() -> None:
    """Random tokens in any order: what RE2 refuses is refused in its words, the rest is read."""
    random = Random(7)
    refused = 0
    for _ in range(3000):
        pattern = soup(random)
        words = error(pattern)
        if words is None:
            language(pattern, TEXT)
            continue
        refused += 1
        with pytest.raises(RegexRefusedError) as refusal:
            language(pattern, TEXT)
        assert (refusal.value.code, refusal.value.reason) == ("regex.invalid", words)
    assert 500 < refused < 2500
