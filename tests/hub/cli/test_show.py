"""What is printed is what is there: names, patterns and values in lines for people."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from hub.cli.context import OUT, line, wrapped
from hub.cli.show import counted, place, plan_lines, problem_line
from hub.memory.permits import Permit
from hub.model import Change, Identity, NativeObject, ObjectRef, Op, Origin, Problem, Role, UnitKey
from hub.plan.plan import Plan

REF = ObjectRef("", "Service", "shop", "api")


def printed(*texts: object) -> str:
    """What our console writes where it may use colours."""
    out = io.StringIO()
    console = Console(
        file=out, force_terminal=False, soft_wrap=True, highlight=OUT._highlight, emoji=OUT._emoji, markup=OUT._markup
    )
    for text in texts:
        console.print(text)
    return out.getvalue()


@given(st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"])))
def test_line_when_text_is_printable_prints_exactly_it(text: str) -> None:
    """Brackets, colons and backslashes are no markup, no emoji and no escapes, even before a style ends."""
    assert printed(line("a ", (text, "red"), (text, "bold"), " z")) == f"a {text}{text} z\n"


@given(st.text(max_size=20))
def test_line_is_always_one_harmless_line(text: str) -> None:
    """Whatever comes in, no control, no line break and nothing invisible comes out."""
    out = printed(line(text))
    assert out.endswith("\n")
    assert out[:-1].isprintable()


@pytest.mark.parametrize(
    ("source", "file", "number", "expected"),
    [
        (".", "a.yaml", 3, "a.yaml:3: "),
        ("manifests/", "sub/a.yaml", 3, "manifests/sub/a.yaml:3: "),
        ("manifests", "a.yaml", 0, "manifests/a.yaml: "),
        ("one/a.yaml", "a.yaml", 3, "one/a.yaml:3: "),
        ("manifests", "", 0, "manifests: "),
        ("", "", 0, ""),
    ],
)
def test_place_can_be_opened_from_where_one_is(source: str, file: str, number: int, expected: str) -> None:
    """The path of the source, then the file in it; a source that is one file is that file."""
    problem = Problem("a.b", REF, "", "m", "r", Origin(source, file, number))
    assert place(problem) == expected


def test_problem_without_object_and_field_has_no_empty_parts() -> None:
    """A document without a name is told by its place."""
    problem = Problem("object.no-kind", ObjectRef("", "", "", ""), "", "no kind", "add one", Origin(".", "a.yaml", 1))
    assert str(problem_line(problem)) == "error a.yaml:1: no kind (object.no-kind); add one"


@pytest.mark.parametrize(("number", "expected"), [(0, "0 identities"), (1, "1 identity"), (2, "2 identities")])
def test_counted_knows_plurals(number: int, expected: str) -> None:
    """One is not many."""
    assert counted(number, "identity") == expected


def _change(number: int, op: Op = Op.REPLACE) -> Change:
    key = UnitKey("access", "shop", f"a{number:05}")
    ref = ObjectRef("envoy", "Listener", "", f"in/{number}")
    after = NativeObject(ref, Role.GRANT, b"1" * 300, (REF,)) if op is not Op.DELETE else None
    return Change(op, ref, 4, b"0" if op is not Op.CREATE else None, after, key)


def _view(body: bytes, kind: str) -> dict[str, str]:
    return {f"field{number}": body.decode() for number in range(20)}


@pytest.mark.thorough
def test_plan_of_ten_thousand_objects_is_short_and_says_what_is_left_out() -> None:
    """Units and lines are cut, each with the number that is missing; the summary counts all."""
    api = Identity("td", "shop", "api")
    permits = tuple(Permit(api, f"spiffe://td/ns/shop/sa/a{number}", "TCP", None, None, None) for number in range(5000))
    plan = Plan("vms", "t", tuple(map(_change, range(10_000))), gained=permits, lost=permits)
    shown = [str(text) for text in plan_lines(plan, _view, "soon")]
    assert len(shown) < 300
    assert "  ... 9960 more (-v shows all)" in shown
    assert shown.count("    ... 4900 more (-v shows all)") == 2
    assert shown.index("  newly denied (5000)") < shown.index("  open connections until soon")
    assert shown[-1] == "  0 to add, 10000 to change, 0 to delete"


def test_plan_in_all_detail_leaves_nothing_out() -> None:
    """-v has each object, each field, each value to its end."""
    plan = Plan("vms", "t", tuple(map(_change, range(200))))
    shown = [str(text) for text in plan_lines(plan, _view, "", "all")]
    assert sum("field19: 0 -> " + "1" * 300 in text for text in shown) == 200
    assert not any("more" in text for text in shown)


def test_plan_in_short_has_no_native_fields() -> None:
    """Units and how many of their objects change; what the objects hold is for -v."""
    shown = [str(text) for text in plan_lines(Plan("vms", "t", (_change(1),)), _view, "")]
    assert shown[1:] == ["  access/shop/a00001  ~1  from Service/shop/api", "  0 to add, 1 to change, 0 to delete"]


@given(st.lists(st.text("ab/ ", min_size=1, max_size=9), max_size=12), st.integers(0, 6), st.integers(8, 40))
def test_a_line_is_wrapped_without_breaking_or_losing_a_word(words: list[str], begin: int, width: int) -> None:
    """What fits is left alone; else no part is wider than the terminal, unless it is one word, and the words stay in order."""
    text = " " * begin + " ".join(words)
    parts = [part.plain for part in wrapped(line(text), width)]
    assert " ".join(parts).split() == text.split()
    assert all(len(part) <= width or len(part.split()) == 1 for part in parts)
    assert parts == [text] if len(text) <= width else all(part.startswith(" ") for part in parts[1:])


def test_plan_of_a_deletion_says_that_nothing_asks_for_it_any_more() -> None:
    """A deleted object has no cause left to name."""
    shown = [str(text) for text in plan_lines(Plan("vms", "t", (_change(1, Op.DELETE),)), _view, "", "all")]
    assert shown[1:3] == ["  access/shop/a00001  no longer in the sources", "    - Listener/in/1"]
