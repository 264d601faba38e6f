"""A real Envoy as a blocking context manager: any bootstrap, its admin socket and its log in a folder."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from typing import Any

from adapters.vm.bootstrap.envoy import find_envoy

_FLAGS = (
    *("--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"),
    *("--drain-strategy", "immediate", "--drain-time-s", "1"),
)
RUNTIME = {"layers": [{"name": "smihub", "static_layer": {"re2.max_program_size.error_level": 32768}}]}
_HTTP2 = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_numbers = count()


def ads_bootstrap(ads_port: int) -> dict[str, Any]:
    """A bootstrap that takes everything over ADS (state of the world) from loopback."""
    address = {"socket_address": {"address": "127.0.0.1", "port_value": ads_port}}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    options = {"@type": f"type.googleapis.com/{_HTTP2}", "explicit_http_config": {"http2_protocol_options": {}}}
    cluster = {
        "name": "ads",
        "type": "STATIC",
        "connect_timeout": "2s",
        "load_assignment": {"cluster_name": "ads", "endpoints": endpoints},
        "typed_extension_protocol_options": {_HTTP2: options},
    }
    over_ads = {"ads": {}, "resource_api_version": "V3"}
    services = [{"envoy_grpc": {"cluster_name": "ads"}}]
    ads = {"api_type": "GRPC", "transport_api_version": "V3", "grpc_services": services}
    return {
        "node": {"id": "test", "cluster": "test"},
        "static_resources": {"clusters": [cluster]},
        "dynamic_resources": {"ads_config": ads, "cds_config": over_ads, "lds_config": over_ads},
    }


class Admin(HTTPConnection):
    """HTTP over an Envoy's admin socket, which is closed also where nobody listens."""

    def __init__(self, path: Path) -> None:
        super().__init__("admin", timeout=10)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket file."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Envoy:
    """A running Envoy: its admin socket and its log."""

    def __init__(self, process: subprocess.Popen[bytes], admin: Path, log: Path) -> None:
        self._process = process
        self._admin = admin
        self._log = log

    def get(self, path: str) -> str:
        """The body of an admin page, such as `/config_dump` or `/stats`."""
        connection = Admin(self._admin)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def stat(self, name: str) -> int:
        """One counter or gauge by its full name; 0 if Envoy does not have it (yet)."""
        for line in self.get("/stats").splitlines():
            if line.startswith(name + ": "):
                return int(line.rsplit(" ", 1)[1])
        return 0

    def wait_ready(self, seconds: float = 20) -> None:
        """Wait until Envoy says LIVE; raises RuntimeError with the log otherwise."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                if "LIVE" in self.get("/ready"):
                    return
            except OSError:
                pass
            time.sleep(0.02)
        raise RuntimeError(f"Envoy is not ready:\n{self._log.read_text()[-4000:]}")


@contextmanager
def running(bootstrap: dict[str, Any], folder: Path) -> Iterator[Envoy]:
    """Start Envoy with this bootstrap (admin and runtime are added), wait for LIVE, and stop it at the end."""
    name = f"envoy-{next(_numbers)}"
    config, log, admin = (folder / f"{name}.{kind}" for kind in ("json", "log", "sock"))
    full = {**bootstrap, "admin": {"address": {"pipe": {"path": str(admin)}}}, "layered_runtime": RUNTIME}
    config.write_text(json.dumps(full))
    command = [str(find_envoy()), "-c", str(config), *_FLAGS]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            envoy = Envoy(process, admin, log)
            envoy.wait_ready()
            yield envoy
        finally:
            process.kill()
            process.wait()


def validate(bootstrap: dict[str, Any], folder: Path) -> None:
    """Run `--mode validate` on a bootstrap; raises RuntimeError with Envoy's complaint."""
    config = folder / "validate.json"
    config.write_text(json.dumps({**bootstrap, "layered_runtime": RUNTIME}))
    command = [str(find_envoy()), "--mode", "validate", "-c", str(config), "--disable-hot-restart"]
    done = subprocess.run([*command, "--log-level", "error"], check=False, capture_output=True, timeout=60)
    if done.returncode:
        raise RuntimeError((done.stdout + done.stderr).decode())
