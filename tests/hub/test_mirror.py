"""The mirror after a write is what a fresh reading gives, in every field, whatever sink wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from msgspec.structs import replace

from hub.mirror import Mirror
from hub.model import Change, Observation, Observed, Op, Role, UnitKey
from hub.reconcile.hub import Hub
from hub.reconcile.rollout import roll_out
from tests.hub.sinks.istio_shop import POLICY_FILE, RENDERED, bound, istio_shop
from tests.hub.sinks.small_mesh import access, native
from tests.servers.folder import Folder, shop, target, workload
from tests.servers.hubs import hub_of

Edit = Callable[[Folder], object]
EDITS: dict[str, Edit] = {
    "nothing": lambda folder: folder.manifests,
    "more is granted": lambda folder: folder.write("more.yaml", target("more", matches="orders")),
    "less is granted": lambda folder: folder.remove("access.yaml"),
    "somebody comes": lambda folder: folder.write("late.yaml", workload("late", 1), bound("late"), target("l", "late")),
    "somebody goes": lambda folder: folder.remove("workloads.yaml"),
    "another account": lambda folder: folder.write(
        "workloads.yaml", (folder.manifests / "workloads.yaml").read_bytes().replace(b"ount: api", b"ount: other")
    ),
}


async def follow(hub: Hub, mirror: Mirror, keys: Iterable[UnitKey] | None) -> tuple[Change, ...]:
    """Plan these units as the mirror shows them, write, and let it follow; what was written."""
    mesh = hub.meshes[0]
    made = hub.clusters[""].planner.planned(mesh, mirror, keys=keys).plan
    done = await roll_out(mesh.sink, made, mirror)
    assert not done.stopped
    mirror.follow(done.written, done.memory, done.token)
    return made.changes


@pytest.mark.thorough
@pytest.mark.parametrize("made", [shop, istio_shop])
@pytest.mark.parametrize("edit", EDITS)
async def test_the_mirror_after_a_write_is_a_fresh_reading(
    tmp_path: Path, made: Callable[[Path], Folder], edit: str
) -> None:
    """Objects with their tokens, memory, revision; and what it counts. Units that change alone, as in a running hub."""
    folder = made(tmp_path)
    hub = hub_of(folder.root / "smihub.yaml")
    hub.read()
    mirror = Mirror(await hub.meshes[0].sink.observe())
    assert await follow(hub, mirror, None)
    hub.clusters[""].store.dirty()
    EDITS[edit](folder)
    hub.read()
    await follow(hub, mirror, hub.clusters[""].store.dirty())
    seen = await hub.meshes[0].sink.observe()
    fresh = Mirror(seen)
    assert mirror.whole() == seen
    assert (mirror.units, mirror.governed, mirror.empty) == (fresh.units, fresh.governed, fresh.empty)
    assert all(one.token for one in seen.objects.values())
    await hub.close()


async def applied(root: Path) -> Folder:
    """The shop on Istio, applied by another process."""
    folder = istio_shop(root)
    hub = hub_of(folder.root / "smihub.yaml")
    hub.read()
    await hub.apply(hub.meshes[0], (await hub.plan(hub.meshes[0])).plan)
    await hub.close()
    return folder


@pytest.mark.thorough
async def test_an_object_that_changed_by_itself_is_not_written_over(tmp_path: Path) -> None:
    """A change presumes its object's own token, not that of the folder alone."""
    folder = await applied(tmp_path)
    folder.write("access.yaml", target("api-from-web", matches="orders"))
    hub = hub_of(folder.root / "smihub.yaml")
    hub.read()
    seen = await hub.meshes[0].sink.observe()
    before = (folder.root / RENDERED / POLICY_FILE).read_bytes()
    other = {ref: replace(one, token="another") for ref, one in seen.objects.items()}
    mirror = Mirror(replace(seen, objects=other))
    made = hub.clusters[""].planner.planned(hub.meshes[0], mirror).plan
    assert made.changes
    done = await roll_out(hub.meshes[0].sink, made, mirror)
    assert {each.state for key, each in done.results.items() if key.name == "api"} == {"stale"}
    assert "has changed" in str(done.results)
    assert (folder.root / RENDERED / POLICY_FILE).read_bytes() == before
    await hub.close()


@pytest.mark.thorough
async def test_a_folder_whose_list_was_edited_is_read_anew_after_the_write(tmp_path: Path) -> None:
    """That write puts the list right, which the changes do not say."""
    folder = await applied(tmp_path)
    listed = folder.root / RENDERED / "kustomization.yaml"
    listed.write_text(listed.read_text() + "# mine\n")
    folder.write("access.yaml", target("api-from-web", matches="orders"))
    hub = hub_of(folder.root / "smihub.yaml")
    hub.read()
    mesh = hub.meshes[0]
    assert (await mesh.observed()).mends
    await hub.apply(mesh, (await hub.plan(mesh)).plan)
    assert (await mesh.observed()).whole() == await mesh.sink.observe()
    assert not (await mesh.observed()).mends
    await hub.close()


def test_mirror_keeps_what_others_asked_for_and_forgets_what_is_forgotten() -> None:
    """An object stays to be left alone when it is written; a unit that goes is remembered no more."""
    key, object_ = access("api"), native(Role.GRANT, "api")
    observed = Observed(object_.ref, b"{}", key, "1", object_.role, paused=True)
    mirror = Mirror(Observation({object_.ref: observed}, {key: b"{}"}, "1"))
    mirror.follow([(Change(Op.REPLACE, object_.ref, 4, b"{}", object_, key, "1"), "2")], {key: b""}, "2")
    after = Observed(object_.ref, object_.body, key, "2", object_.role, paused=True)
    assert mirror.whole() == Observation({object_.ref: after}, {}, "2")
