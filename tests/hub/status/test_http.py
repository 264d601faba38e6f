"""The HTTP server: what it answers, to whom, and how little anybody can take from it."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from hub.config.file import Config
from hub.errors import ConfigError
from hub.status import http, sockets
from hub.status.http import listening, served, served_on
from hub.status.metrics import Metrics
from hub.status.outcomes import Outcomes
from hub.status.sockets import ask, socket_file
from tests.servers.folder import CONFIG, Folder
from tests.servers.hubs import config_of
from tests.servers.ports import free_ports

GET = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A configuration with both sockets."""
    folder = Folder(tmp_path)
    folder.config(f"{CONFIG}http: {{address: '127.0.0.1:{free_ports(1)[0]}'}}\n")
    return config_of(tmp_path / "smihub.yaml")


@pytest.fixture
async def file(config: Config) -> AsyncIterator[Path]:
    """The Unix socket of a server that waits for one source."""
    metrics = Metrics(Outcomes(), ["vms"], ["source manifests"])
    with listening(config) as tcp:
        async with served(config, metrics), served_on(tcp, metrics):
            yield socket_file(config)


async def asked(place: Path | tuple[str, int], request: bytes) -> bytes:
    """Everything that is answered until the server ends the connection."""
    opened = asyncio.open_connection(*place) if isinstance(place, tuple) else asyncio.open_unix_connection(place)
    reader, writer = await opened
    try:
        writer.write(request)
        return await asyncio.wait_for(reader.read(), 20)
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (GET, 200),
        (b"GET /metrics?name[]=x HTTP/1.0\r\n\r\n", 200),
        (b"GET /livez HTTP/1.1\nHost: x\n\n", 200),
        (b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n", 503),
        (b"HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabcdef", 405),
        (b"DELETE /livez HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET /metrics/../metrics HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET http://x/metrics HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /metrics\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", 400),
        (b"GET /" + b"a" * 9000, 431),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"a" * 9000 + b"\r\n\r\n", 431),
    ],
)
async def test_what_is_answered(file: Path, request_: bytes, status: int) -> None:
    """GET of three pages; everything else is refused by its status."""
    head, _, body = (await asked(file, request_)).partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0].startswith(f"HTTP/1.1 {status} ")
    assert f"Content-Length: {len(body)}" in lines
    assert "Connection: close" in lines
    assert ("Allow: GET" in lines) is (status == 405)
    if request_ == GET:
        assert b'smihub_units{mesh="vms",state="applied"} 0.0' in body


async def test_not_ready_says_what_is_missing(file: Path) -> None:
    """For whoever looks why."""
    assert b"waiting for source manifests" in await asked(file, b"GET /readyz HTTP/1.1\r\n\r\n")


async def test_command_asks_on_the_socket(config: Config, file: Path) -> None:
    """From another thread, as it is another process; nobody answers where no hub runs."""
    assert await asyncio.to_thread(ask, config, "/readyz") == (503, "waiting for source manifests")
    elsewhere = replace(config, state=config.folder / "elsewhere")
    assert await asyncio.to_thread(ask, elsewhere, "/readyz") is None


async def test_both_sockets_answer_alike(config: Config, file: Path) -> None:
    """TCP is there because smihub.yaml asks for it."""
    assert config.http.address is not None
    assert (await asked(config.http.address, GET)).startswith(b"HTTP/1.1 200 OK")


async def test_socket_is_for_its_user_alone(file: Path) -> None:
    """Its folder too."""
    assert [stat.S_IMODE(os.stat(each).st_mode) for each in (file, file.parent)] == [0o600, 0o700]  # noqa: PTH116


@pytest.mark.thorough
async def test_slow_request_ends_in_time(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many bytes trickle in."""
    monkeypatch.setattr(http, "LIMIT_S", 0.5)
    reader, writer = await asyncio.open_unix_connection(file)
    started = time.monotonic()
    writer.write(b"GET /metrics HTTP/1.1\r\n")
    assert await asyncio.wait_for(reader.read(), 10) == b""
    assert 0.4 < time.monotonic() - started < 3
    writer.close()


@pytest.mark.thorough
async def test_idle_connections_take_few_descriptors_and_end(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others wait in the kernel; who asks gets an answer once the idle ones have had their time."""
    monkeypatch.setattr(http, "LIMIT_S", 1.0)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - our own descriptors
    idle = []
    for _ in range(2 * http.CONNECTIONS):
        one = socket.socket(socket.AF_UNIX)
        one.setblocking(False)
        try:
            one.connect(str(file))
        except BlockingIOError:  # its queue is full
            one.close()
            break
        idle.append(one)
    await asyncio.sleep(0.3)
    ours = len(os.listdir("/proc/self/fd")) - before - len(idle)  # noqa: PTH208 - our own descriptors
    assert 0 < ours <= http.CONNECTIONS
    assert (await asked(file, GET)).startswith(b"HTTP/1.1 200 OK")
    for one in idle:
        one.close()


async def test_stale_socket_of_a_killed_hub_is_replaced(config: Config) -> None:
    """Its lock ended with it."""
    socket_file(config).parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(socket_file(config)))
    async with served(config, Metrics(Outcomes(), [])):
        assert (await asked(socket_file(config), GET)).startswith(b"HTTP/1.1 200 OK")
    assert not socket_file(config).exists()


def test_hub_that_hangs_is_not_told_as_none(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """It listens, and says nothing: stopped by somebody, or stuck."""
    monkeypatch.setattr(sockets, "_LIMIT_S", 0.1)
    socket_file(config).parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as hung:
        hung.bind(str(socket_file(config)))
        hung.listen()
        assert ask(config, "/readyz") == (0, "it runs, and does not answer within 0.1 s")
    assert ask(config, "/readyz") is None


async def test_file_that_is_no_socket_is_left_and_told(config: Config) -> None:
    """It may be anything, and matters to no mesh."""
    socket_file(config).parent.mkdir(mode=0o700)
    socket_file(config).write_text("precious")
    with capture_logs() as lines:
        async with served(config, Metrics(Outcomes(), [])):
            pass
    assert [line["reason"] for line in lines] == [f'"{socket_file(config)}" is not a socket; move it away']
    assert socket_file(config).read_text() == "precious"


async def test_second_hub_goes_on_without_a_socket(file: Path) -> None:
    """The first one keeps its own; nothing that matters depends on it."""
    (file.parent.parent / "other").mkdir()
    other = Folder(file.parent.parent / "other")
    (other.root / "smihub.yaml").write_text(f"{CONFIG}state: {file.parent.parent / '.smihub'}\n")
    async with served(config_of(other.root / "smihub.yaml"), Metrics(Outcomes(), [])):
        assert (await asked(file, GET)).startswith(b"HTTP/1.1 200 OK")
    assert (await asked(file, GET)).startswith(b"HTTP/1.1 200 OK")


def test_address_that_is_taken_is_told(config: Config) -> None:
    """Somebody asked for it, so that is an error."""
    assert config.http.address is not None
    with socket.socket() as other:
        other.bind(config.http.address)
        other.listen()
        with pytest.raises(ConfigError, match=r"http\.address"), listening(config):
            pass
