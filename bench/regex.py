"""How long the engine takes to decide about a pattern: `python bench/regex.py [repetitions]` (default 3).

For each pattern of patterns.txt, in this process: read and compile it, compare it with its neighbour in the list (both
containments), find its forms. Nothing is remembered between patterns but RE2's Unicode tables, after the first question.
CPU time of this thread; the best of the repetitions counts, the worst is shown beside. The named baseline, in the same run,
is google-re2's compilation of the same pattern. Then patterns made to be hard: each must be decided, or refused, in time.
Exit 1 if a pattern takes longer than 50 ms, or a hard one longer than 250 ms.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import re2

from hub.regex import (
    HEADER,
    PATH,
    Forms,
    Language,
    RegexRefusedError,
    Universe,
    bounded,
    excess,
    header_forms,
    language,
    path_forms,
)

LIMIT_MS, HARD_LIMIT_MS = 50.0, 250.0
HARD = (
    "/(a|b)*a(a|b){12}",
    "/(a|b)*a(a|b){400}",
    "/.*a.{11}",
    "/(?:(?:(?:a{9}b?){9}c?){9}d?)",
    "/(?:a?){1000}",
    "/(?:a?){500}(?:a*){500}",
    "/(?:[a-z]{1,63}\\.){1,15}x",
    "/(.*a.*b.*c.*d.*e.*f.*g.*h.*)",
    "/(.*a|.*b.|.*c..|.*d...|.*e....|.*f.....)g",
    "/[0-9]{1000}",
    "/[^/]{0,1000}",
    "/(?:\\pL\\pN?){50}",
    "/(?i)(?:[\\pL\\p{Greek}]|\\p{Han}){200}",
    "/" + "|/".join(f"\\p{{{name}}}" for name in ("Greek", "Han", "Latin", "Cyrillic", "Thai", "Arabic", "Hebrew")),
    "/" + "(" * 90 + "a" + "b?)*" * 90,
    "/" + "a" * 4000,
    "/(?:" + "|".join(f"item-{number}/.*" for number in range(250)) + ")",
    "/(?:" + "|".join(f"{number}" for number in range(700)) + ")",
    "/(?:\\b.\\B?){300}",
    "/(?:\\pL(?:a|b)(?:(?:/[a-z]/[^/]x?[a-z][a-z]\\d+(?i:k).){60}b.)\\w[^/]){3}",
    "/(?:x?\\d+(?:a|b)\\d+[^/]*.*a.*[0-9a-f]){7}(?:\\b[a-z][0-9a-f]\\pL){9}",
    "/" + "".join(map(chr, range(0x4E00, 0x4E00 + 4000))),
    "/.*(?:a.*b|b.*a).*(?:c.*d|d.*c).*x{30}",
)


class Row(NamedTuple):
    """One pattern: milliseconds to decide (best and worst run), milliseconds of RE2's compilation, and what came out."""

    pattern: str
    best: float
    worst: float
    re2: float
    outcome: str


def corpus() -> list[tuple[Universe, str]]:
    """Universe and pattern of each line."""
    lines = Path(__file__).with_name("patterns.txt").read_text("utf-8").splitlines()
    plain = [line for line in lines if line and not line.startswith("#")]
    return [(HEADER, line[8:]) if line.startswith("header: ") else (PATH, line) for line in plain]


def decide(pattern: str, other: str, universe: Universe) -> str:
    """Everything that a plan may ask about one pattern; what came out, in a word."""
    try:
        one, two = language(pattern, universe), language(other, universe)
        excess(one, two)
        excess(two, one)
        return outcome(one)
    except RegexRefusedError as refused:
        return refused.code


def outcome(one: Language) -> str:
    """Whether forms say the language."""
    forms = path_forms(one) if one.universe == PATH else header_forms(one)
    if not isinstance(forms, Forms):
        return "inexpressible"
    return "exact" if forms.narrowed is None else "template"


def milliseconds(work: Callable[[], object]) -> float:
    """How long one call takes."""
    re2.purge()
    started = time.thread_time()
    with bounded(sys.maxsize):  # in there nothing is remembered
        work()
    return 1e3 * (time.thread_time() - started)


def measured(pattern: str, other: str, universe: Universe, repetitions: int) -> Row:
    """One row."""
    decide(pattern, other, universe)  # the first question about a Unicode class asks RE2's tables
    runs = [milliseconds(lambda: decide(pattern, other, universe)) for _ in range(repetitions)]
    compiled = [milliseconds(lambda: re2.compile(pattern)) for _ in range(repetitions)]
    return Row(pattern, min(runs), max(runs), min(compiled), decide(pattern, other, universe))


def main() -> int:
    """Measure everything and print it."""
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    lines = corpus()
    neighbours = [other for _, other in lines[1:]] + [lines[0][1]]
    rows = [measured(text, other, where, repetitions) for (where, text), other in zip(lines, neighbours, strict=True)]
    report(rows)
    hard = [measured(pattern, "/.*", PATH, 1) for pattern in HARD]
    print("\npatterns made to be hard\n      ms  outcome            pattern")
    for row in hard:
        print(f"{row.best:8.1f}  {row.outcome:17}  {row.pattern[:80]}")
    slow = sum(row.best > LIMIT_MS for row in rows) + sum(row.best > HARD_LIMIT_MS for row in hard)
    print(f"\nbeyond the limits of {LIMIT_MS:.0f} ms and {HARD_LIMIT_MS:.0f} ms: {slow}")
    return 1 if slow else 0


def report(rows: list[Row]) -> None:
    """Percentiles, the slowest, what came out, and the ratio to RE2's compilation."""
    times = sorted(row.best for row in rows)
    ratios = sorted(row.best / row.re2 for row in rows)
    print(f"{len(rows)} patterns: compile, two containments, forms; milliseconds")
    for share in (50, 90, 99, 100):
        at = max(0, len(rows) * share // 100 - 1)
        print(f"  p{share:<3} {times[at]:8.2f} ms   {ratios[at]:8.1f} times google-re2's compilation of the pattern")
    print(f"  worst single run {max(row.worst for row in rows):.2f} ms")
    outcomes = {row.outcome for row in rows}
    print("  " + ", ".join(f"{one}: {sum(row.outcome == one for row in rows)}" for one in sorted(outcomes)))
    print("slowest")
    for row in sorted(rows, key=lambda row: -row.best)[:8]:
        print(f"{row.best:8.2f} ms  RE2 {row.re2:6.3f} ms  {row.outcome:17}  {row.pattern[:90]}")


if __name__ == "__main__":
    sys.exit(main())
