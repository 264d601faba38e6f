"""A source that is a folder of YAML and JSON files (or one such file).

Only files whose content changed are parsed. A file is read once nothing about it has changed for 100 ms, and what was
read is known by its hash. A file that cannot be read, or is broken, keeps what it held last; a folder that is missing,
unreadable or without any object is an error, never an order to delete everything.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import aclosing
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace
from watchfiles import Change, awatch
from watchfiles._rust_notify import WatchfilesRustInternalError

from hub.errors import SourceError
from hub.model import Document, ObjectRef, Origin, Problem
from hub.sources import files
from hub.sources.events import Event, Snapshot, Unread, changes
from hub.sources.files import FileError, Listing, Signature
from hub.sources.locate import Locator
from hub.sources.yaml import DEFAULT_LIMITS, Limits, YamlError, load

_TRIES = 20
_POLL_S = 5.0


class _Entry(Struct, frozen=True):
    """What is known of one file: `documents` None = never read well; `problem` None = read well the last time."""

    seen: Signature | None = None
    digest: bytes = b""
    documents: tuple[Document, ...] | None = None
    problem: Problem | None = None


_Steps = Generator[float, None, Snapshot]


class DirectorySource:
    """Reads a folder; remembers per file what it read last. `name` is the source's name in every origin."""

    def __init__(self, name: str, root: Path, limits: Limits = DEFAULT_LIMITS, poll_s: float = _POLL_S) -> None:
        """Watch `root` (a folder or a file); `poll_s` is how often it is read even if nothing was reported."""
        self._name = name
        self._root = root
        self._limits = limits
        self._poll_s = poll_s
        self._entries: dict[str, _Entry] = {}

    @property
    def name(self) -> str:
        """The name that origins carry."""
        return self._name

    def read(self) -> Snapshot:
        """Read what changed and return the whole; waits 100 ms (up to 2 s) for files that are being written.

        Raises SourceError if the folder is missing, unreadable or holds no object at all; nothing is forgotten then.
        """
        steps = self._steps()
        while True:
            try:
                wait_s = next(steps)
            except StopIteration as done:
                return _done(done)
            if wait_s:
                time.sleep(wait_s)

    async def watch(self) -> AsyncGenerator[tuple[Event, ...], None]:
        """Yield the whole content once, then batches of changes, each at least 100 ms after the last write."""
        reported = Snapshot()
        failed: Problem | None = None
        first = True
        async with aclosing(self._ticks()) as ticks:
            async for _ in ticks:
                try:
                    now = await self._read_async()
                except SourceError as error:
                    problem = self._lost(error)
                    if failed != problem:
                        failed = problem
                        yield (Unread("", problem),)
                    continue
                batch = changes(reported, now)
                if first or failed is not None or len(batch) > 1:
                    yield batch
                reported, failed, first = now, None, False

    def pinpoint(self, problems: Sequence[Problem]) -> tuple[Problem, ...]:
        """The same problems with the line of the field itself, where its file still holds what was read."""
        locators: dict[str, Locator | None] = {}
        found: list[Problem] = []
        for problem in problems:
            part = problem.origin.file
            if problem.origin.source == self._name and part not in locators:
                locators[part] = self._locator(part)
            found.append(_pinpointed(problem, locators.get(part)))
        return tuple(found)

    def _locator(self, part: str) -> Locator | None:
        entry = self._entries.get(part)
        if entry is None or entry.seen is None:
            return None
        try:
            path = files.list_files(self._root).files.get(part)
            data = files.read_settled(path, entry.seen, self._limits.file_bytes) if path else None
        except SourceError:
            return None
        same = data is not None and hashlib.sha256(data).digest() == entry.digest
        return Locator(data, self._limits) if same and data is not None else None

    async def _read_async(self) -> Snapshot:
        steps = self._steps()
        while True:
            try:
                wait_s = next(steps)
            except StopIteration as done:
                return _done(done)
            await asyncio.sleep(wait_s)

    def _steps(self) -> _Steps:
        """Read everything, yielding how long to wait before going on (0 = let others run)."""
        listing = files.list_files(self._root)
        if not listing.files and not listing.unread:
            raise SourceError(f'source "{self._root}" has no .yaml, .yml or .json file; check "path"')
        entries = {part: self._failed(part, error) for part, error in listing.unread.items()}
        entries |= self._unlisted(listing)
        yield from self._settle(listing, entries)
        if not any(entry.documents or entry.problem for entry in entries.values()):
            raise SourceError(f'source "{self._root}" holds no object in any of its files; check "path"')
        self._entries = entries
        return Snapshot(
            {part: entry.documents for part, entry in entries.items() if entry.documents is not None},
            {part: entry.problem for part, entry in entries.items() if entry.problem is not None},
        )

    def _settle(self, listing: Listing, entries: dict[str, _Entry]) -> Generator[float, None, None]:
        """Read all listed files into `entries`; those that are being written get a few more tries."""
        waiting = dict.fromkeys(listing.files)
        seen: dict[str, Signature] = {}
        for _ in range(_TRIES):
            for part in list(waiting):
                entry = self._attempt(part, listing.files[part], seen)
                if entry is not None:
                    entries[part] = entry
                    del waiting[part]
                    yield 0.0
            if not waiting:
                return
            yield files.QUIET_S
        for part in waiting:
            error = FileError("file.busy", "the file is being written all the time", "replace it by a rename")
            entries[part] = self._failed(part, error)

    def _attempt(self, part: str, path: Path, seen: dict[str, Signature]) -> _Entry | None:
        """Read one file if it is quiet; `seen` holds what the try before saw (100 ms ago). None = try again."""
        known = self._entries.get(part)
        try:
            now = files.signature(path)
            if known is not None and known.seen == now:
                return known
            quiet = now.quiet_at(files.now_ns()) or seen.get(part) == now
            seen[part] = now
            data = files.read_settled(path, now, self._limits.file_bytes) if quiet else None
        except FileError as error:
            return self._failed(part, error)
        return None if data is None else self._parsed(part, now, data)

    def _parsed(self, part: str, seen: Signature, data: bytes) -> _Entry:
        known = self._entries.get(part, _Entry())
        digest = hashlib.sha256(data).digest()
        if known.digest == digest:
            return replace(known, seen=seen)
        try:
            documents = load(data, Origin(self._name, part), self._limits)
        except YamlError as error:
            return _Entry(seen, digest, known.documents, error.problem(self._name, part))
        return _Entry(seen, digest, documents)

    def _failed(self, part: str, error: FileError) -> _Entry:
        """What a file held last, with the problem; its content is read again as soon as that works."""
        ref = ObjectRef("", "File", "", part)
        problem = Problem(error.code, ref, "", error.message, error.remedy, Origin(self._name, part))
        return _Entry(documents=self._entries.get(part, _Entry()).documents, problem=problem)

    def _unlisted(self, listing: Listing) -> dict[str, _Entry]:
        """Files known from before that lie in a folder which cannot be listed now: they stay in force."""
        folders = tuple(part for part in listing.unread if part.endswith("/"))
        return {part: entry for part, entry in self._entries.items() if folders and part.startswith(folders)}

    def _lost(self, error: SourceError) -> Problem:
        ref = ObjectRef("", "Source", "", self._name)
        return Problem(
            "source.unreadable", ref, "", str(error), "restore it; until then nothing changes", Origin(self._name)
        )

    async def _ticks(self) -> AsyncGenerator[None, None]:
        """Say when to look: at once, after each report of the file system, and every `poll_s` in any case."""
        yield None
        while True:
            target = self._root if self._root.is_dir() else self._root.parent
            try:
                before = target.stat()
                async with aclosing(self._reports(target)) as reports:
                    async for _ in reports:
                        yield None
                        now = target.stat()
                        if (now.st_dev, now.st_ino) != (before.st_dev, before.st_ino):
                            break
            except (OSError, WatchfilesRustInternalError):  # gone, or no more watches to be had: look now and then
                await asyncio.sleep(self._poll_s)
                yield None

    def _reports(self, target: Path) -> AsyncGenerator[set[tuple[Change, str]], None]:
        return awatch(
            target,
            watch_filter=None,
            step=int(files.QUIET_S * 1000),
            rust_timeout=int(self._poll_s * 1000),
            yield_on_timeout=True,
            recursive=target == self._root,
            ignore_permission_denied=True,
        )


def _done(stop: StopIteration) -> Snapshot:
    """The return value of `_steps`, which `StopIteration` carries without its type."""
    snapshot: Snapshot = stop.value
    return snapshot


def _pinpointed(problem: Problem, locator: Locator | None) -> Problem:
    if locator is None or not problem.field:
        return problem
    line = locator.line_from(problem.origin.line, problem.field)
    return problem if line is None else replace(problem, origin=replace(problem.origin, line=line))
