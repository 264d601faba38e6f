"""The domains of one smihub.yaml: a hub each, in one process, which is all that they share."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

from msgspec.structs import replace

from hub.config.file import load_configs
from hub.config.sources import instead_of
from hub.config.template import without_file
from hub.errors import ConfigError
from hub.meshes import Mesh, refuse_shared
from hub.plugins import Plugins, installed_plugins
from hub.reconcile.hub import Hub


class Domains:
    """The hub of each domain, in the order of the file; a context manager, at whose end all that was opened is closed."""

    def __init__(self, hubs: Sequence[Hub]) -> None:
        self.hubs = tuple(hubs)

    @classmethod
    def open(cls, config: Path, source: str | None = None, meshes: Sequence[str] = ()) -> Domains:
        """Read the configuration and load the plugins that it names; opens no mesh and no source. Raises ConfigError.

        `source` is read in place of the sources of the only domain: a folder, a file, or `-` for standard input. Of the
        meshes only those count that `meshes` names (nothing: all), and of the domains only theirs.
        """
        plugins, written = installed_plugins(), load_configs(config)
        if source is not None:
            if len(written) > 1:
                raise ConfigError(
                    "--source: there are several domains; list the folder under sources in smihub.yaml instead"
                )
            written = tuple(replace(each, sources=instead_of(each.sources, source)) for each in written)
        hubs = [Hub(each, plugins) for each in written]
        refuse_shared((hub.config, hub.meshes) for hub in hubs)
        domains = cls(hubs)
        return domains.only(meshes, plugins) if meshes else domains

    @classmethod
    def without_file(cls, source: str) -> Domains:
        """The same for a folder, a file or standard input alone, with the configuration that `smihub init` would write. Raises ConfigError."""
        plugins = installed_plugins()
        return cls([Hub(without_file(source, plugins.adapters), plugins)])

    def only(self, titles: Iterable[str], plugins: Plugins) -> Domains:
        """The same with these meshes alone, of which nothing was opened yet. Raises ConfigError."""
        chosen = [self.mesh(title) for title in titles]
        names = {hub: {mesh.name for its, mesh in chosen if its is hub} for hub in self.hubs}
        return Domains([Hub(hub.config, plugins, names[hub]) for hub in self.hubs if names[hub]])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        """End everything that was opened."""
        async with AsyncExitStack() as stack:
            for hub in self.hubs:
                stack.push_async_callback(hub.close)

    @property
    def meshes(self) -> tuple[Mesh, ...]:
        """The meshes of all domains."""
        return tuple(mesh for hub in self.hubs for mesh in hub.meshes)

    def mesh(self, title: str) -> tuple[Hub, Mesh]:
        """The mesh that the command line names so, and its hub. Raises ConfigError that names those there are."""
        for hub in self.hubs:
            for mesh in hub.meshes:
                if mesh.title == title:
                    return hub, mesh
        raise ConfigError(f'unknown mesh "{title}"; {_meant(title, [mesh.title for mesh in self.meshes])}')

    def hub(self, domain: str) -> Hub:
        """The hub of this domain ("": of the only one). Raises ConfigError that names those there are."""
        if not domain and len(self.hubs) == 1:
            return self.hubs[0]
        found = [hub for hub in self.hubs if hub.config.domain.name == domain]
        if not found:
            names = [hub.config.domain.name for hub in self.hubs]
            unknown = f'unknown domain "{domain}"; ' if domain else ""
            raise ConfigError(f"--domain: {unknown}{_meant(domain, names)}")
        return found[0]


def _meant(name: str, known: Sequence[str]) -> str:
    """What to use instead of a name: the only one that is like it, or one of them."""
    near = difflib.get_close_matches(name, known, 2)
    return f'did you mean "{near[0]}"?' if len(near) == 1 else f"use one of {', '.join(known)}"
