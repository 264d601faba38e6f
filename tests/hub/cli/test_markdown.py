"""Plans as Markdown: what users wrote is in fences that it cannot end; the rest is ours."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from hub.cli.data import View
from hub.cli.markdown import _fence, markdown_of
from hub.cli.page import Page, Sheet
from hub.cli.places import Locations
from hub.memory.permits import Permit
from hub.model import HttpMatch, Identity, Loss, ObjectRef, Origin, Problem, UnitKey
from hub.plan.causes import ChangeCause, InputChange
from hub.plan.guards import Refusal
from hub.plan.plan import Plan
from tests.servers.folder import Folder, target

HOSTILE = [
    "</details><script>alert(1)</script>",
    "```\n# heading\n<b>",
    "`````` @everyone #12 https://evil.example ![x](https://evil.example/x.png)",
    "\u202egnp.exe\x1b[31m",
    "| a | b |\n|---|---|",
]


def _view(body: bytes, kind: str) -> dict[str, str]:
    return {}


VIEW: View = _view


def page(text: str, many: int = 1) -> Page:
    """A plan in which everything that comes from users is this text."""
    ref, unit = ObjectRef("g", text, text, text), UnitKey("access", text, text)
    match = HttpMatch(text, (text,), ((text, text),))
    permit = Permit(Identity(text, text, text), text, "TCP", (1,), ((text, text),), match, (ref,))
    loss = Loss("a.b", ref, text, text, text, text, unit=unit)
    plan = Plan(
        "vms",
        "t",
        losses=(loss, Loss("a.c", ref, text, text, text, text, unit=unit)),
        held=(unit,),
        gained=(permit,) * many,
        lost=(permit,) * many,
        lost_lines=(text,),
        governs=(unit,),
        recalled=(ref,),
        rerouted=((f"{text}:1 -> {text} 1", f"{text}:1 -> {text} 1/2"),),
        because=(ChangeCause(unit, ref, (InputChange(ref, "removed", (text,)),)),),
    )
    refusals = (Refusal("a.b", text, text, unit, str(ref)), Refusal("guard.x", text, text))
    problem = Problem("a.d", ref, text, text, text, Origin(text, text, 1))
    return Page("", (Sheet("", plan, refusals, Locations(), VIEW, text),), (problem,))


def outside(text: str) -> tuple[list[str], list[str]]:
    """Of Markdown: the HTML in it, and the text that stands in no fence."""
    tokens = MarkdownIt("commonmark", {"html": True}).parse(text)
    html = [line for token in tokens if token.type == "html_block" for line in token.content.split("\n") if line]
    inline = [token.content for token in tokens if token.type == "inline"]
    return html, inline


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_in_its_fence(text: str) -> None:
    """No HTML but our own, and no word of it outside of a fence."""
    _only_ours(markdown_of([page(text)]))


@given(st.text(st.sampled_from("`~<>/dtails#@![]()|\n\r\t -*_&;:a"), min_size=1, max_size=30))
def test_no_text_gets_out_of_its_fence(text: str) -> None:
    """Whatever it is made of."""
    _only_ours(markdown_of([page(text)]))


@given(st.lists(st.text(st.sampled_from("`~ a"), max_size=8), max_size=6))
def test_a_fence_is_longer_than_any_in_it(lines: list[str]) -> None:
    """Also where a line begins with one."""
    (token,) = MarkdownIt("commonmark").parse("\n".join(_fence(lines, 10)))
    assert (token.type, token.content) == ("fence", "".join(f"{line}\n" for line in lines))


def _only_ours(text: str) -> None:
    html, inline = outside(text)
    assert html == [each for each in html if each == "</details>" or each in _SUMMARIES], html
    assert {each.partition(":")[0] for each in inline} <= {"smihub plan", "**mesh `vms`**", "Refused"}, inline


_SUMMARIES = {
    f"<details><summary>{title}</summary>"
    for title in (
        "Not possible in this mesh, and accepted: 1",
        "Waiting",
        "1 problem in the sources",
        "0 native objects",
    )
}


@pytest.mark.thorough
def test_a_large_plan_fits_a_comment() -> None:
    """GitHub refuses more than 65 536 characters; what is left out is counted."""
    text = markdown_of([page("x" * 3000, 150)] * 2)
    assert len(text) < 65_536
    assert "newly allowed" in text
    middle = markdown_of([page("x" * 100, 1000)])
    assert "... " in middle
    assert " more" in middle
    _only_ours(middle)


def test_of_a_real_plan_the_head_counts_and_the_fence_shows(folder: Folder) -> None:
    """One line that sums it up, then a diff that GitHub colours."""
    folder.run("apply", "--yes")
    folder.write("access.yaml", target("api-from-web", matches="orders"))
    result = folder.run("plan", "-o", "markdown")
    lines = result.stdout.splitlines()
    assert (result.exit_code, lines[0]) == (2, "### smihub plan: 1 newly allowed, 1 newly denied")
    assert lines[2] == "**mesh `vms`**: 0 to add, 2 to change, 0 to delete"
    cause = "# because TrafficTarget/shop/api-from-web was changed (manifests/access.yaml:1)"
    fence = ["```diff", cause, "+ shop/web -> shop/api:* POST /orders", cause, "- shop/web -> shop/api:* GET /books"]
    assert lines[4:10] == [*fence, "```"]
