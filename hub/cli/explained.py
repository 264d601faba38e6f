"""What `explain` and `test` ask: both readings of the sources, of a smihub.yaml or of a folder alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from msgspec import Struct

from hub.api import Evaluator
from hub.cli.context import ERR, named, progress
from hub.cli.show import problem_line
from hub.errors import ConfigError
from hub.explaining import Explained, explain_folder, explain_hub
from hub.plugins import installed_plugins
from hub.reconcile.domains import Domains


def folder_named(text: str) -> Path:
    """A folder that somebody wrote. Raises BadParameter for an empty one."""
    return Path(named(text))


Evaluators = Mapping[str, Evaluator]
"""By mesh, what stands there."""
FolderOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        parser=folder_named,
        help="Read this folder (- for standard input), without a configuration file.",
    ),
]
DomainOption = Annotated[str, typer.Option(metavar="NAME", help="The domain, if smihub.yaml has several.")]


class Sources(Struct, frozen=True):
    """Where to read: a folder alone, or (None) what a configuration says of a domain, with all of its meshes or some."""

    source: Path | None
    config: Path
    domain: str = ""
    meshes: tuple[str, ...] = ()


async def explained(asked: Sources) -> Explained:
    """Both readings; what grants nothing is told on stderr. Raises ConfigError and SourceError."""
    return (await explained_beside(asked, standing=False))[0]


async def explained_beside(asked: Sources, *, standing: bool) -> tuple[Explained, Evaluators]:
    """The same and, if that is wanted and something cannot be read, what stands in each mesh."""
    if asked.source is not None:
        if asked.meshes:
            raise ConfigError("--mesh needs smihub.yaml, and --source is read without it; remove one of them")
        with progress("reading the sources"):
            found = explain_folder(asked.source, installed_plugins())
        _report(found)
        return found, {}
    async with Domains.open(asked.config, meshes=asked.meshes) as domains:
        hub = domains.hub(asked.domain)
        with progress("reading the sources"):
            found = await explain_hub(hub)
        _report(found)
        await hub.recall()
        return found, await hub.in_force() if standing and hub.intake.incomplete else {}


def _report(found: Explained) -> None:
    for problem in found.problems:
        ERR.print(problem_line(problem))
    if (more := found.all_problems - len(found.problems)) > 0:
        ERR.print(f"... and {more} more; smihub check shows all")
    if found.left_out:
        ERR.print(f"note: not asked: {', '.join(found.left_out)}, which can have no workload of the sources")
