"""`smihub plan`: what `apply` would write, and what it means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from msgspec import Struct

from hub.cli import saved
from hub.cli.context import (
    ConfigOption,
    Exit,
    MarkdownOutput,
    MarkdownOutputOption,
    MeshOption,
    Output,
    SourceOption,
    emit,
    fail,
    note,
    progress,
    run_now,
)
from hub.cli.markdown import markdown
from hub.cli.meaning import Detail
from hub.cli.page import Page, Sheet, pages_data, show_page
from hub.config.file import DEFAULT_FILE, owner_for
from hub.errors import ConfigError, SmihubError
from hub.meshes import Mesh
from hub.model import Problem, Severity
from hub.plan.guards import OWNER
from hub.reconcile.domains import Domains
from hub.reconcile.hub import Hub, Reviewed

AcceptOption = Annotated[
    list[str] | None,
    typer.Option(
        "--accept", metavar="CODE", help="Accept this code of a guard or Loss once; CODE@OBJECT for one object only."
    ),
]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Show every object and every field.")]


class PlanOptions(Struct, frozen=True):
    """What plan and apply are asked alike: which configuration, which codes to accept, how much to show, which meshes (none: all)."""

    config: Path
    accept: tuple[str, ...]
    detail: Detail
    meshes: tuple[str, ...] = ()


def plan_options(
    config: Path, accept: Sequence[str] | None, verbose: bool, meshes: Sequence[str] | None = None
) -> PlanOptions:
    """The options of plan and apply."""
    return PlanOptions(config, tuple(accept or ()), "all" if verbose else "short", tuple(meshes or ()))


class DomainReview(Struct, frozen=True):
    """What was planned of a domain.

    One that could not be planned has `failed`, `unread` are its meshes that could not be read, and why; both were told then.
    """

    hub: Hub
    reviewed: tuple[Reviewed, ...] = ()
    failed: bool = False
    unread: tuple[tuple[Mesh, SmihubError], ...] = ()

    @property
    def wrong(self) -> bool:
        """Whether anything is an error: the domain itself, a mesh, a file, or an object."""
        if self.failed or self.unread:
            return True
        return any(problem.severity is Severity.ERROR for problem in self.hub.intake.found())

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong with the objects, and what else to know (Hub.remarks)."""
        return () if self.failed else (*self.hub.intake.problems(), *self.hub.remarks(self.reviewed))


def plan(
    config: ConfigOption = Path(DEFAULT_FILE),
    mesh: MeshOption = None,
    accept: AcceptOption = None,
    output: MarkdownOutputOption = MarkdownOutput.TEXT,
    verbose: VerboseOption = False,
    save: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Save the plan to this file, for smihub apply FILE.")
    ] = None,
    source: SourceOption = None,
) -> Exit:
    """Show what would change in every mesh. Exit code 0: nothing, 2: changes, 3: refused, 1: error."""
    if save is not None and source is not None:
        raise ConfigError("--save needs the sources of smihub.yaml, which apply reads too; remove --source")
    return run_now(_plan(plan_options(config, accept, verbose, mesh), output, save, source))


async def _plan(options: PlanOptions, output: MarkdownOutput, file: Path | None, source: str | None) -> Exit:
    async with Domains.open(options.config, source, options.meshes) as domains:
        if file is not None:
            saved.check_place(file, [hub.config for hub in domains.hubs])
            saved.check_meshes(domains, options.meshes)
        reviews = await review(domains, options.accept)
        if output is MarkdownOutput.TEXT:
            show(reviews, options.detail)
        elif output is MarkdownOutput.MARKDOWN:
            markdown(pages_of(reviews))
        else:
            emit(pages_data(pages_of(reviews)), Output(output))
        if file is not None:
            _save(file, reviews)
        for each in reviews:
            _suggest_owner(each)
        return verdict(reviews)


def _save(file: Path, reviews: Sequence[DomainReview]) -> None:
    failed = [f"domain {each.hub.config.title}" for each in reviews if each.failed]
    failed += [f"mesh {mesh.title}" for each in reviews for mesh, _ in each.unread]
    if failed:
        raise ConfigError(f"{', '.join(failed)} could not be planned, so nothing was saved")
    saved.save(file, [(each.hub, each.reviewed) for each in reviews])
    note(_next_step(file, [one for each in reviews for one in each.reviewed]))


def _next_step(file: Path, reviewed: Sequence[Reviewed]) -> str:
    """What a saved plan is good for."""
    if any(each.whole for each in reviewed):
        return f"saved {file}, which smihub apply will refuse for the reasons above"
    return f"saved {file}; apply exactly this plan with smihub apply {file}"


def _suggest_owner(found: DomainReview) -> None:
    """Where no mesh of a domain has an owner yet, smihub.yaml had better get one."""
    refused = {refusal.code for each in found.reviewed for refusal in each.refusals}
    config = found.hub.config
    if not (config.owner or found.failed) and OWNER not in refused:
        place, line = f"domain {config.title}: " if config.title else "", f'owner: "{owner_for(config)}"'
        note(f"{place}this smihub.yaml has no owner, so another one could change its objects; add the line: {line}")


async def review(domains: Domains, accept: Sequence[str]) -> list[DomainReview]:
    """Read the sources and plan every mesh, with progress on a terminal."""
    with progress("reading the sources") as say:
        found = [await _review(hub, accept, say) for hub in domains.hubs]
    lifted = {code for each in found for one in each.reviewed for code in one.lifted}
    for code in sorted(set(accept) - lifted):
        note(f'--accept "{code}" has no effect: nothing here has this code')
    return found


async def _review(hub: Hub, accept: Sequence[str], say: Callable[[str], None]) -> DomainReview:
    """Plan one domain; that one of several cannot be planned is told, and stops none of the others."""
    try:
        hub.read()
        return await _planned(hub, accept, say)
    except SmihubError as error:
        if not hub.config.title:
            raise
        fail(f"domain {hub.config.title}: {error}")
        return DomainReview(hub, failed=True)


async def _planned(hub: Hub, accept: Sequence[str], say: Callable[[str], None]) -> DomainReview:
    """Plan every mesh; one that cannot be read is told, and holds up no other. Raises SmihubError if none can be."""
    reviewed: list[Reviewed] = []
    unread: list[tuple[Mesh, SmihubError]] = []
    for mesh in hub.meshes:
        say(f"planning {mesh.title}")
        try:
            reviewed.append(await hub.plan(mesh, accept))
        except SmihubError as error:
            unread.append((mesh, error))
    if unread and not reviewed:
        raise unread[0][1]
    for mesh, why in unread:
        fail(f"mesh {mesh.title}: {why}")
    return DomainReview(hub, tuple(reviewed), unread=tuple(unread))


def show(found: Sequence[DomainReview], detail: Detail = "short") -> None:
    """Print by domain: Problems on stderr, then every plan, then what refuses it."""
    for page in pages_of(found):
        show_page(page, detail)


def pages_of(found: Sequence[DomainReview]) -> list[Page]:
    """The plans as they are shown, by domain."""
    return [
        Page(each.hub.config.title, tuple(Sheet.of(each.hub, one) for one in each.reviewed), each.problems)
        for each in found
    ]


def verdict(found: Sequence[DomainReview]) -> Exit:
    """The exit code of these plans: refused, else an error if a file or an object is wrong, else changes, else nothing."""
    reviewed = [one for each in found for one in each.reviewed]
    if any(each.refusals for each in reviewed):
        return Exit.REFUSED
    if any(each.wrong for each in found):
        return Exit.ERROR
    return Exit.CHANGES if any(each.plan.changes for each in reviewed) else Exit.SAME
