"""The log of denials as a real Envoy writes it: what is in a line, who can read it, and that traffic never waits for it."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from adapters.vm.bootstrap.denials import BURST, FLUSH_MS, RATE
from adapters.vm.bootstrap.envoy import command, find_envoy, logged
from adapters.vm.config import VmConfig
from adapters.vm.translate.unit import translate
from hub.denials import read_log
from hub.model import HttpMatch
from tests.servers.ads import Ads, serving
from tests.servers.apps import echo, greeter
from tests.servers.calls import REFUSED, Connect, http1, http2, listen, plain, tls
from tests.servers.certificates import Authority, Leaf
from tests.servers.ports import held_port
from tests.servers.real_envoy import RUNTIME, Envoy, ads_bootstrap
from tests.servers.sidecar import seal, secrets
from tests.servers.units import access, http_grant, inbound, spiffe, tcp_grant

pytestmark = [pytest.mark.envoy, pytest.mark.thorough]
PORTS = {"http": held_port(), "tcp": held_port()}
SECRET = "hunter2"


class Scene(Struct, frozen=True):
    """A running sidecar of `d/api`, its certificates, and the file of its denials."""

    file: Path
    pid: int
    output: Path
    authority: Authority
    leaves: dict[str, Leaf | None]

    def caller(self, who: str, port: str = "http", alpn: tuple[str, ...] = ()) -> Connect:
        """Connect to a port with the certificate of this name."""
        return tls(PORTS[port], self.authority.pem, self.leaves[who], alpn)

    def lines(self, enough: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        """The lines of the file once they are enough."""
        deadline = time.monotonic() + 20
        found: list[dict[str, Any]] = []
        while time.monotonic() < deadline and not enough(found):
            time.sleep(0.05)
            found = [json.loads(line) for line in self.file.read_text().splitlines()] if self.file.exists() else []
        return found


@contextmanager
def scene(folder: Path, *, file: Path | None = None, logs: bool = True) -> Iterator[Scene]:
    """Start a sidecar as `smihub bootstrap` says (without `logs`: as earlier versions said)."""
    authority, other, ads = Authority(), Authority("another"), Ads()
    leaves = {who: authority.issue([spiffe(who)]) for who in ("web", "other")}
    with echo() as app, greeter() as banner, serving(ads) as port:
        unit = access(
            http_grant("web", ["web"], HttpMatch(path="/v1/.*")),
            tcp_grant("raw", ["web"], ports=(PORTS["tcp"],)),
            ports=[inbound(PORTS["http"], "http", app.port), inbound(PORTS["tcp"], "tcp", banner.port)],
        )
        objects = translate(unit, VmConfig()).objects
        ads.put([*secrets(authority.issue([spiffe("api")]), authority.pem), *seal(objects, authority.pem)])
        admin = {"admin": {"address": {"pipe": {"path": str(folder / "admin.sock")}}}, "layered_runtime": RUNTIME}
        (folder / "envoy.json").write_text(json.dumps({**ads_bootstrap(port), **admin}))
        line = command(find_envoy(), folder / "envoy.json")
        started = logged(line, folder) if logs else line
        if file is not None:
            started = [str(file) if each == str(folder / "denials.jsonl") else each for each in started]
        with (folder / "out").open("wb") as output, subprocess.Popen(started, stdout=output, stderr=output) as process:
            try:
                Envoy(process, folder / "admin.sock", folder / "out").wait_ready()
                ads.wait_settled()
                assert ads.nacks == []
                named = {**leaves, "foreign": other.issue([spiffe("web")]), "none": None}
                yield Scene(file or folder / "denials.jsonl", process.pid, folder / "out", authority, named)
            finally:
                process.terminate()
                process.wait()


def works(scene: Scene) -> bool:
    """Whether what is granted is served, and what is not is refused."""
    return [http1(scene.caller("web"), path).status for path in ("/v1/a", "/no")] == [200, 403]


def test_denials_are_logged_and_what_is_granted_is_not(tmp_path: Path) -> None:
    """One line each, of requests and of connections, with who called what; nothing that may be a secret is in it."""
    with scene(tmp_path) as here:
        assert works(here)
        assert http1(here.caller("other"), f"/v1/a?key={SECRET}", "POST", [("x-key", SECRET)]).status == 403
        assert (
            http2(here.caller("other", alpn=("h2",)), f"/v1/b?key={SECRET}", "PUT", [("x-key", SECRET)]).status == 403
        )
        assert http1(here.caller("web"), "/v1/a;b").status == 403
        for who in ("other", "foreign", "none"):
            assert listen(here.caller(who, "tcp")) == b""
        assert http1(plain(PORTS["http"]), "/v1/a").status == REFUSED
        lines = here.lines(lambda found: len(found) >= 8)
    requests = [(one["caller"], one["method"], one["path"], one["status"]) for one in lines if "method" in one]
    web, other = spiffe("web"), spiffe("other")
    assert sorted(requests) == sorted([
        (web, "GET", "/no", 403), (other, "POST", "/v1/a", 403), (other, "PUT", "/v1/b", 403), (web, "GET", "/v1/a;b", 403),
    ])  # fmt: skip
    connections = [
        (one["port"], one.get("caller"), one.get("claims"))
        for one in sorted(lines, key=lambda one: str(one["time"]))
        if "method" not in one
    ]
    tcp, http = PORTS["tcp"], PORTS["http"]
    assert connections == [(tcp, other, None), (tcp, None, web), (tcp, None, None), (http, None, None)]
    assert {one["to"] for one in lines} == {"d/api"}
    assert all(one["listener"].startswith("in/d/api/") for one in lines)
    read = read_log(here.file.read_bytes().splitlines())
    assert (len(read.denials), read.unread) == (8, 0)
    assert SECRET not in here.file.read_text() + here.output.read_text()
    assert stat.S_IMODE(here.file.stat().st_mode) == 0o600


def test_a_flood_of_denials_does_not_fill_the_disk(tmp_path: Path) -> None:
    """Of thousands of refusals as many are written as the limit says, and the file says how many are not."""
    with scene(tmp_path) as here:
        began = time.monotonic()
        with here.caller("other")() as connection:
            for _ in range(1500):
                connection.sendall(b"GET /no HTTP/1.1\r\nhost: x\r\n\r\n")
                assert connection.recv(4096).startswith(b"HTTP/1.1 403")
        took = time.monotonic() - began
        time.sleep(1)  # so that the bucket has a token again for the line that tells of the others
        http1(here.caller("other"), "/last")
        lines = here.lines(lambda found: any(one.get("path") == "/last" for one in found))
    left_out = sum(one.get("left_out", 0) for one in lines)
    written = [one for one in lines if "path" in one]
    assert len(written) + left_out == 1501
    assert len(written) <= BURST + (took + 3) * RATE


@pytest.mark.parametrize("file", ["/dev/full", "/proc/none", "."])
def test_a_file_that_cannot_be_written_stops_nothing(tmp_path: Path, file: str) -> None:
    """A full disk, a folder that takes no files, a folder in the file's place."""
    with scene(tmp_path, file=Path(file)) as here:
        for _ in range(20):
            assert works(here)
        deadline = time.monotonic() + 20
        while "denials are not logged" not in (said := here.output.read_text()) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert said.count("denials are not logged") == 1
        assert works(here)


def test_envoy_lives_on_where_nobody_reads_any_more(tmp_path: Path) -> None:
    """The child that writes the file may be ended by anything."""
    with scene(tmp_path) as here:
        (child,) = (int(each) for each in Path(f"/proc/{here.pid}/task/{here.pid}/children").read_text().split())
        os.kill(child, signal.SIGKILL)
        for _ in range(50):
            assert works(here)
        time.sleep(2 * FLUSH_MS / 1000)
        assert works(here)


def test_an_envoy_that_was_started_without_says_nothing(tmp_path: Path) -> None:
    """Where nobody asked for the log, as with the command of earlier versions, nothing comes on standard output."""
    with scene(tmp_path, logs=False) as here:
        assert works(here)
        http1(here.caller("other"), "/no")
        time.sleep(11)  # Envoy's own interval is ten seconds
        assert "rbac_access_denied" not in here.output.read_text()
