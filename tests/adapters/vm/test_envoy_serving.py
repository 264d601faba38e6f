"""Real Envoys fed by the serving sink: both variants, renewal, refusal, restart, revocation on open connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest

from adapters.vm import names
from adapters.vm.bootstrap.envoy import Sidecar, write_private
from adapters.vm.carry_over import carry_over
from adapters.vm.config import VmConfig
from adapters.vm.safety.check import check
from adapters.vm.serve.sink import utc_now
from adapters.vm.translate.unit import translate
from hub.api import (
    Access,
    Change,
    Client,
    Endpoint,
    Facts,
    Grant,
    HttpMatch,
    Identity,
    InboundPort,
    NativeObject,
    ObjectRef,
    Op,
    Placement,
    Route,
    RoutePort,
    Unit,
)
from tests.servers.envoy import App, Envoy, Http, echo, eventually, serving, start_envoy, status_of
from tests.servers.ports import held_port
from tests.servers.xds import TD, UNIT, Rig

pytestmark = pytest.mark.envoy
API, WEB = Identity(TD, "d", "api"), Identity(TD, "d", "web")
ORIGIN = ObjectRef("access.smi-spec.io", "TrafficTarget", "d", "t")
RULES = {"get": HttpMatch(path="/v1/.*", methods=("GET",)), "stream": HttpMatch(path="/stream", methods=("GET",))}


def ref(name: str) -> ObjectRef:
    """A Workload's ref."""
    return ObjectRef("smihub.io", "Workload", "d", name)


class Mesh:
    """Two workloads: `d/web` calls `d/api` on an HTTP port and two TCP ports, each through its own Envoy."""

    def __init__(self, rig: Rig, folder: Path, apps: dict[str, int]) -> None:
        self.rig = rig
        self.folder = folder
        self.app_ports = apps
        self.inbound = {name: held_port() for name in apps}
        self.outbound = {name: held_port() for name in apps}
        self.numbers = {name: 80 + index for index, name in enumerate(apps)}
        self.envoys: dict[str, Envoy] = {}

    def units(self, rules: Sequence[str] = ("get", "stream"), tcp: Sequence[str] = ("tcp", "other")) -> list[Unit]:
        """The intent: which HTTP rules and which TCP ports `web` is granted."""
        declared: dict[str, Literal["http", "tcp"]] = {
            name: "http" if name == "http" else "tcp" for name in self.inbound
        }
        ports = tuple(
            InboundPort(
                self.inbound[name], "TCP", declared[name], declared[name], self.app_ports[name], binds=("127.0.0.1",)
            )
            for name in self.inbound
        )
        http = Grant(ORIGIN, (WEB.spiffe,), "TCP", (self.inbound["http"],), tuple(RULES[rule] for rule in rules))
        raw = Grant(ORIGIN, (WEB.spiffe,), "TCP", tuple(self.inbound[name] for name in tcp), None)
        grants = ((http,) if rules else ()) + ((raw,) if tcp else ())
        inbound = tuple((port.port, port.transport, port.variant) for port in ports)
        api = Placement(ref("api"), API, bind="127.0.0.1", inbound=inbound)
        upstreams = tuple(("d", "api", self.numbers[name], "127.0.0.1", self.outbound[name]) for name in self.inbound)
        web = Placement(ref("web"), WEB, bind="127.0.0.1", upstreams=upstreams)
        routes = tuple(
            RoutePort(
                self.numbers[name],
                "TCP",
                declared[name],
                callees=(API.spiffe,),
                clients=(Client(ref("web"), "127.0.0.1", self.outbound[name]),),
            )
            for name in self.inbound
        )
        return [
            Access(API, grants, ports, (api,)),
            Access(WEB, workloads=(web,)),
            Route("d", "api", routes),
        ]

    async def apply(self, units: Sequence[Unit]) -> None:
        """Plan and write like the hub does."""
        observed = (await self.rig.sink.observe()).objects
        made = [item for unit in units for item in translate(unit, VmConfig()).objects]
        desired = {item.ref: item for item in carry_over(made, observed)}
        changes = [_put(item) for item in desired.values() if _differs(item, observed.get(item.ref))]
        gone = [Change(Op.DELETE, key, 7, b"", None, UNIT) for key in observed if key not in desired]
        await self.rig.write(changes + gone)

    async def publish(self) -> None:
        """The endpoints of `d/api`."""
        endpoints = {
            ("d", "api", self.numbers[name]): (Endpoint(ref("api"), API.spiffe, "127.0.0.1", port),)
            for name, port in self.inbound.items()
        }
        await self.rig.sink.publish(Facts(TD, endpoints=endpoints))

    async def start_envoys(self) -> None:
        """`d/api` speaks the incremental variant, `d/web` the other one."""
        variants: dict[str, Literal["delta", "sotw"]] = {"api": "delta", "web": "sotw"}
        for name, variant in variants.items():
            folder = self.folder / name
            sidecar = Sidecar(f"d/{name}", self.rig.address, f"unix:{folder}/admin.sock", folder, variant)
            self.envoys[name] = await start_envoy(sidecar, self.rig.token(f"d/{name}"))
        for envoy in self.envoys.values():
            await envoy.ready()
        await eventually(self.outbound["http"], "/v1/a", 200)

    async def programmed(self) -> None:
        """Wait until both sidecars accepted everything."""
        async with asyncio.timeout(10):
            while not self._settled():  # noqa: ASYNC110 - other processes
                await asyncio.sleep(0.02)

    def _settled(self) -> bool:
        seen = self.rig.sink.status()
        return len(seen) == 2 and all(item.programmed for item in seen.values())


def _put(item: NativeObject) -> Change:
    return Change(Op.REPLACE, item.ref, 1, None, item, UNIT)


def _differs(item: NativeObject, observed: Any) -> bool:
    return observed is None or observed.owned != item.body or observed.needs != item.needs


@pytest.fixture
async def mesh(tmp_path: Path) -> AsyncIterator[Mesh]:
    """The mesh, serving and programmed; certificates live for six seconds, so that every test sees renewals."""
    async with AsyncExitStack() as stack:
        apps = {
            "http": await stack.enter_async_context(serving(App("api"))),
            "tcp": await stack.enter_async_context(serving(echo)),
            "other": await stack.enter_async_context(serving(echo)),
        }
        rig = Rig(tmp_path, check, certificate_life_s=6)
        rig.sink._clock = utc_now
        made = Mesh(rig, tmp_path, apps)
        await made.apply(made.units())
        await rig.sink.start()
        await made.publish()
        await made.start_envoys()
        yield made
        for envoy in made.envoys.values():
            await envoy.stop()
        await made.rig.sink.close()


async def _echoes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Whether a TCP connection still carries bytes both ways."""
    writer.write(b"ping")
    return await asyncio.wait_for(reader.read(4), 5) == b"ping"


async def test_both_variants_serve_and_enforce(mesh: Mesh) -> None:
    """What is granted passes through both sidecars, what is not is refused by the callee's; both accepted everything."""
    await mesh.programmed()
    assert {name: item.variant for name, item in mesh.rig.sink.status().items()} == {"d/api": "delta", "d/web": "sotw"}
    port = mesh.outbound["http"]
    assert [await status_of(port, path) for path in ("/v1/a", "/v2/a", "/v1/../v2")] == [200, 403, 403]
    reader, writer = await asyncio.open_connection("127.0.0.1", mesh.outbound["tcp"])
    assert await _echoes(reader, writer)
    writer.close()
    plain = Http(*await asyncio.open_connection("127.0.0.1", mesh.inbound["http"]))
    assert await plain.send("/v1/a") == 0
    plain.close()
    for name, envoy in mesh.envoys.items():
        dump = await envoy.admin("/config_dump?include_eds")
        secret = (mesh.folder / name / "token").read_text().partition(":")[2]
        assert "spiffe://" in dump
        assert secret not in dump
        assert "PRIVATE KEY" not in dump


@pytest.mark.slow
async def test_idle_streams_outlive_several_keepalive_periods(mesh: Mesh) -> None:
    """With nothing to say for four periods of 30 s, and pings alone, the streams of both variants are the same ones still."""
    await mesh.programmed()
    serving = mesh.rig.sink._server
    assert serving is not None
    before = {id(session) for session in serving.sessions}
    assert len(before) == 2
    await asyncio.sleep(130)
    assert {id(session) for session in serving.sessions} == before
    assert await status_of(mesh.outbound["http"], "/v1/a") == 200


async def test_certificates_are_renewed_under_load(mesh: Mesh) -> None:
    """While each side's certificate is replaced twice, no request on a new connection fails."""
    loop = asyncio.get_running_loop()
    end, results = loop.time() + 8.5, []
    while loop.time() < end:
        results.append(await status_of(mesh.outbound["http"], "/v1/a"))
    assert len(results) > 50
    assert set(results) == {200}
    for envoy in mesh.envoys.values():
        found = await envoy.stats(r"sds\.self/[0-9a-f]*\.update_(success|rejected)")
        updates = {name.rpartition(".")[2]: number for name, number in found.items()}
        assert updates["update_success"] >= 3, found
        assert updates["update_rejected"] == 0


async def test_refused_resource_is_kept_and_reported(mesh: Mesh) -> None:
    """Envoy's own refusal stands in the status, the old policy goes on, and the corrected one is taken."""
    await mesh.programmed()
    broken = mesh.units()
    access = broken[0]
    assert isinstance(access, Access)
    made = translate(access, VmConfig()).objects
    table = next(item for item in made if item.ref.kind == "RouteConfiguration")
    bad = table.body.replace(b"/v1/.*", b"/v1/(*")
    assert bad != table.body
    await mesh.rig.write([_put(NativeObject(table.ref, table.role, bad, needs=table.needs))])
    async with asyncio.timeout(10):
        while not (refused := mesh.rig.sink.status()["d/api"].refused):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.02)
    assert [(item.kind, item.name) for item in refused] == [("RouteConfiguration", table.ref.name)]
    assert "regex" in refused[0].detail or "repetition" in refused[0].detail
    assert await status_of(mesh.outbound["http"], "/v1/a") == 200
    rejected = await mesh.envoys["api"].stats("rds.*update_rejected")
    assert set(rejected.values()) == {1}
    await mesh.apply(mesh.units(rules=("stream",)))
    await eventually(mesh.outbound["http"], "/v1/a", 403)
    await mesh.programmed()
    assert mesh.rig.sink.status()["d/api"].refused == ()


async def test_restart_loses_no_listener_and_no_request(mesh: Mesh) -> None:
    """Traffic goes on while the hub is away; after its return both sidecars are programmed, with the same authority.

    One of them comes back with a token that was rotated meanwhile: its Envoy was not restarted.
    """
    await mesh.programmed()
    before = {name: await envoy.listeners() for name, envoy in mesh.envoys.items()}
    bundle = mesh.rig.sink._load_fleet()._authority.bundle
    await mesh.rig.sink.close()
    assert [await status_of(mesh.outbound["http"], "/v1/a") for _ in range(20)] == [200] * 20
    rotated = mesh.rig.token("d/api")
    write_private(mesh.folder / "api" / "token", rotated.encode())
    mesh.rig = Rig(mesh.folder, check, certificate_life_s=6)
    mesh.rig.sink._clock = utc_now
    await mesh.rig.sink.start()
    await mesh.programmed()
    assert {name: await envoy.listeners() for name, envoy in mesh.envoys.items()} == before
    assert mesh.rig.sink._load_fleet()._authority.bundle == bundle
    for envoy in mesh.envoys.values():
        changed = await envoy.stats("listener_manager.listener_(removed|modified)|cluster_manager.cluster_removed")
        assert set(changed.values()) == {0}
    assert await status_of(mesh.outbound["http"], "/v1/a") == 200
    await mesh.apply(mesh.units(rules=("stream",)))
    await eventually(mesh.outbound["http"], "/v1/a", 403)


async def test_revocation_reaches_open_connections(mesh: Mesh) -> None:
    """Kept HTTP/1.1 and HTTP/2: denied at the next request. A stream and a TCP connection: cut. Other ports: untouched."""
    await mesh.programmed()
    kept, streaming = await Http.open(mesh.outbound["http"]), await Http.open(mesh.outbound["http"])
    assert await kept.get("/v1/a") == 200
    assert await streaming.send("/stream") == 200
    revoked = await asyncio.open_connection("127.0.0.1", mesh.outbound["tcp"])
    other = await asyncio.open_connection("127.0.0.1", mesh.outbound["other"])
    assert await _echoes(*revoked)
    assert await _echoes(*other)
    async with httpx.AsyncClient(http1=False, http2=True, base_url=f"http://127.0.0.1:{mesh.outbound['http']}") as h2:
        assert (await h2.get("/v1/a")).http_version == "HTTP/2"
        await mesh.apply(mesh.units(rules=(), tcp=("other",)))
        await asyncio.wait_for(_denied(kept), 5)
        assert (await h2.get("/v1/a")).status_code == 403
    await streaming.until_closed()
    assert await _rest(revoked[0]) == b""
    assert await _echoes(*other)
    refused = await asyncio.open_connection("127.0.0.1", mesh.outbound["tcp"])
    refused[1].write(b"ping")
    assert await _rest(refused[0]) == b""
    await mesh.programmed()
    assert mesh.rig.sink.status()["d/api"].open_until is not None
    assert mesh.rig.sink.status()["d/web"].open_until is None
    for connection in (other, revoked, refused):
        connection[1].close()
    kept.close()
    streaming.close()


async def _rest(reader: asyncio.StreamReader) -> bytes:
    """What still comes until the other side ends the connection, by FIN or reset. Fails after five seconds."""
    try:
        return await asyncio.wait_for(reader.read(), 5)
    except ConnectionError:
        return b""


async def _denied(kept: Http) -> None:
    """Ask on one kept connection until it is denied; the answers before are those of the old policy."""
    while (status := await kept.get("/v1/a")) != 403:
        assert status == 200


async def test_new_cluster_is_there_before_its_route(mesh: Mesh) -> None:
    """Every revision is make before break: while the callee's application moves ten times, no request is lost."""
    await mesh.programmed()
    statuses: list[int] = []
    done = asyncio.Event()

    async def load() -> None:
        while not done.is_set():
            statuses.append(await status_of(mesh.outbound["http"], "/v1/a"))

    async with serving(App("second")) as second, asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(load())
        first = mesh.app_ports["http"]
        for port in (second, first) * 5:
            mesh.app_ports["http"] = port
            await mesh.apply(mesh.units())
            await mesh.programmed()
            clusters = await mesh.envoys["api"].admin("/clusters")
            assert f"{names.app('d', 'api', '127.0.0.1', port)}::" in clusters
        done.set()
    assert len(statuses) > 40
    assert set(statuses) == {200}
