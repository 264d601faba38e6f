"""Never someone else's: whatever is planned, applied, adopted, released and left alone, in any order, beside a stranger.

The stranger writes, edits and removes files of his own in the folder between any two acts; what he wrote last is what is
there at the end, but for objects that were adopted by name.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from hub.errors import SmihubError
from hub.model import UnitKey
from hub.reconcile.hub import Hub
from hub.reconcile.ownership import adopt_all, adoptions, held_by, release_unit, remove_unit, set_paused
from tests.hub.sinks.istio_shop import PEERS_FILE, POLICY_FILE, RENDERED, config, istio_shop
from tests.hub.sinks.small_mesh import content
from tests.servers.folder import Folder, target
from tests.servers.hubs import hub_of, mesh_of

API = UnitKey("access", "shop", "api")
SCOPES = ("targets", "all", "{namespaces: [other]}")
SOURCES = ("books", "orders", "")
"""Which match of the routes the one TrafficTarget grants; "": there is none."""
FILES = ("mine.yaml", Path(POLICY_FILE).name, Path(PEERS_FILE).name, "zz.json")
NOISE = b"a: 1\n"
acts = st.one_of(
    st.tuples(st.just("scope"), st.sampled_from(SCOPES)),
    st.tuples(st.just("source"), st.sampled_from(SOURCES)),
    st.tuples(st.sampled_from(["apply", "apply", "adopt", "release", "delete", "off", "on"]), st.just("")),
    st.tuples(st.sampled_from(["write", "copy", "vanish"]), st.sampled_from(FILES)),
)
QUICK = settings(
    max_examples=60,
    derandomize=True,
    database=None,
    deadline=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)


class Stranger:
    """Somebody who keeps files in `objects` and never writes over another's."""

    def __init__(self, root: Path) -> None:
        self.files: dict[str, bytes] = {}
        self._objects = root / RENDERED / "objects"

    def act(self, what: str, name: str) -> None:
        """Write something, write what smihub wants but unmarked, or remove it."""
        place = self._objects / name
        if name in self.files:
            place.unlink()
            del self.files[name]
        elif what != "vanish" and not place.exists():
            self._objects.mkdir(parents=True, exist_ok=True)
            self.files[name] = NOISE if what == "write" else self._wanted()
            place.write_bytes(self.files[name])

    def _wanted(self) -> bytes:
        policy = {"action": "ALLOW", "selector": {"matchLabels": {"smihub.io/sa": "api"}}}
        metadata = {"name": "smihub-api", "namespace": "shop"}
        kind = {"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy"}
        return yaml.safe_dump({**kind, "metadata": metadata, "spec": policy}).encode()

    def gave_away(self) -> None:
        """He was asked for what smihub wants: of that, what is not as he wrote it is his no more."""
        changed = {name for name, data in self.files.items() if self._standing(name) != data}
        assert all(self.files[name] != NOISE for name in changed)
        self.files = {name: data for name, data in self.files.items() if name not in changed}

    def received(self, before: set[str]) -> None:
        """What was ours and is not marked any more is his."""
        for name in before:
            data = self._standing(name)
            if data and b"smihub.io/mesh" not in data:
                self.files[name] = data

    def ours(self) -> dict[str, bytes]:
        """The files that are not his."""
        return {
            name.removeprefix("objects/"): data
            for name, data in content(self._objects.parent).items()
            if name.startswith("objects/") and name.removeprefix("objects/") not in self.files
        }

    def must_have_his_own(self) -> None:
        """Each of his files is as he wrote it."""
        assert {name: self._standing(name) for name in self.files} == self.files

    def _standing(self, name: str) -> bytes:
        place = self._objects / name
        return place.read_bytes() if place.exists() else b""


async def tell(folder: Folder, stranger: Stranger, story: list[tuple[str, str]]) -> None:
    """Do one thing after the other, each as a fresh process would."""
    for what, more in story:
        if what == "scope":
            folder.config(config(more))
        elif what == "source":
            _grant(folder, more)
        elif what in {"write", "copy", "vanish"}:
            stranger.act(what, more)
        else:
            with suppress(SmihubError):  # refused, stale, or nobody can tell what is ours: nothing is written
                await _as_a_process(folder, stranger, what)
        stranger.must_have_his_own()


def _grant(folder: Folder, match: str) -> None:
    """Have the one TrafficTarget grant this match, or nothing."""
    nothing = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: shop}\n"
    folder.write("access.yaml", target("api-from-web", matches=match) if match else nothing)


async def _as_a_process(folder: Folder, stranger: Stranger, verb: str) -> None:
    hub = hub_of(folder.root / "smihub.yaml")
    hub.read()
    before = stranger.ours()
    try:
        await VERBS[verb](hub)
    finally:
        await hub.close()
        if verb == "adopt":
            stranger.gave_away()
        if verb == "release":
            stranger.received(set(before))
    if verb == "apply":
        after = stranger.ours()
        alone = {name: data for name, data in before.items() if b"smihub.io/paused" in data}
        assert {name: after.get(name) for name in alone} == alone


async def _apply(hub: Hub) -> None:
    reviewed = await hub.plan(mesh_of(hub, "istio"))
    if not reviewed.refusals:
        await hub.apply(reviewed.mesh, reviewed.plan)
        again = await hub.plan(reviewed.mesh)
        assert not again.plan.changes


async def _adopt(hub: Hub) -> None:
    mesh = mesh_of(hub, "istio")
    await adopt_all(hub, mesh, [each for each in await adoptions(hub, mesh) if not each.differences])


async def _release(hub: Hub) -> None:
    mesh = mesh_of(hub, "istio")
    await release_unit(mesh, API, await held_by(hub, mesh, API))


async def _delete(hub: Hub) -> None:
    mesh = mesh_of(hub, "istio")
    await remove_unit(mesh, API, await held_by(hub, mesh, API))


async def _set_paused(hub: Hub, *, paused: bool) -> None:
    mesh = mesh_of(hub, "istio")
    for observed in [one for one in (await mesh.observed()).whole().objects.values() if one.owner is not None]:
        await set_paused(mesh, observed, paused=paused)


VERBS: Mapping[str, Callable[[Hub], Awaitable[None]]] = {
    "apply": _apply,
    "adopt": _adopt,
    "release": _release,
    "delete": _delete,
    "off": partial(_set_paused, paused=True),
    "on": partial(_set_paused, paused=False),
}


@QUICK
@given(st.lists(acts, min_size=3, max_size=14))
def test_foreign_bytes_are_as_they_were_unless_adopted(story: list[tuple[str, str]]) -> None:
    """What was released is the stranger's from then on; what is to be left alone, no apply writes."""
    with tempfile.TemporaryDirectory() as base:
        folder = istio_shop(Path(base))
        stranger = Stranger(folder.root)
        asyncio.run(tell(folder, stranger, story))


@pytest.mark.thorough
async def test_a_story_in_which_everything_happens(tmp_path: Path) -> None:
    """The verbs above do what they say, so that the property is about something."""
    folder = istio_shop(tmp_path)
    stranger = Stranger(folder.root)
    _grant(folder, "")
    folder.config(config("all"))
    await tell(folder, stranger, [("copy", Path(POLICY_FILE).name), ("apply", "")])
    assert stranger.ours() == {}
    await tell(folder, stranger, [("adopt", ""), ("apply", "")])
    assert stranger.files == {}
    assert len(stranger.ours()) == 6
    await tell(folder, stranger, [("off", ""), ("source", "books"), ("apply", ""), ("on", ""), ("apply", "")])
    assert b"/books" in stranger.ours()[Path(POLICY_FILE).name]
    await tell(folder, stranger, [("scope", SCOPES[2]), ("release", "")])
    assert stranger.files.keys() == {Path(POLICY_FILE).name, Path(PEERS_FILE).name}
    await tell(folder, stranger, [("scope", "all"), ("apply", ""), ("adopt", ""), ("scope", SCOPES[2]), ("delete", "")])
    assert stranger.files == {}
    assert len(stranger.ours()) == 4
