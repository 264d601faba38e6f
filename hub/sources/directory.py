"""A source that is a folder of YAML and JSON files (or one such file).

Only files whose content changed are parsed. A file is read once nothing about it has changed for 100 ms, and what was
read is known by its hash; the objects themselves are handed over and not kept. A file that cannot be read, or is broken,
keeps what it held last; a folder that is missing, unreadable or without any object is an error, never an order to delete
everything. A watcher looks at the files that the file system names, and now and then at all of them.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import aclosing, suppress
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace
from watchfiles import Change, awatch
from watchfiles._rust_notify import WatchfilesRustInternalError

from hub.api import SourceContext, SourceSpec
from hub.errors import ConfigError, EmptySourceError, SourceError
from hub.events import Delete, Event, Listed, NotOurs, Synced, Unread, Upsert, covers, lost
from hub.model import Document, ObjectRef, Origin, Problem
from hub.sources import files
from hub.sources.files import FileError, Listing, Signature
from hub.sources.foreign import holds_objects, is_template, looks_like
from hub.sources.ignoring import IgnoreFile
from hub.sources.limits import DEFAULT_LIMITS, ParseLimits, YamlError
from hub.sources.locate import KnownLines
from hub.sources.selection import EVERYTHING, IGNORE, Selection, patterns
from hub.sources.steps import Step, taken
from hub.sources.yaml import load
from hub.threads import run_in_thread

_TRIES = 20
_POLL_S = 5.0
_AHEAD_S = 0.03  # so long before a file counts as quiet it is parsed, and read again then
_REPORT_MS = 20  # reports come after so long without another one; that a file is quiet is seen at the file itself
Reported = frozenset[str] | None
"""Paths about which the file system says something; None = look at everything."""


class _FileEntry(Struct, frozen=True, gc=False):
    """What is known of one file: `held` documents (None = never read well); `problem` None = read well the last time.

    `ours`: some of them had a kind. `foreign`: it cannot be read, and nothing of ours is in it by its looks.
    """

    seen: Signature | None = None
    digest: bytes = b""
    held: int | None = None
    problem: Problem | None = None
    ours: bool = False
    foreign: NotOurs | None = None


class _Read(Struct, frozen=True):
    """A file as it was just read: its entry, and its objects if they were parsed (None: they are as they were)."""

    entry: _FileEntry
    documents: tuple[Document, ...] | None = None
    templates: int = 0


_RENDER = 'this looks like a Helm template; render it and use the result as the source, or exclude it ("exclude")'


class DirectorySource:
    """Reads a folder; remembers per file what it read last. `name` is the source's name in every origin."""

    def __init__(
        self,
        name: str,
        root: Path,
        limits: ParseLimits = DEFAULT_LIMITS,
        poll_s: float = _POLL_S,
        selection: Selection = EVERYTHING,
    ) -> None:
        """Watch `root` (a folder or a file) but for what the selection, or a .smihubignore, leaves out.

        All of it is read every `poll_s` in any case.
        """
        self._name = name
        self._root = root
        self._limits = limits
        self._poll_s = poll_s
        self._selection = selection
        self._ignore = IgnoreFile(root)
        self._entries: dict[str, _FileEntry] = {}
        self._ahead: dict[str, _Read] = {}
        self._listing = Listing({}, {})
        self._lines = KnownLines(limits)

    @property
    def name(self) -> str:
        """The name that origins carry."""
        return self._name

    def read(self) -> Iterator[Event]:
        """See hub.events.ObjectSource; waits 100 ms (up to 2 s) for files that are being written.

        Raises SourceError if the folder is missing, unreadable or holds no object at all; nothing is forgotten then.
        """
        for step in self.steps():
            if isinstance(step, Event):
                yield step
            elif step:
                time.sleep(step)

    async def watch(self) -> AsyncGenerator[tuple[Event, ...], None]:
        """See hub.events.ObjectSource; each batch comes at least 100 ms after the last write."""
        failed: Unread | None = None
        first = True
        async with aclosing(self._triggers()) as ticks:
            async for reported in ticks:
                try:
                    # Changes of some files are read at once; that a disk hangs is found by looking at everything.
                    batch = await taken(self.steps(reported), beside=reported is None)
                except SourceError as error:
                    away = lost(self._name, error)
                    # Once, and not at each look: the hub logs what it is told.
                    if failed != away:
                        failed = away
                        yield (away,)
                    continue
                if first or failed is not None or len(batch) > 1:
                    yield batch
                failed, first = None, False

    def pinpoint(self, problems: Sequence[Problem]) -> tuple[Problem, ...]:
        """The same problems with the line of the field itself, where its file still holds what was read."""
        return self._lines.pinpointed(self._name, problems, self._unchanged)

    def _unchanged(self, part: str) -> bytes | None:
        """The content of a file, if it is still what was read last."""
        entry = self._entries.get(part)
        if entry is None or entry.seen is None:
            return None
        try:
            data = files.read_settled(files.file_path(self._root, part), entry.seen, self._limits.file_bytes)
        except SourceError:
            return None
        return data if data is not None and hashlib.sha256(data).digest() == entry.digest else None

    def steps(self, reported: Reported = None) -> Iterator[Step]:
        """Read what is reported (None: everything), step by step; what was read counts once all steps are taken.

        Objects come first, what takes objects away comes last, when the source is known to hold any.
        """
        yield from self._ignore.settle()
        listing = self._listed(reported)
        entries = {part: self._failed(part, error) for part, error in listing.unread.items()}
        entries |= self._unlisted(listing)
        late: list[Event] = []
        for step in self._read_until_quiet(listing, entries):
            if isinstance(step, Upsert) and not step.documents:
                late.append(step)
            else:
                yield step
        whole = listing is self._listing
        others = () if whole else (entry for part, entry in self._entries.items() if part not in entries)
        known = (*entries.values(), *others)
        # An empty reading is a mistake (a wrong path, an unmounted disk), never an order to revoke everything.
        if not any(entry.held or entry.problem for entry in known):
            raise SourceError(f'source "{self._root}" has no object in any of its files; {self._advice(known)}')
        # Only a whole listing shows that a file is gone; a report of a few files says nothing about the others.
        late += [_ending(part) for part in self._entries if part not in entries] if whole else []
        late += [Unread(part, new) for part, entry in entries.items() if (new := self._new_problem(part, entry))]
        late += [
            entry.foreign for part, entry in entries.items() if entry.foreign and self._is_new(part, entry.foreign)
        ]
        if whole:
            self._entries = entries
        else:
            self._entries.update(entries)
        yield from sorted(late, key=_part_of)
        yield Synced()

    def _listed(self, reported: Reported) -> Listing:
        touched = None if reported is None else files.reported_files(self._listing, reported)
        if touched is not None:
            return Listing(touched, {})
        self._listing = files.list_files(self._root, replace(self._selection, ignored=self._ignore.spec))
        if not self._listing.files and not self._listing.unread:
            raise EmptySourceError(
                f'source "{self._root}" has no .yaml, .yml or .json file that is read; {self._advice(())}'
            )
        return self._listing

    def _advice(self, entries: Iterable[_FileEntry]) -> str:
        """What to look at if nothing counts."""
        if wrong := [entry.foreign.problem for entry in entries if entry.foreign]:
            return f"{wrong[0].origin.file}:{wrong[0].origin.line}: {wrong[0].message} ({wrong[0].code})"
        chosen = any(spec is not None for spec in (self._selection.include, self._selection.exclude, self._ignore.spec))
        return f'check "path", "include", "exclude" and {IGNORE}' if chosen else 'check "path"'

    def _new_problem(self, part: str, entry: _FileEntry) -> Problem | None:
        known = self._entries.get(part)
        return entry.problem if known is None or known.problem != entry.problem else None

    def _is_new(self, part: str, foreign: NotOurs) -> bool:
        known = self._entries.get(part)
        return known is None or known.foreign != foreign

    def _read_until_quiet(self, listing: Listing, entries: dict[str, _FileEntry]) -> Iterator[Step]:
        """Read all listed files into `entries`; those that are being written get a few more tries."""
        waiting = dict(listing.files)
        seen: dict[str, Signature] = {}
        self._ahead.clear()
        for _ in range(_TRIES):
            for part, path in tuple(waiting.items()):
                found = self._attempt(part, path, seen)
                if found is None:
                    continue
                entries[part] = found.entry
                del waiting[part]
                yield 0.0 if found.documents is None else Upsert(part, found.documents, found.templates)
            if not waiting:
                return
            yield from self._pause(waiting, seen)
        for part in waiting:
            error = FileError(
                "file.busy",
                "the file changes each time it is read",
                "replace it atomically, by renaming a new file over it",
            )
            entries[part] = self._failed(part, error)

    def _pause(self, waiting: dict[str, str], seen: dict[str, Signature]) -> Iterator[Step]:
        """Pause until these files may be quiet; shortly before, parse what they hold, for it mostly stays."""
        now_ns = files.now_ns()
        pause_s = max(seen[part].pause_s(now_ns) if part in seen else files.QUIET_S for part in waiting)
        end_s = time.monotonic() + pause_s
        if pause_s > _AHEAD_S:
            yield pause_s - _AHEAD_S
            for part, path in waiting.items():
                self._parse_early(part, path, seen.get(part))
                yield 0.0
        left_s = end_s - time.monotonic()
        if left_s > 0:
            yield left_s

    def _parse_early(self, part: str, path: str, before: Signature | None) -> None:
        """Parse a file that is not quiet yet, but may soon be: nothing about it has changed since it was seen `before`.

        What it holds counts only if the same bytes are read when it is quiet.
        """
        with suppress(FileError):
            data = None if before is None else files.read_settled(path, before, self._limits.file_bytes)
            if before is not None and data is not None:
                self._ahead[part] = self._parsed(part, before, data)

    def _attempt(self, part: str, path: str, seen: dict[str, Signature]) -> _Read | None:
        """Read one file if it is quiet; `seen` holds what the try before saw, 100 ms ago if times cannot tell. None = try again."""
        known = self._entries.get(part)
        try:
            now = files.signature(path)
            # Same inode, size and times: not even opened.
            if known is not None and known.seen == now:
                return _Read(known)
            quiet = now.quiet_at(files.now_ns()) or seen.get(part) == now
            seen[part] = now
            data = files.read_settled(path, now, self._limits.file_bytes) if quiet else None
        except FileError as error:
            return _Read(self._failed(part, error))
        return None if data is None else self._parsed(part, now, data)

    def _parsed(self, part: str, seen: Signature, data: bytes) -> _Read:
        known, early = self._entries.get(part, _FileEntry()), self._ahead.pop(part, None)
        digest = hashlib.sha256(data).digest()
        if known.digest == digest:
            return _Read(replace(known, seen=seen))
        if early is not None and early.entry.digest == digest:
            return replace(early, entry=replace(early.entry, seen=seen))
        try:
            documents = load(data, Origin(self._name, part), self._limits)
        except YamlError as error:
            return _Read(self._unparsed(part, replace(known, seen=seen, digest=digest), data, error))
        objects = documents
        # Without braces there is no template to look for, and nine of ten files have none.
        if b"{{" in data and looks_like(data) != "smi":
            objects = tuple(each for each in documents if not is_template(each))
        entry = _FileEntry(seen, digest, len(documents), ours=holds_objects(objects))
        return _Read(entry, objects, len(documents) - len(objects))

    def _unparsed(self, part: str, entry: _FileEntry, data: bytes, error: YamlError) -> _FileEntry:
        """A file that is no YAML: it may take something away only if it held an object, or looks as if it did."""
        looks, problem = looks_like(data), error.problem(self._name, part)
        may_be_theirs = not entry.ours and bool(self._listing.folders)  # a file that is named itself is ours
        if may_be_theirs and looks in {"helm", "text"}:
            foreign = NotOurs(part, problem, "helm" if looks == "helm" else "text")
            return replace(entry, held=0, problem=None, foreign=foreign)
        remedy = _RENDER if looks != "text" and b"{{" in data else f'{problem.remedy}, or exclude the file ("exclude")'
        return replace(entry, problem=replace(problem, remedy=remedy), foreign=None)

    def _failed(self, part: str, error: FileError) -> _FileEntry:
        """What a file held last, with the problem; its content is read again as soon as that works."""
        ref = ObjectRef("", "File", "", part)
        problem = Problem(error.code, ref, "", error.message, error.remedy, Origin(self._name, part))
        known = self._entries.get(part, _FileEntry())
        return _FileEntry(held=known.held, problem=problem, ours=known.ours)

    def _unlisted(self, listing: Listing) -> dict[str, _FileEntry]:
        """Files known from before that lie in a folder which cannot be listed now: they stay in force."""
        folders = tuple(part for part in listing.unread if part.endswith("/"))
        return {part: entry for part, entry in self._entries.items() if any(covers(folder, part) for folder in folders)}

    async def _triggers(self) -> AsyncGenerator[Reported, None]:
        """Say when to look, and at which paths: everything at once, and after `poll_s` in any case; else what is reported."""
        yield None
        while True:
            target = self._root if await run_in_thread(self._root.is_dir) else self._root.parent
            try:
                before, whole = await run_in_thread(target.stat), time.monotonic()
                async with aclosing(self._reports(target)) as reports:
                    async for reported in reports:
                        now = target.stat() if reported else await run_in_thread(target.stat)
                        moved = (now.st_dev, now.st_ino) != (before.st_dev, before.st_ino)
                        # inotify can lose events (a full queue, a network file system), so all is looked at now and
                        # then in any case.
                        due = moved or not reported or time.monotonic() - whole >= self._poll_s
                        whole = time.monotonic() if due else whole
                        yield None if due else frozenset(path for _, path in reported)
                        if moved:
                            break
            except (OSError, WatchfilesRustInternalError):  # gone, or no more watches to be had: look now and then
                await asyncio.sleep(self._poll_s)
                yield None

    def _reports(self, target: Path) -> AsyncGenerator[set[tuple[Change, str]], None]:
        return awatch(
            os.path.realpath(target),
            watch_filter=None,
            step=_REPORT_MS,
            rust_timeout=int(self._poll_s * 1000),
            yield_on_timeout=True,
            recursive=target == self._root,
            ignore_permission_denied=True,
        )


def _ending(part: str) -> Event:
    """What is said of a part that is listed no more: a file is gone, a folder that could not be listed can be."""
    return Listed(part) if part.endswith("/") else Delete(part)


def _part_of(event: Event) -> str:
    return "" if isinstance(event, Synced) else event.part


class FolderConfig(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The folder, or the file, written as `path`; which of its files count, as patterns of gitignore (none: all)."""

    path: str
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


def open_folder(context: SourceContext, config: FolderConfig) -> DirectorySource:
    """The source of a folder that smihub.yaml names; a smihub.yaml in it is not read. Raises ConfigError."""
    try:
        include, exclude = patterns(config.include, "include"), patterns(config.exclude, "exclude")
    except SourceError as error:
        raise ConfigError(f'source "{context.name}": {error}') from None
    folder = context.file.parent / config.path
    return DirectorySource(context.name, folder, selection=Selection(include, exclude, skip=context.file))


DIRECTORY = SourceSpec(name="directory", config=FolderConfig, open=open_folder)
