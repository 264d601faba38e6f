"""Random worlds scattered over sources of two clusters: in each, no mesh is wider than SMI's reading of what counts there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from hub.api import Document, Event, Origin, Problem, SourceSpec, Synced, Upsert
from hub.config.file import Config, Domain, MeshConfig
from hub.config.sources import SourceConfig
from hub.explaining import explain_hub
from hub.plugins import load_plugins
from hub.reconcile.hub import Hub
from hub.testing.compare import widening
from hub.testing.worlds import World, worlds
from tests.hub.test_never_wider import FEW

CLUSTERS = ("east", "west")
SOURCES = {"git": "", "east": "east", "west": "west"}
PLUGINS = load_plugins()
pytestmark = pytest.mark.hypothesis


class Nothing(Struct, frozen=True):
    """No settings."""


class Listed:
    """A source of some documents, each a part of its own."""

    def __init__(self, name: str, values: Sequence[Any]) -> None:
        self.name = name
        self._values = values

    def read(self) -> Iterator[Event]:
        """Say everything."""
        for index, value in enumerate(self._values):
            yield Upsert(str(index), (Document(value, Origin(self.name, str(index), 1)),))
        yield Synced()

    async def watch(self) -> AsyncIterator[tuple[Event, ...]]:
        """Say everything once."""
        yield tuple(self.read())

    def pinpoint(self, problems: Sequence[Problem]) -> tuple[Problem, ...]:
        """There are no lines."""
        return tuple(problems)


def hub_of(scattered: Mapping[str, Sequence[Any]], authority: Mapping[str, str]) -> Hub:
    """A hub of these sources, with both meshes in each cluster; nothing of it is opened."""
    spec = SourceSpec("listed", Nothing, lambda context, _: Listed(context.name, scattered[context.name]))
    sources = tuple(
        SourceConfig(
            name, "listed", {}, None, cluster, tuple(sorted(n for n, owner in authority.items() if owner == name))
        )
        for name, cluster in SOURCES.items()
    )
    meshes = tuple(
        MeshConfig(f"{adapter}-{cluster}", adapter, sink=sink, cluster=cluster)
        for cluster in CLUSTERS
        for adapter, sink in (("vm", {}), ("istio", {"path": f"nowhere/{cluster}"}))
    )
    config = Config(Path("/nowhere/smihub.yaml"), Domain("cluster.local"), sources, meshes, Path("/nowhere/state"))
    return Hub(config, replace(PLUGINS, sources={"listed": spec}))


def scatter(world: World, rng: Random) -> dict[str, list[Any]]:
    """Each object in one source or, changed or not, in several."""
    found: dict[str, list[Any]] = {name: [] for name in SOURCES}
    for value in world.values:
        for name in rng.sample(sorted(SOURCES), rng.choice((1, 1, 2))):
            copy = deepcopy(value)
            if rng.random() < 0.2 and isinstance(copy, dict) and isinstance(copy.get("spec"), dict):
                copy["spec"].pop(rng.choice([*copy["spec"], "none"]), None)
            found[name].append(copy)
    return found


@FEW
@given(world=worlds(), rng=st.randoms(use_true_random=False))
def test_no_mesh_of_any_cluster_is_wider_than_smi(world: World, rng: Random) -> None:
    """What counts where is decided twice, for the store and for the reading: they agree, or a mesh would be wider."""
    namespaces = {str(value["metadata"].get("namespace")) for value in world.values if named(value)}
    authority = {name: rng.choice(sorted(SOURCES)) for name in sorted(namespaces) if rng.random() < 0.6}
    explained = asyncio.run(explain_hub(hub_of(scatter(world, rng), authority)))
    assert sorted(explained.explainers) == sorted(CLUSTERS)
    for explainer in explained.explainers.values():
        for request in world.requests:
            smi, meshes = explainer.explain(request)
            assert len(meshes) == 2
            for name, mesh in meshes.items():
                judged = smi if mesh.received is None else explainer.explain(replace(request, path=mesh.received))[0]
                assert not widening(judged, mesh), (name, request)


def named(value: Any) -> bool:
    """Whether a document has metadata, so that it can have a namespace."""
    return isinstance(value, dict) and isinstance(value.get("metadata"), dict)
