"""Folders and files that other users of the machine can neither swap nor read, and what this process keeps to itself.

The local machine is hostile: a folder into which somebody else may write, or above which he may rename, is his.
Source: Linux, path_resolution(7), inode(7) (the sticky bit) and flock(2).
"""

from __future__ import annotations

import fcntl
import grp
import os
import pwd
import resource
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from hub.errors import ConfigError

_ROOT = 0
_OTHERS_WRITE = 0o022
_MANY = 1 << 20
_LINKS = 40
"""As many symbolic links as the kernel follows in one path."""


def check_folder(folder: Path, purpose: str, *owners: int) -> None:
    """Refuse a folder that another user could fill or swap; besides us and root, `owners` may own it.

    A sticky one is no better: he cannot remove a file of ours, but be there first with one that we then write to, such as
    SQLite's `<name>-wal`. `purpose` says what the folder is for, such as "the state file". Raises ConfigError and OSError.
    """
    found = folder.stat()
    if found.st_mode & stat.S_ISVTX and found.st_mode & _OTHERS_WRITE:
        raise ConfigError(f'folder "{folder}" of {purpose} is also used by others; use a separate folder')
    if found.st_mode & _OTHERS_WRITE:
        raise ConfigError(f'folder "{folder}" of {purpose} is writable by others; run: chmod go-w {folder}')
    if found.st_uid not in {os.geteuid(), _ROOT, *owners}:
        raise ConfigError(f'folder "{folder}" of {purpose} must be owned by the user who runs smihub')


def check_way(folder: Path, purpose: str) -> None:
    """Refuse a folder that another user could put another one in the place of, in any folder or link on the way to it.

    What does not exist yet ends the way. Raises ConfigError and OSError.
    """
    for step in _way(folder):
        found = step.lstat()
        if found.st_uid not in {os.geteuid(), _ROOT}:
            raise ConfigError(
                f'folder "{folder}" of {purpose}: "{step}" in its path is owned by another user, who could replace it; choose another place'
            )
        if stat.S_ISDIR(found.st_mode) and not found.st_mode & stat.S_ISVTX and _others_write(found):
            raise ConfigError(
                f'folder "{folder}" of {purpose}: "{step}" in its path is writable by others; run: chmod go-w {step}'
            )


def make_folder(folder: Path, purpose: str, *owners: int) -> bool:
    """Check a folder and the way to it; make it, for this user alone, where there is none. Gives whether it was made.

    Raises ConfigError and OSError.
    """
    check_way(folder, purpose)
    made = not folder.exists()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_folder(folder, purpose, *owners)
    return made


_LONGEST_PID = 20


def claim(file: Path, what: str) -> int:
    """Hold a lock file while the returned descriptor is open. Raises ConfigError that names the other process which holds it.

    `what` is what the holder does, such as `mesh "vms" is served`. The file stays: removing it would let two hold it.
    """
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f'lock file "{file}" cannot be opened: {error.strerror}') from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.pread(descriptor, _LONGEST_PID, 0)
        os.close(descriptor)
        who = f"process {int(holder)}" if holder.isdigit() else "another process"
        raise ConfigError(f"{what} by {who} already; stop it first") from None
    with suppress(OSError):  # a full disk: who it is matters to people alone
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor


def raise_descriptor_limit() -> int:
    """Take as many file descriptors as the system allows this process, and say how many that is."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return _MANY if soft == resource.RLIM_INFINITY else soft


def _others_write(found: os.stat_result) -> bool:
    """The group of a user who has one of his own, as adduser(8) makes it, is nobody else."""
    if found.st_mode & stat.S_IWOTH:
        return True
    return bool(found.st_mode & stat.S_IWGRP) and not _is_own_group(found.st_gid)


def _is_own_group(gid: int) -> bool:
    try:
        user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(gid)
    except KeyError:
        return False
    return gid == user.pw_gid and group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name}


def _way(folder: Path) -> Iterator[Path]:
    """The folders and links above a folder, itself if it is a link, and those above where links lead; not the root."""
    todo = [folder.absolute()]
    for _ in range(_LINKS):
        if not todo:
            return
        path = todo.pop()
        for step in [*reversed(path.parents[:-1]), path]:
            if step.is_symlink():
                yield step
                todo.append(step.parent / step.readlink() / path.relative_to(step))
                break
            if step != path and step.exists():
                yield step
    raise ConfigError(f'folder "{folder}" has too many symbolic links in its path; use the real path')
