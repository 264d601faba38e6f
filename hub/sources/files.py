"""Files of a source folder: which ones count, and their bytes once nobody writes them any more."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from hub.errors import SourceError
from hub.sources.selection import EVERYTHING, IGNORE, Selection

SUFFIXES = (".yaml", ".yml", ".json")
QUIET_S = 0.1
"""A file counts as written to its end when nothing about it has changed for this long."""


class FileError(SourceError):
    """One file (or folder) of a source cannot be read; the others can."""

    def __init__(self, code: str, message: str, remedy: str) -> None:
        super().__init__(f"{message}; {remedy}")
        self.code = code
        self.message = message
        self.remedy = remedy


class Listing(Struct, frozen=True):
    """The files of a folder by part name, and what could not be listed (a folder's part name ends with `/`).

    `folders` are those that were walked, by path; `linked` names the links on the way; `skipped` does not count, nor does
    what the `selection` leaves out.
    """

    files: dict[str, str]
    unread: dict[str, FileError]
    folders: set[str] = field(default_factory=set)
    linked: set[str] = field(default_factory=set)
    skipped: str = ""
    selection: Selection = EVERYTHING


class Signature(Struct, frozen=True):
    """What the file system says about a file; equal signatures of a quiet file mean equal content."""

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int

    def quiet_at(self, now_ns: int) -> bool:
        """Whether the last write or rename lies far enough back; a time in the future does not."""
        return now_ns - max(self.modified_ns, self.changed_ns) >= QUIET_S * 1e9

    def pause_s(self, now_ns: int) -> float:
        """How long to wait before looking again whether it is quiet: no longer than needed, `QUIET_S` if nobody can tell."""
        age_s = (now_ns - max(self.modified_ns, self.changed_ns)) / 1e9
        return QUIET_S - age_s if 0 <= age_s < QUIET_S else QUIET_S


def list_files(root: Path, selection: Selection = EVERYTHING) -> Listing:
    """All .yaml, .yml and .json files of the selection under a folder but hidden ones, or the one file that `root` is.

    Folders that the selection leaves out are not looked into.

    Links are followed to files inside the folder only. Raises SourceError if `root` is missing or unreadable.
    """
    try:
        real = os.path.realpath(root, strict=True)  # Path.resolve has its own errors for loops
        if not Path(real).is_dir():
            return Listing({_shown(root.name): real}, {})  # by the name that stays, wherever a link leads
        return _without(_walk(real, selection), selection.skip)
    except OSError as error:
        raise SourceError(
            f'source "{root}" cannot be read: {_reason(error)}; check "path" and its permissions'
        ) from None


def _without(listing: Listing, skip: Path | None) -> Listing:
    real = "" if skip is None else os.path.realpath(skip)
    return replace(listing, files={part: path for part, path in listing.files.items() if path != real}, skipped=real)


def _walk(base: str, selection: Selection) -> Listing:
    listing = Listing({}, {}, selection=selection)
    failed = list[OSError]()
    for folder, names, files in os.walk(base, onerror=failed.append):
        if folder == base and failed:
            raise failed[0]
        listing.folders.add(folder)
        # Strings, not paths: a file that comes or goes has the whole folder listed, and paths would make that the longest part.
        before = _part(base, folder) + "/" if folder != base else ""
        names[:] = sorted(name for name in names if not name.startswith(".") and selection.walks(before + _shown(name)))
        for name in names:
            _check_linked_folder(base, f"{folder}/{name}", listing)
        for name in files:
            part = before + _shown(name)
            if _counts(name) and selection.counts(part):
                _add(base, f"{folder}/{name}", part, listing)
    if failed and failed[0].filename == base:
        raise failed[0]
    for error in failed:
        part = _part(base, error.filename) + "/"
        listing.unread[part] = FileError("file.unreadable", f"cannot be listed: {_reason(error)}", "make it readable")
    return listing


def _check_linked_folder(base: str, folder: str, listing: Listing) -> None:
    """A link to a folder is not walked: inside the root its files are read at their own place, else it is unread."""
    if _kind(folder) != stat.S_IFLNK:
        return
    # While there are links, a report about a path does not tell at which other place its file is seen.
    listing.linked.add(folder)
    target = os.path.realpath(folder)
    if not _is_inside(base, target) or any(part.startswith(".") for part in target[len(base) :].split("/")):
        error = FileError(
            "file.outside", "a link to a folder outside the source", "add that folder as a separate source"
        )
        listing.unread[_part(base, folder) + "/"] = error


def _add(base: str, path: str, part: str, listing: Listing) -> None:
    real = path
    if _kind(path) == stat.S_IFLNK:
        listing.linked.add(path)
        real = os.path.realpath(path)
    if _is_inside(base, real):
        listing.files[part] = real
        return
    listing.unread[part] = FileError(
        "file.outside", "a link to a file outside the source", "copy the file, or add its folder as a source"
    )


def reported_files(last: Listing, reported: Iterable[str]) -> dict[str, str] | None:
    """The files that these reports of the file system are about, by part name; None if only a new listing can tell.

    `last` is the last listing of a folder. A report is understood if it is about an ordinary file in one of its folders
    (or a file without a suffix of ours), and the folder held no links, through which a file is seen at another place.
    """
    if last.linked or not last.folders:
        return None
    root = min(last.folders, key=len)
    found: dict[str, str] = {}
    for path in reported:
        folder, name = os.path.split(path)
        kind = _kind(path)
        if path in last.folders or folder not in last.folders or kind not in {0, stat.S_IFREG}:
            return None
        part = _shown(path[len(root) :].lstrip("/"))
        if part == IGNORE:
            return None
        if path == last.skipped or not _counts(name) or not last.selection.counts(part):
            continue
        if not kind:
            return None
        found[part] = path
    return found


def _kind(path: str) -> int:
    """What stands at a path: a file type of `stat`, 0 for nothing."""
    try:
        return stat.S_IFMT(os.lstat(path).st_mode)
    except OSError:
        return 0


def _counts(name: str) -> bool:
    return (name.lower().endswith(SUFFIXES) or name == "Kustomization") and not name.startswith(".")


def file_path(root: Path, part: str) -> str:
    """Where a part of a source stands, links followed; `root` itself if that is a file."""
    return os.path.realpath(root / part if root.is_dir() else root)


def signature(path: str) -> Signature:
    """What the file system says about the file now. Raises FileError."""
    try:
        found = os.lstat(path)
    except OSError as error:
        raise _unreadable(error) from None
    return _signature(found)


def read_settled(path: str, before: Signature, limit: int) -> bytes | None:
    """The content of a file, or None if it is not (or no longer) what `before` says: try again later.

    Reads at most `limit` bytes. Raises FileError if it is unreadable, not a regular file, or too large.
    """
    try:
        # O_NONBLOCK: a named pipe must not block us before we have seen what it is.
        # O_NOFOLLOW: the path was resolved when it was listed; a link that stands there now was put there since.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise _unreadable(error) from None
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise FileError("file.special", "not a regular file", "remove it from the source folder")
        if status.st_size > limit:
            message = f"the file has {status.st_size} bytes, more than {limit}"
            raise FileError("yaml.too-large", message, 'split it into several files, or exclude it ("exclude")')
        data = _content(handle, status.st_size)
        opened, after = _signature(status), _signature(os.fstat(handle))
    except OSError as error:
        raise _unreadable(error) from None
    finally:
        os.close(handle)
    try:
        still = signature(path)  # another file may stand there by now
    except FileError:
        return None
    return data if before == opened == after == still else None


def _content(handle: int, size: int) -> bytes:
    """So many bytes of a file, or all there are."""
    parts: list[bytes] = []
    while size > 0 and (data := os.read(handle, size)):
        parts.append(data)
        size -= len(data)
    return b"".join(parts)


def now_ns() -> int:
    """Now, on the clock that file times are on."""
    return time.time_ns()


def _signature(found: os.stat_result) -> Signature:
    return Signature(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _unreadable(error: OSError) -> FileError:
    return FileError("file.unreadable", f"cannot be read: {_reason(error)}", "make it readable, or remove it")


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _is_inside(base: str, path: str) -> bool:
    return path == base or path.startswith(base if base.endswith("/") else base + "/")


def _part(base: str, path: str) -> str:
    return _shown(path[len(base) :].lstrip("/"))


def _shown(name: str) -> str:
    """A file name as text that can be printed anywhere; bytes that are not UTF-8 become escapes."""
    return name if name.isascii() else os.fsencode(name).decode("utf-8", "backslashreplace")
