"""Network namespaces without names: each belongs to a thread of this process, and is gone when the process is.

A socket stays in the namespace in which it was made, whoever uses it. So applications and callers of every Pod live in
one event loop, and only making their sockets is the business of the namespace's thread.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import cycle
from pathlib import Path
from typing import TypeVar

ENVOY_GROUP = 1337
_CLONE_NEWNET = 0x40000000
_GATEWAY = "10.1.0.1"
SERVICE_RANGE = "10.96.0.0/16"
_OUTBOUND, _INBOUND = 15001, 15006
T = TypeVar("T")


_APP_PORTS = range(16384, 32768)
"""Below the ephemeral ports, from which the kernel serves sidecars."""
Address = tuple[str, int]


class Namespace:
    """One network namespace; `run` calls something inside of it."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, initializer=_unshare)
        self.number = self.run(_thread_id)
        self._ports = cycle(_APP_PORTS)

    def run(self, action: Callable[[], T]) -> T:
        """Call something in this namespace and give its result. Programs that it starts run in it, too."""
        return self._thread.submit(action).result()

    def tools(self, *lines: str) -> None:
        """Run command lines in it. Raises RuntimeError with what they print when one fails."""
        for line in lines:
            self.run(lambda line=line: _tool(line))  # type: ignore[misc] # a default argument binds the loop variable

    def stream(self) -> socket.socket:
        """A TCP socket of this namespace, not connected, for asyncio; its port is none that a sidecar is given.

        With a port that a sidecar has just called the same address from, the kernel would take the connection for the
        sidecar's, and let it pass it by.
        """
        made = self.run(_stream_socket)
        while True:
            try:
                made.bind(("0.0.0.0", next(self._ports)))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            else:
                return made

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
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setblocking(False)
    return made


def _tool(line: str, text: str = "") -> None:
    done = subprocess.run(line.split(), input=text, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{line}: {done.stderr.strip() or done.stdout.strip()}")


class Network:
    """A namespace per Pod, and the one of the bridge that joins them, which is everybody's default route."""

    def __init__(self, switch: Namespace, pods: Mapping[str, Namespace]) -> None:
        self._switch = switch
        self.pods = pods

    def publish(self, services: Mapping[Address, Sequence[Address]]) -> None:
        """What kube-proxy does on a node, outside of Pods: who calls a Service's own address reaches one of its other Pods.

        Inside of a Pod's namespace it would be wrong: a caller could inherit the way of a sidecar's earlier connection.
        """
        lines = ["*nat", "-A POSTROUTING -m conntrack --ctstate DNAT -j MASQUERADE"]
        for (address, port), targets in services.items():
            for index, (target, number) in enumerate(targets):
                chance = f" -m statistic --mode random --probability {1 / (len(targets) - index):.4f}"
                to = f"-j DNAT --to-destination {target}:{number}"
                lines.append(f"-A PREROUTING ! -s {target}/32 -d {address}/32 -p tcp --dport {port}{chance} {to}")
        text = "\n".join([*lines, "COMMIT", ""])
        self._switch.run(lambda: _tool("iptables-restore -w --noflush", text))


@contextmanager
def network(addresses: Mapping[str, str], captured: Sequence[str]) -> Iterator[Network]:
    """A namespace per name, each with its address; those that are captured get Istio's redirection."""
    with ExitStack() as stack:
        switch = _opened(stack)
        switch.run(_route_quietly)
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
        yield Network(switch, found)


def _route_quietly() -> None:
    """Forward, and never advise a Pod to go another way: it would leave the translation out."""
    for name, value in (("ip_forward", "1"), ("conf/all/send_redirects", "0"), ("conf/default/send_redirects", "0")):
        Path("/proc/sys/net/ipv4", name).write_text(value, encoding="ascii")


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
