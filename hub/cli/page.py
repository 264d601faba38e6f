"""Plans as they are shown, whether they were just made or saved: in lines for people, and as JSON-like data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from rich.text import Text

from hub.cli.context import ERR, line, note, print_lines
from hub.cli.data import SCHEMA, View, in_domain, plan_data, problem_data
from hub.cli.losses import loss_line, loss_lines, refused_by
from hub.cli.meaning import Detail
from hub.cli.places import Locations
from hub.cli.show import counted, plan_lines, problem_line, refusal_line, unplanned_line
from hub.model import Problem, Severity, UnitKey
from hub.plan.guards import OWNER, Refusal
from hub.plan.plan import Plan
from hub.reconcile.hub import Hub, Reviewed


class Sheet(Struct, frozen=True):
    """The plan of one mesh; `domain` is "" where there is only one."""

    domain: str
    plan: Plan
    refusals: tuple[Refusal, ...]
    spots: Locations
    view: View
    drain: str

    @classmethod
    def of(cls, hub: Hub, reviewed: Reviewed) -> Sheet:
        """Of a plan that was just made."""
        mesh, places = reviewed.mesh, reviewed.decided.places
        spots = Locations.of(hub, mesh, reviewed.plan.losses, places)
        return cls(hub.config.title, reviewed.plan, reviewed.refusals, spots, mesh.view, mesh.spec.drain)

    @property
    def title(self) -> str:
        """The mesh, as the command line calls it."""
        return f"{self.domain}/{self.plan.mesh}".removeprefix("/")

    @property
    def refused(self) -> frozenset[UnitKey]:
        """The units whose gains are refused."""
        return frozenset(each.unit for each in self.refusals if each.unit is not None)

    @property
    def planned(self) -> bool:
        """Whether the mesh is ours to change, so that there is a plan."""
        return OWNER not in {refusal.code for refusal in self.refusals}


class Page(Struct, frozen=True):
    """The plans of all meshes of a domain, and what is wrong with its objects."""

    domain: str
    sheets: tuple[Sheet, ...]
    problems: tuple[Problem, ...] = ()


def show_page(page: Page, detail: Detail = "short") -> None:
    """Print: Problems on stderr, then every plan, what its mesh cannot do, and what else refuses it."""
    if page.problems and page.domain:
        ERR.print(line((f"domain {page.domain}", "bold")))
    print_lines(map(problem_line, page.problems), ERR)
    for sheet in page.sheets:
        print_lines(sheet_lines(sheet, detail))
    errors = sum(problem.severity is Severity.ERROR for problem in page.problems)
    if errors:
        note(f"{counted(errors, 'error')} above: what these objects ask for is not granted")


def show_wrong(page: Page) -> None:
    """Print nothing but what is wrong or refused, on stderr."""
    print_lines((problem_line(each) for each in page.problems if each.severity is Severity.ERROR), ERR)
    for sheet in page.sheets:
        lossy, others = refused_by(sheet.plan.losses, sheet.refusals)
        lines = (loss_line(each, sheet.title, sheet.spots.written(each), refuses=True) for each in lossy)
        print_lines(lines, ERR)
        print_lines((refusal_line(each, sheet.title) for each in others), ERR)


def sheet_lines(sheet: Sheet, detail: Detail = "short") -> Iterator[Text]:
    """One mesh."""
    titled = replace(sheet.plan, mesh=sheet.title)
    if not sheet.planned:
        yield unplanned_line(titled)
        yield from map(refusal_line, sheet.refusals)
        return
    yield from plan_lines(titled, sheet.view, sheet.drain, detail, sheet.spots, sheet.refused)
    lossy, others = refused_by(sheet.plan.losses, sheet.refusals)
    yield from loss_lines(titled, lossy, sheet.spots, detail)
    yield from map(refusal_line, others)


def pages_data(pages: Sequence[Page]) -> dict[str, Any]:
    """Plans and Problems as JSON-like data (docs/schemas/plan.json)."""
    return {
        "schema": SCHEMA,
        "problems": [in_domain(page.domain, problem_data(problem)) for page in pages for problem in page.problems],
        "meshes": [in_domain(sheet.domain, _sheet_data(sheet)) for sheet in sheets_of(pages)],
    }


def sheets_of(pages: Iterable[Page]) -> Iterator[Sheet]:
    """Every mesh."""
    return (sheet for page in pages for sheet in page.sheets)


def _sheet_data(sheet: Sheet) -> dict[str, Any]:
    return plan_data(sheet.plan, sheet.view, sheet.refusals, sheet.spots)
