"""The processes of the demo: the hub and one Envoy per workload, all ended with it, none left behind."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from calls import open_at

READY_S = 30.0
_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    """Ask the kernel to end this child when the demo dies, however it dies (Linux prctl(2))."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@dataclass
class Fleet:
    """Child processes by name, with their output in files of `folder`."""

    folder: Path
    children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, command: list[str]) -> None:
        """Start a process; its output goes to `<folder>/<name>.log`."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.children[name] = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                preexec_fn=_die_with_parent,  # noqa: PLW1509
            )

    def kill(self, name: str) -> None:
        """End a process at once (SIGKILL) and wait for it."""
        child = self.children.pop(name)
        child.kill()
        child.wait()

    def stop(self) -> None:
        """End every process."""
        for child in self.children.values():
            child.terminate()
        deadline = time.monotonic() + 5
        for child in self.children.values():
            try:
                child.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self.children.clear()

    def dead(self) -> list[str]:
        """Names of processes that ended by themselves."""
        return [name for name, child in self.children.items() if child.poll() is not None]

    def tail(self, name: str, lines: int = 15) -> str:
        """The end of a process's output, for an error."""
        return "\n".join((self.folder / f"{name}.log").read_text(errors="replace").splitlines()[-lines:])


def smihub(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one smihub verb in `folder`, as a user would."""
    command = [str(Path(sys.executable).with_name("smihub")), *arguments]
    environment = {**os.environ, "NO_COLOR": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


async def wait_for(open_ports: list[tuple[str, int]], fleet: Fleet) -> None:
    """Wait until every address accepts connections; raises RuntimeError with the log of a process that died."""
    deadline = time.monotonic() + READY_S
    for address, port in open_ports:
        while not await _accepts(address, port):
            for name in fleet.dead():
                raise RuntimeError(f"{name} ended:\n{fleet.tail(name)}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"{address}:{port} did not open within {READY_S:.0f} s; logs in {fleet.folder}")
            await asyncio.sleep(0.05)


async def _accepts(address: str, port: int) -> bool:
    try:
        _, writer = await open_at(address, port)
    except OSError:
        return False
    writer.close()
    return True


def free_network(ports: list[int]) -> int:
    """A second octet N such that 127.N.0.1 to 127.N.1.7 have none of these ports in use."""
    for octet in range(10, 250):
        if all(
            _free(f"127.{octet}.{half}.{host}", port) for half in range(2) for host in range(1, 8) for port in ports
        ):
            return octet
    raise RuntimeError("no free loopback addresses for the demo")


def _free(address: str, port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True
