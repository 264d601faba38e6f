"""`smihub render`: the native objects that the sources mean now."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from msgspec import Struct
from msgspec.structs import replace

from hub.cli import completion
from hub.cli.context import (
    ERR,
    ConfigOption,
    Exit,
    MeshOption,
    Output,
    SourceOption,
    emit,
    emit_text,
    fail,
    line,
    print_lines,
    progress,
    run_now,
)
from hub.cli.data import SCHEMA, in_domain, loss_data, native_data
from hub.cli.losses import loss_line
from hub.cli.places import Locations
from hub.cli.show import problem_line, refusal_line
from hub.config.file import DEFAULT_FILE
from hub.errors import ConfigError
from hub.meshes import Mesh
from hub.model import NativeObject, UnitKey
from hub.plan.guards import refusals
from hub.plan.plan import Plan
from hub.reconcile.domains import Domains
from hub.reconcile.hub import Hub


class Form(StrEnum):
    """`-o` of render."""

    YAML = "yaml"
    JSON = "json"


def render(
    only: Annotated[
        str | None,
        typer.Argument(metavar="MESH", help="The mesh; without it, all of them.", autocompletion=completion.meshes),
    ] = None,
    config: ConfigOption = Path(DEFAULT_FILE),
    mesh: MeshOption = None,
    output: Annotated[Form, typer.Option("--output", "-o", metavar="yaml|json", help="Output format.")] = Form.YAML,
    unit: Annotated[
        str | None,
        typer.Option(
            help="Only this unit: access/NS/SERVICEACCOUNT or route/NS/SERVICE.", autocompletion=completion.units
        ),
    ] = None,
    source: SourceOption = None,
) -> Exit:
    """Print the native objects for the sources, from scratch: no state is read or written, no guard is checked."""
    if only and mesh:
        raise ConfigError("set the mesh either as MESH or with --mesh, not both")
    options = _RenderOptions(tuple(mesh or ([only] if only else ())), output, unit, only is not None)
    return run_now(_render(config, options, source))


class _RenderOptions(Struct, frozen=True):
    """Which meshes (none: all), how, and which unit (None: all); `alone`: one mesh was named, and is printed without its name."""

    meshes: tuple[str, ...]
    form: Form
    unit: str | None
    alone: bool


class _Rendered(Struct, frozen=True):
    """What the sources mean in one mesh."""

    hub: Hub
    mesh: Mesh
    plan: Plan

    @property
    def spots(self) -> Locations:
        """Where it stands in the files what the mesh cannot say."""
        return Locations.of(self.hub, self.mesh, self.plan.losses)


async def _render(config: Path, options: _RenderOptions, source: str | None) -> Exit:
    async with Domains.open(config, source, options.meshes) as domains:
        with progress("reading the sources"):
            readable = [_read(hub) for hub in domains.hubs]
            if not all(readable):
                # An object that is missing here would be taken for one that is not wanted.
                fail("a file cannot be read, so nothing is rendered")
                return Exit.ERROR
            found = [_Rendered(hub, mesh, hub.render(mesh)) for hub in domains.hubs for mesh in hub.meshes]
        refused = [refusal for one in found for refusal in refusals(one.plan, one.hub.config.guards, ())]
        if any(one.plan.conflicts for one in found):
            print_lines(map(refusal_line, refused), ERR)
            return Exit.REFUSED
        _emit(found if options.unit is None else _of_unit(found, options.unit), options)
        return Exit.SAME


def _read(hub: Hub) -> bool:
    """Read a domain, and tell what is wrong there; whether all files could be read."""
    hub.read()
    print_lines(map(problem_line, hub.intake.problems()), ERR)
    return not hub.intake.unread


def _of_unit(found: Sequence[_Rendered], unit: str) -> list[_Rendered]:
    """What meshes have of one unit. Raises ConfigError if there is no such unit."""
    units = [{str(key) for key in one.hub.cluster(one.mesh).store.units()} for one in found]
    known = sorted(set().union(*units))
    if unit not in known:
        near = difflib.get_close_matches(unit, known, 1)
        hint = f'did you mean "{near[0]}"?' if near else "expected access/NS/SERVICEACCOUNT or route/NS/SERVICE"
        raise ConfigError(f'--unit "{unit}": unknown unit; {hint}')
    return [
        _Rendered(one.hub, one.mesh, _cut(one.plan, unit))
        for one, there in zip(found, units, strict=True)
        if unit in there
    ]


def _cut(plan: Plan, unit: str) -> Plan:
    changes = tuple(change for change in plan.changes if str(change.unit) == unit)
    return replace(plan, changes=changes, losses=tuple(loss for loss in plan.losses if str(loss.unit) == unit))


def _emit(found: Sequence[_Rendered], options: _RenderOptions) -> None:
    """Print the objects by mesh, unit and name, and on stderr what the meshes cannot say."""
    for one in found:
        spots = one.spots
        print_lines(
            (loss_line(loss, one.mesh.title, spots.written(loss), refuses=False) for loss in one.plan.losses), ERR
        )
    if options.form is Form.JSON:
        data = [_data(one) for one in found]
        emit({"schema": SCHEMA, **(data[0] if options.alone else {"meshes": data})}, Output.JSON)
        return
    for one in found:
        for native, unit in _natives(one.plan):
            emit_text(_head(native, unit, "" if options.alone else one.mesh.title))
            emit(one.mesh.view(native.body, native.ref.kind), Output.YAML)


def _data(one: _Rendered) -> dict[str, Any]:
    objects = [native_data(native, unit, one.mesh.view) for native, unit in _natives(one.plan)]
    losses = [loss_data(loss, one.spots) for loss in one.plan.losses]
    return in_domain(one.hub.config.title, {"mesh": one.plan.mesh, "objects": objects, "losses": losses})


def _natives(plan: Plan) -> list[tuple[NativeObject, UnitKey]]:
    ordered = sorted(plan.changes, key=lambda change: (change.unit, change.ref))
    return [(change.after, change.unit) for change in ordered if change.after is not None]


def _head(native: NativeObject, unit: UnitKey, mesh: str) -> str:
    """What goes before a YAML document: which object it is, of which mesh and unit, and where it comes from, as comments."""
    whose = (f"mesh: {mesh}", f"unit: {unit}") if mesh else (f"unit: {unit}",)
    comments = (str(native.ref), *whose, *(f"from: {origin}" for origin in native.origins))
    return "---\n" + "".join(f"# {line(each).plain}\n" for each in comments)
