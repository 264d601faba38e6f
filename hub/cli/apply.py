"""`smihub apply`: write what `plan` shows, or what a saved plan says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from hub.cli import saved
from hub.cli.context import ConfigOption, Exit, MeshOption, agreed, clean_errors, fail, note, progress, run_now
from hub.cli.plan import AcceptOption, DomainReview, PlanOptions, VerboseOption, plan_options, review, show, verdict
from hub.cli.show import summary
from hub.config.file import DEFAULT_FILE
from hub.errors import ConfigError, SmihubError, StaleError
from hub.plan.plan import Plan
from hub.plan.saved import Saved
from hub.reconcile.domains import Domains
from hub.reconcile.hub import Hub, Reviewed
from hub.status.journal import Journal
from hub.status.outcomes import Result
from hub.status.record import Actor, Record

Consent = Literal["ask", "given"]

_LEFT = {
    "revision": "nothing of its plan was written",
    "objects": "what was written of its plan, if anything, may be applied as it is; smihub plan shows what is left",
}
"""What a mesh whose plan could not be written has of it, by what its sink promises."""

_EPILOG = (
    "Examples: [bold]smihub apply[/bold], in a pipeline [bold]smihub apply --yes[/bold], "
    "a reviewed plan [bold]smihub apply review.plan[/bold]"
)


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(epilog=_EPILOG)(apply)


def apply(
    file: Annotated[Path | None, typer.Argument(help="Write exactly this plan, of smihub plan --save.")] = None,
    config: ConfigOption = Path(DEFAULT_FILE),
    mesh: MeshOption = None,
    accept: AcceptOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    verbose: VerboseOption = False,
) -> None:
    """Plan, show the plan, ask, and write it; refused plans are not written. Exit code 0 only if everything was."""
    consent: Consent = "given" if yes else "ask"
    with clean_errors():
        wanted = plan_options(config, accept, verbose, mesh)
        code = run_now(_apply(wanted, consent) if file is None else _apply_saved(file, wanted, consent))
    raise typer.Exit(code)


async def _apply(wanted: PlanOptions, consent: Consent) -> Exit:
    domains = Domains.open(wanted.config, meshes=wanted.meshes)
    journals = _journals(domains)
    try:
        found = await review(domains, wanted.accept)
        show(found, wanted.detail)
        return await _carry_out(found, consent, journals, wanted.accept)
    finally:
        await domains.close()
        for journal in journals.values():
            journal.close()


Journals = Mapping[Hub, Journal]


def _journals(domains: Domains) -> Journals:
    return {hub: Journal(Record(hub.config.state, note), Actor.here("apply")) for hub in domains.hubs}


async def _carry_out(
    found: Sequence[DomainReview], consent: Consent, journals: Journals, accept: Sequence[str] = ()
) -> Exit:
    """Write what is not refused, once somebody agreed; 3 if anything was refused, else 1 if something failed."""
    allowed = [(each.hub, [one for one in each.reviewed if not one.whole]) for each in found]
    plans = [one.plan for _, reviewed in allowed for one in reviewed]
    refused = Exit.REFUSED if verdict(found) is Exit.REFUSED else Exit.SAME
    for each in found:
        for one in each.reviewed:
            if one.whole:
                journals[each.hub].refused(one)
    if refused and not any(plan.changes or plan.memory for plan in plans):
        note("nothing was written")
        return refused
    if _declined(plans, consent):
        return Exit.ERROR
    written = [await _write(hub, reviewed, journals[hub], accept) for hub, reviewed in allowed]
    wrong = any(each.wrong for each in found)
    return refused or max(*written, Exit.ERROR if wrong else Exit.SAME)


async def _apply_saved(file: Path, wanted: PlanOptions, consent: Consent) -> Exit:
    """Write a saved plan: all that it presumes is looked at before the first write, and again after an answer."""
    if wanted.accept:
        raise ConfigError("a saved plan has the codes that were accepted; give --accept to smihub plan --save")
    if wanted.meshes:
        raise ConfigError("a saved plan has its meshes; give --mesh to smihub plan --save")
    plan = saved.read(file)
    domains = saved.open_for(wanted.config, plan)
    journals = _journals(domains)
    try:
        found = await _resumed(domains, plan)
        show(found, wanted.detail)
        _tell(plan, domains)
        if consent == "ask":
            if _declined([one.plan for each in found for one in each.reviewed], consent):
                return Exit.ERROR
            found = await _resumed(domains, plan)
        return await _carry_out(found, "given", journals)
    finally:
        await domains.close()
        for journal in journals.values():
            journal.close()


async def _resumed(domains: Domains, plan: Sequence[Saved]) -> list[DomainReview]:
    return [DomainReview(hub, tuple(reviewed)) for hub, reviewed in await saved.resume(domains, plan)]


def _tell(plan: Sequence[Saved], domains: Domains) -> None:
    """Say when a plan was saved, and what somebody accepted then."""
    note(f"this plan was saved at {plan[0].saved_at} by smihub {plan[0].setup.smihub}")
    for hub, each in zip(domains.hubs, plan, strict=True):
        accepted = {one.plan.mesh: one.accepted for one in each.meshes if one.accepted}
        for mesh in (mesh for mesh in hub.meshes if mesh.name in accepted):
            note(f"mesh {mesh.title}: accepted when it was saved: {', '.join(accepted[mesh.name])}")


def _declined(plans: Sequence[Plan], consent: Consent) -> bool:
    if (
        consent == "given"
        or not any(plan.changes for plan in plans)
        or agreed("Apply this plan?", "review the plan, then run smihub apply --yes")
    ):
        return False
    note("nothing was written")
    return True


async def _write(hub: Hub, reviewed: Sequence[Reviewed], journal: Journal, accept: Sequence[str] = ()) -> Exit:
    """Write every mesh's plan; one that fails does not stop the others, but the exit code says so."""
    code = Exit.SAME
    for each in reviewed:
        journal.planned(each)
        journal.accepted(each, each.lifted.intersection(accept))
        try:
            with progress(f"writing {each.mesh.title}"):
                results = await hub.apply(each.mesh, each.plan, (*accept, *each.lifted))
        except SmihubError as error:
            fail(f"mesh {each.mesh.title}: {error}; {_LEFT[each.mesh.order]}")
            journal.failed(each, Result("stale" if isinstance(error, StaleError) else "failed", str(error)))
            code = Exit.ERROR
            continue
        journal.wrote(each, results)
        stopped = {key: result for key, result in results.items() if result.state != "written"}
        for key, result in sorted(stopped.items()):
            fail(f"mesh {each.mesh.title}: {key} is not written to its end: {result.detail} ({result.state})")
        code = Exit.ERROR if stopped else code
        if each.plan.changes and not stopped:
            note(f"mesh {each.mesh.title}: applied, {summary(each.plan)}")
    return code
