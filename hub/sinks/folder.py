"""The folder of a directory sink on disk: files by descriptor of their folder, so that no link leads anywhere else.

A file is written beside its place, synced, and put there in one step; so it is there whole or not at all. Writers and
readers exclude each other by a lock on the folder itself, which ends with the process that holds it.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path

from hub.errors import ConfigError, SmihubError, TransientError
from hub.sinks.names import OBJECTS, TEMPORARY
from hub.threads import run_to_end

SHARED, EXCLUSIVE = fcntl.LOCK_SH, fcntl.LOCK_EX
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# O_NONBLOCK: opening a named pipe must not wait for somebody to write into it.
_LOOK = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_MAKE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_FILE = {errno.ELOOP, errno.ENXIO, errno.ENODEV}  # a link, a socket, a device: opened by nobody
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS}
_LASTING = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.EINVAL, errno.EBADF}
_FULL = {errno.ENOSPC, errno.EDQUOT}
_TRIES, _PAUSE_S = 100, 0.05


class Folder:
    """An open and locked folder. Paths are names, or names below `objects`."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._objects: int | None = None
        self._staged: Entry = (0, 0)
        self.left: dict[str, Entry | None] = {}  # what was put here, as we left it; None: removed
        with suppress(FileNotFoundError):
            self._objects = os.open(OBJECTS, _FOLDER | os.O_NOFOLLOW, dir_fd=root)

    def close(self) -> None:
        """Let go of it."""
        if self._objects is not None:
            os.close(self._objects)

    def names(self) -> list[str]:
        """What stands directly in it."""
        return sorted(os.listdir(self._root))  # noqa: PTH208 - by descriptor

    def objects(self) -> list[str]:
        """What stands in `objects`."""
        return [] if self._objects is None else sorted(os.listdir(self._objects))  # noqa: PTH208 - by descriptor

    def read(self, path: str, limit: int) -> bytes | None:
        """The content of an ordinary file of at most so many bytes; None for anything else. Raises FileNotFoundError."""
        at, name = self._place(path)
        try:
            handle = os.open(name, _LOOK, dir_fd=at)
        except OSError as error:
            if error.errno in _NO_FILE:
                return None
            raise
        try:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode) or status.st_size > limit:
                return None
            data = _content(handle, limit + 1)
        finally:
            os.close(handle)
        return data if len(data) <= limit else None

    def make_objects(self) -> None:
        """Make `objects` where it is not there yet."""
        if self._objects is None:
            os.mkdir(OBJECTS, dir_fd=self._root)
            self._objects = os.open(OBJECTS, _FOLDER | os.O_NOFOLLOW, dir_fd=self._root)
            os.fsync(self._root)

    def stage(self, path: str, data: bytes) -> None:
        """Write a file beside its place, for `add` or `replace`."""
        at, _ = self._place(path)
        self._staged = _write(at, data)

    def add(self, path: str) -> None:
        """Put what was staged where nothing stands. Raises FileExistsError if something does."""
        at, name = self._place(path)
        try:
            # Unlike a rename, a link fails where a file stands, whenever that came.
            os.link(TEMPORARY, name, src_dir_fd=at, dst_dir_fd=at, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            _move_to_empty(at, name)
        else:
            os.unlink(TEMPORARY, dir_fd=at)
        self.left[path] = self._staged

    def replace(self, path: str) -> None:
        """Put what was staged in the place of another file."""
        at, name = self._place(path)
        os.rename(TEMPORARY, name, src_dir_fd=at, dst_dir_fd=at)
        self.left[path] = self._staged

    def remove(self, path: str) -> None:
        """Remove a file."""
        at, name = self._place(path)
        os.unlink(name, dir_fd=at)
        self.left[path] = None

    def sync(self) -> None:
        """Have everything that was put and removed survive a loss of power."""
        if self._objects is not None:
            os.fsync(self._objects)
        os.fsync(self._root)

    def clean(self) -> None:
        """Remove what a write that did not end left behind."""
        for at in (self._root, self._objects):
            if at is not None:
                with suppress(FileNotFoundError):
                    os.unlink(TEMPORARY, dir_fd=at)

    def _place(self, path: str) -> tuple[int, str]:
        folder, _, name = path.rpartition("/")
        if not folder:
            return self._root, name
        if self._objects is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return self._objects, name


def _content(handle: int, most: int) -> bytes:
    parts: list[bytes] = []
    while most > 0 and (data := os.read(handle, min(most, 1_048_576))):
        parts.append(data)
        most -= len(data)
    return b"".join(parts)


def _write(at: int, data: bytes) -> Entry:
    """Write the temporary file; what it is then, and still is under its name."""
    handle = os.open(TEMPORARY, _MAKE, 0o644, dir_fd=at)
    with os.fdopen(handle, "wb", buffering=0) as file:
        rest = memoryview(data)
        while rest:
            rest = rest[file.write(rest) :]
        # Before it gets its name: after a loss of power the name must not lead to an empty file.
        os.fsync(handle)
        about = os.fstat(handle)
    return (about.st_size, about.st_mtime_ns)


def _move_to_empty(at: int, name: str) -> None:
    """On a file system without hard links: look, then move. What comes in between is lost."""
    try:
        os.stat(name, dir_fd=at, follow_symlinks=False)
    except FileNotFoundError:
        os.rename(TEMPORARY, name, src_dir_fd=at, dst_dir_fd=at)
        return
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)


# --------------------------------------------------------------------------- opening


@asynccontextmanager
async def opened(path: Path, lock: int) -> AsyncIterator[Folder | None]:
    """The folder, locked; None if it is not there. What the system refuses is told as ConfigError or TransientError."""
    with translate_os_errors(path):
        root = await run_to_end(partial(_open, path))
        if root is None:
            yield None
            return
        try:
            await _lock(root, path, lock)
            folder = Folder(root)
            try:
                yield folder
            finally:
                folder.close()
        finally:
            os.close(root)


def _open(path: Path) -> int | None:
    try:
        return os.open(path, _FOLDER)
    except FileNotFoundError:
        return None


Entry = tuple[int, int]
"""Size and time (ns) of a file."""


def signature(path: Path) -> dict[str, Entry]:
    """What files there are, by path; empty if there is no folder."""
    found = dict[str, Entry]()
    for folder in (path, path / OBJECTS):
        with suppress(OSError), os.scandir(folder) as listed:
            for each in listed:
                with suppress(OSError):
                    if each.name != TEMPORARY and not each.is_dir(follow_symlinks=False):
                        about = each.stat(follow_symlinks=False)
                        found[each.path] = (about.st_size, about.st_mtime_ns)
    return found


def make(path: Path) -> None:
    """Make the folder and those above it."""
    with translate_os_errors(path):
        path.mkdir(parents=True, exist_ok=True)


@contextmanager
def translate_os_errors(path: Path) -> Iterator[None]:
    """Errors of the system as ours, naming the folder; what another try will not mend is a ConfigError."""
    try:
        yield
    except SmihubError:
        raise
    except OSError as error:
        kind = ConfigError if error.errno in _LASTING else TransientError
        file = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else str(path)
        name = "" if file == str(path) else f' ("{file}")'
        raise kind(f'folder "{path}" cannot be used{name}: {cause_and_remedy(error)}') from None


def cause_and_remedy(error: OSError) -> str:
    """What the system refused, and what to do about it."""
    if error.errno in _FULL:
        remedy = "free space on its file system"
    else:
        remedy = "check it and its permissions" if error.errno in _LASTING else "try again"
    return f"{(error.strerror or str(error)).lower()}; {remedy}"


async def _lock(root: int, path: Path, lock: int) -> None:
    for _ in range(_TRIES):
        try:
            # Tried again and again instead of waited for: a thread that blocks in flock could not be cancelled.
            fcntl.flock(root, lock | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            await asyncio.sleep(_PAUSE_S)
    raise TransientError(f'folder "{path}" is in use by another smihub; try again when it has finished')
