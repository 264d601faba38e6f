"""The Unix socket on which a running hub tells of itself: where it is, and how the command asks there."""

from __future__ import annotations

import socket
from pathlib import Path

from hub.config.file import Config

FILE = "hub.http.sock"
"""In the folder of the hub's sockets; no mesh has a dot in its name, so none has this one."""
_LIMIT_S = 2.0
_MOST_BYTES = 65536


def socket_file(config: Config) -> Path:
    """Where the Unix socket of a hub lies."""
    return config.state.with_name(f"{config.state.name}-sockets") / FILE


def ask(config: Config, path: str) -> tuple[int, str] | None:
    """What the running hub answers to a GET, as status (0: it says nothing in time) and text; None if none listens."""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(_LIMIT_S)
        try:
            asking.connect(str(socket_file(config)))
            asking.sendall(f"GET {path} HTTP/1.1\r\nHost: hub\r\n\r\n".encode())
            head, _, body = _whole(asking).partition(b"\r\n\r\n")
            return int(head.split(maxsplit=2)[1]), body.decode("utf-8", "replace").strip()
        except TimeoutError:
            return 0, f"it runs, and does not answer within {_LIMIT_S:g} s"
        except (OSError, ValueError, IndexError):
            return None


def _whole(asking: socket.socket) -> bytes:
    found = b""
    while len(found) < _MOST_BYTES and (piece := asking.recv(_MOST_BYTES)):
        found += piece
    return found
