"""Several clusters in one domain: SMI objects count in all of them, facts in their own, and no writer of one rules another."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
import yaml

from adapters.vm.state.revisions import State
from hub.errors import ConfigError, TransientError
from hub.model import Access, Facts, Problem, UnitKey
from hub.plan.plan import Plan
from hub.reconcile.hub import Hub
from tests.servers.folder import ROUTES, WORKLOADS, Folder, target
from tests.servers.hubs import config_of, hub_of

pytestmark = pytest.mark.thorough

API = UnitKey("access", "shop", "api")
CONFIG = """\
domain: {trustDomain: cluster.local}
sources:
- {path: manifests/git, namespaces: [shop]}
- {path: manifests/east, cluster: east}
- {path: manifests/west, cluster: west}
meshes:
- {name: eastern, adapter: vm, cluster: east}
- {name: western, adapter: vm, cluster: west}
"""
BOOKS = "shop/web -> shop/api:* GET /books"
ORDERS = "shop/web -> shop/api:* POST /orders"
WESTERN = (
    WORKLOADS.replace("8080", "9090").replace("10.0.0.", "10.9.0.")
    + """\
---
apiVersion: v1
kind: Service
metadata: {name: western, namespace: shop}
spec: {selector: {app: api}, ports: [{name: http, port: 80, targetPort: 9090}]}
"""
)


MORE = """\
apiVersion: v1
kind: Service
metadata: {name: more, namespace: shop}
spec: {selector: {app: api}, ports: [{name: http, port: 81, targetPort: 9090}]}
"""


@pytest.fixture(name="folder")
def make_folder(tmp_path: Path) -> Folder:
    """`web` may GET /books from `api`, which runs in two clusters, on other ports and addresses."""
    folder = Folder(tmp_path)
    folder.config(CONFIG)
    folder.write("git/routes.yaml", ROUTES)
    folder.write("git/access.yaml", target("api-from-web"))
    folder.write("east/work.yaml", WORKLOADS)
    folder.write("west/work.yaml", WESTERN)
    return folder


@asynccontextmanager
async def opened(folder: Folder) -> AsyncIterator[Hub]:
    """A fresh hub that has read the folder."""
    hub = hub_of(folder.root / "smihub.yaml")
    try:
        hub.read()
        yield hub
    finally:
        await hub.close()


async def plans(folder: Folder) -> tuple[Plan, Plan]:
    """What a fresh hub plans for the east and for the west."""
    async with opened(folder) as hub:
        east, west = [(await hub.plan(mesh)).plan for mesh in hub.meshes]
        return east, west


async def applied(folder: Folder) -> None:
    """Apply in a hub of its own."""
    async with opened(folder) as hub:
        for mesh in hub.meshes:
            await hub.apply(mesh, (await hub.plan(mesh)).plan)


def codes(problems: Iterable[Problem]) -> list[tuple[str, str]]:
    """Which Problems, and where."""
    return [(each.code, each.origin.source) for each in problems]


async def test_each_mesh_sees_the_facts_of_its_cluster(folder: Folder) -> None:
    """Objects of one name in two clusters are two; the TrafficTarget counts in both."""
    async with opened(folder) as hub:
        assert hub.intake.problems() == ()
        for cluster, port, address in (("east", 8080, "10.0.0.2"), ("west", 9090, "10.9.0.2")):
            unit = hub.clusters[cluster].store.compile(API)[0]
            assert isinstance(unit, Access)
            assert [each.port for each in unit.ports] == [port]
            assert [each.addresses for each in unit.workloads] == [(address,)]
    assert [plan.allowed for plan in await plans(folder)] == [(BOOKS,), (BOOKS,)]


async def test_without_clusters_the_same_objects_are_unequal_copies(folder: Folder) -> None:
    """The same folders as one cluster: nobody can tell which copy is meant."""
    folder.config(CONFIG.replace(", cluster: east", "").replace(", cluster: west", ""))
    async with opened(folder) as hub:
        assert "object.unequal" in {code for code, _ in codes(hub.intake.problems())}


@pytest.mark.parametrize(
    "copy",
    [
        target("api-from-web", matches="orders"),
        target("api-from-web").replace("rules", "rulez"),
        target("api-from-web"),
        target("more", matches="orders"),
    ],
    ids=["wider", "broken", "equal", "another"],
)
async def test_a_writer_of_a_cluster_rules_no_namespace_of_another_source(folder: Folder, copy: str) -> None:
    """What he writes of SMI there is ignored, with one warning: it neither grants, nor makes anything unequal, nor keeps."""
    await applied(folder)
    folder.write("west/copy.yaml", copy)
    async with opened(folder) as hub:
        assert codes(hub.intake.problems()) == [("object.not-authoritative", "manifests/west")]
        assert not hub.intake.incomplete
    for plan in await plans(folder):
        assert (plan.allowed, plan.denied, plan.changes) == ((), (), ())
    folder.write("git/access.yaml", target("other", account="web"))
    assert [plan.denied for plan in await plans(folder)] == [(BOOKS,), (BOOKS,)]


async def test_without_an_authority_an_unequal_copy_is_broken(folder: Folder) -> None:
    """Where no source is declared it is as before: both copies are named, and what was applied stays."""
    folder.config(CONFIG.replace(", namespaces: [shop]", ""))
    await applied(folder)
    folder.write("west/copy.yaml", target("api-from-web", matches="orders"))
    async with opened(folder) as hub:
        assert codes(hub.intake.problems()) == [
            ("object.unequal", "manifests/git"),
            ("object.unequal", "manifests/west"),
        ]


async def test_who_has_lost_a_namespace_keeps_nothing_of_it_by_a_broken_file(folder: Folder) -> None:
    """What he granted before there was an authority is revoked, though his file cannot be read any more."""
    folder.config(CONFIG.replace(", namespaces: [shop]", ""))
    folder.write("west/more.yaml", target("more", matches="orders"))
    await applied(folder)
    folder.write("west/more.yaml", "kind: Pod\na: [")
    assert [plan.denied for plan in await plans(folder)] == [(), ()]
    folder.config(CONFIG)
    assert [plan.denied for plan in await plans(folder)] == [(ORDERS,), (ORDERS,)]


async def test_facts_of_a_source_that_has_left_the_cluster_are_not_recalled(folder: Folder) -> None:
    """What was remembered of them there is as good as deleted."""
    folder.config(
        CONFIG.replace("cluster: west}\nmeshes", "cluster: east}\nmeshes").replace(", cluster: west", ", cluster: east")
    )
    folder.write("west/work.yaml", WESTERN.rpartition("---\n")[2])
    await applied(folder)
    folder.write("west/work.yaml", "kind: Pod\na: [")
    async with opened(folder) as hub:
        await hub.recall()
        assert "Service/shop/western" in map(str, hub.clusters["east"].planner.missing.recalled)
    folder.config(CONFIG)
    async with opened(folder) as hub:
        await hub.recall()
        assert "Service/shop/western" not in map(str, hub.clusters["east"].planner.missing.recalled)


@pytest.mark.parametrize(
    "broken",
    [
        "apiVersion: v1\nkind: Service\nmetadata: {name: API, namespace: shop}\nspec: {selector: {app: api}, ports: [{port: 80}]}\n",
        "apiVersion: v1\nkind: Service\nmetadata: {name: odd, namespace: shop}\nspec: {selector: {app: api}, ports: [{port: x}]}\n",
        WORKLOADS.replace("port: 8080", "port: x"),
    ],
    ids=["nameless", "void", "workload"],
)
async def test_what_cannot_be_read_in_one_cluster_is_no_doubt_in_another(folder: Folder, broken: str) -> None:
    """Neither a protocol nor a workload of the east becomes unknown; `check` says in which cluster something is wrong."""
    await applied(folder)
    folder.write("west/work.yaml", broken)
    async with opened(folder) as hub:
        await hub.recall()
        east = hub.clusters["east"].store
        assert east.broken() == frozenset()
        unit = east.compile(API)[0]
        assert isinstance(unit, Access)
        assert not unit.doubts
        problems = hub.intake.problems()
        assert problems
        assert all('(in cluster "west")' in each.message for each in problems)
    assert (await plans(folder))[0].changes == ()


async def test_a_file_that_cannot_be_read_hides_facts_of_its_own_cluster(folder: Folder) -> None:
    """The east goes on with its own facts and endpoints; what stands in the west stays."""
    await applied(folder)
    folder.write("west/work.yaml", "kind: Pod\na: [")
    async with opened(folder) as hub:
        await hub.recall()
        assert (hub.intake.misses_facts("east"), hub.intake.misses_facts("west")) == (False, True)
        assert not hub.clusters["east"].planner.missing.recalled
        assert hub.clusters["west"].planner.missing.recalled
    for plan in await plans(folder):
        assert (plan.changes, plan.denied) == ((), ())


async def test_what_was_broken_from_the_start_is_not_recalled_as_another_cluster_has_it(folder: Folder) -> None:
    """A Service of the same name, applied in the west alone, says nothing of the east."""
    folder.write("west/more.yaml", MORE)
    await applied(folder)
    folder.write("east/more.yaml", MORE.replace("port: 81", 'port: ["81"]'))
    async with opened(folder) as hub:
        await hub.recall()
        assert [ref.name for ref in hub.clusters["east"].store.broken()] == ["more"]
        assert not hub.clusters["east"].planner.missing.recalled


async def test_endpoints_are_those_of_the_mesh_s_cluster(folder: Folder) -> None:
    """They go on in one while nobody can tell those of another."""
    await applied(folder)
    for broken, addresses in (
        (False, {"eastern": "10.0.0.2", "western": "10.9.0.2"}),
        (True, {"eastern": "10.0.0.7", "western": "10.9.0.2"}),
    ):
        if broken:
            folder.write("east/work.yaml", WORKLOADS.replace("10.0.0.2", "10.0.0.7"))
            folder.write("west/work.yaml", "kind: Pod\na: [")
        async with opened(folder) as hub:
            await hub.withdraw()
            await hub.publish()
        for mesh, address in addresses.items():
            with closing(State(folder.root / ".smihub" / "hub.sqlite", mesh)) as state:
                assert [each.address for each in state.endpoints()["shop", "api", 80]] == [address]


async def test_a_mesh_that_takes_no_endpoints_keeps_none_from_another(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it raised is raised when the others have theirs, and it is tried again the next time."""
    folder.config(CONFIG + "- {name: another, adapter: vm, cluster: east}\n")
    await applied(folder)
    async with opened(folder) as hub:
        tried: list[Facts] = []

        async def fail(facts: Facts) -> None:
            tried.append(facts)
            raise TransientError("busy")

        monkeypatch.setattr(hub.meshes[0].sink, "publish", fail)
        for _ in range(2):
            with pytest.raises(TransientError):
                await hub.publish()
        assert len(tried) == 2
    for mesh, address in (("another", "10.0.0.2"), ("western", "10.9.0.2")):
        with closing(State(folder.root / ".smihub" / "hub.sqlite", mesh)) as state:
            assert [each.address for each in state.endpoints()["shop", "api", 80]] == [address]


async def test_a_broken_smi_file_hides_its_objects_in_every_cluster(folder: Folder) -> None:
    """What was granted by it stays in both."""
    await applied(folder)
    folder.write("git/access.yaml", "kind: Pod\na: [")
    for plan in await plans(folder):
        assert (plan.changes, plan.denied) == ((), ())
        assert "TrafficTarget/shop/api-from-web" in map(str, plan.recalled)


def test_check_names_the_cluster(folder: Folder) -> None:
    """Of what is wrong in one of them; what is wrong in all is told once."""
    folder.write("west/work.yaml", WESTERN.replace("port: 9090", "port: x"))
    folder.write("git/access.yaml", target("api-from-web").replace("rules", "rulez"))
    said = folder.run("check").stdout
    assert "3 sources, 2 clusters, " in said
    assert [line.count("cluster") for line in said.splitlines() if "rulez" in line] == [0]
    assert [line.count('(in cluster "west")') for line in said.splitlines() if "spec.ports[0].port" in line] == [1]


def test_explain_judges_each_cluster_by_its_facts(folder: Folder) -> None:
    """SMI and the meshes of the same facts; a copy that is ignored grants nothing in either reading."""
    folder.write("west/more.yaml", target("more", matches="orders"))
    asked = ("explain", "--from", "shop/web", "--to", "shop/api:80", "--path")
    said = folder.run(*asked, "/books").stdout
    east, west = said.split('cluster "west"\n')
    assert east.startswith('cluster "east"\nSMI: allow\n')
    assert west.startswith("SMI: allow\n")
    assert ("mesh eastern: allow" in east, "mesh western: allow" in west) == (True, True)
    assert ("western" in east, "eastern" in west.partition("note:")[0]) == (False, False)
    data = yaml.load(folder.run(*asked, "/orders", "--method", "POST", "-o", "yaml").stdout, yaml.CSafeLoader)
    assert {name: each["smi"]["verdict"] for name, each in data["clusters"].items()} == {"east": "deny", "west": "deny"}
    folder.write(
        "west/work.yaml",
        "apiVersion: v1\nkind: Service\nmetadata: {name: odd, namespace: x}\nspec: {ports: [{port: 1}]}\n",
    )
    data = yaml.load(folder.run(*asked, "/books", "-o", "yaml").stdout, yaml.CSafeLoader)
    routes = {name: each["smi"]["route"] for name, each in data["clusters"].items()}
    assert routes == {"east": "root", "west": "no-service"}


def test_facts_of_which_no_mesh_sees_any_are_told(folder: Folder) -> None:
    """Once per source; a source of SMI objects alone needs no mesh in its cluster."""
    folder.config(CONFIG.replace("- {name: western, adapter: vm, cluster: west}\n", ""))
    said = folder.run("check").stdout
    assert said.count("(source.no-mesh)") == 1
    assert 'only its SMI objects are used: no mesh has its cluster "west"' in said
    assert "manifests/git" not in said


async def test_a_running_hub_takes_a_cluster_s_events(folder: Folder) -> None:
    """A change of the west dirties units of the west alone; one of SMI those of both."""
    changes = [
        ("west/work.yaml", WESTERN.replace("9090", "9091"), {"western"}),
        ("git/access.yaml", target("api-from-web", matches="orders"), {"eastern", "western"}),
    ]
    async with opened(folder) as hub:
        for name, text, touched in changes:
            hub.dirty()
            for mesh in hub.meshes:
                await hub.plan(mesh)
            folder.write(name, text)
            hub.read()
            assert {mesh for mesh, keys in hub.dirty().items() if keys} == touched


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("adapter: vm, cluster: west", "adapter: vm, cluster: wset", 8, 'meshes[1].cluster: no source has cluster "wset"'),
        ("cluster: west}\nmeshes", "cluster: West}\nmeshes", 5, 'sources[2].cluster: invalid value "West"'),
        ("cluster: east}\n- {path", "cluster: east, namespaces: [shop]}\n- {path", 4, 'sources[1].namespaces: "shop" is also listed by'),
        ("namespaces: [shop]", "namespaces: [Shop]", 3, 'sources[0].namespaces[0]: invalid value "Shop"'),
    ],
)  # fmt: skip
def test_a_mistake_about_clusters_is_named(folder: Folder, old: str, new: str, line: int, said: str) -> None:
    """With its line."""
    folder.config(CONFIG.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        config_of(folder.root / "smihub.yaml")
    assert f"smihub.yaml:{line}: {said}" in str(caught.value)
