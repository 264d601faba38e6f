"""Places on loopback for the servers of tests: nobody else gets them, whoever runs beside us.

A port that was only found free may be taken before its server binds it; and since Envoys bind with SO_REUSEPORT, two of
them would share it without a word, each answering every other connection.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress


def held_port() -> int:
    """A TCP port of 127.0.0.1 that only servers which share (SO_REUSEPORT, as Envoy's listeners do) can bind.

    A socket that never listens holds it while this process lives, so the kernel gives it to nobody: not to a server
    that asks for any port, not to an outgoing connection.
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    holder.bind(("127.0.0.1", 0))
    port = int(holder.getsockname()[1])
    holder.detach()
    return port


def free_ports(count: int) -> list[int]:
    """Distinct TCP ports on loopback for servers that do not share: nobody has bound them now, no other test gets them."""
    probes: list[socket.socket] = []
    ports: list[int] = []
    try:
        while len(ports) < count:
            probes.append(socket.socket())
            probes[-1].bind(("127.0.0.1", 0))
            port = int(probes[-1].getsockname()[1])
            ports += [port] if claimed(f"port {port}") else []
        return ports
    finally:
        for probe in probes:
            probe.close()


def low_port() -> int:
    """A TCP port on loopback that no outgoing connection is given meanwhile: Linux takes those from 32768 on (ip(7))."""
    for port in range(20_000 + os.getpid() % 10_000, 32_768):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if claimed(f"port {port}"):
                return port
    raise AssertionError("no port is free")


def claimed(name: str) -> bool:
    """Whether a name is this process's from now on: the first to ask has it while it lives, nobody else."""
    holder = socket.socket(socket.AF_UNIX)
    try:
        holder.bind(f"\0smihub-tests/{name}")
    except OSError:
        holder.close()
        return False
    holder.detach()
    return True
