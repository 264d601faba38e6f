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

from hub.api import (
    Access,
    Document,
    Event,
    Identity,
    ObjectRef,
    Observation,
    Origin,
    Problem,
    SourceContext,
    SourceSpec,
    Synced,
    Unread,
    Upsert,
)
from hub.config.file import Config, Domain, MeshConfig
from hub.config.sources import SourceConfig
from hub.explaining import explain_hub
from hub.memory.permits import Standing, gained, standing
from hub.memory.states import decode
from hub.meshes import Mesh
from hub.mirror import Mirror
from hub.plan.plan import Plan
from hub.plugins import installed_plugins
from hub.reconcile.hub import Hub
from hub.testing.compare import widening
from hub.testing.kit import read_documents
from hub.testing.worlds import World, worlds
from tests.hub.test_never_wider import FEW
from tests.servers.folder import ROUTES, target
from tests.servers.small_town import pod

CLUSTERS = ("east", "west")
SOURCES = {"git": "", "east": "east", "west": "west"}
PLUGINS = installed_plugins()
NOBODY = ObjectRef("", "", "", "")
pytestmark = pytest.mark.hypothesis


class Nothing(Struct, frozen=True):
    """No settings."""


class Listed:
    """A source of some documents, each a part of its own."""

    def __init__(self, name: str, values: Sequence[Any], hidden: frozenset[int] = frozenset()) -> None:
        self.name = name
        self._values = values
        self._hidden = hidden

    def read(self) -> Iterator[Event]:
        """Say everything but what is hidden, which cannot be read."""
        for index, value in enumerate(self._values):
            origin = Origin(self.name, str(index), 1)
            if index in self._hidden:
                yield Unread(str(index), Problem("file.unread", NOBODY, "", "no", "mend it", origin))
            else:
                yield Upsert(str(index), (Document(value, origin),))
        yield Synced()

    async def watch(self) -> AsyncIterator[tuple[Event, ...]]:
        """Say everything once."""
        yield tuple(self.read())

    def pinpoint(self, problems: Sequence[Problem]) -> tuple[Problem, ...]:
        """There are no lines."""
        return tuple(problems)


def hub_of(
    scattered: Mapping[str, Sequence[Any]], authority: Mapping[str, str], hidden: Mapping[str, frozenset[int]] = {}
) -> Hub:
    """A hub of these sources, of which some parts cannot be read, with both meshes in each cluster; nothing of it is opened."""

    def opened(context: SourceContext, _: Nothing) -> Listed:
        return Listed(context.name, scattered[context.name], hidden.get(context.name, frozenset()))

    spec = SourceSpec("listed", Nothing, opened)
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


@FEW
@given(world=worlds(), rng=st.randoms(use_true_random=False))
def test_no_mesh_is_wider_than_smi_though_parts_of_a_source_cannot_be_read(world: World, rng: Random) -> None:
    """Whatever these hold: what is granted meanwhile is granted when they can be read."""
    home, unread = rng.choice(sorted(SOURCES)), rng.choice(sorted(SOURCES))
    namespaces = {str(value["metadata"].get("namespace")) for value in world.values if named(value)}
    authority = {name: home for name in sorted(namespaces) if rng.random() < 0.7}
    smi = [value for value in world.values if is_smi_value(value)]
    facts = [value for value in world.values if not is_smi_value(value)]
    scattered = {name: [*(smi if name == home else ()), *(facts if name in CLUSTERS else ())] for name in SOURCES}
    # What cannot be read: other copies of what can, and whatever else.
    count = len(scattered[unread])
    scattered[unread] += [{**value, "spec": {}} for value in world.values if named(value) and rng.random() < 0.2]
    hidden = frozenset(n for n in range(len(scattered[unread])) if n >= count or rng.random() < 0.1)
    truth = hub_of(scattered, authority)
    truth.read()
    for mesh, made in asyncio.run(planned(hub_of(scattered, authority, {unread: hidden}))):
        store = truth.clusters[mesh.cluster].store
        for key, raw in made.memory.items():
            remembered, unit = decode(raw), store.compile(key)[0]
            if key.kind == "access" and remembered is not None:
                meant = standing(unit) if isinstance(unit, Access) else Standing()
                identity = Identity("cluster.local", key.namespace, key.name)
                (state,) = remembered.states
                assert gained(identity, (meant,), state.standing) == (), (mesh.name, key, authority, unread, hidden)


async def planned(hub: Hub) -> list[tuple[Mesh, Plan]]:
    """A first plan of each mesh, by what can be read."""
    hub.read()
    for mesh in hub.meshes:  # all of them first: to plan one, the hub asks what the others remember
        mesh.mirror = Mirror(Observation())
    return [(mesh, (await hub.plan(mesh, ["selector.unlabelled-pods"])).plan) for mesh in hub.meshes]


AUTHORITY = {"shop": "git"}


@pytest.mark.parametrize(
    ("unread", "authority", "granted"),
    [
        ("west", AUTHORITY, {"vm-east", "istio-east"}),
        ("west", {}, set()),
        ("west", {"shop": "west"}, set()),
        ("east", AUTHORITY, set()),
        ("git", AUTHORITY, set()),
    ],
)
async def test_gains_wait_only_where_what_cannot_be_read_may_hide_anything(
    unread: str, authority: Mapping[str, str], granted: set[str]
) -> None:
    """A source of the west's facts that is no authority on the namespace hides nothing of the east's; of the west it may."""
    smi = read_values("---\n".join([ROUTES, target("api-from-web")]))
    facts = read_values("---\n".join(pod(name) for name in ("web", "api")))
    scattered = {"git": smi, "east": facts, "west": facts}
    scattered[unread] = [*scattered[unread], {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}]
    hub = hub_of(scattered, authority, {unread: frozenset({len(scattered[unread]) - 1})})
    plans = await planned(hub)
    assert {mesh.name for mesh, made in plans if mesh.cluster == "east" and made.gained} == granted


BINDING = """\
apiVersion: access.smi-spec.io/v1alpha4
kind: IdentityBinding
metadata: {name: who, namespace: other}
spec: {schemes: {serviceAccount: web}}
"""


@pytest.mark.parametrize(("authority", "granted"), [({"shop": "git"}, 0), ({"shop": "git", "other": "git"}, 1)])
async def test_gain_by_a_binding_of_another_namespace_waits_for_copies_of_it(
    authority: Mapping[str, str], granted: int
) -> None:
    """Who is meant by it may be said otherwise in what cannot be read, unless one source rules that namespace too."""
    bound = target("bound").replace("{kind: ServiceAccount, name: web, namespace: shop}]", BOUND)
    smi = read_values("---\n".join([ROUTES, bound.replace("v1alpha3", "v1alpha4"), BINDING]))
    hub = hub_of(
        {"git": smi, "east": read_values(pod("api")), "west": [{"kind": "ConfigMap"}]},
        authority,
        {"west": frozenset({0})},
    )
    plans = await planned(hub)
    assert {len(made.gained) for mesh, made in plans if mesh.cluster == "east"} == {granted}


BOUND = "{kind: IdentityBinding, name: who, namespace: other}]"


def read_values(text: str) -> list[Any]:
    """The documents of a text."""
    return [document.value for document in read_documents(text)]


def is_smi_value(value: Any) -> bool:
    """Whether a document is of SMI."""
    return isinstance(value, dict) and "smi-spec.io" in str(value.get("apiVersion"))


def named(value: Any) -> bool:
    """Whether a document has metadata, so that it can have a namespace."""
    return isinstance(value, dict) and isinstance(value.get("metadata"), dict)
