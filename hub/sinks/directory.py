"""The sink `directory`: objects as files, one each, in a folder that others apply (GitOps, kustomize or kubectl, say).

It writes every family that says how its objects stand in files (`hub.api.FileForm`). What is promised and what is not: docs/gitops.md.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import ClassVar

from msgspec import Struct

from hub.api import FILES, Diagnosis, FileList, Marking, SinkContext, SinkSpec
from hub.errors import ConfigError, RefusedError, StaleError, TransientError, UnsafeResourceError
from hub.model import Observation, UnitKey
from hub.sinks.folder import EXCLUSIVE, SHARED, Entry, Folder, make, opened, signature
from hub.sinks.index import ListedFiles, decode_index
from hub.sinks.kubernetes import KUBERNETES
from hub.sinks.ledger import Ledger, decode_memory
from hub.sinks.manifest import MAX_OBJECT_BYTES, Foreign, ObjectFiles, digest
from hub.sinks.marking import FolderObjects, ownership_change
from hub.sinks.names import MEMORY, OBJECTS
from hub.sinks.reading import FolderContents, FolderReader, Found, interpret
from hub.sinks.writing import MAX_INDEX_BYTES, Writer
from hub.threads import run_in_thread, run_to_end

_NOTHING = Ledger()
_LOOK_S = 2.0
_NEWS: Entry = (-1, -1)
"""What no file is: of one that we did not write, nothing is as we left it."""


class DirectoryConfig(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The folder, written as `path`."""

    path: str


class DirectorySink:
    """A `hub.api.Sink` for one mesh in one folder; it holds nothing open between calls."""

    apart: ClassVar[bool] = False

    def __init__(self, path: Path, reader: FolderReader) -> None:
        self._path = path
        self._reader = reader
        self._files = reader.files
        self._mesh, self._owner = reader.files.mesh, reader.files.owner
        self._empty = interpret({}, ListedFiles({}, whole=True), _NOTHING, {}, reader)
        self._known: dict[str, tuple[str, Found]] = {}  # what a file meant, by its digest: most are as they were
        self._own: dict[str, Entry | None] = {}  # files as we left them (None: removed), which is no news

    async def observe(self) -> Observation:
        """Everything in the folder. Raises ConfigError where it cannot be told what is ours."""
        async with opened(self._path, SHARED) as folder:
            reading = self._empty if folder is None else await run_to_end(partial(self._read, folder))
        return reading.observation()

    @asynccontextmanager
    async def writing(self, token: str) -> AsyncIterator[Writer]:
        """See `hub.api.Sink`: the folder is locked until the end."""
        # Planned on a folder that was not there: it is made here, and not by looking at it.
        if token == self._empty.token:
            await run_to_end(partial(make, self._path))
        async with self._locked(token, "while this plan was made; plan again") as (folder, reading):
            folder.left = self._own
            writer = Writer(folder, self._path, reading)
            async with writer.cleaning():
                yield writer
                await writer.claim()

    async def mark(self, marks: Sequence[Marking], memory: Mapping[UnitKey, bytes], token: str) -> str:
        """See `hub.api.MarkingSink`. A file that is not as it was is a StaleError; all are looked at before the first write."""
        async with self._locked(token, "in the meantime; run the command again") as (folder, reading):
            standing = FolderObjects(self._files, reading.ours, reading.theirs)
            # The reading tells of files by their new names; on disk some still have the former one.
            actual = {file: old for old, file in reading.renamed.items()}
            places = {each.ref: standing.file_name(each.ref) for each in marks}
            current = {ref: f"{OBJECTS}/{actual.get(file, file)}" for ref, file in places.items()}
            texts = await run_to_end(lambda: {ref: _content(folder, path) or b"" for ref, path in current.items()})
            if len(texts) != len(marks):
                raise UnsafeResourceError(f'mesh "{self._mesh}": one object is listed twice')
            changes = [ownership_change(each, standing, texts[each.ref]) for each in marks]
            return await Writer(folder, self._path, reading).mark(changes, memory)

    async def changes(self) -> AsyncIterator[str]:
        """See `hub.api.Watching`: told by names, sizes and times of the files, but for those that we wrote ourselves."""
        before, _ = await self._look({})
        while True:
            await asyncio.sleep(_LOOK_S)
            before, told = await self._look(before)
            if told:
                yield ""

    async def _look(self, before: Mapping[str, Entry]) -> tuple[Mapping[str, Entry], bool]:
        """What files there are, and whether somebody else changed one: looked at while nobody writes, who would change it meanwhile."""
        try:
            async with opened(self._path, SHARED):
                now = await run_in_thread(partial(signature, self._path))
                # By size and time, not by content: looking must be cheap, and a false alarm costs one reading.
                changed = {path for path, _ in now.items() ^ before.items()}
                return now, any(self._own.get(self._relative(path), _NEWS) != now.get(path) for path in changed)
        except TransientError:
            return before, False  # somebody goes on writing
        except ConfigError:
            return {}, bool(before)

    def _relative(self, path: str) -> str:
        return path.removeprefix(f"{self._path}/")

    async def close(self) -> None:
        """Nothing is open."""

    @asynccontextmanager
    async def _locked(self, token: str, changed: str) -> AsyncIterator[tuple[Folder, FolderContents]]:
        """The folder, which nobody else writes until the end. Raises StaleError where it is not as it was, RefusedError where it is another's."""
        async with opened(self._path, EXCLUSIVE) as folder:
            reading = self._empty if folder is None else await run_to_end(partial(self._read, folder))
            if folder is None or reading.token != token:
                raise StaleError(f'folder "{self._path}" changed {changed}')
            if reading.held not in {"", self._owner}:
                raise RefusedError(
                    f'folder "{self._path}" was written by another smihub.yaml, with owner {reading.held[:8]}...'
                )
            yield folder, reading

    def _read(self, folder: Folder) -> FolderContents:
        try:
            listing = self._files.form.list
            _refuse_rivals(folder, listing)
            index, memory = _content(folder, listing.name), _content(folder, MEMORY)
            objects = self._known = self._objects(folder)
            # Not by `_known`: beside this thread another may read the same folder, as it is a moment later.
            files = {file: found for file, (_, found) in objects.items()}
            digests = {f"{OBJECTS}/{file}": known for file, (known, _) in objects.items()}
            digests |= {
                path: digest(data) for path, data in ((listing.name, index), (MEMORY, memory)) if data is not None
            }
            return interpret(files, self._index(index), self._ledger(memory), digests, self._reader)
        except ConfigError as error:
            raise ConfigError(f'mesh "{self._mesh}", folder "{self._path}": {error}') from None

    def _objects(self, folder: Folder) -> dict[str, tuple[str, Found]]:
        """What each file of `objects` holds, with its digest."""
        known: dict[str, tuple[str, Found]] = {}
        for file in folder.objects():
            if file.endswith(self._files.form.suffixes):
                known |= self._found(folder, file)
        return known

    def _found(self, folder: Folder, file: str) -> dict[str, tuple[str, Found]]:
        """One file with its digest and its meaning; nothing if it is gone by now."""
        try:
            data = folder.read(f"{OBJECTS}/{file}", MAX_OBJECT_BYTES)
        except FileNotFoundError:
            return {}
        if data is None:
            return {file: ("", Foreign())}
        now, known = digest(data), self._known.get(file)
        return {file: known if known is not None and known[0] == now else (now, self._files.read(data))}

    def _index(self, data: bytes | None) -> ListedFiles:
        if data is None:
            return ListedFiles({}, whole=False)
        try:
            return decode_index(data, self._files)
        except ConfigError as error:
            raise ConfigError(f'"{self._files.form.list.name}" {error}') from None

    def _ledger(self, data: bytes | None) -> Ledger:
        if data is None:
            return _NOTHING
        try:
            return decode_memory(data, self._mesh)
        except ConfigError as error:
            raise ConfigError(f'"{MEMORY}" {error}') from None


def _content(folder: Folder, path: str) -> bytes | None:
    try:
        data = folder.read(path, MAX_INDEX_BYTES)
    except FileNotFoundError:
        return None
    if data is None:
        raise ConfigError(f'"{path}" is not a regular file of at most {MAX_INDEX_BYTES} bytes; move it away')
    return data


def _refuse_rivals(folder: Folder, listing: FileList) -> None:
    there = folder.names() if listing.rivals else ()
    for name in listing.rivals:
        if name in there:
            raise ConfigError(
                f'"{name}" exists next to {listing.name}, and kustomize accepts only one of them; move it away'
            )


def open_directory(context: SinkContext, config: DirectoryConfig) -> DirectorySink:
    """The sink of a mesh; the folder is looked at when it is needed. Raises ConfigError for what is no path."""
    form = context.family.files if context.family is not None else None
    if form is None:
        raise ConfigError(f'mesh "{context.mesh}": its objects cannot stand in files; use another kind of sink')
    files = ObjectFiles(form, context.mesh, context.owner)
    return DirectorySink(_path(context, config), FolderReader(files, context.domain))


def _real(context: SinkContext, config: DirectoryConfig) -> str:
    """The folder, by its only name."""
    return str(_path(context, config).resolve())


def _path(context: SinkContext, config: DirectoryConfig) -> Path:
    if not config.path or "\0" in config.path:
        raise ConfigError(
            f"path: invalid value; expected a folder relative to smihub.yaml, such as rendered/{context.mesh}"
        )
    return context.base / config.path


def _diagnose(context: SinkContext, config: DirectoryConfig) -> Iterator[Diagnosis]:
    """Whether the folder can be written, and whether the tools that people use on it are there."""
    folder = _path(context, config)
    there = next(each for each in (folder, *folder.parents) if each.exists())
    if not there.is_dir():
        yield Diagnosis("folder", "missing", f'"{there}" is not a folder', "set another path in smihub.yaml")
    elif not os.access(there, os.W_OK | os.X_OK):
        yield Diagnosis("folder", "missing", f'"{there}" cannot be written', "give it to the user who runs smihub")
    else:
        yield Diagnosis("folder", "ok", f"{folder}{'' if there == folder else ', which is created when it is needed'}")
    if context.family == KUBERNETES and shutil.which("kubectl") is None:
        yield Diagnosis("kubectl", "advice", "is not installed", "install it to look at a cluster, or apply by hand")


DIRECTORY = SinkSpec(
    name="directory",
    config=DirectoryConfig,
    open=open_directory,
    family=FILES,
    order="objects",
    exclusive=_real,
    diagnose=_diagnose,
)
