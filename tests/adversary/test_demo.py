"""What `make demo` leaves within reach of another local user: everything is listed, and what is not expected fails."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from msgspec import Struct

from tests.adversary.machine import as_user, descendants, flooding, held_files, needs_root, ports, tree, unix_sockets
from tests.servers.processes import within

pytestmark = [pytest.mark.envoy, needs_root]
STAGE = Path(__file__).with_name("stage.py")
SECRETS = re.compile(rb"PRIVATE KEY|[a-z0-9.-]+/[a-z0-9.-]+:[A-Za-z0-9_-]{43}")
"""A key in PEM, or a token in full."""
EXPECTED: Mapping[str, str] = {
    r"read \.smihub\.schema\.json": "the form of smihub.yaml, for editors; init writes it, and it is in the documentation",
    r"connect \S+:\d+ of envoy-\S+ inbound": "mutual TLS: who has no certificate of the mesh gets no byte",
    r"connect \S+:\d+ of applications": "the demo's applications, on loopback: reachable past their Envoy (docs/vm.md)",
    r"read (folder|pristine)(/[a-z-]+\.yaml)?": "the example's manifests, which are no secret",
    r"read smihub\.yaml": "the configuration, which holds no secret",
    r"read (hub|envoy-[a-z0-9-]+)\.log": "what the demo's processes print; searched for secrets below",
    r"read (envoy|run)?": "names of folders, in which nobody else can look",
}
"""What another user may reach, and why."""


class Demo(Struct, frozen=True):
    """A demo that stands: its folder, its processes by name, and the ports that its Workloads name."""

    base: Path
    pids: Mapping[str, int]
    inbound: frozenset[tuple[str, int]]

    def sockets(self) -> list[str]:
        """Every Unix socket that a process of the demo has bound, abstract ones too."""
        return sorted(unix_sockets(self.pids.values()))

    def ports(self) -> dict[tuple[str, int], str]:
        """Every TCP port and UDP port, with whose it is."""
        names = {pid: name for name, pid in self.pids.items()}
        return {place: self._whose(place, names[pid]) for place, pid in ports(self.pids.values()).items()}

    def _whose(self, place: tuple[str, int], name: str) -> str:
        if not name.startswith("envoy-"):
            return name
        return f"{name} {'inbound' if place in self.inbound else 'of its own'}"

    def files(self) -> list[str]:
        """Every file and folder, in the demo's own folder and whatever its processes hold in those that all share."""
        return [*tree(self.base), *held_files(self.pids.values())]


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    """The demo's processes, in a folder that every user may enter, as those of real machines are."""
    with tempfile.TemporaryDirectory(prefix="smihub-adversary-demo-") as name:
        base = Path(name)
        base.chmod(0o755)
        command, environment = [sys.executable, str(STAGE), name], {**os.environ, "TMPDIR": name}
        with subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdin
            assert child.stdout
            try:
                with within(240, "what the demo tells", child):
                    told = json.loads(child.stdout.readline())
                yield Demo(
                    base,
                    told["pids"] | denial_logs(told["pids"]),
                    frozenset((host, port) for host, port in told["inbound"]),
                )
            finally:
                child.stdin.close()
                child.wait(30)


def denial_logs(pids: Mapping[str, int]) -> dict[str, int]:
    """The processes that write the Envoys' denial logs, each a child of its Envoy; by name."""
    children = {name: descendants(pid)[1:] for name, pid in pids.items() if name.startswith("envoy-")}
    return {
        f"denials of {name}": child
        for name, found in children.items()
        for child in found
        if b"\0adapters.vm.bootstrap.denials\0" in Path(f"/proc/{child}/cmdline").read_bytes()
    }


def within_reach(demo: Demo, files: Sequence[str] = ()) -> list[str]:
    """What another user can do with anything of the demo, one line each."""
    places = demo.ports()
    found = as_user(
        "reach",
        sockets=demo.sockets(),
        ports=list(places),
        files=[*demo.files(), *files],
        pids=list(demo.pids.values()),
    )
    return sorted(
        [
            *(f"connect {name}" for name in found["sockets"]),
            *(f"connect {host}:{port} of {places[host, port]}" for host, port in found["ports"]),
            *(f"read {_short(demo, name)}" for name in found["read"]),
            *(f"write {_short(demo, name)}" for name in found["written"]),
            *(f"look into {pid}" for pid in found["processes"]),
        ]
    )


def _short(demo: Demo, name: str) -> str:
    return name.removeprefix(str(demo.base)).removeprefix("/")


def unexpected(lines: Iterable[str]) -> list[str]:
    """Lines that no entry of the list explains."""
    return [line for line in lines if not any(re.fullmatch(pattern, line) for pattern in EXPECTED)]


def test_nothing_is_within_reach_that_is_not_expected(demo: Demo) -> None:
    """A new socket, port, file or process that another user can use has to be closed, or explained in the list."""
    lines = within_reach(demo)
    assert unexpected(lines) == []
    assert any(" inbound" in line for line in lines), "the demo does not listen, so nothing was tried"


def test_new_file_that_all_can_read_is_noticed(demo: Demo) -> None:
    """Or the test above would prove nothing."""
    new = demo.base / "envoy" / "new"
    new.touch(mode=0o644)
    try:
        assert unexpected(within_reach(demo)) == ["read envoy/new"]
    finally:
        new.unlink()


def test_every_process_is_listed(demo: Demo) -> None:
    """What the demo starts, directly or not."""
    assert set(descendants(demo.pids["applications"])) == set(demo.pids.values())


def test_what_others_can_read_holds_no_secret(demo: Demo) -> None:
    """Files, and command lines, which every user sees."""
    files = [*tree(demo.base), *(f"/proc/{pid}/cmdline" for pid in demo.pids.values())]
    readable = [
        name for name in as_user("reach", sockets=[], ports=[], files=files, pids=[])["read"] if Path(name).is_file()
    ]
    assert len(readable) > len(demo.pids)
    assert [name for name in readable if SECRETS.search(Path(name).read_bytes())] == []
    assert SECRETS.search((demo.base / "envoy" / "web-1" / "token").read_bytes())


def test_no_place_of_the_demo_can_be_taken(demo: Demo) -> None:
    """Neither a port beside its owner (SO_REUSEPORT) nor a socket file, nor a folder or a file in it."""
    held = list(demo.ports())
    wild = sorted({("0.0.0.0", port) for _, port in held})
    assert as_user("take_place", places=[*demo.sockets(), *held, *wild]) == []
    folders = [name for name in tree(demo.base) if Path(name).is_dir()]
    assert {name: done for name in folders if (done := as_user("replace", folder=name))} == {}


def test_hub_cannot_be_flooded_by_others(demo: Demo) -> None:
    """They do not even connect, neither to what Envoys use nor to the metrics."""
    sockets = [name for name in demo.sockets() if "-sockets/" in name]
    assert len(sockets) == 2
    for socket in sockets:
        with flooding(socket, 100) as held:
            assert held == 0
