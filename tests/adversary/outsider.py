"""Another local user: `python outsider.py UID GROUPS ACTION < arguments.json`, run by root, who gives up everything first.

After its imports the process is user UID with the groups GROUPS (comma-separated, the first is the primary one), and
stays so. It uses the standard library only, and prints one line of JSON. Source of the messages to Envoy's parent socket: Envoy,
`source/server/hot_restart.proto` and "Hot restart" (architecture overview).
"""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

Place = str | tuple[str, int]
_WAIT_S = 2.0


def reach(sockets: Iterable[str], ports: Iterable[tuple[str, int]], files: Iterable[str], pids: Iterable[int]) -> Any:
    """What of this lets itself be connected to, read, written, or looked into."""
    return {
        "sockets": [each for each in sockets if _connects(each)],
        "ports": [each for each in ports if _connects((each[0], each[1]))],
        "read": [each for each in files if _opens(each, os.O_RDONLY)],
        "written": [each for each in files if os.access(each, os.W_OK)],
        "processes": [each for each in pids if _looks_into(each)],
    }


def _connects(place: Place) -> bool:
    """A stream or a datagram socket, whichever it is; a name with `@` in front is an abstract one."""
    kinds = (
        (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET)
        if isinstance(place, str)
        else (socket.SOCK_STREAM,)
    )
    for kind in kinds:
        with socket.socket(_family(place), kind) as probe:
            probe.settimeout(_WAIT_S)
            with suppress(OSError):
                probe.connect(_raw(place))
                return True
    return False


def _family(place: Place) -> int:
    if isinstance(place, str):
        return socket.AF_UNIX
    return socket.AF_INET6 if ":" in place[0] else socket.AF_INET


def _raw(place: Place) -> Place:
    """What the kernel prints of an abstract name has `@` for each NUL, those that fill it up too (proc(5))."""
    return place.replace("@", "\0") if isinstance(place, str) and place.startswith("@") else place


def _opens(file: str, flags: int) -> bool:
    try:
        os.close(os.open(file, flags | os.O_NONBLOCK))
    except OSError:
        return False
    return True


def _looks_into(pid: int) -> bool:
    """By its memory, its environment or its descriptors, or by a signal that does nothing."""
    for name in ("mem", "environ", "maps"):
        with suppress(OSError):
            Path(f"/proc/{pid}/{name}").open("rb").close()
            return True
    with suppress(OSError):
        list(Path(f"/proc/{pid}/fd").iterdir())
        return True
    try:
        os.kill(pid, 0)
    except PermissionError:
        return False
    return True


def take_listener(parent: str, address: str) -> Any:
    """Ask an Envoy for a listening socket as the next epoch of a hot restart would: whether it came, and who answers on it."""
    number = int(parent.rstrip("@").rpartition("_")[2])
    name = f"@envoy_domain_socket_child_{number + 1}".ljust(len(parent), "@")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as child:
        child.settimeout(_WAIT_S)
        try:
            child.bind(_raw(name))
            child.sendto(_pass_listen_socket(address), _raw(parent))
            _, descriptors, *_ = socket.recv_fds(child, 4096, 1)
        except OSError as error:
            return {"taken": None, "why": str(error)}
    names = [socket.socket(fileno=each) for each in descriptors]
    return {"taken": [each.getsockname() for each in names], "why": ""}


def _pass_listen_socket(address: str) -> bytes:
    text = address.encode()
    asked = b"\x0a" + bytes([len(text)]) + text  # PassListenSocket.address
    request = b"\x0a" + bytes([len(asked)]) + asked  # Request.pass_listen_socket
    message = b"\x0a" + bytes([len(request)]) + request  # HotRestartMessage.request
    return struct.pack(">Q", len(message)) + message


def take_place(places: Iterable[Place]) -> Any:
    """Listen where somebody else does or did: the places that could be had."""
    taken = []
    for place in places:
        with socket.socket(_family(place), socket.SOCK_STREAM) as mine, suppress(OSError):
            if not isinstance(place, str):
                mine.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                mine.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            mine.bind(_raw(place if isinstance(place, str) else (place[0], place[1])))
            mine.listen()
            taken.append(place)
    return taken


def replace(folder: str) -> Any:
    """Put files of our own into a folder, or another folder in its place: what of it worked."""
    done = []
    for name in ("envoy.json", "token", "hub.sqlite", "hub.sqlite-wal", "vms.sock"):
        with suppress(OSError):
            Path(folder, f".{name}.mine").write_text("mine")
            Path(folder, f".{name}.mine").replace(Path(folder, name))
            done.append(name)
    with suppress(OSError):
        Path(folder).rename(f"{folder}.moved")
        Path(folder).mkdir()
        done.append("itself")
    return done


def flood(place: Place, count: int) -> Any:
    """Open idle connections and hold them until stdin ends; half of them speak HTTP/2 first. Tells how many there are."""
    held = []
    for index in range(count):
        each = socket.socket(_family(place))
        each.settimeout(_WAIT_S)
        with suppress(OSError):
            each.connect(_raw(place if isinstance(place, str) else (place[0], place[1])))
            if index % 2:
                each.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)))
            held.append(each)
    print(json.dumps(len(held)), flush=True)  # noqa: T201 - read by the test
    sys.stdin.read()
    return len(held)


ACTIONS: dict[str, Callable[..., Any]] = {
    each.__name__: each for each in (reach, take_listener, take_place, replace, flood)
}


def become(uid: int, groups: list[int]) -> None:
    """Be this user from now on."""
    os.setgroups(groups[1:])
    os.setresgid(groups[0], groups[0], groups[0])
    os.setresuid(uid, uid, uid)
    os.chdir("/")


if __name__ == "__main__":
    become(int(sys.argv[1]), [int(each) for each in sys.argv[2].split(",")])
    print(json.dumps(ACTIONS[sys.argv[3]](**json.loads(sys.stdin.readline()))))  # noqa: T201 - read by the test
