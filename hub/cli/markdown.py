"""Plans for a pull request: what is won and lost at a glance, everything else folded. Pure text building but for `markdown`.

What users wrote stands in fenced code only, behind a fence longer than any in it: there is no Markdown, HTML, mention or link in a
fence (GitHub Flavored Markdown, "Fenced code blocks"). Outside stand counts, names of meshes, and our own words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from rich.text import Text

from hub.cli.context import emit_text, line
from hub.cli.losses import loss_line, refused_by
from hub.cli.meaning import Causes
from hub.cli.page import Page, Sheet, sheets_of
from hub.cli.show import counted, problem_line, refusal_line, summary, unit_lines, waiting_lines
from hub.memory.permits import Permit, line_of
from hub.model import Severity
from hub.plan.lines import Rerouted

_MOST_CHARS = 60_000
"""GitHub takes comments of 65 536 characters."""
_ROWS = 100
_LONGEST = 400
_TICKS = re.compile(r"`+")


def markdown(pages: Sequence[Page], stale: Sequence[str] = ()) -> None:
    """Print plans as Markdown; `stale` says why they do not hold any more."""
    emit_text(markdown_of(pages, stale))


def markdown_of(pages: Sequence[Page], stale: Sequence[str] = ()) -> str:
    """Plans as Markdown, without the folded parts where it would be too long for a comment."""
    for folded, rows in ((True, _ROWS), (False, _ROWS), (False, _ROWS // 10)):
        text = "\n".join(_blocks(pages, stale, rows, folded=folded)) + "\n"
        if len(text) <= _MOST_CHARS:
            return text
    left = "\n\nThis plan is too long for a comment; see `smihub plan`.\n"
    return "\n".join(_heads(pages))[: _MOST_CHARS - len(left)] + left


def _blocks(pages: Sequence[Page], stale: Sequence[str], rows: int, *, folded: bool) -> Iterator[str]:
    yield from _heads(pages)
    if stale:
        yield from ("", "**This plan is stale:** it will not be applied.", *_fence(stale, rows))
    for sheet in sheets_of(pages):
        yield from _sheet(sheet, rows, folded=folded)
    problems = [problem_line(each).plain for page in pages for each in page.problems]
    if problems:
        yield from _details(f"{counted(len(problems), 'problem')} in the sources", problems, rows)


def _heads(pages: Sequence[Page]) -> Iterator[str]:
    sheets = list(sheets_of(pages))
    gained, lost = (sum(len(getattr(each.plan, name)) for each in sheets) for name in ("allowed", "denied"))
    refused = sum(len(each.refusals) for each in sheets)
    errors = sum(problem.severity is Severity.ERROR for page in pages for problem in page.problems)
    governed = sum(len(each.plan.governs) for each in sheets)
    parts = [f"{governed} newly governed"] if governed else []
    parts += [f"{gained} newly allowed", f"{lost} newly denied"]
    parts += [f"**{refused} refused**"] if refused else []
    parts += [f"**{counted(errors, 'error')}**"] if errors else []
    yield f"### smihub plan: {', '.join(parts)}"


def _sheet(sheet: Sheet, rows: int, *, folded: bool) -> Iterator[str]:
    plan = sheet.plan
    if not sheet.planned:
        yield from ("", f"**mesh `{sheet.title}`**: nothing is planned")
        yield from _fence((refusal_line(each).plain for each in sheet.refusals), rows)
        return
    first = ", first apply" if plan.first else ""
    yield from ("", f"**mesh `{sheet.title}`**: {summary(plan)}{first}")
    if meaning := list(_meaning(sheet, rows)):
        yield from _fence(meaning, 3 * rows, "diff")
    refusing, others = refused_by(plan.losses, sheet.refusals)
    loss_texts = [loss_line(each, sheet.title, sheet.spots.written(each), refuses=True).plain for each in refusing]
    if loss_texts or others:
        yield from ("", "Refused:", *_fence([*loss_texts, *(refusal_line(each).plain for each in others)], rows))
    if not folded:
        return
    accepted = [each for each in plan.losses if each not in set(refusing) and not each.is_unenforced]
    lines = [loss_line(each, sheet.title, sheet.spots.written(each), refuses=False).plain for each in accepted]
    yield from _details(f"Not possible in this mesh, and accepted: {len(lines)}", lines, rows)
    yield from _details("Waiting", _plain(waiting_lines(plan, sheet.refused)), rows)
    objects = list(_plain(unit_lines(plan)))
    yield from _details(f"{counted(len(plan.changes), 'native object')}", objects, rows)


def _meaning(sheet: Sheet, rows: int) -> Iterator[str]:
    plan, causes = sheet.plan, Causes.of(sheet.plan, sheet.spots)
    yield from (f"! let in, although SMI denies it: {each.example}" for each in plan.losses if each.is_unenforced)
    yield from (f"! newly governed: {each.namespace}/{each.name}" for each in plan.governs)
    yield from _permits("+", plan.gained, causes, rows)
    yield from (f"- {text}" for text in plan.lost_lines)
    yield from _permits("-", plan.lost, causes, rows)
    for route in map(Rerouted.of, plan.rerouted):
        yield f"! traffic split {route.head}: {route.before} -> {route.after}"


def _permits(sign: str, permits: Sequence[Permit], causes: Causes, rows: int) -> Iterator[str]:
    """So many gains or losses under their causes, and how many are left out."""
    groups = dict[str, list[Permit]]()
    for permit in permits[:rows]:
        groups.setdefault(causes.reason(permit), []).append(permit)
    for cause, mine in groups.items():
        yield f"# {cause}"
        yield from (f"{sign} {line_of(permit)}" for permit in mine)
    if len(permits) > rows:
        yield f"# ... {len(permits) - rows} more"


def _plain(lines: Iterable[Text]) -> Iterator[str]:
    return (each.plain for each in lines)


def _details(title: str, lines: Iterable[str], rows: int) -> Iterator[str]:
    """A part that is folded; nothing where there are no lines."""
    if found := list(lines):
        yield from ("", f"<details><summary>{title}</summary>", *_fence(found, rows), "", "</details>")


def _fence(lines: Iterable[str], rows: int, language: str = "text") -> Iterator[str]:
    """Lines behind a fence that nothing in them can end."""
    found = list(lines)
    shown = [_short(line(each).plain) for each in found[:rows]]
    longest = max((len(run) for text in shown for run in _TICKS.findall(text)), default=0)
    fence = "`" * max(3, longest + 1)
    more = (f"... {len(found) - rows} more",) if len(found) > rows else ()
    yield from ("", f"{fence}{language}", *shown, *more, fence)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
