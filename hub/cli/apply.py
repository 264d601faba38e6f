"""`smihub apply`: write what `plan` shows, or what a saved plan says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from hub.cli import saved
from hub.cli.context import ConfigOption, Exit, agreed, clean_errors, fail, note, progress, run_now
from hub.cli.plan import AcceptOption, PlanOptions, VerboseOption, plan_options, review, show, verdict
from hub.cli.show import summary
from hub.config.file import DEFAULT_FILE
from hub.errors import ConfigError, SmihubError, StaleError
from hub.plan.saved import Saved
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
    accept: AcceptOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    verbose: VerboseOption = False,
) -> None:
    """Plan, show the plan, ask, and write it; refused plans are not written. Exit code 0 only if everything was."""
    consent: Consent = "given" if yes else "ask"
    with clean_errors():
        wanted = plan_options(config, accept, verbose)
        code = run_now(_apply(wanted, consent) if file is None else _apply_saved(file, wanted, consent))
    raise typer.Exit(code)


async def _apply(wanted: PlanOptions, consent: Consent) -> Exit:
    hub = Hub.open(wanted.config)
    journal = _journal(hub)
    try:
        reviewed = await review(hub, wanted.accept)
        show(reviewed, hub.intake.problems(), wanted.detail)
        return await _carry_out(hub, reviewed, consent, journal, wanted.accept)
    finally:
        await hub.close()
        journal.close()


def _journal(hub: Hub) -> Journal:
    return Journal(Record(hub.config.state, note), Actor.here("apply"))


async def _carry_out(
    hub: Hub, reviewed: Sequence[Reviewed], consent: Consent, journal: Journal, accept: Sequence[str] = ()
) -> Exit:
    """Write what is not refused, once somebody agreed; 3 if anything was refused, else 1 if something failed."""
    allowed = [each for each in reviewed if not each.whole]
    refused = Exit.REFUSED if verdict(reviewed, hub) is Exit.REFUSED else Exit.SAME
    for each in reviewed:
        if each.whole:
            journal.refused(each)
    if refused and not any(each.plan.changes or each.plan.memory for each in allowed):
        note("nothing was written")
        return refused
    if _declined(allowed, consent):
        return Exit.ERROR
    written = max(await _write(hub, allowed, journal, accept), Exit.ERROR if hub.intake.incomplete else Exit.SAME)
    return refused or written


async def _apply_saved(file: Path, wanted: PlanOptions, consent: Consent) -> Exit:
    """Write a saved plan: all that it presumes is looked at before the first write, and again after an answer."""
    if wanted.accept:
        raise ConfigError("a saved plan has the codes that were accepted; give --accept to smihub plan --save")
    plan = saved.read(file)
    hub = Hub.open(wanted.config)
    journal = _journal(hub)
    try:
        reviewed = await saved.resume(hub, plan)
        show(reviewed, hub.intake.problems(), wanted.detail)
        _tell(plan)
        if consent == "ask" and not _declined(reviewed, consent):
            reviewed, consent = await saved.resume(hub, plan), "given"
        elif consent == "ask":
            return Exit.ERROR
        return await _carry_out(hub, reviewed, consent, journal)
    finally:
        await hub.close()
        journal.close()


def _tell(plan: Saved) -> None:
    """Say when a plan was saved, and what somebody accepted then."""
    note(f"this plan was saved at {plan.saved_at} by smihub {plan.setup.smihub}")
    for each in plan.meshes:
        if each.accepted:
            note(f"mesh {each.plan.mesh}: accepted when it was saved: {', '.join(each.accepted)}")


def _declined(reviewed: Sequence[Reviewed], consent: Consent) -> bool:
    if (
        consent == "given"
        or not any(each.plan.changes for each in reviewed)
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
            with progress(f"writing {each.mesh.name}"):
                results = await hub.apply(each.mesh, each.plan, (*accept, *each.lifted))
        except SmihubError as error:
            fail(f"mesh {each.mesh.name}: {error}; {_LEFT[each.mesh.order]}")
            journal.failed(each, Result("stale" if isinstance(error, StaleError) else "failed", str(error)))
            code = Exit.ERROR
            continue
        journal.wrote(each, results)
        stopped = {key: result for key, result in results.items() if result.state != "written"}
        for key, result in sorted(stopped.items()):
            fail(f"mesh {each.mesh.name}: {key} is not written to its end: {result.detail} ({result.state})")
        code = Exit.ERROR if stopped else code
        if each.plan.changes and not stopped:
            note(f"mesh {each.mesh.name}: applied, {summary(each.plan)}")
    return code
