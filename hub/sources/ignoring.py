"""The ignore file of a folder, read once nobody writes it any more: half of it would let in files that it leaves out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pathspec import GitIgnoreSpec

from hub.errors import SourceError
from hub.sources import files
from hub.sources.files import FileError, Signature
from hub.sources.selection import IGNORE, ignore_lines, patterns

_TRIES = 20
_MOST_BYTES = 1_048_576


class IgnoreFile:
    """The `.smihubignore` of a folder; `spec` is what it said when it was read last (None: nothing)."""

    def __init__(self, root: Path) -> None:
        """Of the folder `root`; a source that is one file has none."""
        self.spec: GitIgnoreSpec | None = None
        self._path = root / IGNORE
        self._seen: Signature | None = None

    def settle(self) -> Iterator[float]:
        """Read it if it changed; yields pauses in seconds while it is being written, or has just gone.

        Raises SourceError if it cannot be read: nobody knows then what it leaves out.
        """
        before = self._seen
        for _ in range(_TRIES):
            now = self._signature()
            if now == self._seen:
                return
            # A file that is gone has no time to go by, so it must be gone twice.
            if now == before or (now is not None and now.quiet_at(files.now_ns())):
                if self._take(now):
                    return
                continue
            before = now
            yield files.QUIET_S if now is None else now.pause_s(files.now_ns())
        raise SourceError(
            f'"{self._path}" changes each time it is read; replace it atomically, by renaming a new file over it'
        )

    def _signature(self) -> Signature | None:
        try:
            os.lstat(self._path)
            return files.signature(str(self._path))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except FileError as error:
            raise SourceError(f'"{self._path}" {error}') from None
        except OSError:  # nothing of the folder can be reached, which listing it tells
            return self._seen

    def _take(self, now: Signature | None) -> bool:
        """Whether it is still what it was."""
        try:
            data = b"" if now is None else files.read_settled(str(self._path), now, _MOST_BYTES)
        except FileError as error:
            raise SourceError(f'"{self._path}" {error}') from None
        if data is None:
            return False
        self.spec = patterns(ignore_lines(data, str(self._path)), str(self._path))
        self._seen = now
        return True
