"""`smihub status`: what became of everything, in every mesh, and what every data plane has accepted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from msgspec import Struct, json
from rich.text import Text

from hub.cli.context import (
    OUT,
    ConfigOption,
    Exit,
    MeshOption,
    Output,
    OutputOption,
    emit,
    emit_text,
    line,
    print_lines,
    run_now,
)
from hub.cli.data import SCHEMA, in_domain
from hub.cli.reported import lines_of, mesh_data
from hub.config.file import DEFAULT_FILE, Config
from hub.meshes import Mesh
from hub.model import UnitKey
from hub.plan.conditions import Condition
from hub.reconcile.domains import Domains
from hub.reconcile.hub import Hub
from hub.status import record
from hub.status.outcomes import Outcome, with_programmed
from hub.status.sockets import ask

_LOOK_S = 1.0


class MeshStatus(Struct, frozen=True):
    """One mesh as it is known: itself (None: nothing is on record), its units, and what its data planes say."""

    which: Mesh
    mesh: Condition | None
    units: Mapping[UnitKey, Outcome]
    report: Mapping[str, Any]

    @property
    def good(self) -> bool:
        """Whether everything is as it should be."""
        mesh = self.mesh is None or self.mesh.status != "False"
        planes = all(row["programmed"] for row in self.report.values())
        return mesh and planes and not any(each.bad for each in self.units.values())


def status(
    config: ConfigOption = Path(DEFAULT_FILE),
    mesh: MeshOption = None,
    output: OutputOption = Output.TEXT,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Keep showing changes, until Ctrl-C.")] = False,
) -> Exit:
    """Show what is refused, waiting or failed in every mesh, why, and since when. Exit code 1 if there is anything."""
    return run_now(_status(config, output, tuple(mesh or ()), _watched if watch else _once))


class DomainStatus(Struct, frozen=True):
    """All meshes of a domain, and what the running hub says of itself (None: none runs)."""

    config: Config
    meshes: tuple[MeshStatus, ...]
    hub: tuple[int, str] | None = None


ReadStatus = Callable[[], Sequence[DomainStatus]]


async def _status(
    config: Path, output: Output, names: Sequence[str], show: Callable[[ReadStatus, Output], Exit]
) -> Exit:
    async with Domains.open(config, meshes=names) as domains:
        readers = [_reader(hub) for hub in domains.hubs]
        return show(lambda: [read_status() for read_status in readers], output)


def _reader(hub: Hub) -> Callable[[], DomainStatus]:
    """A function that looks; the record is read again only if it changed."""
    state = hub.config.state
    last: list[tuple[tuple[int, int], record.Known]] = []

    def read_status() -> DomainStatus:
        version = record.version(state)
        # --watch looks once a second; reading thousands of outcomes each time would load the machine for nothing.
        if not last or last[0][0] != version:
            last[:] = [(version, record.known(state))]
        return DomainStatus(
            hub.config, tuple(_mesh_status(mesh, last[0][1]) for mesh in hub.meshes), ask(hub.config, "/readyz")
        )

    return read_status


def _mesh_status(mesh: Mesh, known: record.Known) -> MeshStatus:
    units = {key: outcome for name, key, outcome in known.units if name == mesh.name}
    live = None if mesh.untouched else mesh.live  # looking makes no state file
    report = live.report() if live is not None else {}
    return MeshStatus(mesh, known.meshes.get(mesh.name), with_programmed(units, report), report)


# --------------------------------------------------------------------------- showing


def _once(read_status: ReadStatus, output: Output) -> Exit:
    seen = read_status()
    if output is Output.TEXT:
        print_lines(_lines(seen))
    else:
        emit(_data(seen), output)
    return Exit.SAME if all(each.good for one in seen for each in one.meshes) else Exit.ERROR


def _watched(read_status: ReadStatus, output: Output) -> Exit:
    """Draw the whole again on a terminal; elsewhere append what is new. Ends with Ctrl-C alone."""
    draw = _drawing() if output is Output.TEXT and OUT.is_terminal else _appending(output)
    while True:
        draw(read_status())
        time.sleep(_LOOK_S)


def _drawing() -> Callable[[Sequence[DomainStatus]], None]:
    shown: list[str] = []

    def draw(seen: Sequence[DomainStatus]) -> None:
        lines = list(_lines(seen))
        text = [each.plain for each in lines]
        if text != shown:
            shown[:] = text
            OUT.clear()
            print_lines(lines)

    return draw


def _appending(output: Output) -> Callable[[Sequence[DomainStatus]], None]:
    """Each line once while it stands; data as one document for each change."""
    shown: list[str] = []

    def append(seen: Sequence[DomainStatus]) -> None:
        if output is Output.TEXT:
            lines = list(_lines(seen, ages=False))
            fresh = [each for each in lines if each.plain not in shown]
            shown[:] = [each.plain for each in lines]
            print_lines(fresh)
            OUT.file.flush()
        elif (data := json.encode(_data(seen)).decode()) not in shown:
            shown[:] = [data]
            if output is Output.JSON:
                emit_text(data + "\n")
            else:
                emit_text("---\n")
                emit(_data(seen), output)
            OUT.file.flush()

    return append


def _data(seen: Sequence[DomainStatus]) -> dict[str, Any]:
    rows = [
        in_domain(one.config.title, mesh_data(each.which.name, each.mesh, each.units, each.report))
        for one in seen
        for each in one.meshes
    ]
    running = all(one.hub is not None for one in seen)
    ready = all(one.hub is not None and one.hub[0] == 200 for one in seen)
    return {"schema": SCHEMA, "hub": {"running": running, "ready": ready}, "meshes": rows}


def _lines(seen: Sequence[DomainStatus], *, ages: bool = True) -> Iterator[Text]:
    now = time.time() if ages else None
    for each in (each for one in seen for each in one.meshes):
        title = each.which.title
        if each.mesh is None and not each.units and not each.report:
            yield line(
                (f"mesh {title}", "bold"),
                ": no apply is recorded in this state folder; smihub plan shows what it would write",
            )
        else:
            yield from lines_of(title, each.mesh, each.units, each.report, now)
    for one in seen:
        domain = f"domain {one.config.title}: " if one.config.title else ""
        if one.hub is None:
            yield line((f"{domain}no hub is running here; this is the result of the last run or apply", "dim"))
        elif one.hub[0] != 200:
            yield line((f"{domain}the hub is not ready", "yellow"), f": {one.hub[1]}")
