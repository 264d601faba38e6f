"""Open connections through changes that nobody saw, and through changes of identity: real Envoys with two workers.

Whatever went away and came back, or was another's for a while, takes the connections of before with it. Times are
printed; what is asserted is that nobody is served who must not be, once the bound of docs/vm.md has passed.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from tests.servers.kept import Http2, Watch, keep_asking, keep_echoing, keep_reading, now, upgrade
from tests.servers.live_mesh import LiveMesh
from tests.servers.raw_calls import Ask, http1, tcp
from tests.servers.shop import Shop, folder, grant, standing

pytestmark = pytest.mark.envoy
GENEROUS_S = 5.0
EACH = 4
"""Connections of each kind, so that both workers of an Envoy have some."""
LASTING = ("stream", "WebSocket", "TCP")


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    """Three workloads with an Envoy each, programmed; web may call every port of api."""
    async with standing(tmp_path) as made:
        yield made


class Kept:
    """Connections of web to api that are kept open and used: HTTP/1.1, a stream, a WebSocket, HTTP/2, raw bytes."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        kinds = ("HTTP/1.1", "stream", "WebSocket", "HTTP/2 stream", "HTTP/2", "TCP")
        self.watches = {f"{kind} {number}": Watch() for kind in kinds for number in range(EACH)}
        self.done = asyncio.Event()

    def start(self, group: asyncio.TaskGroup) -> None:
        """Open them all."""
        http, raw = self.shop.door("web", "http"), self.shop.door("web", "tcp")
        for number in range(EACH):
            of = {kind.rpartition(" ")[0]: watch for kind, watch in self.watches.items() if kind.endswith(str(number))}
            group.create_task(keep_asking(http, "/v1", of["HTTP/1.1"], self.done))
            group.create_task(keep_reading(http, Ask("GET", "/stream"), of["stream"]))
            group.create_task(keep_echoing(http, of["WebSocket"], upgrade("/ws")))
            group.create_task(self._http2(of["HTTP/2 stream"], of["HTTP/2"]))
            group.create_task(keep_echoing(raw, of["TCP"]))

    async def _http2(self, stream: Watch, asking: Watch) -> None:
        many = await Http2.open(self.shop.door("web", "http"))
        try:
            many.stream("/stream", stream)
            while not self.done.is_set() and (status := await many.status("/v1")) == 200:
                asking.note()
                await asyncio.sleep(0.01)
            asking.refused = now()
            assert status in {0, 200, 403, 503}
        finally:
            await many.close()
            if stream.ended is None:
                stream.ended = now()

    async def flowing(self) -> None:
        """Wait until each was served a few times."""
        async with asyncio.timeout(GENEROUS_S):
            while not all(watch.served > 3 for watch in self.watches.values()):  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    @property
    def alive(self) -> list[str]:
        """Those that were neither refused nor ended."""
        return [name for name, watch in self.watches.items() if watch.refused is None and watch.ended is None]

    async def gone(self, since: float) -> None:
        """Every one ends in time, counted from when its Envoy could know."""
        while self.alive and now() < since + GENEROUS_S:  # noqa: ASYNC110 - other processes
            await asyncio.sleep(0.02)
        last = max(watch.last_served for watch in self.watches.values())
        print(f"last served {1000 * (last - since):.0f} ms after")  # noqa: T201
        assert not self.alive

    async def ended(self, since: float, *kinds: str) -> None:
        """Every one of these kinds ends in time."""
        lasting = [watch for name, watch in self.watches.items() if name.startswith(kinds)]
        while any(watch.ended is None for watch in lasting) and now() < since + GENEROUS_S:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        assert all(watch.ended is not None for watch in lasting)


@asynccontextmanager
async def kept_open(shop: Shop) -> AsyncIterator[Kept]:
    """Connections that flow. At the end nobody asks any more, and an error ends them all."""
    made = Kept(shop)
    async with asyncio.TaskGroup() as group:
        try:
            made.start(group)
            await made.flowing()
            yield made
        finally:
            made.done.set()


async def connected(mesh: LiveMesh) -> float:
    """Wait until every Envoy is connected to the hub that serves now; when that was."""
    async with asyncio.timeout(30):
        for envoy in mesh.envoys.values():
            name = "control_plane.connected_state"
            while (await envoy.stats(name)).get(name) != 1:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.02)
    return now()


Edit = Callable[[dict[str, str]], dict[str, str]]


def without_grants(files: dict[str, str]) -> dict[str, str]:
    """Web is granted nothing at the two ports."""
    return {name: text for name, text in files.items() if name != "revoked.yaml"}


def _workloads(change: Callable[[str], str]) -> Edit:
    return lambda files: {**files, "workloads.yaml": change(files["workloads.yaml"])}


def _http_and_raw(files: dict[str, str]) -> dict[str, str]:
    """Each of the two ports is declared to be what the other is."""
    text = files["services.yaml"].replace("http-a, port: 8080", "tcp-x, port: 8080")
    return {**files, "services.yaml": text.replace("tcp-a, port: 5432", "http-x, port: 5432")}


FLAPS: dict[str, Edit] = {
    "Workload of api": _workloads(lambda text: text.partition("---\n")[2]),
    "Workload of web": _workloads(
        lambda text: "---\n".join(part for part in text.split("---\n") if "name: web" not in part)
    ),
    "protocols": _http_and_raw,
    "account of api": _workloads(lambda text: text.replace("serviceAccount: api", "serviceAccount: other")),
    "account of web": _workloads(lambda text: text.replace("serviceAccount: web", "serviceAccount: other")),
}


@pytest.mark.parametrize(
    "flap", [pytest.param(name, marks=[pytest.mark.slow] if "web" in name else []) for name in FLAPS]
)
async def test_what_went_and_came_back_unseen_takes_its_connections_with_it(shop: Shop, flap: str) -> None:
    """The hub is away; something goes, comes back, and the grant is gone; once the hub serves again, nobody is served."""
    mesh, files = shop.mesh, folder(shop.octet)
    async with kept_open(shop) as made:
        await mesh.rest()
        for step in (FLAPS[flap](files), without_grants(files)):
            mesh.replace(step)
            await mesh.apply()
            await mesh.rest()
        assert len(made.alive) == len(made.watches)
        await mesh.serve()
        await made.gone(await connected(mesh))


@pytest.mark.parametrize(
    "flap",
    ["protocols", *(pytest.param(name, marks=pytest.mark.slow) for name in ("Workload of api", "account of api"))],
)
async def test_what_went_and_came_back_with_its_grant_is_cut_too(shop: Shop, flap: str) -> None:
    """Raw connections and streams of before the flap end even though the same is granted again."""
    mesh, files = shop.mesh, folder(shop.octet)
    async with kept_open(shop) as made:
        await mesh.rest()
        for step in (FLAPS[flap](files), files):
            mesh.replace(step)
            await mesh.apply()
            await mesh.rest()
        await mesh.serve()
        await made.ended(await connected(mesh), *LASTING)


def other_account(files: dict[str, str]) -> dict[str, str]:
    """Web's Workload runs as an account that is granted nothing."""
    return FLAPS["account of web"](files)


async def _restart(mesh: LiveMesh, workload: str, variant: str) -> None:
    """Another Envoy for a workload, that speaks this variant."""
    await mesh.envoys[workload].stop()
    await mesh.start(workload, mesh.enrol(workload, variant=variant))
    await mesh.envoys[workload].ready()
    await mesh.settled()


@pytest.mark.parametrize("variant", ["delta", "sotw"])
async def test_account_that_changes_takes_its_connections_with_it(shop: Shop, variant: str) -> None:
    """The hub serves; whoever was web is nobody now: within the bound neither pooled nor raw connections speak as web."""
    mesh = shop.mesh
    await _restart(mesh, "shop/web", variant)
    async with kept_open(shop) as made:
        mesh.replace(other_account(folder(shop.octet)))
        await mesh.apply()
        await made.gone(now())
    await _never_served(shop)


async def test_envoy_finds_its_new_token(shop: Shop) -> None:
    """An account that changes leaves its Envoy without anything until it is bootstrapped anew, into the same folder."""
    mesh, door = shop.mesh, shop.door("web", "http")
    for files, status in ((other_account(folder(shop.octet)), 403), (folder(shop.octet), 200)):
        mesh.replace(files)
        await mesh.apply()
        async with asyncio.timeout(GENEROUS_S):
            while (await http1(door, Ask("GET", "/v1"))).status:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)
        assert not mesh.sink.report()["shop/web"]["enrolled"]
        mesh.enrol("shop/web")
        start = now()
        async with asyncio.timeout(45):
            while (await http1(door, Ask("GET", "/v1"))).status != status:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)
        print(f"served with the new token after {1000 * (now() - start):.0f} ms")  # noqa: T201
        assert mesh.sink.report()["shop/web"]["enrolled"]


@pytest.mark.parametrize("who", ["web", "api"])
async def test_workload_that_is_deleted_takes_its_connections_with_it(shop: Shop, who: str) -> None:
    """The hub serves: at the caller as at the receiver."""
    mesh = shop.mesh
    async with kept_open(shop) as made:
        mesh.replace(FLAPS[f"Workload of {who}"](folder(shop.octet)))
        await mesh.apply()
        await made.gone(now())


async def test_trust_domain_that_changes_cuts_what_was_opened_in_the_old_one(shop: Shop) -> None:
    """Every identity is another one then; tokens stay, because accounts do, and what is granted is served again."""
    mesh, config = shop.mesh, shop.mesh.base / "smihub.yaml"
    async with kept_open(shop) as made:
        await mesh.rest()
        config.write_text(config.read_text().replace("trustDomain: cluster.local", "trustDomain: other.example"))
        await mesh.apply()
        await mesh.serve()
        await made.ended(await connected(mesh), *LASTING)
    await mesh.settled()
    assert (await http1(shop.door("web", "http"), Ask("GET", "/v1"))).served
    assert (await tcp(shop.door("web", "tcp"))).served


async def test_account_that_changes_with_a_new_token_takes_its_connections_with_it(shop: Shop) -> None:
    """The hub is away; the account changes and its Envoy gets a new token; what it has pooled as web is not used again."""
    mesh = shop.mesh
    async with kept_open(shop) as made:
        await mesh.rest()
        mesh.replace(other_account(folder(shop.octet)))
        await mesh.apply()
        mesh.enrol("shop/web")
        await mesh.rest()
        await mesh.serve()
        await made.gone(await connected(mesh))
    await mesh.settled(cut=True)
    await _never_served(shop)
    assert {(await http1(shop.door("web", "http"), Ask("GET", "/v1"))).status for _ in range(EACH)} == {403}


async def _never_served(shop: Shop) -> None:
    """New connections and requests through web's sidecar reach no application."""
    for _ in range(2 * EACH):
        assert not (await http1(shop.door("web", "http"), Ask("GET", "/v1"))).served
        assert not (await tcp(shop.door("web", "tcp"))).served


async def test_account_of_a_receiver_that_changes_takes_its_connections_with_it(shop: Shop) -> None:
    """Who was called as api is somebody else now, whom web may call as well: what was opened to api still ends."""
    mesh, files = shop.mesh, FLAPS["account of api"](folder(shop.octet))
    text = "---\n".join([grant("web", "http"), grant("web", "tcp")])
    files["other.yaml"] = text.replace("name: api,", "name: other,").replace('name: "web-', 'name: "other-')
    async with kept_open(shop) as made:
        mesh.replace(files)
        await mesh.apply()
        await made.ended(now(), *LASTING)


async def test_state_restored_from_a_backup_does_not_keep_what_it_revokes(shop: Shop, tmp_path: Path) -> None:
    """The Envoys have seen a later life of the state file; a revocation in its second life cuts all the same."""
    mesh, files = shop.mesh, folder(shop.octet)
    state, backup = tmp_path / ".smihub" / "hub.sqlite", tmp_path / "backup"
    _copy(state, backup)
    for step in (without_grants(files), files):
        mesh.replace(step)
        await mesh.apply()
        await mesh.settled(cut=True)
    async with kept_open(shop) as made:
        await mesh.rest()
        for file in state.parent.glob("hub.sqlite*"):
            file.unlink()
        shutil.copy(backup, state)
        state.chmod(0o600)
        mesh.replace(without_grants(files))
        await mesh.apply()
        await mesh.rest()
        await mesh.serve()
        await made.gone(await connected(mesh))


def _copy(state: Path, backup: Path) -> None:
    with closing(sqlite3.connect(state)) as db, closing(sqlite3.connect(backup)) as copy:
        db.backup(copy)


@pytest.mark.parametrize("variant", ["delta", "sotw"])
async def test_nobody_slips_in_while_an_envoy_learns_of_a_revocation(shop: Shop, variant: str) -> None:
    """Web connects all the time while the hub comes back with a revocation: what was let in before it, is cut after it."""
    mesh, files, watches = shop.mesh, folder(shop.octet), list[Watch]()
    await _restart(mesh, "shop/api", variant)
    await mesh.rest()
    mesh.replace(without_grants(files))
    await mesh.apply()
    await mesh.rest()
    done = asyncio.Event()

    async def connect_again_and_again(group: asyncio.TaskGroup) -> None:
        while not done.is_set():
            watches.append(Watch())
            group.create_task(keep_echoing(shop.door("web", "tcp"), watches[-1]))
            await asyncio.sleep(0.002)

    async with asyncio.TaskGroup() as group:
        calls = group.create_task(connect_again_and_again(group))
        await asyncio.sleep(0.2)
        await mesh.serve()
        await mesh.settled()
        start = await connected(mesh)
        await asyncio.sleep(0.5)
        done.set()
        await calls
        while any(watch.ended is None for watch in watches) and now() < start + GENEROUS_S:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        alive = [watch for watch in watches if watch.ended is None]
        print(f"{len(watches)} connections, {sum(bool(watch.served) for watch in watches)} served, {len(alive)} alive")  # noqa: T201
        assert not alive
        assert any(watch.served for watch in watches)
