"""`smihub release`: govern a unit no longer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hub.cli import completion
from hub.cli.context import (
    ConfigOption,
    Exit,
    MeshArgument,
    YesOption,
    agreed,
    note,
    progress,
    run_now,
)
from hub.config.file import DEFAULT_FILE
from hub.errors import ConfigError
from hub.model import UnitKey
from hub.reconcile.domains import Domains
from hub.reconcile.ownership import check_releasable, held_by, release_unit, remove_unit

_KEPT = "its objects stay in effect as they are, no longer managed by smihub"
_OPEN = "its objects are deleted, so the workloads they protected accept every caller that the mesh accepts"


def release(
    mesh: MeshArgument,
    unit: Annotated[
        str, typer.Argument(autocompletion=completion.units, help="access/NS/SERVICEACCOUNT or route/NS/SERVICE.")
    ],
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete its objects too. This opens the workloads that they protect.")
    ] = False,
    config: ConfigOption = Path(DEFAULT_FILE),
    yes: YesOption = False,
) -> Exit:
    """Stop governing a unit that is no longer in the sources. Until then it stays governed, and denied."""
    return run_now(_release(config, mesh, unit, delete, yes))


async def _release(config: Path, name: str, unit: str, delete: bool, yes: bool) -> Exit:
    async with Domains.open(config) as domains:
        hub, mesh = domains.mesh(name)
        key = _key(unit, hub.config.domain.name)
        with progress("reading the sources"):
            hub.read()
            held = await held_by(hub, mesh, key)
            if not delete:
                check_releasable(mesh)
        objects = ", ".join(str(each.ref) for each in held) or "none"
        meaning = _OPEN if delete else _KEPT
        if not (yes or agreed(f"Release {unit}? {meaning}: {objects}.", "rerun with --yes")):
            note("nothing was written")
            return Exit.ERROR
        await (remove_unit if delete else release_unit)(mesh, key, held)
        note(f"mesh {name}: released {unit}; {meaning}: {objects}")
        return Exit.SAME


def _key(text: str, domain: str) -> UnitKey:
    """A unit as plans name it. Raises ConfigError."""
    kind, _, rest = text.partition("/")
    namespace, _, name = rest.partition("/")
    if kind not in {"access", "route"} or not namespace or not name or "/" in name:
        raise ConfigError(f'"{text}": expected access/NS/SERVICEACCOUNT or route/NS/SERVICE')
    return UnitKey("access" if kind == "access" else "route", namespace, name, domain)
