"""`smihub approve`: let one refused plan pass, exactly as it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from hub.cli.context import ConfigOption, Exit, YesOption, agreed, note, print_lines, run_now
from hub.cli.page import Sheet, sheet_lines
from hub.cli.plan import AcceptOption, DomainReview, PlanOptions, plan_options, review
from hub.config.file import DEFAULT_FILE
from hub.errors import ConfigError
from hub.plan.guards import BLAST_RADIUS
from hub.plan.saved import digest_of
from hub.reconcile.domains import Domains
from hub.reconcile.hub import Hub, Reviewed
from hub.status import record
from hub.status.journal import counts_of
from hub.status.record import APPROVED_S, Actor, Entry

_SHORTEST = 8


def approve(
    digest: Annotated[str, typer.Argument(help="The plan's digest, as smihub plan shows it.")],
    config: ConfigOption = Path(DEFAULT_FILE),
    accept: AcceptOption = None,
    why: Annotated[str, typer.Option(help="The reason, for smihub history.")] = "",
    yes: YesOption = False,
) -> Exit:
    """Allow one refused plan in which too many identities lose access: this plan only, on the mesh as it is now, within an hour."""
    found = plan_options(config, accept, verbose=False)
    return run_now(_approve(found, digest, why, yes=yes))


async def _approve(options: PlanOptions, digest: str, why: str, *, yes: bool) -> Exit:
    async with Domains.open(options.config) as domains:
        hub, found = _named(await review(domains, options.accept), digest)
        print_lines(sheet_lines(Sheet.of(hub, found)))
        if not yes and not agreed("Approve this plan?", "review the plan, then rerun with --yes"):
            note("nothing was approved")
            return Exit.ERROR
        plan = found.plan
        actor, now = Actor.here("approve"), hub.clock()
        record.approve(
            hub.config.state,
            Entry(now, "approve", plan.mesh, actor, digest_of(plan), counts_of(plan), (BLAST_RADIUS,), why),
        )
        note(
            f"mesh {found.mesh.title}: approved for {APPROVED_S // 60} minutes; smihub apply or a running hub will write it"
        )
        return Exit.SAME


def _named(domains: Sequence[DomainReview], digest: str) -> tuple[Hub, Reviewed]:
    """The refused plan of this digest, and its hub. Raises ConfigError."""
    if len(digest) < _SHORTEST:
        raise ConfigError(
            f'"{digest}" is too short; give at least {_SHORTEST} digits of the digest that smihub plan shows'
        )
    reviewed = [(each.hub, one) for each in domains for one in each.reviewed]
    refused = [pair for pair in reviewed if any(one.code == BLAST_RADIUS for one in pair[1].whole)]
    found = [pair for pair in refused if digest_of(pair[1].plan).startswith(digest)]
    if len(found) == 1:
        return found[0]
    known = ", ".join(f"{each.mesh.title}: {digest_of(each.plan)[:12]}" for _, each in refused) or "none"
    raise ConfigError(
        f'no plan with digest "{digest}" is refused because too many identities lose access; refused now: {known}'
    )
