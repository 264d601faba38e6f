"""Intake: what cannot be read hides what was remembered of it, be it a file, a folder or a kind of a cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from hub.errors import ConfigError
from hub.events import Delete, Event, Listed, Unread, Upsert
from hub.memory.recall import hides
from hub.model import Document, ObjectRef, Origin, Problem
from hub.plugins import Plugins, installed_plugins
from hub.reconcile.hub import Hub
from hub.reconcile.loop import Loop
from hub.smi import Decoded, decode
from hub.sources.directory import DirectorySource
from hub.testing.memory_source import MemorySource, MemorySources
from tests.hub.reconcile.test_loop import living
from tests.servers.folder import ROUTES, WORKLOADS, Folder, shop, target
from tests.servers.hubs import config_of

CONFIG = """\
domain: {trustDomain: cluster.local}
sources: [{kind: memory, name: cluster}]
meshes:
- {name: vms, adapter: vm}
"""
BOOKS = "shop/web -> shop/api:* GET /books"
ORDERS = "shop/web -> shop/api:* POST /orders"
FOLDERS = """\
domain: {trustDomain: cluster.local}
sources:
- path: manifests
- path: second
meshes:
- {name: vms, adapter: vm}
"""
LATE = "shop/web -> shop/web:* GET /books"


def cluster() -> tuple[MemorySources, MemorySource]:
    """A cluster in which `web` may GET /books from `api`."""
    sources = MemorySources()
    source = sources.opened["cluster"] = MemorySource("cluster")
    for text in (WORKLOADS, ROUTES, target("api-from-web")):
        source.put(text)
    return sources, source


@asynccontextmanager
async def opened(folder: Path, sources: MemorySources) -> AsyncIterator[Hub]:
    """A fresh hub that has read the cluster."""
    (folder / "smihub.yaml").write_text(CONFIG)
    hub = Hub(config_of(folder / "smihub.yaml"), with_sources(sources))
    try:
        hub.read()
        yield hub
    finally:
        await hub.close()


def with_sources(sources: MemorySources) -> Plugins:
    """The installed plugins, and this kind of source."""
    plugins = installed_plugins()
    return replace(plugins, sources={**plugins.sources, sources.spec.name: sources.spec})


async def apply(hub: Hub) -> None:
    """Write the plan of the only mesh."""
    await hub.apply(hub.meshes[0], (await hub.plan(hub.meshes[0])).plan)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "scope",
    ["TrafficTarget/", "TrafficTarget/shop/", "TrafficTarget/shop/api-from-web", "HTTPRouteGroup/", "Workload/"],
)
async def test_a_restart_that_cannot_list_revokes_nothing(tmp_path: Path, scope: str) -> None:
    """What the last apply granted by objects that are hidden now stays; nobody gains; once they can be listed, nothing waits."""
    sources, source = cluster()
    async with opened(tmp_path, sources) as hub:
        await apply(hub)
    sources.opened["cluster"] = fresh = MemorySource("cluster")
    fresh._objects = source._objects
    fresh.put(target("late", account="web"))
    fresh.fail(scope)
    async with opened(tmp_path, sources) as hub:
        made = (await hub.plan(hub.meshes[0])).plan
        assert (made.allowed, made.denied) == ((), ())
        assert hub.intake.misses_facts("")
        fresh.fail()
        hub.read()
        made = (await hub.plan(hub.meshes[0])).plan
        assert (made.allowed, made.denied, made.frozen, made.recalled) == ((LATE,), (), (), ())
        assert not hub.intake.misses_facts("")


async def test_what_is_deleted_goes_though_another_kind_is_unread(tmp_path: Path) -> None:
    """A scope hides its own parts alone: a revocation elsewhere does not wait for it."""
    sources, source = cluster()
    async with opened(tmp_path, sources) as hub:
        await apply(hub)
    sources.opened["cluster"] = fresh = MemorySource("cluster")
    fresh._objects = {part: each for part, each in source._objects.items() if not part.startswith("TrafficTarget/")}
    fresh.fail("TrafficTargets/", "HTTPRouteGroup/")
    async with opened(tmp_path, sources) as hub:
        assert (await hub.plan(hub.meshes[0])).plan.denied == (BOOKS,)


async def test_a_source_that_is_away_at_a_restart_revokes_nothing(tmp_path: Path) -> None:
    """The same for all of it, as the running hub is told."""
    sources, _ = cluster()
    async with opened(tmp_path, sources) as hub:
        await apply(hub)
        fresh = Hub(hub.config, with_sources(sources))
        fresh.intake.ingest("cluster", [Unread("", PROBLEM)])
        made = (await fresh.plan(fresh.meshes[0])).plan
        assert (made.changes, made.denied, fresh.intake.misses_facts("")) == ((), (), True)
        await fresh.close()


def two_sources(root: Path) -> Folder:
    """`web` may GET /books by the one source, and POST /orders by the other; both are applied."""
    folder = shop(root)
    folder.config(FOLDERS)
    (root / "second").mkdir()
    (root / "second" / "more.yaml").write_text(target("more", matches="orders"))
    assert folder.run("apply", "--yes").exit_code == 0
    return folder


@pytest.mark.thorough
@pytest.mark.parametrize("away", ["manifests", "second"])
def test_a_source_that_is_away_holds_up_no_revocation_of_another(tmp_path: Path, away: str) -> None:
    """What it granted stays, what the other one revokes goes, and nobody gains; the command ends with 1."""
    folder = two_sources(tmp_path)
    (tmp_path / away).rename(tmp_path / "elsewhere")
    if away == "second":
        folder.write("access.yaml", target("late", account="web"))
    else:
        (tmp_path / "second" / "more.yaml").write_text(target("late", account="web", matches="orders"))
    made = folder.plan()["meshes"][0]
    assert (made["newlyAllowed"], made["newlyDenied"]) == ([], [BOOKS if away == "second" else ORDERS])
    result = folder.run("apply", "--yes")
    assert result.exit_code == 1
    assert "(source.unreadable)" in result.stderr
    (tmp_path / "elsewhere").rename(tmp_path / away)
    assert folder.plan()["meshes"][0]["newlyDenied"] == []


def test_a_source_that_raises_holds_up_no_revocation_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug of its plugin is told as that source's, in one line, and nothing of it is taken for gone."""
    folder, read = two_sources(tmp_path), DirectorySource.read

    def raising(self: DirectorySource) -> Iterator[Event]:
        if self.name == "second":
            raise KeyError("a bug")
        return read(self)

    monkeypatch.setattr(DirectorySource, "read", raising)
    folder.write("access.yaml", target("late", account="web"))
    made = folder.plan()["meshes"][0]
    assert (made["newlyAllowed"], made["newlyDenied"]) == ([], [BOOKS])
    result = folder.run("apply", "--yes")
    assert result.exit_code == 1
    assert "source \"second\" cannot be read: KeyError: 'a bug'" in result.stderr


def test_sources_that_are_all_away_are_an_error(tmp_path: Path) -> None:
    """There is nothing to go by."""
    folder = two_sources(tmp_path)
    (tmp_path / "manifests").rename(tmp_path / "elsewhere")
    (tmp_path / "second" / "more.yaml").unlink()
    result = folder.run("apply", "--yes")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: source ")


@pytest.mark.thorough
def test_a_running_hub_starts_without_a_source_that_is_away(tmp_path: Path) -> None:
    """A revocation by the other one is written; once it is back, new grants are too."""
    asyncio.run(_starts(two_sources(tmp_path)))


async def _starts(folder: Folder) -> None:
    (folder.root / "second").rename(folder.root / "elsewhere")
    async with living(folder) as live:
        folder.remove("access.yaml")
        await live.until(ORDERS)
        assert live.hub.intake.unread
        (folder.root / "elsewhere").rename(folder.root / "second")
        folder.write("access.yaml", target("api-from-web"))
        await live.until(BOOKS, ORDERS)
        assert not live.hub.intake.unread


PROBLEM = Problem("source.unreadable", ObjectRef("", "Source", "", "cluster"), "", "", "")


async def after(hub: Hub, *events: Event) -> tuple[bool, bool, tuple[str, ...]]:
    """Whether something is unread, whether the hub is blind, and what a plan would allow, after these events."""
    hub.intake.ingest("cluster", events)
    return bool(hub.intake.unread), hub.intake.misses_facts(""), (await hub.plan(hub.meshes[0])).plan.allowed


async def test_a_scope_that_was_listed_once_is_not_blind(tmp_path: Path) -> None:
    """What it held is known then; of one that never was, nobody knows. Gains wait beside both."""
    sources, _ = cluster()
    async with opened(tmp_path, sources) as hub:
        assert await after(hub, Listed("TrafficTarget/"), Unread("TrafficTarget/", PROBLEM)) == (True, False, ())
        assert await after(hub, Unread("Service/", PROBLEM)) == (True, True, ())
        assert await after(hub, Listed("Service/")) == (True, False, ())
        assert await after(hub, Listed("TrafficTarget/")) == (False, False, (BOOKS,))


async def test_a_part_that_is_read_or_gone_is_unread_no_longer(tmp_path: Path) -> None:
    """Both end what was said of it."""
    sources, _ = cluster()
    async with opened(tmp_path, sources) as hub:
        assert await after(hub, Unread("a", PROBLEM), Unread("b", PROBLEM)) == (True, True, ())
        assert await after(hub, Delete("a"), Upsert("b", (Document({}, Origin("cluster")),))) == (
            False,
            False,
            (BOOKS,),
        )


@pytest.mark.parametrize(
    ("scope", "file", "hidden"),
    [
        (("c", "Pod/"), "c:Pod/shop/a", True),
        (("c", "Pod/"), "c:Pods/shop/a", False),
        (("c", "Pod"), "c:Pod/shop/a", False),
        (("c", ""), "c:Pod/shop/a", True),
        (("c", "a.yaml"), "c:a.yaml", True),
        (("c", "a.yaml"), "c:a.yaml.old", False),
        (("d", ""), "c:a.yaml", False),
    ],
)
def test_a_scope_hides_what_lies_in_it(scope: tuple[str, str], file: str, hidden: bool) -> None:  # noqa: FBT001
    """Whole names only; no other source's."""
    assert hides([scope], file) is hidden


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("{kind: cloud}", 'unknown kind of source "cloud"; use kind: directory or kind: memory'),
        ("{kind: memory, path: a}", "sources[0].path: unknown field; remove it"),
        ("{kind: memory}, {kind: memory}", 'sources[1].name: "memory" is also the name of another source'),
        ("{kind: directory}", "sources[0].path: is missing; add path: manifests"),
    ],
)
def test_a_wrong_source_is_named(tmp_path: Path, written: str, said: str) -> None:
    """The kind's own settings are its own; names are unique."""
    (tmp_path / "smihub.yaml").write_text(CONFIG.replace("{kind: memory, name: cluster}", written))
    with pytest.raises(ConfigError) as caught:
        Hub(config_of(tmp_path / "smihub.yaml"), with_sources(MemorySources()))
    assert said in str(caught.value)


async def test_what_went_before_its_scope_was_unread_is_not_recalled(tmp_path: Path) -> None:
    """This process was told that it is gone; only what nobody could read since the start counts as it was applied."""
    sources, source = cluster()
    source.put(target("second", matches="orders"))
    async with opened(tmp_path, sources) as hub:
        await apply(hub)
        source.remove("TrafficTarget/shop/second")
        hub.read()
        source.fail("TrafficTarget/")
        hub.read()
        plan = (await hub.plan(hub.meshes[0])).plan
        assert [line for line in plan.denied if "/orders" in line]
        assert not [line for line in plan.denied if "/books" in line]
    sources.opened["cluster"] = fresh = MemorySource("cluster")
    fresh._objects = dict(source._objects)
    fresh.fail("TrafficTarget/")
    async with opened(tmp_path, sources) as hub:
        assert (await hub.plan(hub.meshes[0])).plan.denied == ()


@pytest.mark.thorough
async def test_what_raised_when_it_was_read_first_counts_as_it_was_applied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was not read: what it granted stays."""
    sources, source = cluster()
    async with opened(tmp_path, sources) as hub:
        await apply(hub)
    sources.opened["cluster"] = fresh = MemorySource("cluster")
    fresh._objects = dict(source._objects)

    def fails(document: Document) -> Decoded:
        value: Any = document.value
        if value["kind"] == "TrafficTarget":
            raise KeyError("nobody thought of this")
        return decode(document)

    monkeypatch.setattr("hub.intake.decode", fails)
    (tmp_path / "smihub.yaml").write_text(CONFIG)
    hub = Hub(config_of(tmp_path / "smihub.yaml"), with_sources(sources))
    await Loop(hub).ingest("cluster", tuple(fresh.read()))
    plan = (await hub.plan(hub.meshes[0])).plan
    await hub.close()
    assert plan.denied == ()
    assert [str(each.ref) for each in hub.intake.problems()]


async def test_object_of_a_scope_that_was_never_read_is_not_known_to_be_gone(tmp_path: Path) -> None:
    """The source was read but for a kind; when that can be listed one object of it cannot be read: its grant stays."""
    sources, source = cluster()
    async with opened(tmp_path, sources) as hub:
        await apply(hub)
    sources.opened["cluster"] = fresh = MemorySource("cluster")
    fresh._objects = dict(source._objects)
    fresh.fail("TrafficTarget/")
    async with opened(tmp_path, sources) as hub:
        fresh.fail("TrafficTarget/shop/api-from-web")
        hub.read()
        assert (await hub.plan(hub.meshes[0])).plan.denied == ()
        fresh.remove("TrafficTarget/shop/api-from-web")
        fresh.fail()
        hub.read()
        assert (await hub.plan(hub.meshes[0])).plan.denied
