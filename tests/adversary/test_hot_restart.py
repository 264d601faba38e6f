"""Envoy's hot restart hands listening sockets to whoever asks on an abstract Unix socket, which has no permissions."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from adapters.vm.bootstrap.envoy import command, find_envoy
from tests.adversary.machine import as_user, needs_root, ports, unix_sockets
from tests.servers.ports import held_port

pytestmark = [pytest.mark.envoy, needs_root]
_ALONE = "--disable-hot-restart"


@contextmanager
def envoy(line: list[str], port: int) -> Iterator[int]:
    """An Envoy with one listener, started by this command line; yields its process id once it listens."""
    with subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 30
            while ("127.0.0.1", port) not in ports([process.pid]):
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield process.pid
        finally:
            process.kill()


@pytest.fixture
def port() -> int:
    """The listener's port."""
    return held_port()


@pytest.fixture
def line(tmp_path: Path, port: int) -> list[str]:
    """The command line as `smihub bootstrap` prints it, for an Envoy with one listener."""
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    echo = {
        "name": "envoy.filters.network.echo",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo"},
    }
    listener = {"name": "l", "address": address, "filter_chains": [{"filters": [echo]}]}
    config = tmp_path / "envoy.json"
    config.write_text(json.dumps({"static_resources": {"listeners": [listener]}}))
    return command(find_envoy(), config)


def test_envoy_as_we_start_it_has_no_socket_of_hot_restart(line: list[str], port: int) -> None:
    """So nobody can ask it for a listener, or to end."""
    with envoy(line, port) as pid:
        assert unix_sockets([pid]) == {}


def test_with_hot_restart_another_user_gets_the_listener(line: list[str], port: int) -> None:
    """The attack itself works, or the test above would prove nothing."""
    with envoy(
        [
            *(each for each in line if each != _ALONE),
            *(() if "--use-dynamic-base-id" in line else ("--use-dynamic-base-id",)),
        ],
        port,
    ) as pid:
        (parent,) = (name for name in unix_sockets([pid]) if name.startswith("@envoy_domain_socket_parent"))
        taken = as_user("take_listener", parent=parent, address=f"tcp://127.0.0.1:{port}")
        assert taken == {"taken": [["127.0.0.1", port]], "why": ""}
