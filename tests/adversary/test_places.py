"""Another local user tries the hub's socket, its state, and the folder that an Envoy is started from."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import stat
from pathlib import Path

import pytest

from hub.private import claim
from tests.adversary.machine import MEMBER, NOBODY, as_user, needs_root, tree
from tests.adversary.shop import token_of, with_group
from tests.hub.cli.test_run import running
from tests.servers.folder import CONFIG, Folder
from tests.servers.processes import LIMIT_S, wait_until
from tests.servers.xds import Client, found

pytestmark = [pytest.mark.envoy, needs_root]
STRANGER = (NOBODY,)
NOTHING: dict[str, list[str]] = {"sockets": [], "ports": [], "read": [], "written": [], "processes": []}


async def served(socket: Path, token: str) -> bool:
    """Whether a sidecar with this token gets its listeners over a socket."""
    client = Client(f"unix:{socket}", token)
    try:
        await client.ask("Listener", "shop/api-1")
        return bool(found(await client.next()))
    finally:
        await client.close()


def test_nobody_else_can_reach_or_take_what_the_hub_has(folder: Folder) -> None:
    """Sockets, state, tokens: not while the hub runs, and not while it is away."""
    folder.run("apply", "--yes")
    with running(folder) as hub:
        hub.until("serving_started")
        token_of(folder)
        sockets = [each for each in tree(folder.root) if stat.S_ISSOCK(Path(each).stat().st_mode)]
        secret = [each for part in (".smihub", ".smihub-sockets", "envoy") for each in tree(folder.root / part)]
        assert {Path(each).name for each in sockets} == {"vms.sock", "hub.http.sock"}
        assert len(sockets) == 3
        assert as_user("reach", sockets=sockets, ports=[], files=secret, pids=[hub.child.pid]) == NOTHING
        hub.end()
    assert as_user("take_place", places=[*sockets, *(f"{each}.new" for each in sockets)]) == []
    assert [as_user("replace", folder=str(folder.root / part)) for part in (".smihub", ".smihub-sockets", "envoy")] == [
        [],
        [],
        [],
    ]


def test_members_of_the_group_reach_the_socket_and_nothing_else(folder: Folder) -> None:
    """So an Envoy need not run as the hub's user, who can read the authority's key. Here all may enter the folder."""
    socket = with_group(folder)
    socket.parent.mkdir(mode=0o755)
    with running(folder) as hub:
        hub.until("plan_applied")
        state = tree(folder.root / ".smihub")
        asked = {"sockets": [str(socket)], "ports": [], "files": [*state, f"{socket}.lock"], "pids": [hub.child.pid]}
        assert as_user("reach", MEMBER, **asked) == {**NOTHING, "sockets": [str(socket)]}
        assert as_user("reach", STRANGER, **asked) == {**NOTHING, "sockets": []}
        assert asyncio.run(served(socket, token_of(folder)))
        hub.end()
    assert as_user("take_place", MEMBER, places=[str(socket), f"{socket}.new"]) == []
    assert as_user("replace", MEMBER, folder=str(socket.parent)) == []


def test_envoy_bootstrapped_by_an_older_version_still_finds_the_hub(folder: Folder) -> None:
    """Its envoy.json names the socket in the state folder, whatever smihub.yaml says of the new one."""
    socket = with_group(folder)
    with running(folder) as hub:
        hub.until("plan_applied")
        assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o750
        assert asyncio.run(served(folder.root / ".smihub" / "vms.sock", token_of(folder)))


def test_envoy_of_a_user_of_its_own_gets_its_files(folder: Folder) -> None:
    """Only he can read them; root stays able to rotate the token."""
    folder.run("apply", "--yes")
    out = folder.root / "envoy"
    for options in ((), ("--rotate",)):
        made = folder.run("bootstrap", "shop/api-1", "--out", "envoy", "--user", "nobody", *options)
        assert made.exit_code == 0, made.stderr
        assert {(each.stat().st_uid, stat.S_IMODE(each.stat().st_mode) & 0o077) for each in out.iterdir()} == {
            (NOBODY, 0)
        }
        assert as_user("reach", sockets=[], ports=[], files=tree(out), pids=[])["read"] == tree(out)


def test_folder_with_other_files_is_not_given_away(folder: Folder) -> None:
    """`--out /etc --user envoy` must not make /etc his."""
    folder.run("apply", "--yes")
    refused = folder.run("bootstrap", "shop/api-1", "--out", "manifests", "--user", "nobody")
    assert (refused.exit_code, folder.manifests.stat().st_uid) == (1, 0)
    assert "use a separate folder" in refused.stderr


@pytest.mark.parametrize("whose", ["folder", "mode", "above", "link"])
def test_bootstrap_refuses_a_folder_that_another_user_can_change(folder: Folder, whose: str) -> None:
    """He could replace envoy.json before root starts Envoy by it: shown on the folder itself first."""
    folder.run("apply", "--yes")
    out = theirs(folder.root, whose)
    if whose in {"folder", "mode"}:
        assert "envoy.json" in as_user("replace", folder=str(out))
    elif whose == "above":
        assert as_user("replace", folder=str(out)) == ["itself"]
    before = set(tree(folder.root))
    refused = folder.run("bootstrap", "shop/api-1", "--out", str(out))
    assert refused.exit_code == 1
    assert refused.stderr.count("\n") == 1
    assert set(tree(folder.root)) == before


def test_state_in_a_folder_of_another_user_is_refused(folder: Folder) -> None:
    """He could put it aside, and later, when grants were revoked, put it back."""
    home = folder.root / "home"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    folder.config(f"{CONFIG}state: home/state\n")
    refused = folder.run("apply", "--yes")
    assert refused.exit_code == 1
    assert "owned by another user" in refused.stderr


def theirs(root: Path, whose: str) -> Path:
    """A folder for an Envoy that user 65534 can change in one way or another."""
    home = root / "home"
    home.mkdir()
    out = home / "envoy"
    if whose == "link":
        shutil.copytree(root / "manifests", root / "other")
        out.symlink_to(root / "other")
        os.chown(out, NOBODY, NOBODY, follow_symlinks=False)
        return out
    out.mkdir(mode=0o755)
    if whose == "mode":
        out.chmod(0o777)
    else:
        os.chown(out if whose == "folder" else home, NOBODY, NOBODY)
    return out


@pytest.mark.parametrize(
    "sink",
    ["address: '127.0.0.1:18000'", "address: '[::1]:18000'", "address: 'localhost:1'", "address: 'unix:/tmp/x.sock'"],
)
def test_place_that_another_user_could_take_is_refused(folder: Folder, sink: str) -> None:
    """A TCP port is anybody's while the hub is away, and so is a name in /tmp; the line to write is in the message."""
    folder.config(CONFIG.replace("adapter: vm}", f"adapter: vm, sink: {{{sink}}}}}"))
    refused = folder.process("run")
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert "socket: {folder:" in refused.stderr or "use a separate folder" in refused.stderr


def test_of_hubs_started_together_one_serves(folder: Folder) -> None:
    """The others end with one line that says why, also if they would listen elsewhere."""
    folder.run("apply", "--yes")
    other = folder.root / "other.yaml"
    other.write_text(CONFIG.replace("adapter: vm}", "adapter: vm, sink: {socket: {folder: elsewhere}}}"))
    with running(folder) as one, running(folder) as two, running(folder, "-c", str(other)) as three:
        hubs = (one, two, three)
        wait_until("two end", lambda: sum(hub.child.poll() is not None for hub in hubs) == 2, LIMIT_S)
        ended = [hub for hub in hubs if hub.child.poll() is not None]
        (serving,) = {one, two, three} - set(ended)
        assert serving.until("serving_started")
        for hub in ended:
            assert hub.child.returncode == 1
            assert hub.child.stderr
            (line,) = hub.child.stderr.read().splitlines()
            assert re.search(r"by process \d+ already", line)


def test_hub_that_does_not_listen_yet_keeps_others_away(folder: Folder) -> None:
    """Looking whether somebody answers is not enough: of three that looked before any listened, two served."""
    folder.run("apply", "--yes")
    lock = claim(folder.root / ".smihub" / "vms.lock", "this test")
    try:
        refused = folder.process("run")
    finally:
        os.close(lock)
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert 'mesh "vms" is served by process' in refused.stderr
