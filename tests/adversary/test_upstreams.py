"""Who on a machine can call as a workload: those whom its Unix sockets let in, and nobody else unless that is said."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.adversary.machine import MEMBER, NOBODY, as_user, needs_root
from tests.servers.live_mesh import LiveMesh, free_octet
from tests.servers.many_apps import Apps
from tests.servers.one_grant import POLICY

pytestmark = [pytest.mark.envoy, needs_root]
PORT = 8080
WORKLOAD = """\
---
apiVersion: smihub.io/v1alpha1
kind: Workload
metadata: {{name: {name}, namespace: shop, labels: {{app: {name}}}}}
spec: {{serviceAccount: {name}, addresses: [127.{octet}.0.{number}], {more}}}
"""


class Site:
    """`web` calls `api` through sockets in `folder`, which everybody may enter, and in `folder`/games."""

    def __init__(self, mesh: LiveMesh, folder: Path, octet: int) -> None:
        self.mesh = mesh
        self.folder = folder
        self.octet = octet
        self.open = folder / "open" / "api.sock"
        self.grouped = folder / "grouped" / "api.sock"

    def files(self, *upstreams: str) -> dict[str, str]:
        """The folder of SMI, in which web has these upstreams."""
        port = f"ports: [{{port: {PORT}, appAddress: 127.{self.octet}.1.1}}]"
        called = ", ".join(f"{{service: api, port: {PORT}, {each}}}" for each in upstreams)
        api = WORKLOAD.format(name="api", octet=self.octet, number=1, more=port)
        web = WORKLOAD.format(name="web", octet=self.octet, number=2, more=f"upstreams: [{called}]")
        return {"all.yaml": POLICY + api + web}

    async def apply(self, *upstreams: str) -> None:
        """Bring these upstreams about."""
        self.mesh.replace(self.files(*upstreams))
        await self.mesh.apply()
        if self.mesh.envoys:
            await self.mesh.settled()

    @property
    def tcp(self) -> tuple[str, int]:
        """Where web would listen on loopback."""
        return f"127.{self.octet}.2.2", PORT


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other users may enter; that of pytest is closed to them."""
    made = Path(tempfile.mkdtemp(prefix="smihub-test-"))
    made.chmod(0o755)
    for name, group, mode in (("open", 0, 0o755), ("grouped", MEMBER[1], 0o2750)):
        (made / name).mkdir()
        os.chown(made / name, 0, group)
        (made / name).chmod(mode)
    try:
        yield made
    finally:
        shutil.rmtree(made)


@pytest.fixture
async def site(tmp_path: Path, folder: Path) -> AsyncIterator[Site]:
    """Two real Envoys, with both sockets."""
    octet = free_octet([PORT], 3)
    apps, site = Apps(), Site(LiveMesh(tmp_path), folder, octet)
    try:
        await apps.start("app", (f"127.{octet}.1.1", PORT))
        await site.apply(f"path: {site.open}", f"path: {site.grouped}")
        await site.mesh.serve()
        for name in ("shop/api", "shop/web"):
            await site.mesh.start(name, site.mesh.enrol(name))
        for envoy in site.mesh.envoys.values():
            await envoy.ready()
        await site.mesh.settled()
        yield site
    finally:
        await site.mesh.stop()
        await apps.stop()


async def status_at(place: Path | tuple[str, int]) -> int:
    """The status of one request of our own (root's); 0 if nobody listens."""
    opening: Any = (
        asyncio.open_unix_connection(str(place)) if isinstance(place, Path) else asyncio.open_connection(*place)
    )
    try:
        reader, writer = await opening
    except OSError:
        return 0
    writer.write(b"GET /v1 HTTP/1.1\r\nhost: api\r\nconnection: close\r\n\r\n")
    head = b""
    with suppress(ConnectionError):
        head = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    return int(head.split()[1]) if head else 0


async def reached(place: Path | tuple[str, int], *groups: int) -> bool:
    """Whether uid 65534 of these groups can connect."""
    sockets = [str(place)] if isinstance(place, Path) else []
    ports = [] if isinstance(place, Path) else [place]
    asked: dict[str, Any] = {"sockets": sockets, "ports": ports, "files": [], "pids": []}
    found = await asyncio.to_thread(as_user, "reach", groups or (NOBODY,), **asked)
    return bool(found["sockets"] or found["ports"])


async def test_unix_sockets_serve_their_group_alone(site: Site) -> None:
    """The application's group calls as web; another user is refused by the mode, and by the folder if that is closed."""
    assert [await status_at(site.open), await status_at(site.grouped)] == [200, 200]
    assert [stat.S_IMODE(each.stat().st_mode) for each in (site.open, site.grouped)] == [0o660, 0o660]
    assert site.grouped.stat().st_gid == MEMBER[1], "a folder with setgid gives sockets its group"
    assert not await reached(site.open)
    assert not await reached(site.grouped)
    assert not await reached(site.open, *MEMBER)
    assert await reached(site.grouped, *MEMBER)


async def test_loopback_is_lent_only_where_that_is_said(site: Site) -> None:
    """Every local user could call as web there: not without `shared: host`, and never on another address."""
    address, port = site.tcp
    where = f"address: {address}, localPort: {port}"
    await site.apply(where, "address: 0.0.0.0, localPort: 18081, shared: host")
    assert await status_at(site.tcp) == 0
    assert await status_at(("127.0.0.1", 18081)) == 0
    assert not await reached(site.tcp)
    await site.apply(f"{where}, shared: host")
    assert await status_at(site.tcp) == 200
    assert await reached(site.tcp)


async def test_socket_that_cannot_be_had_harms_no_other(site: Site) -> None:
    """A folder that is not there costs that one upstream; others are served and revocations arrive."""
    missing = site.folder / "missing" / "api.sock"
    site.mesh.replace(site.files(f"path: {site.open}", f"path: {missing}"))
    await site.mesh.apply()
    async with asyncio.timeout(10):
        while await status_at(site.grouped):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)
    assert await status_at(site.open) == 200
    site.mesh.replace(
        {"all.yaml": site.files(f"path: {site.open}", f"path: {missing}")["all.yaml"].replace("GET", "PUT")}
    )
    await site.mesh.apply()
    async with asyncio.timeout(10):
        while await status_at(site.open) != 403:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)
    missing.parent.mkdir()
    site.mesh.replace(site.files(f"path: {site.open}"))
    await site.mesh.apply()
    await site.mesh.settled()
    await site.apply(f"path: {site.open}", f"path: {missing}")
    assert [await status_at(site.open), await status_at(missing)] == [200, 200]
