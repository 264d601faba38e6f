"""`smihub check`: whether all that the sources say is usable, and the fleet as protected as it looks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hub.cli.context import (
    OUT,
    ConfigOption,
    Exit,
    MeshOption,
    Output,
    SarifOutput,
    SarifOutputOption,
    SourceOption,
    emit,
    fail,
    line,
    note,
    print_lines,
    progress,
    run_now,
)
from hub.cli.data import SCHEMA, in_domain, problem_data, refusal_data
from hub.cli.losses import loss_line, refused_by
from hub.cli.places import Locations
from hub.cli.sarif import Checked, sarif
from hub.cli.show import counted, problem_line, refusal_line
from hub.config.file import DEFAULT_FILE
from hub.config.own import mistake
from hub.errors import ConfigError, EmptySourceError, RefusedError, SmihubError
from hub.model import ObjectRef, Origin, Problem, Severity
from hub.reconcile.domains import Domains
from hub.reconcile.hub import Hub, Reviewed
from hub.smi.types import Workload
from hub.smi.workload import GROUP


def check(
    config: ConfigOption = Path(DEFAULT_FILE),
    mesh: MeshOption = None,
    output: SarifOutputOption = SarifOutput.TEXT,
    source: SourceOption = None,
) -> Exit:
    """Read everything and report every error and warning, without writing anything. Exit code 3 if a mesh would refuse something, 1 if an object is wrong."""
    if source is not None and config == Path(DEFAULT_FILE) and not config.exists():
        if mesh:
            raise ConfigError(
                "--mesh needs smihub.yaml, and there is none here; remove it, or create one with smihub init"
            )
        return run_now(_check_alone(source, output))
    return run_now(_check(config, output, source, mesh or ()))


async def _check_alone(source: str, output: SarifOutput) -> Exit:
    """Check a folder for which there is no smihub.yaml: every mesh that what runs there shows, with the defaults."""
    async with Domains.without_file(source) as domains:
        (hub,) = domains.hubs
        problems = await _problems(hub)
        shown = _adapters_for(hub)
        adapters = {each.name: each.adapter for each in hub.config.meshes if each.adapter in shown}
        meshes = [mesh for mesh in hub.meshes if mesh.name in adapters]
        names = " and ".join(f"a mesh for {adapter}" for adapter in adapters.values())
        how = (
            f"checked for {names}, with the defaults of smihub init"
            if names
            else "no workload shows which mesh to check"
        )
        note(f"there is no {DEFAULT_FILE} here; {how}")
        return _shown([(hub, problems)], {hub: [hub.foreseen(mesh) for mesh in meshes]}, output)


def _adapters_for(hub: Hub) -> frozenset[str]:
    """Which kinds of mesh the workloads in the sources show, as for `smihub init`."""
    found = (one for cluster in hub.clusters.values() for one in cluster.store.objects() if isinstance(one, Workload))
    return frozenset("vm" if one.ref.group == GROUP else "istio" for one in found)


async def _check(config: Path, output: SarifOutput, source: str | None, meshes: Sequence[str]) -> Exit:
    async with Domains.open(config, source, meshes) as domains:
        found = [(hub, await _problems(hub)) for hub in domains.hubs]
        foreseen = {
            hub: [] if problems is None else [hub.foreseen(mesh) for mesh in hub.meshes] for hub, problems in found
        }
        for hub in domains.hubs:
            await _look_at_sinks(hub)
        return _shown(found, foreseen, output)


_Found = Sequence[tuple[Hub, Sequence[Problem] | None]]
_Foreseen = Mapping[Hub, Sequence[Reviewed]]


def _shown(found: _Found, foreseen: _Foreseen, output: SarifOutput) -> Exit:
    """Print what is wrong and what would be refused; with which code to end."""
    if output is SarifOutput.TEXT:
        for hub, problems in found:
            _show(hub, problems)
            for each in foreseen[hub]:
                _show_refused(hub, each)
    elif output is SarifOutput.SARIF:
        emit(sarif([Checked(hub, problems or (), foreseen[hub]) for hub, problems in found]), Output.JSON)
    else:
        emit(_data(found, foreseen), Output(output))
    if any(each.refusals for reviewed in foreseen.values() for each in reviewed):
        return Exit.REFUSED
    return Exit.ERROR if any(problems is None or _errors(problems) for _, problems in found) else Exit.SAME


async def _look_at_sinks(hub: Hub) -> None:
    """Refuse a folder that apply would refuse. Raises ConfigError with file, line and field."""
    for index, mesh in enumerate(hub.config.meshes):
        found = next((each for each in hub.meshes if each.name == mesh.name), None)
        if found is not None and not found.stateful:
            try:
                await found.sink.observe()
            except RefusedError:
                continue  # of another owner: plan refuses that as a guard
            except (SmihubError, OSError) as error:
                raise mistake(hub.config, f"meshes[{index}].sink", str(error)) from None


def _data(found: _Found, foreseen: _Foreseen) -> dict[str, Any]:
    refused = [
        in_domain(hub.config.title, {"mesh": each.mesh.name, **refusal_data(one)})
        for hub, _ in found
        for each in foreseen[hub]
        for one in each.refusals
    ]
    rows = [in_domain(hub.config.title, problem_data(each)) for hub, problems in found for each in problems or ()]
    return {"schema": SCHEMA, "problems": rows, "refused": refused}


async def _problems(hub: Hub) -> Sequence[Problem] | None:
    """What is wrong in a domain; None where one of several cannot be read at all, which is told."""
    try:
        with progress("reading the sources"):
            hub.read()
            return (*hub.intake.problems(), *hub.intake.warnings())
    except SmihubError as error:
        if isinstance(error, EmptySourceError) and await _begins(hub):
            return (_empty(hub),)
        if not hub.config.title:
            raise
        fail(f"domain {hub.config.title}: {error}")
        return None


async def _begins(hub: Hub) -> bool:
    """Whether nothing was applied yet: then an empty folder is where everybody begins, else it may be a mistake."""
    return all([mesh.untouched or (await mesh.observed()).empty for mesh in hub.meshes])


def _empty(hub: Hub) -> Problem:
    name = hub.config.sources[0].name
    remedy = "add TrafficTargets, their routes, and the Services and Workloads (or Deployments) that they refer to"
    place = ObjectRef("", "Source", "", name)
    message = "there is no .yaml, .yml or .json file yet"
    return Problem("source.empty", place, "", message, remedy, Origin(name), Severity.WARNING)


def _show_refused(hub: Hub, reviewed: Reviewed) -> None:
    """Say what a mesh would refuse of the sources, if it was planned from nothing."""
    title, places = reviewed.mesh.title, Locations.of(hub, reviewed.mesh, reviewed.plan.losses)
    lossy, others = refused_by(reviewed.plan.losses, reviewed.refusals)
    print_lines(loss_line(one, title, places.written(one), refuses=True) for one in lossy)
    print_lines(refusal_line(one, title) for one in others)


def _show(hub: Hub, problems: Sequence[Problem] | None) -> None:
    if problems is None:
        return
    if hub.config.title:
        OUT.print(line((f"domain {hub.config.title}", "bold")))
    print_lines(map(problem_line, problems))
    errors = _errors(problems)
    found = f"{counted(errors, 'error')}, {counted(len(problems) - errors, 'warning')}"
    OUT.print(line((found, "bold red" if errors else "bold"), f" in {_read(hub)}"))


def _errors(problems: Sequence[Problem]) -> int:
    return sum(problem.severity is Severity.ERROR for problem in problems)


def _read(hub: Hub) -> str:
    kinds = Counter(key.kind for key in hub.units())
    parts = (
        counted(len(hub.intake.sources), "source"),
        *([counted(len(hub.clusters), "cluster")] if len(hub.clusters) > 1 else []),
        counted(kinds["access"], "identity"),
        counted(kinds["route"], "service"),
    )
    return ", ".join(parts)
