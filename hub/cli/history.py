"""`smihub history`: who applied, accepted or approved what, and when."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from hub.cli.context import (
    ConfigOption,
    Exit,
    MeshOption,
    Output,
    OutputOption,
    emit,
    note,
    print_lines,
)
from hub.cli.data import SCHEMA, in_domain
from hub.cli.reported import moment
from hub.cli.show import table
from hub.config.file import DEFAULT_FILE, Config, load_configs
from hub.config.settings import nearest
from hub.errors import ConfigError
from hub.status import record
from hub.status.record import Entry

_HEAD = ("TIME", "WHO", "BY", "ACTION", "MESH", "PLAN", "OBJECTS", "ACCESS", "RESULT")
_DIGEST_SHOWN = 12


def history(
    config: ConfigOption = Path(DEFAULT_FILE),
    output: OutputOption = Output.TEXT,
    mesh: MeshOption = None,
    limit: Annotated[int, typer.Option(min=1, help="Number of entries to show, newest first.")] = 100,
) -> Exit:
    """Show what was applied, accepted and approved here, newest last: who, when, which plan, and how much."""
    configs = load_configs(config)
    entries = _entries(configs, mesh, limit)
    _refuse_unknown(configs, entries, mesh or ())
    if output is not Output.TEXT:
        emit(
            {"schema": SCHEMA, "entries": [in_domain(config.title, _entry_data(each)) for config, each in entries]},
            output,
        )
    elif entries:
        print_lines(table([_HEAD, *(_row(*each) for each in entries)]))
    else:
        note(f"there is no record of {', '.join(mesh)}" if mesh else "there is no record yet")
    return Exit.SAME


Entries = Sequence[tuple[Config, Entry]]


def _entries(configs: Sequence[Config], meshes: Sequence[str] | None, limit: int) -> Entries:
    """The newest entries of all domains, oldest first; of these meshes (by title), or (None) of all."""
    found: list[tuple[Config, Entry]] = []
    for config in configs:
        prefix = f"{config.title}/" if config.title else ""
        names = [each.removeprefix(prefix) for each in meshes or () if each.startswith(prefix)]
        if names or not meshes:
            found += [(config, each) for each in record.history(config.state, names, limit)]
    return sorted(found, key=lambda pair: pair[1].at)[-limit:] if len(configs) > 1 else found


def _refuse_unknown(configs: Sequence[Config], entries: Entries, meshes: Sequence[str]) -> None:
    """Raise ConfigError for a mesh that is neither configured nor has an entry; one that was removed keeps its history."""
    known = [config.title_of(mesh.name) for config in configs for mesh in config.meshes]
    recorded = {config.title_of(entry.mesh) for config, entry in entries}
    for name in meshes:
        if name not in recorded.union(known):
            raise ConfigError(f'unknown mesh "{name[:80]}"; {nearest(name, known)}')


def _row(config: Config, entry: Entry) -> tuple[str, ...]:
    count = entry.counts
    objects = f"+{count.get('create', 0)} ~{count.get('replace', 0)} -{count.get('delete', 0)}"
    accepted = f"accepted {', '.join(entry.codes)}" if entry.codes else ""
    return (
        moment(entry.at),
        f"{entry.actor.user}@{entry.actor.host}",
        entry.actor.verb,
        entry.action,
        config.title_of(entry.mesh),
        entry.plan[:_DIGEST_SHOWN],
        objects,
        f"+{count.get('gained', 0)} -{count.get('lost', 0)}",
        "; ".join(part for part in (entry.result, accepted, entry.why) if part),
    )


def _entry_data(entry: Entry) -> dict[str, Any]:
    return {
        "at": moment(entry.at),
        "action": entry.action,
        "mesh": entry.mesh,
        "user": entry.actor.user,
        "host": entry.actor.host,
        "verb": entry.actor.verb,
        "plan": entry.plan,
        "counts": dict(entry.counts),
        "codes": list(entry.codes),
        "why": entry.why,
        "result": entry.result,
    }
