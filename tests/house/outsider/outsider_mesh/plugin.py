"""What this distribution brings to smihub: a mesh, the family of its objects, what writes it, a kind of source, and a verb."""

from __future__ import annotations

from collections.abc import Iterable

from hub.api import AdapterSpec, CommandSpec, FamilySpec, SinkSpec, SourceSpec, hookimpl
from outsider_mesh.adapter import SPEC, OutsiderConfig
from outsider_mesh.family import FAMILY
from outsider_mesh.sink import WALLS, SinkConfig
from outsider_mesh.source import ROSTER, RosterConfig
from outsider_mesh.verb import SHOW


@hookimpl
def smihub_adapters() -> Iterable[AdapterSpec[OutsiderConfig]]:
    """The mesh `outsider`."""
    return [SPEC]


@hookimpl
def smihub_families() -> Iterable[FamilySpec]:
    """The family `walls`."""
    return [FAMILY]


@hookimpl
def smihub_sinks() -> Iterable[SinkSpec[SinkConfig]]:
    """The sink `walls`."""
    return [WALLS]


@hookimpl
def smihub_sources() -> Iterable[SourceSpec[RosterConfig]]:
    """The kind of source `roster`."""
    return [ROSTER]


@hookimpl
def smihub_commands() -> Iterable[CommandSpec]:
    """The verb `walls`."""
    return [SHOW]
