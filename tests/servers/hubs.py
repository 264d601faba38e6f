"""The hub of a smihub.yaml with one domain, as most tests have it."""

from __future__ import annotations

from pathlib import Path

from hub.config.file import Config, load_configs
from hub.meshes import Mesh
from hub.plugins import installed_plugins
from hub.reconcile.hub import Hub


def config_of(path: Path) -> Config:
    """The only domain of a smihub.yaml."""
    (config,) = load_configs(path)
    return config


def hub_of(path: Path) -> Hub:
    """The hub of the only domain, with the plugins that are installed; nothing is opened."""
    return Hub(config_of(path), installed_plugins())


def mesh_of(hub: Hub, name: str) -> Mesh:
    """The hub's mesh of this name."""
    return next(mesh for mesh in hub.meshes if mesh.name == name)
