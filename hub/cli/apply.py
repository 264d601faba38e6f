"""`smihub apply`: write what `plan` shows, or what a saved plan says."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from msgspec import Struct
from msgspec.structs import replace

from hub.cli import saved
from hub.cli.context import (
    ConfigOption,
    Exit,
    MeshOption,
    Output,
    OutputOption,
    agreed,
    emit,
    fail,
    note,
    progress,
    run_now,
)
from hub.cli.data import in_domain
from hub.cli.page import pages_data, show_page, show_wrong
from hub.cli.plan import AcceptOption, DomainReview, PlanOptions, VerboseOption, pages_of, plan_options, review, verdict
from hub.cli.show import summary
from hub.config.file import DEFAULT_FILE
from hub.errors import ConfigError, SmihubError, StaleError
from hub.meshes import Mesh
from hub.model import UnitKey
from hub.plan.plan import Plan
from hub.plan.saved import Saved
from hub.reconcile.domains import Domains
from hub.reconcile.hub import Hub, Reviewed
from hub.status.journal import Journal
from hub.status.outcomes import Result
from hub.status.record import Actor, Record

Confirmation = Literal["ask", "given"]
OutputStyle = Literal["lines", "quiet", "data"]
"""How it is told: the plan and what became of it in lines; nothing but what is wrong or refused; as one document."""

_LEFT = {
    "revision": "nothing of its plan was written",
    "objects": "its plan may be partly written, which is safe to apply as it is; smihub plan shows what is left",
}
"""What a mesh whose plan could not be written has of it, by what its sink promises."""


class Applied(Struct, frozen=True):
    """What became of the plan of one mesh, and of the units that were not written to their end."""

    domain: str
    mesh: str
    result: Literal["written", "unchanged", "refused", "partial", "stale", "failed", "declined"]
    message: str = ""
    units: tuple[tuple[UnitKey, Result], ...] = ()

    def data(self) -> dict[str, Any]:
        """As JSON-like data."""
        units = [{"unit": str(key), "state": each.state, "detail": each.detail} for key, each in self.units]
        found = {"mesh": self.mesh, "result": self.result, "message": self.message, "units": units}
        return in_domain(self.domain, found)


class ApplyOptions(Struct, frozen=True):
    """What is asked for: the options of plan, whether it was confirmed, and how it is told."""

    plan: PlanOptions
    confirmation: Confirmation
    style: OutputStyle
    output: Output

    def show(self, reviews: Sequence[DomainReview]) -> None:
        """Show what is about to be written."""
        pages = pages_of(reviews)
        if self.style == "lines":
            for page in pages:
                show_page(page, self.plan.detail)
        elif self.style == "quiet":
            for page in pages:
                show_wrong(page)
        sys.stdout.flush()  # if nobody can read it any more, nothing is written

    def note(self, text: str) -> None:
        """Say something beside the data, where the output is text."""
        if self.style == "lines":
            note(text)

    def end(self, reviews: Sequence[DomainReview], applied: Sequence[Applied]) -> None:
        """Print what became of it, where the output is data."""
        if self.style == "data":
            emit({**pages_data(pages_of(reviews)), "applied": [each.data() for each in applied]}, self.output)


def apply(
    file: Annotated[Path | None, typer.Argument(help="Apply exactly this plan, saved by smihub plan --save.")] = None,
    config: ConfigOption = Path(DEFAULT_FILE),
    mesh: MeshOption = None,
    accept: AcceptOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    output: OutputOption = Output.TEXT,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Only print errors and refusals; requires --yes.")
    ] = False,
    verbose: VerboseOption = False,
) -> Exit:
    """Plan, show the plan, ask, and write it; refused plans are not written. Exit code 0 only if everything was."""
    plan = plan_options(config, accept, verbose, mesh)
    style: OutputStyle = "quiet" if quiet else "lines" if output is Output.TEXT else "data"
    if style != "lines" and not yes:
        raise ConfigError("--quiet and -o do not show the plan, so they require --yes")
    options = ApplyOptions(plan, "given" if yes else "ask", style, output)
    return run_now(_apply(options) if file is None else _apply_saved(file, options))


async def _apply(options: ApplyOptions) -> Exit:
    async with Domains.open(options.plan.config, meshes=options.plan.meshes) as domains:
        with _journals(domains) as journals:
            reviews = await review(domains, options.plan.accept)
            options.show(reviews)
            return await _carry_out(reviews, options, journals)


Journals = Mapping[Hub, Journal]


@contextmanager
def _journals(domains: Domains) -> Iterator[Journals]:
    with ExitStack() as stack:
        journals = {hub: Journal(Record(hub.config.state, note), Actor.here("apply")) for hub in domains.hubs}
        for journal in journals.values():
            stack.callback(journal.close)
        yield journals


async def _carry_out(reviews: Sequence[DomainReview], options: ApplyOptions, journals: Journals) -> Exit:
    """Write what is not refused, once somebody agreed; 3 if anything was refused, else 1 if something failed."""
    refused = Exit.REFUSED if verdict(reviews) is Exit.REFUSED else Exit.SAME
    whole = [(each.hub, one) for each in reviews for one in each.reviewed if one.whole]
    for hub, one in whole:
        journals[hub].refused(one)
    applied = [Applied(hub.config.title, one.mesh.name, "refused", one.whole[0].message) for hub, one in whole]
    applied += [_unread(each.hub, mesh, error, journals[each.hub]) for each in reviews for mesh, error in each.unread]
    plans = [one.plan for each in reviews for one in each.reviewed if not one.whole]
    if refused and not any(plan.changes or plan.memory for plan in plans):
        options.note("nothing was written")
        options.end(reviews, [*applied, *_unchanged(reviews)])
        return refused
    if _declined(plans, options.confirmation):
        return Exit.ERROR
    for each in reviews:
        applied += await _write(each, options, journals[each.hub])
    options.end(reviews, applied)
    failed = any(each.result in {"failed", "stale", "partial"} for each in applied)
    return refused or (Exit.ERROR if failed or any(each.wrong for each in reviews) else Exit.SAME)


def _unchanged(reviews: Sequence[DomainReview]) -> list[Applied]:
    names = ((each.hub.config.title, one.mesh.name) for each in reviews for one in each.reviewed if not one.whole)
    return [Applied(domain, mesh, "unchanged") for domain, mesh in names]


async def _apply_saved(file: Path, options: ApplyOptions) -> Exit:
    """Write a saved plan: all that it presumes is looked at before the first write, and again after an answer."""
    if options.plan.accept:
        raise ConfigError("--accept cannot be used with a saved plan; use it with smihub plan --save")
    if options.plan.meshes:
        raise ConfigError("--mesh cannot be used with a saved plan; use it with smihub plan --save")
    plan = saved.read(file)
    async with saved.open_for(options.plan.config, plan) as domains:
        with _journals(domains) as journals:
            reviews = await _resumed(domains, plan)
            options.show(reviews)
            _report(plan, domains, options)
            if options.confirmation == "ask":
                if _declined([one.plan for each in reviews for one in each.reviewed], options.confirmation):
                    return Exit.ERROR
                # Again after the answer: somebody may have thought for an hour, and the mesh has not waited.
                reviews = await _resumed(domains, plan)
            return await _carry_out(reviews, replace(options, confirmation="given"), journals)


async def _resumed(domains: Domains, plan: Sequence[Saved]) -> list[DomainReview]:
    return [DomainReview(hub, tuple(reviewed)) for hub, reviewed in await saved.resume(domains, plan)]


def _report(plan: Sequence[Saved], domains: Domains, options: ApplyOptions) -> None:
    """Say when a plan was saved, and what somebody accepted then."""
    options.note(f"this plan was saved at {plan[0].saved_at} by smihub {plan[0].setup.smihub}")
    for hub, each in zip(domains.hubs, plan, strict=True):
        accepted = {one.plan.mesh: one.accepted for one in each.meshes if one.accepted}
        for mesh in (mesh for mesh in hub.meshes if mesh.name in accepted):
            options.note(f"mesh {mesh.title}: accepted when it was saved: {', '.join(accepted[mesh.name])}")


def _declined(plans: Sequence[Plan], confirmation: Confirmation) -> bool:
    if (
        confirmation == "given"
        or not any(plan.changes for plan in plans)
        or agreed("Apply this plan?", "review the plan, then rerun with --yes")
    ):
        return False
    note("nothing was written")
    return True


async def _write(found: DomainReview, options: ApplyOptions, journal: Journal) -> list[Applied]:
    """Write the plan of every mesh that is not refused; one that fails does not stop the others."""
    accept = options.plan.accept
    applied = []
    for each in (one for one in found.reviewed if not one.whole):
        journal.planned(each)
        journal.accepted(each, each.lifted.intersection(accept))
        try:
            with progress(f"writing {each.mesh.title}"):
                results = await found.hub.apply(each.mesh, each.plan, (*accept, *each.lifted))
        except SmihubError as error:
            applied.append(_failed(found.hub, each, error, journal))
            continue
        journal.wrote(each, results)
        applied.append(_written(found.hub, each, results))
        if applied[-1].result == "written":
            options.note(f"mesh {each.mesh.title}: applied, {summary(each.plan)}")
    return applied


def _unread(hub: Hub, mesh: Mesh, error: SmihubError, journal: Journal) -> Applied:
    """A mesh that could not be planned, which was told then."""
    journal.problem(mesh.name, (), "failed", str(error))
    return Applied(hub.config.title, mesh.name, "failed", str(error))


def _failed(hub: Hub, each: Reviewed, error: SmihubError, journal: Journal) -> Applied:
    fail(f"mesh {each.mesh.title}: {error}; {_LEFT[each.mesh.order]}")
    state: Literal["stale", "failed"] = "stale" if isinstance(error, StaleError) else "failed"
    journal.failed(each, Result(state, str(error)))
    return Applied(hub.config.title, each.mesh.name, state, str(error))


def _written(hub: Hub, each: Reviewed, results: Mapping[UnitKey, Result]) -> Applied:
    stopped = tuple(
        sorted(((key, each) for key, each in results.items() if each.state != "written"), key=lambda pair: pair[0])
    )
    for key, result in stopped:
        fail(f"mesh {each.mesh.title}: {key} is not fully written: {result.detail} ({result.state})")
    done: Literal["written", "unchanged"] = "written" if each.plan.changes else "unchanged"
    return Applied(hub.config.title, each.mesh.name, "partial" if stopped else done, units=stopped)
