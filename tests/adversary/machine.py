"""What processes hold open on this machine, as root sees it, and another local user who tries it."""

from __future__ import annotations

import grp
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from tests.servers.processes import LIMIT_S, within

OUTSIDER = Path(__file__).with_name("outsider.py")
NOBODY = 65534
GROUP = "games"
"""A group that every Debian has and that has no member."""
MEMBER = (NOBODY, grp.getgrnam(GROUP).gr_gid)
"""The outsider's groups where he is in that one."""
SHARED = ("/dev/shm/", "/tmp/", "/var/tmp/", "/run/")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")


def as_user(action: str, groups: Iterable[int] = (NOBODY,), **arguments: Any) -> Any:
    """Do one of the outsider's actions as uid 65534; gives its answer."""
    line = json.dumps(arguments) + "\n"
    command = _command(action, groups)
    done = subprocess.run(command, input=line, capture_output=True, text=True, check=True, timeout=LIMIT_S)
    return json.loads(done.stdout)


@contextmanager
def flooding(place: str | tuple[str, int], count: int, groups: Iterable[int] = (NOBODY,)) -> Iterator[int]:
    """While the outsider holds this many idle connections; yields how many he got."""
    command = _command("flood", groups)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin
        assert child.stdout
        child.stdin.write(json.dumps({"place": place, "count": count}) + "\n")
        child.stdin.flush()
        try:
            with within(5 * LIMIT_S, "idle connections", child):
                count = int(child.stdout.readline())
            yield count
        finally:
            child.stdin.close()
            child.wait(LIMIT_S)


def _command(action: str, groups: Iterable[int]) -> list[str]:
    return [sys.executable, "-I", str(OUTSIDER), str(NOBODY), ",".join(map(str, groups)), action]


def unix_sockets(pids: Iterable[int]) -> dict[str, int]:
    """Names of the Unix sockets that these processes have bound, abstract ones with `@` in front, with the process."""
    found: dict[str, int] = {}
    for pid in pids:
        inodes = _inodes(pid)
        for line in Path(f"/proc/{pid}/net/unix").read_text("utf-8", "replace").splitlines()[1:]:
            fields = line.split(maxsplit=7)
            if len(fields) == 8 and fields[6] in inodes:
                found[fields[7]] = pid
    return found


def ports(pids: Iterable[int]) -> dict[tuple[str, int], int]:
    """TCP ports on which these processes listen and UDP ports that they have bound, with the process."""
    found: dict[tuple[str, int], int] = {}
    for pid in pids:
        inodes = _inodes(pid)
        for table, state in (("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")):
            for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == state and fields[9] in inodes:
                    found[_address(fields[1])] = pid
    return found


def _inodes(pid: int) -> set[str]:
    targets = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            targets.add(str(entry.readlink()))
    return {each.removeprefix("socket:[").removesuffix("]") for each in targets if each.startswith("socket:[")}


def _address(text: str) -> tuple[str, int]:
    """Source: Linux, proc(5): each 32-bit word of an address is printed in the machine's byte order."""
    host, _, port = text.partition(":")
    words = [int(host[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(host), 8)]
    return str(ip_address(b"".join(words))), int(port, 16)


def tree(folder: Path) -> list[str]:
    """Everything in a folder, and itself."""
    return [str(folder), *(str(each) for each in sorted(folder.rglob("*")))]


def descendants(pid: int) -> list[int]:
    """A process, its children and theirs, as far as they run."""
    found = [pid]
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [each for child in (task / "children").read_text().split() for each in descendants(int(child))]
    return found


def held_files(pids: Iterable[int]) -> list[str]:
    """Files that these processes have open or mapped in folders that all users share."""
    found = set()
    for pid in pids:
        for entry in (*Path(f"/proc/{pid}/fd").iterdir(), *Path(f"/proc/{pid}/map_files").iterdir()):
            with suppress(OSError):
                found.add(str(entry.readlink()).removesuffix(" (deleted)"))
    return sorted(name for name in found if name.startswith(SHARED))
