"""Open both readings of a folder or of a configuration's sources: what `smihub explain` asks."""

from __future__ import annotations

import asyncio
from pathlib import Path

from hub.config import DEFAULT_FILE, load_config
from hub.errors import ConfigError
from hub.events import ObjectSource, Snapshot
from hub.explain import Explainer, Mesh, Scope
from hub.intake import sources_of
from hub.meshes import Mesh as Configured
from hub.meshes import meshes_of
from hub.model import Document, Problem, Unit, UnitKey
from hub.plugins import load_plugins
from hub.sources.directory import DirectorySource


def explainer_for(source: Path | None, config: Path) -> tuple[Explainer, tuple[Problem, ...]]:
    """Both readings of a folder (every installed adapter is a mesh), or of a configuration's sources and meshes.

    Also gives the Problems of files that cannot be read. Raises ConfigError and SourceError, and what a sink
    raises that cannot tell what stands in a mesh with a narrower scope than everything.
    """
    plugins = load_plugins()
    if source is not None:
        snapshot = _whole(DirectorySource(str(source), source, skip=source / DEFAULT_FILE))
        meshes = [Mesh(name, spec) for name, spec in sorted(plugins.adapters.items())]
        if not meshes:
            raise ConfigError("; ".join(map(str, plugins.problems)) or "no adapter is installed")
        return Explainer(snapshot.documents, meshes), tuple(snapshot.unread.values())
    found = load_config(config)
    documents: list[Document] = []
    unread: list[Problem] = []
    for each in sources_of(found, plugins).values():
        snapshot = _whole(each)
        documents.extend(snapshot.documents)
        unread.extend(snapshot.unread.values())
    meshes = [_explained(mesh) for mesh in meshes_of(found, plugins)]
    scope = Scope(found.domain.trust_domain, found.reading, domain=found.domain.name)
    return Explainer(documents, meshes, scope), tuple(unread)


def _whole(source: ObjectSource) -> Snapshot:
    return Snapshot().after(source.read())


def _explained(mesh: Configured) -> Mesh:
    """A mesh with its scope: what the sources have in it now, and what it governed once, which it governs on."""
    held = frozenset[UnitKey]() if mesh.governed.mode == "all" else asyncio.run(_held(mesh))

    def governs(key: UnitKey, unit: Unit) -> bool:
        return key in held or mesh.governs(key, unit)

    return Mesh(mesh.name, mesh.spec, mesh.settings, governs)


async def _held(mesh: Configured) -> frozenset[UnitKey]:
    try:
        return (await mesh.observed()).units
    finally:
        await mesh.close()
