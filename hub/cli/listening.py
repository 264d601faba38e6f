"""Who listens where on this machine, as Linux tells it: proc_net_tcp(5) and proc_pid_fd(5)."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

_LISTEN = "0A"
_FAMILIES = {"tcp": socket.AF_INET, "tcp6": socket.AF_INET6}
_SOCKET = re.compile(r"socket:\[(\d+)\]")
Listeners = Mapping[tuple[str, int], str]
"""By address and port, the inode of the socket."""


def listeners(proc: Path = Path("/proc")) -> Listeners:
    """Every TCP port at which somebody listens; nothing where the system does not tell."""
    found: dict[tuple[str, int], str] = {}
    for name, family in _FAMILIES.items():
        with suppress(OSError):
            for row in (proc / "net" / name).read_text(encoding="ascii").splitlines()[1:]:
                fields = row.split()
                if fields[3] == _LISTEN:
                    address, _, port = fields[1].partition(":")
                    found[_address(address, family), int(port, 16)] = fields[9]
    return found


def _address(text: str, family: int) -> str:
    """An address as the kernel prints it: words of four bytes in the order of the machine."""
    raw = bytes.fromhex(text)
    return socket.inet_ntop(family, b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4)))


def inode_at(found: Listeners, address: str, port: int) -> str | None:
    """The socket that stands in the way of another one at an address, itself or of all addresses; None if none does."""
    wild = "::" if ip_address(address).version == 6 else "0.0.0.0"  # noqa: S104 - compared only
    return found.get((address, port)) or found.get((wild, port)) or found.get(("::", port))


def holder(inode: str, proc: Path = Path("/proc")) -> tuple[str, int] | None:
    """The program and the process that holds a socket; None where it is of a user into whom we cannot look."""
    for process in proc.iterdir():
        if not process.name.isdigit():
            continue
        with suppress(OSError):
            for descriptor in (process / "fd").iterdir():
                held = _SOCKET.fullmatch(str(descriptor.readlink()))
                if held is not None and held[1] == inode:
                    return (process / "comm").read_text(encoding="utf-8", errors="replace").strip(), int(process.name)
    return None


def is_here(address: str) -> bool:
    """Whether an address is one of this machine."""
    family = socket.AF_INET6 if ip_address(address).version == 6 else socket.AF_INET
    with socket.socket(family) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True
