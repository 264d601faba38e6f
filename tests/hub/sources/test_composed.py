"""The fast reader of ordinary YAML files says what the event reader says, or nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.sources.composed import ParsedDocument, compose
from hub.sources.limits import DEFAULT_LIMITS, ParseLimits, YamlError
from hub.sources.yaml import documents

ROOT = Path(__file__).parents[3]
PIECES = (
    *(
        "a",
        "b",
        "items",
        "1",
        "1.5",
        "0x1f",
        "true",
        "null",
        "~",
        "yes",
        "010",
        "é",
        "\U0001f600",
        '"q"',
        "'s'",
        '"\\n"',
    ),
    *(
        ": ",
        ":",
        "- ",
        "? ",
        "\n",
        "\n  ",
        "\n    ",
        "\n- ",
        "\n  - ",
        "---\n",
        "...\n",
        "# c\n",
        "|\n  x\n",
        ">-\n  y\n",
    ),
    *("[", "]", "{", "}", ",", "&x ", "*x", "!t ", "<<: ", "%YAML 1.1\n", "\t", " ", "\r\n", "\x85", "\x00", "\ufeff"),
)
"""What a YAML text is glued together from, ordinary and not."""
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abci", max_size=3) | st.just("items"), inner, max_size=4)
    ),
)


def told(parsed: Iterable[ParsedDocument]) -> list[object]:
    """What readers say, so that 1, 1.0 and True differ, and lines are compared by the entries that have them."""
    found: list[object] = []
    for value, line, lines in parsed:
        items = value.get("items") if isinstance(value, dict) else None
        entries = [each for each in items if isinstance(each, dict | list)] if isinstance(items, list) else []
        found.append((repr(value), line, [lines[id(each)] for each in entries]))
    return found


def both(text: str, limits: ParseLimits = DEFAULT_LIMITS) -> str:
    """Hold both readers against each other; what became of the text."""
    fast = compose(text, limits)
    try:
        slow = told(documents(text, limits))
    except YamlError:
        assert fast is None
        return "refused"
    assert fast is None or told(fast) == slow
    return "unusual" if fast is None else "read"


def test_every_manifest_of_the_repository_is_read_alike() -> None:
    """Most of them by the fast reader; goldens are what we write, with patterns as no author writes them."""
    every = [file for folder in ("deploy", "tests") for file in (ROOT / folder).rglob("*.yaml")]
    files = [file for file in every if "goldens" not in file.parts]
    counts = Counter(both(file.read_text(encoding="utf-8", errors="replace")) for file in files)
    assert counts["read"] > 40
    assert counts["read"] > 2 * counts["unusual"]


@settings(max_examples=300)
@given(
    st.lists(VALUES, min_size=1, max_size=3),
    st.sampled_from([{}, {"default_flow_style": True}, {"allow_unicode": True}]),
)
def test_values_are_read_alike(values: list[object], style: dict[str, Any]) -> None:
    """Whatever PyYAML writes, in block and flow style."""
    both(yaml.dump_all(values, Dumper=yaml.SafeDumper, **style))


@pytest.mark.thorough
def test_texts_are_read_alike() -> None:
    """Also what is no YAML; the three outcomes all occur."""
    counts = Counter[str]()

    @settings(max_examples=800)
    @given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
    def search(text: str) -> None:
        counts[both(text)] += 1

    search()
    assert min(counts["read"], counts["unusual"], counts["refused"]) > 10, counts


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, "- " * 100_000, "? " * 60_000, "{a: " * 30_000, "\n".join(" " * n + "a:" for n in range(400))],
)
def test_deep_texts_do_not_reach_the_recursion(text: str) -> None:
    """PyYAML would overflow the stack of the process."""
    assert both(text) == "refused"


@pytest.mark.parametrize("start", ["\r", "# c\r", "a: \r", "\x85", "\u2028", "\u2029", "\ufeff", "a\n---\n\ufeff"])
def test_lines_that_begin_after_no_line_feed_do_not_reach_it_either(start: str) -> None:
    """YAML has more line breaks than one, and takes a byte order mark at the start of any line."""
    assert both(start + "- " * 60_000) == "refused"


def test_lines_of_windows_are_ordinary() -> None:
    """The same values, by the fast reader."""
    assert both("a: |\r\n  x\r\n  y\r\nb: 'c\r\n  d'\r\n") == "read"


@pytest.mark.parametrize(("nodes", "outcome"), [(8, "refused"), (9, "read")])
def test_limits_hold_in_both(nodes: int, outcome: str) -> None:
    """As many nodes as are allowed, and one more."""
    text = "[a, b, c, d, e, f, g, h]"
    assert both(text, ParseLimits(nodes=nodes)).replace("unusual", "read") == outcome


@pytest.mark.parametrize(("depth", "outcome"), [(2, "refused"), (3, "read")])
def test_nesting_is_counted_alike(depth: int, outcome: str) -> None:
    """Three levels."""
    assert both("a: [{b: 1}]", ParseLimits(depth=depth)) == outcome
