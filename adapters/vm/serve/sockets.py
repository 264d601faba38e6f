"""The Unix sockets on which the hub listens, and who may connect to them.

Tokens and private keys travel over them in the clear, so there is no TCP: a port of loopback can be had by every local
user while the hub is away, and with it every token. A socket lies in a folder of its own that nobody else can change.
Source: Linux, unix(7): connecting needs write permission for the socket file and search permission for its folders.
"""

from __future__ import annotations

import grp
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from adapters.vm.identity.ca import LEAF_LIFE
from hub.api import ConfigError, SinkContext
from hub.private import claim, make_folder

PATH_BYTES = 107
"""Linux, unix(7): sun_path holds 108 bytes with its terminator."""
_PURPOSE = "the hub's socket"


class SocketConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The hub's Unix socket: its folder, and the group whose members may connect besides the hub's own user.

    Without a `folder` it lies beside the state folder, in one of its own; without a `group` no other user can connect.
    """

    folder: str = ""
    group: str = ""


class XdsConfig(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """How the mesh's Envoys reach the hub; life of certificates in seconds.

    `address` (`unix:/path`) names one socket file for the hub's own user, in place of `socket`. Raises ValueError.
    """

    address: str = ""
    socket: SocketConfig = SocketConfig()
    certificate_life_s: int = int(LEAF_LIFE.total_seconds())

    def __post_init__(self) -> None:
        """Refuse what would let other users of the machine take the hub's place."""
        if self.address and not self.address.startswith("unix:/"):
            raise ValueError(
                f'address "{self.address}" is not a Unix socket: any local user could take over a TCP port while the hub is down,'
                " and with it every token; remove the line, or use socket: {folder: /run/smihub, group: GROUP},"
                " and bootstrap the Envoys again"
            )
        if self.address and self.socket != SocketConfig():
            raise ValueError("address and socket both set where the hub listens; remove address")


class ServerSocket(Struct, frozen=True):
    """A socket file of the hub, and the group whose members may connect besides the hub's own user ("": nobody)."""

    file: Path
    group: str = ""

    @property
    def address(self) -> str:
        """As gRPC writes it: `unix:/path`."""
        return f"unix:{self.file}"


def server_sockets(config: XdsConfig, context: SinkContext) -> tuple[ServerSocket, ...]:
    """Where a mesh's hub listens: the first is what new Envoys are told. Raises ConfigError.

    The second lies in the state folder, where the hub used to have its only one, and where Envoys that were bootstrapped
    then look for it. None but its own user can reach it there.
    """
    if config.address:
        return (ServerSocket(socket_path(config.address)),)
    new = ServerSocket(
        socket_path(f"unix:{socket_folder(config, context) / f'{context.mesh}.sock'}"), config.socket.group
    )
    old = ServerSocket(context.state / f"{context.mesh}.sock")
    return (new, old) if _fits(old.file) else (new,)


def socket_folder(config: XdsConfig, context: SinkContext) -> Path:
    """The folder of the hub's socket, where no `address` names the file."""
    beside = context.state.with_name(f"{context.state.name}-sockets")
    return context.base / config.socket.folder if config.socket.folder else beside


def socket_path(address: str) -> Path:
    """The file of `unix:/path`. Raises ConfigError for anything else, and for a path that the kernel does not take."""
    path = Path(address.removeprefix("unix:"))
    if not address.startswith("unix:/"):
        raise ConfigError(f'address "{address}" is not a Unix socket; use unix:/path')
    if not _fits(path):
        raise ConfigError(
            f'socket path "{path}" is longer than {PATH_BYTES} bytes, the limit of the kernel; choose a shorter folder'
        )
    return path


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= PATH_BYTES


@contextmanager
def guarded(where: ServerSocket) -> Iterator[int]:
    """Around binding: the folder is private, the place is ours; gives the descriptor of the lock that keeps it so.

    Afterwards the socket's mode says who may connect. Raises ConfigError.
    """
    gid = _gid(where.group)
    try:
        _make_folder(where.file.parent, gid)
    except OSError as error:
        raise ConfigError(f'folder "{where.file.parent}" of {_PURPOSE} cannot be used: {error.strerror}') from error
    lock = claim(where.file.with_name(f"{where.file.name}.lock"), f'"{where.file}" is served')
    before = os.umask(0o177)  # nobody else may connect between binding and the lines below
    try:
        _refuse_if_served(where.file)
        yield lock
        _open_to_group(where.file, gid)
    except BaseException:
        os.close(lock)
        raise
    finally:
        os.umask(before)


def _gid(group: str) -> int | None:
    try:
        return grp.getgrnam(group).gr_gid if group else None
    except KeyError:
        raise ConfigError(
            f'sink.socket.group: group "{group}" does not exist; create it with: groupadd --system {group}'
        ) from None


def _make_folder(folder: Path, gid: int | None) -> None:
    made = make_folder(folder, _PURPOSE)
    if gid is None:
        return
    if made:
        _give(folder, gid, 0o750)
    found = folder.stat()
    if not (found.st_mode & stat.S_IXOTH or (found.st_gid == gid and found.st_mode & stat.S_IXGRP)):
        name = grp.getgrgid(gid).gr_name
        raise ConfigError(
            f'folder "{folder}" of {_PURPOSE} is not accessible by group "{name}"; run: chgrp {name} {folder} && chmod 750 {folder}'
        )


def _open_to_group(file: Path, gid: int | None) -> None:
    if gid is not None:
        _give(file, gid, 0o660)


def _give(path: Path, gid: int, mode: int) -> None:
    try:
        os.chown(path, -1, gid, follow_symlinks=False)
        path.chmod(mode)
    except PermissionError:
        name = grp.getgrgid(gid).gr_name
        raise ConfigError(
            f'"{path}" cannot be given to group "{name}": the user who runs smihub is not a member of it; run: usermod -aG {name} USER'
        ) from None


def _refuse_if_served(file: Path) -> None:
    """Fail where gRPC would silently take the socket away from a hub that lives: an older one knows no lock."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(file))
        except OSError:
            return
    raise ConfigError(f'"{file}" is already served by another process; stop it first')
