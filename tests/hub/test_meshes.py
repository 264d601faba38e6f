"""Configured meshes: what a sink is told, and what no two meshes may share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from msgspec import Struct
from msgspec.structs import replace

from hub.api import Evaluator, Facts, SinkContext, SinkSpec, Written
from hub.errors import ConfigError
from hub.meshes import Mesh, meshes_of
from hub.model import Change, NativeObject, Observation, Op, Role, UnitKey
from hub.plugins import installed_plugins
from hub.sinks.kubernetes import KUBERNETES
from hub.testing.memory import MemoryMesh, MemoryMeshes
from tests.hub.sinks.small_mesh import native
from tests.servers.hubs import config_of

CONFIG = """\
domain: {{name: eu, trustDomain: example.org}}
sources: [{{path: .}}]
state: kept
meshes: [{meshes}]
"""


class Settings(Struct, frozen=True):
    """The sink's own."""

    colour: str = ""


class Memory:
    """A sink in memory that shows what it was opened with."""

    def __init__(self, context: SinkContext, settings: Settings) -> None:
        self.opened = (context, settings)

    async def observe(self) -> Observation:
        """See hub.api.Transactional."""
        return Observation()

    def refused(self, changes: Sequence[Change]) -> Sequence[Written]:
        """See hub.api.Transactional."""
        return ()

    async def write_all(self, changes: Sequence[Change], memory: Mapping[UnitKey, bytes], token: str) -> str:
        """See hub.api.Transactional."""
        return token

    async def close(self) -> None:
        """See hub.api.Transactional."""


@pytest.mark.parametrize("needs_state", [True, False])
def test_a_sink_is_told_where_it_is(tmp_path: Path, needs_state: bool) -> None:  # noqa: FBT001
    """Its mesh, domain, trust domain and folders; the state folder is made for whoever needs one, and no earlier."""
    plugins, opened = installed_plugins(), list[Memory]()

    def open_(context: SinkContext, settings: Settings) -> Memory:
        opened.append(Memory(context, settings))
        return opened[-1]

    spec = SinkSpec("memory", Settings, open_, family="kubernetes", needs_state=needs_state)
    plugins = replace(plugins, sinks={**plugins.sinks, "memory": spec})
    (tmp_path / "smihub.yaml").write_text(
        CONFIG.format(meshes="{name: one, adapter: istio, sink: {kind: memory, colour: blue}}")
    )
    (mesh,) = meshes_of(config_of(tmp_path / "smihub.yaml"), plugins)
    assert mesh.untouched is needs_state
    assert not (tmp_path / "kept").exists()
    assert mesh.sink is opened[0]
    assert opened[0].opened == (
        SinkContext("one", "eu", "example.org", tmp_path / "kept", tmp_path, family=KUBERNETES),
        Settings("blue"),
    )
    assert (tmp_path / "kept").exists() is needs_state


@pytest.mark.parametrize(
    "meshes",
    [
        "{name: one, adapter: istio, sink: {path: a}}, {name: two, adapter: istio, sink: {path: b/../a}}",
        "{name: one, adapter: vm, sink: {address: 'unix:/run/a'}}, {name: two, adapter: vm, sink: {address: 'unix:/run/a'}}",
    ],
)
def test_what_is_exclusive_is_one_mesh_s(tmp_path: Path, meshes: str) -> None:
    """A folder however it is written, and a socket: two meshes that shared one would each undo the other's work."""
    (tmp_path / "smihub.yaml").write_text(CONFIG.format(meshes=meshes))
    with pytest.raises(
        ConfigError, match=r'meshes\[1\]\.sink: ".*a" is also used by mesh "one"; give each mesh its own'
    ):
        meshes_of(config_of(tmp_path / "smihub.yaml"), installed_plugins())


def test_meshes_of_one_state_file_share_it(tmp_path: Path) -> None:
    """Each has its own part of it."""
    (tmp_path / "smihub.yaml").write_text(CONFIG.format(meshes="{name: one, adapter: vm}, {name: two, adapter: vm}"))
    assert len(meshes_of(config_of(tmp_path / "smihub.yaml"), installed_plugins())) == 2


def test_an_evaluator_knows_the_settings_of_its_mesh(tmp_path: Path) -> None:
    """Where its objects alone do not tell what they mean; without settings it is that of the defaults."""
    asked = list[object]()

    def settled(settings: object) -> Callable[[Sequence[NativeObject], Facts], Evaluator]:
        asked.append(settings)
        return vm.evaluator

    plugins = installed_plugins()
    vm = plugins.adapters["vm"]
    odd = replace(plugins.adapters["istio"], settled=settled)
    (tmp_path / "smihub.yaml").write_text(CONFIG.format(meshes="{name: a, adapter: istio, sink: {path: a}}"))
    (mesh,) = meshes_of(
        config_of(tmp_path / "smihub.yaml"), replace(plugins, adapters={**plugins.adapters, "istio": odd})
    )
    assert asked == [mesh.settings]
    assert mesh.spec.evaluator is vm.evaluator
    assert vm.under(None) is vm


@pytest.fixture(name="mesh")
def make_mesh(tmp_path: Path) -> tuple[Mesh, MemoryMesh]:
    """A configured mesh, and what it is in memory."""
    (tmp_path / "smihub.yaml").write_text(CONFIG.format(meshes="{name: a, adapter: istio, sink: {kind: memory-apart}}"))
    memory, plugins = MemoryMeshes(), installed_plugins()
    plugins = replace(plugins, sinks={**plugins.sinks, **memory.specs})
    (mesh,) = meshes_of(config_of(tmp_path / "smihub.yaml"), plugins)
    return mesh, memory.meshes.setdefault("a", MemoryMesh())


async def test_reading_of_before_a_write_of_ours_is_not_taken_for_what_stands(mesh: tuple[Mesh, MemoryMesh]) -> None:
    """It is read once more; one that nobody wrote beside is taken."""
    configured, memory = mesh
    change = change_of(native(Role.GUARD, "api"))
    reading = asyncio.create_task(configured.observed())
    await asyncio.sleep(0)  # it has begun
    before, real = Observation(), memory.observed
    memory.observed = lambda: before  # type: ignore[method-assign]
    configured.wrote([(change, memory.carry_out(change))], {}, "")
    await asyncio.sleep(0)
    memory.observed = real  # type: ignore[method-assign]
    assert (await reading).get(change.ref) is not None
    assert await configured.observed() is configured.mirror


async def test_edit_that_undoes_a_write_of_ours_is_somebody_s_change(mesh: tuple[Mesh, MemoryMesh]) -> None:
    """Also where news come before the write has ended, and a file has the token of its content; the write alone is no change."""
    configured, memory = mesh
    theirs, ours = (change_of(native(Role.GRANT, "api", {"by": who})) for who in ("them", "us"))
    for undone, drifted in ((False, set()), (True, {ours.unit})):
        memory.carry_out(theirs)
        configured.invalidate_mirror()
        await configured.observed()
        configured.drifted.clear()
        configured.invalidate_mirror()
        edited = memory.objects[ours.ref]
        configured.wrote([(ours, memory.carry_out(ours))], {}, "")
        if undone:
            memory.objects[ours.ref] = edited
        await configured.observed()
        assert configured.drifted == drifted


def change_of(after: NativeObject) -> Change:
    """It is written, whatever stood there."""
    return Change(Op.REPLACE, after.ref, 1, None, after, UnitKey("access", "shop", "api"))
