"""Network namespaces without names: each belongs to a thread of this process, and is gone when the process is.

A socket stays in the namespace in which it was made, whoever uses it. So applications and callers of every Pod live in
one event loop, and only making their sockets is the business of the namespace's thread.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TypeVar

from tests.servers.istio.processes import ENVOY_GROUP

_CLONE_NEWNET = 0x40000000
_GATEWAY = "10.1.0.1"
SERVICE_RANGE = "10.96.0.0/16"
_OUTBOUND, _INBOUND = 15001, 15006
T = TypeVar("T")


Address = tuple[str, int]


class Namespace:
    """One network namespace; `run` calls something inside of it."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, initializer=_unshare)
        self.number = self.run(_thread_id)

    def run(self, action: Callable[[], T]) -> T:
        """Call something in this namespace and give its result. Programs that it starts run in it, too."""
        return self._thread.submit(action).result()

    def tools(self, *lines: str) -> None:
        """Run command lines in it. Raises RuntimeError with what they print when one fails."""
        for line in lines:
            self.run(lambda line=line: _tool(line))  # type: ignore[misc] # a default argument binds the loop variable

    def stream(self) -> socket.socket:
        """A TCP socket of this namespace, not connected, for asyncio."""
        return self.run(_stream_socket)

    def listener(self, port: int) -> socket.socket:
        """A TCP socket that listens on every address of this namespace."""
        return self.run(lambda: socket.create_server(("0.0.0.0", port), backlog=256))

    def close(self) -> None:
        """Let go of it; it ends with its last program and socket."""
        self._thread.shutdown(wait=True, cancel_futures=True)


def _unshare() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, f"no network namespace can be made ({os.strerror(number)}): run these tests as root")


def _thread_id() -> int:
    return int(ctypes.CDLL(None).gettid())


def _stream_socket() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setblocking(False)
    return made


def _tool(line: str, text: str = "") -> None:
    done = subprocess.run(line.split(), input=text, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{line}: {done.stderr.strip() or done.stdout.strip()}")


@contextmanager
def network(addresses: Mapping[str, str], captured: Sequence[str]) -> Iterator[dict[str, Namespace]]:
    """A namespace per name, joined by a bridge, each with its address; those that are captured get Istio's redirection."""
    with ExitStack() as stack:
        switch = _opened(stack)
        switch.tools(
            "ip link set lo up",
            "ip link add bridge type bridge",
            f"ip addr add {_GATEWAY}/24 dev bridge",
            "ip link set bridge up",
            f"ip route add local {SERVICE_RANGE} dev lo",  # whatever is not translated is refused at once
        )
        found = {name: _opened(stack) for name in addresses}
        for index, (name, address) in enumerate(addresses.items()):
            _join(switch, found[name], f"pod{index}", address)
            if name in captured:
                _capture(found[name])
        yield found


def _opened(stack: ExitStack) -> Namespace:
    made = Namespace()
    stack.callback(made.close)
    return made


def _join(switch: Namespace, pod: Namespace, port: str, address: str) -> None:
    """A cable from the bridge to a Pod."""
    switch.tools(
        f"ip link add {port} type veth peer name eth0 netns {pod.number}",
        f"ip link set {port} master bridge up",
    )
    pod.tools(
        "ip link set lo up",
        f"ip addr add {address}/24 dev eth0",
        "ip link set eth0 up",
        f"ip route add default via {_GATEWAY}",
    )


def _capture(pod: Namespace) -> None:
    """What Istio's init container does, as few rules as work: all TCP goes through the sidecar, but its own."""
    rule = "iptables -w -t nat -A"
    pod.tools(
        f"{rule} PREROUTING -p tcp -j REDIRECT --to-ports {_INBOUND}",
        f"{rule} OUTPUT -o lo -s 127.0.0.6/32 -p tcp -j RETURN",
        f"{rule} OUTPUT -o lo ! -d 127.0.0.1/32 -m owner --gid-owner {ENVOY_GROUP} -p tcp -j REDIRECT --to-ports {_INBOUND}",
        f"{rule} OUTPUT -m owner --gid-owner {ENVOY_GROUP} -p tcp -j RETURN",
        f"{rule} OUTPUT -d 127.0.0.1/32 -p tcp -j RETURN",
        f"{rule} OUTPUT -p tcp -j REDIRECT --to-ports {_OUTBOUND}",
    )


def translate(pod: Namespace, services: Mapping[Address, Sequence[Address]], *, captured: bool) -> None:
    """What kube-proxy does: connections to a Service's own address reach one of its Pods, those of the sidecar, too."""
    who = f" -m owner --gid-owner {ENVOY_GROUP}" if captured else ""
    lines = ["*nat", ":CLUSTER - [0:0]", f"-I OUTPUT 1 -p tcp{who} -j CLUSTER"]
    for (address, port), pods in services.items():
        for index, (target, number) in enumerate(pods):
            chance = f" -m statistic --mode random --probability {1 / (len(pods) - index):.4f}"
            to = f"-j DNAT --to-destination {target}:{number}"
            lines.append(f"-A CLUSTER -d {address}/32 -p tcp --dport {port}{chance} {to}")
    pod.run(lambda: _tool("iptables-restore -w --noflush", "\n".join([*lines, "COMMIT", ""])))
