"""Open both readings of a folder or of a configuration's sources: what `smihub explain` asks."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from hub.config import DEFAULT_FILE, MeshConfig, adapter_config, load_config
from hub.errors import ConfigError
from hub.explain import Explainer, Mesh, Scope
from hub.meshes import in_scope
from hub.model import Document, Problem
from hub.plugins import Plugins, load_plugins
from hub.sources.directory import DirectorySource
from hub.sources.events import Snapshot


def explainer_for(source: Path | None, config: Path) -> tuple[Explainer, tuple[Problem, ...]]:
    """Both readings of a folder (every installed adapter is a mesh), or of a configuration's sources and meshes.

    Also gives the Problems of files that cannot be read. Raises ConfigError and SourceError.
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
    for written in found.sources:
        snapshot = _whole(DirectorySource(written.name, written.path, skip=found.file))
        documents.extend(snapshot.documents)
        unread.extend(snapshot.unread.values())
    meshes = [_explained(mesh, plugins) for mesh in found.meshes]
    return Explainer(documents, meshes, Scope(found.domain.trust_domain, found.reading)), tuple(unread)


def _whole(source: DirectorySource) -> Snapshot:
    return Snapshot().after(source.read())


def _explained(written: MeshConfig, plugins: Plugins) -> Mesh:
    spec = plugins.adapter(written.adapter)
    return Mesh(written.name, spec, adapter_config(written, spec.config), partial(in_scope, written.governed))
