"""`smihub show`: a saved plan as it was reviewed, and whether it still holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from msgspec import Struct

from hub.cli import saved
from hub.cli.context import (
    ConfigOption,
    Exit,
    MarkdownOutput,
    MarkdownOutputOption,
    Output,
    emit,
    note,
    print_lines,
    run_now,
)
from hub.cli.data import cause_data
from hub.cli.markdown import markdown
from hub.cli.page import Page, Sheet, pages_data, show_page
from hub.cli.places import Locations
from hub.cli.plan import VerboseOption
from hub.cli.show import stale_line
from hub.config.file import DEFAULT_FILE
from hub.errors import ConfigError, RefusedError
from hub.plan.moved import MovedError
from hub.plan.saved import Saved, SavedMesh
from hub.plugins import Plugins, installed_plugins


class PlanValidity(Struct, frozen=True):
    """Whether a saved plan still holds (None: there is no configuration to tell), and if not why."""

    holds: bool | None
    why: RefusedError | None = None


def show(
    file: Annotated[Path, typer.Argument(help="The saved plan.")],
    config: ConfigOption = Path(DEFAULT_FILE),
    output: MarkdownOutputOption = MarkdownOutput.TEXT,
    verbose: VerboseOption = False,
) -> Exit:
    """Show a saved plan, and what changed if apply would not write it any more. Exit code 0: it holds, 3: it does not."""
    plans = saved.read(file)
    found = run_now(_check_validity(config, plans)) if config.exists() else PlanValidity(None)
    pages = _pages(plans)
    if output is MarkdownOutput.TEXT:
        for page in pages:
            show_page(page, "all" if verbose else "short")
        _report(plans, found)
    elif output is MarkdownOutput.MARKDOWN:
        markdown(pages, [] if found.why is None else [str(found.why)])
    else:
        emit({**pages_data(pages), "saved": _saved_data(plans, found)}, Output(output))
    return Exit.REFUSED if found.holds is False else Exit.SAME


async def _check_validity(config: Path, plans: Sequence[Saved]) -> PlanValidity:
    """Look at everything that a saved plan presumes, as apply does; writes nothing."""
    async with saved.open_for(config, plans) as domains:
        try:
            await saved.resume(domains, plans)
        except RefusedError as error:
            return PlanValidity(False, error)
    return PlanValidity(True)


def _report(plans: Sequence[Saved], found: PlanValidity) -> None:
    note(f"this plan was saved at {plans[0].saved_at} by smihub {plans[0].setup.smihub}")
    for each in (one for plan in plans for one in plan.meshes if one.accepted):
        note(f"mesh {each.plan.mesh}: accepted when it was saved: {', '.join(each.accepted)}")
    if found.holds is None:
        note("there is no smihub.yaml here, so it is unknown whether this plan is still valid")
    elif found.why is not None:
        print_lines([stale_line(str(found.why))])


def _saved_data(plans: Sequence[Saved], found: PlanValidity) -> dict[str, Any]:
    accepted = {each.plan.mesh: list(each.accepted) for plan in plans for each in plan.meshes}
    data: dict[str, Any] = {"at": plans[0].saved_at, "smihub": plans[0].setup.smihub, "accepted": accepted}
    why = found.why
    moved = why if isinstance(why, MovedError) else None
    stale = {
        "message": str(why),
        "mesh": moved.mesh or None if moved is not None else None,
        "objects": [cause_data(each, Locations()) for each in moved.changes] if moved is not None else [],
    }
    return {**data, "holds": found.holds, "stale": stale if why is not None else None}


# --------------------------------------------------------------------------- from a file to pages


def _pages(plans: Sequence[Saved]) -> tuple[Page, ...]:
    plugins, several = installed_plugins(), len(plans) > 1
    return tuple(_page(plan, plan.setup.domain if several else "", plugins) for plan in plans)


def _page(plan: Saved, domain: str, plugins: Plugins) -> Page:
    adapters = {each.name: each.adapter for each in plan.setup.meshes}
    sheets = tuple(_sheet(each, domain, adapters[each.plan.mesh], plugins) for each in plan.meshes)
    return Page(domain, sheets, plan.problems)


def _sheet(each: SavedMesh, domain: str, adapter: str, plugins: Plugins) -> Sheet:
    try:
        spec = plugins.adapter(adapter)
        family = plugins.family(spec)
    except ConfigError as error:
        raise ConfigError(f'mesh "{each.plan.mesh}": {error}') from None
    spots = Locations(dict(each.places), dict(each.spots))
    return Sheet(domain, each.plan, each.refusals, spots, family.view, spec.drain)
